"""Long work on many items, a chunk at a time: a run that goes on begins with the first that is not kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any, TypeVar

from . import elsewhere
from .beside import Beside

T = TypeVar("T")
CHUNK = 512  # items between two points that a run goes on from, if nobody says otherwise


def in_chunks(
    run: Any,
    items: Sequence[T],
    make: Callable[[int, Sequence[T]], Any],
    kind: type[Any] | None = None,
    *,
    size: int = 0,
    desc: str,
    in_copies: bool = False,
) -> Iterator[Any]:
    """What `make` gives for each chunk of `size` items (called with its number and its items), by `run.kept`
    and with progress. No chunk needs what an earlier one left behind: others may make them (`elsewhere`).

    Args:
        run: the `RunDir`.
        kind: `make` gives records of this kind; else what JSON can hold.
        in_copies: `make` may be called in a copy of this process, where a core is lent: it needs no device.
    """
    size = size or CHUNK
    count = -(-len(items) // size)

    def made(number: int) -> Any:
        return make(number, items[number * size : (number + 1) * size])

    def is_kept(number: int) -> bool:
        return (run.path / "kept" / f"{desc}/{number:05d}.json").exists()

    def chunk(number: int, by: Callable[[int], Any] = made) -> Any:
        return run.kept(f"{desc}/{number:05d}", partial(by, number), kind)

    if elsewhere.is_wanted(desc):
        raise elsewhere.Reached(made, is_kept)
    others = elsewhere.others()
    if others and (missing := [number for number in range(count) if not is_kept(number)]):
        with closing(others(desc, missing)) as coming:
            for number, theirs in run.track(coming, len(missing), desc=desc):
                chunk(number, lambda _, theirs=theirs: theirs)
        yield from map(chunk, range(count))
        return

    def made_beside(number: int) -> None:
        chunk(number)

    with Beside(made_beside if in_copies else None) as beside:
        handed_over = -1
        for number in run.track(range(count), desc=desc):
            if number == handed_over:
                beside.result(number)
            elif number + 1 < count and beside.begin(number + 1):
                handed_over = number + 1
            yield chunk(number)
