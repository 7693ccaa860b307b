"""A run folder while it is made."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, TypeVar

from ..errors import DataError, ResumeRefused, UserError
from ..health.rules import Finding, Watch
from ..records import Chain, Record, write_jsonl
from ..settings.resolve import config_hash
from ..text.disk import make_folder, remove, sweep, sync_all, sync_path
from ..text.escapes import visible
from ..text.lines import as_json
from ..text.streams import say
from . import code, manifest, states, trackers
from .files import read_json, read_sealed, write_json, write_sealed, writing
from .identity import commit, difference, in_words, run_key, versions
from .lock import lock, release
from .places import check_out, staging_of
from .progress import progress
from .reading import is_run, lines, read_run

if TYPE_CHECKING:
    from torch import Tensor

State = tuple["dict[str, Tensor]", dict[str, Any]]
T = TypeVar("T")
Resume = bool | Literal["again", "changed"]
"""What to do with what is there: True goes on with it; False throws an unfinished run away; "again" makes a finished one anew too; "changed" does so
where other code or other parents made it. A run that is made anew stays until the new one is whole."""


class RunDir:
    """A run while it is made. Use `RunDir.open`."""

    def __init__(self, out: Path, info: dict[str, Any], *, done: bool) -> None:
        self.out, self.info, self.done = out, info, done
        self.path = out if done else staging_of(out)
        self.seed: int = info["seed"]
        self.key: str = info["key"]
        self._clock, self._cpu_clock = time.perf_counter(), time.process_time()
        self._files: dict[str, IO[bytes]] = {}
        self._last_save, self._save_took = time.perf_counter(), 0.0
        self._stop_signal = 0
        self._state: Path | None = None  # what it goes on from
        self._watch: Watch | None = None
        self.before_training: Callable[[], Any] | None = (
            None  # asked once by `load_state`: data has been checked, and weights are as they were given
        )
        self._tracker_names: Sequence[str] = ()
        self._trackers: list[trackers.Tracker] = []

    @staticmethod
    def open(
        out: str | os.PathLike[str],
        *,
        stage: str,
        config: Mapping[str, Any],
        seed: int,
        parents: Sequence[str | Path] = (),
        data: Mapping[str, str] | None = None,
        resume: Resume = True,
        tracker: Sequence[str] = (),
    ) -> RunDir:
        """Begin a run, go on with it, or find it done.

        The key covers the stage, its configuration (threads and device aside), seed, data, the keys of the
        parents, the version and the code that makes it. A finished run with the same key is `done`; an
        unfinished one goes on from its newest state. One that has made nothing yet gives its folder up.

        Args:
            parents: finished run folders that this one starts from.
            data: what was read, name to digest.
            resume: what to do with what is there, see `Resume`.
            tracker: names of trackers that get each row of metrics too (`alignlab.run.trackers`).

        Raises:
            ResumeRefused: the folder holds a run with another key, or something that is no run.
            DataError: a parent, or what is to be gone on with, is damaged.
            UserError: a parent is not a finished run, another process is writing to the folder, or it cannot
                be a run folder.
            ResourceError: no space or no right to write.
        """
        out = Path(out)
        check_out(out)
        wanted = _Wanted(
            out, stage, config, seed, data or {}, {str(parent): _finished_key(parent) for parent in parents}
        )
        if wanted.is_done(resume):
            return RunDir(out, _tidy(out), done=True)
        staging = staging_of(out)
        with writing(staging):
            make_folder(staging)
            lock(staging)
            sweep(staging)
            try:
                if wanted.is_done(resume):  # another process finished it in between
                    release(staging)
                    shutil.rmtree(staging)
                    return RunDir(out, _tidy(out), done=True)
                if not wanted.goes_on(staging, resume):
                    for item in staging.iterdir():
                        if item.name != ".lock":
                            remove(item)
                info = wanted.begun(staging, resume)
            except UserError:
                release(staging)
                raise
        run = RunDir(out, info, done=False)
        run._tracker_names = tracker
        if info["status"] == "done":  # killed between the last write and the rename
            run._publish()
        else:
            run._go_on()
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
            say(visible(text))

    def add_data(self, name: str, records: Iterable[Record | Chain]) -> str:
        """Records into data/NAME.jsonl, whole or not at all; returns the SHA-256."""
        with writing(self.path):
            digest = write_jsonl(self.path / "data" / f"{name}.jsonl", records)
        self.info.setdefault("wrote", {})[name] = digest
        return digest

    def kept(self, name: str, make: Callable[[], Any], kind: type[Any] | None = None) -> Any:
        """A piece of long work, done once: what `make` gives is kept below kept/ until the run is done, and a
        run that goes on reads it from there.

        Args:
            kind: `make` gives records of this kind; else what JSON can hold.

        Raises:
            DataError: the file has changed since. ResourceError: it cannot be written.
        """
        file = self.path / "kept" / f"{name}.json"
        if not file.exists():
            made = make()
            rows = [record.to_json() for record in made] if kind else made
            with writing(self.path):
                write_sealed(file, {"made": rows})
        rows = read_sealed(file)["made"]
        return [kind.from_json(row) for row in rows] if kind else rows

    def in_chunks(
        self,
        items: Sequence[T],
        make: Callable[[int, Sequence[T]], Any],
        kind: type[Any] | None = None,
        *,
        size: int = 512,
        desc: str,
    ) -> Iterator[Any]:
        """Long work on many items, `size` at a time and with progress: what `make` gives for each chunk
        (called with its number and its items), by `kept`.
        """
        starts = range(0, len(items), size)
        for number, start in enumerate(self.track(starts, desc=desc)):
            made = partial(make, number, items[start : start + size])
            yield self.kept(f"{desc}/{number:05d}", made, kind)

    # steps, state and interruption

    def steps(self, total: int, *, desc: str, save: Callable[[], State] | None = None) -> Iterator[int]:
        """The steps still to do, 0 to total - 1, with progress and an ETA on stderr.

        After a step `save` gives (tensors, extra) to keep: when `should_save` says so and when the run is
        interrupted. The loop has called `load_state` before. SIGINT and SIGTERM let the step end, save, and
        leave with exit code 130 or 143; asked twice, the run leaves at once. A run has one such loop.
        """
        first = _step_of(self._state) if self._state else 0
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
        """The items, with progress and an ETA, for long work that has no state. `total` is needed where the
        items have no length.
        """
        if total is None:
            assert isinstance(items, Sized), "track needs a total for items without a length"
            total = len(items)
        with self._progress(total, 0, desc) as advance:
            for count, item in enumerate(items, 1):
                yield item
                advance(count)

    def should_save(self, step: int) -> bool:
        """Whether it is time to save: after 20 s, and 20 times what the last save took, so that saving costs
        5 % at most.
        """
        every = int(os.environ.get("ALIGNLAB_SAVE_EVERY_STEPS", "0"))
        if every:
            return (step + 1) % every == 0
        return time.perf_counter() - self._last_save > max(20.0, 20 * self._save_took)

    def save_state(self, step: int, tensors: Mapping[str, Tensor], extra: Mapping[str, Any]) -> None:
        """Keep everything needed to go on after `step`: written beside, synced, renamed; then the older
        states go.

        A step that is kept already stays as it is.

        Raises:
            ResourceError: no space; the state before stays.
        """
        begun, cpu_begun = time.perf_counter(), time.process_time()
        final = self.path / f"state-{step + 1:08d}"
        if final.exists() and not states.fault_of(final):
            return
        worked = {
            "seconds": self.info["seconds"] + begun - self._clock,
            "cpu_seconds": self.info.get("cpu_seconds", 0.0) + cpu_begun - self._cpu_clock,
        }
        with writing(self.path):
            for name in self._files:
                self._sync(name)
            states.write(
                final,
                tensors,
                {
                    "extra": dict(extra),
                    "logs": states.logged(self.path),
                    **worked,
                    "wrote": self.info.get("wrote", {}),
                },
            )
            self._state = final
            self.info |= worked
            self._clock, self._cpu_clock = begun, cpu_begun
            write_json(self.path / "run.json", self.info)
        self._last_save, self._save_took = time.perf_counter(), time.perf_counter() - begun

    def load_state(self) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
        """(next step, tensors, extra) of the newest whole state; None if there is none."""
        from safetensors.torch import load_file

        if self.before_training:
            self.before_training()
        if self._state is None:
            return None
        return (
            _step_of(self._state),
            load_file(self._state / states.TENSORS),
            states.row_of(self._state)["extra"],
        )

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
            sync_all(self.path)  # before it is said to be done
            self.info |= {"status": "done", "versions": versions(), "manifest": True}
            write_json(self.path / "run.json", self.info)
        self._publish()

    # below: how

    def _look_on(self, total: int) -> None:
        """Rules and trackers begin with the rows that a run which goes on has already: both say what an
        undisturbed run would have said.
        """
        rows, config = lines(self.path / "metrics.jsonl"), read_json(self.path / "config.json")
        self._watch = Watch(self.info["stage"], config.get("settings") or {}, total)
        known = [finding for row in rows for finding in self._watch.see(row)]
        self.info["steps"] = total
        with writing(self.path):
            write_json(self.path / "run.json", self.info)
            (self.path / "health.jsonl").write_text(
                "".join(json.dumps(finding.to_json()) + "\n" for finding in known), encoding="utf-8"
            )
        self._trackers = trackers.start(
            self._tracker_names,
            folder=self.path,
            run=self.out.name,
            key=self.key,
            config=config,
            rows=rows,
            note=self.note,
        )

    def _found(self, findings: Iterable[Finding]) -> None:
        """Kept, and what is broken is said; what is normal waits for somebody who asks (`alignlab runs
        doctor`, the report).
        """
        for finding in findings:
            if finding.verdict == "broken":
                self.note(f"{self.info['stage']}: {finding}")
            self._append("health.jsonl", finding.to_json())

    def _close_trackers(self) -> None:
        for tracker in self._trackers:
            tracker.close()
        self._trackers = []

    def _publish(self) -> None:
        """Give a run that is marked done its manifest and its name. Every step can be done again, so a kill
        in between does no harm.
        """
        with writing(self.path):
            sweep(self.path)
            for leftover in [*self.path.glob("state-*"), self.path / "kept", self.path / "progress.json"]:
                remove(leftover)
            manifest.seal(self.path, wrote=self.info.get("wrote", {}))
            replaced = _replaced(self.out)
            if is_run(self.out):
                shutil.rmtree(replaced, ignore_errors=True)
                self.out.rename(replaced)
            elif self.out.exists():
                self.out.rmdir()  # an empty folder that somebody made beforehand
            self.path.rename(self.out)
            sync_path(self.out.parent)
        release(self.path)
        self.info = _tidy(self.out)
        self.path, self.done = self.out, True

    def _append(self, name: str, row: Mapping[str, Any]) -> None:
        line = as_json(row) + b"\n"
        with writing(self.path):
            if name not in self._files:
                self._files[name] = open(self.path / name, "ab", buffering=0)  # noqa: SIM115
            while line:
                line = line[os.write(self._files[name].fileno(), line) :]

    def _sync(self, name: str) -> None:
        os.fsync(self._files[name].fileno())

    def _go_on(self) -> None:
        """From the newest state: the logs are cut back to what it had seen."""
        self._state, wrong = states.newest(self.path)
        if wrong and not self._state:
            raise DataError(
                f"the state that this run would go on from is damaged: {wrong[0]}",
                where=str(self.path),
                remedy="take the folder from a copy, or begin anew with --no-resume",
            )
        for fault in wrong:
            self.note(f"{fault}; going on from {self._state.name if self._state else 'the beginning'}")
        row = (
            states.row_of(self._state)
            if self._state
            else {"logs": {}, "seconds": 0.0, "cpu_seconds": 0.0, "wrote": {}}
        )
        self.info |= {name: row[name] for name in ("seconds", "cpu_seconds", "wrote")}
        states.cut_back(self.path, row["logs"])

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


@dataclass(frozen=True)
class _Wanted:
    """The run that is asked for, to compare with the run that is there. `lineage`: the keys of its parents,
    by path.
    """

    out: Path
    stage: str
    config: Mapping[str, Any]
    seed: int
    data: Mapping[str, str]
    lineage: Mapping[str, str]

    @cached_property
    def identity(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "seed": self.seed,
            "data": dict(self.data),
            "parents": list(self.lineage),
        }

    @cached_property
    def code(self) -> dict[str, str]:
        return code.sources(self.stage, self.config)

    @cached_property
    def key(self) -> str:
        return run_key(self.config, self.identity, self.lineage, self.code)

    @cached_property
    def key_without_code(self) -> str:
        return run_key(self.config, self.identity, self.lineage)

    def is_done(self, resume: Resume) -> bool:
        """Whether the folder holds this very run, finished. Raises ResumeRefused if it holds anything else
        that may not be made anew.
        """
        out = self.out
        if not out.exists() or (out.is_dir() and not any(out.iterdir())):
            return False
        if not is_run(out):
            raise ResumeRefused(f"{out} exists and is not a run", remedy="another --out, or move it away")
        anew = resume in ("again", "changed")
        if not anew:
            manifest.check_whole(out, weights=True, inner=True)
        info = read_json(out / "run.json")
        if (
            self.is_same(info)
            and info.get("status") == "done"
            and (not anew or resume == "changed" and not manifest.faults(out))
        ):
            return True
        found = difference(read_json(out / "config.json") | info, {**self.config, **self.identity})
        if anew and not found:
            return False
        if other := self.other_code(info):
            raise ResumeRefused(
                f"{out} was made by other code: {_listed(other)} changed since",
                remedy="--again makes it anew, another --out keeps it",
            )
        raise ResumeRefused(
            f"{out} is a run of {info['stage']!r} made by other settings, data or parents",
            where=in_words(found),
            remedy=f"another --out, or delete {out} and what was made from it"
            if found
            else "--again makes it anew, another --out keeps it",
        )

    def is_same(self, info: Mapping[str, Any]) -> bool:
        """Of runs made before the code was kept, all but the code is known."""
        return info.get("key") == (self.key if "code" in info else self.key_without_code)

    def other_code(self, info: Mapping[str, Any]) -> list[str]:
        """The sources that have changed, where nothing else has."""
        return (
            code.changed(info["code"], self.code)
            if info.get("key_without_code") == self.key_without_code and "code" in info
            else []
        )

    def goes_on(self, staging: Path, resume: Resume) -> bool:
        """Whether an unfinished run is kept. Where one is made again, only another try at that very thing is."""
        if not resume or not (staging / "run.json").exists() or _holds_nothing(staging):
            return False
        if resume is True:
            return True
        info = read_json(staging / "run.json")
        return self.is_same(info) and (resume == "changed" or bool(info.get("again")))

    def begun(self, staging: Path, resume: Resume) -> dict[str, Any]:
        """What run.json says of the run that goes on or begins. Raises ResumeRefused for one that was begun
        otherwise.
        """
        whose = {
            "key": self.key,
            "key_without_code": self.key_without_code,
            "config_hash": config_hash(self.config),
            **self.identity,
            "code": self.code,
        }
        if (staging / "run.json").exists():
            info = read_json(staging / "run.json")
            other = self.other_code(info)
            if not self.is_same(info) and not other:
                raise ResumeRefused(
                    (
                        f"{staging} is an unfinished run of {info.get('stage')!r} made by other settings, "
                        "data or parents"
                    ),
                    where=in_words(
                        difference(
                            read_json(staging / "config.json") | info, {**self.config, **self.identity}
                        )
                    ),
                    remedy="the settings it was begun with, another --out, or --no-resume to begin anew",
                )
            if other:
                say(
                    f"{staging} was begun by other code: {_listed(other)} changed since; --no-resume "
                    "begins anew"
                )
                info["begun_by"] = {name: info["code"].get(name, "") for name in other}
            info |= whose
        else:
            info = {
                "schema": 1,
                "stage": self.stage,
                "status": "running",
                **whose,
                "commit": commit(),
                "versions": versions(),
                "machine": {"cores": os.cpu_count(), "platform": platform.platform()},
                "started": time.time(),
                "seconds": 0.0,
                "cpu_seconds": 0.0,
            }
            if resume == "again":
                info["again"] = True
        write_json(staging / "config.json", self.config)
        write_json(staging / "run.json", info)
        return info


def _tidy(out: Path) -> dict[str, Any]:
    """What run.json says of a finished run, once the lock and the run that it replaced are gone: a kill after
    the rename leaves them.
    """
    with suppress(OSError):  # a folder that may be read only
        (out / ".lock").unlink(missing_ok=True)
        if is_run(_replaced(out)):
            shutil.rmtree(_replaced(out), ignore_errors=True)
    return read_json(out / "run.json")


def _replaced(out: Path) -> Path:
    """Where a run that is made anew lies until the new one has its name."""
    return out.with_name(out.name + ".replaced")


def _step_of(state: Path) -> int:
    return int(state.name.removeprefix("state-"))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _holds_nothing(staging: Path) -> bool:
    """Whether a run stopped before its first result: then a command with other settings may have the folder,
    since nothing can be lost.
    """
    return not {item.name for item in staging.iterdir()} - {
        ".lock",
        "run.json",
        "config.json",
        "progress.json",
        "health.jsonl",
    }


def _finished_key(path: str | Path) -> str:
    info = read_run(path, weights=True)
    if info.status != "done":
        raise UserError(
            f"the run {path} is not finished",
            remedy="give the command that made it again: it goes on where it was",
        )
    return info.key
