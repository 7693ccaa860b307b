"""A run folder while it is made."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ..errors import DataError
from ..health.rules import Finding, Watch
from ..records import Row, write_jsonl
from ..text.disk import remove, sweep, sync_all, write_whole
from ..text.escapes import visible
from ..text.lines import append_lines
from ..text.streams import say
from . import elsewhere, manifest, ranks, states, trackers
from .chunks import in_chunks
from .files import read_json, read_sealed, write_json, write_sealed, writing
from .identity import versions
from .interrupts import Interrupts
from .lock import release
from .logs import Logs
from .naming import take_name, tidied
from .onlookers import Onlookers, alarm
from .opening import begun
from .places import staging_of
from .progress import progress
from .reading import lines
from .wanted import Resume

if TYPE_CHECKING:
    from torch import Tensor

State = tuple["dict[str, Tensor]", dict[str, Any]]
T = TypeVar("T")
Kept = Literal["samples", "tokens", "probes"]


class RunDir:
    """A run while it is made. Use `RunDir.open`."""

    def __init__(self, out: Path, info: dict[str, Any], *, done: bool) -> None:
        self.out, self.info, self.done = out, info, done
        self.path = out if done else staging_of(out)
        self.seed: int = info["seed"]
        self.key: str = info["key"]
        self._clock = _clock()
        self._logs = Logs(self.path)
        self._last_save, self._save_took = time.perf_counter(), 0.0
        self._interrupts = Interrupts()
        self._state: Path | None = None  # what it goes on from
        self._onlookers: Onlookers | None = None
        self._tracker_names: Sequence[str] = ()
        # asked once by `load_state`: data has been checked, and weights are as they were given
        self.before_training: Callable[[], Any] | None = None

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
        if elsewhere.for_others():  # it hands over what it makes, and writes nothing
            return RunDir(Path(out), {"seed": seed, "key": ""}, done=False)
        out, told = Path(out), ranks.hear() if ranks.rank() else None
        if told:  # rank 0 has opened it: what this process writes is nobody's, and it goes on from there
            if told["done"]:
                return RunDir(out, tidied(out), done=True)
            out, resume, tracker = ranks.scratch() / out.name, False, ()
        info = begun(out, stage, config, seed, parents, data or {}, resume)
        run = RunDir(out, tidied(out) if info is None else info, done=info is None)
        run._tracker_names = tracker
        if run.info["status"] != "done":
            run._go_on()
        elif not run.done:  # killed between the last write and the rename
            run._publish()
        if told:
            run._state = Path(told["state"]) if told["state"] else None
        else:
            ranks.tell({"done": run.done, "state": str(run._state.absolute()) if run._state else ""})
        return run

    # what is written while it works

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """One line of metrics; what the rules find in it is said, and trackers get it too."""
        row = {"step": step, **{key: float(value) for key, value in metrics.items()}}
        self._append("metrics.jsonl", row)
        if self._onlookers:
            self._found(self._onlookers.see(row))

    def log_samples(self, step: int, rows: Iterable[Mapping[str, Any]], *, into: Kept = "samples") -> None:
        """Texts worth looking at, a line each; their tokens, and answers to probes, in files of their own."""
        for row in rows:
            self._append(f"{into}.jsonl", {"step": step, **row})

    def size_of(self, kept: Kept) -> int:
        """Bytes that were written so far."""
        path = self.path / f"{kept}.jsonl"
        return path.stat().st_size if path.exists() else 0

    def note(self, text: str) -> None:
        """A line for the person who is watching, on stderr, said once; empty text says nothing."""
        if text and not ranks.rank() and not elsewhere.for_others():
            say(visible(text))

    def add_data(self, name: str, records: Iterable[Row]) -> str:
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
        **how: Any,
    ) -> Iterator[Any]:
        """Long work on many items, a chunk at a time, each kept: `chunks.in_chunks`."""
        return in_chunks(self, items, make, kind, **how)

    # steps, state and interruption

    def steps(self, total: int, *, desc: str, save: Callable[[], State] | None = None) -> Iterator[int]:
        """The steps still to do, 0 to total - 1, with progress and an ETA on stderr.

        After a step `save` gives (tensors, extra) to keep: when `should_save` says so and when the run is
        interrupted. The loop has called `load_state` before. SIGINT and SIGTERM let the step end, save, and
        leave with exit code 130 or 143; asked twice, the run leaves at once. A run has one such loop.
        """
        first = states.step_of(self._state) if self._state else 0
        self._onlookers = self._looked_on(total)
        with self._interrupts, progress(self.path, total, first, desc, note=self.note) as advance:
            for step in range(first, total):
                yield step
                advance(step + 1)
                due = save is not None and self.should_save(step)
                told = ranks.gathered([self._interrupts.asked, due])
                self._interrupts.asked = max(asked for asked, _ in told)
                if save and (self._interrupts.asked or told[0][1]):
                    begun, state = time.perf_counter(), save()  # all take part: each may have a part of it
                    together = time.perf_counter() - begun
                    if not ranks.rank():
                        self.save_state(step, *state)
                    self._save_took += together
                if self._interrupts.asked:
                    self._onlookers.close()
                    self.note(f"stopped; the same command goes on from {self.path}")
                    raise SystemExit(self._interrupts.exit_code)

    def track(self, items: Iterable[T], total: int | None = None, *, desc: str) -> Iterator[T]:
        """The items, with progress and an ETA, for long work that has no state. `total` is needed where the
        items have no length.
        """
        if total is None:
            assert isinstance(items, Sized), "track needs a total for items without a length"
            total = len(items)
        with progress(self.path, total, 0, desc, note=self.note) as advance:
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
        begun = _clock()
        final = self.path / f"state-{step + 1:08d}"
        if final.exists() and not states.fault_of(final):
            return
        row = {"extra": dict(extra), **self._worked(begun), "wrote": self.info.get("wrote", {})}
        with writing(self.path):
            self._logs.sync()
            states.write(final, tensors, row | {"logs": states.logged(self.path)})
            self._state = final
            self.info |= self._worked(begun)
            self._clock = begun
            write_json(self.path / "run.json", self.info)
        self._last_save = time.perf_counter()
        self._save_took = self._last_save - begun["seconds"]

    def load_state(self) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
        """(next step, tensors, extra) of the newest whole state; None if there is none."""
        from safetensors.torch import load_file

        if self.before_training:
            self.before_training()
        if self._state is None:
            return None
        tensors = load_file(self._state / states.TENSORS)
        return states.step_of(self._state), tensors, states.row_of(self._state)["extra"]

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the summary, mark the run done, drop the state and give the folder its name."""
        if self._onlookers:
            self._found(self._onlookers.finish(summary))
        self.info |= self._worked(_clock())
        with writing(self.path):
            self._logs.sync()
            self._logs.close()
            write_json(self.path / "summary.json", summary)
            sync_all(self.path)  # before it is said to be done
            self.info |= {"status": "done", "versions": versions(), "manifest": True}
            write_json(self.path / "run.json", self.info)
        self._publish()

    # below: how

    def _looked_on(self, total: int) -> Onlookers:
        """Rules and trackers begin with the rows that a run which goes on has already: both say what an
        undisturbed run would have said.
        """
        rows, config = lines(self.path / "metrics.jsonl"), read_json(self.path / "config.json")
        watch = Watch(self.info["stage"], config.get("settings") or {}, total)
        known = [finding for row in rows for finding in watch.see(row)]
        self.info["steps"] = total
        with writing(self.path):
            write_json(self.path / "run.json", self.info)
            with write_whole(self.path / "health.jsonl") as staging:
                append_lines(staging, [finding.to_json() for finding in known])
        started = trackers.start(
            self._tracker_names,
            folder=self.path,
            run=self.out.name,
            key=self.key,
            config=config,
            rows=rows,
            note=self.note,
        )
        return Onlookers(watch, started)

    def _found(self, findings: Iterable[Finding]) -> None:
        """Kept, and what is broken is said; what is normal waits for somebody who asks (`alignlab runs
        doctor`, the report).
        """
        for finding in findings:
            if finding.verdict == "broken":
                self.note(f"{self.info['stage']}: {alarm(finding)}")
            self._append("health.jsonl", finding.to_json())

    def _worked(self, now: Mapping[str, float]) -> dict[str, float]:
        """How long was worked on this run, by all its processes."""
        return {name: self.info.get(name, 0.0) + now[name] - self._clock[name] for name in now}

    def _publish(self) -> None:
        """Give a run that is marked done its manifest and its name. Every step can be done again, so a kill
        in between does no harm.
        """
        with writing(self.path):
            sweep(self.path)
            for leftover in [*self.path.glob("state-*"), self.path / "kept", self.path / "progress.json"]:
                remove(leftover)
            manifest.seal(self.path, wrote=self.info.get("wrote", {}))
            take_name(self.path, self.out)
        release(self.path)
        self.info = tidied(self.out)
        self.path, self.done = self.out, True

    def _append(self, name: str, row: Mapping[str, Any]) -> None:
        with writing(self.path):
            self._logs.append(name, row)

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
        row = states.row_of(self._state) if self._state else states.NOTHING
        self.info |= {"seconds": row["seconds"], "cpu_seconds": row["cpu_seconds"], "wrote": {**row["wrote"]}}
        states.cut_back(self.path, row["logs"])


def _clock() -> dict[str, float]:
    """Seconds that have passed, and those that processors worked for this process and those it has begun."""
    spent = os.times()
    begun = spent.children_user + spent.children_system
    return {"seconds": time.perf_counter(), "cpu_seconds": time.process_time() + begun}
