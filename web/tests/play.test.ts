import { expect, test } from "vitest";
import { CURVES, DOORS, END, scene } from "../src/lib/play";

test("models answer in turn, and all of them before the curves", () => {
  const answers = [0, 999, 1000, 1600, 2200, 2800, CURVES - 1].map((ms) => scene(ms, 4, 24).answers);
  expect(answers).toEqual([0, 0, 1, 2, 3, 4, 4]);
  expect(scene(CURVES - 1, 4, 24).face).toBe("question");
});

test("the cursor takes each step once and stays at the last", () => {
  const places = Array.from({ length: DOORS - CURVES }, (_, ms) => scene(CURVES + ms, 4, 24).at);
  expect([...new Set(places)]).toEqual(Array.from({ length: 24 }, (_, i) => i));
  expect([DOORS, END, 1e9].map((ms) => scene(ms, 4, 24).at)).toEqual([23, 23, 23]);
  expect(scene(CURVES - 1, 4, 24).at).toBe(null);
  expect(scene(END, 4, 0).at).toBe(null);
});

test("doors open at the end of it, and stay open", () => {
  expect([0, DOORS - 1, DOORS, END, 1e9].map((ms) => scene(ms, 4, 24).doors)).toEqual([false, false, true, true, true]);
});
