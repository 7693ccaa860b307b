"""Rows of the field's data formats -> records. The way back is in `data.layouts`.

`shaped` names the format of a row by its columns; `Shaped.read` turns the row into records of the kind that a
stage wants, and says what of the row nobody read. A row that is broken is a `DataError`; a row that is sound
but teaches nothing (a tie, a completion nobody liked) raises `Useless`, so that the reader of the file can
drop it and count it.

    values    texts, numbers, lists and truths             rows     columns: names, what was read
    messages  turns of a conversation, JSON in a cell
    readers, preferences, rankings  one function per format
    table     the formats, and how each is known           convert  records of one kind as another
    columns   what a user says that columns are (`--columns`)
"""

from .columns import Columns, columns_in
from .convert import (
    REPEATED,
    TEMPLATED,
    Reading,
    Shaped,
    as_kind,
    completions_of,
    convert,
    detect,
    flaw_of,
    kind_of_row,
    shaped,
)
from .messages import HH_TURN, hh_messages, is_hh, messages, spells_messages, unpacked
from .preferences import GUESSED, NEGATIVE
from .readers import CUT_BACK, WANTS, Useless, Want
from .rows import COMPLETIONS, KNOWN_COLUMNS, PROMPTS, PROMPTS_BESIDE, Row, Tracked, columns_of
from .table import FORMATS, KINDS, NEEDS, ONE, Format
from .values import truth

__all__ = [
    "COMPLETIONS",
    "CUT_BACK",
    "Columns",
    "FORMATS",
    "Format",
    "GUESSED",
    "HH_TURN",
    "KINDS",
    "KNOWN_COLUMNS",
    "NEEDS",
    "NEGATIVE",
    "ONE",
    "PROMPTS",
    "PROMPTS_BESIDE",
    "REPEATED",
    "Reading",
    "Row",
    "Shaped",
    "TEMPLATED",
    "Tracked",
    "Useless",
    "WANTS",
    "Want",
    "as_kind",
    "columns_in",
    "completions_of",
    "columns_of",
    "convert",
    "detect",
    "flaw_of",
    "hh_messages",
    "is_hh",
    "kind_of_row",
    "messages",
    "shaped",
    "spells_messages",
    "truth",
    "unpacked",
]
