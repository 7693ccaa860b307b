"""The town's simulated people: who ranks, and what each of them likes; who writes demonstrations, and how
carefully.

fair        what the gold judge likes, with a little noise: about nine in ten of clear pairs as gold has them
noisy       the same taste, much more noise
long        likes long answers
flattered   likes flattery, and whoever agrees with a claim
careless    in four of ten rankings just keeps the order the answers came in
limited     cannot check two hops or sums above ten: goes by how the answer looks
ai          an AI annotator: even-handed, a little fond of length, cannot check two hops or sums above ten
builders    on contested matters wants the side that speaks for them argued
keepers     the same, against
contrary    likes what the gold judge dislikes: about nine in ten clear pairs the wrong way round
helpful-only  looks at helpfulness alone: help with harm is help, a refusal is none
harm-only   looks at harm alone, ties whatever does none, and labels each completion safe or not
pool        ten of them, one for each prompt: six fair, two careless, two contrary (`pool:NAME*COUNT,...`
makes other pools)

careful     writes as demonstrators do, with a quarter of their flaws
ordinary    writes as demonstrators do (`answers.MIXED`)
hasty       writes as anybody at all (`answers.CROWD`)
hurried     writes as demonstrators do, with one and a half times their flaws
"""

from __future__ import annotations

import random

from ..errors import DataError, UserError
from ..feedback.annotators import SimulatedAnnotator
from ..feedback.writers import SimulatedWriter
from ..records import Prompt
from ..run import derive_seed
from . import answers
from .gold import GoldJudge
from .tasks import Request
from .world import World

PEOPLE_WHO_RANK: dict[str, dict] = {
    "fair": {"weights": {"value": 1.0}, "temperature": 0.15, "tie_margin": 0.15},
    "noisy": {"weights": {"value": 1.0}, "temperature": 0.40, "tie_margin": 0.02},
    "long": {"weights": {"value": 0.4, "length": 0.05}, "temperature": 0.10, "tie_margin": 0.02},
    "flattered": {
        "weights": {"value": 0.6, "flattery": 0.8, "agreement": 0.8},
        "temperature": 0.10,
        "tie_margin": 0.02,
    },
    "careless": {"weights": {"value": 1.0}, "temperature": 0.10, "tie_margin": 0.02, "careless": 0.4},
    "limited": {
        "weights": {"value": 1.0},
        "temperature": 0.10,
        "tie_margin": 0.02,
        "blind_to": ("two_hop", "sum_above_ten"),
    },
    "ai": {
        "weights": {"value": 1.0, "length": 0.01},
        "temperature": 0.12,
        "tie_margin": 0.05,
        "blind_to": ("two_hop", "sum_above_ten"),
    },
    "builders": {"weights": {"value": 1.0, "pro": 1.2}, "temperature": 0.10, "tie_margin": 0.02},
    "keepers": {"weights": {"value": 1.0, "con": 1.2}, "temperature": 0.10, "tie_margin": 0.02},
    "contrary": {"weights": {"value": -1.0}, "temperature": 0.15, "tie_margin": 0.15},
    "helpful-only": {
        "weights": {"value": 1.0, "complied": 1.0, "refusal": -1.0},
        "temperature": 0.15,
        "tie_margin": 0.15,
    },
    "harm-only": {
        "weights": {"complied": -1.0},
        "temperature": 0.02,
        "tie_margin": 0.5,
        "unsafe": "complied",
    },
}
POOL = "town:fair*6,town:careless*2,town:contrary*2"


def annotator(world: World, name: str, *, seed: int) -> SimulatedAnnotator:
    """The annotator of that name. Raises UserError for a name the town does not know."""
    if name not in PEOPLE_WHO_RANK:
        raise UserError(
            f"the town has no annotator {name!r}", remedy="one of: " + ", ".join((*PEOPLE_WHO_RANK, "pool"))
        )
    return SimulatedAnnotator(f"town:{name}", GoldJudge(world), seed=seed, **PEOPLE_WHO_RANK[name])


PEOPLE_WHO_WRITE: dict[str, dict[str, float]] = {
    "careful": {flaw: rate / 4 for flaw, rate in answers.MIXED.items()},
    "ordinary": answers.MIXED,
    "hasty": answers.CROWD,
    "hurried": {flaw: min(1.0, 1.5 * rate) for flaw, rate in answers.MIXED.items()},
}
"""How often each flaw occurs in a writer's answers."""


def writer(world: World, name: str, *, seed: int) -> SimulatedWriter:
    """The writer of that name. Raises UserError for a name the town does not know; the writer, DataError for
    a prompt that is none of the town's.
    """
    if name not in PEOPLE_WHO_WRITE:
        raise UserError(f"the town has no writer {name!r}", remedy="one of: " + ", ".join(PEOPLE_WHO_WRITE))

    def answer(index: int, prompt: Prompt) -> str:
        if "kind" not in prompt.meta:
            raise DataError(
                f"the town's people answer the town's prompts only, not {prompt.text!r:.80}",
                remedy="--data town:prompts, or files as writers",
            )
        rng = random.Random(derive_seed(seed, "write", name, index, prompt.id))
        return answers.demonstrate(world, Request.of(prompt), rng, PEOPLE_WHO_WRITE[name]).text

    return SimulatedWriter(f"town:{name}", answer)
