"""The lecture's drawings by name, each made from records."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import DataError
from . import figures_bridge as bridge
from . import pictures_debates as debates
from . import pictures_measured as measured
from .course import Course
from .dynamics import dynamics
from .museum import museum
from .pipeline_picture import instructgpt, pipeline
from .records import NoSuchFigure

FIGURES: dict[str, Callable[[Course], str]] = {
    "over-optimisation": measured.over_optimisation,
    "over-optimisation-rl": measured.over_optimisation_rl,
    "demonstrations": measured.demonstrations,
    "mixed-demonstrations": measured.mixed_demonstrations,
    "clip": measured.clip,
    "reward-shift": measured.reward_shift,
    "kl-frontier": measured.kl_frontier,
    "three-hs": measured.three_hs,
    "attacks": measured.attacks,
    "defences": measured.defences,
    "rounds": measured.rounds,
    "constitution": measured.constitution,
    "recipes": measured.recipes,
    "alignment-tax": debates.alignment_tax,
    "sycophancy": debates.sycophancy,
    "specification-gaming": debates.specification_gaming,
    "whose-values": debates.whose_values,
    "oversight": debates.oversight,
    "depth": debates.depth,
    "pipeline": pipeline,
    "instructgpt": instructgpt,
    "dynamics": dynamics,
    "museum": museum,
    **bridge.FIGURES,
}


def drawn(name: str, course: Course) -> str:
    """The SVG of a drawing, or the HTML of a picture.

    Raises:
        DataError: there is none of that name, or a record lacks what it shows.
    """
    if name not in FIGURES:
        raise DataError(f"there is no figure {name}", remedy=f"one of: {', '.join(FIGURES)}")
    try:
        return FIGURES[name](course)
    except NoSuchFigure as reason:
        raise DataError(f"the figure {name}: {reason}") from None
