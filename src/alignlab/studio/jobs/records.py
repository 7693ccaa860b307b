"""What is kept of each job: a folder below FOLDER/studio/jobs, which is there when the studio has ended.

`job.json` is what was asked (written once, by the studio), `state.json` and `said.txt` are how it goes
(written by its process alone). Files and no table of the store of votes: a folder without votes has no store,
one on PostgreSQL may be elsewhere, and a store has one writer. They may say anything: nothing in them is ever
started again.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ...errors import ResourceError
from ...run.files import write_json, writing
from ...text.disk import make_folder
from ...text.documents import Malformed
from ..heads import as_table
from ..inside import Inside, number, text

FOLDER = "studio/jobs"
RUNS = "studio/runs"  # below it each job has a folder, whose runs are seen as any other
MOST_JOBS = 1000  # that are looked at
MOST_SAID = 64_000


@dataclass(frozen=True)
class Record:
    """What was asked.

    Attributes:
        name: the last part of the folder that it writes, as learn-2.
        made: seconds since 1970.
    """

    id: str
    kind: str
    name: str
    fields: Mapping[str, Any]
    commands: list[list[str]]
    limit: int
    made: float

    @property
    def out(self) -> str:
        """The folder that it writes, below the studio's folder."""
        return f"{RUNS}/{self.name}"


@dataclass(frozen=True)
class State:
    """How it went, by its process; None for what has not happened."""

    started: float | None = None
    ended: float | None = None
    exit: int | None = None
    why: str = ""


def own_folder(inside: Inside, path: str) -> Path:
    """A folder of the studio, made where there is none.

    Raises:
        ResourceError: it cannot be made, or a link stands where it should be.
    """
    place = inside.root
    for part in path.split("/"):
        place = place / part
        if place.is_symlink():
            raise ResourceError("a link stands where the studio keeps its own", where=str(place))
        with writing(place):
            make_folder(place)
    return place


def keep(inside: Inside, record: Record) -> None:
    """Write what was asked. Raises ResourceError."""
    place = own_folder(inside, f"{FOLDER}/{record.id}")
    write_json(place / "job.json", asdict(record))


def all_of(inside: Inside) -> list[Record]:
    """Every job of the folder, the newest first; what cannot be read is passed over."""
    try:
        with os.scandir(inside.root / FOLDER) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    found = [one for name in names[:MOST_JOBS] if (one := _read(inside, name)) is not None]
    return sorted(found, key=lambda record: (-record.made, record.id))


def _read(inside: Inside, name: str) -> Record | None:
    if len(name) != 12 or not set(name) <= set("0123456789abcdef"):
        return None
    try:
        row = inside.document(f"{FOLDER}/{name}/job.json")
    except (OSError, Malformed):
        return None
    made, limit = number(row.get("made")), number(row.get("limit"))
    commands = row.get("commands")
    if made is None or limit is None or set(row) != {field.name for field in fields(Record)}:
        return None
    lines = [
        [text(word, 4000) for word in command]
        for command in (commands if isinstance(commands, list) else ())
        if isinstance(command, list)
    ]
    kind, called = text(row["kind"], 40), text(row["name"], 100)
    if "/" in called or called in ("", ".", ".."):
        return None
    return Record(name, kind, called, as_table(row["fields"], 4000), lines[:10], int(limit), made)


def state_of(inside: Inside, job: str) -> State:
    """How a job went so far."""
    try:
        row = inside.document(f"{FOLDER}/{job}/state.json")
    except (OSError, Malformed):
        return State()
    code = row.get("exit")
    return State(
        number(row.get("started")),
        number(row.get("ended")),
        code if isinstance(code, int) and abs(code) < 2**31 else None,
        text(row.get("why"), 100),
    )


def said_by(inside: Inside, job: str, most: int) -> str:
    """The end of what its commands said."""
    try:
        with inside.binary(f"{FOLDER}/{job}/said.txt") as file:
            return file.read(MOST_SAID).decode("utf-8", "replace")[-most:]
    except OSError:
        return ""


def next_name(inside: Inside, kind: str) -> str:
    """A name that no job and no folder of runs has."""
    try:
        taken = set(os.listdir(inside.root / RUNS))
    except OSError:
        taken = set()
    taken |= {record.name for record in all_of(inside)}
    bare = {name.removesuffix(".partial") for name in taken}
    count = 1
    while f"{kind}-{count}" in bare:
        count += 1
    return f"{kind}-{count}"


def as_line(command: list[str]) -> str:
    """A command as a terminal is given it."""
    return shlex.join(["alignlab", *command])


def spec(program: list[str], record: Record) -> bytes:
    """What its process is given."""
    return json.dumps({"program": program, "commands": record.commands, "seconds": record.limit}).encode()
