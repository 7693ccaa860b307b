"""Rankings and labelled completions by name, several data sets as one, split into those to learn from and those kept for testing."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from .. import names
from ..data.split import by_prompt
from ..errors import UserError
from ..records import Ranking, Unpaired
from ..run import read_run

R = TypeVar("R", Ranking, Unpaired)


Part = tuple[names.data.Data, list[R], list[R] | None]
"""One part of the data: what it is called, what to learn from and, where it is split already, what is kept for testing."""


def preferences(
    data: str, seed: int, count: int, held_out: float
) -> tuple[list[names.data.Data], list[Ranking], list[Ranking] | None, str]:
    """Rankings to learn from and, where the data is split already, those kept for testing; and what to tell
    the user of a mixture (`mixed`).
    """
    if not data:
        raise UserError(
            "no rankings or comparisons are named",
            remedy="--data RUN, a run of `alignlab collect`, or a file; RUN,RUN for several",
        )
    return mixed(
        [_preferences(part, seed, count) for part in parts_of(data)],
        held_out,
        seed,
        what="rankings",
        same=lambda r: (
            r.prompt.id,
            tuple(c.text for c in r.completions),
            r.ranks,
            r.annotator,
            tuple(r.meta.get("labels", ())),
        ),
    )


def labelled(
    data: str, seed: int, count: int, held_out: float
) -> tuple[list[names.data.Data], list[Unpaired], list[Unpaired] | None, str]:
    """As `preferences`, each completion by itself with its label."""
    if not data:
        raise UserError(
            "no labelled completions are named",
            remedy="--data RUN, a run of `alignlab collect`, or a file; RUN,RUN for several",
        )
    loaded = [_labelled(part, seed, count) for part in parts_of(data)]
    parts, train, test, said = mixed(
        [part for part, _ in loaded],
        held_out,
        seed,
        what="completions",
        same=lambda u: (u.prompt.id, u.completion, u.label, u.finished),
    )
    return parts, train, test, "\n".join(line for line in (said, *(soft for _, soft in loaded)) if line)


def parts_of(data: str) -> list[str]:
    """The names in `A,B`; a file whose name has a comma, and a `mix:`, stand for themselves. What columns are
    is said of each.
    """
    if data.startswith("columns:"):
        _, listed, rest = data.split(":", 2)
        return [f"columns:{listed}:{part}" for part in parts_of(rest)]
    return (
        [data]
        if Path(data).exists() or data.startswith("mix:")
        else [part.strip() for part in data.split(",") if part.strip()]
    )


def mixed(
    loaded: Sequence[Part[R]], held_out: float, seed: int, *, what: str, same: Callable[[R], Hashable]
) -> tuple[list[names.data.Data], list[R], list[R] | None, str]:
    """Several parts as one (InstructGPT's rounds: comparisons of the first policy and of the newer one), and
    what to tell the user of them.

    A prompt that is held out in one part is held out in all: its records in the others move to the test side.
    A part that is not split yet is split by `held_out`. The same record twice counts once.

    Args:
        what: what the records are called; same: what makes two of them the same.
    """
    if len(loaded) == 1:
        return [loaded[0][0]], *loaded[0][1:], ""
    if all(test is None for _, _, test in loaded):
        sides = [(train, []) for _, train, _ in loaded]
    else:
        sides = [
            (train, test) if test is not None else by_prompt(train, held_out, seed)
            for _, train, test in loaded
        ]
    kept = {r.prompt.id for _, test in sides for r in test}

    def once(records: Iterable[R]) -> list[R]:
        return list({same(record): record for record in records}.values())

    train = once(r for learn, _ in sides for r in learn if r.prompt.id not in kept)
    moved = [r for learn, _ in sides for r in learn if r.prompt.id in kept]
    test = once(r for part in (*(test for _, test in sides), moved) for r in part)
    counts = ", ".join(
        f"{len(learn)} + {len(rest)} of {part.name}"
        for (part, _, _), (learn, rest) in zip(loaded, sides, strict=True)
    )
    said = (
        f"mixture: {len(train)} {what} to learn from, {len(test)} held out ({counts}); {len(moved)} moved to the held-out side, "
        f"since another part holds their prompt out"
    )
    return (
        [part for part, _, _ in loaded],
        train,
        None if all(test is None for _, _, test in loaded) else test,
        said,
    )


def _preferences(data: str, seed: int, count: int) -> Part[Ranking]:
    """One part of the data: a run of collect, which is split, or anything else, which is not."""
    from ..records import read_jsonl

    folder = Path(data) / "data"
    if (folder / "rankings.jsonl").exists():
        names.known.check_finished(data)
        info = read_run(data)
        train, test = (
            read_jsonl(folder / "rankings.jsonl", Ranking),
            read_jsonl(folder / "rankings_test.jsonl", Ranking),
        )
        if not count or count >= len(train):
            return names.data.Data(train, data, info.key), train, test
        report = f"{data}: the first {count} of {len(train)} rankings to learn from, all {len(test)} held out"
        return names.data.Data(train[:count], data, f"{info.key}#{count}", report), train[:count], test
    loaded = names.data.read(data, "ranking", seed=seed, count=count)
    return loaded, list(loaded.records), None


def _labelled(data: str, seed: int, count: int) -> tuple[Part[Unpaired], str]:
    """As `_preferences`, each completion by itself; and what to tell of soft labels, of which only the
    favoured side is left.
    """
    if (Path(data) / "data" / "rankings.jsonl").exists():
        loaded, train, test = _preferences(data, seed, count)
        return (
            loaded,
            [u for r in train for u in r.unpaired()],
            [u for r in test or [] for u in r.unpaired()],
        ), _hardened(train)
    loaded = names.data.read(data, "unpaired", seed=seed, count=count)
    said = (
        _hardened(names.data.read(data, "ranking", seed=seed, count=count).records)
        if names.data.kind(data) in ("comparison", "ranking")
        else ""
    )
    return (loaded, list(loaded.records), None), said


def _hardened(rankings: Iterable[Ranking]) -> str:
    soft = sum("labels" in r.meta for r in rankings)
    return (
        (
            f"kto: {soft} prompts have soft labels, and kto knows none: a completion counts as liked if "
            "more than half of its label is for it"
        )
        if soft
        else ""
    )
