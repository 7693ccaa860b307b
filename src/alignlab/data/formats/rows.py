"""A row and its columns: names in any spelling, which of them were read, and which hold text that nobody
read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ...errors import DataError
from .values import flag, is_nan, plain

PROMPTS = ("prompt", "question", "query", "instruction")
PROMPTS_BESIDE = (
    *PROMPTS,
    "input",
    "user",
    "post",
    "context",
    "history",
)  # what is a prompt only beside an answer
COMPLETIONS = ("completion", "response", "answer", "output", "assistant")
COMPLETION_LISTS = ("completions", "responses", "generations", "answers")
CHATS = ("messages", "conversations", "conversation")
SCORE_LISTS = ("scores", "ratings")
SYSTEMS = ("system", "system_prompt", "system_message", "system_instruction")
INPUTS = ("input", "context")  # what the text of a question is about
HISTORIES = ("history", "chat_history", "conversation_history")
LABEL_COLUMNS = ("label", "kto_tag")
UNSHOWN = (
    "tools",
    "functions",
    "image",
    "images",
    "audio",
    "audios",
    "video",
    "videos",
)  # parts of a prompt that are not rendered here
TEXTS = {
    *PROMPTS_BESIDE,
    *COMPLETIONS,
    *SYSTEMS,
    *HISTORIES,
    *UNSHOWN,
    "chosen",
    "rejected",
}  # where NaN says that a cell is empty
NAN = ("nan", "NaN", "<NA>")  # how pandas spells it in a text
RENDERED = (
    "text",
    "full_text",
    "formatted",
    "formatted_text",
)  # question and answer in one text, beside them
NOTES = ("meta", "completion_meta", "comparison_meta", "ranking_meta")
MAIN_COLUMNS = {
    *PROMPTS,
    *COMPLETIONS[:4],
    *COMPLETION_LISTS,
    *SCORE_LISTS,
    *CHATS,
    "chosen",
    "rejected",
    "label",
    "ranks",
    "instances",
    "input",
    "text",
}
KNOWN_COLUMNS = {
    *MAIN_COLUMNS,
    *PROMPTS_BESIDE,
    *COMPLETIONS,
    *SYSTEMS,
    *HISTORIES,
    *LABEL_COLUMNS,
    *UNSHOWN,
    *NOTES,
    "margin",
    "tie",
    "finished",
    "chosen_finished",
    "rejected_finished",
    "sources",
    "models",
    "annotator",
    "better_response_id",
    "safer_response_id",
}

ABOUT = re.compile(
    r"(.*_)?(id|ids|idx|index|uuid|guid|key|hash|md5|sha|sha256|url|uri|urls|link|file|filename|path|source|"
    r"sources|origin|dataset|"
    r"subset|split|lang|language|locale|license|licence|model|models|author|annotator|worker|category|"
    r"categories|type|kind|tag|tags|topic|domain|subreddit|task|level|difficulty|status|version|label|labels|date|time|"
    r"timestamp|created|created_at|updated_at|name|role|seed|meta|metadata|info|score|rating|format|blocked|who|"
    r"when)(_[0-9ab])?"
)
"""Names of columns that say where a row is from or what it is filed under."""
NO_TEXT = re.compile(
    r"\W*|[\w.+-]+://\S*|[0-9a-fA-F-]{8,}|\d[\d\s.,:+/TZeE-]*|[+-]?(nan|inf|Infinity|NaN)|[+-.]\d[\d.,eE+-]*"
)
SENTENCE, LONG = 7, 80  # words, and characters where words are not set apart


@lru_cache(4096)
def canonical(name: Any) -> str:
    return re.sub(r"[\s-]+", "_", str(name).strip().lower())


def holds_something(value: Any) -> bool:
    return (
        value is not None
        and not (isinstance(value, str) and not value.strip())
        and value != []
        and value != {}
    )


def columns_of(row: Mapping[str, Any]) -> set[str]:
    """Columns that hold something: Parquet and JSON write null for a column that a row does not have."""
    return {name for name, value in row.items() if value is not None}


def holds_text(name: str, value: Any) -> bool:
    """Whether a column that nobody read holds text, for a person to know of.

    Numbers, flags, addresses, dates and ids are none, nor is what a row is filed under (`ABOUT`), unless that
    runs to a sentence.
    """
    about = ABOUT.fullmatch(canonical(name).strip("()")) is not None
    if isinstance(value, str):
        if NO_TEXT.fullmatch(value.strip()) or flag(value) is not None:
            return False
        return not about or len(value.split(maxsplit=SENTENCE)) >= SENTENCE or len(value) >= LONG
    if not isinstance(value, Mapping | list):
        return False
    if (
        not about
        and isinstance(value, Mapping)
        and any(isinstance(said := value.get(name), str) and said.strip() for name in ("content", "value"))
    ):
        return True  # a message
    inner = value.values() if isinstance(value, Mapping) else value
    return any(holds_text(name if about else "", item) for item in inner)


def _texts_in(value: Any) -> Iterator[str]:
    """Every text in a value; of messages, what they say."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        said = [value[name] for name in ("content", "value") if name in value]
        for inner in said or value.values():
            yield from _texts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts_in(inner)


class Tracked(Mapping[str, Any]):
    """A row that remembers which of its columns were asked for."""

    def __init__(self, columns: Mapping[str, Any]) -> None:
        self.columns = dict(columns)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        value = self.columns[name]
        self.read.add(name)
        return value

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def unread(self) -> dict[str, Any]:
        """Columns that hold something and were not asked for."""
        return {
            name: value
            for name, value in self.columns.items()
            if name not in self.read and holds_something(value)
        }


