"""A row in any known format -> records of the kind that a stage wants, with what is to be said of how it was
read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ...errors import DataError
from ...records import (
    Comparison,
    Completion,
    Demonstration,
    Prompt,
    Ranking,
    Record,
    Text,
    Unpaired,
    prompt_in,
)
from . import readers
from .columns import Columns
from .messages import MARKS
from .readers import NOT_LEARNT, Useless, Want
from .rows import Row, refuse_unshown
from .table import KINDS, NEEDS, ONE, STRING, Format, format_of, row_of
from .values import flag

TIED = "tie", "all completions tied"
REPEATED = "answers begin with their whole prompt, and it is learnt with them"
TEMPLATED = "prompts are written in some chat template already: its marks become a part of what the user says"
TEMPLATES = re.compile(
    r"\s*(<s>\s*)?(<\|(im_start|start_header_id|begin_of_text|user|system)\|>|<start_of_turn>|\[INST\]|### "
    r"(Human|User|Instruction):|Below is an instruction that describes)"
)
EVEN = "a soft label of one half"
EMPTY = "empty completion"
RECORDS: dict[type, Format] = {
    kind: Format(f"{want} record", want, "", lambda row: False, lambda record, want: [record])
    for want, kind in [*KINDS.items(), ("demonstration", Completion)]
}
"""Records that are in hand already: by what they are, and by no column."""


@dataclass(slots=True)
class Reading:
    """The records of one row.

    Attributes:
        not_read: columns with text that no reader used -> the column that was taken in its place, or "".
        others: columns without text (ids, numbers, what a row is filed under) that no reader used.
        remarks: what else is counted in the load report.
    """

    records: list[Record]
    not_read: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Shaped:
    """A row whose format is known."""

    form: Format
    row: Row | Record | str

    def read(self, want: Want) -> Reading:
        """The row's records of the wanted kind. What was not read is named; where prompts are wanted it goes
        onto them (`meta["columns"]`).

        Raises:
            DataError: the row is broken, or its format never holds what is wanted.
            Useless: the row is sound but holds nothing to learn from.
        """
        records: list[Record] = []
        if isinstance(self.row, Row):
            self.row.prompt_only = want == "prompt"
            refuse_unshown(self.row)
            if want not in ("prompt", "text") and any(
                flag(self.row.columns.get(mark)) is False for mark in MARKS[:-1]
            ):
                raise Useless(NOT_LEARNT)
        said: list[str] = []
        rendered: list[str] = []
        remarks: list[str] = []
        for record in self.form.read(self.row, want):
            if not isinstance(record, Text):
                turns, answers = prompt_in(record).messages, completions_of(record)
                said += [*(turn.content for turn in turns), *answers]
                rendered = []
                if answers:
                    rendered = "\n".join([turns[-1].content, answers[0]]).splitlines()
                if answers and all(_repeats(answer, turns[-1].content) for answer in answers):
                    remarks.append(REPEATED)
                if TEMPLATES.match(turns[-1].content):
                    remarks.append(TEMPLATED)
            reason = flaw_of(record)
            if want == "prompt" and not isinstance(record, Text):
                reason = flaw_of(prompt_in(record))
            elif want == "demonstration" and isinstance(record, Comparison) and reason == EMPTY:
                reason = flaw_of(
                    Demonstration(record.prompt, record.chosen)
                )  # of the other nothing is learnt
            if reason and not (want == "ranking" and reason in TIED):  # a reward model may learn from ties
                raise Useless(reason)
            records += as_kind(record, want)
        if not isinstance(self.row, Row):
            return Reading(records, remarks=remarks)
        if want == "prompt":
            self.row.keep_rest()
        return Reading(records, *self.row.not_read(said, rendered), [*self.row.remarks, *remarks])


def completions_of(record: Record) -> list[str]:
    """The texts of a record's completions."""
    match record:
        case Demonstration() | Unpaired():
            return [record.completion]
        case Completion():
            return [record.text]
        case Comparison():
            return [record.chosen, record.rejected]
        case Ranking():
            return [completion.text for completion in record.completions]
    return []


def _repeats(answer: str, question: str) -> bool:
    """Does an answer begin with the whole question, which is long enough not to be so by chance?"""
    return len(question.split(maxsplit=3)) > 3 and answer.strip().startswith(question.strip())


def shaped(row: Any, columns: Columns | None = None) -> Shaped:
    """A row with its format, its columns by the names that `columns` gives them; a record as what it is.

    Raises:
        DataError: the row is no object, or no format has its columns.
    """
    if isinstance(row, str):
        return Shaped(STRING, row)
    if type(row) in RECORDS:
        return Shaped(RECORDS[type(row)], row)
    found = columns.row(row) if columns and isinstance(row, Mapping) else row_of(row)
    return Shaped(format_of(found), found)


def detect(row: Any) -> str:
    """Name of the format that a row is written in (a `Format.name`, or `string`). Raises as `shaped`."""
    return shaped(row).form.name


