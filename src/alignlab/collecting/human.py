"""Demonstrations that people write: a file to fill in, and what is kept of it, each with who wrote it, when
and from what (Ouyang et al. 2022, section 3.4).
"""

from __future__ import annotations

import json
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
from .demonstrations import rejected, settle

SIGNED = ("who", "when", "source")


def write_template(path: Path, prompts: Sequence[Prompt]) -> None:
    """A JSONL with a line a prompt, whole or not at all: `completion` is to be filled in, and `who`, `when`
    and `source`.
    """
    with whole_file(path) as staging, open(staging, "w", encoding="utf-8", newline="\n") as file:
        for prompt in prompts:
            row = prompt.to_json()
            row = {
                "prompt": prompt.text if len(prompt.messages) == 1 else row["prompt"],
                "completion": "",
                **dict.fromkeys(SIGNED, ""),
                **({"meta": row["meta"]} if "meta" in row else {}),
            }
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
    people = [str(d.meta["who"]) for d in kept]
    return counts | {
        "unanswered": unanswered,
        "undated": sum(not d.meta["when"] for d in kept),
        "who": {name: people.count(name) for name in sorted(set(people))},
    }


def checked(row: Any, settings: HumanSettings, *, where: str) -> Iterator[Demonstration]:
    """The demonstrations of one row (one, or one an instance), kept or rejected."""
    try:
        found: list[Any] = convert(row, "demonstration")
    except Useless as reason:
        yield rejected(
            Prompt.user(str(row.get("prompt", ""))[:500]), "", str(reason), kind="human", where=where
        )
        return
    except DataError as error:
        raise DataError(
            error.what, where=where, remedy=error.remedy or "mend the row, or take it out"
        ) from error
    otherwise = {"who": settings.who, "when": settings.when, "source": settings.source}
    signed = {name: str(row.get(name) or "").strip() or otherwise[name] for name in SIGNED}
    for d in found:
        words = len(d.completion.split())
        reason = (
            "nobody signs it"
            if not signed["who"]
            else "its date is none"
            if not _is_date(signed["when"])
            else "too short"
            if words < settings.min_words
            else "too long"
            if words > settings.max_words
            else "repeats the prompt"
            if d.completion.strip() == d.prompt.text.strip()
            else ""
        )
        meta = {**d.meta, "kind": "human", **signed, "where": where}
        yield (
            rejected(d.prompt, d.completion, reason, **meta)
            if reason
            else Demonstration(d.prompt, d.completion, meta)
        )


def _is_date(text: str) -> bool:
    """Empty, or a date (and time) as ISO 8601 writes it."""
    try:
        return not text or bool(datetime.fromisoformat(text))
    except ValueError:
        return False
