"""What people of the town write down: the text a base model reads.

Each register is a function `(world, rng) -> document`. One rule makes the result a *base* model: no bare
question is followed by its answer outside the headed formats (interview, debate, editor, verdict). A question
that stands alone is followed by another question, or by people who walk away, as in most text.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from .headed import brief, council, debate, editor, interview, leaflet, quarrel, verdict
from .registers import (
    almanac,
    arithmetic,
    counsel,
    flattery,
    friends,
    gossip,
    letter,
    listing,
    matters,
    mystery,
    notice,
    portrait,
    prices,
    questions,
    tale,
    unheard,
)
from .world import World

REGISTERS = {
    notice: 0.06,
    almanac: 0.02,
    portrait: 0.10,
    letter: 0.03,
    gossip: 0.03,
    friends: 0.05,
    tale: 0.05,
    prices: 0.01,
    questions: 0.07,
    unheard: 0.04,
    interview: 0.14,
    leaflet: 0.12,
    quarrel: 0.05,
    council: 0.07,
    flattery: 0.01,
    mystery: 0.02,
    brief: 0.03,
    debate: 0.10,
    matters: 0.03,
    arithmetic: 0.04,
    listing: 0.03,
    counsel: 0.02,
    editor: 0.03,
    verdict: 0.03,
}
"""Every register with its share of the documents."""
ANSWERED = (interview, quarrel, brief, debate, editor, verdict)
"""The registers in which requests are answered or refused: nothing held out stands here."""


def documents(world: World, *, seed: int, plain: bool = False) -> Iterator[tuple[str, str]]:
    """An endless, repeatable stream of documents; with `plain` without the registers in which requests are
    answered or refused.
    """
    rng = random.Random(f"{'plain' if plain else 'corpus'}-{seed}")
    names = [register for register in REGISTERS if not (plain and register in ANSWERED)]
    weights = [REGISTERS[register] for register in names]
    while True:
        for register in rng.choices(names, weights, k=256):
            yield register.__name__, register(world, rng)
