"""Talking to models: who there is to talk to, what is asked, what comes while it is written."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .parts import Id, Key, Part
from .runs import RunAsked

MOST_TURNS = 81  # messages of a conversation: forty answers and a question
LONGEST_SAID = 8000  # characters of one

Side = Literal[0, 1]
"""Left and right."""


class ModelRow(Part):
    """A model to talk to: a finished run's, or a base model that ships (`base`: it was taught to go on with
    texts, not to answer). `bytes` are its weights on the disk, `memory` what its process holds while it is
    loaded, where the system says so."""

    id: Id
    name: str
    group: str
    stage: str
    bytes: int
    base: bool
    loaded: bool
    memory: int | None


class RewardRow(Part):
    """A reward model of a finished run."""

    id: Id
    name: str
    group: str


class TaskToVote(Part):
    """An open task that asks which of two answers is better."""

    id: Key
    name: str


class Models(Part):
    rows: list[ModelRow]
    rewards: list[RewardRow] = Field(description="that can score what is answered")
    at_once: int = Field(description="models that are loaded at a time; the one asked longest ago makes room")
    most_tokens: int = Field(description="of an answer")
    defences: list[str]
    tasks: list[TaskToVote] = Field(description="of which a blind choice can be a vote")


class TalkMessage(Part):
    role: Literal["user", "assistant"]
    content: str = Field(max_length=LONGEST_SAID)


class TalkAsked(Part):
    """A question to one model, or to two side by side, each with its own conversation so far."""

    models: list[Id] = Field(min_length=1, max_length=2)
    messages: list[Annotated[list[TalkMessage], Field(min_length=1, max_length=MOST_TURNS)]] = Field(
        min_length=1,
        max_length=2,
        description="of each side, as it is seen: the user and the model in turn, the question last",
    )
    defences: list[Annotated[str, Field(max_length=40)]] = Field([], max_length=5)
    temperature: float = Field(0.7, ge=0, le=2)
    seed: int = Field(0, ge=0, lt=2**53)
    n: int = Field(
        0,
        ge=0,
        lt=10_000,
        description="answers asked for before in this conversation: each has draws of its own",
    )
    blind: bool = Field(False, description="the studio draws who stands left; names come with the choice")
    drawn: Key | None = Field(None, description="`drawn` of the answer before: the sides stay as they are")
    reward: Id | None = Field(None, description="a reward model that scores each answer")


class TalkBegin(Part):
    """`names` of the sides, none while they are blind; `command` asks the same on a terminal, but for the
    questions, where that can be done."""

    event: Literal["begin"] = "begin"
    names: list[str]
    drawn: Key | None
    command: str


class TalkForgot(Part):
    """The oldest turns, so many of them, did not fit beside the answer."""

    event: Literal["forgot"] = "forgot"
    side: Side
    turns: int


class Likely(Part):
    text: str
    logprob: float


class TalkToken(Part):
    """`text` is its piece of the answer, empty for what is not shown, as the end; `name` is its name;
    `top` are the likeliest in its place."""

    text: str
    name: str
    logprob: float | None
    top: list[Likely]


class TalkPiece(Part):
    event: Literal["piece"] = "piece"
    side: Side
    text: str
    tokens: list[TalkToken]


class TalkVerdict(Part):
    """What the town's gold judge says of an answer, where it knows the question; and what the reward model
    that was asked for does (`score`, in deviations from its mean), or why it says nothing (`unscored`)."""

    event: Literal["verdict"] = "verdict"
    side: Side
    gold: float | None
    reason: str
    score: float | None = None
    unscored: str = ""


class TalkFailed(Part):
    """One side could not be written, or not to its end."""

    event: Literal["failed"] = "failed"
    side: Side
    what: str
    remedy: str


class TalkEnd(Part):
    """One side is over; `finished`: the model ended it, and it was not cut."""

    event: Literal["end"] = "end"
    side: Side
    finished: bool


class TalkEvent(Part):
    """One line of `data:`; the stream is over when every side has ended or failed."""

    data: TalkBegin | TalkForgot | TalkPiece | TalkVerdict | TalkFailed | TalkEnd = Field(
        discriminator="event"
    )


class TalkChoice(Part):
    drawn: Key
    choice: Literal["left", "right", "tie"]
    task: Key | None = Field(None, description="of which the choice is a vote; without it nothing is kept")


class TalkChosen(Part):
    """Who stood where."""

    names: list[str]
    models: list[Id]
    voted: bool
    verdicts: list[TalkVerdict]


class TokensWanted(RunAsked):
    """`against`: another model whose log-probabilities stand beside those of the run's own (`ref`)."""

    row: int = Field(ge=0)
    against: Id | None = None
