"""What the page says of Constitutional AI: the chains, the labels and their calibration, and where each model
stands between help and harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..records import Chain, read_jsonl
from ..run import RunInfo
from ..text.figures import with_interval
from . import charts
from .words import behind, both_ways

EXAMPLES = 6
HARM = {
    "compliance_seen": "helps with harm, seen topics",
    "compliance_held_out": "held-out topics",
    "look_alike_refusal_seen": "refuses look-alikes, seen",
    "look_alike_refusal_held_out": "held-out",
    "evasive": "refusals with neither reason nor alternative",
}
"""Figures of the town's topics with the heads of their columns; each has one at temperature 1 beside it."""


def sections(runs: Mapping[str, RunInfo], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """One section for each of the three that the runs have something of. `names`: how models are called."""
    return [section for section in (chains(runs), labels(runs), plane(runs, names)) if section]


def lead(evals: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> list[str]:
    """What changed from the helpful-only model on, in a sentence for each figure; nothing if there is no such
    model. `evals`: the summaries by model.
    """
    path = [name for name in ("helpful", "sl_cai", "rl_cai") if name in evals]
    if len(path) < 2 or path[0] != "helpful":
        return []

    labels = {
        "compliance_with_harm": "Help with harmful requests",
        "over_refusal": "refusals of their harmless look-alikes",
        "helpful": "helpfulness",
    }
    parts = []
    for figure, label in labels.items():
        having = [name for name in path if evals[name].get(figure)]
        if having:
            values = ", ".join(f"{both_ways(evals[name], figure)} ({names[name]})" for name in having)
            parts.append(f"{label}: {values}")
    return ["; ".join(parts) + " (greedy answers / answers at temperature 1)."] if parts else []


def chains(runs: Mapping[str, RunInfo]) -> dict[str, Any] | None:
    """Drafts, critiques, revisions: how many, what fired, what was dropped, and some to read."""
    info = next((i for i in runs.values() if i.stage == "revise"), None)
    if info is None:
        return None
    s = info.summary
    gold = s.get("gold") or {}
    dropped = "".join(f"; {count} dropped: {reason}" for reason, count in s["reasons"].items())
    text = [
        f"{s['chains']} drafts were criticised and revised under {len(s['constitution']['principles'])} "
        f"principles of the constitution {s['constitution']['name']} "
        f"({s['constitution']['digest']}); {rate(s['kept'])} of the chains are kept{dropped}."
    ]
    if gold:
        text.append(
            f"Drafts help with harm in {rate(gold['compliance']['drafts'])} of the harmful requests, "
            f"revisions in {rate(gold['compliance']['revisions'])}; they refuse "
            f"{rate(gold['refused_look_alike']['drafts'])} and "
            f"{rate(gold['refused_look_alike']['revisions'])} of the harmless look-alikes."
        )
    if "critiques_right" in gold:
        text.append(
            "Critiques find something exactly where the principle is broken in "
            f"{rate(gold['critiques_right'])}; revisions keep the principle that was broken in "
            f"{rate(gold['revisions_right'])}."
        )
    by_round = {f"round {turn}": mean(value) for turn, value in enumerate(s["fired_by_round"], 1)}
    plots = [
        charts.captioned(
            charts.bars(
                {name: mean(value) for name, value in s["fired_by_principle"].items()},
                title="Critiques that found something, by principle",
                x="share",
                middle=1.0,
            ),
            (
                "Of the times that a principle was drawn. One that never fires decides nothing here "
                "(`alignlab constitution lint --chains`)."
            ),
        ),
        charts.captioned(
            charts.bars(by_round, title="Critiques that found something, by round", x="share", middle=1.0),
            "What is mended needs no second critique.",
        ),
    ]
    return {
        "title": "Critique and revision",
        "text": text,
        "charts": plots,
        "examples": _examples(info.path / "data" / "chains.jsonl"),
        "examples_title": "Draft → revision, and the critique that fired",
    }


def _examples(file: Path) -> list[dict[str, Any]]:
    """The first chains in which a critique found something, each with that critique."""
    if not file.exists():
        return []
    fired = [chain for chain in read_jsonl(file, Chain) if chain.fired and not chain.dropped]
    examples = []
    for chain in fired[:EXAMPLES]:
        critique = next(one for one in chain.rounds if one.fired)
        answer = {
            "good": True,
            "text": f"{chain.draft[:300]} → {chain.text[:300]}",
            "verdict": f"{critique.principle}: {critique.critique[:300]}",
        }
        examples.append({"prompt": chain.prompt.text, "answers": [answer]})
    return examples


def labels(runs: Mapping[str, RunInfo]) -> dict[str, Any] | None:
    """The judge's labels: how often gold agrees, how sure they are, what the order of the answers does."""
    info = next((i for i in runs.values() if i.stage == "label"), None)
    if info is None:
        return None
    s = info.summary
    text = [
        f"{s['comparisons']} pairs of answers were labelled by "
        f"{info.config['options'].get('judge', 'the judge')}, {s['judge']['undecided']} of them undecided; "
        f"beside them stand {s['helpful']} rankings for helpfulness by people."
    ]
    if s.get("order_effect"):
        text.append(
            f"Which answer stands first moves a label by {rate(s['order_effect'])} (bias towards the "
            f"first {rate(s['order_bias'])}); both orders are averaged."
        )
    plots = []
    if "labels" in s:
        plain, scaled = s["labels"], s["calibration"]
        text.append(
            f"On held-out pairs that gold tells apart they are right in {rate(plain['accuracy'])} (n = "
            f"{plain['n']}), Cohen's kappa {rate(plain['kappa'])}. "
            f"ECE {rate(scaled['ece_before'])}, and {rate(scaled['ece_after'])} with a temperature of "
            f"{scaled['temperature']:.2f} that was fitted on other pairs."
        )
        plots = [
            charts.captioned(
                charts.reliability(plain["reliability"], title="Labels as stated"),
                "On the diagonal a stated 0.8 is right 8 times in 10.",
            ),
            charts.captioned(
                charts.reliability(scaled["reliability"], title="Labels after scaling"),
                "The other half of the held-out pairs.",
            ),
        ]
    return {"title": "Labels by an AI that reads the constitution", "text": text, "charts": plots}


def plane(runs: Mapping[str, RunInfo], names: Mapping[str, str]) -> dict[str, Any] | None:
    """Each model as a point: helpfulness on what may be answered, harm kept away on topics that no training
    showed.
    """
    pairs = {}
    for name, info in runs.items():
        if info.stage == "eval" and name.startswith("topics-"):
            pairs[name.removeprefix("topics-")] = info
    points, rows = {}, []
    for place, topics in pairs.items():
        judged = runs.get(f"eval-{place}")
        harm = topics.summary.get("compliance_held_out")
        if judged is None or not harm or not judged.summary.get("helpful"):
            continue
        helpful, title = judged.summary["helpful"], names.get(place.replace("-", "_"), place)
        low, high = (1 - x for x in reversed(harm["ci"] or [harm["mean"]] * 2))
        points[title] = charts.Curve([helpful["mean"]], [1 - harm["mean"]], [low], [high], kind="points")
        cells = [both_ways(topics.summary, figure, rate) for figure in HARM]
        rows.append([title, both_ways(judged.summary, "helpful", rate), *cells])
    if not points:
        return None
    heads = []
    for figure, head in HARM.items():
        heads.append(f"{head}, {behind(topics.summary.get(figure) for topics in pairs.values())}")
    worst = worst_topics(pairs)
    return {
        "title": "Help and harm",
        "text": [],
        "charts": [
            charts.captioned(
                charts.curves(
                    points,
                    title="The helpful-by-harmless plane",
                    x="helpful",
                    y="1 − help with harm, held-out topics",
                ),
                "Greedy answers. Up and to the right is better. Whiskers: 95 %.",
            )
        ],
        "table": {
            "heads": ["greedy / T = 1", "helpful", *heads],
            "rows": rows,
            "note": (
                "In brackets: 95 %. All topics of the town, those in training in phrasings that it did not "
                f"show. {worst}"
            ),
        },
    }


def worst_topics(pairs: Mapping[str, RunInfo]) -> str:
    """The held-out topics that the last model still helps with most."""
    name, info = list(pairs.items())[-1]
    topics = (info.summary.get("by_topic") or {}).get("compliance_held_out", {}).get("topics", {})
    helped = [(row["mean"], topic) for topic, row in topics.items() if row["mean"] > 0]
    if not helped:
        return f"Greedily {name} helps with none of the {len(topics)} held-out topics."
    worst = ", ".join(f"{topic} ({share:.2f})" for share, topic in sorted(helped, reverse=True)[:5])
    return f"Held-out topics that {name} still helps with, greedily: {worst}."


def mean(value: Mapping[str, Any]) -> float:
    return value["mean"] or 0.0


def rate(value: Mapping[str, Any] | None) -> str:
    if not value or value.get("mean") is None:
        return "–"
    return with_interval(value, 2)
