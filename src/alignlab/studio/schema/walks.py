"""What constitutions did: drafts that were criticised and revised, principles left out, labels that turn."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .parts import Id, Part
from .runs import Figure, RunRef
from .samples import Said


class BeforeAfter(Part):
    """A figure of drafts, and of the last revisions."""

    drafts: Figure | None
    revisions: Figure | None


class WalkRow(Part):
    """A walk, or a run of `constitution revise`. `digest` is of the constitution that it went by; `harm`:
    help with harm, `refused`: refusals of what is harmless, where a judge knows.
    """

    id: Id
    kind: Literal["walk", "revise"]
    name: str
    constitution: str
    digest: str
    author: str
    critic: str
    changed_at: float
    fired: Figure | None
    changed: Figure | None
    harm: BeforeAfter | None
    refused: BeforeAfter | None


class Left(Part):
    """A principle left out: how many labels flip, how much accuracy is lost; how often it fires, and how
    often alone.
    """

    principle: str
    flips: Figure | None
    lost: Figure | None
    fires: Figure | None
    fires_alone: Figure | None


class Ablation(Part):
    run: RunRef
    digest: str
    principles: list[Left]


class Turned(Part):
    """A pair whose label changed sides: P(first preferred) under the one and under the other."""

    prompt: list[Said]
    first: str
    second: str
    before: float | None
    after: float | None


class Versions(Part):
    """A run of `constitution diff`: two constitutions on the same pairs."""

    run: RunRef
    a: str
    b: str
    digests: tuple[str, str]
    flips: Figure | None
    moved: Figure | None
    added: list[str]
    removed: list[str]
    reworded: list[str]
    turned: list[Turned]


class Walks(Part):
    """All of the folder, newest first."""

    rows: list[WalkRow]
    ablations: list[Ablation]
    versions: list[Versions]


class Round(Part):
    """One critique under one principle; `fired`: it found something."""

    principle: str
    critique: str
    fired: bool
    revision: str


class Walked(Part):
    """A prompt, its draft, and what became of it; `dropped`: why it is not learnt from. `gold` of draft and
    revision is null where no judge knew."""

    prompt: list[Said]
    draft: str
    rounds: list[Round]
    revision: str
    fired: bool
    dropped: str
    gold: tuple[float | None, float | None]
    reasons: tuple[str, str]
    cut: bool


class Walk(WalkRow):
    rows: list[Walked] = Field(description="the first of them")
    of: int


class WalkAsked(Part):
    id: Id
