"""What is handed in: one zip of code, report and receipt; and whether it says what was done.

A receipt can be typed. So the code is run again, from the same seed: it has to come to the same weights, to
the last bit on a machine like the student's, nearly so on another.
"""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import DataError, UserError
from ...run.outputs import whole_file
from ...text.documents import Malformed, read_text
from ..exercises import catalogue
from .folder import RECEIPT, REPORT, STATE, Work, digest, opened

MOST_BYTES = 2 * 2**20  # of a hand-in, before and after it is packed
WAITING = re.compile(r'hand_in = "[^"]*"')
SAME = ("torch", "python")
NEAR, FAR = 1e-3, 0.05  # on another machine: of the first steps, and of the end (relative, at least of 1)


def pack(name: str, notebook: str = "") -> dict[str, Any]:
    """The zip of a folder, beside it: code, report, receipt, figures, votes, no weights. For the command
    line.

    Args:
        notebook: one of mograder (`export`), into which the zip is written as well.

    Raises:
        UserError: it has not been graded as it is, it is too large, or another file has the zip's name.
    """
    work = opened(name)
    exercise = catalogue.exercise(work.exercise)
    receipt = work.folder / RECEIPT
    if not receipt.is_file() or read_json(receipt).get("code") != digest(work.folder / exercise.file):
        raise UserError(
            f"{work.folder} has not been graded since it was changed",
            remedy=f"alignlab exercise grade {work.folder}",
        )
    names = [exercise.file, *exercise.beside, REPORT, RECEIPT, STATE]
    names += sorted(path.name for path in work.folder.glob("*.png"))
    held = [(name, work.folder / name) for name in names if (work.folder / name).is_file()]
    if sum(path.stat().st_size for _, path in held) > MOST_BYTES:
        raise UserError(f"the files of {work.folder} are larger than 2 MB", remedy="smaller figures")
    out = work.folder.resolve().parent / f"{work.exercise}-{work.student}.zip"
    if out.exists() and not zipfile.is_zipfile(out):
        raise UserError(f"{out} is there already, and is no hand-in", remedy="move it away")
    with whole_file(out) as staging, zipfile.ZipFile(staging, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in held:
            archive.writestr(zipfile.ZipInfo(name), path.read_bytes())  # no dates: the same bytes each time
    if notebook:
        write_into(Path(notebook), out)
    text = f"{notebook or out}: hand this in"
    return {"zip": str(out), "files": [name for name, _ in held], "text": text}


def write_into(notebook: Path, packed: Path) -> None:
    """Writes a zip into the cell of a notebook that waits for it.

    Raises:
        UserError: there is no such cell, or no such file.
    """
    line = f'hand_in = "{b64encode(packed.read_bytes()).decode()}"'
    try:
        text, cells = WAITING.subn(line, read_text(notebook), count=1)
    except (OSError, Malformed) as error:
        raise UserError(f"{notebook} cannot be read: {error!s:.100}", remedy="--notebook FILE") from None
    if not cells:
        raise UserError(f"{notebook} has no cell for a hand-in", remedy="take the notebook as you got it")
    with whole_file(notebook) as staging:
        staging.write_text(text, encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """A document of ours that a student has had in his hands. Raises DataError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path.name} is broken: {error!s:.100}", where=str(path)) from None
    if not isinstance(found, dict):
        raise DataError(f"{path.name} is broken: no table", where=str(path))
    return found


@contextmanager
def unpacked(file: Path) -> Iterator[Work]:
    """A hand-in as a folder, for as long as it is looked at: a folder as it is, or a zip.

    Raises:
        DataError: it is no hand-in, or larger than one may be.
    """
    if file.is_dir():
        yield opened(str(file))
        return
    with tempfile.TemporaryDirectory(prefix="alignlab-hand-in-") as name:
        folder = Path(name)
        try:
            with zipfile.ZipFile(file) as archive:
                rows = [row for row in archive.infolist() if not row.is_dir()]
                if sum(row.file_size for row in rows) > MOST_BYTES or len(rows) > 50:
                    raise DataError(f"{file.name} holds more than a hand-in may", where=str(file))
                for row in rows:  # by last name alone: nothing lands outside; no more is read than it says
                    (folder / Path(row.filename).name).write_bytes(archive.read(row))
        except (
            OSError,
            zipfile.BadZipFile,
            RuntimeError,
            ValueError,
            EOFError,
            NotImplementedError,
        ) as error:
            raise DataError(f"{file.name} is no zip of a hand-in: {error!s:.100}", where=str(file)) from None
        try:
            work = opened(name)
        except UserError as error:
            raise DataError(f"{file.name} is no hand-in: {error.what[:100]}", where=str(file)) from None
        yield work


def verify(file: str) -> dict[str, Any]:
    """Runs a hand-in again and compares it with its receipt, for the command line.

    Raises:
        DataError: no hand-in.
    """
    from .receipts import graded_work

    with unpacked(Path(file)) as work:
        claimed = read_json(work.folder / RECEIPT)
        exercise = catalogue.exercise(work.exercise)
        same_code = claimed.get("code") == digest(work.folder / exercise.file)
        found, done = graded_work(work, "")
    rows = {"the code is that of the receipt": same_code} | compared(claimed, done)
    lines = [f"{'yes' if holds else 'NO':<4} {what}" for what, holds in rows.items()]
    lines.append(f"     {work.student}: {found.points:g} points, the receipt says {claimed.get('points')}")
    return {
        "student": work.student,
        "holds": rows,
        "points": found.points,
        "text": "\n".join(lines),
        "exit_code": 0 if all(rows.values()) else 5,
    }


def compared(claimed: Mapping[str, Any], done: Mapping[str, Any]) -> dict[str, bool]:
    """Whether a receipt is that of what was done again: seed, first steps, end."""
    like = all(_of(claimed, "versions", name) == _of(done, "versions", name) for name in SAME)
    like = like and claimed.get("machine") == done.get("machine")
    rows = {"the seed is the student's own": claimed.get("seed") == done.get("seed")}
    if not done.get("trace"):
        return rows
    if like:
        first = claimed.get("digests", [])[:2] == done["digests"][:2]
        rows["the first 8 steps are the same to the last bit"] = first
    else:
        rows["the first 8 steps are the same to a thousandth"] = _near(
            claimed.get("trace"), done["trace"], NEAR
        )
    rows["it ends where the receipt says"] = all(
        _near(_of(claimed, "figures", name), value, FAR) for name, value in done["figures"].items()
    )
    return rows


def _of(document: Mapping[str, Any], table: str, name: str) -> Any:
    found = document.get(table)
    return found.get(name) if isinstance(found, dict) else None


def _near(said: Any, value: float, most: float) -> bool:
    return isinstance(said, (int, float)) and abs(said - value) <= most * max(1.0, abs(value))
