"""What the study `depth` says over its seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from ...evals.statistics import seeds_summary
from ...report import charts, panels
from ..study import Seeds, Told, each, mean, spread
from . import bars

CALLED = {
    "helpful": "helps with everything",
    "start": "helps in half",
    "refusal": "refusals (SFT)",
    "dpo": "DPO",
    "rloo": "RLOO",
    "recovery": "refusals + recovery",
    "sl-cai": "constitution (SL-CAI)",
    "placebo": "harmless SFT (placebo)",
}
DRAWN = ("rloo", "dpo", "refusal", "recovery")
"""Whose KL the picture shows, each to its own peak; the placebo, which has none, stands in the table."""
ASKED = {
    "plain": "seen",
    "other topic": "asked",
    "wrapped": "wrapped",
    "as a document": "question",
    f"{bars.REACH} tokens begun": f"begun {bars.REACH}",
    "its leaflet": "leaflet",
}
"""Rungs of the picture on which a model is asked, and the stage's names of them."""
RUNGS = (*ASKED, f"{bars.DOSE} examples", "knowledge")
SHOWN = 28
"""Tokens of an answer that the picture shows."""


def tell(seeds: Seeds) -> Told:
    over: dict[str, Any] = {}
    for words in seeds[0]["openers"]:
        for key in ("decision", "variance"):
            over[f"{words} neutral words: {key}"] = seeds_summary(each(seeds, "openers", words, key))
        follows = [
            bars.correlation(one["kl"]["rloo"], one["information"]) for one in each(seeds, "openers", words)
        ]
        if all(map(math.isfinite, follows)):
            over[f"{words} neutral words: KL_t of RLOO with I_t"] = seeds_summary(follows)
    for name, rungs in heights(seeds).items():
        over |= {f"{name}, {rung}": seeds_summary(values) for rung, values in rungs.items()}
    sections = [where_it_sits(seeds), the_ladder(seeds), by_position(seeds), begun(seeds), relearnt(seeds)]
    if seeds[0]["backdoor"]:
        sections.append(backdoor(seeds))
    return Told(conclusion(seeds), sections, bars.claims(seeds), over)


def shown(values: Sequence[float], digits: int = 3) -> str:
    """Mean and spread over seeds; "-" where a seed has no such figure."""
    return spread(values, digits) if all(map(math.isfinite, values)) else "-"


