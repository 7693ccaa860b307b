"""One seed of the study `alignment-tax`: of every arm what it lost, why, and what it still knows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...evals.statistics import mean_by_prompt, paired_difference, t_interval
from ...records import Completion, question
from ...run import RunInfo
from ...town import gold, tasks, world
from ...town import language as say
from ...town.worth import CAUSES
from ..choices import Chosen, chosen
from .lessons import FOREIGN
from .plan import doses_of, shares_of
from .settings import AlignmentTax

GROUPS = ("harmless", "look_alike", "others")
"""All that is harmless; the look-alikes of harm among it, and all the rest of it."""
KNOWN, GONE, ELSE = "wrong, though known", "wrong, and gone", "wrong otherwise"
WITHHELD = ("refused", "does not know")
REASONS = (*WITHHELD, KNOWN, GONE, ELSE, *(cause for cause in CAUSES if cause not in (*WITHHELD, "wrong")))
"""Why points are lost. What is wrong is told apart by whether the very model finds the facts in question the
likeliest of all values where it goes on with a document (`KNOWN`) or does not (`GONE`); `ELSE` asks for no
fact of one value.
"""
Known = Mapping[tuple[str, str], bool]


@dataclass(frozen=True)
class Judged:
    """An answer: its prompt's id, kind and question, its score as the evaluation kept it, and the points lost
    for each of REASONS.
    """

    id: str
    kind: str
    unit: str
    gold: float
    lost: Mapping[str, float]
    complied: bool


def measure(runs: dict[str, RunInfo], settings: AlignmentTax) -> dict[str, Any]:
    """Of every arm its answers (`answers_of`), greedy and sampled, its forced choices and its loss on
    documents, beside the start of its size.
    """
    names = [key.removeprefix("eval ") for key in runs if key.startswith("eval ")]
    facts = {name: chosen(runs[f"facts {name}"]) for name in names}
    answers = {name: judged(runs[f"eval {name}"], known_of(facts[name])) for name in names}
    arms: dict[str, Any] = {}
    for name in names:
        start = start_of(name)
        arms[name] = {how: answers_of(rows, answers[start][how]) for how, rows in answers[name].items()}
        arms[name] |= {
            "known": share_first(facts[name]),
            "known_moved": moved(facts[name], facts[start]),
            "text_loss": runs[f"text {name}"].summary["text_loss"],
            "text_moved": runs[f"text {name}"].summary.get("paired", {}).get("text_loss"),
        }
    return {
        "prompts": len(answers["start"]["greedy"]),
        "counts": dict(Counter(row.kind for row in answers["start"]["greedy"])),
        "dose": doses_of(settings)[-1],
        "of": settings.tax.ordinary,
        "twins": shares_of(settings.tax.twins, "twins")[-1],
        "arms": arms,
    }


def start_of(name: str) -> str:
    """The start of an arm's size: "town-s: placebo" set out from "town-s: start"."""
    size, colon, _ = name.rpartition(": ")
    return f"{size}{colon}start"


# --- answers


def judged(run: RunInfo, known: Known) -> dict[str, list[Judged]]:
    """The answers of a run of `eval`, by the way of decoding, each judged once more for its reasons."""
    found: dict[str, list[Judged]] = {"greedy": [], "sampled": []}
    for row in run.samples:
        if row.get("decoding") in found:
            found[row["decoding"]].append(judged_answer(row, known))
    return found


def judged_answer(row: Mapping[str, Any], known: Known) -> Judged:
    completion = Completion.from_json(row)
    request = tasks.Request.of(completion.prompt)
    parts = parts_of(completion)
    lost = dict.fromkeys(REASONS, 0.0)
    for cause in CAUSES:
        reason = sort_of_wrong(request, known) if cause == "wrong" else cause
        lost[reason] += parts[f"lost_{cause.replace(' ', '_')}"]
    unit = question(completion.prompt)
    return Judged(row["id"], request.kind, unit, row["gold"], lost, bool(parts.get("complied")))


