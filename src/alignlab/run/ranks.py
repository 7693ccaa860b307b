"""Several processes at one run: each runs the same command on the same data, under a rank that torchrun or
`alignlab --devices N` gives it.

Rank 0 makes the run folder and speaks to people; the others work in a scratch folder that is gone afterwards.
They share what each step reads (`mine`, `shared`) and add up what they found (`added`) and their gradients
(`add_up`). Losses are sums over the whole batch's count, so that adding is all there is to it: nothing is a
mean over processes, and each of them makes the same update.

What processes say to one another is numbers and JSON.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import ResourceError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
PATIENCE = timedelta(minutes=30)  # until a process that does not answer is given up
_heard: list[Any] = []
LOST = "the same command goes on where it was"


@cache
def rank() -> int:
    """Which of them this process is; 0 where it is alone."""
    return int(os.environ["RANK"]) if size() > 1 else 0


@cache
def size() -> int:
    """How many they are. Whoever starts several says where they meet, too."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "MASTER_ADDR" in os.environ else 1


def part(count: int) -> slice:
    """This process's part of so many rows: parts are side by side, and differ by one row at most."""
    return slice(count * rank() // size(), count * (rank() + 1) // size())


def mine(rows: Sequence[T]) -> Sequence[T]:
    """This process's part of these rows; of fewer rows than processes, some have none."""
    return rows[part(len(rows))]


def shared(work: Callable[[int, Sequence[T]], Sequence[Any]], rows: Sequence[T]) -> list[Any]:
    """What `work` gives for all rows, in their order: each process asks it for its own part, and where that
    begins. It gives one thing, that JSON can hold, a row.
    """
    if size() == 1:
        return list(work(0, rows))
    own = part(len(rows))
    found = list(work(own.start, rows[own])) if rows[own] else []
    return [each for theirs in _told(found) for each in theirs]


def gathered(thing: Any) -> list[Any]:
    """What each process says, by rank: what JSON can hold."""
    return _told(thing) if size() > 1 else [thing]


def added(figures: Mapping[str, float]) -> dict[str, float]:
    """Sums over processes, by name; a figure that only some have counts as 0 elsewhere."""
    if size() == 1:
        return dict(figures)
    sums: dict[str, float] = {}
    for theirs in _told(dict(figures)):
        for name, value in theirs.items():
            sums[name] = sums.get(name, 0.0) + value
    return sums


def add_up(tensors: Sequence[Tensor]) -> None:
    """Each tensor becomes its sum over processes, in place; they have the same shapes everywhere."""
    if size() == 1 or not tensors:
        return
    import torch

    dist = met()
    with _waiting():
        for kind in {(tensor.dtype, tensor.device) for tensor in tensors}:
            alike = [tensor for tensor in tensors if (tensor.dtype, tensor.device) == kind]
            flat = torch.cat([tensor.reshape(-1) for tensor in alike])
            dist.all_reduce(flat)
            start = 0
            for tensor in alike:
                tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
                start += tensor.numel()


def tell(thing: Any) -> None:
    """Rank 0 says something to all others, who `hear` it."""
    if size() > 1:
        _told(thing)


def hear() -> Any:
    """What rank 0 tells next."""
    return _heard.pop() if _heard else _told(None)[0]


def wait_for_first() -> None:
    """Until rank 0 has told something; `hear` gives it."""
    _heard.append(_told(None)[0])


@cache
def scratch() -> Path:
    """A folder for what only rank 0 keeps; gone when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="alignlab-rank-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def met() -> Any:
    """torch.distributed, once all processes are there."""
    import torch
    import torch.distributed as dist

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    with _waiting():
        dist.init_process_group(backend, timeout=PATIENCE)
    atexit.register(dist.destroy_process_group)
    return dist


def _told(thing: Any) -> list[Any]:
    """What each says, by rank."""
    import torch

    dist = met()
    said = torch.frombuffer(bytearray(json.dumps(thing).encode()), dtype=torch.uint8)
    with _waiting():
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(size())]
        dist.all_gather(lengths, torch.tensor([len(said)]))
        longest = max(int(length) for length in lengths)
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: len(said)] = said
        texts = [torch.zeros(longest, dtype=torch.uint8) for _ in range(size())]
        dist.all_gather(texts, padded)
    return [
        json.loads(text[: int(length)].numpy().tobytes()) for text, length in zip(texts, lengths, strict=True)
    ]


@contextmanager
def _waiting() -> Iterator[None]:
    """Whoever waits for others learns that one is gone."""
    try:
        yield
    except RuntimeError as error:  # also what torch.distributed raises
        raise lost(error) from error


def lost(error: RuntimeError) -> ResourceError:
    """What to tell of an error that came of talking to the others."""
    return ResourceError(
        f"process {rank()} of {size()} lost another, or waited for it more than "
        f"{PATIENCE.total_seconds() / 60:.0f} minutes: {str(error).splitlines()[0][:200]}",
        remedy=LOST,
    )
