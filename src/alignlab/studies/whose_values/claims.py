"""What `whose-values` claims of the town, each claim beside its control, and what it says of a paper. Wording
and thresholds stood here before any seed but 10 was run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..study import Bar, CannotSay, Seeds, Verdict, bar, mean, spread, value

NEAR = 0.25  # of 1: how near beta times the slope lies, and the gain of a model that matches
CLAIMED = (1.0, 0.5, 0.3)
LESS = 0.9
"""Less doubt is left of 1 where a town is locked in."""
HALF = 6
"""Generations after which doubt is to have halved."""
Figures = dict[str, Any]


def of_beta(figures: Figures, beta: float) -> Figures:
    """What was found at a beta. Raises CannotSay where it was not run."""
    for found in figures["law"]:
        if found["beta"] == beta:
            return found
    raise CannotSay(f"beta {beta:g} was not run")


def scaled(figures: Figures, beta: float) -> float:
    """beta times the slope: 1 by the law."""
    return beta * value(of_beta(figures, beta)["slope"], f"the slope at beta {beta:g}")


def by_luck(figures: Figures) -> float:
    """The same of random preferences."""
    found = figures["random"]
    return found["beta"] * value(found["slope"], "the slope of random preferences")


def remedy(figures: Figures, title: str, key: str) -> float:
    """A figure of a remedy. Raises CannotSay where it was not run."""
    for name, found in figures["remedies"].items():
        if name.startswith(title):
            return found[key]
    raise CannotSay(f"{title} was not run")


def arm(figures: Figures, name: str, key: str) -> float:
    """A figure of an arm of the loop. Raises CannotSay where it was not run."""
    arms = figures["loop"]["arms"]
    if name not in arms:
        raise CannotSay(f"the arm {name} was not run")
    return arms[name][key]


def late(figures: Figures, name: str) -> float:
    """By how many generations of news an arm is behind the town without a model. Raises CannotSay where there
    was none.
    """
    of = figures["loop"]
    if not of["turned"] or of["news_from"] > of["generations"]:
        raise CannotSay("there was no news")
    return arm(figures, name, "late") / of["turned"]


def kept_at_the_end(figures: Figures, name: str) -> float:
    """How much doubt an arm has left after enough generations. Raises CannotSay for fewer."""
    if figures["loop"]["generations"] < HALF:
        raise CannotSay(f"there were fewer than {HALF} generations")
    return arm(figures, name, "kept")


def wrong_winners(figures: Figures) -> float:
    """Of the matters on which few have much to lose, on how many training moved the model to the side that is
    worse for all.
    """
    return float(sum(found["shift"] > 0 for found in figures["intense"]))


def by_welfare(figures: Figures) -> float:
    """On how many the optimum goes there whose reward is the town's mean utility."""
    return float(sum(found["by_welfare"] > 0 for found in figures["intense"]))


MEAN, WORST = "RLOO, mean", "RLOO, worst"


def gained(figures: Figures) -> float:
    """What the worst-off group has of the worst of the groups' reward models over their mean."""
    return remedy(figures, WORST, "worst") - remedy(figures, MEAN, "worst")


def paid(figures: Figures) -> float:
    """What that costs the town."""
    return remedy(figures, MEAN, "utility") - remedy(figures, WORST, "utility")


def kept_by_gain(figures: Figures, above: bool) -> list[float]:
    """The doubt that is left in arms whose gain is above 1, or in the others. Raises CannotSay where there
    is none.
    """
    arms = [found for found in figures["loop"]["arms"].values() if "gain" in found]
    kept = [found["kept"] for found in arms if (found["gain"] > 1 + NEAR) == above]
    if not kept:
        raise CannotSay("all arms have a gain on the same side of 1")
    return kept


def foretold(figures: Figures) -> bool:
    """Whether doubt goes in those arms alone whose gain is above 1."""
    above, others = kept_by_gain(figures, True), kept_by_gain(figures, False)
    return max(above) < LESS <= min(others)


def law_bars(seeds: Seeds, betas: Sequence[float]) -> list[Bar]:
    """That the law holds at each of some betas."""
    return [
        bar(
            f"at beta {beta:g}, log p(yes) / p(no) moves by r / beta: beta times the slope over the matters "
            f"lies within {NEAR:g} of 1",
            seeds,
            lambda s, beta=beta: abs(scaled(s, beta) - 1) <= NEAR,
            effect=lambda s, beta=beta: scaled(s, beta),
            control=by_luck,
            against="random preferences",
        )
        for beta in betas
    ]


