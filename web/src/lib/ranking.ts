// Ranks of answers as somebody sees them: 1 is best, equal ranks are ties, null is left unranked.

export type Ranks = (number | null)[];

export const LETTERS = "ABCDEFGHI";

/** An answer gets a rank, and loses it when it has that rank already. */
export const ranked = (ranks: Ranks, place: number, rank: number | null): Ranks =>
  ranks.map((before, i) => (i !== place ? before : before === rank ? null : rank));

/** An answer one rank better (-1) or worse (1). Below the last rank it is unranked, and the other way round. */
export function moved(ranks: Ranks, place: number, by: -1 | 1, last = ranks.length): Ranks {
  const from = ranks[place] ?? last + 1;
  const to = Math.max(1, from + by);
  return ranks.map((before, i) => (i !== place ? before : to > last ? null : to));
}

/** The place that a digit is for next: the first after `place` without a rank, else the one after it. */
export function after(ranks: Ranks, place: number): number {
  const others = ranks.map((_, i) => (place + 1 + i) % ranks.length);
  return others.find((i) => ranks[i] === null) ?? Math.min(place + 1, ranks.length - 1);
}

/** Whether that says something: at least two answers are compared. */
export const enough = (ranks: Ranks): boolean => ranks.filter((rank) => rank !== null).length >= 2;

/** In words: "A and C before B; D is not ranked". */
export function inWords(ranks: Ranks): string {
  const groups = new Map<number, string[]>();
  ranks.forEach((rank, i) => {
    if (rank !== null) groups.set(rank, [...(groups.get(rank) ?? []), LETTERS[i]!]);
  });
  const order = [...groups].sort(([one], [other]) => one - other).map(([, letters]) => letters.join(" and "));
  const without = ranks.flatMap((rank, i) => (rank === null ? [LETTERS[i]!] : []));
  const rest = without.length ? `${without.join(", ")} not ranked` : "";
  return [order.join(" before "), rest].filter(Boolean).join("; ");
}
