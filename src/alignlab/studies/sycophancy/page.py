"""What the figures of the study `sycophancy` say over the seeds, and its page."""

from __future__ import annotations

from typing import Any

from ...evals.statistics import seeds_summary
from ..study import Form, Seeds, Study, Told, each
from . import claims, real, real_page
from .causes import layers, remedies
from .figures import measure
from .law import Rater
from .plan import plan
from .sections import changes, diagram, readiness, shown


def tell(seeds: Seeds) -> Told:
    sections = [diagram(seeds), readiness(seeds)]
    if seeds[0]["layers"]:
        sections.append(layers(seeds))
    if seeds[0]["remedies"]:
        sections.append(remedies(seeds))
    return Told(conclusion(seeds), sections, claims.bars(seeds), over_seeds(seeds))


def over_seeds(seeds: Seeds) -> dict[str, Any]:
    over: dict[str, Any] = {}
    for place, cell in enumerate(seeds[0]["cells"]):
        values = [value for value in changes(seeds, place) if value is not None]
        if values:
            over[f"change: {Rater(**cell['rater'])}"] = seeds_summary(values)
    return over


def conclusion(seeds: Seeds) -> list[str]:
    found = claims.bars(seeds)
    law, blind, ready = (found[place] for place in (claims.LAW, claims.BLIND, claims.READY))
    start = shown(each(seeds, "models", "sft", "sampled", "agreement", "mean"))
    said = [
        f"SFT on people who agree without looking in two cases of five says yes to {start} of the wrong "
        "claims about facts that it tells right when it is asked plainly.",
        "Whether preferences make it say so more often is computed from what raters like, what they can "
        f"check and their noise, with no free parameter: the sign is right for {law.effect} of the raters "
        f"that are not at the boundary ({law.control}).",
        "Raters who can check nothing make a flatterer at a liking of 0.1: agreement changes by "
        f"{blind.effect} ({blind.control}).",
        f"Between the raters who favor agreement least and most the criterion moves by {ready.effect}, which "
        f"is readiness to say yes; beside it, what is forgotten ({ready.control}).",
    ]
    if seeds[0]["layers"]:
        sign, tilt = found[claims.SIGN], found[claims.TILT]
        said.append(
            f"The reward model's mean gap has the sign of RLOO's drift in {sign.effect} of the runs "
            f"({sign.control}), and tilting the start as far as RLOO went misses RLOO's agreement by "
            f"{tilt.effect} ({tilt.control})."
        )
    if "penalty" in seeds[0]["remedies"]:
        price = found[claims.PENALTY]
        said.append(
            f"With the closed-form penalty agreement changes by {price.effect} ({price.control}), and it "
            f"costs {shown(each(seeds, 'remedies', 'penalty', 'cost', 'mean'))} of gold in all else."
        )
    return said


SYCOPHANCY = Study(
    title="Who makes flatterers",
    controls=(
        "DPO on preferences dealt at random, and on an honest rater's, over the same answers. Right claims "
        "in the words of the wrong ones. The plain question about each fact, so that not knowing is told "
        "from giving way. Every rater ranks the very same answers, with the same luck. For the lessons: as "
        "many plain questions."
    ),
    town=Form(plan, measure, tell, claims.verdict),
    real=Form(real.plan, real.measure, real_page.tell, real_page.verdict),
    changed=claims.CHANGED,
    claim=claims.CLAIM,
    mirrors=claims.MIRRORS,
    falsified_by=claims.FALSIFIED_BY,
    would_change_my_mind=claims.WOULD_CHANGE_MY_MIND,
)
