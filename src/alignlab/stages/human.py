"""Demonstrations that people write."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from .. import names
from ..errors import DataError, UserError
from ..settings import HumanSettings
from .demonstrations import told
from .stage import done, open_run, result


def human_demonstrations(
    *, data: str, answers: str, out: Path, seed: int, resume: bool, settings: HumanSettings, count: int = 0
) -> dict[str, Any]:
    """What people wrote into the file of answers; without one, the file to fill in."""
    from ..collecting import human as method

    file = Path(answers) if answers else out.with_name(f"{out.name}-answers.jsonl")
    if not file.exists():
        prompts = names.data.read_data(data, "prompt", seed=seed, count=count).records
        if file.suffix != ".jsonl":
            raise UserError(
                f"there is no file {file}, and one to fill in would be JSONL",
                remedy="a name that ends in .jsonl, or a file that exists",
            )
        method.write_template(file, prompts)
        return {
            "answers": str(file),
            "prompts": len(prompts),
            "text": (
                f"{file}: {len(prompts)} prompts to answer. Fill in completion, who, when and source; then "
                "the same command reads them."
            ),
        }
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise DataError(f"the answers cannot be read: {error.strerror}", where=str(file)) from None
    run = open_run(
        "demonstrations",
        out,
        settings,
        seed,
        resume,
        uses=[names.data.Data([], str(file), digest)],
        kind="human",
    )
    if run.done:
        return done(run)
    summary = method.run(run, file, settings)
    run.finish(summary)
    return result(run, f"{told(summary)}; {summary['unanswered']} prompts are not answered yet")
