"""The page of the study `alignment-tax`: its picture, its tables, what it claims, and the study itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ...evals.statistics import seeds_summary
from ...report import bar_charts, charts
from ..study import CannotSay, Form, Mirror, Seeds, Study, Told, each, mean, spread
from . import real
from .claims import (
    arm,
    cheapest_blend,
    claims,
    gold,
    lost,
    more_lost,
    moved,
    named,
    placebo_of,
    protection,
    safety_tax,
    tax,
    verdict,
    withheld_share,
)
from .figures import ELSE, GONE, KNOWN, REASONS, WITHHELD, measure
from .plan import plan

PARTS = {
    "refuses": ("refused",),
    "says it does not know": ("does not know",),
    "wrong, though it knows": (KNOWN,),
    "wrong, and forgotten": (GONE,),
    "anything else": (ELSE, *(reason for reason in REASONS if reason not in (*WITHHELD, KNOWN, GONE, ELSE))),
}
"""The parts of the picture's bars and the reasons that each has."""
COLORS = dict(zip(PARTS, ("#16324f", "#5b8db8", "#f0d48a", "#b3001b", "#909090"), strict=True))
HATCHES = {"wrong, and forgotten": "////", "says it does not know": "..", "anything else": "||||"}
TITLES = {
    "start": "the start",
    "sft": "SFT",
    "dpo": "DPO",
    "ppo": "PPO",
    "ppo-ptx": "PPO-ptx",
    "dealt": "SFT, dealt at random",
    "foreign": "SFT, foreign words",
    "lora": "SFT, LoRA",
    "placebo": "SFT, placebo",
}
BESIDES = ("lora", "foreign", "dpo", "ppo", "ppo-ptx")


def title_of(name: str, seeds: Seeds) -> str:
    """What an arm is called on the page."""
    size, colon, alone = name.rpartition(": ")
    what, _, share = alone.partition(" ")
    if what == "placebo" or not share:
        said = TITLES.get(alone, alone)
    elif share == "placebo":
        said = f"{TITLES[what]}, placebo"
    else:
        said = {
            "dose": f"SFT, {share} refusals",
            "twins": f"SFT, {share} look-alikes",
            "stop": f"SFT, stopped at {share}",
            "blend": f"blend, {share} of SFT",
        }[what]
    return f"{size}{colon}{said}"


def tell(seeds: Seeds) -> Told:
    over: dict[str, Any] = {}
    for name in seeds[0]["arms"]:
        over[f"{name}: gold"] = seeds_summary([gold(f, name) for f in seeds])
        over[f"{name}: protection"] = seeds_summary([protection(f, name) for f in seeds])
    sections = [picture(seeds), reasons(seeds), prices(seeds), knowledge(seeds)]
    return Told(conclusion(seeds), sections, claims(seeds), over)


def said(seeds: Seeds, figure: Callable[[Any], float], digits: int = 3, sign: str = "") -> str:
    """A figure over the seeds that have it, for people."""
    values: list[float] = []
    for f in seeds:
        with suppress(CannotSay):
            values.append(figure(f))
    return spread(values, digits, sign) if values else "not to be said"


def conclusion(seeds: Seeds) -> list[str]:
    dose, of, twins = (seeds[0][key] for key in ("dose", "of", "twins"))
    look = said(seeds, lambda f: tax(f, "sft", "placebo", group="look_alike"))
    others = said(seeds, lambda f: tax(f, "sft", "placebo", group="others"))
    sentences = [
        f"SFT on {dose} refusals among {of} lessons takes help with held-out harm from "
        f"{said(seeds, lambda f: 1 - protection(f, 'start'))} to "
        f"{said(seeds, lambda f: 1 - protection(f, 'sft'))} and costs "
        f"{said(seeds, lambda f: safety_tax(f, 'sft'))} of gold on harmless requests beyond its placebo, "
        f"of look-alikes {look}, of all others {others}. The placebo, as much training without a refusal, "
        f"costs {said(seeds, lambda f: tax(f, 'placebo'))}.",
        f'Of that tax {said(seeds, withheld_share, 2)} is refusals and "I do not know". Asked to choose, '
        f"it knows {said(seeds, lambda f: arm(f, 'sft')['known'])} of the facts, the start "
        f"{said(seeds, lambda f: arm(f, 'start')['known'])}.",
        f"{twins:g} look-alikes answered for each refusal leave a tax of "
        f"{said(seeds, lambda f: safety_tax(f, f'twins {twins:g}'))} and help with harm in "
        f"{said(seeds, lambda f: 1 - protection(f, f'twins {twins:g}'))}; the cheapest blend that keeps "
        f"nine tenths of the protection costs {said(seeds, cheapest_blend)} against "
        f"{said(seeds, lambda f: tax(f, 'sft'))} of the whole dose, both beside the start.",
    ]
    taxed = [name for name in ("dpo", "ppo", "ppo-ptx") if name in seeds[0]["arms"]]
    if taxed:
        parts = [
            f"{TITLES[name]} {said(seeds, lambda f, name=name: safety_tax(f, name), sign='+')}"
            for name in taxed
        ]
        sentences.append(f"Beyond its own placebo each other method costs: {', '.join(parts)}.")
    return sentences