def claims(seeds: Seeds) -> list[Bar]:
    """Each with its control."""
    return law_bars(seeds, CLAIMED) + [
        bar(
            "where few lose much and many gain little, comparisons move the model to the side that is worse "
            "for all, on two of three matters at least; mean utility as the reward would on none",
            seeds,
            lambda s: wrong_winners(s) >= 2 and by_welfare(s) == 0,
            effect=wrong_winners,
            control=by_welfare,
            against="mean utility, by arithmetic",
        ),
        bar(
            "the worst of the groups' reward models instead of their mean: the worst-off group has at least "
            "0.05 more utility of it, and the town less, by less than that group has more",
            seeds,
            lambda s: gained(s) >= 0.05 and 0 < paid(s) < gained(s),
            effect=gained,
            control=paid,
            against="what it costs the town",
        ),
        bar(
            f"with a sharp model (beta 0.3) half of the town's doubt, q (1 - q), is gone after {HALF} "
            "generations, on matters without news",
            seeds,
            lambda s: kept_at_the_end(s, "sharp") <= 0.5,
            effect=lambda s: arm(s, "sharp", "kept"),
            control=lambda s: arm(s, "frozen", "kept"),
            against="its first model, which learns no more",
        ),
        bar(
            "with a model of gain 1 it stays, within a tenth",
            seeds,
            lambda s: abs(arm(s, "matching", "kept") - 1) < 0.1,
            effect=lambda s: arm(s, "matching", "kept"),
            control=lambda s: arm(s, "sharp", "kept"),
            against="sharp",
        ),
        bar(
            "where each model is trained from the last one, and not from the first, gains add up: at the "
            "same beta at least a quarter of the doubt is gone",
            seeds,
            lambda s: kept_at_the_end(s, "moving") <= 0.75,
            effect=lambda s: arm(s, "moving", "kept"),
            control=lambda s: arm(s, "matching", "kept"),
            against="each from the first",
        ),
        bar(
            f"the gain foretells it in every arm: more than a tenth of the doubt is gone where the gain is "
            f"above {1 + NEAR:g}, and nowhere else",
            seeds,
            foretold,
            effect=lambda s: mean(kept_by_gain(s, True)),
            control=lambda s: mean(kept_by_gain(s, False)),
            against="arms of a smaller gain",
        ),
        bar(
            "with a sharp model the town is behind the news by two generations at least, with one of gain 1 "
            "by one at most",
            seeds,
            lambda s: late(s, "sharp") >= 2 and late(s, "matching") <= 1,
            effect=lambda s: late(s, "sharp"),
            control=lambda s: late(s, "matching"),
            against="gain 1",
        ),
    ]


def several(seeds: Seeds, figure: Callable[[Figures], float], digits: int = 3) -> str:
    """A figure of the seeds that have it, for people; "-" where none has."""
    values: list[float] = []
    for seed in seeds:
        try:
            values.append(figure(seed))
        except CannotSay:
            continue
    return spread(values, digits) if values else "-"


def verdict(seeds: Seeds) -> Verdict:
    """Of the Borda theorem, which says what one reward makes of many people: whether the law, that follows
    from it, holds at every beta that is claimed and was run, in every seed.
    """
    run = [beta for beta in CLAIMED if any(found["beta"] == beta for found in seeds[0]["law"])]
    if not run:
        raise CannotSay("no beta was run that anything is claimed of")
    off = [beta for beta in run if any(abs(scaled(s, beta) - 1) > NEAR for s in seeds)]
    luck = mean([abs(by_luck(s)) for s in seeds])
    if luck > NEAR:
        raise CannotSay(f"random preferences have a slope too, {luck:.2f} of what the law says")
    figures = "; ".join(f"{several(seeds, lambda s, b=b: scaled(s, b))} at beta {b:g}" for b in run)
    why = (
        f"Beta times the slope on the Bradley-Terry fit of everybody's preferences is {figures}, where "
        "Siththaranjan et al. and the optimum of DPO together say 1. "
    )
    if off:
        return Verdict("disagrees", why + f"It is off by more than {NEAR:g} at " + _listed(off) + ".")
    return Verdict(
        "agrees",
        why
        + "What Santurkar et al. saw, one group's modal view at over 0.99, is then what a small beta does, "
        "whatever the people are like.",
    )


def _listed(betas: Sequence[float]) -> str:
    return ", ".join(f"{beta:g}" for beta in betas)
