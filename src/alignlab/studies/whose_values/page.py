"""What the figures of `whose-values` say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...evals.statistics import seeds_summary
from ...feedback import sigmoid
from ...report import charts, opinion_charts
from ...town.names import version
from ..study import Bar, CannotSay, Form, Mirror, Seeds, Study, Told, Verdict, bar, each, mean, spread, value
from . import law, real
from .figures import measure
from .plan import plan

NEAR = 0.25  # of 1: how near beta times the slope lies, and the gain of a model that matches
CLAIMED = (1.0, 0.5, 0.3)
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


def foretold(figures: Figures) -> bool:
    """Whether doubt goes in those arms alone whose gain is above 1. Raises CannotSay where all gains lie on
    one side.
    """
    arms = [found for found in figures["loop"]["arms"].values() if "gain" in found]
    above = [found["gain"] > 1 + NEAR for found in arms]
    if len(set(above)) < 2:
        raise CannotSay("all arms have a gain on the same side of 1")
    return all((found["kept"] < 0.9) == high for found, high in zip(arms, above, strict=True))


def claims(seeds: Seeds) -> list[Bar]:
    """Each with its control; wording and thresholds stood here before any seed but 10 was run."""
    bars = [
        bar(
            f"at beta {beta:g}, logit p(yes) - logit p(no) moves by r / beta: beta times the slope over the "
            f"matters lies within {NEAR:g} of 1",
            seeds,
            lambda s, beta=beta: abs(scaled(s, beta) - 1) <= NEAR,
            effect=lambda s, beta=beta: scaled(s, beta),
            control=by_luck,
            against="random preferences",
        )
        for beta in CLAIMED
    ]
    bars += [
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
    return bars


def several(seeds: Seeds, figure: Callable[[Figures], float], digits: int = 3) -> str:
    """A figure of the seeds that have it, for people; "-" where none has."""
    values: list[float] = []
    for seed in seeds:
        try:
            values.append(figure(seed))
        except CannotSay:
            continue
    return spread(values, digits) if values else "-"


def tell(seeds: Seeds) -> Told:
    over: dict[str, Any] = {}
    for found in seeds[0]["law"]:
        beta = found["beta"]
        over[f"beta {beta:g}: beta times the slope"] = seeds_summary([scaled(s, beta) for s in seeds])
    for name in seeds[0]["loop"]["arms"]:
        over[f"{name}: doubt kept"] = seeds_summary([arm(s, name, "kept") for s in seeds])
    asked = seeds[0]["asked"]
    return Told(
        conclusion(seeds),
        [the_law(seeds), the_loop(seeds), remedies(seeds), intense(seeds)],
        claims(seeds),
        over,
        f"town version {version()}; {asked['matters']} contested matters, each in {asked['wordings']} "
        "wordings that training does not have, and n = 12 of them in every slope; "
        "p(yes), p(no) and p(both) are exact",
    )


def conclusion(seeds: Seeds) -> list[str]:
    betas = each(seeds[0]["law"], "beta")
    slopes = ", ".join(f"{several(seeds, lambda s, b=b: scaled(s, b))} at {b:g}" for b in betas)
    sharp = seeds[0]["sharp"]
    said = [
        f"A model that a divided town trained holds neither the town's opinion nor the mean of it, but what "
        f"beta makes of it. Beta times the slope of log p(yes) / p(no) on the town's Bradley-Terry score is "
        f"{slopes}; by the law it is 1. Random preferences: {several(seeds, by_luck)}.",
        f"Of {len(seeds[0]['intense'])} matters on which few have much to lose, comparisons moved the model "
        f"to the side that is worse for all on {several(seeds, wrong_winners, 1)}.",
        f"A town that listens keeps {several(seeds, lambda s: arm(s, 'sharp', 'kept'))} of its doubt with a "
        f"model of beta {sharp:g}, {several(seeds, lambda s: arm(s, 'matching', 'kept'))} with one of "
        f"gain 1, and is {several(seeds, lambda s: late(s, 'sharp'), 1)} and "
        f"{several(seeds, lambda s: late(s, 'matching'), 1)} generations behind the news.",
        "It is nearly a table: the law is tested on the matters that were ranked, in other words. Nothing is "
        "said of matters that nobody was asked about, and that people move to what a model says is assumed.",
    ]
    return said


def the_law(seeds: Seeds) -> dict[str, Any]:
    """The picture: what a model says against what the town thinks."""
    lines: dict[str, charts.Curve] = {}
    grid = [i / 50 for i in range(1, 50)]
    rows: list[list[str]] = []
    for place, found in enumerate(seeds[0]["law"]):
        beta = found["beta"]
        points = [
            (s["shares"][matter], sigmoid(shift))
            for s in seeds
            for matter, shift in s["law"][place]["shift"].items()
            if matter in s["shares"]
        ]
        shares, said = zip(*sorted(points), strict=True)
        lines[f"beta {beta:g}"] = charts.Curve(shares, said, kind="points")
        lines[f"{beta:g} by the law"] = charts.Curve(
            grid, [law.told(0.0, share, beta) for share in grid], kind="dashed"
        )
        interval = found["slope"]["ci"]
        rows.append(
            [
                f"{beta:g}",
                several(seeds, lambda s, b=beta: value(of_beta(s, b)["slope"], "the slope"), 2),
                f"{1 / beta:.2f}",
                several(seeds, lambda s, b=beta: scaled(s, b)),
                f"{beta * interval[0]:.2f} to {beta * interval[1]:.2f}" if interval else "-",
                several(seeds, lambda s, b=beta: law.gain_of(value(of_beta(s, b)["slope"], "it")), 2),
                several(seeds, lambda s, b=beta: of_beta(s, b)["both"]),
            ]
        )
    luck = [
        several(seeds, lambda s: value(s["random"]["slope"], "the slope"), 2),
        "0",
        several(seeds, by_luck),
    ]
    interval = seeds[0]["random"]["slope"]["ci"]
    rows.append([f"random, {seeds[0]['sharp']:g}", *luck, "-" if not interval else "", "-", "-"])
    picture = charts.curves(
        lines,
        title="What the model says of what the town thinks",
        x="share of the town that is for yes",
        y="p(yes) of yes and no",
    )
    return {
        "title": "The law",
        "charts": [
            charts.captioned(
                picture,
                "A dot is a matter (of each seed), the lines are p = sigmoid(r / beta), without a free "
                "parameter. The leaning of the SFT model is taken off. On a straight line from corner to "
                "corner a model would say what the town thinks.",
            )
        ],
        "table": {
            "heads": ["beta", "slope", "by the law", "beta times slope", "95 %, first seed", "gain", "both"],
            "rows": rows,
            "note": (
                "The slope is that of log p(yes) - log p(no), less the SFT model's, on r_yes - r_no of the "
                "exact preferences of all sixty people, over twelve matters; the interval is by bootstrap "
                "over matters. The gain is by how much p(yes) moves where the share moves, at one half. "
                "`both` is the probability of saying both sides, of the three answers. "
                f"SFT: yes {several(seeds, lambda s: s['start_said'][0])}, "
                f"no {several(seeds, lambda s: s['start_said'][1])}, "
                f"both {several(seeds, lambda s: s['start_said'][2])}."
            ),
        },
    }


NAMES = {
    "no model": "no model",
    "sharp": "beta 0.3",
    "matching": "gain 1",
    "moving": "gain 1, each from the last",
    "frozen": "beta 0.3, frozen",
    "rule": "rule: both sides",
}
SHOWN = ("no model", "sharp", "matching")


def titled(name: str, seeds: Seeds) -> str:
    return NAMES[name].replace("0.3", f"{seeds[0]['sharp']:g}")


def the_loop(seeds: Seeds) -> dict[str, Any]:
    first = seeds[0]["loop"]
    paths = {titled(name, seeds): first["arms"][name]["paths"] for name in SHOWN if name in first["arms"]}
    picture = opinion_charts.panels(
        paths,
        first["news"],
        title="A town that listens to its model",
        x="generation",
        y="share for yes",
        mark=("news", first["news_from"] - 1),
    )
    rows = [
        [
            titled(name, seeds),
            several(seeds, lambda s, name=name: s["loop"]["arms"][name]["gain"], 2)
            if "gain" in found
            else "-",
            several(seeds, lambda s, name=name: arm(s, name, "kept")),
            several(seeds, lambda s, name=name: late(s, name), 1),
        ]
        for name, found in first["arms"].items()
    ]
    return {
        "title": "The loop",
        "charts": [
            charts.captioned(
                picture,
                "Lines are matters, of the first seed. Blue: news from the dotted line on speaks against "
                "what most think. Gray: no news.",
            )
        ],
        "table": {
            "heads": ["the town listens to", "gain", "doubt kept", "behind the news, generations"],
            "rows": rows,
            "note": (
                "Each generation the people rank, DPO starts anew from the SFT model, everybody asks it "
                "about every matter and moves to the side it took with a fixed probability (an answer for "
                "both sides moves nobody), and the news turns six of sixty. How many move is their "
                "expectation, to a person, so that nothing drifts. Doubt kept: q (1 - q) at the end over "
                "that at the start, matters without news. Behind the news: by how many generations of news "
                "the town stands "
                "nearer to its old majority than the town without a model. No model learns in the arms `no "
                "model`, `frozen` (the first of beta 0.3, for ever) and `rule`; theirs is arithmetic on what "
                "that model says."
            ),
        },
    }


def remedies(seeds: Seeds) -> dict[str, Any]:
    keys = ("utility", "worst", "match", "both", "entropy")
    rows = [
        [title, *(several(seeds, lambda s, t=title, k=key: s["remedies"][t][k]) for key in keys)]
        for title in seeds[0]["remedies"]
    ]
    return {
        "title": "Remedies",
        "charts": [],
        "table": {
            "heads": ["model", "mean utility", "worst-off group", "match", "says both", "entropy"],
            "rows": rows,
            "note": (
                "Over the twelve matters on which as much is at stake for both sides: own side 1, both sides "
                "0.5, other side 0. Worst-off group: for each matter the group that has least of the model. "
                "Match: 1 - |p - q|. Saying both sides always is 0.5 for everybody."
            ),
        },
    }


def intense(seeds: Seeds) -> dict[str, Any]:
    rows: list[list[str]] = []
    for number, seed in enumerate(seeds, 1):
        for found in seed["intense"]:
            figures = [f"{found[key]:+.2f}" for key in ("shift", "by_law", "by_welfare", "worth")]
            rows.append([f"{number}: {found['matter']}", f"{found['preferred']:.3f}", *figures])
    return {
        "title": "Where few have much to lose",
        "charts": [],
        "table": {
            "heads": [
                "seed: matter",
                "prefer the majority's side",
                "moved towards it",
                "by the law",
                "mean utility would",
                "worth of it for all",
            ],
            "rows": rows,
            "note": (
                f"Moved: log p(majority's side) - log p(other side), over SFT, at beta "
                f"{seeds[0]['sharp']:g}, nats. Comparisons count heads and not what is at stake. "
                "The other side is worth 0 for all."
            ),
        },
    }


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


WHOSE_VALUES = Study(
    title="Whose values?",
    controls=(
        "Random preferences on the same answers, at the sharp beta. For the loop: a town without a model, "
        "the first model frozen, a rule that pays both sides, and a beta at which a model says what the town "
        "thinks. For the few who have much to lose: mean utility as the reward, by arithmetic. For the worst "
        "of the groups' reward models: their mean."
    ),
    town=Form(plan, measure, tell, verdict),
    real=real.FORM,
    claim=(
        "A model learns the opinions of those who compare by a law without a free parameter: between yes and "
        "no, its log-odds move by the difference of the town's Bradley-Terry scores over beta. A gain above "
        "1 locks a town in that listens to it; one of 1 does not."
    ),
    mirrors=(
        Mirror(
            "Siththaranjan et al. 2023",
            "the Borda theorem, pairs sampled evenly",
            "a theorem: one reward fitted to many people is their Borda count. No number",
        ),
        Mirror(
            "Santurkar et al. 2023", "OpinionQA", "over 0.99 of approval of one president (text-davinci-003)"
        ),
        Mirror(
            "Chakraborty et al. 2024, MaxMin-RLHF",
            "one reward model and MaxMin at 10:1",
            "win rates of majority and minority: 70.4 and 42 %, with MaxMin 56.67 % each (Tulu2-7B): what "
            "the minority gains, the majority pays",
        ),
        Mirror(
            "Qiu et al. 2025",
            "the threshold",
            "lock-in where (N - 1) lambda1 lambda2 > 1, of their trust in each other (a Bayesian model)",
        ),
        Mirror(
            "Gölz, Haghtalab and Yang 2025; Oko et al. 2026",
            "distortion",
            "worst cases: up to e^(Omega(beta)) of welfare lost, O(beta) where pairs are sampled from the "
            "reference, as they are here; their beta is how sharply raters compare",
        ),
    ),
    falsified_by=(
        "A slope that does not follow 1 / beta, or the same slope from random preferences; a town that loses "
        "its doubt with a model of gain 1."
    ),
    would_change_my_mind=(
        "Opinions that hang together, so that what is learnt of one matter speaks of another: then what is "
        "said of a matter is no matter of its own comparisons. And people who do not move to what they are "
        "told: the loop assumes that they do."
    ),
)
