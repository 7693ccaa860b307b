"""What all answers share: the folder, what is known of its runs, who is signed in, what is told."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..votes.people import here, is_here, whose
from ..votes.progress import progress
from ..votes.store import Store, has_store, studio_folder
from ..votes.tasks import tasks_of
from ..votes.writer import wall_clock
from . import schema
from .blinds import Blinds
from .campaigns import Campaigns
from .changes import Changes
from .classroom import Classroom
from .endpoint import Door, Endpoint
from .events import Hub
from .heads import Head, figures_of
from .inside import Inside, text
from .jobs.board import Board
from .limits import Limits
from .scan import id_of, is_recorded
from .sessions import Sessions
from .shelf import Seen, Shelf, status_of
from .speakers import Speakers
from .watched import Watch, Watched

NAMES = ("127.0.0.1", "localhost")  # by which a studio is called
INSTRUCTOR = "instructor"  # the id by which an instructor's own votes are kept


class Desk:
    """One studio over one folder.

    Args:
        link_key: who knows it may have another link; empty = nobody.
        starts_jobs: whether an instructor can have commands started.

    Attributes:
        classroom: the class that is held here; None = none can be.
    """

    def __init__(self, folder: Path, *, port: int, link_key: str = "", starts_jobs: bool = True) -> None:
        self.inside, self.port, self.link_key = Inside(folder), port, link_key
        self.shelf, self.watch, self.sessions = Shelf(self.inside), Watch(self.inside), Sessions()
        self.campaigns = Campaigns(self.inside)
        self.door = Door(frozenset(f"{name}:{port}" for name in NAMES), f"alignlab_studio_{port}")
        self.limits = Limits()
        self.classroom: Classroom | None = None
        self.boot, self.since = secrets.token_hex(4), time.monotonic()
        self.hub = Hub(self.boot, Changes(self.shelf, self.watch, self.task, self._jobs_told))
        self.speakers, self.scorers = Speakers(), Speakers(most=1)
        self.blinds, self.talks = Blinds(), 0
        self.starts_jobs = starts_jobs
        self.jobs: Board | None = None  # the application sees to it: what jobs do knows the desk
        self._store: Store | None = None
        self._opening = threading.Lock()

    @property
    def store(self) -> Store:
        """The store of votes, opened when it is first asked for: a folder that is only looked at stays as it
        is. Raises UserError: another process has it, it is newer than this program, or broken.
        """
        with self._opening:
            if self._store is None:
                self._store = Store.open(studio_folder(self.inside.root))
            return self._store

    @property
    def has_store(self) -> bool:
        """Whether there is a store of votes already."""
        return self._store is not None or has_store(self.inside.root)

    def task(self, id: str) -> schema.TaskEvent | None:
        """How far a task is; None if there is none of the id."""
        if not self.has_store:
            return None
        with self.store.reading() as connection:
            if id not in tasks_of(connection).values():
                return None
            now = progress(connection, id, wall_clock())
        return schema.TaskEvent(id=id, votes=now.votes, done=now.done, online=now.online)

    def leave(self) -> None:
        """What would go on by itself ends: streams, and the processes that answer for models."""
        self.hub.close()
        self.speakers.close()
        self.scorers.close()

    def close(self) -> None:
        """After the last answer."""
        self.leave()
        if self.jobs is not None:
            self.jobs.close()
        if self.classroom:
            self.classroom.close()
        self.shelf.recorded.close()
        with self._opening:
            if self._store is not None:
                self._store.close()

    def _jobs_told(self) -> list[schema.JobsEvent]:
        return [self.jobs.told()] if self.jobs is not None else []

    def who(self, cookie: str, door: Door) -> tuple[schema.Role, str]:
        """What the holder of a cookie may do, and as whom: an instructor came by a link, an annotator by
        joining. Nobody who comes in where others do is an instructor.
        """
        role = "anyone" if door.shared else self.sessions.role_of(cookie)
        if role != "anyone":
            return role, INSTRUCTOR
        person = self.annotator_of(cookie)
        return ("annotator" if person else "anyone"), person

    def annotator_of(self, cookie: str) -> str:
        """The id of whoever joined and holds this cookie; empty if nobody does."""
        if not cookie or not self.has_store:
            return ""
        with self.store.reading() as connection:
            person = whose(connection, cookie, time.time_ns() // 1000)
        return person.id if person else ""

    @property
    def cookie(self) -> str:
        """The name of an instructor's cookie."""
        return self.door.cookie

    def url(self, token: str) -> str:
        """A link. The token stands behind `#`, so that no log and no other server sees it."""
        return f"http://127.0.0.1:{self.port}/#token={token}"

    def watched(self, run: str) -> Watched:
        """The files of a run by its id. Raises Refused: 404."""
        return self.watch.of(self.shelf.look_for(run).find(run))

    def folder_of(self, head: Head) -> Path:
        """Where a run lies, for a command that reads it: of the recorded run once its models are there."""
        if is_recorded(head.path):
            self.shelf.recorded.open(whole=True)
        return self.inside.at(head.folder)

    def look_for_models(self) -> Seen:
        """The folder as it is, the models of the recorded run with it where that is shown."""
        seen = self.shelf.look()
        if self.shelf.recorded.is_open:
            self.shelf.recorded.open(whole=True)
        return seen

    def row(self, seen: Seen, head: Head) -> schema.RunRow:
        """A run as it stands in lists."""
        status, problem = status_of(seen, head)
        return schema.RunRow(
            id=id_of(head.path),
            name=seen.name_of(head.path),
            group=text(seen.groups[head.path]),
            recorded=is_recorded(head.path),
            stage=head.stage,
            status=status,
            seed=head.seed,
            started=head.started,
            seconds=head.seconds,
            progress=self.shelf.progress(head),
            figures=figures_of(head),
            stale=seen.families[head.path].stale,
            generation=self.watch.generation_of(head.path),
            problem=problem,
        )


def reference(seen: Seen, path: str) -> schema.RunRef:
    """A run of the folder by its path, named as elsewhere."""
    return schema.RunRef(id=id_of(path), name=seen.name_of(path), stage=seen.heads[path].stage)


@dataclass(frozen=True)
class Visit:
    """One request: at which desk and door, by whom, with which cookie, of which table; `last` is the event
    that was seen last, `match` the tag of what somebody edited (`If-Match`), `file` where the body lies while
    it is looked at, for a row that takes one.
    """

    desk: Desk
    door: Door
    role: schema.Role
    cookie: str
    rows: Sequence[Endpoint]
    last: str = ""
    match: str = ""
    file: Path = Path()

    @property
    def person(self) -> str:
        """As whom they vote: an instructor has no name among the annotators, and is one of them."""
        if self.role == "instructor":
            with self.desk.store.reading() as connection:
                there = is_here(connection, INSTRUCTOR)
            return INSTRUCTOR if there else self.desk.store.do(here, INSTRUCTOR)
        return self.desk.annotator_of(self.cookie)
