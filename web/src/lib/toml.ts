// Fields of a principle edited in the text that they stand in, so that what stands around them stays.

export type Lines = Record<string, [number, number]>;
export const TEXTS = ["id", "critique", "revise", "compare"] as const;
export type Field = (typeof TEXTS)[number] | "tags";

/** A TOML basic string of one line. */
export const quoted = (text: string): string => JSON.stringify(text).replaceAll("\x7f", "\\u007f");

/** Words parted by commas. */
export const listed = (text: string): string[] =>
  text
    .split(",")
    .map((word) => word.trim())
    .filter(Boolean);

/** A text in which a field of one principle has another value, with the lines of all fields as they are then. A field
 * that was not written yet is put behind the last of that principle.
 *
 * `lines`: of each principle the first and last line of each field, from 1. */
export function edited(text: string, lines: Lines[], principle: number, field: Field, value: string): { text: string; lines: Lines[] } {
  const rows = text.split("\n");
  const written = field === "tags" ? `tags = [${listed(value).map(quoted).join(", ")}]` : `${field} = ${quoted(value)}`;
  const own = lines[principle] ?? {};
  const there = own[field];
  const last = Math.max(...Object.values(own).map(([, end]) => end));
  const [first, end] = there ?? [last + 1, last];
  rows.splice(first - 1, end - first + 1, written);
  const more = first - end;
  const moved = lines.map((fields, place) => {
    const shifted = Object.entries(fields).map(([name, [from, to]]): [string, [number, number]] =>
      from > end ? [name, [from + more, to + more]] : [name, [from, to]],
    );
    return Object.fromEntries([...shifted, ...(place === principle ? [[field, [first, first]] as [string, [number, number]]] : [])]);
  });
  return { text: rows.join("\n"), lines: moved };
}
