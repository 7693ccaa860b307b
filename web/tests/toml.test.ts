import { describe, expect, it } from "vitest";
import { edited, listed, quoted, type Lines } from "../src/lib/toml";

const TEXT = `# remark
[[principles]]
id = "one"
critique = """
Two
lines."""
tags = ["a"] # why

[[principles]]
id = "two"
critique = "x"`;
const LINES: Lines[] = [
  { id: [3, 3], critique: [4, 6], tags: [7, 7] },
  { id: [10, 10], critique: [11, 11] },
];

describe("a field is edited where it stands", () => {
  it("several lines become one, and what is behind them moves up", () => {
    const after = edited(TEXT, LINES, 0, "critique", 'Say "why".');
    expect(after.text).toBe(TEXT.replace('critique = """\nTwo\nlines."""', 'critique = "Say \\"why\\"."'));
    expect(after.lines).toEqual([
      { id: [3, 3], critique: [4, 4], tags: [5, 5] },
      { id: [8, 8], critique: [9, 9] },
    ]);
    const again = edited(after.text, after.lines, 1, "id", "three");
    expect(again.text.split("\n")[7]).toBe('id = "three"');
  });
  it("a field that was not there comes behind the last", () => {
    const after = edited(TEXT, LINES, 0, "revise", "Rewrite it.");
    expect(after.text.split("\n")[7]).toBe('revise = "Rewrite it."');
    expect(after.lines[0]!.revise).toEqual([8, 8]);
    expect(after.lines[1]!.id).toEqual([11, 11]);
  });
  it("tags are a list, and no text breaks out of its string", () => {
    expect(edited(TEXT, LINES, 0, "tags", "harmless, , direct ,").text).toContain('tags = ["harmless", "direct"]');
    expect(quoted('a"b\\\n\x00\x7f')).toBe('"a\\"b\\\\\\n\\u0000\\u007f"');
    expect(listed("")).toEqual([]);
  });
});
