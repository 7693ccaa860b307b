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
    changes: list[Change] = []
    for what, a, b, c, d in matcher.get_opcodes():
        if what == "equal":
            changes.append(("same", "".join(new[c:d])))
            continue
        if a < b:
            changes.append(("gone", "".join(old[a:b])))
        if c < d:
            changes.append(("new", "".join(new[c:d])))
    return changes


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
        draft, revision = ({"value": score.value, "reason": score.reason} for score in scores)
        row["gold"] = {"draft": draft, "revision": revision}
    return row


def for_terminal(rows: Sequence[Mapping[str, Any]], *, color: bool, width: int = 160) -> str:
    """Rows of `walked` for a terminal."""
    console = Console(
        file=io.StringIO(),
        force_terminal=color,
        color_system="standard" if color else None,
        width=width,
        soft_wrap=True,
        highlight=False,
        no_color=not color,
    )

    def styled(text: str, style: str) -> Text:
        return Text(text, style=style if color else "")

    def line(head: str, text: str, style: str = "") -> None:
        console.print(styled(f"{head:<10}", "bold") + styled(visible(text), style))

    for number, row in enumerate(rows):
        if number:
            console.print()
        line("Prompt", row["prompt"][-1]["content"])
        line("Draft", row["draft"] + score_of(row, "draft"))
        for one in row["rounds"]:
            line("Principle", f"{one['principle']}: {one['critique_request']}", "cyan")
            critique = one["critique"] or "(none was asked for)"
            if one["fired"]:
                line("Critique", critique, "yellow")
                line("Revision", one["revision"])
            else:
                line("Critique", f"{critique}  [nothing to mend]")
        if row["dropped"]:
            line("Dropped", row["dropped"], "red")
        elif row["revision"] != row["draft"]:
            changes = styled(f"{'Changes':<10}", "bold")
            for what, text in row["diff"]:
                words, (opening, closing) = text.rstrip(), MARKS[what]
                marked = visible(words) if color else f"{opening}{visible(words)}{closing}"
                changes += styled(marked, STYLES[what]) + Text(visible(text[len(words) :]))
            console.print(changes)
        if row.get("gold") and row["revision"] != row["draft"]:
            line("Gold", score_of(row, "revision").strip())
    return console.file.getvalue().rstrip()  # type: ignore[attr-defined]


def score_of(row: Mapping[str, Any], which: str) -> str:
    if not row.get("gold"):
        return ""
    score = row["gold"][which]
    return f"  [gold {score['value']:.2f}: {score['reason']}]"


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
