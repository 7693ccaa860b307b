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
for (const box of document.querySelectorAll(".clip")) {
  const label = box.querySelector("label"), drag = label.querySelector("input"), said = label.querySelector("output");
  const cursors = [...box.querySelectorAll("svg")].map((svg) => {
    const line = document.createElementNS(svg.namespaceURI, "path");
    line.setAttribute("stroke", "var(--ink)");
    line.setAttribute("stroke-width", "1.5");
    svg.append(line);
    return [line, svg.viewBox.baseVal.height];
  });
  const move = () => {
    const ratio = Number(drag.value), clipped = Math.min(1.2, Math.max(0.8, ratio));
    const parts = [1, -1].map((sign) => {
      const paid = Math.min(ratio * sign, clipped * sign), held = paid !== ratio * sign;
      return `${sign > 0 ? "good" : "bad"} token ${paid.toFixed(2)}, ${held ? "no gradient" : "gradient"}`;
    });
    said.textContent = `${ratio.toFixed(2)}: ${parts.join("; ")}`.replaceAll("-", "\u2212");
    for (const [line, height] of cursors) line.setAttribute("d", `M${44 + 191 * ratio} 32V${height - 42}`);
  };
  drag.addEventListener("input", move);
  label.hidden = false;
  move();
}
const formula = document.querySelector("math:has(msub)");
if (formula) {
  // Where no font knows mathematics, scripts stand on the line: seen in a copy, since the first may be on a hidden slide.
  const probe = document.createElement("p");
  probe.append(formula.cloneNode(true));
  document.body.append(probe);
  const [base, script] = [...probe.querySelector("msub").children].map((part) => part.getBoundingClientRect());
  document.documentElement.classList.toggle("flat", script.bottom - base.bottom < base.height / 8);
  probe.remove();
}
// What scrolls sideways is scrolled by keys, too.
const scrollers = () => {
  for (const box of document.querySelectorAll("pre, .scroll, .formula, :is(p, li):has(math)")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
};
addEventListener("resize", scrollers);
document.addEventListener("toggle", scrollers, true);
scrollers();
