"""Drafts, critiques and revisions to look at: in the terminal, and as one page that opens from disk. What a
model wrote is not trusted: escaped in both.
"""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

from ..constitution.principles import Constitution
from ..records import Chain, Score
from ..text.escapes import visible
from .page import write_page

Change = tuple[Literal["same", "gone", "new"], str]
MARKS = {"same": ("", ""), "gone": ("[-", "-]"), "new": ("{+", "+}")}  # as wdiff writes them
STYLES = {"same": "", "gone": "red strike", "new": "green"}


def word_diff(before: str, after: str) -> list[Change]:
    """What changed from one text to the other, word by word, in order: runs that stayed, went or came, each
    word with the space behind it.

    White space alone is no change.
    """
    old, new = (re.findall(r"\S+\s+", f"{text} ") for text in (before, after))
    matcher = difflib.SequenceMatcher(
        None, [word.strip() for word in old], [word.strip() for word in new], autojunk=False
    )
    found: list[Change] = []
    for what, a, b, c, d in matcher.get_opcodes():
        if what == "equal":
            found.append(("same", "".join(new[c:d])))
            continue
        if a < b:
            found.append(("gone", "".join(old[a:b])))
        if c < d:
            found.append(("new", "".join(new[c:d])))
    return found


def walked(
    chain: Chain, constitution: Constitution, scores: tuple[Score, Score] | None = None
) -> dict[str, Any]:
    """A chain as a document: every round with what its principle asks of critic and reviser, and what changed
    from the draft to the last revision.

    Args:
        scores: of draft and last revision by a judge that knows the truth.
    """
    rounds = []
    for one in chain.rounds:
        principle = constitution.get(one.principle)
        rounds.append(
            {
                "principle": one.principle,
                "tags": list(principle.tags),
                "critique_request": principle.critique,
                "revision_request": principle.revise,
                "critique": one.critique,
                "fired": one.fired,
                "revision": one.revision,
                "seed": one.seed,
            }
        )
    row: dict[str, Any] = {
        "prompt": [m.to_json() for m in chain.prompt.messages],
        "draft": chain.draft,
        "rounds": rounds,
        "revision": chain.text,
        "fired": chain.fired,
        "dropped": chain.dropped,
        "diff": [list(change) for change in word_diff(chain.draft, chain.text)],
    }
    if scores:
        row["gold"] = {
            name: {"value": score.value, "reason": score.reason}
            for name, score in zip(("draft", "revision"), scores, strict=True)
        }
    return row


def told(rows: Sequence[Mapping[str, Any]], *, colour: bool, width: int = 160) -> str:
    """Rows of `walked` for a terminal."""
    console = Console(
        file=io.StringIO(),
        force_terminal=colour,
        color_system="standard" if colour else None,
        width=width,
        soft_wrap=True,
        highlight=False,
        no_color=not colour,
    )

    def line(head: str, text: str, style: str = "") -> None:
        console.print(
            Text(f"{head:<10}", style="bold" if colour else "")
            + Text(visible(text), style=style if colour else "")
        )

    for number, row in enumerate(rows):
        if number:
            console.print()
        line("Prompt", row["prompt"][-1]["content"])
        line("Draft", row["draft"] + score_of(row, "draft"))
        for one in row["rounds"]:
            line("Principle", f"{one['principle']}: {one['critique_request']}", "cyan")
            line(
                "Critique",
                (one["critique"] or "(none was asked for)") + ("" if one["fired"] else "  [nothing to mend]"),
                "yellow" if one["fired"] else "",
            )
            if one["fired"]:
                line("Revision", one["revision"])
        if row["dropped"]:
            line("Dropped", row["dropped"], "red")
        elif row["revision"] != row["draft"]:
            changes = Text(f"{'Changes':<10}", style="bold" if colour else "")
            for what, text in row["diff"]:
                words, (opening, closing) = text.rstrip(), ("", "") if colour else MARKS[what]
                changes += Text(
                    opening + visible(words) + closing, style=STYLES[what] if colour else ""
                ) + Text(visible(text[len(words) :]))
            console.print(changes)
        if row.get("gold") and row["revision"] != row["draft"]:
            line("Gold", score_of(row, "revision").strip())
    return console.file.getvalue().rstrip()  # type: ignore[attr-defined]


def score_of(row: Mapping[str, Any], which: str) -> str:
    return (
        f"  [gold {row['gold'][which]['value']:.2f}: {row['gold'][which]['reason']}]"
        if row.get("gold")
        else ""
    )


def write_walk(
    rows: Sequence[Mapping[str, Any]],
    out: Path,
    *,
    title: str,
    facts: Sequence[tuple[str, str]],
    note: str = "",
) -> Path:
    """The page of one walk, or of many with the table of drafts and revisions first."""
    return write_page(
        {"title": title, "facts": facts, "note": note, "rows": rows}, out, template="walk.html.j2"
    )
