"""Which models there are to talk to: those of the folder's finished runs, and the base models that ship; and
which reward models there are to score what they say.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelError
from ..models.folder import is_reward
from ..town import names as town
from .heads import Head
from .inside import Inside
from .problems import Refused
from .scan import below, id_of
from .shelf import Seen

BASES = ("town-s", "town-m", "town-l")
WEIGHTS = ".safetensors"


@dataclass(frozen=True)
class Model:
    """A model that writes, or scores.

    Attributes:
        named: by which a command line knows it: a run's folder, or a base model's name.
        folder: where its weights lie.
        bytes: of its weights.
        base: trained on text alone, before any chat.
    """

    id: str
    name: str
    group: str
    stage: str
    named: str
    folder: Path
    bytes: int
    base: bool = False


def listed(inside: Inside, seen: Seen) -> list[Model]:
    """Every model, runs that began last first."""
    runs = [model for head in seen.newest if (model := of_run(inside, seen, head)) is not None]
    return [*runs, *map(shipped, BASES)]


def rewards(inside: Inside, seen: Seen) -> list[Model]:
    """Every model that scores, runs that began last first."""
    found = (of_run(inside, seen, head, scores=True) for head in seen.newest)
    return [model for model in found if model is not None]


def of_run(inside: Inside, seen: Seen, head: Head, *, scores: bool = False) -> Model | None:
    """The model that a finished run wrote, one that writes or (`scores`) one that scores; None where it wrote
    none of the kind.
    """
    if head.status != "done":
        return None
    place = below(head.folder, "checkpoint")
    folder = inside.at(place)
    try:
        sizes = dict(_files(inside, place))
        if not any(name.endswith(WEIGHTS) for name in sizes) or is_reward(folder) != scores:
            return None
    except (OSError, ModelError):
        return None
    return Model(
        id=id_of(head.path),
        name=seen.name_of(head.path),
        group=seen.groups[head.path],
        stage=head.stage,
        named=str(inside.at(head.folder)),
        folder=folder,
        bytes=sum(size for name, size in sizes.items() if name.endswith(WEIGHTS)),
    )


def _files(inside: Inside, place: str) -> Iterator[tuple[str, int]]:
    """The files of a checkpoint with their sizes. Raises OSError: one is a link, or behind one."""
    with os.scandir(inside.at(place)) as entries:
        names = [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
    for name in names:
        with inside.binary(below(place, name)) as file:
            yield name, os.fstat(file.fileno()).st_size


def shipped(name: str) -> Model:
    """A base model of the town. No path has `//` in it, so its id is no run's."""
    folder = Path(town.shipped(name))
    size = sum(path.stat().st_size for path in folder.glob(f"*{WEIGHTS}"))
    return Model(id_of(f"//{name}"), name, "", "base", name, folder, size, base=True)


def find(inside: Inside, seen: Seen, id: str) -> Model:
    """The model of an id. Raises Refused: 404 there is none, 422 a run that wrote none."""
    if (base := next((name for name in BASES if id_of(f"//{name}") == id), "")) != "":
        return shipped(base)
    head = seen.find(id)
    model = of_run(inside, seen, head)
    if model is None:
        raise Refused(
            422,
            f"{seen.name_of(head.path)} holds no model that writes",
            remedy="a finished run of sft, dpo, ppo or another that trains a model",
        )
    return model


def find_reward(inside: Inside, seen: Seen, id: str) -> Model:
    """The reward model of an id. Raises Refused: 404, 422."""
    head = seen.find(id)
    model = of_run(inside, seen, head, scores=True)
    if model is None:
        raise Refused(422, f"{seen.name_of(head.path)} holds no reward model", field="reward")
    return model


def behind(inside: Inside, seen: Seen, head: Head) -> Model:
    """The model whose answers a run's samples are: its own, or of a measurement the one it measured. Raises
    Refused: 422.
    """
    own = of_run(inside, seen, head)
    first, names = seen.families[head.path].first, head.config.get("models")
    if own is None and first is not None:
        own = of_run(inside, seen, seen.heads[first])
    if own is None and isinstance(names, list) and names and names[0] in ("town", *BASES):
        own = shipped(names[0])
    return own or find(inside, seen, id_of(head.path))
