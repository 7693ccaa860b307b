import { expect, test } from "vitest";
import { after, enough, inWords, moved, ranked, type Ranks } from "../src/lib/ranking";

test("the same digit is a tie, the same again takes it back", () => {
  let ranks: Ranks = [null, null, null];
  ranks = ranked(ranks, 0, 2);
  ranks = ranked(ranks, 2, 2);
  ranks = ranked(ranks, 1, 1);
  expect(ranks).toEqual([2, 1, 2]);
  expect(inWords(ranks)).toBe("B before A and C");
  expect(ranked(ranks, 2, 2)).toEqual([2, 1, null]);
});

test("up and down from unranked to the best and back", () => {
  const steps: Ranks[] = [];
  let ranks: Ranks = [null, 1];
  for (const by of [1, -1, -1, -1, 1, 1, 1] as const) steps.push((ranks = moved(ranks, 0, by)));
  expect(steps.map(([first]) => first)).toEqual([null, 2, 1, 1, 2, null, null]);
  expect(ranks[1]).toBe(1);
});

test("a digit is for the next answer that has none", () => {
  expect(after([1, null, null], 0)).toBe(1);
  expect(after([1, 2, null], 0)).toBe(2);
  expect(after([null, 2, 3], 2)).toBe(0);
  expect(after([1, 1, 1], 0)).toBe(1);
  expect(after([1, 1, 1], 2)).toBe(2);
});

test("two answers must be compared", () => {
  expect(enough([1, null])).toBe(false);
  expect(enough([1, null, 1])).toBe(true);
});

test("what was not ranked is said", () => {
  expect(inWords([null, 3, 1, 3])).toBe("C before B and D; A not ranked");
  expect(inWords([null, null])).toBe("A, B not ranked");
});
