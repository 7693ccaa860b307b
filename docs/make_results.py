"""Writes docs/results.md and the table in README.md from what benchmarks/town_bars.py measured.

python docs/make_results.py runs/bars/bars.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from alignlab.evals.statistics import wilson
from alignlab.text.figures import with_spread
from alignlab.town.exam import measured, with_head

DOCS = Path(__file__).parent
ROWS = (("base", "base"), ("sft", "SFT"), ("dpo", "DPO"), ("ppo", "PPO"), ("unpenalised", "PPO, no penalty"))
CONTROLS = (
    ("clean", "SFT on clean demonstrations: what the model can do"),
    ("more-sft", "as many more SFT steps as PPO makes"),
    ("dpo-random", "DPO on random preferences"),
    ("ppo-random", "PPO on a reward model of random preferences"),
    ("ppo-constant", "PPO on a constant reward"),
    ("ppo-flattered-unpenalised", "PPO, no penalty, taught by people who love flattery"),
)
SCORES = (
    (("gold", "gold_sampled"), "gold"),
    (("gain greedy", "gain sampled"), "gain over SFT"),
    (("win_rate_vs_sft",), "wins against SFT, T = 1, ties half"),
    (("ties_vs_sft",), "of these ties"),
    (("kl_from_sft",), "KL from SFT, T = 1"),
)
SAFETY = (
    ("compliance_with_harm", "helps with harm"),
    ("over_refusal", "refuses look-alikes"),
    ("known_facts", "known facts"),
    ("instruction_format", "form and end"),
)
PICKS = (("", "best of 4"), ("_one", "one sample at T = 0.8"))


def cell(table: dict, *names: str, digits: int = 3) -> str:
    """A figure's mean and spread over seeds, or that of two ways of decoding with a stroke between them."""
    rows = [table[name] for name in names if name in table]
    return " / ".join(with_spread(row, digits) for row in rows)


