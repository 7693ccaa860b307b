"""Demonstrations while they are collected: every answer is kept or rejected with its reason, in chunks from
which a run can go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ..errors import DataError
from ..records import Demonstration, Prompt
from ..run import RunDir

CHUNK = 512  # prompts between two points from which a run can go on


def rejected(prompt: Prompt, text: str, reason: str, **meta: Any) -> Demonstration:
    """An answer that is not learned from, and why."""
    return Demonstration(prompt, text, {**meta, "rejected": reason})


def reason_of(row: Demonstration) -> str:
    """Why an answer was rejected; empty for one that is kept."""
    return row.meta.get("rejected", "")


def chunk(run: RunDir, number: int, make: Callable[[], Iterable[Demonstration]]) -> list[Demonstration]:
    """The answers of one chunk, kept and rejected: made now, or read back if an earlier process made them.
    Both give the same.
    """
    return run.kept(f"chunks/{number:05d}", lambda: list(make()), Demonstration)


def in_chunks(
    run: RunDir,
    prompts: Sequence[Prompt],
    make: Callable[[int, dict[int, Prompt]], Iterable[Demonstration]],
    *,
    desc: str,
) -> list[Demonstration]:
    """Answers to all prompts; `make(number, prompts by place)` makes those of one chunk."""
    rows: list[Demonstration] = []
    starts = range(0, len(prompts), CHUNK)
    for number, start in enumerate(run.track(starts, desc=desc)):
        asked = {i: prompts[i] for i in range(start, min(start + CHUNK, len(prompts)))}
        rows += chunk(run, number, lambda number=number, asked=asked: make(number, asked))
    return rows


def settle(run: RunDir, rows: Iterable[Demonstration]) -> tuple[list[Demonstration], dict[str, Any]]:
    """Write data/demonstrations.jsonl (what is learned from) and data/rejected.jsonl
    (`completion_meta.rejected` says why).

    The same answer to the same prompt is kept once.

    Returns:
        What was kept, and the counts: `demonstrations`, `prompts` (different ones), `rejected` and `reasons`.

    Raises:
        DataError: nothing was kept, with the reasons.
    """
    sorted_out = list(_without_repeats(rows))
    kept = [row for row in sorted_out if not reason_of(row)]
    reasons = dict(Counter(reason_of(row) for row in sorted_out if reason_of(row)).most_common())
    if not kept:
        raise DataError(
            "no demonstration was kept: "
            + (", ".join(f"{count} {reason}" for reason, count in reasons.items()) or "nothing was written"),
            where=str(run.path),
            remedy="other writers, a better teacher, or milder settings",
        )
    run.add_data("demonstrations", kept)
    run.add_data("rejected", [row for row in sorted_out if reason_of(row)])
    return kept, {
        "demonstrations": len(kept),
        "prompts": len({row.prompt.id for row in kept}),
        "rejected": sum(reasons.values()),
        "reasons": reasons,
    }


def _without_repeats(rows: Iterable[Demonstration]) -> Iterator[Demonstration]:
    seen: set[tuple[str, str]] = set()
    for row in rows:
        key = row.prompt.id, " ".join(row.completion.split())
        if not reason_of(row) and key in seen:
            yield rejected(row.prompt, row.completion, "the same answer to the same prompt", **row.meta)
            continue
        if not reason_of(row):
            seen.add(key)
        yield row
