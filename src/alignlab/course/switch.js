"use strict";
for (const ways of document.querySelectorAll(".ways")) {
  const all = [...ways.querySelectorAll(".way")], bar = document.createElement("div");
  bar.className = "switch";
  bar.setAttribute("role", "group");
  bar.setAttribute("aria-label", "Whose pipeline");
  const show = (shown) => {
    for (const way of all) way.hidden = way !== shown;
    for (const button of bar.children) button.setAttribute("aria-pressed", String(button.textContent === shown.dataset.way));
  };
  for (const way of all) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = way.dataset.way;
    button.addEventListener("click", () => show(way));
    bar.append(button);
  }
  ways.prepend(bar);
  show(all[0]);
}