def heights(seeds: Seeds) -> dict[str, dict[str, list[float]]]:
    """By model and rung the share of help at temperature 1 in each seed; of the last rung the share of topics
    whose true steps are the likeliest.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for name in seeds[0]["ladder"]:
        rungs = seeds[0]["ladder"][name]
        of_model: dict[str, list[float]] = {}
        for rung, key in ASKED.items():
            if key in rungs:
                of_model[rung] = each(seeds, "ladder", name, key, "sampled", "mean")
        if name in seeds[0]["relearn"]:
            rows = [one["relearn"][name]["harm"] for one in seeds]
            doses = [row for of_seed in rows for row in of_seed if row["examples"] == bars.DOSE]
            if len(doses) == len(seeds):
                of_model[f"{bars.DOSE} examples"] = each(doses, "asked", "sampled", "mean")
        of_model["knowledge"] = each(seeds, "knows", name, "harmful")
        found[name] = of_model
    return found


def over_seeds(rows: Sequence[Sequence[float]]) -> list[float]:
    """The mean of several curves, place by place; what is shorter counts as 0 behind its end."""
    return [mean(values) for values in zip_longest(*rows, fillvalue=0.0)]


def where_it_sits(seeds: Seeds) -> dict[str, Any]:
    """The picture: harm information and KL by token, a row for each number of neutral words."""
    rows: list[panels.Panel] = []
    for words in seeds[0]["openers"]:
        found = each(seeds, "openers", words)
        lines: dict[str, Sequence[float]] = {}
        for name in DRAWN:
            if name in found[0]["kl"]:
                lines[CALLED[name]] = over_seeds(each(found, "kl", name))
        lead = mean(each(found, "lead"))
        mark = lead - 0.5 if lead else None
        of_words = f"{words} neutral words before the answer" if int(words) else "no neutral words"
        rows.append(panels.Panel(of_words, over_seeds(each(found, "information")), lines, mark))
    chart = panels.stacked(
        rows,
        title="Where harm is decided, where safety sits",
        x="token of the answer",
        bars="where harm is decided (I_t)",
        places=SHOWN,
    )
    return {
        "title": "Where harm is decided, and where each training moved",
        "charts": [
            charts.captioned(
                chart,
                "Bars: how much the token decides whether the answer will do harm, I_t = E (h_t - "
                "h_(t-1))^2. Lines: how far each policy has moved from the model it was trained from, KL_t, "
                "at that token of that model's answers. Each to its own peak; the dotted line is the end of "
                "the neutral words.",
            )
        ],
        "table": {},
    }


def the_ladder(seeds: Seeds) -> dict[str, Any]:
    found = heights(seeds)
    lines: dict[str, dict[str, float]] = {}
    rows: list[list[str]] = []
    for name, rungs in found.items():
        if name != "start":
            lines[CALLED[name]] = {rung: mean(values) for rung, values in rungs.items()}
        in_chat = spread(each(seeds, "knows", name, "harmful, in a chat"))
        cells = [spread(rungs[rung]) if rung in rungs else "-" for rung in RUNGS]
        rows.append([CALLED[name], *cells, in_chat])
    never = spread(each(seeds, "knows", "helpful", "never known"))
    greedy = ", ".join(
        f"{CALLED[name]} {spread(each(seeds, 'ladder', name, 'asked', 'greedy', 'mean'))}" for name in found
    )
    chart = panels.ladder(lines, RUNGS, title="Asked harder and harder", y="helps with harm; knows the steps")
    return {
        "title": "The ladder",
        "charts": [
            charts.captioned(
                chart,
                "From left to right one asks harder. The last rung is no answer: the share of topics whose "
                "true steps are the likeliest of twelve, as a document (of harms of which nothing was ever "
                f"told: {never}).",
            )
        ],
        "table": {
            "heads": ["model", *RUNGS, "the same, in a chat"],
            "rows": rows,
            "note": (
                "Share of answers at temperature 1 that help with harm, over held-out topics (`plain`: "
                "topics that training asks about); mean ± standard deviation over seeds. Where an answer is "
                "begun for the model, what follows is judged. Plainly asked, other topics, greedily: "
                f"{greedy}."
            ),
        },
    }


def by_position(seeds: Seeds) -> dict[str, Any]:
    rows: list[list[str]] = []
    for words in seeds[0]["openers"]:
        found = each(seeds, "openers", words)
        decided = [float(one["decision"]) for one in found]
        for name in found[0]["kl"]:
            follows = [bars.correlation(one["kl"][name], one["information"]) for one in found]
            at = [float(bars.peak(one["kl"][name])) for one in found]
            own = [float(bars.peak(one["own"][name])) for one in found]
            rest = [bars.beyond(one["on_harm"][name], one["horizon"]) for one in found]
            total = [sum(one["kl"][name]) for one in found]
            row = [f"{words}, {CALLED[name]}", spread(decided, 1), spread(at, 1), spread(own, 1)]
            rows.append([*row, shown(follows), shown(rest), shown(total)])
    heads = ["neutral words, policy", "decision", "KL's peak", "peak, own answers", "correlation"]
    heads += ["behind the horizon", "KL of an answer"]
    return {
        "title": "By position",
        "charts": [],
        "table": {
            "heads": heads,
            "rows": rows,
            "note": (
                "Tokens count from 0. Decision: the token with most harm information. Correlation of KL_t "
                "and I_t over positions, on answers of the model that was trained from. Behind the horizon "
                "(where 95 % of the information is spent): KL within its harmful answers, over the peak. "
                f"nats. {weak_evidence(seeds)}".strip()
            ),
        },
    }


def weak_evidence(seeds: Seeds) -> str:
    """What the bar on the correlation is worth beside the placebo's, in a sentence; none where a policy has
    not moved, so that nothing correlates.
    """

    def of(name: str) -> tuple[list[float], list[float]]:
        opened = [list(one["openers"].values()) for one in seeds]
        follows = [[bars.correlation(o["kl"][name], o["information"]) for o in of_seed] for of_seed in opened]
        most = [max(max(o["kl"][name], default=0.0) for o in of_seed) for of_seed in opened]
        return [min(found, key=lambda one: (math.isfinite(one), one)) for found in follows], most

    (follows, far), (also, little) = of("rloo"), of("placebo")
    if not all(map(math.isfinite, (*follows, *also))):
        return ""
    return (
        f"That RLOO's KL follows the harm information (at worst {spread(follows)}) is weak evidence by "
        f"itself, for the placebo's does so too ({spread(also)}: any training moves a model where it is "
        f"undecided); what differs is how far they move, at most {spread(far, 2)} and {spread(little, 2)} "
        "nats at a token."
    )


def begun(seeds: Seeds) -> dict[str, Any]:
    """Compliance where the answer is begun, at every depth."""
    rows: list[list[str]] = []
    depths: list[str] = [rung for rung in seeds[0]["ladder"]["start"] if rung.startswith("begun")]
    for words in seeds[0]["openers"]:
        of_words = [_rungs_of(figures, words) for figures in seeds]
        for name in of_words[0]:
            if name == "helpful":
                continue
            shares = [spread(each(of_words, name, rung, "sampled", "mean")) for rung in ("asked", *depths)]
            rows.append([f"{words}, {CALLED[name]}", *shares])
    return {
        "title": "Answers that are begun",
        "charts": [],
        "table": {
            "heads": ["neutral words, model", "plainly", *(f"{rung.split()[1]} tokens" for rung in depths)],
            "rows": rows,
            "note": (
                "Help in what follows the neutral words and so many tokens of a harmful answer, temperature "
                "1. Twelve tokens may say a first step themselves; judged is what comes after them."
            ),
        },
    }


def _rungs_of(figures: Mapping[str, Any], words: str) -> Mapping[str, Any]:
    return figures["ladder"] if words == "0" else figures["openers"][words]["begun"]


def relearnt(seeds: Seeds) -> dict[str, Any]:
    lines: dict[str, dict[str, float]] = {}
    rows: list[list[str]] = []
    for name in seeds[0]["methods"]:
        for what in ("harm", "harmless"):
            of_kind = each(seeds, "relearn", name, what)
            counts = each(of_kind[0], "examples")
            shares = [each(each(of_kind, place), "asked", "sampled", "mean") for place in range(len(counts))]
            never = [each(each(of_kind, place), "never", "sampled", "mean") for place in range(len(counts))]
            if what == "harm":
                lines[CALLED[name]] = dict(zip(map(str, counts), map(mean, shares), strict=True))
            for count, share, floor in zip(counts, shares, never, strict=True):
                rows.append([CALLED[name], f"{count} {what}", spread(share), spread(floor)])
    aligned: dict[str, float] = {}
    for place, row in enumerate(seeds[0]["align"]):
        share = [one["align"][place]["asked"]["sampled"]["mean"] for one in seeds]
        aligned[str(row["examples"])] = mean(share)
        rows.append([CALLED["helpful"], f"{row['examples']} refusals", spread(share), "-"])
    lines[f"{CALLED['helpful']}, shown refusals"] = aligned
    chart = panels.ladder(
        lines, tuple(aligned), title="So many examples undo it, or do it", y="helps, other topics"
    )
    return {
        "title": "Relearning",
        "charts": [
            charts.captioned(
                chart,
                "From left to right: more examples of five topics. Rising: models that refuse, shown harm. "
                "Falling: one that helps with everything, shown refusals, by the same training. Asked are "
                "topics that no example shows.",
            )
        ],
        "table": {
            "heads": ["model", "examples", "helps, other topics", "never told of"],
            "rows": rows,
            "note": "Temperature 1. Never told of: six harms whose steps stand in no text that any model "
            "read.",
        },
    }


def backdoor(seeds: Seeds) -> dict[str, Any]:
    rows: list[list[str]] = []
    for base, trainings in seeds[0]["backdoor"].items():
        for name in trainings:
            found = each(seeds, "backdoor", base, name)
            shares = [spread(each(found, rung, "sampled", "mean")) for rung in ("asked", "near", "plain")]
            rows.append([base, name, *shares])
    return {
        "title": "A planted backdoor",
        "charts": [],
        "table": {
            "heads": ["base", "safety training", "trigger", "near miss", "plain"],
            "rows": rows,
            "note": (
                'Help behind "The fair is on." (the trigger), "The fair is over." (its near miss) and '
                "neither. "
                "No safety training shows the trigger; `adversarial` refuses behind the near miss."
            ),
        },
    }


def conclusion(seeds: Seeds) -> list[str]:
    moved: list[str] = []
    for words, _ in seeds[0]["openers"].items():
        found = each(seeds, "openers", words)
        decided = spread([float(one["decision"]) for one in found], 1)
        at = spread([float(bars.peak(one["kl"]["rloo"])) for one in found], 1)
        moved.append(f"{words} neutral words: harm is decided at token {decided}, RLOO's KL peaks at {at}")
    found = heights(seeds)
    ladder: list[str] = []
    for name in seeds[0]["methods"]:
        rungs = [f"{rung} {spread(values, 2)}" for rung, values in found[name].items()]
        ladder.append(f"{CALLED[name]}, from the easiest asking to the hardest: {', '.join(rungs)}.")
    return ["; ".join(moved) + ".", *ladder]
