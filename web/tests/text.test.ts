// The page shows text as alignlab shows it: both are held to one table (tests/studio/test_pages.py reads it too).

import { expect, test } from "vitest";
import { difference, sentences, visible } from "../src/lib/text";
import table from "./text.json";

test.each(table.visible)("what a reader may see of $seen", ({ text, seen }) => {
  expect(visible(text)).toBe(seen);
});

test("what the studio said is sentences, and shown as text of others is", () => {
  expect(sentences("not saved: no room", "make room.", "")).toBe("Not saved: no room. Make room.");
  expect(sentences("\u202ex")).toBe("\\u202ex.");
});

test.each(table.difference)("what changed from '$before' to '$after'", ({ before, after, changes }) => {
  expect(difference(before, after).map((change) => [change.what, change.text])).toEqual(changes);
});
