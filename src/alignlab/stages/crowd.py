"""Demonstrations that a crowd writes, votes for and settles on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..run import derive_seed
from ..settings import CrowdSettings
from .demonstrations import told
from .stage import done, open_run, result


def crowd_demonstrations(
    *, data: str, gold: str, out: Path, seed: int, resume: bool, settings: CrowdSettings, count: int = 0
) -> dict[str, Any]:
    """The answers that a crowd wrote, voted for and settled on."""
    prompts = names.data.read(data, "prompt", seed=seed, count=count)
    written, reviewing = (
        [part.strip() for part in text.split(",") if part.strip()]
        for text in (settings.writers, settings.reviewers)
    )
    writers = [
        names.people.writer(name, seed=derive_seed(seed, "writer", i)) for i, name in enumerate(written)
    ]
    digests = [names.data.read(name, "demonstration") for name in written if not name.startswith("town:")]
    run = open_run(
        "demonstrations",
        out,
        settings,
        seed,
        resume,
        data=[prompts, *digests],
        kind="crowd",
        gold=gold,
        **{f"reviewer {i}": name for i, name in enumerate([*reviewing, settings.adjudicator])},
    )
    if run.done:
        return done(run)
    from ..collecting import crowd as method

    reviewers = [
        names.people.annotator(name, seed=derive_seed(seed, "reviewer", i))
        for i, name in enumerate(reviewing)
    ]
    adjudicator = names.people.annotator(settings.adjudicator, seed=derive_seed(seed, "adjudicator"))
    summary = method.run(
        run,
        writers,
        reviewers,
        adjudicator,
        prompts.records,
        settings,
        gold=names.judges.maybe_judge(gold),
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
