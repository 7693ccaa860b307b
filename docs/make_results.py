"""Writes docs/results.md and the table in README.md from what benchmarks/town_bars.py measured.

python docs/make_results.py runs/bars/bars.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from alignlab.text.figures import with_spread

DOCS = Path(__file__).parent
SEEDS = len(json.loads(Path(sys.argv[1]).read_text())["seeds"]) if len(sys.argv) > 1 else 0
ROWS = (
    ("base", "base"),
    ("sft", "SFT"),
    ("dpo", "DPO"),
    ("best-of-n", "best of 4"),
    ("ppo", "PPO"),
    ("unpenalised", "PPO, no penalty"),
)
CONTROLS = (
    ("clean", "SFT on clean demonstrations: what the model can do"),
    ("more-sft", "as many more SFT steps as PPO makes"),
    ("dpo-random", "DPO on random preferences"),
    ("ppo-random", "PPO on a reward model of random preferences"),
    ("ppo-constant", "PPO on a constant reward"),
    ("ppo-flattered-unpenalised", "PPO, no penalty, taught by people who love flattery"),
)
COLUMNS = (
    ("gold", "gold, greedy"),
    ("gold_sampled", "gold, T = 1"),
    ("gain greedy", "gain, greedy"),
    ("gain sampled", "gain, T = 1"),
    ("win_rate_vs_sft", "wins against SFT"),
    ("compliance_with_harm", "helps with harm"),
    ("over_refusal", "refuses look-alikes"),
    ("known_facts", "known facts"),
    ("instruction_format", "form and end"),
    ("kl_from_sft", "KL from SFT"),
)


def cell(table: dict, name: str, digits: int = 3) -> str:
    row = table.get(name)
    if row is None:
        return ""
    return with_spread(row, digits) + (f" ({row['n']} seeds)" if row["n"] < SEEDS else "")


def grid(table: dict, rows: tuple) -> str:
    head = "| | " + " | ".join(title for _, title in COLUMNS) + " |\n|" + "---|" * (len(COLUMNS) + 1)
    lines = [
        f"| {title} | " + " | ".join(cell(table, f"{name}: {key}") for key, _ in COLUMNS) + " |"
        for name, title in rows
    ]
    return "\n".join([head, *lines])


def main() -> None:
    found = json.loads(Path(sys.argv[1]).read_text())
    table, seeds = found["table"], found["seeds"]
    many = f"{len(seeds)} seeds ({', '.join(map(str, seeds))})"
    reward = "\n".join(
        f"| {title} | {cell(table, f'reward: {key}')} |"
        for key, title in (
            ("accuracy", "held-out pairs, the annotator's own labels"),
            ("ceiling", "the best anybody could do on those labels"),
            ("length_floor", "preferring the longer answer"),
            ("gold_accuracy", "held-out pairs against gold"),
            ("gold_accuracy_big", "those that differ by at least one half"),
            ("ece", "expected calibration error"),
        )
    )
    sizes = sorted(
        {
            int(name.split(":")[0].removeprefix("best of"))
            for name in table
            if name.startswith("best of") and name.endswith("gold")
        }
    )
    curve = "\n".join(
        f"| {n} | {cell(table, f'best of {n:>2}: proxy')} | {cell(table, f'best of {n:>2}: gold')} |"
        for n in sizes
    )
    splits = "\n".join(
        (
            f"| {title} | {cell(table, f'{name}: gold, entity held out')} | "
            f"{cell(table, f'{name}: gold, phrasing held out')} |"
        )
        for name, title in (*ROWS, CONTROLS[0])
    )
    hacked = "\n".join(
        f"| {title} | {cell(table, f'{name}: proxy first')} | {cell(table, f'{name}: proxy last')} |"
        for name, title in (
            ("ppo-unpenalised", "fair annotator"),
            ("ppo-flattered-unpenalised", "annotator who loves flattery"),
        )
    )
    (DOCS / "results.md").write_text(
        f"""# What is claimed, measured

`python benchmarks/town_bars.py` on two cores, {many}: mean ± standard deviation over seeds, each on 1,000
held-out prompts by the gold judge. A gain is the paired difference to the SFT model of the same seed. Made by
`python docs/make_results.py`.

## The pipeline

{grid(table, ROWS)}

The base model, sampled, answers a bare question in its first sentence
{cell(table, "base: bare question answered")} of the time. Its help with harm is measured in an interview, the
form in which a base model answers. Best of 4 is one pick among samples at temperature 0.8, set against SFT
greedy and SFT at temperature 1; the first of the four, a random pick, has
{cell(table, "best of 4: gold of one")}, so the pick itself is worth
{cell(table, "best of 4: gain over one")}.

## The controls

{grid(table, CONTROLS)}

A constant reward gains {cell(table, "ppo-constant: gain greedy")} greedy and
{cell(table, "ppo-constant: gain sampled")} at temperature 1. It is no pure nothing: its value model starts
from the reward model of random preferences, and differences of values act as a reward of their own until the
value model has forgotten them, in whatever direction chance gave it.

Mere sharpening: SFT sampled at the temperature at which its entropy is PPO's
({cell(table, "sharpened sft: temperature", 2)}) gains {cell(table, "sharpened sft: gain sampled")} over SFT
at temperature 1. That much of a gain at temperature 1 is no preference learnt; PPO is
{cell(table, "ppo over sharpened sft")} above it.

## Where the held-out prompts come from

| | held-out entities | held-out phrasings |
|---|---|---|
{splits}

## The reward model

| | |
|---|---|
{reward}

## Best of N

| N | proxy | gold |
|---|---|---|
{curve}

## No KL penalty

| | proxy at the start | proxy at the end |
|---|---|---|
{hacked}

The gold scores of both are in the tables above.
""",
        encoding="utf-8",
    )
    readme = DOCS.parent / "README.md"
    text = readme.read_text(encoding="utf-8")
    begin, end = "<!-- results -->", "<!-- /results -->"
    short = COLUMNS[:2] + COLUMNS[4:8]
    head = "| | " + " | ".join(title for _, title in short) + " |\n|" + "---|" * (len(short) + 1)
    lines = [
        f"| {title} | " + " | ".join(cell(table, f"{name}: {key}", 2) for key, _ in short) + " |"
        for name, title in ROWS
    ]
    body = "\n".join(
        [begin, *[head, *lines], f"\nMean ± spread over {many}, 1,000 held-out prompts each.", end]
    )
    readme.write_text(text[: text.index(begin)] + body + text[text.index(end) + len(end) :], encoding="utf-8")


if __name__ == "__main__":
    main()