def markdown(heads: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def scores(table: dict, models: tuple, digits: int = 3) -> str:
    rows = []
    for name, title in models:
        cells = [cell(table, *(f"{name}: {key}" for key in keys), digits=digits) for keys, _ in SCORES]
        rows.append([title, *cells])
    return markdown(["greedy / T = 1", *(title for _, title in SCORES)], rows)


def safety(table: dict, models: tuple, answers: dict, columns: tuple = SAFETY, digits: int = 3) -> str:
    rows = []
    for name, title in models:
        pairs = [(f"{name}: {key}", f"{name}: {key}_sampled") for key, _ in columns]
        rows.append([title, *(cell(table, *pair, digits=digits) for pair in pairs)])
    return markdown(["greedy / T = 1", *heads(columns, answers)], rows)


def heads(columns: tuple, answers: dict) -> list[str]:
    return [f"{title} (n = {answers[key]:,})" for key, title in columns]


def picks(table: dict, answers: dict, columns: tuple, digits: int = 3) -> str:
    """Best of 4 beside its control: one pick at temperature 0.8 is neither greedy nor at temperature 1."""
    rows = []
    for way, title in PICKS:
        cells = [cell(table, f"best-of-n: {key}{way}", digits=digits) for key, _ in columns]
        names = ("gain picked", "win_rate_vs_sft", "ties_vs_sft") if not way else ()
        more = [cell(table, f"best-of-n: {name}", digits=digits) for name in names] or ["", "", ""]
        rows.append([title, *cells, *more])
    more = ["gain over one sample", "wins against one sample, ties half", "of these ties"]
    return markdown(["", *heads(columns, answers), *more], rows)


def wide(n: int) -> float:
    """Half the width of the interval of a share of .05 of n."""
    low, high = wilson(0.05 * n, n)
    return (high - low) / 2


def main() -> None:
    found = json.loads(Path(sys.argv[1]).read_text())
    table, seeds, answers = found["table"], found["seeds"], found["answers"]
    many = f"{len(seeds)} seeds ({', '.join(map(str, seeds))})"
    asked = f"`{found['data']}` ({answers['gold']:,} held-out questions)"
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
    ways = (("entity", "asked in a known way"), ("phrasing", "in a new phrasing as well"))
    splits = []
    for name, title in (*ROWS, CONTROLS[0]):
        pairs = [(f"{name}: gold, {split}", f"{name}: gold_sampled, {split}") for split, _ in ways]
        splits.append([title, *(cell(table, *pair) for pair in pairs)])
    split_table = markdown(["greedy / T = 1", *heads(ways, answers)], splits)
    hacked = "\n".join(
        f"| {title} | {cell(table, f'{name}: proxy first')} | {cell(table, f'{name}: proxy last')} |"
        for name, title in (
            ("ppo-unpenalised", "fair annotator"),
            ("ppo-flattered-unpenalised", "annotator who loves flattery"),
        )
    )
    gold = (("gold", "gold"),)
    page = f"""# What is claimed, measured

`python benchmarks/town_bars.py`, by the gold judge. Made by `python docs/make_results.py`.

- *Held out*: nobody is shown answering or refusing these questions, in whatever words, in the corpus, a
  demonstration or a comparison; half are asked in a way in which training asks other questions, half in a new
  phrasing as well ([the town](town.md)).
- *Chosen on*: `town:test` has other questions and phrasings than `{found["data"]}`; on the town's first
  version settings were chosen by seeds 0 to 2.
- *±* is the standard deviation over seeds, and a seed is everything from SFT to the evaluation's samples;
  what another base model or other questions would change is not in it. A share of n answers has in every
  seed an interval of its own, about ± {wide(answers["compliance_with_harm"]):.2f} for .05 of
  {answers["compliance_with_harm"]:,} (95 %, Wilson).
- *a / b*: greedy answers / answers at temperature 1. A gain is the paired difference to the SFT model of the
  same seed, decoded in the same way; in wins, at temperature 1, a tie counts half.

## The pipeline

{scores(table, ROWS)}

What is in it:

{safety(table, ROWS, answers)}

The base model, sampled, answers a bare question in its first sentence
{cell(table, "base: bare question answered")} of the time. Its help with harm is measured in an interview, the
form in which a base model answers.

Best of 4 is one pick among four samples of SFT at temperature 0.8, so it is neither greedy nor at temperature
1. Its control is one more sample at that temperature, which is a random pick: what is gained over that is the
picking alone, and none of it sharpening.

{picks(table, answers, gold + SAFETY)}

## The controls

{scores(table, CONTROLS)}

{safety(table, CONTROLS, answers)}

A constant reward gains {cell(table, "ppo-constant: gain greedy")} greedy and
{cell(table, "ppo-constant: gain sampled")} at temperature 1. It is no pure nothing: its value model starts
from the reward model of random preferences, and differences of values act as a reward of their own until the
value model has forgotten them, in whatever direction chance gave it.

Mere sharpening: SFT sampled at the temperature at which its entropy is PPO's
({cell(table, "sharpened sft: temperature", digits=2)}) gains
{cell(table, "sharpened sft: gain sampled")} over SFT at temperature 1. That much of a gain at
temperature 1 is no preference learned; PPO is {cell(table, "ppo over sharpened sft")} above it.

## By how the questions are asked

Gold of new questions:

{split_table}

## The reward model

| | |
|---|---|
{reward}

## Best of N

At temperature 1, on the first {found["curve_prompts"]} of the questions, by the unbiased estimate from 32
samples.

| N | proxy | gold |
|---|---|---|
{curve}

## No KL penalty

| | proxy at the start | proxy at the end |
|---|---|---|
{hacked}

The gold scores of both are in the tables above. The annotator who loves flattery ranks
{found["ranked_flattered"]:,} prompts, all others {found["ranked"]:,}.
"""
    of = measured(seeds, {found["data"]: answers["gold"]}, base=found["base"], town=found["town"])
    (DOCS / "results.md").write_text(with_head(page, of), encoding="utf-8")
    readme = DOCS.parent / "README.md"
    text = readme.read_text(encoding="utf-8")
    begin, end = "<!-- results -->", "<!-- /results -->"
    shown = (("gold", "gold"), *SAFETY[:3])
    body = "\n".join(
        [
            begin,
            safety(table, ROWS, answers, shown, digits=2),
            "",
            picks(table, answers, shown, digits=2),
            "",
            f"Mean ± spread over {many}, from SFT to evaluation, on {asked}, the town's version",
            f"{found['town']}; settings were chosen on `town:test`. A cell has the share of greedy answers /",
            "of those at temperature 1; best of 4 is one pick at temperature 0.8, set against one sample at",
            "that temperature. The base model's help with harm is that in an interview, the form in which it",
            "answers. Controls, and what ± does not cover: [docs/results.md](docs/results.md).",
            end,
        ]
    )
    readme.write_text(text[: text.index(begin)] + body + text[text.index(end) + len(end) :], encoding="utf-8")


if __name__ == "__main__":
    main()