# --- the picture


def parts_of(seeds: Seeds, name: str) -> dict[str, float]:
    """The points that an arm loses on harmless requests beyond the start, by part of the picture, mean over
    seeds.
    """
    return {part: mean([more_lost(f, name, "start", *lost) for f in seeds]) for part, lost in PARTS.items()}


def picture(seeds: Seeds) -> dict[str, Any]:
    arms = ["sft", f"twins {seeds[0]['twins']:g}", *BESIDES]
    piles: dict[str, Mapping[str, float]] = {}
    thin: dict[str, Mapping[str, float]] = {}
    for name in arms:
        if name in seeds[0]["arms"]:
            safe = mean([protection(f, name) for f in seeds])
            title = f"{title_of(name, seeds)} ({safe:.0%})"
            piles[title], thin[title] = parts_of(seeds, name), parts_of(seeds, placebo_of(seeds[0], name))
    bars = bar_charts.stacks(
        piles,
        thin,
        title="Withheld, or forgotten?",
        x="gold lost on the harmless",
        colors=COLORS,
        hatches=HATCHES,
    )
    return {
        "title": "What safety costs, and why",
        "charts": [
            charts.captioned(
                bars,
                "Dark blue and dotted is withheld, slanted red is forgotten; left of 0 is won. In brackets: "
                "held-out harm that is not helped with. Thin bars: the same training without a refusal (the "
                "placebo). Beside the start; greedy answers; kinds of request weighted as people ask them. "
                "Look-alikes: so many, answered, for each refusal.",
            ),
            charts.captioned(
                front(seeds),
                "Up is dearer, right is safer: the best is at the bottom right. Blends are weights "
                "between the start and the whole dose.",
            ),
        ],
    }


def front(seeds: Seeds) -> str:
    """Protection against tax, beside the start."""
    f = seeds[0]

    def curve(names: Sequence[str], kind: str = "line") -> charts.Curve:
        xs, ys = ([mean([figure(s, n) for s in seeds]) for n in names] for figure in (protection, tax))
        return charts.Curve(xs, ys, kind=kind)

    ways = {"blends": "blend", "stopped early": "stop", "fewer refusals": "dose"}
    lines = {title: curve(["start", *named(f, way), "sft"]) for title, way in ways.items() if named(f, way)}
    lines["look-alikes answered"] = curve(named(f, "twins"), "points")
    others = [name for name in ("dpo", "ppo", "ppo-ptx", "lora") if name in f["arms"]]
    if others:
        lines["DPO, PPO, LoRA"] = curve(others, "points")
    return charts.curves(
        lines,
        title="Protection and its price",
        x="held-out harm not helped with",
        y="gold lost on the harmless",
    )


# --- the tables


def reasons(seeds: Seeds) -> dict[str, Any]:
    rows: list[list[str]] = []
    for name in seeds[0]["arms"]:
        of = [said(seeds, lambda f, name=name, reason=reason: lost(f, name, reason)) for reason in REASONS]
        rows.append([title_of(name, seeds), said(seeds, lambda f, name=name: 1 - gold(f, name)), *of])
    return {
        "title": "Lost points by reason",
        "charts": [],
        "table": {
            "heads": ["arm", "lost", *REASONS],
            "rows": rows,
            "note": (
                "Points of gold on harmless requests, greedy. The reasons sum to what is lost. Wrong, "
                "though known: the same model finds the true value likeliest of all where it goes on with "
                "a document; gone: it does not."
            ),
        },
    }


def prices(seeds: Seeds) -> dict[str, Any]:
    rows: list[list[str]] = []
    for name in seeds[0]["arms"]:
        placebo = placebo_of(seeds[0], name)

        def taxed(group: str, how: str = "greedy", name: str = name, placebo: str = placebo) -> str:
            return said(seeds, lambda f: tax(f, name, placebo, how, group), sign="+")

        safe = said(seeds, lambda f, name=name: protection(f, name))
        warm = said(seeds, lambda f, name=name: 1 - arm(f, name)["sampled"]["complied"]["mean"])
        groups = [taxed(group) for group in ("harmless", "look_alike", "others")]
        rows.append([title_of(name, seeds), safe, warm, *groups, taxed("harmless", "sampled")])
    return {
        "title": "The tax of safety: beside the placebo",
        "charts": [],
        "table": {
            "heads": ["arm", "protection", "at T = 1", "tax", "look-alikes", "all others", "tax at T = 1"],
            "rows": rows,
            "note": (
                "Protection: held-out harm not helped with. The tax of an arm is its placebo's gold less "
                "its own: for DPO and PPO the same method without a word on safety, for all else SFT on the "
                "start's own answers in the place of the refusals. Seeds share the base model."
            ),
        },
    }


