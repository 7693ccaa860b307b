import { describe, expect, it } from "vitest";
import { beside, talk } from "../src/lib/cases";

describe("the address of a conversation", () => {
  it("has the turns of user and model as JSON", () => {
    const said = [
      { role: "system", content: "a rule" },
      { role: "user", content: "100 % & more # \u202e" },
      { role: "assistant", content: "no" },
    ];
    const href = talk(said)!;
    expect(href.startsWith("/talk#turns=")).toBe(true);
    const view = new URLSearchParams(href.split("#")[1]);
    expect(JSON.parse(view.get("turns")!)).toEqual(said.slice(1));
  });
  it("is none where the turns are too long, or nobody asks", () => {
    expect(talk([{ role: "user", content: "ä".repeat(2100) }])).toBeNull();
    expect(talk([{ role: "system", content: "x" }])).toBeNull();
  });
});

it("the one before and the one behind stay within the list", () => {
  const rows = [{ id: "a" }, { id: "b" }, { id: "c" }];
  expect(beside(rows, "b", 1)!.id).toBe("c");
  expect(beside(rows, "c", 1)!.id).toBe("c");
  expect(beside(rows, "a", -1)!.id).toBe("a");
  expect(beside(rows, "gone", 1)!.id).toBe("a");
  expect(beside([], "a", 1)).toBeUndefined();
});
