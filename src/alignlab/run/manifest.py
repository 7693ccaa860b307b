"""What a finished run holds: size and SHA-256 of every file, written last and compared whenever the run is
read.

    manifest.json   {"files": {NAME: [SIZE, SHA-256]}, "sha256": of the rest of this file}

A disk that changes a byte says nothing. Here a file that was changed, cut, emptied, lost, or put into `data/`
or `checkpoint/` is named. Not looked at: what people put beside a run's files (notes, pages, runs of their
own below it), and what a tracker keeps.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..errors import DataError, UserError
from .files import read_json, read_sealed, write_sealed

MANIFEST = "manifest.json"
WEIGHTS = (".safetensors", ".gguf")
REMEDY = (
    "take the file from a copy of the folder, or make the run anew: --again with the command that made it"
)
READ = {
    "run.json",
    "config.json",
    "metrics.jsonl",
    "samples.jsonl",
    "tokens.jsonl",
    "probes.jsonl",
    "health.jsonl",
    "summary.json",
}  # what is read from a run's own folder if it is there
_FOLDERS = {"data", "checkpoint", "members"}
_TRACKERS = {"tensorboard", "wandb", "trackio"}
_SETTLED = 2e9  # ns after its last change from which a file's time stamps tell of any other change
_known: dict[tuple[str | int, ...], str] = {}  # digests of this process: weights are read once for it


def seal(folder: Path, *, wrote: Mapping[str, str]) -> None:
    """Write the manifest of all that a folder holds.

    Args:
        wrote: digests of files in data/, by name, as they were when they were written.

    Raises:
        OSError. DataError: one of those has changed since.
    """
    files = {name: [path.stat().st_size, digest(path)] for name, path in _below(folder)}
    for name, sha256 in wrote.items():
        if (found := files.get(f"data/{name}.jsonl")) and found[1] != sha256:
            raise DataError(
                f"data/{name}.jsonl has changed since it was written",
                where=str(folder),
                remedy="begin anew with --no-resume",
            )
    write_sealed(folder / MANIFEST, {"files": files})


def faults(folder: Path, *, weights: bool = True, inner: bool = True) -> list[str] | None:
    """What is not as the manifest says, a sentence each that begins with the file; None where there is no
    manifest to go by.

    Args:
        weights: read weights too; else only their size is compared.
        inner: runs below this one too (members of an ensemble), which have manifests of their own.
    """
    if not os.path.exists(folder / MANIFEST):
        return _without_manifest(folder)
    try:
        files = read_sealed(folder / MANIFEST)["files"]
    except DataError as error:
        return [f"{MANIFEST} {error.what.removeprefix('the file ')}"]
    others: tuple[str, ...] = ()
    if not inner:
        others = tuple(name.removesuffix(MANIFEST) for name in files if name.endswith(f"/{MANIFEST}"))
    found = [
        f"{name} {fault}"
        for name, (size, sha256) in files.items()
        if not name.startswith(others) and (fault := _fault(folder / name, size, sha256, weights))
    ]
    tops = _FOLDERS | {name.partition("/")[0] for name in files if "/" in name}
    extra = [
        name
        for name, _ in _below(folder)
        if name not in files and (name in READ or "/" in name and name.partition("/")[0] in tops)
    ]
    return found + [f"{name} is not one of the run's files" for name in extra if not name.startswith(others)]


def check_whole(
    folder: Path, *, weights: bool = False, inner: bool = False, error: type[UserError] = DataError
) -> None:
    """Raise `error` for a finished run that is not as it was written (see `faults`); of a folder that is
    none, nothing is said.
    """
    if found := faults(folder, weights=weights, inner=inner):
        more = f", and {len(found) - 1} more (alignlab runs verify {folder})" if len(found) > 1 else ""
        raise error(f"{folder} is damaged: {found[0]}{more}", where=str(folder), remedy=REMEDY)


def check_model(folder: Path, *, error: type[UserError]) -> None:
    """`check_whole` of a model folder, weights too: by a manifest of its own, or by that of the run whose
    checkpoint it is.
    """
    for place in (folder, folder.parent):
        if os.path.exists(place / MANIFEST):
            check_whole(place, weights=True, error=error)


@contextmanager
def later(file: Path) -> Iterator[None]:
    """Around a file that a command writes into a finished run (a page, an export): its line in the manifest
    goes before and comes back after.
    """
    run = next((parent for parent in file.absolute().parents if (parent / MANIFEST).exists()), None)
    if run is None:
        yield
        return
    name = file.absolute().relative_to(run).as_posix()
    files = read_sealed(run / MANIFEST)["files"]
    files.pop(name, None)
    write_sealed(run / MANIFEST, {"files": files})
    yield
    write_sealed(run / MANIFEST, {"files": files | {name: [file.stat().st_size, digest(file)]}})


def digest(path: Path) -> str:
    """SHA-256 of a file, read once a process for as long as its time stamps stay. Raises OSError."""
    at = path.stat()
    key = (str(path.absolute()), at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns)
    if key not in _known:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if time.time_ns() - max(at.st_mtime_ns, at.st_ctime_ns) < _SETTLED:
            return found
        _known[key] = found
    return _known[key]


def _below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below a folder with its name, in order; but for the manifest, the lock and what trackers
    keep.
    """
    for at, folders, names in os.walk(folder):
        top = Path(at) == folder
        folders[:] = sorted(name for name in folders if not (top and name in _TRACKERS))
        for name in sorted(names):
            if not (name == ".lock" or top and name == MANIFEST):
                path = Path(at, name)
                yield path.relative_to(folder).as_posix(), path


def _fault(path: Path, size: int, sha256: str, weights: bool) -> str:
    try:
        at = path.stat()
        if not stat.S_ISREG(at.st_mode):
            return "is no file any more"
        if at.st_size != size:
            if not at.st_size:
                return f"is empty, and had {size} bytes"
            return f"has {at.st_size} bytes, and had {size}"
        if (weights or path.suffix not in WEIGHTS) and digest(path) != sha256:
            return "was changed: its SHA-256 is not the one that it was written with"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return ""


def _without_manifest(folder: Path) -> list[str] | None:
    """Of a run made before there were manifests: the digests of its data, which run.json has always kept."""
    try:
        info = read_json(folder / "run.json")
    except DataError:
        return None
    if info.get("manifest"):
        return [f"{MANIFEST} is missing"]
    wrote: dict[str, str] = {}
    if info.get("status") == "done":
        wrote = {f"data/{name}.jsonl": sha256 for name, sha256 in info.get("wrote", {}).items()}
    found = [
        f"{name} {fault}"
        for name, sha256 in wrote.items()
        if (
            fault := _fault(
                folder / name, (folder / name).stat().st_size if (folder / name).exists() else 0, sha256, True
            )
        )
    ]
    return found or None
