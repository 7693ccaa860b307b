// What a walk says of each principle, and two walks over the same prompts.

import type { Said, Walked } from "./api";

export interface Fired {
  asked: number;
  fired: number;
}

/** How often each principle was asked, and how often it found something. */
export function firing(rows: Walked[]): Map<string, Fired> {
  const found = new Map<string, Fired>();
  for (const round of rows.flatMap((row) => row.rounds)) {
    const before = found.get(round.principle) ?? { asked: 0, fired: 0 };
    found.set(round.principle, { asked: before.asked + 1, fired: before.fired + Number(round.fired) });
  }
  return found;
}

const key = (prompt: Said[]): string => JSON.stringify(prompt.map((said) => [said.role, said.content]));

export interface Pair {
  row: Walked;
  other: Walked | null;
  turns: boolean;
}

/** Each prompt of a walk with what another made of it; `turns`: a critique found something in one alone, or what is
 * left in the end is not the same. */
export function paired(rows: Walked[], others: Walked[]): Pair[] {
  const by = new Map(others.map((row) => [key(row.prompt), row]));
  return rows.map((row) => {
    const other = by.get(key(row.prompt)) ?? null;
    return { row, other, turns: other !== null && (row.fired !== other.fired || row.revision !== other.revision) };
  });
}
