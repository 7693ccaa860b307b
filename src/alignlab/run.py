"""The run directory: the only thing that passes between stages.

    OUT/  run.json       stage, status, key, seed, parents, commit, versions, machine, seconds
          config.json    settings and options of the stage
          metrics.jsonl  one line a step
          samples.jsonl  texts
      health.jsonl   what the rules of `alignlab.normal` said of the metrics while it ran
          data/          records that were used or made
          checkpoint/    a model folder, where the stage makes one
          summary.json   its figures

While a stage works the folder is called `OUT.partial` and holds the newest `state-N/` (safetensors and JSON) to go on from.
Finishing renames it, so that OUT is either whole or not there. Nothing random is ever saved: every draw is derived from
(seed, purpose, step), so a resumed run makes the same draws and ends in the same bits. A loop looks like this:

    saved = run.load_state()                                     # None at the beginning
    if saved:
        _, tensors, extra = saved
        ...                                                      # put them back into model and optimiser
    for step in run.steps(total, desc="sft", save=lambda: (tensors_now(), {"ema": ema})):
        ...                                                      # `save` is called after a step, when it is time or on an interrupt
        run.log(step, {"loss": loss})
    run.finish(summary)
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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from . import __version__, trackers
from .config import config_hash
from .errors import GuardStop, ResourceError, ResumeRefused, UserError
from .normal import Finding, Watch, examine
from .records import Chain, Record, write_jsonl

if TYPE_CHECKING:
    from torch import Tensor

State = tuple["dict[str, Tensor]", dict[str, Any]]
T = TypeVar("T")
DONE_ALREADY = "done already, nothing to do"
"""The last words of a command whose run was there."""
_MACHINE_ONLY = {"threads", "device", "workers", "endpoint", "tracker", "download"}  # settings that say where and how to work and who looks on: no part of a run's key
_held: dict[Path, IO[str]] = {}  # locks of this process, so that a notebook can open a run again that it dropped


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


@contextmanager
def at_step(step: int) -> Iterator[None]:
    """A guard that stops what happens in here says at which step of the run it was."""
    try:
        yield
    except GuardStop as error:
        raise GuardStop(f"{error.what} at step {step}", where=error.where, remedy=f"{error.remedy}; the last good state is kept") from error


@dataclass
class RunInfo:
    """A run folder as others see it.

    Attributes:
        path: the folder; of an unfinished run, its staging folder.
        status: "done", "running" (a process is at it) or "stopped" (unfinished; the same command goes on with it).
        started: seconds since 1970.
        seconds: of work, over all resumes; of an unfinished run, up to its newest state.
        cpu_seconds: of processor time, likewise: what it costs whatever else the machine does.
    """

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
    cpu_seconds: float
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
        status = info["status"] if info["status"] == "done" or _owner_lives(path) else "stopped"
        return RunInfo(path, info["stage"], status, info["key"], info["seed"], info["parents"], config, info["commit"], info["versions"],
                       info["machine"], info["started"], info["seconds"], info.get("cpu_seconds", 0.0), summary)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"not a run folder: {error}", where=str(path), remedy="`alignlab runs` lists the runs") from None


def list_runs(folder: str | os.PathLike[str]) -> list[RunInfo]:
    """Every run below a folder, finished or not, newest first."""
    found = []
    for file in sorted(Path(folder).glob("**/run.json")):
        with suppress(UserError):
            found.append(read_run(file.parent))
    return sorted(found, key=lambda info: -info.started)


def examine_run(info: RunInfo) -> list[Finding]:
    """What the rules of `alignlab.normal` say of a run, finished or not."""
    rows = info.metrics
    share = 1.0
    if info.status != "done":
        total = _read_json(info.path / "run.json").get("steps", 0)
        share = min(0.999, (int(rows[-1].get("step", 0)) + 1) / total) if rows and total else 0.5
    return examine(info.stage, info.config.get("settings") or {}, rows, info.summary, share=share)


class RunDir:
    """A run while it is made. Use `RunDir.open`."""

    def __init__(self, out: Path, info: dict[str, Any], *, done: bool) -> None:
        self.out, self.info, self.done = out, info, done
        self.path = out if done else _staging(out)
        self.seed: int = info["seed"]
        self.key: str = info["key"]
        self._clock, self._cpu_clock = time.perf_counter(), time.process_time()
        self._files: dict[str, IO[bytes]] = {}
        self._last_save, self._save_took = time.perf_counter(), 0.0
        self._stop_signal = 0
        self._progress_said = 0.0
        self._watch: Watch | None = None
        self._tracker_names: Sequence[str] = ()
        self._trackers: list[trackers.Tracker] = []

    @staticmethod
    def open(out: str | os.PathLike[str], *, stage: str, config: Mapping[str, Any], seed: int, parents: Sequence[str | Path] = (),
             data: Mapping[str, str] | None = None, resume: bool = True, tracker: Sequence[str] = ()) -> RunDir:
        """Begin a run, go on with it, or find it done.

        The key covers the stage, its configuration (threads and device aside), seed, data, the keys of the parents and the version.
        A finished run with the same key is `done`; an unfinished one goes on from its newest state. One that has made nothing yet gives its folder up.

        Args:
            parents: finished run folders that this one starts from.
            data: what was read, name to digest.
            resume: False throws an unfinished run of this folder away and begins anew.
            tracker: names of trackers that get each row of metrics too (`alignlab.trackers`).

        Raises:
            ResumeRefused: the folder holds a run with another key, or something that is no run.
            UserError: a parent is not a finished run, or another process is writing to the folder.
            ResourceError: no space or no right to write.
        """
        out, staging = Path(out), _staging(Path(out))
        lineage = {str(parent): _finished_key(parent) for parent in parents}
        identity = {"stage": stage, "seed": seed, "data": dict(data or {}), "parents": list(lineage)}
        key = _key(config, identity, lineage)
        if _is_done(out, key, config, identity):
            return RunDir(out, _read_json(out / "run.json"), done=True)
        with writing(staging):
            staging.mkdir(parents=True, exist_ok=True)
            _lock(staging)
            if _is_done(out, key, config, identity):  # another process finished it in between
                _release(staging)
                shutil.rmtree(staging)
                return RunDir(out, _read_json(out / "run.json"), done=True)
            if not resume or _holds_nothing(staging):
                for item in staging.iterdir():
                    if item.name != ".lock":
                        shutil.rmtree(item) if item.is_dir() else item.unlink()
            if (staging / "run.json").exists():
                info = _read_json(staging / "run.json")
                if info["key"] != key:
                    _release(staging)
                    raise ResumeRefused(f"{staging} is an unfinished run of {info['stage']!r} made by other settings, data or parents",
                                        where=_difference(_read_json(staging / "config.json") | info, {**config, **identity}),
                                        remedy="the settings it was begun with, another --out, or --no-resume to begin anew")
            else:
                info = {"schema": 1, "stage": stage, "status": "running", "key": key, "config_hash": config_hash(config), **identity,
                        "commit": _commit(), "versions": _versions(), "machine": {"cores": os.cpu_count(), "platform": platform.platform()},
                        "started": time.time(), "seconds": 0.0, "cpu_seconds": 0.0}
                _write_json(staging / "config.json", config)
                _write_json(staging / "run.json", info)
        run = RunDir(out, info, done=False)
        run._tracker_names = tracker
        if info["status"] == "done":  # killed between the last write and the rename
            run._publish()
        else:
            run._truncate()
        return run

    # what is written while it works

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """One line of metrics; what the rules find in it is said, and trackers get it too."""
        row = {"step": step, **{key: float(value) for key, value in metrics.items()}}
        self._append("metrics.jsonl", row)
        for tracker in self._trackers:
            tracker.log(step, {key: value for key, value in row.items() if key != "step"})
        if self._watch:
            self._found(self._watch.see(row))

    def log_samples(self, step: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """Texts worth looking at, a line each."""
        for row in rows:
            self._append("samples.jsonl", {"step": step, **row})

    def note(self, text: str) -> None:
        """A line for the person who is watching, on stderr; empty text says nothing."""
        if text:
            print(text, file=sys.stderr, flush=True)

    def add_data(self, name: str, records: Iterable[Record | Chain]) -> str:
        """Records into data/NAME.jsonl, whole or not at all; returns the SHA-256."""
        with writing(self.path):
            digest = write_jsonl(self.path / "data" / f"{name}.jsonl", records)
        self.info.setdefault("wrote", {})[name] = digest
        return digest

    # steps, state and interruption

    def steps(self, total: int, *, desc: str, save: Callable[[], State] | None = None) -> Iterator[int]:
        """The steps still to do, 0 to total - 1, with progress and an ETA on stderr.

        After a step `save` gives (tensors, extra) to keep: when `should_save` says so and when the run is interrupted. The loop
        has called `load_state` before. SIGINT and SIGTERM let the step end, save, and leave with exit code 130 or 143; asked
        twice, the run leaves at once. A run has one such loop.
        """
        state = self._newest_state()
        first = int(state.name.removeprefix("state-")) if state else 0
        self._look_on(total)
        with self._signals(), self._progress(total, first, desc) as advance:
            for step in range(first, total):
                yield step
                advance(step + 1)
                if save and (self._stop_signal or self.should_save(step)):
                    self.save_state(step, *save())
                if self._stop_signal:
                    self._stop()

    def track(self, items: Iterable[T], total: int | None = None, *, desc: str) -> Iterator[T]:
        """The items, with progress and an ETA, for long work that has no state. `total` is needed where the items have no length."""
        if total is None:
            assert isinstance(items, Sized), "track needs a total for items without a length"
            total = len(items)
        with self._progress(total, 0, desc) as advance:
            for count, item in enumerate(items, 1):
                yield item
                advance(count)

    def should_save(self, step: int) -> bool:
        """Whether it is time to save: after 20 s, and 20 times what the last save took, so that saving costs 5 % at most."""
        every = int(os.environ.get("ALIGNLAB_SAVE_EVERY_STEPS", "0"))
        if every:
            return (step + 1) % every == 0
        return time.perf_counter() - self._last_save > max(20.0, 20 * self._save_took)

    def save_state(self, step: int, tensors: Mapping[str, Tensor], extra: Mapping[str, Any]) -> None:
        """Keep everything needed to go on after `step`: written beside, synced, renamed; then the older states go.

        A step that is kept already stays as it is.

        Raises:
            ResourceError: no space; the state before stays.
        """
        from safetensors.torch import save_file

        begun, cpu_begun = time.perf_counter(), time.process_time()
        final = self.path / f"state-{step + 1:08d}"
        staging = self.path / f"{final.name}.tmp"
        if _is_whole(final):
            return
        worked = {"seconds": self.info["seconds"] + begun - self._clock, "cpu_seconds": self.info.get("cpu_seconds", 0.0) + cpu_begun - self._cpu_clock}
        with writing(self.path):
            try:
                shutil.rmtree(staging, ignore_errors=True)
                staging.mkdir()
                save_file(_unshared(tensors), staging / "tensors.safetensors")
                _sync_path(staging / "tensors.safetensors")
                offsets = {name: self._sync(name) for name in ("metrics.jsonl", "samples.jsonl")}
                row = {"extra": dict(extra), "offsets": offsets, **worked, "wrote": self.info.get("wrote", {})}
                _write_json(staging / "extra.json", row)
                _sync_path(staging)
                shutil.rmtree(final, ignore_errors=True)  # one that was not whole
                staging.rename(final)
                _sync_path(self.path)
            except Exception:
                shutil.rmtree(staging, ignore_errors=True)
                raise
            for old in self.path.glob("state-*"):
                if old.name != final.name:
                    shutil.rmtree(old, ignore_errors=True)
            self.info |= worked
            self._clock, self._cpu_clock = begun, cpu_begun
            _write_json(self.path / "run.json", self.info)
        self._last_save, self._save_took = time.perf_counter(), time.perf_counter() - begun

    def load_state(self) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
        """(next step, tensors, extra) of the newest whole state; None if there is none."""
        from safetensors.torch import load_file

        state = self._newest_state()
        if state is None:
            return None
        row = _read_json(state / "extra.json")
        return int(state.name.removeprefix("state-")), load_file(state / "tensors.safetensors"), row["extra"]

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the summary, mark the run done, drop the state and give the folder its name."""
        if self._watch:
            self._found(self._watch.finish(summary))
        self._close_trackers()
        self.info["seconds"] += time.perf_counter() - self._clock
        self.info["cpu_seconds"] = self.info.get("cpu_seconds", 0.0) + time.process_time() - self._cpu_clock
        with writing(self.path):
            for name in list(self._files):
                self._sync(name)
                self._files.pop(name).close()
            _write_json(self.path / "summary.json", summary)
            self.info |= {"status": "done", "versions": _versions()}
            _write_json(self.path / "run.json", self.info)
        self._publish()

    # below: how

    def _look_on(self, total: int) -> None:
        """Rules and trackers begin with the rows that a run which goes on has already: both say what an undisturbed run would have said."""
        rows, config = _lines(self.path / "metrics.jsonl"), _read_json(self.path / "config.json")
        self._watch = Watch(self.info["stage"], config.get("settings") or {}, total)
        known = [finding for row in rows for finding in self._watch.see(row)]
        self.info["steps"] = total
        with writing(self.path):
            _write_json(self.path / "run.json", self.info)
            (self.path / "health.jsonl").write_text("".join(json.dumps(finding.to_json()) + "\n" for finding in known), encoding="utf-8")
        self._trackers = trackers.start(self._tracker_names, folder=self.path, run=self.out.name, key=self.key, config=config, rows=rows, note=self.note)

    def _found(self, findings: Iterable[Finding]) -> None:
        """Kept, and what is broken is said; what is normal waits for somebody who asks (`alignlab runs doctor`, the report)."""
        for finding in findings:
            if finding.verdict == "broken":
                self.note(f"{self.info['stage']}: {finding}")
            self._append("health.jsonl", finding.to_json())

    def _close_trackers(self) -> None:
        for tracker in self._trackers:
            tracker.close()
        self._trackers = []

    def _publish(self) -> None:
        """Give a run that is marked done its name. Every step can be done again, so a kill in between does no harm."""
        with writing(self.path):
            for leftover in [*self.path.glob("state-*"), self.path / "progress.json"]:
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
            _sync_path(self.path)
            if self.out.exists():
                self.out.rmdir()  # an empty folder that somebody made beforehand
            self.path.rename(self.out)
            _sync_path(self.out.parent)
            (self.out / ".lock").unlink(missing_ok=True)
        _release(self.path)
        self.path, self.done = self.out, True

    def _append(self, name: str, row: Mapping[str, Any]) -> None:
        line = (json.dumps(row, ensure_ascii=False) + "\n").encode()
        with writing(self.path):
            if name not in self._files:
                self._files[name] = open(self.path / name, "ab", buffering=0)  # noqa: SIM115
            while line:
                line = line[os.write(self._files[name].fileno(), line):]

    def _sync(self, name: str) -> int:
        """The file on the disk; returns its size in bytes."""
        if name in self._files:
            os.fsync(self._files[name].fileno())
        file = self.path / name
        return file.stat().st_size if file.exists() else 0

    def _newest_state(self) -> Path | None:
        states = [state for state in self.path.glob("state-*") if re.fullmatch(r"state-\d{8}", state.name) and _is_whole(state)]
        return max(states, default=None, key=lambda state: state.name)

    def _truncate(self) -> None:
        """Cut metrics and samples back to what the newest state had seen: a resumed run then writes what an undisturbed one would."""
        state = self._newest_state()
        row = _read_json(state / "extra.json") if state else {"offsets": {}, "seconds": 0.0, "cpu_seconds": 0.0, "wrote": {}}
        self.info |= {"seconds": row["seconds"], "cpu_seconds": row.get("cpu_seconds", 0.0), "wrote": row["wrote"]}
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
            os.write(2, b"\nending this step, then saving; once more leaves at once\n")

        before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self) -> None:
        self._close_trackers()
        self.note(f"stopped; the same command goes on from {self.path}")
        raise SystemExit(130 if self._stop_signal == signal.SIGINT else 143)

    @contextmanager
    def _progress(self, total: int, first: int, desc: str) -> Iterator[Callable[[int], None]]:
        """On a terminal a bar, elsewhere a line every 15 s; in a pipeline a file that the pipeline reads."""
        left = _eta(total, first)
        if os.environ.get("ALIGNLAB_PROGRESS") == "file":
            def to_file(done: int) -> None:
                seconds = left(done)
                if time.perf_counter() - self._progress_said > 0.5 and not self.done:
                    self._progress_said = time.perf_counter()
                    with suppress(OSError):
                        _write_json(self.path / "progress.json", {"done": done, "total": total, "seconds_left": seconds}, sync=False)

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
            seconds = left(done)
            if time.perf_counter() - self._progress_said > 15 or done == total:
                self._progress_said = time.perf_counter()
                self.note(f"{desc}: {done}/{total}" + (f", about {seconds:.0f} s left" if done < total else ""))

        self._progress_said = time.perf_counter()
        yield to_lines


