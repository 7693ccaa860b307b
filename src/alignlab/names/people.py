"""What a name of somebody stands for who ranks or writes.

annotator   town:NAME · town:DIAL=NUMBER+... (`town.people`) · town:people[/GROUP][=FILE] ·
            pool:NAME*COUNT,... (each prompt goes to one of them) · random (a control: any order) ·
            reward:RUN (ranks by score) · ai:MODEL... (ranks by comparisons, with soft labels)
writer      town:NAME · any data with answers to the prompts
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..run import derive_seed
from ..town import names as town
from . import data, judges
from .named import Named, runs_among

A_POOL = "pool:town:fair*6,town:careless*2,town:contrary*2"


def annotator(name: str, *, seed: int) -> Named[Any]:
    """Somebody who ranks: an annotator of the town, or a judge that ranks by its score."""
    if name == "town:pool":
        return annotator(f"pool:{town.pool()}", seed=seed)
    if name.startswith(town.PREFIX) and not town.is_judge(name):
        return _of_the_town(name, seed)
    if name.startswith("pool:"):
        return _pool(name, seed)
    if name == "random":
        return _by_score(name, judges.judge("constant"), weights={}, temperature=1.0, seed=seed)
    if not name:
        raise UserError(
            "an annotator is needed", remedy="--annotator town:fair, or reward:RUN to rank by a reward model"
        )
    judge = judges.judge(name)
    if name.startswith("ai:"):
        return Named(name, lambda: _by_comparisons(name, seed), judge.runs)
    return _by_score(name, judge, weights={"value": 1.0}, temperature=0.0, seed=seed)


def _of_the_town(name: str, seed: int) -> Named[Any]:
    word = name.removeprefix(town.PREFIX)
    town.check_annotator(word)
    file = town.file_of(word)
    runs = runs_among(str(Path(file).parent)) if file else ()
    alone = (file,) if file and not runs else ()
    return Named(name, lambda: town.annotator(word, seed=seed), runs, files=alone)


def _by_score(name: str, judge: Named[Any], **settings: Any) -> Named[Any]:
    from ..feedback.annotators import SimulatedAnnotator

    return Named(name, lambda: SimulatedAnnotator(name, judge.load(), **settings), judge.runs)


def _by_comparisons(name: str, seed: int) -> Any:
    from ..feedback.ai_annotator import AIAnnotator

    return AIAnnotator(judges.ai_judge(name, seed=seed))


def _pool(name: str, seed: int) -> Named[Any]:
    """`pool:NAME*COUNT,NAME,...`: people of their own minds who share the work, each prompt ranked by one of
    them.
    """
    people: list[tuple[str, Named[Any]]] = []
    for part in name.removeprefix("pool:").split(","):
        who, _, count = part.partition("*")
        if not re.fullmatch(r"[0-9]{0,3}", count) or not who or who.startswith("pool"):
            raise UserError(f"{part!r} names nobody for a pool", where=name, remedy=A_POOL)
        for number in range(int(count or 1)):
            person = annotator(who, seed=derive_seed(seed, part, number))
            people.append((f"-{number}" if count else "", person))
    if not people:
        raise UserError(f"{name!r} is an empty pool", remedy=A_POOL)

    def load() -> Any:
        from ..feedback.annotators import PoolAnnotator

        together = []
        for suffix, person in people:
            together.append(person.load())
            together[-1].name += suffix
        return PoolAnnotator(name, together, seed=seed)

    runs = tuple(run for _, person in people for run in person.runs)
    files = tuple(file for _, person in people for file in person.files)
    return Named(name, load, tuple(dict.fromkeys(runs)), files=tuple(dict.fromkeys(files)))


def writer(name: str, *, seed: int) -> Named[Any]:
    """Somebody who writes demonstrations: one of the town, or whoever wrote the answers of a data set."""
    if name.startswith(town.PREFIX):
        return Named(name, lambda: town.writer(name.removeprefix(town.PREFIX), seed=seed))
    from ..feedback.writers import RecordedWriter

    answers = data.read_data(name, "demonstration")
    written = {row.prompt.id: row.completion for row in answers.records}
    return Named(name, lambda: RecordedWriter(name, written), answers.runs)
