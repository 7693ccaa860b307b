"""A run folder while it is made."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from .. import trackers
from ..config import config_hash
from ..errors import ResumeRefused, UserError
from ..normal import Finding, Watch
from ..records import Chain, Record, write_jsonl
from ..text.escapes import visible
from .files import read_json, sync_path, write_json, writing
from .identity import commit, difference, run_key, versions
from .lock import lock, release
from .progress import progress
from .reading import lines, read_run
from .states import is_whole, unshared

if TYPE_CHECKING:
    from torch import Tensor

State = tuple["dict[str, Tensor]", dict[str, Any]]
T = TypeVar("T")


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
        key = run_key(config, identity, lineage)
        if _is_done(out, key, config, identity):
            return RunDir(out, read_json(out / "run.json"), done=True)
        with writing(staging):
            staging.mkdir(parents=True, exist_ok=True)
            lock(staging)
            if _is_done(out, key, config, identity):  # another process finished it in between
                release(staging)
                shutil.rmtree(staging)
                return RunDir(out, read_json(out / "run.json"), done=True)
            if not resume or _holds_nothing(staging):
                for item in staging.iterdir():
                    if item.name != ".lock":
                        shutil.rmtree(item) if item.is_dir() else item.unlink()
            if (staging / "run.json").exists():
                info = read_json(staging / "run.json")
                if info["key"] != key:
                    release(staging)
                    raise ResumeRefused(f"{staging} is an unfinished run of {info['stage']!r} made by other settings, data or parents",
                                        where=difference(read_json(staging / "config.json") | info, {**config, **identity}),
                                        remedy="the settings it was begun with, another --out, or --no-resume to begin anew")
            else:
                info = {"schema": 1, "stage": stage, "status": "running", "key": key, "config_hash": config_hash(config), **identity,
                        "commit": commit(), "versions": versions(), "machine": {"cores": os.cpu_count(), "platform": platform.platform()},
                        "started": time.time(), "seconds": 0.0, "cpu_seconds": 0.0}
                write_json(staging / "config.json", config)
                write_json(staging / "run.json", info)
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
            print(visible(text), file=sys.stderr, flush=True)

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
        if is_whole(final):
            return
        worked = {"seconds": self.info["seconds"] + begun - self._clock, "cpu_seconds": self.info.get("cpu_seconds", 0.0) + cpu_begun - self._cpu_clock}
        with writing(self.path):
            try:
                shutil.rmtree(staging, ignore_errors=True)
                staging.mkdir()
                save_file(unshared(tensors), staging / "tensors.safetensors")
                sync_path(staging / "tensors.safetensors")
                offsets = {name: self._sync(name) for name in ("metrics.jsonl", "samples.jsonl")}
                row = {"extra": dict(extra), "offsets": offsets, **worked, "wrote": self.info.get("wrote", {})}
                write_json(staging / "extra.json", row)
                sync_path(staging)
                shutil.rmtree(final, ignore_errors=True)  # one that was not whole
                staging.rename(final)
                sync_path(self.path)
            except Exception:
                shutil.rmtree(staging, ignore_errors=True)
                raise
            for old in self.path.glob("state-*"):
                if old.name != final.name:
                    shutil.rmtree(old, ignore_errors=True)
            self.info |= worked
            self._clock, self._cpu_clock = begun, cpu_begun
            write_json(self.path / "run.json", self.info)
        self._last_save, self._save_took = time.perf_counter(), time.perf_counter() - begun

    def load_state(self) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
        """(next step, tensors, extra) of the newest whole state; None if there is none."""
        from safetensors.torch import load_file

        state = self._newest_state()
        if state is None:
            return None
        row = read_json(state / "extra.json")
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
            write_json(self.path / "summary.json", summary)
            self.info |= {"status": "done", "versions": versions()}
            write_json(self.path / "run.json", self.info)
        self._publish()

    # below: how

    def _look_on(self, total: int) -> None:
        """Rules and trackers begin with the rows that a run which goes on has already: both say what an undisturbed run would have said."""
        rows, config = lines(self.path / "metrics.jsonl"), read_json(self.path / "config.json")
        self._watch = Watch(self.info["stage"], config.get("settings") or {}, total)
        known = [finding for row in rows for finding in self._watch.see(row)]
        self.info["steps"] = total
        with writing(self.path):
            write_json(self.path / "run.json", self.info)
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
            sync_path(self.path)
            if self.out.exists():
                self.out.rmdir()  # an empty folder that somebody made beforehand
            self.path.rename(self.out)
            sync_path(self.out.parent)
            (self.out / ".lock").unlink(missing_ok=True)
        release(self.path)
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
        states = [state for state in self.path.glob("state-*") if re.fullmatch(r"state-\d{8}", state.name) and is_whole(state)]
        return max(states, default=None, key=lambda state: state.name)

    def _truncate(self) -> None:
        """Cut metrics and samples back to what the newest state had seen: a resumed run then writes what an undisturbed one would."""
        state = self._newest_state()
        row = read_json(state / "extra.json") if state else {"offsets": {}, "seconds": 0.0, "cpu_seconds": 0.0, "wrote": {}}
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

    def _progress(self, total: int, first: int, desc: str) -> AbstractContextManager[Callable[[int], None]]:
        return progress(self.path, total, first, desc, note=self.note)


def _staging(out: Path) -> Path:
    return out.with_name(out.name + ".partial")


def _holds_nothing(staging: Path) -> bool:
    """Whether a run stopped before its first result: then a command with other settings may have the folder, since nothing can be lost."""
    return not {item.name for item in staging.iterdir()} - {".lock", "run.json", "config.json", "progress.json", "health.jsonl"}


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
                        where=difference(info.config | read_json(out / "run.json"), {**config, **identity}),
                        remedy=f"another --out, or delete {out} and what was made from it")
