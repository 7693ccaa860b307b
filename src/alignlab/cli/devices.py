"""`--devices N`: the same command in N processes, each with a rank (`alignlab.run.ranks`); torchrun does as
well.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..errors import ConfigError
from ..text.streams import say

TOGETHER = ("sft", "reward", "dpo", "orpo", "simpo", "rloo", "grpo", "ppo")
"""The commands whose loops several processes share."""


def join(name: str) -> None:
    """Of a process that may be one of several: all but the first say nothing, and wait until that one has
    begun its run, so that what is wrong with a command is said once.

    Raises:
        ConfigError: a command that several processes would each do as a whole.
    """
    from ..run import ranks

    if ranks.size() > 1 and name not in TOGETHER:
        raise alone(name)
    if ranks.rank():
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        os.environ["ALIGNLAB_PROGRESS"] = "file"
        ranks.wait_for_first()


@contextmanager
def in_touch() -> Iterator[None]:
    """Of a process that may be one of several: what a model in parts says when another is gone comes as the
    error of `ranks`.
    """
    from ..run import ranks

    try:
        yield
    except RuntimeError as error:
        if ranks.size() == 1 or "gloo" not in str(error) and "Dist" not in type(error).__name__:
            raise
        raise ranks.lost(error) from error


def alone(name: str) -> ConfigError:
    """What a command says that several processes cannot share."""
    return ConfigError(
        f"alignlab {name} works in one process", remedy="several share the work of " + ", ".join(TOGETHER)
    )


def start(arguments: Sequence[str], count: int) -> int:
    """Run `alignlab` with these arguments in `count` processes of this machine; the exit code of the first
    that failed, 0 if none did. The others are stopped then.

    Raises:
        ConfigError: fewer than one, or more than there are GPUs where there are any.
    """
    _check(count)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    where |= {"GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo")}
    command = [sys.executable, "-m", "alignlab.cli", *arguments]
    processes = [
        subprocess.Popen(command, env={**os.environ, **where, "RANK": str(i), "LOCAL_RANK": str(i)})
        for i in range(count)
    ]
    before = {
        number: signal.signal(number, _passed_on(processes)) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        return _ended(processes)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check(count: int) -> None:
    import torch

    there = torch.cuda.device_count()
    if count < 1 or (there and count > there):
        remedy = f"there are {there} GPUs" if there else "a process per core, for instance"
        raise ConfigError(f"--devices {count} cannot be", remedy=remedy)


def _passed_on(processes: Sequence[subprocess.Popen[bytes]]) -> Any:
    """A terminal's Ctrl-C reaches all of them by itself; what was sent to this process alone does not."""

    def handler(number: int, _: Any) -> None:
        if number == signal.SIGTERM:
            for process in processes:
                process.send_signal(number)

    return handler


def _ended(processes: Sequence[subprocess.Popen[bytes]]) -> int:
    count = len(processes)
    codes: list[int | None] = [None] * count
    while None in codes:
        codes = [process.poll() for process in processes]
        failed = [(i, code) for i, code in enumerate(codes) if code]
        if failed:
            rank, code = failed[0]
            for process in processes:
                if process.poll() is None:
                    _stop(process)
            if code not in (130, 143):
                say(
                    f"process {rank} of {len(processes)} ended with exit code {code}; the others were stopped"
                )
            return code if code > 0 else 128 - code
        time.sleep(0.05)
    return 0


def _stop(process: subprocess.Popen[bytes]) -> None:
    """A moment to save what it has, then its end."""
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