def _staging(out: Path) -> Path:
    return out.with_name(out.name + ".partial")


def _holds_nothing(staging: Path) -> bool:
    """Whether a run stopped before its first result: then a command with other settings may have the folder, since nothing can be lost."""
    return not {item.name for item in staging.iterdir()} - {".lock", "run.json", "config.json", "progress.json", "health.jsonl"}


def _without_machine(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_machine(item) for key, item in value.items() if key not in _MACHINE_ONLY}
    return value


def _key(config: Mapping[str, Any], identity: Mapping[str, Any], lineage: Mapping[str, str]) -> str:
    """The key of a run. Run folders count by their own keys and not by their paths, so that a pipeline can be moved."""

    def portable(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: portable(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [portable(item) for item in value]
        return lineage.get(value, value) if isinstance(value, str) else value

    return config_hash({
        "stage": identity["stage"], "seed": identity["seed"], "version": __version__.rpartition(".")[0],
        "parents": sorted(lineage.values()),
        "data": {lineage.get(name, name): digest for name, digest in identity["data"].items()},
        "config": json.dumps(portable(_without_machine(config)), sort_keys=True, default=str),
    })


def _finished_key(path: str | Path) -> str:
    info = read_run(path)
    if info.status != "done":
        raise UserError(f"the run {path} is not finished", remedy="give the command that made it again: it goes on where it was")
    return info.key


def _is_done(out: Path, key: str, config: Mapping[str, Any], identity: Mapping[str, Any]) -> bool:
    """Whether the folder holds this very run, finished. Raises ResumeRefused if it holds anything else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if not (out / "run.json").exists():
        raise ResumeRefused(f"{out} exists and is not a run", remedy="another --out, or move it away")
    info = read_run(out)
    if info.key == key and info.status == "done":
        return True
    raise ResumeRefused(f"{out} is a run of {info.stage!r} made by other settings, data or parents",
                        where=_difference(info.config | _read_json(out / "run.json"), {**config, **identity}),
                        remedy=f"another --out, or delete {out} and what was made from it")


def _difference(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first few of the settings of `now` that `was` had otherwise, in words."""
    found = _differences(was, now, "")
    return "; ".join(found[:4]) or "a parent was made anew, or another version of alignlab made it"


def _differences(was: Mapping[str, Any], now: Mapping[str, Any], prefix: str) -> list[str]:
    found: list[str] = []
    for key, value in now.items():
        before = was.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            found += _differences(before, dict.fromkeys(before) | dict(value), f"{prefix}{key}.")
        elif before != value and key not in _MACHINE_ONLY:
            found.append(f"{prefix}{key}: {before!r} then, {value!r} now")
    return found


def _is_whole(state: Path) -> bool:
    """Whether a state folder can be read: a truncated tensor file contradicts its own header."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(state / "tensors.safetensors", framework="numpy"):
            _read_json(state / "extra.json")
    except (OSError, ValueError, SafetensorError):
        return False
    return True


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as safetensors wants them: on the CPU, contiguous, and a copy where two share memory (tied weights)."""
    seen: set[int] = set()
    flat: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        flat[name] = tensor.detach().cpu().contiguous()
        if (storage := flat[name].untyped_storage().data_ptr()) in seen:
            flat[name] = flat[name].clone()
        seen.add(storage)
    return flat


def _eta(total: int, first: int) -> Callable[[int], float]:
    """Seconds left after so many steps, from a moving average of the time of a step; to be asked after every step."""
    last, mean = (first, time.perf_counter()), 0.0

    def left(done: int) -> float:
        nonlocal last, mean
        now = time.perf_counter()
        each = (now - last[1]) / max(1, done - last[0])
        mean = 0.9 * mean + 0.1 * each if last[0] > first else each
        last = (done, now)
        return mean * (total - done)

    return left


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _write_json(path: Path, value: Mapping[str, Any], *, sync: bool = True) -> None:
    staging = path.with_name(path.name + ".tmp")
    with open(staging, "w", encoding="utf-8") as file:
        json.dump(dict(value), file, indent=1, ensure_ascii=False)
        file.flush()
        if sync:
            os.fsync(file.fileno())
    os.replace(staging, path)


def _sync_path(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _lock(staging: Path) -> None:
    """The right to write to a staging folder, for as long as this process lives or until `_release`."""
    _release(staging)
    file = open(staging / ".lock", "a+")  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read().strip()
        file.close()
        raise UserError(f"another process is writing to {staging}", where=f"process {owner}" if owner else "",
                        remedy="wait for it, or give another --out") from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    _held[staging.absolute()] = file


def _release(staging: Path) -> None:
    if held := _held.pop(staging.absolute(), None):
        held.close()


def _owner_lives(staging: Path) -> bool:
    try:
        os.kill(int((staging / ".lock").read_text()), 0)
    except PermissionError:  # somebody else's process
        return True
    except (OSError, ValueError):
        return False
    return True


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Around everything that writes to a run: a full disk or a folder that cannot be written is the user's to mend.

    Raises:
        ResourceError: exit code 8, with the folder; the last good state is kept.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise ResourceError(f"cannot write: {error.strerror}", where=str(folder),
                                remedy="make room or give another --out; the last good state is kept") from error
        raise
    except Exception as error:  # safetensors reports a full disk as an error of its own
        if "No space left" in str(error):
            raise ResourceError("cannot write: no space left on the disk", where=str(folder),
                                remedy="make room or give another --out; the last good state is kept") from error
        raise


def _commit() -> str:
    """The commit of the checkout this package runs from; empty for an installed package, even inside somebody else's checkout."""
    package = Path(__file__).resolve().parent
    with suppress(OSError, subprocess.SubprocessError):
        found = subprocess.run(["git", "rev-parse", "--show-toplevel", "HEAD"], cwd=package, capture_output=True, text=True, timeout=5)
        top, _, commit = found.stdout.strip().partition("\n")
        if found.returncode == 0 and Path(top).resolve() == package.parent.parent:
            return commit
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
