"""What a name becomes where it is read: known to stand for something, with the runs that it comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from .weights import check_finished

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Named(Generic[T_co]):
    """Somebody by name, not loaded yet: a run that is done already needs nobody.

    Args:
        name: as the user gave it; empty, and `load` gives None, where it may be left out.
        load: makes what is named.
        runs: the run folders that it comes from, which its user's run records as parents.
        models: the names of the models behind it.
        files: the files that it is made of, whose content its user's run is of.
    """

    name: str
    load: Callable[[], T_co]
    runs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def digests(self) -> dict[str, str]:
        """The digest of each of the files."""
        return {name: hashlib.sha256(Path(name).read_bytes()).hexdigest()[:16] for name in self.files}


def runs_among(*names: str) -> tuple[str, ...]:
    """Those of the names that are run folders, each once. Raises DataError for a run that is not finished."""
    for name in names:
        check_finished(name)
    return tuple(name for name in dict.fromkeys(names) if name and (Path(name) / "run.json").exists())
