"""Which runs, plans and pages lie in the folder. Names alone: nothing is read."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field

from ..run.manifest import MANIFEST
from .inside import Inside

PARTIAL = ".partial"
RECORDED = ".recorded"  # by which the recorded run stands among the folders (`Recorded`)
PRUNED = frozenset(("checkpoint", "data", "kept", "tensorboard", "wandb", "trackio"))
MOST_FOLDERS = 20_000
MOST_DEPTH = 12
MOST_PAGES = 2000


@dataclass
class Found:
    """Paths below the folder: of runs their name's (without `.partial`) with the folders that there are, of
    plans the folder that they stand in.
    """

    runs: dict[str, list[str]] = field(default_factory=dict)
    plans: list[str] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)


def scan(inside: Inside) -> Found:
    """What there is, in order of paths. Links are not followed; what cannot be entered is passed over."""
    found, seen = Found(), 0
    waiting = [*((name, 0) for name in inside.others), ("", 0)]
    while waiting and seen < MOST_FOLDERS:
        path, depth = waiting.pop()
        seen += 1
        try:
            with os.scandir(inside.at(path)) as entries:
                names = {
                    entry.name: entry.is_dir(follow_symlinks=False) for entry in entries if is_own(entry)
                }
        except OSError:
            continue
        if names.get("run.json") is False or names.get(MANIFEST) is False:
            found.runs.setdefault(path.removesuffix(PARTIAL), []).append(path)
        if names.get("plan.json") is False:
            found.plans.append(path)
        for name in sorted(names, reverse=True):
            if names[name] and depth < MOST_DEPTH and not is_pruned(name):
                waiting.append((below(path, name), depth + 1))
            elif not names[name] and is_page(name) and len(found.pages) < MOST_PAGES:
                found.pages.append(below(path, name))
    return found


def is_own(entry: os.DirEntry[str]) -> bool:
    """A file or a folder, and no link, pipe or device."""
    return entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)


def is_pruned(name: str) -> bool:
    """Folders in which no run is looked for."""
    return name in PRUNED or name.startswith(("state-", "."))


def is_page(name: str) -> bool:
    return name.endswith(".html") and not name.startswith(".")


def is_recorded(path: str) -> bool:
    """Whether a run or a folder is of the recorded run."""
    return path.partition("/")[0] == RECORDED


def below(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def id_of(path: str) -> str:
    """What a path below the folder is called in addresses."""
    return hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:12]
