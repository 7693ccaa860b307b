// Which metrics stand together, and in what order: what a reader looks at first comes first.

export interface Panel {
  title: string;
  keys: string[];
}

const PANELS: Panel[] = [
  { title: "Reward and gold", keys: ["objective/scores", "objective/gold", "reward"] },
  { title: "How far from the start", keys: ["objective/kl", "objective/kl_k3"] },
  { title: "How sure", keys: ["policy/entropy_avg"] },
  { title: "Length", keys: ["completions/mean_length"] },
  { title: "Cut at the limit", keys: ["completions/clipped_ratio"] },
  { title: "Clipped tokens", keys: ["policy/clipfrac_avg"] },
  { title: "Value model", keys: ["critic/vf_explained_var"] },
  { title: "Loss", keys: ["loss", "eval_loss"] },
  { title: "Pairs in the right order", keys: ["accuracy", "rewards/accuracies"] },
  { title: "Margin", keys: ["margin", "rewards/margins"] },
  { title: "Log-probability", keys: ["logps/chosen", "logps/rejected"] },
  { title: "Learning rate", keys: ["learning_rate"] },
  { title: "Gradient", keys: ["grad_norm", "policy/grad_norm"] },
];
const FIRST = 6;

/** The panels of a run that has these metrics: the first few, and the others, one a metric where none is set for it. */
export function panels(keys: string[]): { first: Panel[]; others: Panel[] } {
  const known = PANELS.map((panel) => ({ ...panel, keys: panel.keys.filter((key) => keys.includes(key)) })).filter((panel) => panel.keys.length);
  const placed = new Set(known.flatMap((panel) => panel.keys));
  const rest = keys.filter((key) => !placed.has(key)).map((key) => ({ title: key, keys: [key] }));
  return { first: known.slice(0, FIRST), others: [...known.slice(FIRST), ...rest] };
}
