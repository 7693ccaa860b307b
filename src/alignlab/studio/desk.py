"""What all answers share: the folder, what is known of its runs, who is signed in, what is told."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..votes.people import known_as, whose
from ..votes.store import Store, has_store, studio_folder
from . import schema
from .changes import Changes
from .endpoint import Endpoint
from .events import Hub
from .heads import Head, figures_of
from .inside import Inside, text
from .scan import id_of, is_recorded
from .sessions import Sessions
from .shelf import Seen, Shelf, status_of
from .watched import Watch, Watched

INSTRUCTOR = "instructor"  # the id by which an instructor's own votes are kept


class Desk:
    """One studio over one folder.

    Args:
        link_key: who knows it may have another link; empty = nobody.
    """

    def __init__(self, folder: Path, *, port: int, link_key: str = "") -> None:
        self.inside, self.port, self.link_key = Inside(folder), port, link_key
        self.shelf, self.watch, self.sessions = Shelf(self.inside), Watch(self.inside), Sessions()
        self.boot, self.since = secrets.token_hex(4), time.monotonic()
        self.hub = Hub(self.boot, Changes(self.shelf, self.watch))
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

    def close(self) -> None:
        """After the last answer."""
        self.hub.close()
        self.shelf.recorded.close()
        with self._opening:
            if self._store is not None:
                self._store.close()

    def role_of(self, cookie: str) -> schema.Role:
        """What the holder of a cookie may do: an instructor came by a link, an annotator by joining."""
        role = self.sessions.role_of(cookie)
        return "annotator" if role == "anyone" and self.annotator_of(cookie) else role

    def annotator_of(self, cookie: str) -> str:
        """The id of whoever joined and holds this cookie; empty if nobody does."""
        if not cookie or (self._store is None and not has_store(self.inside.root)):
            return ""
        with self.store.reading() as connection:
            person = whose(connection, cookie, time.time_ns() // 1000)
        return person.id if person else ""

    @property
    def cookie(self) -> str:
        """The name of the cookie: cookies do not know ports."""
        return f"alignlab_studio_{self.port}"

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
    """One request: at which desk, by whom, with which cookie, of which table; `last` is the event that was
    seen last.
    """

    desk: Desk
    role: schema.Role
    cookie: str
    rows: Sequence[Endpoint]
    last: str = ""

    @property
    def person(self) -> str:
        """As whom they vote: an instructor has no name among the annotators, and is one of them."""
        if self.role == "instructor":
            return self.desk.store.do(known_as, INSTRUCTOR)
        return self.desk.annotator_of(self.cookie)
