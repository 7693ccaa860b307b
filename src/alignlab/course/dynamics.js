for (const box of document.querySelectorAll(".dynamics")) {
  const data = JSON.parse(box.querySelector('script[type="application/json"]').textContent);
  const last = data.steps - 1, colors = ["blue", "orange"], dashes = ["", "6 3"];
  const WIDE = 200, HIGH = 124, LEFT = 36, TOP = 8, RIGHT = 194, BOTTOM = 104;
  let arm = data.arms[0], step = 0, covered = true;

  const make = (name, attributes = {}, ...inside) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...inside);
    return node;
  };
  const draw = (name, attributes, text = "") => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.textContent = text;
    return node;
  };
  const said = (value) => {
    const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
    return value.toFixed(digits).replace("-", "−");
  };
  const x = (at) => LEFT + (RIGHT - LEFT) * at / last;

  // the controls: whose run, which step, and the cover over gold
  const arms = make("div", { class: "switch", role: "group", "aria-label": "Weight of the KL penalty" });
  for (const one of data.arms) {
    const button = make("button", { type: "button" }, one.name);
    button.addEventListener("click", () => { arm = one; redraw(); });
    arms.append(button);
  }
  const cover = make("button", { type: "button", class: "cover" });
  cover.addEventListener("click", () => { covered = !covered; redraw(); });
  const slider = make("input", { type: "range", min: 0, max: last, value: 0, "aria-label": "Step of training" });
  slider.addEventListener("input", () => move(Number(slider.value)));
  const now = make("p", { class: "now", "aria-live": "polite" });

  // six panels with one cursor
  const panels = data.panels.map((panel) => {
    const svg = draw("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": panel.title });
    const title = make("h4", {}, panel.title, make("small", {}, panel.unit));
    const values = make("p", { class: "values" });
    svg.addEventListener("pointerdown", (event) => follow(svg, event));
    svg.addEventListener("pointermove", (event) => event.buttons && follow(svg, event));
    return { ...panel, svg, values, node: make("section", {}, title, svg, values) };
  });
  const follow = (svg, event) => {
    const place = svg.getBoundingClientRect();
    const at = ((event.clientX - place.left) / place.width * WIDE - LEFT) / (RIGHT - LEFT) * last;
    move(Math.min(last, Math.max(0, Math.round(at))));
  };
  const visible = (name) => !(covered && name === "gold");

  const drawPanel = (panel) => {
    const names = panel.series.filter(visible), shown = names.map((name) => arm.series[name]);
    // one scale for all arms, by their means: a band may leave it
    const means = panel.series.flatMap((name) => data.arms.flatMap((one) => one.series[name][0]));
    const low = Math.min(0, ...means), high = Math.max(0, ...means) || 1;
    const y = (value) => {
      const share = Math.min(1, Math.max(0, (value - low) / (high - low)));
      return BOTTOM - (BOTTOM - TOP) * (panel.root ? Math.sqrt(share) : share);
    };
    const path = (points) => points.map((value, at) => `${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("L");
    panel.svg.replaceChildren();
    for (const value of new Set([low, 0, high])) {
      panel.svg.append(draw("path", { d: `M${LEFT} ${y(value).toFixed(1)}H${RIGHT}`, stroke: "var(--line)" }));
      if (value === low && value < 0 && y(low) - y(0) < 14) continue;  // no room for two labels
      const label = { x: LEFT - 5, y: y(value) + 4, "font-size": 12, "text-anchor": "end", class: "soft" };
      panel.svg.append(draw("text", label, value ? said(value) : "0"));
    }
    for (const [at, anchor] of [[0, "start"], [last, "end"]]) {
      panel.svg.append(draw("text", { x: x(at), y: HIGH - 5, "font-size": 12, "text-anchor": anchor, class: "soft" }, at));
    }
    shown.forEach(([mean, least, most], place) => {
      const which = panel.series.indexOf(names[place]), color = `var(--${colors[which]})`;
      const band = `M${path(most)}L${path(least).split("L").reverse().join("L")}Z`;
      panel.svg.append(draw("path", { d: band, fill: color, opacity: 0.15 }));
      const line = { d: `M${path(mean)}`, fill: "none", stroke: color, "stroke-width": 2, "stroke-dasharray": dashes[which] };
      panel.svg.append(draw("path", line));
    });
    panel.cursor = draw("path", { d: `M0 ${TOP}V${BOTTOM}`, stroke: "var(--ink)", "stroke-width": 1 });
    panel.svg.append(panel.cursor);
  };

  // what the rules of `alignlab.health` say, from the step on at which they can know it
  const health = make("ul", { class: "health" });
  const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;
  const drawHealth = () => {
    const due = arm.health.filter((one) => one.steps.at(-1) <= step && !(covered && /gold/.test(one.evidence)));
    due.sort((one, other) => one.steps.at(-1) - other.steps.at(-1));
    health.replaceChildren(...due.map((one) => make(
      "li", { class: one.verdict },
      make("b", {}, `Step ${one.steps.at(-1)}, ${one.verdict}: ${one.name.replaceAll("-", " ")}.`), ` ${sentence(one.evidence)} ${sentence(one.why)}`,
    )));
    if (!due.length) health.append(make("li", {}, "Nothing to say up to this step."));
  };

  // answers to the same prompts, with what changed since step 0
  const answers = make("dl", { class: "answers" });
  const changes = (before, after) => {
    const a = before.split(/\s+/), b = after.split(/\s+/);
    const common = Array.from({ length: a.length + 1 }, () => new Array(b.length + 1).fill(0));
    for (let i = a.length - 1; i >= 0; i--) {
      for (let j = b.length - 1; j >= 0; j--) {
        common[i][j] = a[i] === b[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
      }
    }
    const parts = [];
    const add = (kind, word) => {
      if (parts.length && parts.at(-1)[0] === kind) parts.at(-1)[1].push(word);
      else parts.push([kind, [word]]);
    };
    let i = 0, j = 0;
    while (i < a.length || j < b.length) {
      if (i < a.length && j < b.length && a[i] === b[j]) { add("", a[i++]); j++; }
      else if (i < a.length && (j === b.length || common[i + 1][j] >= common[i][j + 1])) add("del", a[i++]);
      else add("ins", b[j++]);
    }
    return parts.flatMap(([kind, words]) => [kind ? make(kind, {}, words.join(" ")) : words.join(" "), " "]);
  };
  let asked = -1;
  const drawAnswers = (again) => {
    const at = Math.max(...arm.answers[0].map(([one]) => one).filter((one) => one <= step || one === 0));
    if (at === asked && !again) return;
    asked = at;
    answers.replaceChildren(...data.probes.map((probe, place) => {
      const rows = arm.answers[place], [, which] = rows.find(([one]) => one === at) || rows.at(-1);
      const one = data.said[which], first = data.said[rows[0][1]];
      const end = one.ends ? "" : " … (cut)", gold = covered ? "" : `gold ${said(one.gold)}: ${one.reason}`;
      const text = [...changes(first.text, one.text), end, make("small", {}, gold)];
      return make("div", {}, make("dt", {}, probe), make("dd", {}, ...text));
    }));
    when.textContent = `Greedy answers before step ${at}, seed ${data.seeds[0]}; `
      + "what is new since step 0 is underlined, what went is struck out.";
  };
  const when = make("p", { class: "quiet" });

  const move = (to) => {
    step = Math.min(last, Math.max(0, to));
    slider.value = step;
    for (const panel of panels) {
      panel.cursor.setAttribute("transform", `translate(${x(step).toFixed(1)} 0)`);
      panel.values.replaceChildren(...panel.series.map((name, which) => {
        const value = visible(name) ? said(arm.series[name][0][step]) : "covered";
        return make("span", { class: `series${which}` }, `${data.names[name] || ""} ${value}`.trim());
      }));
    }
    const [proxy, gold, k1] = ["proxy", "gold", "k1"].map((name) => said(arm.series[name][0][step]));
    now.textContent = `${arm.name}, step ${step} of ${last}: proxy ${proxy}, gold ${covered ? "covered" : gold}, KL ${k1}`;
    slider.setAttribute("aria-valuetext", now.textContent);
    drawHealth();
    drawAnswers(false);
  };
  const redraw = () => {
    for (const button of arms.children) button.setAttribute("aria-pressed", String(button.textContent === arm.name));
    cover.textContent = covered ? "Uncover gold (P)" : "Cover gold (P)";
    cover.setAttribute("aria-pressed", String(!covered));
    panels.forEach(drawPanel);
    asked = -1;
    move(step);
  };

  const keys = { ArrowLeft: () => step - 1, ArrowRight: () => step + 1, Home: () => 0, End: () => last };
  const live = make(
    "div", { class: "live", tabindex: "-1" },
    make("div", { class: "controls" }, arms, cover), slider, now,
    make("div", { class: "panels" }, ...panels.map((panel) => panel.node)),
    make("h4", {}, "Is this normal?"), health, make("h4", {}, "The same prompts, again and again"), when, answers,
  );
  live.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "p" || event.key === "P") { covered = !covered; redraw(); }
    else if (event.key in keys) move(keys[event.key]());
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  box.prepend(live);
  box.classList.add("drawn");
  redraw();
}
