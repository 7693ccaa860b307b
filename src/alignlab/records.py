"""The typed records that flow between stages, and their JSON form.

Every record has `to_json()` (a plain dict in the field's column names) and a `from_json` that checks what it
reads; `write_jsonl` and `read_jsonl` move whole files. Readers of other people's formats live in
`alignlab.data.formats`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from .errors import DataError
from .text.lines import as_json, read_lines

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")
ROLE_NAMES: dict[
    str, Role
] = {  # what formats of the field and chat APIs call whom; of data files and of requests to the server alike
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "ai": "assistant",
}
TOOL_ROLES = (
    "tool",
    "function",
    "function_call",
    "tool_call",
    "tool_calls",
    "observation",
    "function_response",
    "tool_response",
    "ipython",
)


def role_of(name: Any) -> Role:
    """The role behind the name that a message gives its speaker, however it is capitalized.

    Raises:
        DataError: a tool's turn, which no template here renders, or a name that nobody knows.
    """
    spoken = name.strip().lower() if isinstance(name, str) else None
    if spoken in ROLE_NAMES:
        return ROLE_NAMES[spoken]
    if spoken in TOOL_ROLES:
        raise DataError(
            f"a turn of {spoken!r}: calls of tools and what they return are not rendered",
            remedy="take conversations with tools out, or write what the tool said into a turn of the user",
        )
    raise DataError(f"a turn of {name!r:.40}", remedy=f"roles: {', '.join(ROLE_NAMES)}")


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str

    def to_json(self) -> dict[str, str]:
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the policy is given: messages that end with the user's turn.

    `meta` belongs to the source of the prompt (the town puts its request there) and is carried along
    untouched.
    """

    messages: tuple[Message, ...]
    meta: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def user(text: str, **meta: Any) -> Prompt:
        """A prompt of one user turn."""
        return Prompt((Message("user", text),), meta)

    @property
    def text(self) -> str:
        """The last user turn, for people to read."""
        return self.messages[-1].content if self.messages else ""

    @property
    def id(self) -> str:
        """Sixteen hex digits that depend on the messages alone: the unit by which data is split."""
        joined = "\x1e".join(f"{m.role}\x1f{m.content}" for m in self.messages)
        return hashlib.sha256(joined.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        return {"prompt": [m.to_json() for m in self.messages]} | (
            {"meta": dict(self.meta)} if self.meta else {}
        )

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Prompt:
        return Prompt(messages_from_json(row["prompt"]), row.get("meta") or {})


def messages_from_json(value: Any) -> tuple[Message, ...]:
    """Messages from a list of `{"role", "content"}`, or from a string, which becomes one user turn."""
    if isinstance(value, str):
        return (Message("user", value),)
    if not isinstance(value, list):
        raise DataError(f"a prompt must be a string or a list of messages, not {type(value).__name__}")
    messages = []
    for item in value:
        role, content = (item.get("role"), item.get("content")) if isinstance(item, Mapping) else (None, None)
        if not isinstance(role, str) or not isinstance(content, str):
            raise DataError(
                f"a message needs a role ({', '.join(ROLES)}) and a text content, not {item!r:.80}"
            )
        messages.append(Message(role_of(role), content))
    return tuple(messages)


@dataclass(frozen=True, slots=True)
class Text:
    """A document for language modelling."""

    text: str
    meta: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text} | ({"meta": dict(self.meta)} if self.meta else {})

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Text:
        return Text(row["text"], row.get("meta") or {})


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A prompt and the answer somebody showed."""

    prompt: Prompt
    completion: str
    meta: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        row = self.prompt.to_json() | {"completion": self.completion}
        return row | ({"completion_meta": dict(self.meta)} if self.meta else {})

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Demonstration:
        return Demonstration(
            Prompt.from_json(row), _completion_text(row["completion"]), row.get("completion_meta") or {}
        )


@dataclass(frozen=True, slots=True)
class Completion:
    """What a policy wrote.

    Attributes:
        ids: the sampled token ids, with the end token where the policy wrote one; empty if the text came from
            elsewhere.
        logprobs: log-probability of each id under the distribution it was drawn from (temperature, top-p
            included).
        finished: the policy wrote its own end token. A completion cut at the limit is not finished.
        source: who wrote it (a model, a demonstrator), for reports.
        blocked: the defence that put its own words in the place of the model's; empty = nobody did.
        prompt_ids: what the model had read when it wrote, by samplers in this process; in no file.
    """

    prompt: Prompt
    text: str
    ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    finished: bool = True
    source: str = ""
    blocked: str = ""
    prompt_ids: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        row = self.prompt.to_json() | {"completion": self.text, "finished": self.finished}
        return (
            row
            | ({"source": self.source} if self.source else {})
            | ({"blocked": self.blocked} if self.blocked else {})
        )

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Completion:
        return Completion(
            Prompt.from_json(row),
            _completion_text(row["completion"]),
            finished=row.get("finished", True),
            source=row.get("source", ""),
            blocked=row.get("blocked", ""),
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two completions of one prompt; `chosen` was preferred. `tie` says that neither was.

    Attributes:
        label: the probability that `chosen` is the better one, from 0 to 1 (a soft label, as an AI judge
            gives it); None is certainty, 1.
    """

    prompt: Prompt
    chosen: str
    rejected: str
    margin: float | None = None
    tie: bool = False
    chosen_finished: bool = True
    rejected_finished: bool = True
    meta: Mapping[str, Any] = field(default_factory=dict)
    label: float | None = None

    def __post_init__(self) -> None:
        if self.label is not None:
            check_label(self.label)

    @property
    def favoured(self) -> Comparison:
        """The comparison as whoever takes a label for certain has to read it: the favoured completion chosen,
        no soft label; at one half, a tie.
        """
        if self.label is None:
            return self
        sure = replace(self, label=None, tie=self.tie or self.label == 0.5)
        if self.label >= 0.5:
            return sure
        return replace(
            sure,
            chosen=self.rejected,
            rejected=self.chosen,
            chosen_finished=self.rejected_finished,
            rejected_finished=self.chosen_finished,
        )

    def to_json(self) -> dict[str, Any]:
        row = self.prompt.to_json() | {"chosen": self.chosen, "rejected": self.rejected}
        if self.label is not None:
            row["label"] = self.label
        if self.margin is not None:
            row["margin"] = self.margin
        if self.tie:
            row["tie"] = True
        if not self.chosen_finished:
            row["chosen_finished"] = False
        if not self.rejected_finished:
            row["rejected_finished"] = False
        return row | ({"comparison_meta": dict(self.meta)} if self.meta else {})

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Comparison:
        return Comparison(
            Prompt.from_json(row),
            _completion_text(row["chosen"]),
            _completion_text(row["rejected"]),
            row.get("margin"),
            row.get("tie", False),
            row.get("chosen_finished", True),
            row.get("rejected_finished", True),
            row.get("comparison_meta") or {},
            row.get("label"),
        )


