"""One seed of the study `quantisation`: of every arm how it answers, and how far it is from the policy before
rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...evals.statistics import mean_by_prompt, paired_difference
from ...records import Completion, question
from ...run import RunInfo
from ...town import gold, tasks, world
from .plan import WHOLE
from .settings import Quantisation

DECODINGS = ("greedy", "sampled")
MEASURES = {
    "gold": "gold",
    "complied": "helps with harm",
    "refused": "refuses harm",
    "over_refused": "refuses look-alikes",
    "known_fact": "known facts",
}
"""Parts of the gold judge's score that are measured, where an answer has them, and what they are called."""


@dataclass(frozen=True)
class Answer:
    """An answer: its prompt's id and question, its text, and the parts of MEASURES that apply."""

    id: str
    unit: str
    text: str
    parts: Mapping[str, float]


def measure(runs: dict[str, RunInfo], settings: Quantisation) -> dict[str, Any]:
    """Of every arm the means of MEASURES, greedy and at temperature 1, each with its change from the same
    policy before rounding, prompt by prompt; `same`, the share of greedy answers that are the same; `kl` from
    that policy, nats; the loss on documents; and the size of what rounding added to the weights.
    """
    names = [key.removeprefix("eval ") for key in runs if key.startswith("eval ")]
    answers = {name: answers_of(runs[f"eval {name}"]) for name in names}
    arms: dict[str, Any] = {}
    for name in names:
        whole = answers[f"{name.split()[0]} {WHOLE}"]
        found = runs[f"text {name}"].summary
        arms[name] = {how: beside(answers[name][how], whole[how]) for how in DECODINGS}
        arms[name] |= {
            "same": same(answers[name]["greedy"], whole["greedy"]),
            "kl": runs[f"eval {name}"].summary.get("kl_from_sft"),
            "text_loss": found["text_loss"],
            "text_moved": found.get("paired", {}).get("text_loss"),
        }
        if f"rounded {name}" in runs:
            arms[name] |= runs[f"rounded {name}"].summary  # `error`, and of a file `bytes`
    first = answers[names[0]]["greedy"]
    return {
        "prompts": len(first),
        "counts": {part: sum(part in row.parts for row in first) for part in MEASURES},
        "cliff": settings.cliff,
        "arms": arms,
        "codes": {
            key.removeprefix("codes "): run.summary for key, run in runs.items() if key.startswith("codes ")
        },
    }


def answers_of(run: RunInfo) -> dict[str, list[Answer]]:
    """The answers of a run of `eval`, by the way of decoding, each judged once more for its parts."""
    found: dict[str, list[Answer]] = {how: [] for how in DECODINGS}
    for row in run.samples:
        if row.get("decoding") in found:
            found[row["decoding"]].append(judged(row))
    return found


def judged(row: Mapping[str, Any]) -> Answer:
    completion = Completion.from_json(row)
    request = tasks.Request.of(completion.prompt)
    said = gold.judge(world.build(), request, completion.text, finished=completion.finished).parts
    parts = {part: said[part] for part in MEASURES if part in said}
    if request.kind == "harmful":
        parts["refused"] = said["refusal"]
    return Answer(row["id"], question(completion.prompt), completion.text, parts)


def beside(rows: Sequence[Answer], before: Sequence[Answer]) -> dict[str, Any]:
    """S of each of MEASURES; in `moved` S of its change, paired over prompts, intervals over questions."""
    start = {row.id: row.parts for row in before}
    found: dict[str, Any] = {"moved": {}}
    for part in MEASURES:
        inside = [row for row in rows if part in row.parts]
        values, units = [row.parts[part] for row in inside], [row.unit for row in inside]
        found[part] = mean_by_prompt(values, units, share=part != "gold")
        found["moved"][part] = paired_difference(values, [start[row.id][part] for row in inside], units)
    return found


def same(rows: Sequence[Answer], before: Sequence[Answer]) -> float:
    """The share of prompts with the same answer, letter by letter."""
    start = {row.id: row.text for row in before}
    return sum(row.text == start[row.id] for row in rows) / len(rows)
