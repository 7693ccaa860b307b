"""What is answered to a prompt: demonstrations, completions, their scores, chains of revisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import DataError
from .prompts import Prompt, filled


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A prompt and the answer somebody showed."""

    prompt: Prompt
    completion: str
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rejected(self) -> str:
        """Why it is not learned from; empty for one that is."""
        return self.meta.get("rejected", "")

    def to_json(self) -> dict[str, Any]:
        row = self.prompt.to_json() | {"completion": self.completion}
        return row | filled(completion_meta=dict(self.meta))

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Demonstration:
        return Demonstration(
            Prompt.from_json(row), completion_text(row["completion"]), row.get("completion_meta") or {}
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
        return row | filled(source=self.source, blocked=self.blocked)

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Completion:
        return Completion(
            Prompt.from_json(row),
            completion_text(row["completion"]),
            finished=row.get("finished", True),
            source=row.get("source", ""),
            blocked=row.get("blocked", ""),
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
            completion_text(row["completion"]),
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
            "rounds": [asdict(one) for one in self.rounds],
            "kept": not self.dropped,
        }
        writers = {"author": self.author, "critic": self.critic}
        drawn_by = {"constitution": self.constitution, "seed": self.seed}
        return row | filled(dropped=self.dropped) | writers | drawn_by

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


def completion_text(value: Any) -> str:
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
