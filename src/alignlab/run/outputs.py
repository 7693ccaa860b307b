"""Files that a command writes outside a run of its own: pages, exports, tables. Whole or not at all, and
never over what is somebody else's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..text.disk import write_whole
from ..text.lines import as_json
from .files import writing
from .manifest import MANIFEST, READ, later
from .places import check_parent

PAGE_MARKS = (
    b'<meta name="generator" content="alignlab">',
    b"content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\"",
)
"""What every page of this package has in its head: today's, and those made before."""


def is_page(content: bytes) -> bool:
    """Whether a file is a page that this package wrote."""
    return any(mark in content[:2000] for mark in PAGE_MARKS)


def is_summary(content: bytes) -> bool:
    """Whether a file is the summary.json of a pipeline or study."""
    return content.startswith(b'{\n "schema": 1,')


def check_file(path: Path, *, ours: Callable[[bytes], bool] = lambda _: False, option: str = "--out") -> None:
    """Raise UserError for a path that a command may not write to; called before any work.

    A file that is there is replaced only where it is `ours`, as this very command writes it.

    Raises:
        ResourceError: a folder that cannot be entered or written.
    """
    if path.name in ("", "..") or "\0" in str(path):
        raise UserError(f"{str(path)!r} is no name for a file", remedy=f"another {option}")
    check_parent(path, option=option)
    if (path.name in READ or path.name == MANIFEST) and os.path.exists(path.parent / "run.json"):
        raise UserError(
            f"{path} is a file of a run, which nothing else may write", remedy=f"another {option}"
        )
    if not os.path.lexists(path):
        return
    if not path.is_file():
        raise UserError(f"{path} is there already, and is no file", remedy=f"another {option}")
    with writing(path), open(path, "rb") as file:
        if not ours(file.read()):
            raise UserError(
                f"{path} is there already, and this command did not write it",
                remedy=f"another {option}, or move the file away",
            )


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Around writing a file: gives the path of the one to write, which then takes its name; in a finished
    run, with its line in the manifest.

    Raises:
        ResourceError: the disk is full, or the folder cannot be written; what was there stays.
    """
    with writing(path), write_whole(path, naming=later(path)) as staging:
        yield staging


def write_document(path: Path, value: Mapping[str, Any]) -> None:
    """A JSON document by `whole_file`; one that begins with its schema is a summary (`is_summary`)."""
    with whole_file(path) as staging:
        staging.write_bytes(as_json(dict(value), indent=1))
