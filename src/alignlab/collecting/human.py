"""Demonstrations that people write: a file to fill in, and what is kept of it, each with who wrote it, when
and from what (Ouyang et al. 2022, section 3.4).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ..data.files import file_rows
from ..data.formats import Useless, convert
from ..errors import DataError
from ..records import Demonstration, Prompt
from ..run import RunDir, whole_file
from ..settings import HumanSettings
from .demonstrations import answered, first_of, settle

SIGNED = ("who", "when", "source")


def write_template(path: Path, prompts: Sequence[Prompt]) -> None:
    """A JSONL with a line per prompt, whole or not at all: `completion` is to be filled in, and `who`, `when`
    and `source`.
    """
    with whole_file(path) as staging, open(staging, "w", encoding="utf-8", newline="\n") as file:
        for prompt in prompts:
            whole = prompt.to_json()
            if len(prompt.messages) == 1:
                whole["prompt"] = prompt.text
            row = {"prompt": whole["prompt"], "completion": "", **dict.fromkeys(SIGNED, "")}
            if "meta" in whole:
                row["meta"] = whole["meta"]
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def run(run: RunDir, answers: Path, settings: HumanSettings) -> dict[str, Any]:
    """Read people's answers, in any format of the field that holds demonstrations, into
    data/demonstrations.jsonl and data/rejected.jsonl.

    Returns:
        The counts of `settle`, `unanswered` (rows whose completion is empty), `undated` and demonstrations by
        writer (`who`).

    Raises:
        DataError: a row that is broken, nothing filled in yet, or nothing kept.
    """
    rows: list[Demonstration] = []
    unanswered = 0
    for number, row in file_rows(answers):
        if isinstance(row, dict) and isinstance(text := row.get("completion"), str) and not text.strip():
            unanswered += 1
            continue
        rows += checked(row, settings, where=f"{answers}:{number}")
    if not rows:
        raise DataError(
            f"none of {unanswered} prompts is answered yet",
            where=str(answers),
            remedy="fill in `completion`, `who`, `when` and `source`, then again",
        )
    kept, counts = settle(run, rows)
    people = Counter(str(row.meta["who"]) for row in kept)
    return counts | {
        "unanswered": unanswered,
        "undated": sum(not row.meta["when"] for row in kept),
        "who": dict(sorted(people.items())),
    }


def checked(row: Any, settings: HumanSettings, *, where: str) -> Iterator[Demonstration]:
    """The demonstrations of one row (one, or one per instance), kept or rejected."""
    try:
        demonstrations: list[Any] = convert(row, "demonstration")
    except Useless as reason:
        prompt = Prompt.user(str(row.get("prompt", ""))[:500])
        yield answered(prompt, "", str(reason), kind="human", where=where)
        return
    except DataError as error:
        raise DataError(
            error.what, where=where, remedy=error.remedy or "mend the row, or take it out"
        ) from error
    signed = {"who": settings.who, "when": settings.when, "source": settings.source}
    for name in SIGNED:
        signed[name] = str(row.get(name) or "").strip() or signed[name]
    for d in demonstrations:
        words = len(d.completion.split())
        reason = first_of(
            (not signed["who"], "nobody signs it"),
            (not _is_date(signed["when"]), "its date is none"),
            (words < settings.min_words, "too short"),
            (words > settings.max_words, "too long"),
            (d.completion.strip() == d.prompt.text.strip(), "repeats the prompt"),
        )
        yield answered(
            d.prompt, d.completion, reason, **{**d.meta, "kind": "human", **signed, "where": where}
        )


def _is_date(text: str) -> bool:
    """Empty, or a date (and time) as ISO 8601 writes it."""
    try:
        return not text or bool(datetime.fromisoformat(text))
    except ValueError:
        return False
