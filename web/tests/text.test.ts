// The page shows text as alignlab shows it: both are held to one table (tests/studio/test_pages.py reads it too).

import { expect, test } from "vitest";
import { difference, visible } from "../src/lib/text";
import table from "./text.json";

test.each(table.visible)("what a reader may see of $seen", ({ text, seen }) => {
  expect(visible(text)).toBe(seen);
});

test.each(table.difference)("what changed from '$before' to '$after'", ({ before, after, changes }) => {
  expect(difference(before, after).map((change) => [change.what, change.text])).toEqual(changes);
});
