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

    Raises:
        ResourceError: the file cannot be opened.
    """

    def __init__(self, file: Path | None, *, bodies: bool = False) -> None:
        self.bodies, self.broken, self._lock, self._file = bodies, "", threading.Lock(), -1
        if file:
            with writing(file.parent):
                file.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

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
                while line:
                    line = line[os.write(self._file, line) :]
            self.broken = ""
        except OSError as error:
            if not self.broken:
                print(
                    (
                        f"alignlab serve: the audit log cannot be written ({error.strerror}); nothing is "
                        "answered until it can"
                    ),
                    file=sys.stderr,
                    flush=True,
                )
            self.broken = error.strerror or "cannot be written"

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
