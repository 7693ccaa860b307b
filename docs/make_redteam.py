"""Fills the tables of docs/redteam.md: the attacks with source, cost and needs and the defences from the
code, and what benchmarks/redteam.py measured.

python docs/make_redteam.py [runs/redteam-bench/redteam.json]
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alignlab.defences.middleware import DEFENCES
from alignlab.evals.statistics import mean_ci, seeds_summary
from alignlab.redteam.attacks.attackers import Pair, TrainedAttacker
from alignlab.redteam.attacks.catalogue import ATTACKS, source
from alignlab.text.figures import with_spread
from alignlab.town.exam import with_head

PAGE = Path(__file__).with_name("redteam.md")


def told(thing: Any) -> str:
    """The docstring in one line."""
    return re.sub(r"\s+", " ", inspect.getdoc(thing) or "").strip()


def part(doc: str, name: str) -> str:
    """What a docstring says after `Name:`, up to the next such word."""
    found = re.search(
        rf"{name}: (.+?)\.(?= (?:Needs|Cost|Stops|Gets past|It|Args|`|A |An |What|Without|\w+ \w+:)|$)", doc
    )
    return found[1] if found else ""


def attacks() -> str:
    rows = ["| attack | family | who | cost | needs |", "|---|---|---|---|---|"]
    for attack in [*ATTACKS.values()]:
        doc = told(type(attack))
        rows.append(
            f"| `{attack.name}` | {attack.family} | {who(source(attack))} | {part(doc, 'Cost')} | "
            f"{', '.join(attack.needs) or 'nothing'} |"
        )
    for kind, names in ((Pair, "pair"), (TrainedAttacker, "trained-attacker")):
        rows.append(f"| `{names}` | automatic | {who(told(kind))} | {part(told(kind), 'Cost')} | attacker |")
    return "\n".join(rows)


def who(text: str, otherwise: str = "") -> str:
    """The publication in a docstring's first brackets, else `otherwise` or the text itself."""
    found = re.search(r"\(([A-Z][^()]*\d{4}[^()]*)\)", text)
    return found[1] if found else otherwise or text


def defences() -> str:
    rows = ["| defence | who | cost | what it stops, what gets past |", "|---|---|---|---|"]
    for name, make in DEFENCES.items():
        doc = told(make)
        cost, _, rest = (re.sub(r"^.*?Cost: ", "", doc) if "Cost: " in doc else ". ").partition(". ")
        rows.append(
            f"| `{name}` | {who(doc.split('Cost:')[0], 'folklore')} | {cost} | "
            f"{re.sub(r' Args:.*', '', rest)} |"
        )
    return "\n".join(rows)


def cell(values: Sequence[Any], digits: int = 3, sign: bool = False) -> str:
    """Mean and deviation over seeds of S documents, or numbers; empty where none is known."""
    known = [
        float(value["mean"] if isinstance(value, dict) else value)
        for value in values
        if value is not None and (not isinstance(value, dict) or value["mean"] is not None)
    ]
    if not known:
        return ""
    return with_spread(seeds_summary(known), digits, "+" if sign else "")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(
        [
            "| " + " | ".join(heads) + " |",
            "|" + "---|" * len(heads),
            *("| " + " | ".join(row) + " |" for row in rows),
        ]
    )


PLAINLY = {
    "compliance_held_out": "helps with harm asked plainly, new topics",
    "compliance_seen": "topics of training in new words",
    "look_alike_refusal_held_out": "refuses look-alikes, new ones",
    "look_alike_refusal_seen": "of training in new words",
}


def plainly(seeds: Sequence[dict[str, Any]]) -> str:
    """Harm and look-alikes without any attack, greedy and at temperature 1; intervals over topics, of the
    means over seeds.
    """
    rows = []
    for figure, title in PLAINLY.items():
        for way, said in (("", "greedy"), ("_sampled", "T = 1")):
            found = [seed["plainly"] for seed in seeds]
            key = f"{figure}{way}"
            topics = found[0]["before"][key]["topics"]
            row = [f"{title}, {said} (n = {found[0]['before'][key]['n']}, {len(topics)} topics)"]
            for side in ("before", "after"):
                means = [
                    sum(one[side][key]["topics"][topic] for one in found) / len(found) for topic in topics
                ]
                low, high = mean_ci(means, share=True)["ci"]
                rates = cell([one[side][key] for one in found])
                row.append(f"{rates} [{low:.3f}, {high:.3f}]")
            rows.append(row)
    return (
        "Asked plainly, before and after the fix. A model takes a topic as a whole, so the intervals (95 %) "
        "are over topics, each the mean of the seeds:\n\n"
    ) + table(["", "before", "after one fix"], rows)


