// What figures of a task say in words: how far people agree, what they said of an item, what more votes would tell.

import type { Agreement, Dispute, Power, S } from "./api";
import { count } from "./numbers";

export const LETTERS = "ABCDEFGHI";

/** Two digits behind the point, so that columns of shares stand below each other; no minus before nothing. */
export const two = (value: number): string => value.toFixed(2).replace(/^-(0\.00)$/, "$1");

/** A figure with its interval. */
export function interval(found: S): string {
  if (found.mean === null) return "–";
  if (found.low === null || found.high === null) return two(found.mean);
  return `${two(found.mean)} [${two(found.low)}, ${two(found.high)}]`;
}

/** How many said what of two answers: "A 9 : B 8 : tie 1". */
export function tally(pair: Dispute["pairs"][number]): string {
  const [first, tie, second] = pair.votes;
  const both = `${LETTERS[pair.first]} ${first} : ${LETTERS[pair.second]} ${second}`;
  return tie ? `${both} : tie ${tie}` : both;
}

/** Ranks as an order: "B > A = C"; what is left unranked is not in it. */
export function order(ranks: (number | null)[]): string {
  const ranked = ranks.map((rank, place) => ({ rank, letter: LETTERS[place] ?? "?" })).filter((one) => one.rank !== null);
  ranked.sort((a, b) => a.rank! - b.rank!);
  return ranked.map((one, i) => (i ? (one.rank === ranked[i - 1]!.rank ? ` = ${one.letter}` : ` > ${one.letter}`) : one.letter)).join("");
}

const percent = (share: number): string => `${Math.round(100 * share)} %`;
const OUTCOMES = { first: "the first answer of an item", tie: "neither", second: "the second answer of an item" };

/** Why kappa, AC1 and raw agreement differ on these very votes, a sentence each. */
export function apart(found: Agreement): string[] {
  const { raw, kappa, ac1, chance_kappa, chance_ac1 } = found;
  if (raw.mean === null || chance_kappa === null) return ["Nobody has voted on the same item as another yet."];
  const [name, most] = (Object.entries(found.shares) as [keyof typeof OUTCOMES, number][]).reduce((a, b) => (b[1] > a[1] ? b : a));
  const said = [
    `Two people say the same in ${percent(raw.mean)} of all pairs of answers.`,
    `${percent(most)} of all votes are for ${OUTCOMES[name]}. Whoever chose blindly by these shares would agree with another in ${percent(chance_kappa)}: alpha and kappa count only what goes beyond that.`,
  ];
  if (chance_ac1 !== null) said.push(`AC1 takes ${percent(chance_ac1)} for chance, since people guess on items that are hard and not on all.`);
  if (kappa.mean === null || ac1.mean === null) return said;
  if (ac1.mean - kappa.mean > 0.1 && most > 0.6)
    said.push("One outcome prevails here, so kappa is low although people mostly agree: this is its paradox. Trust AC1 and raw agreement, and look at what is disputed.");
  else if (most > 0.6) said.push("One outcome prevails, and yet the figures say nearly the same.");
  else said.push("No outcome prevails here, so that they say nearly the same of chance; kappa also knows by how much one answer was preferred.");
  return said;
}

/** "120 more votes: ±3 points", of the widths that are planned for. */
export function needed(rows: Power["share"]["needed"]): string[] {
  return rows.map((row) => (row.same === 0 ? `±${row.points} points: reached` : `${count(row.same)} more votes: ±${row.points} points`));
}

/** What to do next, in a sentence. */
export function advice(found: Power): string {
  const { share } = found;
  if (!share.votes) return "No vote yet: ask anybody.";
  if (found.next === "vote") return "One more vote on the same items: agreement is measured only where an item has two, and fewer than 30 have.";
  const alike = share.correlation === null ? "" : ` (votes on one item go together by ${two(share.correlation)}, so ${two(share.design_effect)} of them tell as much as one on an item of its own)`;
  return `One more item: a vote on a new item tells ${two(share.fresh)} times as much as one more on an item that has votes${alike}.`;
}

/** The fitted curve at each of its points. */
export function fitted(curve: Power["curve"]): (number | null)[] {
  const { a, b, c } = curve;
  return curve.points.map((point) => (a === null || b === null || c === null ? null : a - b * point.n ** -c));
}

/** What was left out, as people read it. */
export function leftOut(counts: Record<string, number>): string {
  return Object.entries(counts)
    .map(([why, n]) => `${count(n)} ${why}`)
    .join(", ");
}

/** The ending of a file that the studio reads; null for another. */
export function endingOf(name: string): string | null {
  const ending = name.toLowerCase().split(".").at(-1) ?? "";
  if (ending === "ndjson") return "jsonl";
  return ["jsonl", "json", "csv", "parquet"].includes(ending) ? ending : null;
}
