"""A process that does not outlive the one that started it, whatever ended that."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

LOOK = 0.5  # seconds between two looks


def without(parent: int, then: Callable[[], None]) -> None:
    """Call once the parent of this process is gone. Whoever loses its parent gets another; a pipe would not
    say it, since others may hold its end.
    """

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK)
        then()

    threading.Thread(target=look, daemon=True, name="parent").start()
