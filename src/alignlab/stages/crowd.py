"""Demonstrations that a crowd writes, votes for and settles on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..run import derive_seed
from ..settings import CrowdSettings
from ..text.lists import by_comma
from .demonstrations import told
from .stage import done, open_run, result


def crowd_demonstrations(
    *, data: str, gold: str, out: Path, seed: int, resume: bool, settings: CrowdSettings, count: int = 0
) -> dict[str, Any]:
    """The answers that a crowd wrote, voted for and settled on."""
    prompts = names.data.read_data(data, "prompt", seed=seed, count=count)
    written, reviewing = by_comma(settings.writers), by_comma(settings.reviewers)
    writers = [
        names.people.writer(name, seed=derive_seed(seed, "writer", i)) for i, name in enumerate(written)
    ]
    answers = [
        names.data.read_data(name, "demonstration") for name in written if not name.startswith("town:")
    ]
    reviewers = [
        names.people.annotator(name, seed=derive_seed(seed, "reviewer", i))
        for i, name in enumerate(reviewing)
    ]
    adjudicator = names.people.annotator(settings.adjudicator, seed=derive_seed(seed, "adjudicator"))
    truth = names.judges.maybe_judge(gold)
    run = open_run(
        "demonstrations",
        out,
        settings,
        seed,
        resume,
        uses=[prompts, *answers, *reviewers, adjudicator, truth],
        kind="crowd",
        gold=gold,
        **{f"reviewer {i}": name for i, name in enumerate([*reviewing, settings.adjudicator])},
    )
    if run.done:
        return done(run)
    from ..collecting import crowd as method

    summary = method.run(
        run,
        [writer.load() for writer in writers],
        [reviewer.load() for reviewer in reviewers],
        adjudicator.load(),
        prompts.records,
        settings,
        gold=truth.load(),
        seed=seed,
    )
    run.finish(summary)
    found, ways = summary["agreement"], summary["settled"]
    agreed = (
        f"; reviewers agree on {found['raw']:.0%} of pairs, alpha {found['krippendorff_alpha']:.2f}"
        if found
        else ""
    )
    return result(
        run,
        (
            f"{told(summary)}; {ways['vote']} by vote, {ways['adjudicated']} adjudicated, "
            f"{ways['the same']} unanimous{agreed}"
        ),
    )
