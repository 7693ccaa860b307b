"""The states that an unfinished run goes on from, each a folder:

tensors.safetensors   weights, optimizer
extra.json            the loop's own numbers, how far the logs had come, and the digests of all of it
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from ..text.disk import write_whole
from .files import read_sealed, write_sealed

if TYPE_CHECKING:
    from torch import Tensor

TENSORS = "tensors.safetensors"
LOGS = ("metrics.jsonl", "samples.jsonl", "tokens.jsonl", "probes.jsonl")
NOTHING: dict[str, Any] = {"logs": {}, "seconds": 0.0, "cpu_seconds": 0.0, "wrote": {}}
"""What a run without a state goes on from."""


def write(final: Path, tensors: Mapping[str, Tensor], row: Mapping[str, Any]) -> None:
    """A state under its name, whole or not at all, and then no other. Raises OSError, SafetensorError; what
    was there stays.
    """
    from safetensors.torch import save_file

    with write_whole(final) as staging:
        staging.mkdir()
        save_file(_unshared(tensors), staging / TENSORS)
        write_sealed(staging / "extra.json", {**row, "tensors": _sha256(staging / TENSORS)})
    for old in final.parent.glob("state-*"):
        if old.name != final.name:
            shutil.rmtree(old, ignore_errors=True)


def step_of(state: Path) -> int:
    """The step that a state goes on with."""
    return int(state.name.removeprefix("state-"))


def newest(folder: Path) -> tuple[Path | None, list[str]]:
    """The newest whole state of an unfinished run, and what is wrong with those after it."""
    wrong: list[str] = []
    for state in sorted(
        (state for state in folder.glob("state-*") if re.fullmatch(r"state-\d{8}", state.name)), reverse=True
    ):
        if not (fault := fault_of(state)):
            return state, wrong
        wrong.append(f"{state.name}/{fault}")
    return None, wrong


def fault_of(state: Path) -> str:
    """What is wrong with a state, as "FILE is ...", or nothing."""
    try:
        row = row_of(state)
        if row.get("tensors") == _sha256(state / TENSORS):
            return ""
        return f"{TENSORS} was changed: its SHA-256 is not the one that it was written with"
    except DataError as error:
        return f"extra.json: {error.what}"
    except OSError as error:
        return f"{TENSORS} cannot be read: {error.strerror}"


def row_of(state: Path) -> dict[str, Any]:
    """What a state says beside its tensors: the loop's `extra`, `logs`, `wrote`, `seconds` and `cpu_seconds`.
    Raises DataError.
    """
    return read_sealed(state / "extra.json")


def logged(folder: Path) -> dict[str, list[int | str]]:
    """How far each log has come: size and SHA-256."""
    return {
        name: [(folder / name).stat().st_size, _sha256(folder / name)]
        for name in LOGS
        if (folder / name).exists()
    }


def compare(folder: Path, logs: Mapping[str, list[Any]]) -> None:
    """Raise DataError for a log that is not, as far as a state had seen it, as it was then."""
    for name, (size, sha256) in logs.items():
        file = folder / name
        if not (file.exists() and file.stat().st_size >= size and _sha256(file, size) == sha256):
            raise DataError(
                "is not as the state that the run goes on from had seen it",
                where=str(file),
                remedy="take the file from a copy, or begin anew with --no-resume",
            )


def cut_back(folder: Path, logs: Mapping[str, list[Any]]) -> None:
    """Cut the logs to what a state had seen: a resumed run then writes what an undisturbed one would. Raises
    DataError as `compare`.
    """
    compare(folder, logs)
    for name in LOGS:
        if (folder / name).exists():
            os.truncate(folder / name, logs[name][0] if name in logs else 0)


def _sha256(path: Path, size: int = -1) -> str:
    """Of a file, or of its first `size` bytes. Raises OSError."""
    with open(path, "rb") as file:
        if size < 0:
            return hashlib.file_digest(file, "sha256").hexdigest()
        return hashlib.sha256(file.read(size)).hexdigest()


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as safetensors wants them: on the CPU, contiguous, and a copy where two share memory (tied
    weights).
    """
    seen: set[int] = set()
    flat: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        flat[name] = tensor.detach().cpu().contiguous()
        if (storage := flat[name].untyped_storage().data_ptr()) in seen:
            flat[name] = flat[name].clone()
        seen.add(storage)
    return flat
