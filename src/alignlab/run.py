"""The run directory: the only thing that passes between stages.

    OUT/  run.json       stage, status, key, seed, parents, commit, versions, machine, seconds
          config.json    settings and options of the stage
          metrics.jsonl  one line a step
          samples.jsonl  texts
          data/          records that were used or made
          checkpoint/    a model folder, where the stage makes one
          summary.json   its figures

While a stage works the folder is called `OUT.partial` and holds the newest `state-N/` (safetensors and JSON) to go on from.
Finishing renames it, so that OUT is either whole or not there. Nothing random is ever saved: every draw is derived from
(seed, purpose, step), so a resumed run makes the same draws and ends in the same bits.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from . import __version__
from .config import config_hash
from .errors import GuardStop, ResourceError, ResumeRefused, UserError
from .records import Record, write_jsonl

if TYPE_CHECKING:
    from torch import Tensor

State = tuple["dict[str, Tensor]", dict[str, Any]]
T = TypeVar("T")
_MACHINE_ONLY = {"threads", "device", "workers"}


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for one purpose. Everything random is drawn from (seed, purpose, step), never from a running generator."""
    text = "\x1f".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def guard_finite(value: float, *, step: int, what: str, sample: str = "") -> None:
    """Stop the run on a value that is not finite; the last good state stays.

    Raises:
        GuardStop: exit code 6, with the step and the sample.
    """
    if value != value or value in (float("inf"), float("-inf")):
        raise GuardStop(f"{what} is {value} at step {step}", where=sample[:300],
                        remedy="a lower learning rate, a smaller max_grad_norm or precision fp32; the last good state is kept")


@dataclass
class RunInfo:
    """A run folder as others see it. `status` is "done" or "running" (unfinished, perhaps abandoned)."""

    path: Path
    stage: str
    status: str
    key: str
    seed: int
    parents: list[str]
    config: dict[str, Any]
    commit: str
    versions: dict[str, str]
    machine: dict[str, Any]
    started: float
    seconds: float
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        return _lines(self.path / "metrics.jsonl")

    @property
    def samples(self) -> list[dict[str, Any]]:
        return _lines(self.path / "samples.jsonl")


def read_run(path: str | os.PathLike[str]) -> RunInfo:
    """What a run folder holds. Raises UserError if it is none."""
    path = Path(path)
    try:
        info = json.loads((path / "run.json").read_text())
        config = json.loads((path / "config.json").read_text())
        summary = json.loads((path / "summary.json").read_text()) if (path / "summary.json").exists() else {}
        return RunInfo(path, info["stage"], info["status"], info["key"], info["seed"], info["parents"], config, info["commit"], info["versions"],
                       info["machine"], info["started"], info["seconds"], summary)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"not a run folder: {error}", where=str(path), remedy="`alignlab runs` lists the runs") from None


def list_runs(folder: str | os.PathLike[str]) -> list[RunInfo]:
    """Every run below a folder, finished or not, newest first."""
    found = []
    for file in sorted(Path(folder).glob("**/run.json")):
        with suppress(UserError):
            found.append(read_run(file.parent))
    return sorted(found, key=lambda info: -info.started)


