"""What a name of somebody stands for who ranks or writes.

annotator   town:NAME · pool:NAME*COUNT,... (each prompt goes to one of them) · random (a control: any order) · reward:RUN (ranks by score) · ai:MODEL... (ranks by comparisons, with soft labels)
writer      town:NAME · any data with answers to the prompts
"""

from __future__ import annotations

import re
from typing import Any

from ..errors import UserError
from ..run import derive_seed
from . import data
from .judges import ai_judge, judge


def annotator(name: str, *, seed: int) -> Any:
    """Somebody who ranks: an annotator of the town, or a judge that ranks by its score."""
    from ..feedback.annotators import SimulatedAnnotator

    if name.startswith("town:") and name != "town:gold":
        from ..town import people, world

        if name == "town:pool":
            return annotator(f"pool:{people.POOL}", seed=seed)
        return people.annotator(world.build(), name.removeprefix("town:"), seed=seed)
    if name.startswith("pool:"):
        return pool(name, seed=seed)
    if name == "random":
        return SimulatedAnnotator("random", judge("constant"), weights={}, temperature=1.0, seed=seed)
    if name.startswith("ai:"):
        from ..feedback.ai_annotator import AIAnnotator

        return AIAnnotator(ai_judge(name, seed=seed))
    if not name:
        raise UserError(
            "an annotator is needed", remedy="--annotator town:fair, or reward:RUN to rank by a reward model"
        )
    return SimulatedAnnotator(name, judge(name), weights={"value": 1.0}, temperature=0.0, seed=seed)


def pool(name: str, *, seed: int) -> Any:
    """`pool:NAME*COUNT,NAME,...`: people of their own minds who share the work, each prompt ranked by one of
    them.
    """
    from ..feedback.annotators import PoolAnnotator

    people = []
    for part in name.removeprefix("pool:").split(","):
        who, _, count = part.partition("*")
        if not re.fullmatch(r"[0-9]{0,3}", count) or not who or who.startswith("pool"):
            raise UserError(
                f"{part!r} names nobody for a pool",
                where=name,
                remedy="pool:town:fair*6,town:careless*2,town:contrary*2",
            )
        for number in range(int(count or 1)):
            person = annotator(who, seed=derive_seed(seed, part, number))
            person.name = f"{person.name}-{number}" if count else person.name
            people.append(person)
    if not people:
        raise UserError(
            f"{name!r} is an empty pool", remedy="pool:town:fair*6,town:careless*2,town:contrary*2"
        )
    return PoolAnnotator(name, people, seed=seed)


def writer(name: str, *, seed: int) -> Any:
    """Somebody who writes demonstrations: one of the town, or whoever wrote the answers of a data set."""
    from ..feedback.writers import RecordedWriter

    if name.startswith("town:"):
        from ..town import people, world

        return people.writer(world.build(), name.removeprefix("town:"), seed=seed)
    return RecordedWriter(
        name, {row.prompt.id: row.completion for row in data.read(name, "demonstration").records}
    )
