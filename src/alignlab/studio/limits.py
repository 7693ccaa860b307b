"""How often something may be asked. Whom it was asked by is held in memory, for as long as it counts, and
written nowhere.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

from .problems import Refused
from .schema import Role

MOST_KNOWN = (
    4096  # people and addresses that are counted; of more the one that asked longest ago is forgotten
)


@dataclass(frozen=True)
class Limit:
    """So many in so many seconds, of a person, from an address, or from everybody.

    Attributes:
        wrong: only those count that were refused as a wrong code, and when there were so many, nothing is
            taken for as long again.
    """

    count: int
    seconds: float
    per: Literal["person", "address", "everybody"]
    wrong: bool = False


GUESSES = Limit(10, 60, "address", wrong=True)  # a whole class may share one
ALL_GUESSES = Limit(50, 60, "everybody", wrong=True)
JOINING = "POST /api/join"
LIMITS: dict[tuple[str, str], tuple[Limit, ...]] = {
    ("POST", "/api/session"): (GUESSES,),
    ("POST", "/api/link"): (GUESSES,),
    ("POST", "/api/join"): (GUESSES, ALL_GUESSES, Limit(20, 1, "everybody")),
    ("POST", "/api/votes"): (Limit(4, 1, "person"),),
}
"""By method and path."""
OTHERS = (Limit(10, 1, "person"),)
"""Of every other address that is for annotators, of each by itself: `next` among them."""


def limits_of(method: str, path: str, role: Role) -> tuple[Limit, ...]:
    """The limits of a row."""
    return LIMITS.get((method, path), OTHERS if role == "annotator" else ())


class Limits:
    """What was asked lately.

    Args:
        clock: seconds, of any beginning.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._asked: dict[Hashable, deque[float]] = {}

    def take(self, row: str, limits: Sequence[Limit], person: str, address: str) -> None:
        """Something is asked. Raises Refused: 429, with the seconds to wait."""
        with self._lock:
            for limit in limits:
                if (seconds := self._left(row, limit, person, address)) > 0:
                    wait = math.ceil(seconds)
                    what = "too many wrong codes" if limit.wrong else "too often"
                    raise Refused(429, f"{what}: again in {wait} s", retry_after=wait)
            for limit in limits:
                if not limit.wrong:
                    self._count(row, limit, person, address)

    def wrong(self, row: str, limits: Sequence[Limit], person: str, address: str) -> None:
        """What was asked was refused as a wrong code."""
        with self._lock:
            for limit in limits:
                if limit.wrong:
                    self._count(row, limit, person, address)

    def left(self, row: str, limit: Limit) -> float:
        """Seconds for which a limit of everybody's lets nobody through."""
        with self._lock:
            return self._left(row, limit, "", "")

    def _left(self, row: str, limit: Limit, person: str, address: str) -> float:
        times = self._asked.get(_whose(row, limit, person, address))
        if times is None or len(times) < limit.count:
            return 0.0
        return (times[-1] if limit.wrong else times[0]) + limit.seconds - self._clock()

    def _count(self, row: str, limit: Limit, person: str, address: str) -> None:
        whose, now = _whose(row, limit, person, address), self._clock()
        times = self._asked.pop(whose, None) or deque(maxlen=limit.count)
        while times and times[0] + limit.seconds <= now:
            times.popleft()
        times.append(now)
        self._asked[whose] = times
        while len(self._asked) > MOST_KNOWN:
            del self._asked[next(iter(self._asked))]


def _whose(row: str, limit: Limit, person: str, address: str) -> Hashable:
    known = {"person": person, "address": address, "everybody": ""}
    return row, limit, known[limit.per]
