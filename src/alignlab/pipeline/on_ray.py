"""Stages on the machines of a Ray cluster, each watched by a task that works it in a process of its own, as
one machine does (`processes`).

All machines need the same Python, Ray, torch and alignlab, and one file system at the same path: run folders
are what passes between stages. Ray asks nobody who they are, so a cluster belongs in a network that is
private. No telemetry and no dashboard; a cluster that is begun here listens on the loopback alone.
"""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Self

from ..errors import ConfigError, ResourceError
from .executor import Heard, Work
from .processes import ENDED, Processes

AGAIN = 3
"""How often a stage is given to others after whoever worked it was lost."""
LOOPBACK = "127.0.0.2"
"""Where a cluster that is begun here listens: Ray takes 127.0.0.1 to mean the machine's outer address."""
SAVED_WITHIN = 25.0
"""Seconds that stages have to save when they are asked to stop."""


@dataclass
class Task:
    """A stage that the cluster works: the stream of what is said of it, and how often it was lost."""

    work: Work
    stream: Any
    lost: int = 0


class OnRay:
    """An `Executor` of a Ray cluster.

    Args:
        address: HOST:PORT of one that runs; empty = what RAY_ADDRESS names, else one that is begun here.
        workers: stages side by side; 0 = one for each core that the cluster has.

    Raises:
        ConfigError: Ray is not installed. ResourceError: nothing answers at the address.
    """

    def __init__(self, address: str, workers: int) -> None:
        self.address, self.asked, self.workers = address, workers, workers
        self.under_way: list[Task] = []
        try:
            self.ray: Any = import_module("ray")
        except ImportError:
            raise ConfigError(
                "executor = ray, and Ray is not installed", remedy="pip install 'alignlab[ray]'"
            ) from None
        if address:
            check_it_answers(address)

    def __enter__(self) -> Self:
        """Raises ResourceError: the cluster cannot be reached."""
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        address = self.address or os.environ.get("RAY_ADDRESS", "")
        how: dict[str, Any] = {"address": address}
        if not address:
            how = {"address": "local", "include_dashboard": False}
            if sys.platform == "linux":
                how["_node_ip_address"] = LOOPBACK
        try:
            self.ray.init(**how, log_to_driver=False, logging_level="error")
        except (ConnectionError, RuntimeError, TimeoutError, ValueError) as error:
            raise no_cluster(address, error) from error
        self.workers = self.asked or max(1, int(self.ray.cluster_resources().get("CPU", 1)))
        return self

    def __exit__(self, *error: object) -> None:
        streams = [task.stream for task in self.under_way]
        for stream in streams:
            with suppress(self.ray.exceptions.RayError):
                self.ray.cancel(stream)
        if streams:
            ended = [stream.completed() for stream in streams]
            self.ray.wait(ended, num_returns=len(ended), timeout=SAVED_WITHIN)
        self.ray.shutdown()

    def start(self, work: Work) -> None:
        self.under_way.append(Task(work, self._given(work)))

    def heard(self, timeout: float) -> list[Heard]:
        streams = [task.stream for task in self.under_way]
        ready, _ = self.ray.wait(streams, num_returns=1, timeout=timeout, fetch_local=False)
        found: list[Heard] = []
        for task in [task for task in self.under_way if task.stream in ready]:
            outcome, payload = self._hear(task)
            if outcome in ENDED:
                self.under_way.remove(task)
            found.append((task.work.name, outcome, payload))
        return found

    def _given(self, work: Work) -> Any:
        """The stream of a stage that is given to the cluster. Ray is not to give it twice: what was heard of
        it would be counted off against what is said anew.
        """
        task = self.ray.remote(num_cpus=1, max_retries=0)(worked)
        return task.options(name=work.name).remote(work, os.getcwd(), versions())

    def _hear(self, task: Task) -> tuple[str, Any]:
        try:
            return self.ray.get(next(task.stream))
        except StopIteration:
            return "gone", "ended without a word"
        except self.ray.exceptions.RayTaskError as error:
            return "bug", str(error)
        except self.ray.exceptions.RayError as error:
            why = f"was lost with what worked it ({type(error).__name__})"
        task.lost += 1
        if task.lost > AGAIN:
            return "gone", f"{why} {task.lost} times"
        task.stream = self._given(task.work)
        return "said", f"{why}; it is given to others, who go on where it was ({task.lost} of {AGAIN})"


def check_it_answers(address: str) -> None:
    """Raise ResourceError where nothing listens at HOST:PORT, at once: Ray itself asks for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError, OverflowError) as error:
        raise no_cluster(address, error) from error


def no_cluster(address: str, error: Exception) -> ResourceError:
    return ResourceError(
        f"no Ray cluster answers: {error}",
        where=address,
        remedy="`ray status` says whether one runs; all machines need the same Ray and Python",
    )


def worked(work: Work, folder: str, wanted: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """On a machine of the cluster: what a stage says, until it has ended.

    Args:
        folder: from which names of files are read.
        wanted: versions where the pipeline is.
    """
    if found := unlike(wanted, versions()):
        yield (
            "error",
            ConfigError(
                f"the machine {socket.gethostname()} has {found}",
                where=work.name,
                remedy="the same versions on all machines",
            ),
        )
        return
    try:
        os.chdir(folder)
    except OSError as error:
        yield (
            "error",
            ResourceError(
                f"the machine {socket.gethostname()} has no folder {folder} ({error.strerror})",
                where=work.name,
                remedy="one file system for all machines, at the same path",
            ),
        )
        return
    with Processes(1) as here:
        here.start(work)
        while here.under_way:
            for _, outcome, payload in here.heard(timeout=1.0):
                yield outcome, payload


def versions() -> dict[str, str]:
    """What has to be the same on all machines for a stage to give the same: Python, the libraries that
    compute, and the source of this package.
    """
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    for file in sorted(package.rglob("*.py")):
        digest.update(file.relative_to(package).as_posix().encode() + b"\0" + file.read_bytes())
    libraries = {name: metadata.version(name) for name in ("torch", "transformers", "numpy")}
    return {"python": platform.python_version(), **libraries, "alignlab's source": digest.hexdigest()[:12]}


def unlike(wanted: Mapping[str, str], found: Mapping[str, str]) -> str:
    """In which versions a machine is another than it should be, in words; nothing where in none."""
    return ", ".join(
        f"{name} {found[name]}, not {version}" for name, version in wanted.items() if found[name] != version
    )
