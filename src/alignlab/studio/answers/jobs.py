"""Jobs: what was asked, what it says, and stopping it."""

from __future__ import annotations

from .. import schema
from ..desk import Visit
from ..jobs.board import Board


def listed(visit: Visit, asked: schema.Nothing) -> schema.Jobs:
    """Jobs, the newest first, and the kinds that there are."""
    return _board(visit).all()


def lines(visit: Visit, asked: schema.JobAsked) -> schema.JobCommand:
    """What a job would do, as a terminal is told it. Nothing is started."""
    return _board(visit).lines(asked.kind, asked.fields)


def begin(visit: Visit, asked: schema.JobAsked) -> schema.Job:
    """Start a job, now or when those before it have ended."""
    return _board(visit).ask(asked.kind, asked.fields)


def stop(visit: Visit, asked: schema.JobStopped) -> schema.Job:
    """Stop a job; what it made can go on. One that has ended stays as it is."""
    return _board(visit).stop(asked.id)


def _board(visit: Visit) -> Board:
    assert visit.desk.jobs is not None, "the application sees to it"
    return visit.desk.jobs
