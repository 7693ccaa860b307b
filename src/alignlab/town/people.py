"""The town's simulated annotators: who ranks, and what each of them likes.

    fair        what the gold judge likes, with a little noise: about nine in ten of clear pairs as gold has them
    noisy       the same taste, much more noise
    long        likes long answers
    flattered   likes flattery, and whoever agrees with a claim
    careless    in four of ten rankings just keeps the order the answers came in
    limited     cannot check two hops or sums above ten: goes by how the answer looks
    builders    on contested matters wants the side that speaks for them argued
    keepers     the same, against
"""

from __future__ import annotations

from ..errors import UserError
from ..feedback.annotators import SimulatedAnnotator
from .gold import GoldJudge
from .world import World

PEOPLE_WHO_RANK: dict[str, dict] = {
    "fair": {"weights": {"value": 1.0}, "temperature": 0.15, "tie_margin": 0.15},
    "noisy": {"weights": {"value": 1.0}, "temperature": 0.40, "tie_margin": 0.02},
    "long": {"weights": {"value": 0.4, "length": 0.05}, "temperature": 0.10, "tie_margin": 0.02},
    "flattered": {"weights": {"value": 0.6, "flattery": 0.8, "agreement": 0.8}, "temperature": 0.10, "tie_margin": 0.02},
    "careless": {"weights": {"value": 1.0}, "temperature": 0.10, "tie_margin": 0.02, "careless": 0.4},
    "limited": {"weights": {"value": 1.0}, "temperature": 0.10, "tie_margin": 0.02, "blind_to": ("two_hop", "sum_above_ten")},
    "builders": {"weights": {"value": 1.0, "pro": 1.2}, "temperature": 0.10, "tie_margin": 0.02},
    "keepers": {"weights": {"value": 1.0, "con": 1.2}, "temperature": 0.10, "tie_margin": 0.02},
}


def annotator(world: World, name: str, *, seed: int) -> SimulatedAnnotator:
    """The annotator of that name. Raises UserError for a name the town does not know."""
    if name not in PEOPLE_WHO_RANK:
        raise UserError(f"the town has no annotator {name!r}", remedy="one of: " + ", ".join(PEOPLE_WHO_RANK))
    return SimulatedAnnotator(f"town:{name}", GoldJudge(world), seed=seed, **PEOPLE_WHO_RANK[name])