def kind_of_row(row: Any, columns: Columns | None = None) -> Want:
    """What the format of a row holds by nature: a conversation that ends with the user is a prompt. Raises as
    `shaped`.
    """
    found = shaped(row, columns)
    if found.form.read is readers.conversation:
        chat = row_of(found.row)
        chat.prompt_only = True
        with suppress(Useless):
            if isinstance(readers.conversation(chat, "prompt")[0], Prompt):
                return "prompt"
    return found.form.kind


def convert(row: Any, want: Want) -> list[Record]:
    """A row in any known format -> records of the wanted kind (several for a ranking's pairs or a task's
    instances).

    Conversions: a conversation -> the demonstration of its last assistant turn; a preference -> the
        demonstration of its chosen
    completion, or a ranking of two, or two unpaired completions; a ranking -> its comparisons, its
    completions by themselves (`Ranking.unpaired`), or the demonstration of its best; anything with a prompt
    -> the prompt.

    Raises:
        DataError: the row is broken, or its format never holds what is wanted.
        Useless: the row is sound but holds nothing to learn from.
    """
    return shaped(row).read(want).records


def flaw_of(record: Record) -> str:
    """Why a record teaches nothing, or the empty string.

    In a ranking an empty completion may stand: a policy wrote it and an annotator placed it.
    """
    match record:
        case Text() if not record.text.strip():
            return "empty text"
        case Prompt() if not record.text.strip():
            return "empty prompt"
        case Text() | Prompt():
            return ""
        case Comparison(tie=True):
            return TIED[0]
        case Comparison() if record.chosen.strip() == record.rejected.strip():
            return "chosen and rejected are the same"
        case Comparison() if not (record.chosen.strip() and record.rejected.strip()):
            return EMPTY
        case Demonstration() | Unpaired() if not record.completion.strip():
            return EMPTY
        case Ranking() if len({completion.text.strip() for completion in record.completions}) < 2:
            return "fewer than two different completions"
        case Ranking() if len(set(record.ranks)) < 2:
            return TIED[1]
    return flaw_of(prompt_in(record))


def as_kind(record: Record, want: Want) -> list[Record]:
    """A record as records of the wanted kind.

    Raises:
        Useless: nothing of that kind is in this one record.
        DataError: nothing of that kind can ever be in such a record.
    """
    if isinstance(record, KINDS[want]):
        return [record]
    match record:
        case Demonstration() | Completion() | Comparison() | Ranking() | Unpaired() if want == "prompt":
            return [record.prompt]
        case Completion() if want == "demonstration":
            return [_shown(record.prompt, record.text, record.finished)]
        case Comparison() if want in ("demonstration", "unpaired") and record.label is not None:
            if record.label == 0.5:
                raise Useless(EVEN)
            return as_kind(record.favoured, want)
        case Comparison() if want == "demonstration":
            return [_shown(record.prompt, record.chosen, record.chosen_finished)]
        case Comparison() if want == "unpaired":
            return [
                Unpaired(record.prompt, record.chosen, True, record.chosen_finished),
                Unpaired(record.prompt, record.rejected, False, record.rejected_finished),
            ]
        case Comparison() if want == "ranking":
            return [_ranking_of(record)]
        case Ranking() if want == "comparison":
            return list(record.comparisons())
        case Ranking() if want == "unpaired":
            return list(record.unpaired())
        case Ranking() if want == "demonstration":
            best = record.completions[record.ranks.index(min(record.ranks))]
            return [_shown(record.prompt, best.text, best.finished)]
        case Unpaired() if want == "demonstration":
            if not record.label:
                raise Useless("disliked completion")
            return [_shown(record.prompt, record.completion, record.finished)]
    raise DataError(
        f"a {type(record).__name__.lower()} cannot be read as {ONE[want]}",
        remedy=f"{ONE[want]} needs {NEEDS[want]}; --columns ours=theirs names what is called otherwise",
    )


def _ranking_of(pair: Comparison) -> Ranking:
    """A comparison as a ranking of two."""
    sources = ["", ""]
    named = pair.meta.get("sources")  # as `Ranking.comparisons` notes them
    if isinstance(named, list) and len(named) == 2:
        sources = [str(name or "") for name in named]
    completions = (
        Completion(pair.prompt, pair.chosen, finished=pair.chosen_finished, source=sources[0]),
        Completion(pair.prompt, pair.rejected, finished=pair.rejected_finished, source=sources[1]),
    )
    meta: dict[str, Any] = {}
    if pair.margin is not None:
        meta["margin"] = pair.margin
    if "safe" in pair.meta:
        meta["safe"] = pair.meta["safe"]
    if pair.label is not None:
        meta["labels"] = [pair.label]
    ranks = (1, 2)
    if pair.tie:
        ranks = (1, 1)
    elif pair.label is not None and pair.label < 0.5:
        ranks = (2, 1)
    return Ranking(pair.prompt, completions, ranks, str(pair.meta.get("annotator") or ""), meta)


def _shown(prompt: Prompt, completion: str, finished: bool) -> Demonstration:
    """The best completion as a demonstration, unless that would teach to stop halfway or to say nothing."""
    if not finished or not completion.strip():
        raise Useless(EMPTY if finished else "unfinished completion")
    return Demonstration(prompt, completion)
