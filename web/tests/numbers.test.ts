import { expect, test } from "vitest";
import { figure, seconds, short } from "../src/lib/numbers";
import { panels } from "../src/lib/panels";

test.each([
  [null, "–"],
  [0, "0"],
  [0.00312, "0.0031"],
  [0.614, "0.61"],
  [-1.5, "-1.50"],
  [12.34, "12.3"],
  [456.7, "457"],
  [17111, "17,111"],
  [2.5e7, "2.5e7"],
  [3e-6, "3.0e-6"],
])("%s is read as %s", (value, text) => {
  expect(short(value)).toBe(text);
});

test("a figure stands with its interval where it has one", () => {
  expect(figure({ name: "gold", value: 0.61, low: 0.58, high: 0.64, n: 1000 })).toBe("0.61 [0.58, 0.64]");
  expect(figure({ name: "loss", value: 0.5, low: null, high: null, n: null })).toBe("0.50");
});

test("times are in the unit that a person would use", () => {
  expect([41, 300, 7200].map(seconds)).toEqual(["41 s", "5 min", "2.0 h"]);
});

test("every metric is in one panel, the known ones first", () => {
  const { first, others } = panels(["objective/kl", "objective/scores", "objective/gold", "mine", "grad_norm"]);
  expect(first.map((panel) => panel.title)).toEqual(["Reward and gold", "How far from the start", "Gradient"]);
  expect(others).toEqual([{ title: "mine", keys: ["mine"] }]);
});
