"""The files of a run that grow by a line at a time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from ..text.lines import as_json


class Logs:
    """Lines at the ends of files in a folder, each there as soon as `append` returns. Every method may raise
    OSError.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, IO[bytes]] = {}

    def append(self, name: str, row: Mapping[str, Any]) -> None:
        if name not in self._files:
            self._files[name] = open(self.folder / name, "ab", buffering=0)  # noqa: SIM115
        left = as_json(row) + b"\n"
        while left:
            left = left[os.write(self._files[name].fileno(), left) :]

    def sync(self) -> None:
        """Survive a loss of power."""
        for file in self._files.values():
            os.fsync(file.fileno())

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()
