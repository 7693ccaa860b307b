"""Constitutions: those that are shipped, those of the folder, and what lint says of a text."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .parts import Part

MOST_TEXT = 50_000  # characters of a constitution
ConstitutionName = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,47}$", description="a shipped one's, or of a file NAME.toml")
]
ConstitutionText = Annotated[str, Field(max_length=MOST_TEXT, description="TOML")]


class ConstitutionRow(Part):
    """`digest` is what records carry; empty, with a `problem`, where the text cannot be used."""

    name: str
    shipped: bool = Field(description="it comes with the package and is not written to")
    title: str
    version: str
    digest: str
    principles: int
    problem: str


class Constitutions(Part):
    """`folder`: where those that are not shipped lie."""

    rows: list[ConstitutionRow]
    folder: str


class LintFinding(Part):
    """One thing that is wrong; `principle` is the place of the first of `ids`, from 0, and `line` of the text
    is where its `field` begins, or it does; null where that is not known."""

    kind: str
    severity: Literal["error", "warning"]
    ids: list[str]
    text: str
    principle: int | None
    field: str
    line: int | None


class PrincipleText(Part):
    """`lines`: of each field the first and last line in the text, from 1; empty where it is written in a way
    that only the text as a whole can be edited."""

    id: str
    critique: str
    revise: str
    compare: str
    tags: list[str]
    exemplars: int
    lines: dict[str, tuple[int, int]]


class Linted(Part):
    title: str
    version: str
    digest: str
    principles: list[PrincipleText]
    findings: list[LintFinding]


class Constitution(Linted):
    """A constitution as it stands in its file; `etag` is of the very text: `If-Match` of whoever writes."""

    name: str
    shipped: bool
    text: str
    etag: str
    command: str = Field(description="to copy: the recipe with this constitution")


class ConstitutionAsked(Part):
    name: ConstitutionName


class ConstitutionGiven(ConstitutionAsked):
    text: ConstitutionText


class LintAsked(Part):
    text: ConstitutionText
