"""What people said in the studio, as a run of `collect`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from .. import names
from ..errors import DataError
from ..evals.collected import summarize
from ..settings import VotesSettings
from ..votes import figures
from ..votes.blind import check_open
from ..votes.decisions import decided
from ..votes.rankings import Made, agreed, ceiling_of, records_of
from ..votes.store import read_store, studio_folder
from ..votes.tasks import guidelines_of, task_named
from ..votes.writer import head_of
from .stage import done, open_run, rate, result


def vote_rankings(
    *, task: str, folder: str, out: Path, seed: int, resume: bool, settings: VotesSettings
) -> dict[str, Any]:
    """The votes of a task as rankings (and edits as demonstrations), split as the task's questions are. The
    store may be open elsewhere.

    Raises:
        DataError: no such task, no votes, or a blind comparison that is not over.
    """
    with read_store(studio_folder(Path(folder))) as connection:
        id = task_named(connection, task)
        check_open(connection, id)
        votes = figures.votes_of(connection, id, group=settings.group)
        decisions = decided(connection, id)
        head, guidelines = head_of(connection), guidelines_of(connection, id)
    made = records_of(votes, settings.merge, decisions)
    if not made.rankings:
        raise DataError(
            f"there is no vote to learn from: {left_out(made) or 'nobody has voted'}",
            where=task,
            remedy="alignlab studio, and vote",
        )
    digest = names.data.digest_of([*made.rankings, *made.demonstrations, *made.demonstrations_test])
    used = names.data.Data(made.rankings, f"votes:{task}", digest, left_out(made))
    run = open_run("collect", out, settings, seed, resume, uses=[used], kind="votes", task=task)
    if run.done:
        return done(run)
    run.add_data("rankings", made.train)
    run.add_data("rankings_test", made.test)
    if made.demonstrations or made.demonstrations_test:
        run.add_data("demonstrations", made.demonstrations)
        run.add_data("demonstrations_test", made.demonstrations_test)
    summary: dict[str, Any] = {
        "prompts": len({ranking.prompt.id for ranking in made.rankings}),
        "unranked": 0,
        "sampled_tokens": 0,
        **summarize(made.train, made.test, None, None),
        "duplicates": 0,
        "agreement": figures.agreement(votes, seed=seed),
        "annotators": dict(Counter(said.annotator for said in votes)),
        "merge": settings.merge,
        "group": settings.group,
        "why": dict(Counter(said.why for said in votes)),
        "decided": len(decisions),
        "late": sum(said.late for said in votes),
        "left_out": made.left_out,
        "demonstrations": len(made.demonstrations) + len(made.demonstrations_test),
        "task": task,
        "guidelines": [each["digest"] for each in guidelines],
        "head": str(head),
    }
    if (alike := agreed(said for said in votes if said.side == "test")) is not None:
        summary["ceiling_test"] = ceiling_of(alike)
    run.finish(summary)
    said = f"{summary['rankings']} rankings by {len(summary['annotators'])} people"
    if (alpha := summary["agreement"]["alpha"])["mean"] is not None:
        said += f", alpha {rate(alpha)}"
    return result(run, said)


def left_out(made: Made) -> str:
    """The votes that gave no record, for people."""
    counts = ", ".join(f"{count} of {reason}" for reason, count in made.left_out.items())
    return f"votes left out: {counts}" if counts else ""
