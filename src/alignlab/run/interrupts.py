"""Ctrl-C in two stages: the first lets a step end and what it made be saved, the second leaves at once."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any


class Interrupts:
    """While entered, SIGINT and SIGTERM are kept in `asked` (the signal's number, 0 before) for the loop to
    see; asked twice, KeyboardInterrupt is raised. Outside the main thread nothing is changed.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    @property
    def exit_code(self) -> int:
        return 130 if self.asked == signal.SIGINT else 143

    def _remember(self, number: int, _: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = number
        os.write(2, b"\nending this step, then saving; once more leaves at once\n")
