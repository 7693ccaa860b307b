"""A run that somebody looks at: its growing files, read as they grow."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import BinaryIO

from pydantic import ValidationError

from ..text.documents import Malformed
from . import schema
from .curves import Curves
from .heads import Head
from .inside import Inside, clean, row_of
from .problems import Refused
from .samples import Index
from .scan import PARTIAL, below
from .tail import Tail, first_of

MOST_WATCHED = 8  # runs that are kept
MOST_REMARKS = 500  # of a run's health
PATIENCE = 30.0  # seconds for an index to be made


class Remarks:
    """What the rules of health said of a run."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.rows, self.kept = 0, list[schema.Remark]()

    def take(self, offset: int, line: bytes | None) -> None:
        self.rows += 1
        try:
            remark = schema.Remark.model_validate(clean(row_of(line or b""), schema.CUT))
        except (Malformed, ValidationError):
            return
        if len(self.kept) < MOST_REMARKS:
            self.kept.append(remark)


class Watched:
    """The files of one run. Its samples are read in a thread of their own the first time: `wait` for it.

    Args:
        begun_at: the generation to begin with.
    """

    def __init__(self, inside: Inside, head: Head, begun_at: int) -> None:
        self.inside, self.head, self._begun_at = inside, head, begun_at
        self.metrics, self.remarks = Curves(), Remarks()
        self.samples, self.tokens, self.probes = Index(), Index(), Index()
        readers = {"metrics": self.metrics, "health": self.remarks, "samples": self.samples}
        readers |= {"tokens": self.tokens, "probes": self.probes}
        self._tails = {name: Tail(reader) for name, reader in readers.items()}
        self._locks = {name: threading.RLock() for name in readers}
        self.orders = OrderedDict[
            tuple[object, ...], Sequence[int]
        ]()  # of its samples, the last that were asked
        self._ready = threading.Event()
        threading.Thread(target=self._first, daemon=True, name="index").start()

    def _first(self) -> None:
        try:
            with self._locks["samples"]:
                self._tails["samples"].catch_up(self.inside, self.paths("samples"))
        finally:
            self._ready.set()

    @property
    def ready(self) -> bool:
        """Whether all samples were read that there were at first."""
        return self._ready.is_set()

    def wait(self, rows: int = 0) -> None:
        """Until it is ready, or so many samples were read. Raises Refused: 503."""
        waited = 0.0
        while not self._ready.wait(0.02) and not 0 < rows <= self.samples.rows:
            waited += 0.02
            if waited > PATIENCE:
                raise Refused(503, "the index of the samples is still being made", retry_after=5)

    @property
    def generation(self) -> int:
        return self._begun_at + sum(tail.generation for tail in self._tails.values())

    def paths(self, name: str) -> list[str]:
        """Where a file may be: a run that is done in a moment has its other name then."""
        folders = [self.head.folder, self.head.folder.removesuffix(PARTIAL)]
        return [below(folder, f"{name}.jsonl") for folder in dict.fromkeys(folders)]

    def lock(self, name: str) -> threading.RLock:
        """Held while what was read of a file is worked with."""
        return self._locks[name]

    def catch_up(self, *names: str) -> None:
        """Read what is new in some files, samples once they are ready."""
        for name in names:
            if name == "samples" and not self.ready:
                continue
            with self._locks[name]:
                self._tails[name].catch_up(self.inside, self.paths(name))

    def open(self, name: str) -> BinaryIO:
        """A file, to read rows from. Raises Refused: 404."""
        file = first_of(self.inside, self.paths(name))
        if file is None:
            raise Refused(404, f"this run has no {name}.jsonl")
        return file

    def counts(self) -> schema.RowCounts:
        """How many lines there are of each."""
        self.catch_up(*self._tails)
        return schema.RowCounts(
            metrics=self.metrics.rows,
            samples=self.samples.rows,
            health=self.remarks.rows,
            tokens=self.tokens.rows,
            probes=self.probes.rows,
        )


class Watch:
    """The runs that were looked at last. A run that is looked at again after others begins another
    generation.
    """

    def __init__(self, inside: Inside) -> None:
        self.inside, self._lock = inside, threading.Lock()
        self._watched = OrderedDict[str, Watched]()
        self._generations: dict[str, int] = {}

    def of(self, head: Head) -> Watched:
        """A run's files."""
        with self._lock:
            found = self._watched.get(head.path)
            if found is None:
                found = Watched(self.inside, head, self._generations.get(head.path, 0))
                self._watched[head.path] = found
            found.head = head
            self._watched.move_to_end(head.path)
            while len(self._watched) > MOST_WATCHED:
                path, oldest = self._watched.popitem(last=False)
                self._generations[path] = oldest.generation + 1
        return found

    def generation_of(self, path: str) -> int:
        """As far as it is known without reading."""
        with self._lock:
            found = self._watched.get(path)
            return found.generation if found else self._generations.get(path, 0)

    def __len__(self) -> int:
        return len(self._watched)
