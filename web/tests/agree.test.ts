import { describe, expect, it } from "vitest";
import { advice, apart, endingOf, fitted, interval, needed, order, tally } from "../src/lib/agree";
import type { Agreement, Power, S } from "../src/lib/api";

const s = (mean: number | null, low: number | null = null, high: number | null = null): S => ({ mean, low, high, n: 10 });

const AGREEMENT = {
  items: 10,
  votes: 20,
  people: 2,
  shares: { first: 0.9, tie: 0, second: 0.1 },
  raw: s(0.85),
  kappa: s(0.2),
  ac1: s(0.8),
  chance_kappa: 0.82,
  chance_ac1: 0.18,
} as unknown as Agreement;

describe("figures in words", () => {
  it("has a figure with its interval, where there is one", () => {
    expect(interval(s(0.61, 0.52, 0.69))).toBe("0.61 [0.52, 0.69]");
    expect(interval(s(1))).toBe("1.00");
    expect(interval(s(null))).toBe("–");
  });

  it("counts what was said of two answers, ties where there are any", () => {
    expect(tally({ first: 0, second: 1, votes: [9, 1, 8] })).toBe("A 9 : B 8 : tie 1");
    expect(tally({ first: 1, second: 2, votes: [2, 0, 1] })).toBe("B 2 : C 1");
  });

  it("has ranks as an order", () => {
    expect(order([2, 1, 2])).toBe("B > A = C");
    expect(order([1, null, 2])).toBe("A > C");
    expect(order([null, null])).toBe("");
  });

  it("explains the paradox of kappa with the shares of this task, and only where there is one", () => {
    expect(apart(AGREEMENT).join(" ")).toContain("paradox");
    expect(apart(AGREEMENT).join(" ")).toContain("90 %");
    const even = { ...AGREEMENT, shares: { first: 0.5, tie: 0, second: 0.5 }, kappa: s(0.7), ac1: s(0.71) };
    expect(apart(even).join(" ")).not.toContain("paradox");
    expect(apart({ ...AGREEMENT, raw: s(null) })).toHaveLength(1);
  });
});

describe("what more votes would tell", () => {
  const power = {
    share: { items: 50, votes: 100, correlation: 0.5, design_effect: 1.5, fresh: 3, needed: [] },
    next: "item",
  } as unknown as Power;

  it("says how many are missing", () => {
    expect(needed([{ points: 3, same: 1120, apart: null }, { points: 10, same: 0, apart: 0 }])).toEqual(["1,120 more votes: ±3 points", "±10 points: reached"]);
  });

  it("says what to do next", () => {
    expect(advice(power)).toContain("3.00 times");
    expect(advice({ ...power, next: "vote" })).toContain("same items");
    expect(advice({ ...power, share: { ...power.share, votes: 0 } })).toContain("No vote yet");
  });

  it("draws the curve where it could be fitted", () => {
    const curve = { points: [{ n: 10, right: 0.6 }], a: 0.9, b: 1, c: 1, twice: 0.85, why: "" };
    expect(fitted(curve)[0]).toBeCloseTo(0.8);
    expect(fitted({ ...curve, a: null })).toEqual([null]);
  });
});

it("knows what files are read by their names", () => {
  expect(["a.JSONL", "b.ndjson", "c.parquet", "d.gz", "none"].map(endingOf)).toEqual(["jsonl", "jsonl", "parquet", null, null]);
});
