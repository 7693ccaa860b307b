"""Rankings and labelled completions by name: several data sets as one, with what is kept for testing
apart.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from .. import names
from ..data.split import by_question
from ..errors import UserError
from ..records import Ranking, Unpaired, question, read_jsonl
from ..text.lists import by_comma

R = TypeVar("R", Ranking, Unpaired)


class Split(NamedTuple, Generic[R]):
    """What is learnt from, what is kept for testing (None: nothing is yet), the data sets that they come
    from, and what to tell the user of them.
    """

    parts: list[names.data.Data]
    train: list[R]
    test: list[R] | None
    note: str


def preferences(data: str, seed: int, count: int, held_out: float) -> Split[Ranking]:
    """Rankings from a run of `alignlab collect`, which is split, or from anything else, which is not."""
    loaded = [_preferences(part, seed, count) for part in _parts_of(data, "rankings or comparisons")]
    return _together(loaded, held_out, seed, what="rankings", same=_same_ranking)


def labelled(data: str, seed: int, count: int, held_out: float) -> Split[Unpaired]:
    """As `preferences`, each completion by itself with its label."""
    loaded = [_labelled(part, seed, count) for part in _parts_of(data, "labelled completions")]
    split = _together(loaded, held_out, seed, what="completions", same=_same_completion)
    notes = [split.note, *(part.note for part in loaded)]
    return split._replace(note="\n".join(dict.fromkeys(note for note in notes if note)))


# --- one data set


def _preferences(data: str, seed: int, count: int) -> Split[Ranking]:
    file = Path(data) / "data" / "rankings.jsonl"
    if not file.exists():
        loaded = names.data.read_data(data, "ranking", seed=seed, count=count)
        return Split([loaded], list(loaded.records), None, "")
    of_run = names.data.of_a_run(data)
    train, test = (read_jsonl(file, Ranking), read_jsonl(file.with_name("rankings_test.jsonl"), Ranking))
    if not count or count >= len(train):
        return Split([replace(of_run, records=train)], train, test, "")
    first = replace(
        of_run,
        records=train[:count],
        digest=f"{of_run.digest}#{count}",
        report=f"{data}: the first {count} of {len(train)} rankings to learn from, all {len(test)} held out",
    )
    return Split([first], train[:count], test, "")


def _labelled(data: str, seed: int, count: int) -> Split[Unpaired]:
    if (Path(data) / "data" / "rankings.jsonl").exists():
        split = _preferences(data, seed, count)
        train = list(chain.from_iterable(r.unpaired() for r in split.train))
        test = list(chain.from_iterable(r.unpaired() for r in split.test or []))
        return Split(split.parts, train, test, _hardened(split.train))
    loaded = names.data.read_data(data, "unpaired", seed=seed, count=count)
    note = ""
    if names.data.kind(data) in ("comparison", "ranking"):
        note = _hardened(names.data.read_data(data, "ranking", seed=seed, count=count).records)
    return Split([loaded], list(loaded.records), None, note)


def _hardened(rankings: Iterable[Ranking]) -> str:
    """What to tell of soft labels, of which only the favored side is left."""
    soft = sum("labels" in r.meta for r in rankings)
    if not soft:
        return ""
    return (
        f"kto: {soft} prompts have soft labels, and kto knows none: a completion counts as liked if "
        "more than half of its label is for it"
    )


# --- several


def _parts_of(data: str, what: str) -> list[str]:
    if not data:
        raise UserError(
            f"no {what} are named",
            remedy="--data RUN, a run of `alignlab collect`, or a file; RUN,RUN for several",
        )
    return parts_of(data)


def parts_of(data: str) -> list[str]:
    """The names in `A,B`; a file whose name has a comma, and a `mix:`, stand for themselves. What columns are
    is said of each.
    """
    if data.startswith("columns:"):
        _, listed, rest = data.split(":", 2)
        return [f"columns:{listed}:{part}" for part in parts_of(rest)]
    if Path(data).exists() or data.startswith("mix:"):
        return [data]
    return by_comma(data)


def _together(
    loaded: Sequence[Split[R]], held_out: float, seed: int, *, what: str, same: Callable[[R], Hashable]
) -> Split[R]:
    """Several parts as one (InstructGPT's rounds: comparisons of the first policy and of the newer one).

    A question that is held out in one part is held out in all: its records in the others move to the test
    side. A part that is not split yet is split by `held_out`. The same record twice counts once.

    Args:
        what: what the records are called; same: what makes two of them the same.
    """
    if len(loaded) == 1:
        return loaded[0]._replace(note="")
    unsplit = all(part.test is None for part in loaded)
    sides: list[tuple[list[R], list[R]]] = []
    for part in loaded:
        if unsplit:
            sides.append((part.train, []))
        elif part.test is None:
            sides.append(by_question(part.train, held_out, seed))
        else:
            sides.append((part.train, part.test))
    held_out_records = list(chain.from_iterable(test for _, test in sides))
    held = {question(record.prompt) for record in held_out_records}

    def once(records: Iterable[R]) -> list[R]:
        return list({same(record): record for record in records}.values())

    learn = list(chain.from_iterable(train for train, _ in sides))
    moved = [record for record in learn if question(record.prompt) in held]
    train = once(record for record in learn if question(record.prompt) not in held)
    test = once(held_out_records + moved)
    parts = list(chain.from_iterable(split.parts for split in loaded))
    counts = [
        f"{len(train)} + {len(test)} of {name}"
        for (train, test), name in zip(sides, [part.name for part in parts], strict=True)
    ]
    note = (
        f"mixture: {len(train)} {what} to learn from, {len(test)} held out ({', '.join(counts)}); "
        f"{len(moved)} moved to the held-out side, since another part holds their question out"
    )
    return Split(parts, train, None if unsplit else test, note)


def _same_ranking(r: Ranking) -> Hashable:
    texts = tuple(c.text for c in r.completions)
    return r.prompt.id, texts, r.ranks, r.annotator, tuple(r.meta.get("labels", ()))


def _same_completion(u: Unpaired) -> Hashable:
    return u.prompt.id, u.completion, u.label, u.finished
