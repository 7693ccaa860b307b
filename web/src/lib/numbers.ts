// Numbers and times as people read them.

import type { Figure } from "./api";

/** Three digits that count, without a power of ten where a person can do without. */
export function short(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size < 1e-12) return "0";
  if (size >= 1e6 || size < 1e-4) return value.toExponential(1).replace("e+", "e");
  if (size >= 1000) return Math.round(value).toLocaleString("en-US");
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  return value.toFixed(size < 0.01 ? 4 : 2);
}

/** A figure with its interval, and how many values are behind it. */
export function figure(found: Figure): string {
  const value = short(found.value);
  if (found.low === null || found.low === undefined || found.high === null || found.high === undefined) return value;
  return `${value} [${short(found.low)}, ${short(found.high)}]`;
}

export function seconds(value: number | null | undefined): string {
  if (value === null || value === undefined) return "";
  if (value < 90) return `${Math.round(value)} s`;
  if (value < 5400) return `${Math.round(value / 60)} min`;
  return `${(value / 3600).toFixed(1)} h`;
}

export const count = (value: number): string => value.toLocaleString("en-US");

export function when(stamp: number | null): string {
  if (stamp === null) return "";
  return new Date(stamp * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

const NAMES: Record<string, string> = {
  gold: "gold",
  proxy: "reward model",
  kl: "KL, nats",
  length: "length",
  "objective/scores": "reward model",
  "objective/gold": "gold",
  "objective/kl": "KL to the start (k1), nats",
  "objective/kl_k3": "KL to the start (k3), nats",
  "policy/entropy_avg": "entropy, nats per token",
  "policy/clipfrac_avg": "share of tokens clipped",
  "policy/approxkl_avg": "KL of one step's updates",
  "critic/vf_explained_var": "explained by the value model",
  "completions/mean_length": "tokens per answer",
  "completions/clipped_ratio": "cut at the limit",
  "rewards/accuracies": "pairs in the right order",
  "rewards/margins": "margin",
  learning_rate: "learning rate",
  grad_norm: "gradient norm",
  eval_loss: "held-out loss",
};

/** A metric's name for people; its own where it has no other. */
export const named = (key: string): string => NAMES[key] ?? key;