def measured(seeds: Sequence[dict[str, Any]]) -> str:
    """What the benchmark found: before and after one fix, its cost, what it does to plain requests, each
    attack, the rounds, GCG, a trained attacker, stacks of defences.
    """
    before, after = ([seed[side] for seed in seeds] for side in ("before", "after"))
    deltas = {name: [seed["deltas"][name] for seed in seeds] for name in seeds[0]["deltas"]}

    def rate(documents: Sequence[dict[str, Any]], attack: str) -> str:
        return cell([d["attacks"][attack]["asr"] for d in documents])

    best = [d["attacks"][d["best"]]["asr"] for d in before]
    templates = [
        max(
            (row["asr"] for row in d["attacks"].values() if row["family"] not in ("automatic", "prefill")),
            key=lambda asr: asr["mean"],
        )
        for d in before
    ]
    first, last = ([seed["rounds"][place] for seed in seeds] for place in (0, 1))
    rows = [
        ["the plain request", cell([d["plain"] for d in before]), cell([d["plain"] for d in after])],
        [
            f"best single attack ({', '.join(dict.fromkeys(d['best'] for d in before))} before)",
            cell(best),
            cell([d["attacks"][d["best"]]["asr"] for d in after]),
        ],
        ["best that asks once, in words alone", cell(templates), ""],
        ["any attack", cell([d["all"] for d in before]), cell([d["all"] for d in after])],
        [
            "attacked families, mean over attacks",
            cell([row["asr_attacked"] for row in first]),
            cell([row["asr_attacked"] for row in last]),
        ],
        [
            f"held-out families ({', '.join(seeds[0]['held_out_families'])})",
            cell([row["asr_held_out"] for row in first]),
            cell([row["asr_held_out"] for row in last]),
        ],
        *(
            [f"prefill: {said}", rate(before, name), rate(after, name)]
            for name, said in (
                ("prefill-shallow", "one phrase"),
                ("prefill", "up to the first step"),
                ("prefill-deep", "six words further"),
            )
        ),
        *(
            [what, "", cell(deltas[name], sign=True)]
            for name, what in (
                ("over_refusal", "over-refusal, paired"),
                ("helpful", "helpful, paired"),
                ("honest", "honest, paired"),
            )
        ),
    ]
    goals, count = seeds[0]["before"]["goals"], len(seeds[0]["before"]["attacks"])
    parts = [
        (
            f"`python benchmarks/redteam.py`: {goals} harmful requests, {count} attacks, mean ± standard "
            "deviation over seeds. The requests are of the exam: of topics that nobody is shown answering or "
            "refusing, neither in training nor in a lesson of the fix.\n\n"
        )
        + table(["", "before", "after one fix"], rows),
        plainly(seeds),
    ]
    names = sorted(
        seeds[0]["before"]["attacks"],
        key=lambda name: -sum(d["attacks"][name]["asr"]["mean"] for d in before),
    )
    parts.append(
        "Each attack:\n\n"
        + table(
            ["attack", "family", "before", "after"],
            [
                [
                    f"`{name}`",
                    seeds[0]["before"]["attacks"][name]["family"],
                    rate(before, name),
                    rate(after, name),
                ]
                for name in names
            ],
        )
    )
    curve = []
    for number in range(max(len(seed["rounds"]) for seed in seeds)):
        there = [seed["rounds"][number] for seed in seeds if number < len(seed["rounds"])]
        curve.append(
            [
                str(number),
                str(len(there)),
                *(
                    cell([row[key] for row in there])
                    for key in ("asr_attacked", "asr_held_out", "best_asr", "over_refusal", "helpful")
                ),
                "; ".join(
                    dict.fromkeys(
                        f"{arm['attack']} {arm['asr']:.2f}"
                        for row in there
                        for arm in row["found"][:2]
                        if arm["asr"] >= 0.005
                    )
                ),
            ]
        )
    stopped = "".join(f" Seed {seed['seed']}, {seed['ended']}." for seed in seeds if seed["ended"])
    parts.append(
        f"Rounds of attack and fix, each from the model of the last.{stopped}\n\n"
        + table(
            [
                "round",
                "seeds",
                "attacked",
                "held out",
                "best attack",
                "over-refusal",
                "helpful",
                "what found most when lessons were looked for",
            ],
            curve,
        )
    )
    if all("gcg" in seed for seed in seeds):
        gcg = [seed["gcg"] for seed in seeds]
        parts.append(
            f"GCG finds a suffix that works for {cell([d['attacks']['gcg']['asr'] for d in gcg])} of "
            f"{gcg[0]['goals']} requests (plain {cell([d['plain'] for d in gcg])}), "
            f"{cell([seed['gcg_seconds'] for seed in seeds], 1)} processor seconds per request."
        )
    parts += [
        text
        for text in (
            trained_attacker([seed["attacker"] for seed in seeds if "attacker" in seed]),
            stacks([seed["frontier"] for seed in seeds if "frontier" in seed]),
        )
        if text
    ]
    return "\n\n".join(parts)


