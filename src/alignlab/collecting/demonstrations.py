"""Which answers are learned from, and which are not, each with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..errors import DataError
from ..records import Completion, Demonstration, Prompt
from ..run import RunDir

REPEATED = "the same answer to the same prompt"


def first_of(*reasons: tuple[bool, str]) -> str:
    """The first reason that holds; empty if none does."""
    return next((reason for holds, reason in reasons if holds), "")


def answered(prompt: Prompt, text: str, reason: str, /, **meta: Any) -> Demonstration:
    """An answer, with the reason why it is not learned from; an empty reason is none."""
    if reason:
        meta["rejected"] = reason
    return Demonstration(prompt, text, meta)


def completions_of(demonstrations: Sequence[Demonstration]) -> list[Completion]:
    """The answers as a judge reads them."""
    return [Completion(row.prompt, row.completion) for row in demonstrations]


def settle(run: RunDir, rows: Iterable[Demonstration]) -> tuple[list[Demonstration], dict[str, Any]]:
    """Write data/demonstrations.jsonl (what is learned from) and data/rejected.jsonl
    (`completion_meta.rejected` says why).

    The same answer to the same prompt is kept once.

    Returns:
        What was kept, and the counts: `demonstrations`, `prompts` (different ones), `rejected` and `reasons`.

    Raises:
        DataError: nothing was kept, with the reasons.
    """
    kept: list[Demonstration] = []
    rejected: list[Demonstration] = []
    for row in _without_repeats(rows):
        (rejected if row.rejected else kept).append(row)
    reasons = dict(Counter(row.rejected for row in rejected).most_common())
    if not kept:
        counted = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        raise DataError(
            f"no demonstration was kept: {counted or 'nothing was written'}",
            where=str(run.path),
            remedy="other writers, a better teacher, or milder settings",
        )
    run.add_data("demonstrations", kept)
    run.add_data("rejected", rejected)
    return kept, {
        "demonstrations": len(kept),
        "prompts": len({row.prompt.id for row in kept}),
        "rejected": len(rejected),
        "reasons": reasons,
    }


def _without_repeats(rows: Iterable[Demonstration]) -> Iterator[Demonstration]:
    seen: set[tuple[str, str]] = set()
    for row in rows:
        key = row.prompt.id, " ".join(row.completion.split())
        if row.rejected:
            yield row
        elif key in seen:
            yield answered(row.prompt, row.completion, REPEATED, **row.meta)
        else:
            seen.add(key)
            yield row
