import { expect, it } from "vitest";
import type { Walked } from "../src/lib/api";
import { firing, paired } from "../src/lib/walked";

const row = (prompt: string, revision: string, ...rounds: [string, boolean][]): Walked => ({
  prompt: [{ role: "user", content: prompt }],
  draft: "draft",
  rounds: rounds.map(([principle, fired]) => ({ principle, fired, critique: "", revision })),
  revision,
  fired: rounds.some(([, fired]) => fired),
  dropped: "",
  gold: [null, null],
  reasons: ["", ""],
  cut: false,
});

it("counts how often each principle fired", () => {
  const found = firing([row("a", "x", ["no-harm", true], ["plain", false]), row("b", "x", ["no-harm", false])]);
  expect(found.get("no-harm")).toEqual({ asked: 2, fired: 1 });
  expect(found.get("plain")).toEqual({ asked: 1, fired: 0 });
});

it("finds the same prompt in another walk, and whether anything turned", () => {
  const pairs = paired(
    [row("a", "x", ["p", true]), row("b", "y", ["p", true]), row("c", "z")],
    [row("b", "y", ["q", true]), row("a", "draft", ["q", false])],
  );
  expect(pairs.map((pair) => pair.turns)).toEqual([true, false, false]);
  expect(pairs[2]!.other).toBeNull();
});
