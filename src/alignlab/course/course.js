"use strict";
document.documentElement.classList.add("js");
for (const box of document.querySelectorAll(".predict")) {
  for (const option of box.querySelectorAll(".option")) {
    option.addEventListener("click", () => {
      for (const other of box.querySelectorAll(".option")) other.setAttribute("aria-pressed", String(other === option));
      box.classList.add("chosen");
      box.querySelector(".answer").open = true;
    });
  }
}
for (const item of document.querySelectorAll(".quiz fieldset")) {
  const feedback = item.querySelector(".feedback"), why = item.querySelector(".why");
  const told = (right) => {
    feedback.textContent = right ? "Right." : "No. Try again, or read why below.";
    why.open = true;
  };
  for (const label of item.querySelectorAll("label")) {
    label.querySelector("input").addEventListener("change", () => {
      for (const other of item.querySelectorAll("label")) other.classList.remove("good", "bad");
      const right = "right" in label.dataset;
      label.classList.add(right ? "good" : "bad");
      told(right);
    });
  }
  const order = item.querySelector(".order");
  if (!order) continue;
  const lines = [...order.querySelectorAll(".line")], taken = [], wanted = Number(order.dataset.lines);
  for (const line of lines) {
    line.addEventListener("click", () => {
      const at = taken.indexOf(line);
      if (at >= 0) taken.splice(at, 1);
      else if (taken.length < wanted) taken.push(line);
      for (const other of lines) {
        const place = taken.indexOf(other);
        other.classList.toggle("taken", place >= 0);
        other.querySelector(".place").textContent = place >= 0 ? place + 1 : "";
      }
      if (taken.length === wanted) told(taken.every((one, place) => Number(one.dataset.place) === place + 1));
      else feedback.textContent = "";
    });
  }
}
