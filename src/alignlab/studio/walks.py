"""Walks and runs by constitutions, as their files say. They may say anything."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Literal

from ..text.documents import Malformed
from . import schema
from .heads import Head, as_table, figure
from .inside import Inside, number, row_of, text
from .samples import cut_prompt, prompt_of
from .scan import below, id_of
from .tail import Tail

BEGINS = b'{\n "schema": 1,\n "author": '
"""How `constitution walk --page` begins the table beside a page."""
MOST_WALKED = 200  # prompts of one that are shown
MOST_TURNED = 20
MOST_ROUNDS = 8
MOST_PRINCIPLES = 300
CHAINS = "data/chains.jsonl"


def table_beside(page: str) -> str:
    """Where the table of a page would lie."""
    return str(PurePosixPath(page).with_suffix(".json"))


def walk_document(inside: Inside, page: str) -> tuple[dict[str, Any], float] | None:
    """The table of a walk beside its page, and when it was written; None where the page is of something
    else.
    """
    try:
        with inside.binary(table_beside(page)) as file:
            if file.read(len(BEGINS)) != BEGINS:
                return None
            changed = os.fstat(file.fileno()).st_mtime
        return inside.document(table_beside(page)), changed
    except (OSError, Malformed):
        return None


def row_of_walk(page: str, document: Mapping[str, Any], changed_at: float) -> schema.WalkRow:
    """A walk by its page and table."""
    return _row(id_of(page), "walk", page, document, document, changed_at)


def row_of_run(head: Head) -> schema.WalkRow:
    """A run of `constitution revise`."""
    options = as_table(head.config.get("options"))
    return _row(id_of(head.path), "revise", head.path, head.summary, options, head.started or 0.0)


def _row(
    id: str,
    kind: Literal["walk", "revise"],
    name: str,
    figures: Mapping[str, Any],
    team: Mapping[str, Any],
    changed_at: float,
) -> schema.WalkRow:
    whose, gold = as_table(figures.get("constitution")), as_table(figures.get("gold"))
    return schema.WalkRow(
        id=id,
        kind=kind,
        name=text(name, 300),
        constitution=text(whose.get("name"), 200),
        digest=text(whose.get("digest"), 100),
        author=text(team.get("author"), 300),
        critic=text(team.get("critic"), 300),
        changed_at=changed_at,
        fired=figure("fired", figures.get("fired")),
        changed=figure("changed", figures.get("changed")),
        harm=_both("help with harm", gold.get("compliance")),
        refused=_both("look-alikes refused", gold.get("refused_look_alike")),
    )


def _both(name: str, value: object) -> schema.BeforeAfter | None:
    sides = as_table(value)
    found = {side: figure(name, sides.get(side)) for side in ("drafts", "revisions")}
    return schema.BeforeAfter(**found) if any(found.values()) else None


def walked(rows: Sequence[Mapping[str, Any]]) -> list[schema.Walked]:
    """Rows of a walk's table, or of chains; those that are none are left out."""
    return [_walked(row) for row in rows if isinstance(row, dict)][:MOST_WALKED]


def _walked(row: Mapping[str, Any]) -> schema.Walked:
    prompt, cut = cut_prompt(prompt_of(row))
    given = row.get("rounds")
    rounds = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    draft, last = text(row.get("draft")), text(row.get("revision"))
    if "revision" not in row:
        last = text(rounds[-1].get("revision")) if rounds else draft
    gold = as_table(row.get("gold"))
    sides = [as_table(gold.get(side)) for side in ("draft", "revision")]
    return schema.Walked(
        prompt=prompt,
        draft=draft[: schema.CUT],
        rounds=[
            schema.Round(
                principle=text(one.get("principle"), 100),
                critique=text(one.get("critique"), schema.CUT),
                fired=one.get("fired") is True,
                revision=text(one.get("revision"), schema.CUT),
            )
            for one in rounds[:MOST_ROUNDS]
        ],
        revision=last[: schema.CUT],
        fired=any(one.get("fired") is True for one in rounds),
        dropped=text(row.get("dropped"), 300),
        gold=(number(sides[0].get("value")), number(sides[1].get("value"))),
        reasons=(text(sides[0].get("reason"), 300), text(sides[1].get("reason"), 300)),
        cut=cut or max(len(draft), len(last)) > schema.CUT,
    )


class Lines:
    """The first lines of a file that are JSON objects, and how many lines there are."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.clear()

    def clear(self) -> None:
        self.kept: list[dict[str, Any]] = []
        self.count = 0

    def take(self, offset: int, line: bytes | None) -> None:
        self.count += 1
        if line is None or len(self.kept) >= self.most:
            return
        try:
            self.kept.append(row_of(line))
        except Malformed:
            pass


def lines_of(inside: Inside, path: str, most: int) -> Lines:
    """The first rows of a file of lines; none where there is no such file."""
    found = Lines(most)
    Tail(found).catch_up(inside, [path])
    return found


def left_out(head: Head) -> list[schema.Left]:
    """Each principle of an ablation."""
    rows = []
    for name, value in list(as_table(head.summary.get("principles")).items())[:MOST_PRINCIPLES]:
        row = as_table(value)
        labels = as_table(row.get("labels"))
        lost = figure("accuracy lost", labels.get("accuracy_gain"))
        rows.append(
            schema.Left(
                principle=text(name, 100),
                flips=figure("labels that flip", labels.get("flips")),
                lost=_negative(lost) if lost else None,
                fires=figure("fires", row.get("fires")),
                fires_alone=figure("fires alone", row.get("fires_alone")),
            )
        )
    return rows


def _negative(found: schema.Figure) -> schema.Figure:
    ends = {"low": found.high, "high": found.low, "value": found.value}
    return found.model_copy(update={name: None if end is None else 0 - end for name, end in ends.items()})


def versions(inside: Inside, head: Head, run: schema.RunRef) -> schema.Versions:
    """Two constitutions on the same pairs."""
    options, labels = as_table(head.config.get("options")), as_table(head.summary.get("labels"))
    principles = as_table(head.summary.get("principles"))
    rows = lines_of(inside, below(head.folder, "samples.jsonl"), MOST_TURNED).kept
    return schema.Versions(
        run=run,
        a=text(head.summary.get("a"), 300),
        b=text(head.summary.get("b"), 300),
        digests=(text(options.get("a"), 100), text(options.get("b"), 100)),
        flips=figure("labels that turn", labels.get("flips")),
        moved=figure("mean change", labels.get("moved")),
        added=_words(principles.get("added")),
        removed=_words(principles.get("removed")),
        reworded=_words(principles.get("changed")),
        turned=[
            schema.Turned(
                prompt=cut_prompt(prompt_of(row))[0],
                first=text(row.get("first"), schema.CUT),
                second=text(row.get("second"), schema.CUT),
                before=number(row.get("before")),
                after=number(row.get("after")),
            )
            for row in rows
        ],
    )


def _words(value: object) -> list[str]:
    words: Iterable[object] = value if isinstance(value, list) else ()
    return [text(word, 100) for word in words if isinstance(word, str)][:MOST_PRINCIPLES]
