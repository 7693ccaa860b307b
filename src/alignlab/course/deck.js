const data = JSON.parse(document.getElementById("data").textContent);
const all = [...document.querySelectorAll(".s")];
const [place, clock, predicted] = ["place", "clock", "predicted"].map((id) => document.getElementById(id));
const lengths = Object.keys(data.lengths).sort((a, b) => b - a);
const asked = new URLSearchParams(location.hash.slice(1));
let length = lengths.includes(asked.get("minutes")) ? asked.get("minutes") : String(data.minutes);
let at = Math.min(all.length - 1, Math.max(0, Number(asked.get("slide")) || 0));
let started = 0, notes = null;

// --- the plan: at which minute each slide begins, in the lecture of this length
let begins = [], shown = [];
function plan() {
  shown = all.filter((slide) => {
    const left = data.lengths[length].includes(slide.dataset.cut) || minutesOf(slide.dataset.section) === 0;
    slide.classList.toggle("cut", left);
    return !left;
  });
  const totals = {};
  for (const slide of shown) totals[slide.dataset.section] = (totals[slide.dataset.section] || 0) + Number(slide.dataset.minutes);
  begins = [];
  let before = 0, section = "", inside = 0;
  for (const slide of shown) {
    if (slide.dataset.section !== section) {
      before += minutesOf(section) || 0;
      section = slide.dataset.section;
      inside = 0;
    }
    begins.push(before + inside);
    const share = totals[section] ? (minutesOf(section) || 0) / totals[section] : 0;
    inside += Number(slide.dataset.minutes) * share;
    before += Number(slide.dataset.pause);
  }
}
function minutesOf(section) {
  const found = data.sections[section];
  return found ? (found[length] ?? found[data.minutes]) : undefined;
}

// --- where we are
function show(slide) {
  at = all.indexOf(slide);
  for (const other of all) other.classList.toggle("now", other === slide);
  predicted.hidden = !locked();
  fit(slide);
  const number = shown.indexOf(slide) + 1;
  const head = slide.dataset.section ? `${slide.dataset.section} · ` : "";
  place.textContent = `${head}${number} of ${shown.length} · ${length} minutes`;
  history.replaceState(null, "", `#slide=${at}&minutes=${length}`);
  tell();
  tick();
}
function locked() {
  const now = all[at];
  return now.classList.contains("locked") && !now.classList.contains("open");
}
function go(steps) {
  if (steps > 0 && locked()) return predicted.focus();
  const here = shown.indexOf(all[at]);
  const next = shown[Math.min(shown.length - 1, Math.max(0, here + steps))];
  if (!started && steps > 0) started = Date.now();
  if (next && next !== all[at]) show(next);
}
function unlock() {
  if (!locked()) return;
  all[at].classList.add("open");
  predicted.hidden = true;
  fit(all[at]);
}
function fit(slide) {
  let size = 1;
  slide.style.setProperty("--fit", "1");
  if (innerWidth < 640) return;
  while (slide.scrollHeight > slide.clientHeight + 1 && size > 0.45) {
    size -= 0.05;
    slide.style.setProperty("--fit", size.toFixed(2));
  }
}

// --- the clock: time gone, and how far behind the plan of this section
function tick() {
  if (!started) {
    clock.textContent = "";
    return;
  }
  const gone = (Date.now() - started) / 60000;
  const number = shown.indexOf(all[at]);
  const next = begins[number + 1] ?? Infinity;
  const late = Math.floor(gone > next ? gone - next : Math.min(0, gone - begins[number]));
  const minutes = Math.floor(gone), seconds = Math.floor((gone - minutes) * 60);
  const said = late > 0 ? `${late} min behind` : late < -1 ? `${-late - 1} min ahead` : "on time";
  clock.textContent = `${minutes}:${String(seconds).padStart(2, "0")} · ${said}`;
  clock.classList.toggle("behind", late > 0);
  if (notes && !notes.closed) notes.document.getElementById("clock").textContent = clock.textContent;
}
setInterval(tick, 1000);

// --- notes in a window of their own, made by hand: nothing in it is a script
function openNotes() {
  notes = window.open("", "notes", "width=560,height=640");
  if (!notes) return;
  const made = (name, id, style) => {
    const element = notes.document.createElement(name);
    element.id = id;
    Object.assign(element.style, style);
    return element;
  };
  notes.document.title = "Notes";
  Object.assign(notes.document.body.style, { font: "20px/1.5 system-ui, sans-serif", margin: "1.5rem", colorScheme: "light dark" });
  notes.document.body.replaceChildren(
    made("p", "clock", { fontVariantNumeric: "tabular-nums", margin: "0 0 1rem" }),
    made("p", "text", { whiteSpace: "pre-wrap" }),
    made("p", "next", { opacity: ".7", fontSize: "16px" }),
  );
  tell();
  tick();
  window.focus();
}
function tell() {
  if (!notes || notes.closed) return;
  const next = shown[shown.indexOf(all[at]) + 1];
  notes.document.getElementById("text").textContent = data.notes[at] || "(no notes)";
  notes.document.getElementById("next").textContent = next ? `Next: ${next.getAttribute("aria-label")}` : "The last slide";
}

// --- the next of several drawings on a slide
function other(steps) {
  const buttons = [...all[at].querySelectorAll(".switch button")];
  if (!buttons.length) return;
  const now = buttons.findIndex((button) => button.getAttribute("aria-pressed") === "true");
  buttons[(now + steps + buttons.length) % buttons.length].click();
}

// --- keys
const keys = {
  ArrowRight: () => go(1), PageDown: () => go(1), " ": () => go(1), Enter: () => go(1),
  ArrowLeft: () => go(-1), PageUp: () => go(-1), Backspace: () => go(-1),
  Home: () => show(shown[0]), End: () => show(shown[shown.length - 1]),
  p: unlock, n: openNotes,
  t: () => { started = Date.now(); tick(); },
  c: () => { clock.hidden = !clock.hidden; },
  l: () => {
    length = lengths[(lengths.indexOf(length) + 1) % lengths.length];
    plan();
    show(shown.includes(all[at]) ? all[at] : all.slice(at).find((slide) => shown.includes(slide)) || shown[shown.length - 1]);
  },
  ArrowDown: () => other(1), ArrowUp: () => other(-1),
  "?": () => document.getElementById("help").togglePopover(),
};
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input")) return;
  if (event.target.closest("button, a, summary") && (event.key === " " || event.key === "Enter")) return;
  const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
document.getElementById("back").addEventListener("click", () => go(-1));
document.getElementById("on").addEventListener("click", () => go(1));
predicted.addEventListener("click", unlock);
addEventListener("resize", () => fit(all[at]));
plan();
show(shown.includes(all[at]) ? all[at] : shown[0]);
