"""Jobs of one studio: what is asked waits, one runs, and each is told of from its files."""

from __future__ import annotations

import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from .. import schema
from ..desk import Desk
from ..problems import Refused
from ..shelf import Seen
from . import records, slot
from .kind import Kind
from .records import Record

MOST_WAITING = 4
MOST_SHOWN = 50  # jobs of a list
EVERY = 0.1  # seconds between two looks at whether the next can start
BEGINS = 10.0  # seconds in which the process of a job has begun
ALIGNLAB = (sys.executable, "-m", f"{__package__}.command")
OFF = "a terminal does the same: copy the command"


class Jobs:
    """The jobs of a folder.

    Those that run outlive the studio. Those that wait do not: a folder that is opened starts nothing by
    itself, whoever filled it.

    Args:
        on: whether any can be started.
        program: what is given the words of a command.
    """

    def __init__(
        self, desk: Desk, kinds: Sequence[Kind], *, on: bool = True, program: Sequence[str] = ALIGNLAB
    ) -> None:
        self.desk, self.on, self.program = desk, on, list(program)
        self.kinds = {kind.name: kind for kind in kinds}
        self.folder = desk.inside.root / records.FOLDER
        self._lock, self._closed = threading.RLock(), threading.Event()
        self._waiting: list[Record] = []
        self._begun: tuple[str, subprocess.Popen[bytes]] | None = None
        self._starter: threading.Thread | None = None

    # --- what is asked

    def asked(self, kind: str, fields: Mapping[str, Any]) -> tuple[Kind, schema.Part]:
        """A kind and its checked fields. Raises Refused: 404 no such kind, 422 a field."""
        found = self.kinds.get(kind)
        if found is None:
            raise Refused(404, f"there is no kind of job {kind!r:.60}", remedy=", ".join(self.kinds))
        try:
            return found, found.fields.model_validate(dict(fields))
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            field = ".".join(map(str, ("fields", *first["loc"])))[:100]
            raise Refused(422, first["msg"][:300], field=field) from None

    def lines(self, kind: str, fields: Mapping[str, Any]) -> schema.JobCommand:
        """What would be done, as a terminal is told it. Raises Refused."""
        found, checked = self.asked(kind, fields)
        out = self.desk.inside.root / records.RUNS / records.next_name(self.desk.inside, kind)
        lines = [records.as_line(command) for command in found.commands(self.desk, checked, out)]
        return schema.JobCommand(commands=lines, seconds=found.seconds)

    def ask(self, kind: str, fields: Mapping[str, Any]) -> schema.Job:
        """Start a job, now or when those before it have ended.

        Raises:
            Refused: as `asked`; 403 the studio starts none; 429 too many wait.
        """
        if not self.on:
            raise Refused(403, "this studio starts no jobs (--jobs none)", remedy=OFF, code="jobs_off")
        found, checked = self.asked(kind, fields)
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                what = f"{MOST_WAITING} jobs wait already"
                raise Refused(429, what, remedy="stop one, or wait until one has ended", retry_after=10)
            inside = self.desk.inside
            records.own_folder(inside, records.RUNS)
            name = records.next_name(inside, kind)
            commands = found.commands(self.desk, checked, inside.root / records.RUNS / name)
            kept = checked.model_dump(mode="json")
            job = Record(secrets.token_hex(6), kind, name, kept, commands, found.seconds, time.time())
            records.keep(inside, job)
            self._waiting.append(job)
            if self._starter is None or not self._starter.is_alive():
                self._starter = threading.Thread(target=self._start_in_turn, daemon=True, name="jobs")
                self._starter.start()
        return self.shown(job)

    def stop(self, job: str) -> schema.Job:
        """Stop a job; one that has ended is as it was. Raises Refused: 404."""
        record = self.find(job)
        with self._lock:
            if record in self._waiting:
                self._waiting.remove(record)
                return self.shown(record)
        until = time.monotonic() + BEGINS
        while self._is_begun(job) and slot.holder(self.folder) is None and time.monotonic() < until:
            time.sleep(0.02)  # its process is there, and has not taken the lock yet
        slot.end(self.folder, job)
        return self.shown(record)

    def find(self, job: str) -> Record:
        """Raises Refused: 404."""
        record = next((record for record in records.all_of(self.desk.inside) if record.id == job), None)
        if record is None:
            raise Refused(404, "there is no such job", remedy="the list of jobs says which there are")
        return record

    def close(self) -> None:
        """Nothing is started any more; what runs goes on."""
        self._closed.set()

    # --- one after the other

    def _start_in_turn(self) -> None:
        """Until nothing waits and nothing that was started here runs."""
        while not self._closed.is_set():
            with self._lock:
                ended = self._begun is None or self._begun[1].poll() is not None
                if ended and not self._waiting:
                    self._begun = None
                    self._starter = None
                    return
                if ended and slot.holder(self.folder) is None:
                    self._start(self._waiting.pop(0))
            self._closed.wait(EVERY)

    def _start(self, job: Record) -> None:
        command = [sys.executable, "-m", f"{__package__}.child", str(self.folder), job.id]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._begun = job.id, process
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as given:
            given.write(records.spec(self.program, job))

    def _is_begun(self, job: str) -> bool:
        begun = self._begun
        return begun is not None and begun[0] == job and begun[1].poll() is None

    # --- what is told

    def all(self) -> schema.Jobs:
        kinds = [
            schema.JobKind(
                name=kind.name,
                says=kind.says,
                seconds=kind.seconds,
                fields=(described := kind.fields.model_json_schema()).get("properties", {}),
                required=described.get("required", []),
            )
            for kind in self.kinds.values()
        ]
        rows = [self.shown(record) for record in records.all_of(self.desk.inside)[:MOST_SHOWN]]
        return schema.Jobs(on=self.on, kinds=kinds, rows=rows)

    def told(self) -> schema.JobsEvent:
        """How it is: asked often."""
        with self._lock:
            waiting, begun = len(self._waiting), self._begun
        held = slot.holder(self.folder)
        id = held[1] if held else (begun[0] if begun and begun[1].poll() is None else "")
        record = next((one for one in records.all_of(self.desk.inside) if one.id == id), None) if id else None
        if record is None:
            return schema.JobsEvent(running=None, waiting=waiting, progress=None)
        progress = self._progress(self.desk.shelf.look(), record)
        return schema.JobsEvent(running=record.name, waiting=waiting, progress=progress)

    def shown(self, record: Record) -> schema.Job:
        """A job as it is now."""
        inside, seen = self.desk.inside, self.desk.shelf.look()
        with self._lock:
            waits, begun = record in self._waiting, self._is_begun(record.id)
        held = slot.holder(self.folder)
        runs = begun or (held is not None and held[1] == record.id)
        went = records.state_of(inside, record.id)
        state, why = _state(went, waits=waits, runs=runs)
        until = went.ended or (time.time() if state == "running" else None)
        return schema.Job(
            id=record.id,
            kind=record.kind,
            name=record.name,
            fields=dict(record.fields),
            state=state,
            why=why,
            commands=[records.as_line(command) for command in record.commands],
            limit=record.limit,
            made=record.made,
            started=went.started,
            seconds=until - went.started if until and went.started else None,
            exit=went.exit,
            said=records.said_by(inside, record.id, schema.CUT),
            progress=self._progress(seen, record) if state == "running" else None,
            runs=[self.desk.row(seen, seen.heads[path]) for path in self._runs(seen, record)],
        )

    def _runs(self, seen: Seen, record: Record) -> list[str]:
        """Runs below its folder, and the folder itself where it is one; parts of a run are left out."""
        found = [path for path in seen.heads if _is_of(record, path)]
        above = [f"{place}/" for path in found for place in (path, seen.heads[path].folder)]
        whole = [path for path in found if not path.startswith(tuple(above))]
        return sorted(whole, key=lambda path: (seen.heads[path].started or 0.0, path))

    def _progress(self, seen: Seen, record: Record) -> schema.Progress | None:
        """Of a pipeline the stages that are done, of anything else the steps of the run that it is at."""
        if plan := seen.plans.get(record.out):
            done = sum(stage.state == "done" for stage in plan.values())
            return schema.Progress(done=done, total=len(plan), seconds_left=None)
        at = [head for head in seen.heads.values() if head.status == "running" and _is_of(record, head.path)]
        newest = max(at, key=lambda head: head.started or 0.0, default=None)
        return self.desk.shelf.progress(newest) if newest else None


def _state(went: records.State, *, waits: bool, runs: bool) -> tuple[schema.JobState, str]:
    """The state of a job, and why it is so."""
    if waits:
        return "waiting", ""
    if went.ended is not None:
        if went.why == "late":
            return "late", "its time was over"
        if went.why:
            return "stopped", "somebody stopped it"
        return ("done", "") if went.exit == 0 else ("failed", f"exit code {went.exit}")
    if runs:
        return "running", ""
    if went.started is not None:
        return "stopped", "its process was killed"
    return "stopped", "it was stopped before it began"


def _is_of(record: Record, path: str) -> bool:
    """Whether a job made the run."""
    return path == record.out or path.startswith(f"{record.out}/")
