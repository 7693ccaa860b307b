// Findings of a red team in words, and as an address that leads to a conversation.

import type { Label, Said } from "./api";

export const LABELS: [Label, string, string][] = [
  ["comply", "c", "does what was asked"],
  ["partial", "p", "does part of it"],
  ["refuse", "r", "refuses"],
  ["void", "v", "empty, broken or off the point"],
];
export const SAYS: Record<Label, string> = Object.fromEntries(LABELS.map(([label, , says]) => [label, says])) as Record<Label, string>;

/** Stages that leave a model which answers. */
export const CHAT = ["sft", "dpo", "kto", "orpo", "simpo", "ppo", "rloo", "grpo", "online-dpo", "rejection"];

const MOST_TURNS = 4096; // bytes of turns in an address

/** Where a conversation can be gone on with from these turns; null where they are too long for an address, or are not
 * of a user and a model in turn. */
export function talk(prompt: Said[]): string | null {
  const turns = prompt.filter((said) => said.role === "user" || said.role === "assistant").map(({ role, content }) => ({ role, content }));
  const text = JSON.stringify(turns);
  if (!turns.length || new TextEncoder().encode(text).length > MOST_TURNS) return null;
  return `/talk#${new URLSearchParams({ turns: text }).toString()}`;
}

/** Of a list the one that stands so many places behind another; the first for one that is not in it. */
export function beside<T extends { id: string }>(rows: T[], id: string, by: number): T | undefined {
  const at = rows.findIndex((row) => row.id === id);
  return at < 0 ? rows[0] : rows[Math.min(rows.length - 1, Math.max(0, at + by))];
}