def check_label(value: Any) -> float:
    """A soft label: a probability from 0 to 1. Raises DataError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:  # NaN is neither
        raise DataError(
            f"a soft label is a probability from 0 to 1, not {value!r:.60}",
            remedy=(
                "the probability that `chosen` is the better one; name a `label` column that means "
                "something else otherwise"
            ),
        )
    return float(value)


MOST_RANKED = 256  # completions of one ranking: its pairs go by their square
PER_COMPLETION = ("utilities", "scores", "safe", "safer")
"""Lists in a ranking's meta with one entry a completion: a simulated annotator's utilities; the scores it was ranked by; whether it is safe (true,
false, null); its rank by harm alone, where the ranks are by something else."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """K completions of one prompt with their ranks: 1 is best, equal ranks are ties.

    All K(K-1)/2 pairs of a ranking stay in one batch element of the reward model (InstructGPT, section 3.5).

    `meta["labels"]`, where it is there, holds a soft label for each pair: the probability that completion i
    is better than completion j, for (0, 1), (0, 2), ..., (1, 2), ...; see `label`.
    """

    prompt: Prompt
    completions: tuple[Completion, ...]
    ranks: tuple[int, ...]
    annotator: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.completions) != len(self.ranks):
            raise DataError(f"a ranking of {len(self.completions)} completions has {len(self.ranks)} ranks")
        if len(self.completions) > MOST_RANKED:
            raise DataError(
                (
                    f"a ranking of {len(self.completions):,} completions has "
                    f"{len(self.completions) * (len(self.completions) - 1) // 2:,} pairs"
                ),
                remedy=(
                    f"at most {MOST_RANKED} completions of one prompt: keep the best and the worst, or some "
                    "drawn at random"
                ),
            )
        if (labels := self.meta.get("labels")) is not None:
            k = len(self.ranks)
            if not isinstance(labels, list | tuple) or len(labels) != k * (k - 1) // 2:
                raise DataError(
                    f"a ranking of {k} completions has {k * (k - 1) // 2} pairs, and its soft labels "
                    f"are {labels!r:.60}"
                )
            for value in labels:
                check_label(value)

    def label(self, i: int, j: int) -> float | None:
        """The soft label of a pair: the probability that completion i is better than completion j. None where
        the ranks are all there is.
        """
        labels = self.meta.get("labels")
        if labels is None:
            return None
        low, high = min(i, j), max(i, j)
        value = float(labels[low * (2 * len(self.ranks) - low - 1) // 2 + high - low - 1])
        return value if i < j else 1 - value

    def only(self, places: Sequence[int]) -> Ranking:
        """The ranking of some of its completions; what `meta` says of each completion (`PER_COMPLETION`) goes
        along.
        """
        meta = {
            name: [value[i] for i in places] if name in PER_COMPLETION else value
            for name, value in self.meta.items()
        }
        if "labels" in meta:
            meta["labels"] = [self.label(i, j) for n, i in enumerate(places) for j in places[n + 1 :]]
        return Ranking(
            self.prompt,
            tuple(self.completions[i] for i in places),
            tuple(self.ranks[i] for i in places),
            self.annotator,
            meta,
        )

    def comparisons(self, *, ties: bool = False) -> list[Comparison]:
        """All pairs whose ranks differ, better one first, with their soft labels; with `ties` the equal ones
        too.
        """
        pairs = []
        for i, first in enumerate(self.completions):
            for j in range(i + 1, len(self.completions)):
                second = self.completions[j]
                tie = self.ranks[i] == self.ranks[j]
                if (tie and not ties) or first.text == second.text:
                    continue
                (good, label), bad = (
                    ((first, self.label(i, j)), second)
                    if self.ranks[i] <= self.ranks[j]
                    else ((second, self.label(j, i)), first)
                )
                pairs.append(
                    Comparison(
                        self.prompt,
                        good.text,
                        bad.text,
                        None,
                        tie,
                        good.finished,
                        bad.finished,
                        {"annotator": self.annotator, "sources": [good.source, bad.source]},
                        label,
                    )
                )
        return pairs

    def unpaired(self) -> list[Unpaired]:
        """Each completion by itself: liked if it beats more of the others than beat it, disliked if fewer,
        left out if as many.

        Without ties that is the better half, the worse half, and of an odd number the middle one. A soft
        label counts for whom it favours.
        """
        found, places = [], range(len(self.ranks))
        for i, completion in enumerate(self.completions):
            wins = [
                (self.label(i, j) or 0.0, 0.5) if "labels" in self.meta else (self.ranks[j], self.ranks[i])
                for j in places
                if j != i
            ]
            ahead = sum((a > b) - (a < b) for a, b in wins)
            if ahead:
                found.append(Unpaired(self.prompt, completion.text, ahead > 0, completion.finished))
        return found

    def to_json(self) -> dict[str, Any]:
        row = self.prompt.to_json() | {
            "completions": [c.text for c in self.completions],
            "ranks": list(self.ranks),
            "finished": [c.finished for c in self.completions],
            "sources": [c.source for c in self.completions],
        }
        if self.annotator:
            row["annotator"] = self.annotator
        return row | ({"ranking_meta": dict(self.meta)} if self.meta else {})

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Ranking:
        prompt = Prompt.from_json(row)
        texts = [_completion_text(c) for c in row["completions"]]
        finished = row.get("finished") or [True] * len(texts)
        sources = row.get("sources") or [""] * len(texts)
        if row.get("ranks") is not None:
            ranks = [int(r) for r in row["ranks"]]
        else:
            ranks = ranks_from_scores(row["scores"])
        completions = tuple(
            Completion(prompt, text, finished=f, source=s)
            for text, f, s in zip(texts, finished, sources, strict=True)
        )
        return Ranking(
            prompt, completions, tuple(ranks), row.get("annotator", ""), row.get("ranking_meta") or {}
        )


def pairs_of(ranks: Sequence[int]) -> tuple[list[int], list[int]]:
    """Indices (better, worse) of all pairs whose ranks differ."""
    pairs = [(i, j) for i in range(len(ranks)) for j in range(len(ranks)) if ranks[i] < ranks[j]]
    return [i for i, _ in pairs], [j for _, j in pairs]


def ties_of(ranks: Sequence[int]) -> list[tuple[int, int]]:
    """Indices of all pairs whose ranks are equal."""
    return [(i, j) for i in range(len(ranks)) for j in range(i + 1, len(ranks)) if ranks[i] == ranks[j]]


def ranks_from_scores(scores: Sequence[float]) -> list[int]:
    """Ranks from scores: the highest score gets rank 1, equal scores share a rank."""
    return [1 + sum(other > score for other in scores) for score in scores]


@dataclass(frozen=True, slots=True)
class Unpaired:
    """A completion that was liked or not (KTO's format)."""

    prompt: Prompt
    completion: str
    label: bool
    finished: bool = True

    def to_json(self) -> dict[str, Any]:
        row = self.prompt.to_json() | {"completion": self.completion, "label": self.label}
        return row if self.finished else row | {"finished": False}

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Unpaired:
        return Unpaired(
            Prompt.from_json(row),
            _completion_text(row["completion"]),
            bool(row["label"]),
            row.get("finished", True),
        )


@dataclass(frozen=True, slots=True)
class Score:
    """A judge's raw output: one value, its parts by name, and the reason in words."""

    value: float
    parts: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"value": self.value, "parts": dict(self.parts), "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Round:
    """One critique and revision: the principle that was drawn (its id), the seed it was drawn by, what the
    critic said, and the answer after it.

    A critique that finds nothing wrong (`fired` false) leaves the answer as it was.
    """

    principle: str
    seed: int
    critique: str
    fired: bool
    revision: str


@dataclass(frozen=True, slots=True)
class Chain:
    """A prompt, a draft, and what critiques and revisions made of it (Bai et al. 2022, section 3.1).

    Attributes:
        dropped: why it is not learned from; empty for one that is.
        constitution: digest of the constitution that the principles are from.
        seed: of the run; every draw follows from it and the place of the prompt.
    """

    prompt: Prompt
    draft: str
    rounds: tuple[Round, ...] = ()
    dropped: str = ""
    author: str = ""
    critic: str = ""
    constitution: str = ""
    seed: int = 0

    @property
    def text(self) -> str:
        """The answer after the last round."""
        return self.rounds[-1].revision if self.rounds else self.draft

    @property
    def fired(self) -> bool:
        """Whether any critique found something wrong."""
        return any(one.fired for one in self.rounds)

    def to_json(self) -> dict[str, Any]:
        row = self.prompt.to_json() | {
            "draft": self.draft,
            "rounds": [{name: getattr(one, name) for name in Round.__slots__} for one in self.rounds],
            "kept": not self.dropped,
        }
        return (
            row
            | ({"dropped": self.dropped} if self.dropped else {})
            | {name: getattr(self, name) for name in ("author", "critic", "constitution", "seed")}
        )

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Chain:
        rounds = tuple(
            Round(
                str(one["principle"]),
                int(one["seed"]),
                str(one["critique"]),
                bool(one["fired"]),
                str(one["revision"]),
            )
            for one in row["rounds"]
        )
        return Chain(
            Prompt.from_json(row),
            str(row["draft"]),
            rounds,
            str(row.get("dropped", "")),
            str(row["author"]),
            str(row["critic"]),
            str(row["constitution"]),
            int(row["seed"]),
        )


Record = Prompt | Text | Demonstration | Completion | Comparison | Ranking | Unpaired


def _completion_text(value: Any) -> str:
    """A completion as text: TRL allows a string or a list with one assistant message."""
    if isinstance(value, str):
        return value
    if (
        isinstance(value, list)
        and len(value) == 1
        and isinstance(value[0], Mapping)
        and value[0].get("role") == "assistant"
    ):
        return str(value[0]["content"])
    raise DataError(f"a completion must be a string or one assistant message, not {value!r:.80}")


def write_jsonl(path: str | os.PathLike[str], records: Iterable[Record | Chain]) -> str:
    """Write records one a line, whole or not at all; returns the SHA-256 of the file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(path.name + ".partial")
    digest = hashlib.sha256()
    with open(staging, "wb") as file:
        for record in records:
            line = as_json(record.to_json()) + b"\n"
            digest.update(line)
            file.write(line)
        file.flush()
        os.fsync(file.fileno())
    os.replace(staging, path)
    return digest.hexdigest()


def read_jsonl(path: str | os.PathLike[str], kind: type[Any]) -> list[Any]:
    """Read our own records back; a bad line is a `DataError` with file and row."""
    records: list[Any] = []
    for number, row in read_lines(path):
        try:
            records.append(kind.from_json(row))
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, DataError) as error:
            raise DataError(
                f"not a {kind.__name__}: {getattr(error, 'what', error)}",
                where=f"{path}:{number}",
                remedy="run `alignlab doctor` on the file",
            ) from error
    return records
