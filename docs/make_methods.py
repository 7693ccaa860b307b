"""Writes docs/all-methods.md from what benchmarks/methods.py measured.

python docs/make_methods.py runs/methods/methods.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from alignlab.text.figures import with_spread
from alignlab.town.exam import measured, with_head

DOCS = Path(__file__).parent
COLUMNS = (
    (("gold", "gold_sampled"), "gold", 3),
    (("gain, greedy", "gain, sampled"), "gain over SFT", 3),
    (("win_rate_vs_sft",), "wins against SFT, T = 1, ties half", 3),
    (("ties_vs_sft",), "of these ties", 3),
    (("compliance_with_harm", "compliance_with_harm_sampled"), "helps with harm", 3),
    (("over_refusal", "over_refusal_sampled"), "refuses look-alikes", 3),
    (("known_facts", "known_facts_sampled"), "known facts", 3),
    (("proxy",), "proxy, T = 1", 2),
    (("kl_from_sft",), "KL, T = 1, nats", 2),
    (("mean_length", "mean_length_sampled"), "tokens", 1),
    (("cpu_seconds",), "processor seconds", 0),
)
PICKED = (
    (("gold",), "gold", 3),
    (("gain, picked",), "gain over one sample", 3),
    (("win_rate_vs_sft",), "wins against one sample, ties half", 3),
    (("ties_vs_sft",), "of these ties", 3),
    (("compliance_with_harm",), "helps with harm", 3),
    (("over_refusal",), "refuses look-alikes", 3),
    (("known_facts",), "known facts", 3),
    (("proxy",), "proxy", 2),
    (("mean_length",), "tokens", 1),
    (("cpu_seconds",), "processor seconds", 0),
)
BEST = "best of 4"


def cell(row: dict, keys: tuple[str, ...], digits: int) -> str:
    """A figure's mean and spread over seeds, or that of two ways of decoding with a stroke between them."""
    found = [row[key] for key in keys if key in row]
    return " / ".join(with_spread(each, digits) for each in found)


def grid(rows: list[tuple[str, dict]], columns: tuple, answers: dict, corner: str) -> str:
    heads = []
    for keys, title, _ in columns:
        n = answers.get(keys[0])
        heads.append(f"{title} (n = {n:,})" if n else title)
    lines = [f"| {corner} | " + " | ".join(heads) + " |", "|" + "---|" * (len(columns) + 1)]
    for name, row in rows:
        lines.append(
            f"| {name} | " + " | ".join(cell(row, keys, digits) for keys, _, digits in columns) + " |"
        )
    return "\n".join(lines)


def picks(table: dict, answers: dict) -> str:
    """Best of 4 and its control, each beside one sample at the same temperature."""
    rows = []
    for key, name in ((BEST, BEST), (f"{BEST}-control", f"{BEST}, reward model of random rankings")):
        rows.append((name, table[key]))
    one = {key.removesuffix("_one"): value for key, value in table[BEST].items() if key.endswith("_one")}
    return grid([*rows, ("one sample at T = 0.8", one)], PICKED, answers, "")


def main() -> None:
    found = json.loads(Path(sys.argv[1]).read_text())
    table, seeds = found["table"], found["seeds"]
    answers = found["answers"]
    methods = [name for name in table if not name.endswith("-control") and name != BEST]
    paired = [name for name in methods if f"{name}-control" in table]
    rows = []
    for name in paired:
        ours, theirs = (
            [found["by_seed"][str(seed)][which].get("gain, greedy") for seed in seeds]
            for which in (name, f"{name}-control")
        )
        known = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
        both = (table[name], table[f"{name}-control"])
        gains = [cell(row, ("gain, greedy", "gain, sampled"), 3) for row in both]
        rows.append(f"| {name} | {' | '.join(gains)} | {sum(a > b for a, b in known)} of {len(known)} |")
    text = f"""# All methods, measured

`python benchmarks/methods.py`, by the gold judge. Every method starts from the same SFT model; offline
methods learn from the same {found["ranked"]:,} ranked prompts, on-policy methods against the reward model of
those, from {found["sampled"]:,} completions each. SFT, rankings, reward model, DPO and PPO are those of
[results.md](results.md). The settings of each method stand in `benchmarks/methods.py`; they were tried by
hand, not searched, so a small difference between two methods is no ranking of them. Made by `python
docs/make_methods.py`.

*±* is the standard deviation over {len(seeds)} seeds, and a seed is everything from SFT to the evaluation's
samples. *a / b*: greedy answers / answers
at temperature 1. A gain is the paired difference to SFT, decoded in the same way; in wins a tie counts half.
Proxy is the reward model's score of the first {found["scored"]:,} answers, in its own deviations; KL is that
from SFT, nats per completion. Processor seconds are those of the training stage, one thread.

{grid([(name, table[name]) for name in methods], COLUMNS, answers, "greedy / T = 1")}

## Best of 4

One pick among four samples of SFT at temperature 0.8, so neither greedy nor at temperature 1; beside it one
more sample at that temperature, which is a random pick, and the pick of a reward model of random rankings.

{picks(table, answers)}

## Against its control

The control of a method is the same method on the same completions ranked at random or, on-policy, on a reward
model of those random rankings. Variants of DPO have the control of DPO, REINFORCE that of RLOO and Dr. GRPO
that of GRPO. A random ranking still has the crowd's answers in it, so that a method which
also imitates (ORPO, rejection sampling) moves; a reward model of random rankings is a strong and arbitrary
taste, and policies that chase it get lost (PPO most of all).

| greedy / T = 1 | gain over SFT | control | greedily better than its control in |
|---|---|---|---|
{chr(10).join(rows)}

## The controls

{grid([(name, table[f"{name}-control"]) for name in paired], COLUMNS, answers, "greedy / T = 1")}
"""
    of = measured(seeds, {found["data"]: answers["gold"]}, base=found["base"], town=found["town"])
    (DOCS / "all-methods.md").write_text(with_head(text, of), encoding="utf-8")


if __name__ == "__main__":
    main()
