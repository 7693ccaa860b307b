"""The runs of the folder with their groups, plans and families, as they are now."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from ..run import key_of
from ..text.documents import Malformed
from . import schema
from .heads import MOST_NAME, Head, Heads
from .inside import Inside, number, text
from .problems import Refused
from .recorded import Recorded
from .scan import Found, below, id_of, is_recorded, scan

FRESH = 1.0  # seconds for which what was found is not looked for again
MOST_STAGES = 1000  # of a plan


@dataclass(frozen=True)
class Planned:
    """A stage of a pipeline's plan; `needs` are names of other stages."""

    name: str
    stage: str
    needs: tuple[str, ...]
    state: str
    text: str


@dataclass(frozen=True)
class Family:
    """Of one run: those that it was made from by path, None where they are not in the folder; those that were
    made from it; whether a parent was made anew since.
    """

    parents: Mapping[str, str | None]
    children: list[str]
    stale: bool

    @property
    def first(self) -> str | None:
        """The first of its parents."""
        return next(iter(self.parents.values()), None)


@dataclass
class Seen:
    """All that was found at one moment: heads, groups and families by the path of a run, paths by its id,
    plans by their folder.
    """

    found: Found = field(default_factory=Found)
    heads: dict[str, Head] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    families: dict[str, Family] = field(default_factory=dict)
    plans: dict[str, dict[str, Planned]] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def newest(self) -> list[Head]:
        """Runs, those that began last first; what has no beginning comes last."""
        return sorted(self.heads.values(), key=lambda head: (-(head.started or 0.0), head.path))

    @property
    def own(self) -> list[Head]:
        """Runs of the folder, without those of the recorded run."""
        return [head for path, head in self.heads.items() if not is_recorded(path)]

    def find(self, run: str) -> Head:
        """The run of an id. Raises Refused: 404."""
        path = self.ids.get(run)
        if path is None:
            raise Refused(
                404, "there is no such run any more", remedy="the list of runs says which there are"
            )
        return self.heads[path]

    def name_of(self, path: str) -> str:
        """A run's name in its group."""
        name = path.removeprefix(self.groups[path]).lstrip("/")
        return text(name, MOST_NAME) or "."

    def failure_of(self, path: str) -> str:
        """Why a run's pipeline says that it failed; nothing for a run that did not."""
        group = self.groups[path]
        planned = self.plans.get(group, {}).get(path.removeprefix(group).lstrip("/"))
        failed = planned is not None and planned.state == "failed" and self.heads[path].status == "stopped"
        return planned.text if planned and failed else ""


