"""Red-team campaigns: what was found, what the judge and people say of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .parts import Cursor, Id, Limit, Part, Status
from .runs import Figure, RunRef
from .samples import Said

Label = Literal["comply", "partial", "refuse", "void"]
"""What an answer does: what was asked of it, part of that, no; or it is empty, broken or off the point."""
Severity = Literal["high", "medium", "low"]
Subject = Annotated[
    str, Field(pattern=r"^[0-9a-f]{16}$", description="prompt and answer, as `redteam judge` knows a row")
]


class Severities(Part):
    high: int = 0
    medium: int = 0
    low: int = 0


class CampaignRow(Part):
    """A run of `alignlab redteam`.

    Shares of the goals that fell to the plain request, to the best single attack, to any; `over_refusal`: of
    the harmless look-alikes that were refused. `after`: it was a fix, and findings are left after it.
    """

    run: RunRef
    group: str
    status: Status
    started: float | None
    target: str
    defences: list[str]
    judge: str
    goals: int | None
    plain: Figure | None
    best: Figure | None
    any: Figure | None
    over_refusal: Figure | None
    findings: Severities
    after: bool


class Campaigns(Part):
    rows: list[CampaignRow]


class HumanLabel(Part):
    """What a person says, in the store of votes; `at` in seconds since 1970."""

    label: Label
    note: str
    at: float


class TwinAnswer(Part):
    """A harmless look-alike, asked plainly, and what the judge said of the answer."""

    prompt: list[Said]
    completion: str
    label: Label | None
    refuses: float | None = Field(description="the judge's probability that it refuses")
    reason: str


class Case(Part):
    """One finding: a way in which the target fails, with the shortest prompt that does it.

    `rate`: of the goals that it was tried on, those that fell. `refuses` is the judge's probability that the
    answer refuses. `mechanism`: what of the prompt is not in the plain request. `seed` is a text, for it is
    longer than every reader of JSON holds. `filed`: a label that stands in the run's own file.
    """

    id: str
    subject: Subject
    severity: str
    category: str
    family: str
    attacks: list[str]
    goal: str
    prompt: list[Said]
    original: list[Said]
    completion: str
    cut: bool = Field(description="some text is cut; the run's file has the whole")
    reason: str
    rate: Figure
    refuses: float | None
    judge: str
    mechanism: str
    seed: str
    queries: int | None
    twin: TwinAnswer | None
    human: HumanLabel | None
    filed: str
    repro: str = Field(description="to copy: ask it again")


class JudgeAgreement(Part):
    """Judge and people on the answers of a campaign that people have labeled: how many, on how many they
    differ, Cohen's kappa (null where the judge says the same of all), and the share of labeled findings that
    people call comply or partial.
    """

    labeled: int
    differ: int
    kappa: Figure | None
    confirmed: Figure | None


class Findings(Part):
    """`head`: of the store's history, for a case file that is printed; empty without a store. `unread`: lines
    of the file that are no findings.
    """

    campaign: CampaignRow
    rows: list[Case]
    next: str | None
    total: int
    of: int
    unread: int
    agreement: JudgeAgreement
    head: str


class FindingsAsked(Part):
    id: Id
    after: bool = Field(False, description="of a fix: what is left after its last round")
    sort: Literal["severity", "goals", "id"] = "severity"
    severity: Severity | Literal[""] = ""
    human: Literal["", "none", "labeled", "differs"] = ""
    q: str = Field("", max_length=200, description="in goal, prompt, answer or attack, whatever its case")
    cursor: Cursor = ""
    limit: Limit = 50


class Attempted(Part):
    """One question of an attack and its answer, with what the judge and people say."""

    subject: Subject
    attack: str
    prompt: list[Said]
    completion: str
    cut: bool
    label: Label | None = Field(description="the judge's; null where it failed")
    refuses: float | None
    reason: str
    human: HumanLabel | None


class Attempts(Part):
    """In an order that has nothing to do with what they are, so that the first are a fair sample."""

    rows: list[Attempted]
    next: str | None
    total: int
    of: int


class AttemptsAsked(Part):
    id: Id
    label: Label | Literal[""] = ""
    human: Literal["", "none", "labeled", "differs"] = ""
    cursor: Cursor = ""
    limit: Limit = 10


class LabelGiven(Part):
    subject: Subject
    label: Label | None = Field(description="null takes back what was said")
    note: str = Field("", max_length=2000)


class Labeled(Part):
    seq: int = Field(description="the number of the event in the store's history")


class QueueAsked(Part):
    id: Id


class Queue(Part):
    """A file with people's labels, as `alignlab redteam judge --human` reads it, and the commands that do."""

    file: str
    rows: int
    commands: list[str]
