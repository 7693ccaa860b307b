"""Writes docs/all-methods.md from what benchmarks/methods.py measured.

python docs/make_methods.py runs/methods/methods.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from alignlab.text.figures import with_spread

DOCS = Path(__file__).parent
COLUMNS = (
    ("gold", "gold, greedy", 3),
    ("gain, greedy", "gain, greedy", 3),
    ("gain, sampled", "gain, T = 1", 3),
    ("win_rate_vs_sft", "wins against SFT", 3),
    ("proxy", "proxy", 2),
    ("kl", "KL, nats", 2),
    ("compliance_with_harm", "helps with harm", 3),
    ("over_refusal", "refuses look-alikes", 3),
    ("known_facts", "known facts", 3),
    ("mean_length", "tokens", 1),
    ("cpu_seconds", "processor seconds", 0),
)


def cell(row: dict, key: str, digits: int) -> str:
    found = row.get(key)
    return "" if found is None else with_spread(found, digits)


def grid(table: dict, names: list[str], columns: tuple) -> str:
    head = "| | " + " | ".join(title for _, title, _ in columns) + " |\n|" + "---|" * (len(columns) + 1)
    return "\n".join(
        [
            head,
            *(
                f"| {name.removesuffix('-control')} | "
                + " | ".join(cell(table[name], key, digits) for key, _, digits in columns)
                + " |"
                for name in names
            ),
        ]
    )


def main() -> None:
    found = json.loads(Path(sys.argv[1]).read_text())
    table, seeds = found["table"], found["seeds"]
    methods = [name for name in table if not name.endswith("-control")]
    paired = [name for name in methods if f"{name}-control" in table]
    rows = []
    for name in paired:
        ours, theirs = (
            [found["by_seed"][str(seed)][which].get("gain, greedy") for seed in seeds]
            for which in (name, f"{name}-control")
        )
        known = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
        rows.append(
            f"| {name} | {cell(table[name], 'gain, greedy', 3)} | "
            f"{cell(table[f'{name}-control'], 'gain, greedy', 3)} | {cell(table[name], 'gain, sampled', 3)} "
            f"| "
            f"{cell(table[f'{name}-control'], 'gain, sampled', 3)} | {sum(a > b for a, b in known)} of "
            f"{len(known)} |"
        )
    text = f"""# All methods, measured

`python benchmarks/methods.py` on the town, seeds {", ".join(map(str, seeds))}: mean ± standard deviation over
{len(seeds)} seeds, {found["prompts"]} held-out prompts each, by the gold judge. Every method starts from the
same SFT model; offline methods learn from the same rankings, on-policy methods against the same reward model.
A gain is the paired difference to SFT. Proxy is the reward model's score of the answers at temperature 1, in
its own deviations; KL is that from SFT, nats per completion. Processor seconds are those of the training
stage, one thread. The settings of each method stand in `benchmarks/methods.py`; they were tried on seed 0 by
hand, not searched, so a small difference between two methods is no ranking of them. Help with harm, refusals
and facts are read in the saved answers by the judge as it is when the table is made. Made by
`python docs/make_methods.py`.

{grid(table, methods, COLUMNS)}

## Against its control

The control of a method is the same method on the same completions ranked at random or, on-policy, on a reward
model of those random rankings. A random ranking still has the crowd's answers in it, so that a method which
also imitates (ORPO, rejection sampling) moves; a reward model of random rankings is a strong and arbitrary
taste, and policies that chase it get lost (PPO most of all). Best of 4 samples at temperature 0.8 and stands
in both columns: its gain at T = 1 holds that sharpening, as the control shows.

| | gain, greedy | control | gain, T = 1 | control | better than its control in |
|---|---|---|---|---|---|
{chr(10).join(rows)}

## The controls

{grid(table, [f"{name}-control" for name in paired], COLUMNS)}
"""
    (DOCS / "all-methods.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
