"""The power goes, or the disk fails, while people vote: what was acknowledged is on the disk, once.

A recorder in C stands between SQLite and the system. The disk is then made again as it may be after a cut
before any of its syncs, and behind any vote that was acknowledged: a file holds what it held at its last
sync, and of what was written since nothing, all, or some of it, in any order and half written; a name is
there if its folder was synced since.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import text

from alignlab.votes.store import Store, audit

from .asking import Class

HERE = Path(__file__).parent
SECTOR = 512
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


@dataclass
class Disk:
    """What is certain of each file (by name), and what was done since; the names likewise."""

    certain: dict[str, bytes]
    since: dict[str, list[tuple[str, int, bytes]]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    renamed: set[str] = field(default_factory=set)  # made or unlinked since the folder was synced
    gone: dict[str, bytes] = field(default_factory=dict)

    def do(self, kind: str, name: str, offset: int, data: bytes) -> None:
        match kind:
            case "o" if name not in self.certain:
                self.certain[name], self.since[name] = b"", []
                self.renamed.add(name)
            case "w" | "t":
                self.since.setdefault(name, []).append((kind, offset, data))
            case "s" if name in self.certain:
                self.certain[name] = done(self.certain[name], self.since.pop(name, []))
            case "s":  # the folder
                self.renamed.clear()
                self.gone.clear()
            case "u":
                self.gone[name] = self.certain.pop(name)
                self.since.pop(name, None)

    def after_a_cut(self, how: str, rng: random.Random) -> dict[str, bytes]:
        """The files as they may be: of what was not synced `nothing`, `all` or `some`."""
        files = dict(self.gone) if how == "nothing" else {}
        for name, content in self.certain.items():
            pending = self.since.get(name, [])
            if how == "nothing":
                if name in self.renamed:
                    continue
                pending = []
            elif how == "some":
                pending = [torn(each, rng) for each in pending if rng.random() < 0.5]
                rng.shuffle(pending)
            files[name] = done(content, pending)
        return files


def done(content: bytes, operations: list[tuple[str, int, bytes]]) -> bytes:
    now = bytearray(content)
    for kind, offset, data in operations:
        if len(now) < offset + len(data):
            now.extend(bytes(offset + len(data) - len(now)))
        if kind == "t":
            del now[offset:]
        now[offset : offset + len(data)] = data
    return bytes(now)


def torn(operation: tuple[str, int, bytes], rng: random.Random) -> tuple[str, int, bytes]:
    """A write of which only the first sectors came through, now and then."""
    kind, offset, data = operation
    if kind == "w" and rng.random() < 0.3:
        data = data[: SECTOR * rng.randrange(1 + len(data) // SECTOR)]
    return kind, offset, data


def recorded(log: Path) -> Iterator[tuple[str, str, int, bytes]]:
    with open(log, "rb") as file:
        while head := file.readline():
            kind, offset, count, path = head.decode().rstrip("\n").split(" ", 3)
            yield kind, Path(path).name, int(offset), file.read(int(count))


@pytest.fixture(scope="module")
def library() -> Iterator[Path]:
    compiler = shutil.which("cc")
    if not compiler or sys.platform != "linux":
        pytest.skip("no C compiler, or no Linux")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "recorder.so"
        source = str(HERE / "recorder.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, source, "-ldl"], check=True)
        yield made


def cut(folder: Path, library: Path, count: int, *, synchronous: int) -> tuple[int, int, int]:
    """Cuts that were tried, those after which an acknowledged vote was missing, and votes in all."""
    rng = random.Random(0)
    room = Class(folder, count=count // 2, overlap=2)
    people = [room.join(name) for name in ("Ada", "Bob")]
    room.store.close()
    files = {path.name: path.read_bytes() for path in room.folder.iterdir() if path.name != ".lock"}
    log = folder / "log"
    environment = os.environ | {
        "LD_PRELOAD": str(library),
        "RECORD_UNDER": str(room.folder),
        "RECORD_TO": str(log),
    }
    voter = [sys.executable, str(HERE / "voter.py"), str(room.folder), room.task, *people]
    voted = subprocess.run([*voter, f"--synchronous={synchronous}"], env=environment, capture_output=True)
    assert voted.returncode == 0, voted.stderr.decode()
    disk, acknowledged, cuts, lost = Disk(files), set[str](), 0, 0
    for kind, name, offset, data in recorded(log):
        if name.endswith("-shm"):
            continue
        if kind == "a":
            acknowledged |= set(data.decode().split())
        for how in {"s": ("nothing", "all", "some"), "a": ("nothing",)}.get(kind, ()):
            cuts += 1
            lost += bool(acknowledged - after(folder / "cut", disk.after_a_cut(how, rng)))
        disk.do(kind, name, offset, data)
    return cuts, lost, len(acknowledged)


def after(folder: Path, files: dict[str, bytes]) -> set[str]:
    """The votes of a store that is opened after a cut; its history is whole in any case."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with Store.open(folder) as store, store.reading() as connection:
        assert audit(connection).whole
        return set(connection.execute(text("SELECT id FROM vote")).scalars())


def tried(library: Path, count: int, synchronous: int) -> tuple[int, int, int]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        return cut(Path(folder), library, count, synchronous=synchronous)


@pytest.mark.campaign
def test_a_power_cut_loses_no_acknowledged_vote(library: Path) -> None:
    cuts, lost, votes = tried(library, 500, synchronous=2)
    assert votes == 500 and cuts > 1500 and lost == 0


@pytest.mark.campaign
def test_with_less_syncing_votes_are_lost(library: Path) -> None:
    """Or the test above has no teeth."""
    _, lost, _ = tried(library, 100, synchronous=1)
    assert lost > 0


def failed(library: Path, points: int) -> int:
    """How often a ballot was not saved by a disk that failed so many times."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        room = Class(Path(folder), count=points)
        ada = room.join("Ada")
        room.store.close()
        environment = os.environ | {"LD_PRELOAD": str(library), "RECORD_UNDER": str(room.folder)}
        command = [sys.executable, str(HERE / "failing.py"), str(room.folder), room.task, ada, str(points)]
        voted = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert voted.returncode == 0, voted.stderr
        said = dict(line.split() for line in voted.stdout.splitlines())
        room.store = Store.open(room.folder, clock=room.clock)
        with room.store.reading() as connection:
            assert audit(connection).whole
            there = connection.execute(text("SELECT id FROM vote")).scalars().all()
        room.store.close()
        assert sorted(there) == sorted(said) and len(there) == points
        return int(list(said.values())[-1])


@pytest.mark.campaign
def test_a_disk_that_fails_now_and_then_loses_nothing_and_doubles_nothing(library: Path) -> None:
    assert failed(library, 300) > 100