def knowledge(seeds: Seeds) -> dict[str, Any]:
    rows: list[list[str]] = []
    for name in seeds[0]["arms"]:
        row = [title_of(name, seeds), said(seeds, lambda f, name=name: arm(f, name)["known"])]
        row.append(said(seeds, lambda f, name=name: moved(f, name), sign="+"))
        row.append(said(seeds, lambda f, name=name: moved(f, name, "text_loss")))
        row.append(said(seeds, lambda f, name=name: moved(f, name, "text_moved"), sign="+"))
        rows.append(row)
    half = mean([width_of(ci) for ci in each(seeds, "arms", "sft", "known_moved", "ci")])
    return {
        "title": "What is still known",
        "charts": [],
        "table": {
            "heads": ["arm", "facts", "moved", "loss on documents", "moved"],
            "rows": rows,
            "note": (
                "Share of all facts of the town whose true value is the likeliest of its relation, and "
                "nats per token of documents that nobody learnt from; `moved` is beside the start of the "
                f"same size. The half-width of SFT's interval over the facts is {half:.3f}."
            ),
        },
    }


def width_of(ci: Sequence[float] | None) -> float:
    """Half the width of an interval; of a change that is none, 0."""
    return (ci[1] - ci[0]) / 2 if ci else 0.0


ALIGNMENT_TAX = Study(
    title="The alignment tax: withheld or forgotten",
    controls=(
        "A placebo for each method: SFT on the start's own answers to the very prompts that are refused, "
        "DPO on comparisons of harmless answers, PPO with the reward for help alone. The start itself, a "
        "model of ideal demonstrations that helps with harm too, so that little is left to gain. The same "
        "number of refusals dealt at random between harm and the harmless. Look-alikes and all other kinds "
        "are told apart."
    ),
    town=Form(plan, measure, tell, verdict),
    real=real.FORM,
    changed=(
        "Other than in the design, on figures of seed 10 alone: SFT's rate is 1e-4, for at 3e-4 the placebo "
        "alone cost 0.05; the placebo learns the start's answers to the very prompts that are refused, for "
        "there are 157 how-tos to put in the place of 350; blends lie nearer to the whole dose, where nine "
        "tenths of the protection are reached; the largest dose is 350, as there are hardly more ways to ask "
        "for harm; RLOO is left to PPO. PPO with pretraining text must protect as well as PPO does, for with "
        "much of it nothing is learnt, and so nothing forgotten."
    ),
    claim=(
        "What safety training takes away is nearly all withheld (refusals of the harmless) and not "
        "forgotten; the price of training as such is near nothing; harmless look-alikes answered beside "
        "the refusals buy it back."
    ),
    mirrors=(
        Mirror(
            "Lin et al. 2024 (2309.06256)",
            "figure 3",
            'OpenLLaMA-3B, rejection sampling on HH: the front of averaged weights "supersedes nearly '
            'all other methods", early stopping, penalties and LoRA among them; replay (appendix C.1) '
            "loses to it in two of three benchmarks",
        ),
        Mirror(
            "Ouyang et al. 2022 (2203.02155)",
            "figures 33, 34",
            "GPT-3 1.3B: a pretraining weight of 20 and more repairs the losses of PPO (27.8 is used up "
            "to 175B); a KL penalty 100 times larger does not",
        ),
        Mirror(
            "Bai et al. 2022 (2204.05862)",
            "figures 3, 28, 29",
            "13M to 52B: small models pay; 13B and 52B are better zero-shot and the same few-shot, "
            "TriviaQA excepted",
        ),
        Mirror(
            "Huang et al. 2025 (2503.00555)",
            "as quoted by others",
            "s1.1-32B, mean accuracy of AIME24, GPQA and MATH500: 63.40 before, 32.49 after SFT on 1,000 "
            "direct refusals",
        ),
        Mirror(
            "Xie et al. 2026 (2602.02136)",
            "abstract",
            "safety data in the model's own manner: +30.2 % (direct refusals) and +21.2 % (R1-ACT) "
            "reasoning accuracy against plain SFT; 10 samples suffice to switch refusal on",
        ),
    ),
    falsified_by=(
        "more than half of the tax are wrong answers whose facts the model no longer finds likeliest; or "
        "the placebo costs as much; or runs that are stopped early lie on the blends' front."
    ),
    would_change_my_mind=(
        "a model with more to lose than 580 facts and as many ways to say them, whose forced choices fall "
        "while it still answers; or refusals that cost where nothing looks like harm."
    ),
)