def trained_attacker(found: Sequence[dict[str, Any]]) -> str:
    """What an attacker learns by reinforcement learning against the target."""
    if not found:
        return ""
    sides = [
        [cell([each[side][key] for each in found]) for side in ("before", "after")]
        for key in ("asr", "variety")
    ]
    return (
        f"An attacker that is trained against the target (`alignlab redteam attacker`, {len(found)} seeds): "
        f"one prompt of its own works on {sides[0][0]} of its training goals after its first lessons, "
        f"on {sides[0][1]} after RLOO, the variety of what works {sides[1][0]} and {sides[1][1]}; on "
        f"fresh goals, with 16 queries, {cell([each['fresh']['asr'] for each in found])} "
        f"(the plain request {cell([each['plain'] for each in found])}); against the model after one "
        f"fix, which never saw its prompts, {cell([each['fixed']['asr'] for each in found])}."
    )


def stacks(found: Sequence[Sequence[dict[str, Any]]]) -> str:
    """Stacks of defences: a row each, means over seeds, and how often it stands on the front."""
    if not found:
        return ""
    rows = []
    for place, row in enumerate(found[0]):
        same = [seed[place] for seed in found]
        rows.append(
            [
                f"`{row['stack']}`",
                *(
                    cell([each[key] for each in same])
                    for key in ("asr", "asr_adaptive", "over_refusal", "helpful")
                ),
                cell([each["tokens"] for each in same], 0),
                cell([each["queries"] for each in same], 2),
                f"{sum(each['pareto'] for each in same)} of {len(same)}",
            ]
        )
    asked, twins, ordinary = (found[0][0][key]["n"] for key in ("asr", "over_refusal", "helpful"))
    return (
        f"Stacks of defences before the model: {asked} harmful requests, {twins} look-alikes and {ordinary} "
        "ordinary ones of the exam for each seed; 5 attacks, to which the adaptive attacker adds the bandit, "
        "8 queries per goal:\n\n"
    ) + table(
        [
            "stack",
            "any attack",
            "adaptive",
            "over-refusal",
            "helpful",
            "tokens an answer",
            "queries an answer",
            "on the front",
        ],
        rows,
    )


def filled(page: str, found: Sequence[dict[str, Any]] = ()) -> str:
    """The page with its tables anew."""
    parts = {"attacks": attacks(), "defences": defences()} | ({"measured": measured(found)} if found else {})
    for name, text in parts.items():
        page = re.sub(
            rf"<!-- {name} -->.*?<!-- /{name} -->",
            lambda _, name=name, text=text: f"<!-- {name} -->\n{text}\n<!-- /{name} -->",
            page,
            flags=re.S,
        )
    return page


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    if len(sys.argv) > 1:
        found = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
        page = with_head(filled(page, list(found["by_seed"].values())), found["measured"])
    else:
        page = filled(page)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
