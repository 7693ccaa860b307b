"""Long work on many items, a chunk at a time: a run that goes on begins with the first that is not kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

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
    and with progress.

    Args:
        run: the `RunDir`.
        kind: `make` gives records of this kind; else what JSON can hold.
        in_copies: `make` may be called in a copy of this process, where a core is lent: it needs neither a
            device nor what an earlier chunk left behind.
    """
    size = size or CHUNK
    count = -(-len(items) // size)

    def chunk(number: int) -> Any:
        made = partial(make, number, items[number * size : (number + 1) * size])
        return run.kept(f"{desc}/{number:05d}", made, kind)

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
