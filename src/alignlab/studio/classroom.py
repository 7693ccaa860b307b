"""The class that is held at a desk: who may come in, who is there, what its votes say so far, and what goes
wrong.
"""

from __future__ import annotations

import hmac
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..records import Ranking
from ..votes.lesson import Lesson, hold, lesson_of
from ..votes.store import Store
from ..votes.writer import Clock, head_of, wall_clock
from .endpoint import Door
from .limits import ALL_GUESSES, JOINING, Limits
from .log import Log
from .problems import Refused

FRESH = 5.0  # seconds for which figures of votes hold
TICK = 5.0  # seconds between two looks at the clock
HOUR = 3600.0
AGAIN = 60.0  # seconds to the next try of a backup that failed
KEPT = 5  # backups
BACKUPS = "backups"
LITTLE = 200_000_000  # bytes of a disk that is nearly full
OUTBOX = "nobody loses a vote meanwhile: what is not saved is kept on each phone and sent again"


@dataclass(frozen=True)
class Trouble:
    """What goes wrong, and what mends it."""

    what: str
    remedy: str


@dataclass(frozen=True)
class Said:
    """What the votes of a task say: alpha as S, and the disputed items with what each asks about."""

    alpha: dict[str, Any]
    disputed: Sequence[tuple[dict[str, Any], Ranking]]


class Classroom:
    """The class over a store; it is as it was when the last one over this store ended.

    Args:
        urls: where people join.
        clock: seconds, of any beginning.
        wall: the time of day, as the store's.
    """

    def __init__(
        self,
        store: Store,
        door: Door,
        urls: Sequence[str],
        limits: Limits,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
        wall: Clock = wall_clock,
    ) -> None:
        self.store, self.door, self.urls, self.log = store, door, tuple(urls), log
        self._limits, self._clock, self._wall = limits, clock, wall
        self._seen: dict[str, float] = {}
        self._holding, self._reading = threading.Lock(), threading.Lock()
        self._said: tuple[tuple[str, int], float, Said] | None = None
        self._unsaved: tuple[float, Trouble] | None = None
        self._no_backup: Trouble | None = None
        self._next_backup = 0.0
        self._over = threading.Event()
        with store.reading() as connection:
            self.lesson: Lesson = lesson_of(connection)
        self._thread = threading.Thread(target=self._tend, name="class", daemon=True)

    # --- who comes in

    def hold(self, **changes: Any) -> None:
        """As `votes.lesson.hold`."""
        with self._holding:
            self.lesson = self.store.do(hold, **changes)

    def enter(self, code: str) -> None:
        """Raises Refused: 401 a wrong code, 403 no class is open."""
        if not self.lesson.code or self.lesson.is_over(self._wall()):
            remedy = "the teacher opens it; whoever has joined goes on"
            raise Refused(403, "no class is open", remedy=remedy, code="class_closed")
        given = "".join(filter(str.isalnum, code)).upper()
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self.lesson.code.encode()):
            remedy = "eight letters and digits, as they stand on the board"
            raise Refused(401, "that is not the code", remedy=remedy, field="code", code="wrong_code")

    def see(self, person: str) -> None:
        """Somebody asked for something."""
        self._seen[person] = self._clock()

    def seen_ago(self, person: str) -> float | None:
        """Seconds since somebody was seen; None = not since this began."""
        at = self._seen.get(person)
        return None if at is None else self._clock() - at

    # --- what votes say

    def said(self) -> Said | None:
        """Of the task of the class; None without one. Some seconds old at most."""
        if not (task := self.lesson.task):
            return None
        with self._reading:
            now = self._clock()
            if self._said and self._said[0][0] == task and now < self._said[1] + FRESH:
                return self._said[2]
            with self.store.reading() as connection:
                key = task, head_of(connection).seq
                if self._said is None or self._said[0] != key:
                    self._said = key, now, _said(connection, task)
            self._said = key, now, self._said[2]
            return self._said[2]

    # --- what goes wrong

    def not_saved(self, error: UserError) -> None:
        """The disk did not take something."""
        self._unsaved = self._clock(), Trouble(error.what, f"{error.remedy}; {OUTBOX}")

    def troubles(self) -> list[Trouble]:
        """What the teacher has to know, the worst first."""
        found = []
        if self._unsaved and self._clock() < self._unsaved[0] + AGAIN:
            found.append(self._unsaved[1])
        if self.log.broken:
            what = f"nothing is saved: the log {self.log.file} cannot be written ({self.log.broken})"
            found.append(Trouble(what, f"make room on its disk; {OUTBOX}"))
        if (seconds := self._limits.left(JOINING, ALL_GUESSES)) > 0:
            what = f"{ALL_GUESSES.count} wrong codes in a minute: nobody can join for {seconds:.0f} s"
            found.append(Trouble(what, "whoever has joined goes on; a new code, if somebody guesses"))
        if (free := _free(self.store.folder)) is not None and free < LITTLE:
            what = f"the disk of {self.store.folder} is nearly full: {free / 1e6:.0f} MB are left"
            found.append(Trouble(what, f"make room; {OUTBOX}"))
        if self._no_backup:
            found.append(self._no_backup)
        return found

    # --- what is done beside the requests

    def begin(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Nothing is done any more; the class stays as it is."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        self.log.close()

    def _tend(self) -> None:
        while not self._over.wait(TICK):
            self.tend()

    def tend(self) -> None:
        """Close the class when its time is over; while it is open, a backup an hour."""
        try:
            if self.lesson.is_over(self._wall()):
                self.hold(open=False)
        except UserError as error:
            self.not_saved(error)
        if self.lesson.code and self._clock() >= self._next_backup:
            self._back_up()

    def _back_up(self) -> None:
        folder, now = self.store.folder / BACKUPS, datetime.now(UTC)
        try:
            there = sorted(folder.glob("votes-*.db"))
            newest = there[-1].stat().st_mtime if there else 0.0
            if 0 <= now.timestamp() - newest < HOUR:
                self._next_backup = self._clock() + HOUR - (now.timestamp() - newest)
                return
            self.store.backup(folder / f"votes-{now:%Y%m%d-%H%M%S}.db")
            for old in sorted(folder.glob("votes-*.db"))[:-KEPT]:
                old.unlink(missing_ok=True)
            self._no_backup, self._next_backup = None, self._clock() + HOUR
        except (UserError, OSError) as error:
            what = getattr(error, "what", str(error))
            remedy = getattr(error, "remedy", "") or f"make room below {folder}"
            self._no_backup = Trouble(f"no backup was made: {what}", f"{remedy}; the class goes on")
            self._next_backup = self._clock() + AGAIN


def _said(connection: Any, task: str) -> Said:
    from ..votes.figures import agreement, disputed, votes_of  # numpy: only once there are votes

    votes = votes_of(connection, task)
    asked = {said.item: said.asked for said in votes}
    return Said(agreement(votes)["alpha"], [(row, asked[row["item"]]) for row in disputed(votes)])


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
