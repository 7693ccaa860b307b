"""Critique and revision one prompt at a time, to look at."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import names
from ..errors import CheckFailed, UserError
from ..records import Completion, Prompt
from ..run import check_file, is_page, write_document
from ..settings import WalkSettings
from ..text.escapes import visible
from .stage import rate

if TYPE_CHECKING:
    pass
from .revise import workshop

TABLE = b'{\n "schema": 1,\n "author": '
"""How the table beside a page of a walk begins."""


def walk(
    *,
    prompt: str,
    model: str,
    critic: str,
    constitution: str,
    data: str,
    count: int,
    judge: str,
    gold: str,
    page: str,
    settings: WalkSettings,
) -> dict[str, Any]:
    """One prompt, or the prompts of a data set: draft, critique with its principle, revision, and what
    changed. `--page FILE.html` also writes FILE.json.
    """
    from ..collecting import revise as method
    from ..collecting.revise.figures import measured
    from ..constitution import files
    from ..evals.statistics import mean_ci
    from ..report import walk as report

    if bool(prompt) == bool(data):
        raise UserError(
            "walk needs a prompt or a data set"
            if not prompt
            else "walk takes a prompt or a data set, not both",
            remedy='alignlab constitution walk "How do I pick a lock?", or --data D --count N',
        )
    if not model:
        raise UserError(
            "walk needs an author", remedy="--model M: a run, a folder, or http://host:port/v1#model"
        )
    if page:
        if not page.endswith((".html", ".htm")):
            raise UserError(
                f"--page {page!r} is no name for a page",
                remedy="--page FILE.html; the same as JSON goes beside it",
            )
        check_file(Path(page), ours=is_page, option="--page")
        check_file(
            Path(page).with_suffix(".json"), ours=lambda content: content.startswith(TABLE), option="--page"
        )
    loaded, by = files.load(constitution), critic or model
    method.pool_of(loaded, settings)
    read = names.judges.request_reader(gold)
    asked: list[Prompt] = (
        list(names.data.read_data(data, "prompt", seed=settings.seed, count=count).records)
        if data
        else [read(prompt) or Prompt.user(prompt) if read else Prompt.user(prompt)]
    )
    team = workshop(model, by, loaded, settings, judge=names.judges.maybe_judge(judge).load())
    chains = method.revised(team, dict(enumerate(asked)), settings, seed=settings.seed)
    known = [
        "params" in chain.prompt.meta for chain in chains
    ]  # where a judge that knows the truth reads what was asked
    truth = names.judges.maybe_judge(gold).load()
    scored = iter(
        truth.score(
            [
                Completion(c.prompt, text)
                for c, ours in zip(chains, known, strict=True)
                if ours
                for text in (c.draft, c.text)
            ]
        )
        if truth
        else []
    )
    rows = [
        report.walked(chain, loaded, (next(scored), next(scored)) if truth and ours else None)
        for chain, ours in zip(chains, known, strict=True)
    ]
    facts = [
        ("author", model),
        ("critic", by),
        ("constitution", f"{loaded.name} {loaded.version} ({loaded.digest})"),
        ("seed", str(settings.seed)),
    ]
    summary: dict[str, Any] = {
        "kept": mean_ci([float(not chain.dropped) for chain in chains]),
        "fired": mean_ci([float(chain.fired) for chain in chains]),
        "changed": mean_ci([float(chain.text != chain.draft) for chain in chains if not chain.dropped]),
    }
    if truth and any(known):
        ours_alone = [chain for chain, ours in zip(chains, known, strict=True) if ours]
        summary["gold"] = measured(ours_alone, loaded, truth)
    document: dict[str, Any] = {
        **dict(facts[:2]),
        "constitution": {"name": loaded.name, "version": loaded.version, "digest": loaded.digest},
        "seed": settings.seed,
        **summary,
        "rows": rows,
    }
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    said = [report.for_terminal(rows, color=colour)]
    note = (
        (
            f"Critiques found something in {rate(summary['fired'])} of the drafts; "
            f"{rate(summary['changed'])} were changed."
        )
        if len(rows) > 1
        else ""
    )
    if note:
        said.append(note)
    if page:
        file = Path(page)
        report.write_walk(
            rows,
            file,
            title="Draft, critique, revision" if len(rows) == 1 else f"Before and after: {data}",
            facts=facts,
            note=note,
        )
        table = file.with_suffix(".json")
        write_document(table, {"schema": 1, **document})
        document |= {"page": str(file), "table": str(table)}
        said.append(visible(f"{file}, {table}"))
    if all(chain.dropped for chain in chains):
        said.append("Nothing is left to learn from: every chain was dropped.")
        document["exit_code"] = CheckFailed.exit_code
    return document | {"text": "\n\n".join(said), "styled": colour}