class Row(Tracked):
    """A row by the names that readers know its columns by, whatever their capitals, with what is to be said
    of how it was read.

    Attributes:
        prompt_only: nothing of the row is to be learnt: marks that say so mean nothing.
        without: columns that the user said are not here (`--columns prompt=`).
        has: columns that are not null.
        notes_on_prompt: what goes on the prompt as `Prompt.meta`.
        of_prompt: columns that the prompt was read from; the others go onto it where prompts are all that is
            wanted.
        instead: column that was not read -> the one that was taken in its place.
        parts: fields with text inside columns that were read, as `messages[].name`, and nobody read.
        remarks: what else is counted in the load report.
    """

    def __init__(self, columns: Mapping[str, Any], *, without: frozenset[str] = frozenset()) -> None:
        spelled: dict[str, str] = {}
        for name in columns:
            known = canonical(name)
            if (
                name not in KNOWN_COLUMNS
                and known in KNOWN_COLUMNS - without
                and known not in columns
                and known not in spelled.values()
            ):
                spelled[name] = known
        super().__init__({spelled.get(name, name): value for name, value in columns.items()})
        self.columns.update(
            {
                name: ""
                for name in TEXTS & self.columns.keys()
                if is_nan(value := self.columns[name]) or (isinstance(value, str) and value in NAN)
            }
        )
        self.spelling = {known: name for name, known in spelled.items()}
        self.prompt_only = False
        self.without = without
        self.has = columns_of(self.columns)
        self.notes_on_prompt: dict[str, Any] = self.noted("meta")
        self.of_prompt: set[str] = set()
        self.instead: dict[str, str] = {}
        self.parts: set[str] = set()
        self.remarks: list[str] = []

    def first(self, names: Sequence[str], *, filled: bool = False) -> str:
        """The first of the names that is a column here (with `filled`, one that holds something), or the
        empty string.

        The others are noted as columns in whose place it was taken.
        """
        there = [
            name
            for name in names
            if name in self.has and not (filled and not holds_something(self.columns[name]))
        ]
        self.instead.update({name: there[0] for name in there[1:]})
        return there[0] if there else ""

    def noted(self, column: str) -> dict[str, Any]:
        """What the row's source noted, as our own files keep it; nothing if the column is something else."""
        value = self.columns.get(column)
        if not isinstance(value, Mapping):
            return {}
        self.read.add(column)
        return plain(value)

    def pass_over(self, names: Sequence[str]) -> None:
        """Columns that are not wanted, and are known: nobody needs to be told of them."""
        self.read.update(names)

    def left_in(
        self, column: str, item: Mapping[str, Any], used: Sequence[str], *, marks: bool = False
    ) -> None:
        """Note the fields of an object in a column that hold text and were not used.

        With `marks` also numbers and flags: on a message they may say what is to be learnt.
        """
        self.parts.update(
            f"{column}[].{name}"
            for name, value in item.items()
            if name not in used
            and holds_something(value)
            and (
                holds_text("", value)
                or (marks and not ABOUT.fullmatch(canonical(name)) and not isinstance(value, str))
            )
        )

    def unread_text(self) -> str:
        """A column with text that may be the prompt of chosen and rejected, or the empty string."""
        if "prompt" in self.without:
            return ""
        return next(
            (
                name
                for name, value in self.unread().items()
                if name not in (*SYSTEMS, *HISTORIES) and holds_text(name, value)
            ),
            "",
        )

    def not_read(
        self, read: Sequence[str] = (), shown_as: Sequence[str] = ()
    ) -> tuple[dict[str, str], list[str]]:
        """Columns with text that were not read, each with the column taken in its place or ""; and those that
        hold no text.

        A column that says again what was read is neither: all its texts are among `read`, or sentences in one
        of them, or it is the text that a template made of question and answer (`RENDERED`) and holds every
        line of `shown_as`.
        """
        texts, others = dict.fromkeys(sorted(self.parts), ""), []
        said = {text.strip() for text in read}

        def again(name: str, text: str) -> bool:
            return (
                text in said
                or (len(text.split(maxsplit=3)) > 3 and any(text in one for one in said))
                or (name in RENDERED and bool(shown_as) and all(line in text for line in shown_as))
            )

        for name, value in self.unread().items():
            here = list(_texts_in(value))
            if here and all(again(name, text.strip()) for text in here):
                continue
            shown = self.spelling.get(name, name)
            if holds_text(name, value) or (name in self.instead and not ABOUT.fullmatch(name)):
                texts[shown] = self.instead.get(name, "")
            else:
                others.append(shown)
        return texts, others

    def keep_rest(self) -> None:
        """Put the columns that the prompt was not read from onto it: `meta["columns"]`, where a scorer finds
        a reference answer.
        """
        rest = {
            self.spelling.get(name, name): plain(value)
            for name, value in self.columns.items()
            if name not in self.of_prompt and name not in NOTES and holds_something(value)
        }
        if rest:
            self.notes_on_prompt["columns"] = {**self.notes_on_prompt.get("columns", {}), **rest}


def refuse_unshown(row: Row) -> None:
    """Raises DataError for a row whose prompt has a part that no template here renders."""
    for name in UNSHOWN:
        if holds_something(row.columns.get(name)) and row.columns[name] != "[]":
            raise DataError(
                f"{name} is a part of the prompt that is not rendered: alignlab reads text only",
                remedy=f"take such rows out, or --columns {name}= to go on without it",
            )
