"""What the figures of `whose-values` say: the study, its page and its tables."""

from __future__ import annotations

from typing import Any

from ...evals.statistics import seeds_summary
from ...feedback import sigmoid
from ...report import charts, opinion_charts
from ...town.names import version
from ..study import Form, Mirror, Seeds, Study, Told, each, value
from . import law, real
from .claims import arm, by_luck, claims, late, of_beta, scaled, several, verdict, wrong_winners
from .figures import measure
from .plan import plan


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
        f"beta, the price of leaving the SFT model, makes of it. Beta times the slope of log p(yes) / p(no) "
        f"on the town's Bradley-Terry score is {slopes}; by the law it is 1. Random preferences: "
        f"{several(seeds, by_luck)}.",
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
    grid = [i / 50 for i in range(1, 50)]
    lines = {"as the town thinks": charts.Curve(grid, grid)}
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
        by_law = [law.told(0.0, share, beta) for share in grid]
        lines[f"_{beta:g}"] = charts.Curve(grid, by_law, kind="dashed")  # its _ keeps it out of the legend
        rows.append(law_row(f"{beta:g}", f"{1 / beta:.2f}", [of_beta(s, beta) for s in seeds]))
    rows.append(law_row(f"random, {seeds[0]['sharp']:g}", "0", each(seeds, "random")))
    picture = charts.curves(
        lines,
        title="What the town thinks, and what its model says",
        x="share of the town that is for yes",
        y="model says yes, of yes and no",
    )
    return {
        "title": "The law",
        "charts": [
            charts.captioned(
                picture,
                "A dot is a matter (of each seed); dashed is the law, p = sigmoid(r / beta), which has no "
                "free parameter: the smaller beta, the steeper. What the SFT model leans to is taken off.",
            )
        ],
        "table": {
            "heads": [
                "beta",
                "slope",
                "by the law",
                "beta times slope",
                "95 %, first seed",
                "gain",
                "says both",
                "of all it says",
            ],
            "rows": rows,
            "note": (
                "The slope is that of log p(yes) - log p(no), less the SFT model's, on r_yes - r_no of the "
                "exact preferences of all sixty people, over twelve matters; the interval is by bootstrap "
                "over matters. The gain is by how much p(yes) moves where the share moves, at one half. "
                "Says both: of the three answers that are asked about, in the mean over matters; of all it "
                "says: the probability of these three, word by word. The rest are other words, on which "
                "nobody was asked. "
                f"SFT: yes {several(seeds, lambda s: s['start_said'][0])}, "
                f"no {several(seeds, lambda s: s['start_said'][1])}, "
                f"both {several(seeds, lambda s: s['start_said'][2])}."
            ),
        },
    }


def law_row(title: str, expected: str, found: Seeds) -> list[str]:
    """A row of the law's table: the figures of one beta, or of random preferences, in every seed."""
    interval = found[0]["slope"]["ci"]

    def slope(one: dict[str, Any]) -> float:
        return value(one["slope"], "the slope")

    return [
        title,
        several(found, slope, 2),
        expected,
        several(found, lambda one: one["beta"] * slope(one)),
        " to ".join(f"{found[0]['beta'] * end:.2f}" for end in interval) if interval else "-",
        several(found, lambda one: law.gain_of(slope(one)), 2),
        several(found, lambda one: one["both"]),
        several(found, lambda one: one["listed"]),
    ]


NAMES = {
    "no model": "no model",
    "sharp": "a model, beta 0.3",
    "matching": "a model of gain 1",
    "moving": "gain 1, each from the last",
    "frozen": "the first of beta 0.3, frozen",
    "rule": "a rule: both sides",
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
                "A line is a matter, of the first seed. Whole lines: from the dotted line on, news speaks "
                "against what most think. Dashed: no news.",
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
                "the town stands nearer to its old majority than the town without a model. No model "
                "learns in the arms `no model`, `frozen` (the first of beta 0.3, for ever) and `rule`; "
                "theirs is arithmetic on what that model says."
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
    for seed in seeds:
        for found in seed["intense"]:
            figures = [f"{found[key]:+.2f}" for key in ("shift", "by_law", "by_welfare", "worth")]
            rows.append([f"{seed['seed']}: {found['matter']}", f"{found['preferred']:.3f}", *figures])
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
    changed=(
        "Other than in the design, before any figure had been seen: where few have much to lose the others "
        "gain 0.6 and not 0.3, with which they would rather have both sides than their own; people move with "
        "probability 0.45 and not 0.3, as a third of the answers takes no side; and the worst of the groups' "
        "reward models may cost the town as much as the worst-off group has of it and not 0.05, to which "
        "the optimum of exact rewards seldom keeps. On seed 10 settings alone were chosen."
    ),
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
