"""What the model sees of a record: its tokens, and which of them carry the loss (`alignlab view`)."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text as RichText

from ..models.chat import Rendered
from ..models.chat_template import piece_of
from ..records import Comparison, Ranking, Record
from ..text.escapes import visible
from .checks import encode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CONTEXT = ("grey62", "grey46")  # two shades in turn: the border between tokens shows
TRAINED = ("black on green3", "black on dark_sea_green3")
SPECIAL = "bold magenta"


def spelled(text: str) -> str:
    """Text of a token as a terminal may show it (see `text.escapes`): a line end shows, and breaks."""
    return visible(text).replace("\t", "\\t").replace("\n", "\\n\n")


def tokens(sequence: Rendered, tokenizer: PreTrainedTokenizerBase, *, colour: bool = True) -> RichText:
    """A sequence token by token: grey is context, green is trained on, magenta is a special token.

    Without colour the trained stretches stand between ⟦ and ⟧.
    """
    line = RichText()
    special = set(tokenizer.all_special_ids)
    trained = False
    for place, (token, mask) in enumerate(zip(sequence.ids, sequence.loss_mask, strict=True)):
        if not colour and bool(mask) != trained:
            line.append("⟦" if mask else "⟧")
        trained = bool(mask)
        text = piece_of(tokenizer, sequence.ids[place - 1] if place else None, token)
        style = (TRAINED if mask else CONTEXT)[place % 2]
        if token in special:
            style = f"{SPECIAL} underline" if mask else SPECIAL
        line.append(spelled(text), style)
    if not colour and trained:
        line.append("⟧")
    return line


def clipped(sequence: Rendered, most: int) -> list[Rendered]:
    """A long sequence as its two ends, of `most` tokens together; where the first trained token is between
    them, the part around it too.
    """
    n, side = len(sequence.ids), most // 2
    if n <= most:
        return [sequence]
    begins = [0, n - side]
    if 1 in sequence.loss_mask and side <= (first := sequence.loss_mask.index(1)) < n - side:
        begins.insert(1, first - side // 2)
    return [Rendered(sequence.ids[at : at + side], sequence.loss_mask[at : at + side]) for at in begins]


def show(
    records: Iterable[Record],
    tokenizer: PreTrainedTokenizerBase,
    *,
    console: Console | None = None,
    most: int = sys.maxsize,
) -> None:
    """Print records as the model sees them, each sequence under a line with its name and its numbers of
    tokens.

    Args:
        most: of a sequence longer than this many tokens only its ends are shown.
    """
    console = console or Console()
    colour = console.color_system is not None and not console.no_color
    for number, record in enumerate(records, 1):
        for name, sequence in zip(_names(record), encode(record, tokenizer), strict=True):
            console.print(
                RichText(
                    f"{number} {name}: {len(sequence.ids)} tokens, {sum(sequence.loss_mask)} trained on",
                    style="bold",
                )
            )
            shown = [tokens(piece, tokenizer, colour=colour) for piece in clipped(sequence, most)]
            console.print(RichText(" [...] ").join(shown), soft_wrap=True)


def _names(record: Record) -> list[str]:
    match record:
        case Comparison():
            return ["chosen", "rejected"]
        case Ranking():
            return [f"rank {rank}" for rank in record.ranks]
    return [type(record).__name__.lower()]