class RunDir:
    """A run while it is made. Use `RunDir.open`."""

    def __init__(self, out: Path, info: dict[str, Any], *, done: bool) -> None:
        self.out, self.info, self.done = out, info, done
        self.path = out if done else _staging(out)
        self.seed: int = info["seed"]
        self.key: str = info["key"]
        self._clock = time.perf_counter()
        self._files: dict[str, Any] = {}
        self._last_save, self._save_took = time.perf_counter(), 0.0
        self._stop_signal = 0
        self._lock: Any = None
        self._progress_said = 0.0

    @staticmethod
    def open(out: str | os.PathLike[str], *, stage: str, config: Mapping[str, Any], seed: int, parents: Sequence[str | Path] = (),
             data: Mapping[str, str] | None = None, resume: bool = True) -> RunDir:
        """Begin a run, go on with it, or find it done.

        The key covers the stage, its configuration (threads and device aside), seed, data and the keys of the parents.
        A finished run with the same key is `done`; an unfinished one goes on from its newest state.

        Args:
            resume: False throws an unfinished run of this folder away and begins anew.

        Raises:
            ResumeRefused: the folder holds a run with another key.
            UserError: another process is writing to it.
            ResourceError: no space or no right to write.
        """
        out = Path(out)
        lineage = {str(parent): read_run(parent).key for parent in parents}
        key = config_hash({"stage": stage, "config": _without_machine(config), "seed": seed, "data": dict(data or {}), "version": __version__.rsplit(".", 1)[0],
                           "parents": sorted(lineage.values())} | _ignore_paths(config, lineage))
        if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
            existing = read_run(out) if (out / "run.json").exists() else None
            if existing is None:
                raise ResumeRefused(f"{out} exists and is not a run", remedy="another --out, or move it away")
            if existing.key == key and existing.status == "done":
                return RunDir(out, json.loads((out / "run.json").read_text()), done=True)
            raise ResumeRefused(f"{out} is a finished run of {existing.stage!r} made by other settings, data or parents",
                                where=_difference(existing.config, dict(config)), remedy=f"another --out, or delete {out} and what was made from it")
        staging = _staging(out)
        with _disk(staging):
            staging.mkdir(parents=True, exist_ok=True)
            lock = _lock(staging)
            if not resume and (staging / "run.json").exists():
                for item in staging.iterdir():
                    if item.name != ".lock":
                        shutil.rmtree(item) if item.is_dir() else item.unlink()
            if (staging / "run.json").exists():
                info = json.loads((staging / "run.json").read_text())
                if info["key"] != key:
                    lock.close()
                    was = json.loads((staging / "config.json").read_text())
                    raise ResumeRefused(f"{staging} is an unfinished run of {info['stage']!r} made by other settings, data or parents",
                                        where=_difference(was, dict(config)), remedy="the settings it was begun with, another --out, or --no-resume to begin anew")
            else:
                info = {"schema": 1, "stage": stage, "status": "running", "key": key, "seed": seed, "parents": list(lineage), "data": dict(data or {}),
                        "commit": _commit(), "versions": _versions(), "machine": {"cores": os.cpu_count(), "platform": platform.platform()},
                        "started": time.time(), "seconds": 0.0}
                _write_json(staging / "config.json", dict(config))
                _write_json(staging / "run.json", info)
        run = RunDir(out, info, done=False)
        run._lock = lock
        run._truncate()
        return run

    # what is written while it works

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """One line of metrics."""
        self._append("metrics.jsonl", {"step": step, **{key: float(value) for key, value in metrics.items()}})

    def log_samples(self, step: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """Texts worth looking at, a line each."""
        for row in rows:
            self._append("samples.jsonl", {"step": step, **row})

    def note(self, text: str) -> None:
        """A line for the person who is watching, on stderr; empty text says nothing."""
        if text:
            print(text, file=sys.stderr, flush=True)

    def add_data(self, name: str, records: Iterable[Record]) -> str:
        """Records into data/NAME.jsonl, whole or not at all; returns the SHA-256."""
        with _disk(self.path):
            digest = write_jsonl(self.path / "data" / f"{name}.jsonl", records)
        self.info.setdefault("wrote", {})[name] = digest
        return digest

    # steps, state and interruption

    def steps(self, total: int, *, desc: str, save: Callable[[], State] | None = None) -> Iterator[int]:
        """The steps still to do, 0 to total - 1, with progress and an ETA on stderr.

        After a step `save` gives (tensors, extra) to keep, now and then and when the run is interrupted; the loop has called
        `load_state` before. SIGINT and SIGTERM end the step, save and leave (exit 130 or 143).
        """
        state = self._newest_state()
        first = int(state.name.removeprefix("state-")) if state else 0
        with self._signals(), self._progress(total, first, desc) as advance:
            for step in range(first, total):
                yield step
                advance(step + 1)
                if save and (self._stop_signal or self.should_save(step)):
                    self.save_state(step, *save())
                if self._stop_signal:
                    self._stop()

    def track(self, items: Sequence[T], *, desc: str) -> Iterator[T]:
        """The items, with progress and an ETA, for long work that has no state."""
        with self._progress(len(items), 0, desc) as advance:
            for count, item in enumerate(items, 1):
                yield item
                advance(count)

    def should_save(self, step: int) -> bool:
        """Whether enough time has gone by: 20 s, and 20 times what the last save took."""
        every = int(os.environ.get("ALIGNLAB_SAVE_EVERY_STEPS", "0"))
        if every:
            return (step + 1) % every == 0
        return time.perf_counter() - self._last_save > max(20.0, 20 * self._save_took)

    def save_state(self, step: int, tensors: Mapping[str, Tensor], extra: Mapping[str, Any]) -> None:
        """Keep everything needed to go on after `step`: written beside, synced, renamed; older states go."""
        from safetensors.torch import save_file

        begun = time.perf_counter()
        final = self.path / f"state-{step + 1:08d}"
        staging = self.path / f"{final.name}.tmp"
        with _disk(self.path):
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir()
            save_file({name: tensor.detach().contiguous().cpu().clone() for name, tensor in tensors.items()}, staging / "tensors.safetensors")
            offsets = {name: self._sync(name) for name in ("metrics.jsonl", "samples.jsonl")}
            self.info["seconds"] += time.perf_counter() - self._clock
            self._clock = time.perf_counter()
            _write_json(staging / "extra.json", {"extra": dict(extra), "offsets": offsets, "seconds": self.info["seconds"], "wrote": self.info.get("wrote", {})})
            _sync_folder(staging)
            staging.rename(final)
            _sync_folder(self.path)
        for old in self.path.glob("state-*"):
            if old.name != final.name:
                shutil.rmtree(old, ignore_errors=True)
        self._last_save, self._save_took = time.perf_counter(), time.perf_counter() - begun

    def load_state(self) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
        """(next step, tensors, extra) of the newest whole state; None if there is none."""
        from safetensors.torch import load_file

        state = self._newest_state()
        if state is None:
            return None
        row = json.loads((state / "extra.json").read_text())
        return int(state.name.removeprefix("state-")), load_file(state / "tensors.safetensors"), row["extra"]

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the summary, mark the run done, drop the state and give the folder its name."""
        self.info["seconds"] += time.perf_counter() - self._clock
        self.info["status"] = "done"
        self.info["versions"] = _versions()
        with _disk(self.path):
            for name in list(self._files):
                self._sync(name)
                self._files.pop(name).close()
            _write_json(self.path / "summary.json", dict(summary))
            _write_json(self.path / "run.json", self.info)
            for leftover in [*self.path.glob("state-*"), self.path / "progress.json", self.path / ".lock"]:
                shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink(missing_ok=True)
            _sync_folder(self.path)
            if self.out.exists():
                self.out.rmdir()  # an empty folder that somebody made beforehand
            self.path.rename(self.out)
            _sync_folder(self.out.parent)
        self.path, self.done = self.out, True
        if self._lock:
            self._lock.close()

    # below: how

    def _append(self, name: str, row: Mapping[str, Any]) -> None:
        with _disk(self.path):
            if name not in self._files:
                self._files[name] = open(self.path / name, "ab")  # noqa: SIM115
            self._files[name].write((json.dumps(row, ensure_ascii=False, allow_nan=True) + "\n").encode())
            self._files[name].flush()

    def _sync(self, name: str) -> int:
        if name in self._files:
            self._files[name].flush()
            os.fsync(self._files[name].fileno())
        file = self.path / name
        return file.stat().st_size if file.exists() else 0

    def _newest_state(self) -> Path | None:
        whole = [s for s in self.path.glob("state-*") if re.fullmatch(r"state-\d{8}", s.name) and (s / "extra.json").exists()
                 and (s / "tensors.safetensors").exists()]
        return max(whole, default=None, key=lambda s: s.name)

    def _truncate(self) -> None:
        """Cut metrics and samples back to what the newest state had seen: a resumed run then writes what an undisturbed one would."""
        state = self._newest_state()
        row = json.loads((state / "extra.json").read_text()) if state else {"offsets": {}, "seconds": 0.0, "wrote": {}}
        self.info["seconds"] = row["seconds"]
        if row["wrote"]:
            self.info["wrote"] = row["wrote"]
        for name in ("metrics.jsonl", "samples.jsonl"):
            file = self.path / name
            if file.exists():
                os.truncate(file, row["offsets"].get(name, 0))

    @contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def remember(number: int, _: Any) -> None:
            if self._stop_signal:  # asked twice: leave at once
                raise KeyboardInterrupt
            self._stop_signal = number

        before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self) -> None:
        self.note(f"stopped; the same command goes on from {self.path}")
        raise SystemExit(130 if self._stop_signal == signal.SIGINT else 143)

    @contextmanager
    def _progress(self, total: int, first: int, desc: str) -> Iterator[Callable[[int], None]]:
        """On a terminal a bar, elsewhere a line every 15 s; in a pipeline a file that the pipeline reads."""
        begun = time.perf_counter()

        def left(done: int) -> float:
            return (time.perf_counter() - begun) / max(1, done - first) * (total - done)

        if os.environ.get("ALIGNLAB_PROGRESS") == "file":
            def to_file(done: int) -> None:
                if time.perf_counter() - self._progress_said > 0.5 and not self.done:
                    self._progress_said = time.perf_counter()
                    with suppress(OSError):
                        _write_json(self.path / "progress.json", {"done": done, "total": total, "seconds_left": left(done)}, sync=False)
            yield to_file
            return
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"),
                          TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
                task = bar.add_task(desc, total=total, completed=first)
                yield lambda done: bar.update(task, completed=done)
            return

        def to_lines(done: int) -> None:
            if time.perf_counter() - self._progress_said > 15 or done == total:
                self._progress_said = time.perf_counter()
                print(f"{desc}: {done}/{total}, about {left(done):.0f} s left", file=sys.stderr, flush=True)
        self._progress_said = time.perf_counter()
        yield to_lines


def _staging(out: Path) -> Path:
    return out.with_name(out.name + ".partial")


def _without_machine(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_machine(item) for key, item in value.items() if key not in _MACHINE_ONLY}
    return value


def _ignore_paths(config: Mapping[str, Any], lineage: Mapping[str, str]) -> dict[str, Any]:
    """The configuration with run folders replaced by their keys, so that a moved pipeline keeps its keys."""
    text = json.dumps(_without_machine(config), sort_keys=True, default=str)
    for path, key in sorted(lineage.items(), key=lambda item: -len(item[0])):
        text = text.replace(json.dumps(path)[1:-1], key)
    return {"config": text}


def _difference(was: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> str:
    """The first few settings that differ, in words."""
    found = []
    for key in {**was, **now}:
        a, b = was.get(key), now.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            inner = _difference(a, b, f"{prefix}{key}.")
            found += [inner] if inner else []
        elif a != b and key not in _MACHINE_ONLY:
            found.append(f"{prefix}{key}: {a!r} then, {b!r} now")
    return "; ".join(found[:4])


def _write_json(path: Path, value: Any, *, sync: bool = True) -> None:
    staging = path.with_name(path.name + ".tmp")
    with open(staging, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, ensure_ascii=False)
        file.flush()
        if sync:
            os.fsync(file.fileno())
    os.replace(staging, path)


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _lock(staging: Path) -> Any:
    file = open(staging / ".lock", "a+")  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read().strip()
        file.close()
        raise UserError(f"another process is writing to {staging}", where=f"process {owner}" if owner else "", remedy="wait for it, or give another --out") from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """A full disk or a folder that cannot be written is the user's to mend."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise ResourceError(f"cannot write: {error.strerror}", where=str(folder), remedy="make room or give another --out; the last good state is kept") from error
        raise
    except Exception as error:  # safetensors reports a full disk as an error of its own
        if "No space left" in str(error):
            raise ResourceError("cannot write: no space left on the disk", where=str(folder),
                                remedy="make room or give another --out; the last good state is kept") from error
        raise


def _commit() -> str:
    """The commit of the checkout this package runs from; empty for an installed package."""
    with suppress(OSError, subprocess.SubprocessError):
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=5)
        return found.stdout.strip() if found.returncode == 0 else ""
    return ""


def _versions() -> dict[str, str]:
    loaded = {name: getattr(sys.modules.get(name), "__version__", "") for name in ("torch", "transformers", "peft")}
    return {"alignlab": __version__, "python": platform.python_version()} | {name: version for name, version in loaded.items() if version}


def _lines(path: Path) -> list[dict[str, Any]]:
    rows = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):  # the last line of a run that was cut off
                rows.append(json.loads(line))
    return rows
