"""The audit log: one JSON line a request, written when it is over. It holds no header, no key and, unless
that is asked for, no text of anybody.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..run import writing


class Audit:
    """Appends to a file that only its owner reads (mode 0600).

    Once a line could not be written (a full disk) `broken` says why: the server then answers nothing that it
    cannot account for.

    Args:
        file: None = no log.
        bodies: texts are written too.
        program: who says that the log cannot be written.
        most: bytes after which the file becomes NAME.1, in the place of the one before it; 0 = it grows.

    Raises:
        ResourceError: the file cannot be opened.
    """

    def __init__(
        self, file: Path | None, *, bodies: bool = False, program: str = "alignlab serve", most: int = 0
    ) -> None:
        self.bodies, self.broken, self._lock, self._file = bodies, "", threading.Lock(), -1
        self._program, self._most = program, most
        if file:
            self._name = file
            with writing(file.parent):
                file.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._opened()

    def _opened(self) -> int:
        return os.open(self._name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, row: Mapping[str, Any], texts: Mapping[str, Any]) -> None:
        """One request; `texts` is left out where bodies are not logged."""
        self._put(json.dumps({**row, **(texts if self.bodies else {})}) + "\n")

    def try_again(self) -> None:
        """See whether the file takes a line again; behind what may be half of one."""
        self._put(
            "\n"
            + json.dumps({"time": time.time(), "note": "the log could not be written for a while"})
            + "\n"
        )

    def _put(self, text: str) -> None:
        if self._file < 0:
            return
        line = text.encode()
        try:
            with self._lock:
                self._turn(len(line))
                while line:
                    line = line[os.write(self._file, line) :]
            self.broken = ""
        except OSError as error:
            if not self.broken:
                print(
                    (
                        f"{self._program}: the audit log cannot be written ({error.strerror}); nothing is "
                        "answered until it can"
                    ),
                    file=sys.stderr,
                    flush=True,
                )
            self.broken = error.strerror or "cannot be written"

    def _turn(self, more: int) -> None:
        """Begin a new file, where the line would make this one too long."""
        if self._most and os.fstat(self._file).st_size + more > self._most:
            with suppress(FileNotFoundError):  # a try before this one came so far
                os.replace(self._name, self._name.with_name(f"{self._name.name}.1"))
            full, self._file = self._file, self._opened()
            os.close(full)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