class Shelf:
    """Looks into the folder when it is asked, once a second at most."""

    def __init__(self, inside: Inside) -> None:
        self.inside, self._heads, self.recorded = inside, Heads(inside), Recorded(inside)
        self._lock, self._seen, self._at = threading.Lock(), Seen(), -FRESH
        self._stale: dict[tuple[str, ...], bool] = {}  # grows by one a run and change

    def look(self, *, fresh: float = FRESH) -> Seen:
        """What there is, not older than `fresh` seconds; where there is nothing, the recorded run."""
        with self._lock:
            if time.monotonic() - self._at > fresh:
                self._seen = self._look()
                if not self._seen.ids and not self._seen.plans:
                    self.recorded.open()
                    self._seen = self._look()
                self._at = time.monotonic()
            return self._seen

    def look_for(self, *runs: str) -> Seen:
        """As `look`, for these ids: with the recorded run if one of them is of it."""
        if self.recorded.is_open or not self.recorded.holds(runs):
            return self.look()
        return self.look_recorded()

    def look_recorded(self) -> Seen:
        """As `look`, with the recorded run."""
        if self.recorded.is_open:
            return self.look()
        self.recorded.open()
        return self.look(fresh=0.0)

    def progress(self, head: Head) -> schema.Progress | None:
        """How far an unfinished run says it is."""
        if head.status not in ("running", "stopped"):
            return None
        try:
            row = self.inside.document(below(head.folder, "progress.json"))
        except (OSError, Malformed):
            return None
        done, total, left = (number(row.get(name)) for name in ("done", "total", "seconds_left"))
        if done is None or total is None:
            return None
        return schema.Progress(done=int(done), total=int(total), seconds_left=left)

    def _look(self) -> Seen:
        seen = Seen(scan(self.inside))
        seen.heads = {path: self._heads.of(path, folders) for path, folders in seen.found.runs.items()}
        self._heads.forget_all_but(seen.heads)
        seen.ids = {id_of(path): path for path in seen.heads}
        seen.groups = {path: _group_of(path, seen.heads) for path in seen.heads}
        seen.plans = {folder: self._plan(folder) for folder in seen.found.plans}
        seen.families = self._families(seen)
        return seen

    def _plan(self, folder: str) -> dict[str, Planned]:
        try:
            stages = self.inside.document(below(folder, "plan.json")).get("stages")
        except (OSError, Malformed):
            return {}
        found: dict[str, Planned] = {}
        for row in stages[:MOST_STAGES] if isinstance(stages, list) else ():
            name = row.get("name") if isinstance(row, dict) else None
            if not isinstance(name, str) or not name:
                continue
            needs = row.get("needs")
            others = [need for need in needs if isinstance(need, str)] if isinstance(needs, list) else []
            stage, state = text(row.get("stage"), MOST_NAME), text(row.get("state"), 20)
            found[name] = Planned(name, stage, tuple(others), state, text(row.get("text"), 1000))
        return found

    def _families(self, seen: Seen) -> dict[str, Family]:
        at = {str(self.inside.at(path)): path for path in seen.heads if not is_recorded(path)}
        parents: dict[str, dict[str, str | None]] = {}
        children: dict[str, list[str]] = {path: [] for path in seen.heads}
        for path, head in seen.heads.items():
            parents[path] = {
                given: self._parent(given, seen.groups[path], at, seen) for given in head.parents
            }
            for parent in parents[path].values():
                if parent is not None and path not in children[parent]:
                    children[parent].append(path)
        return {
            path: Family(parents[path], children[path], self._is_stale(head, parents[path], seen))
            for path, head in seen.heads.items()
        }

    def _parent(self, given: str, group: str, at: Mapping[str, str], seen: Seen) -> str | None:
        """The run that a path meant when it was given: that very path or, where the folder was moved since,
        the one of that name in the same group.
        """
        absolute = str(Path(given).absolute())
        if absolute in at and not is_recorded(group):
            return at[absolute]
        sibling = below(group, PurePath(given).name)
        return sibling if sibling in seen.heads else None

    def _is_stale(self, head: Head, parents: Mapping[str, str | None], seen: Seen) -> bool:
        """Whether a finished run's key is another with the keys that its parents have now."""
        known = {given: seen.heads[parent].key for given, parent in parents.items() if parent is not None}
        if head.status != "done" or len(known) < len(parents) or not known:
            return False
        asked = (head.path, head.key, *known, *known.values())
        if asked not in self._stale:
            try:
                self._stale[asked] = key_of(head.info, head.config, known) != head.key
            except (LookupError, TypeError, AttributeError, ValueError):
                self._stale[asked] = False
        return self._stale[asked]


def _group_of(path: str, runs: Mapping[str, Head]) -> str:
    """The innermost folder above a run that is no run itself and below none."""
    parts = path.split("/")
    for count in range(1, len(parts)):
        if "/".join(parts[:count]) in runs:
            return "/".join(parts[: count - 1])
    return "/".join(parts[:-1])


def status_of(seen: Seen, head: Head) -> tuple[schema.Status, str]:
    """The status of a run, and why it is failed or broken."""
    if failure := seen.failure_of(head.path):
        return "failed", failure
    return head.status, text(head.problem, 1000)
