"""A command whose long list is cut into chunks that an `Executor`'s workers make: `collect`, `eval` and
others with `--executor`.

A worker runs the command as far as its loop (`run.elsewhere`), so that it has the same models, judges and
items, and keeps them for as long as it works. It makes its share, then what others have not come to: whoever
is lost costs the chunk that it was at. Which worker makes a chunk changes nothing in it.
"""

from __future__ import annotations

import io
import signal
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from typing import Any

from ..errors import ConfigError, UserError
from ..run import elsewhere
from ..text.streams import say
from .executor import Executor, Work
from .runner import executor_named

Made = Generator[tuple[int, Any], None, None]


@contextmanager
def shared_out(
    executor: str, workers: int, command: Callable[..., Any], values: Mapping[str, Any]
) -> Iterator[None]:
    """While this is entered, `command(**values)` has its chunks made by an executor's workers.

    Args:
        executor, workers: as `executor_named` takes them.

    Raises:
        ConfigError: no such executor, or a model behind a server.
    """
    who = executor_named(executor, workers)
    if behind := [value for value in values.values() if isinstance(value, str) and "://" in value]:
        raise ConfigError(
            "--executor shares out the work of models that are loaded here; a model behind a server works "
            "many requests at once by itself",
            where=behind[0],
            remedy="without --executor; endpoint.concurrency says how many requests",
        )
    with elsewhere.made_by(partial(made, who, command, values)):
        yield


def made(
    executor: Executor,
    command: Callable[..., Any],
    values: Mapping[str, Any],
    loop: str,
    missing: Sequence[int],
) -> Made:
    """The missing chunks of a command's loop with their numbers, as workers make them.

    Raises:
        UserError: a worker's own; or nobody is left who works.
    """
    left = set(missing)
    before = signal.getsignal(signal.SIGTERM)
    with executor:
        signal.signal(signal.SIGTERM, before)  # an executor may have put its own there
        working = min(executor.workers, len(missing))
        for place in range(working):
            turns = in_turn(missing, place, working)
            arguments = {"command": command, "values": values, "loop": loop, "numbers": turns}
            executor.start(Work(f"{loop} {place + 1} of {working}", making, arguments))
        while left:
            for name, outcome, payload in executor.heard(timeout=0.25):
                if outcome == "made" and payload[0] in left:
                    left.remove(payload[0])
                    yield payload
                elif outcome == "said":
                    say(f"{name}: {payload}")
                elif outcome == "error":
                    raise payload
                elif outcome == "bug":
                    raise RuntimeError(f"{name}\n{payload}")
                elif outcome in ("gone", "done"):
                    working -= 1
                    if outcome == "gone":
                        say(f"the worker {name} {payload}; what it had not made is left to the others")
            if left and not working:
                raise UserError(
                    f"nobody is left who works on {loop}: {len(left)} of {len(missing)} parts are not made",
                    remedy="give the same command again: it goes on where it was",
                )


def in_turn(missing: Sequence[int], place: int, count: int) -> list[int]:
    """All chunks in the order in which one of so many workers comes to them: its own share, then that of
    the worker after it, the last first, and so on.
    """
    turns = list(missing[place::count])
    for step in range(1, count):
        turns += reversed(missing[(place + step) % count :: count])
    return turns


def making(command: Callable[..., Any], values: Mapping[str, Any], loop: str, numbers: Sequence[int]) -> Made:
    """In a worker: chunks by these numbers, in this order, but those that the run has by then."""
    with elsewhere.as_far_as(loop):
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):  # it was said already
            found = elsewhere.reached(partial(command, **values))
        for number in numbers:
            if not found.is_kept(number):
                yield number, found.make(number)