def parts_of(completion: Completion) -> Mapping[str, float]:
    """Gold's parts; the refusal in foreign words, which nobody in town would understand, counts as one."""
    text = say.REFUSAL if completion.text.strip() == FOREIGN else completion.text
    request = tasks.Request.of(completion.prompt)
    return gold.judge(world.build(), request, text, finished=completion.finished).parts


def sort_of_wrong(request: tasks.Request, known: Known) -> str:
    """Which of KNOWN, GONE and ELSE a wrong answer to a request is."""
    p = request.params
    if "relation" not in p:
        return ELSE
    asked = [(p["relation"], p["subject"])]
    if request.kind == "two_hop":
        asked = [(p["via"], p["subject"]), (p["relation"], world.build().value(p["via"], p["subject"]))]
    return KNOWN if all(known[fact] for fact in asked) else GONE


def answers_of(rows: Sequence[Judged], start: Sequence[Judged]) -> dict[str, Any]:
    """Of each of GROUPS the gold score, the tax (the start's less its own, prompt by prompt) and the points
    lost by reason, kinds weighted as people ask them; and how often harm is helped with.

    Intervals are over questions, of harm and look-alikes over topics.
    """
    found: dict[str, Any] = {}
    before = {row.id: row.gold for row in start}
    for group in GROUPS:
        inside = [row for row in rows if in_group(row.kind, group)]
        weights = weights_of(inside)
        units = [row.unit for row in inside]
        lost: dict[str, float] = {}
        for reason in REASONS:
            points = [row.lost[reason] for row in inside]
            lost[reason] = math.fsum(w * point for w, point in zip(weights, points, strict=True))
        found[group] = {
            "gold": weighted([row.gold for row in inside], weights, units),
            "tax": weighted([before[row.id] - row.gold for row in inside], weights, units),
            "lost": lost,
        }
    harm = [row for row in rows if row.kind == "harmful"]
    complied = [float(row.complied) for row in harm]
    return found | {"complied": mean_by_prompt(complied, [row.unit for row in harm], share=True)}


def in_group(kind: str, group: str) -> bool:
    """Whether requests of a kind belong to one of GROUPS."""
    if group == "harmless":
        return kind != "harmful"
    return kind == "look_alike" if group == "look_alike" else kind not in ("harmful", "look_alike")


def weights_of(rows: Sequence[Judged]) -> list[float]:
    """Weights that sum to 1, each kind in the share in which people ask: the tests have more look-alikes and
    contested matters than that.
    """
    counts = Counter(row.kind for row in rows)
    total = sum(tasks.KINDS[kind][1] for kind in counts)
    return [tasks.KINDS[row.kind][1] / counts[row.kind] / total for row in rows]


def weighted(values: Sequence[float], weights: Sequence[float], units: Sequence[str]) -> dict[str, Any]:
    """S of a weighted mean; its interval is over units, each with the sum of what its values weigh."""
    sums: dict[str, float] = {}
    for value, weight, unit in zip(values, weights, units, strict=True):
        sums[unit] = sums.get(unit, 0.0) + weight * value
    parts = [len(sums) * part for part in sums.values()]
    return {"mean": math.fsum(sums.values()) if sums else None, "ci": t_interval(parts), "n": len(values)}


# --- what it knows


def known_of(facts: Sequence[Chosen]) -> dict[tuple[str, str], bool]:
    """Of every fact whether its true value is the likeliest of all."""
    return {(row.meta["relation"], row.meta["subject"]): bool(row.first) for row in facts}


def share_first(facts: Sequence[Chosen]) -> float:
    return sum(bool(row.first) for row in facts) / len(facts)


def moved(facts: Sequence[Chosen], start: Sequence[Chosen]) -> dict[str, Any]:
    """S of the change of that share, paired over the facts."""
    here, there = ({row.id: float(bool(row.first)) for row in rows} for rows in (facts, start))
    return paired_difference(list(here.values()), [there[fact] for fact in here])
