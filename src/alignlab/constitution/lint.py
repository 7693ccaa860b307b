"""What is wrong with a constitution: what a model cannot be asked with, and what would teach it nothing or
two things at once.

Errors (a constitution that has one is not loaded): an id that stands twice, a text that breaks the frame it
    is put into, an example of a principle that is not there.

Warnings: duplicate (two principles say nearly the same), conflicting (what one asks for the other forbids),
    vacuous (it names nothing that an answer
could do or leave out), untagged, and, given chains of critiques and revisions, never-firing (often asked, and
no draft was found to break it).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from ..text.near_duplicates import near_duplicates
from .principles import ABOUT, Constitution, Principle
from .quoting import breaks_frame

ID = re.compile(r"[\w.-]{1,100}")
COMMON = 40  # a word that so many principles share says little of what any two have in common
SHARED = 0.7  # of the words of either of two principles, for a conflict
ASKED = 20  # times, before a principle that never fired is said to never fire


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: its kind, the principles it is about, and what to do; `field` of the first of
    them, where it is one's.
    """

    kind: str
    severity: Literal["error", "warning"]
    ids: tuple[str, ...]
    text: str
    field: str = ""

    def to_json(self) -> dict[str, Any]:
        row = {"kind": self.kind, "severity": self.severity, "ids": list(self.ids), "text": self.text}
        return row | ({"field": self.field} if self.field else {})


def errors(constitution: Constitution) -> list[Finding]:
    """What makes a constitution unusable, in the order of its principles."""
    findings: list[Finding] = []

    def error(kind: str, id: str, text: str, field: str = "") -> None:
        findings.append(Finding(kind, "error", (id,), text, field))

    seen: dict[str, int] = {}
    for place, p in enumerate(constitution.principles):
        if p.id in seen:
            error("duplicate id", p.id, f"principles {seen[p.id] + 1} and {place + 1} have the same id", "id")
        seen.setdefault(p.id, place)
        if not ID.fullmatch(p.id):
            error("id", p.id, "an id is up to 100 letters, digits, dots, dashes and underscores", "id")
        for field in ("critique", "revise", "compare"):
            if broken := breaks_frame(getattr(p, field)):
                error("breaks the template", p.id, f"{field}: {broken}", field)
    exemplars = []
    for p in constitution.principles:
        exemplars += [(p.id, e) for e in p.exemplars]
    exemplars += [(e.principle, e) for e in constitution.exemplars]
    for id, e in exemplars:
        for field in ("prompt", "draft", "critique", "revision"):
            if broken := breaks_frame(getattr(e, field), lines=True):
                error("breaks the template", id, f"{field} of an example: {broken}")
        if e.principle and e.principle not in seen:
            error("example", e.principle, "an example names a principle that is not there")
    return findings


def lint(constitution: Constitution, fired: Mapping[str, tuple[int, int]] | None = None) -> list[Finding]:
    """Errors, then warnings.

    Args:
        fired: for each principle how often drafts were looked at by it, and how often it was found broken
            (`firing`).
    """
    principles = constitution.principles
    findings = [*errors(constitution), *_vacuous(principles), *_duplicates(principles)]
    findings += [*_conflicts(principles), *_tags(constitution)]
    if fired is not None:
        findings += _never_firing(principles, fired)
    return findings


def firing(chains: Iterable[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """From the rows of a chains file: for each principle how often it was asked, and how often it fired. Rows
    that are none are passed over.
    """
    asked: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    for chain in chains:
        rounds = chain.get("rounds")
        if not isinstance(rounds, list):
            continue
        for step in rounds:
            if isinstance(step, Mapping) and isinstance(id := step.get("principle"), str):
                asked[id] += 1
                hits[id] += step.get("fired") is True
    return {id: (asked[id], hits[id]) for id in asked}


STOP = frozenset(
    """
    a an the and or but if then than that which who whom whose what when where how why this these those it
    its they them their there is are was were be been being am do does did done doing have has had having
    will would shall should can could may might must of to in on at by for from with without about into as
    so too very also only any anyone anybody some someone somebody one ones you your he him his she her we
    us our i me my all each every reply answer response rewrite revise prefer better choose say which where
    please assistant give gives make makes more less most least fewer
    """.split()
)
"""Words that say how a principle is put, not what it is about."""
VAGUE = frozenset(
    """
    good well bad fine nice right wrong best great better worse proper properly appropriate inappropriate
    suitable quality high excellent ideal correct correctly harmful harmless helpful honest ethical moral
    responsible positive negative acceptable thing things way ways be always never try everything something
    anything possible
    """.split()
)
"""Words that name no particular thing that an answer could do: a principle of these alone leaves the model to
its own taste.
"""
NOT = frozenset(
    (
        "not no never none without avoid avoids don't doesn't cannot nobody nothing nowhere neither nor "
        "less fewer remove removes refrain stop leave"
    ).split()
)
OPPOSITES = {
    "refuse": "help",
    "decline": "help",
    "refuses": "help",
    "declines": "help",
    "short": "long",
    "brief": "long",
    "concise": "long",
    "shorter": "long",
    "detailed": "long",
    "longer": "long",
    "lengthy": "long",
    "hide": "say",
    "conceal": "say",
    "reveal": "say",
    "disclose": "say",
    "casual": "formal",
    "informal": "formal",
    "disagree": "agree",
    "rude": "polite",
    "curt": "polite",
    "uncertain": "certain",
    "impartial": "partial",
    "neutral": "partial",
    "biased": "partial",
}
TURNED = frozenset(
    (
        "refuse decline refuses declines short brief concise shorter hide conceal casual informal disagree "
        "rude curt uncertain impartial neutral"
    ).split()
)
"""Of `OPPOSITES`, the words that mean the contrary of what they stand for."""


def _content(text: str) -> tuple[frozenset[str], int]:
    """The words that say what a text is about, by their stems, and its sign: -1 if it forbids."""
    stems, sign = set(), 1
    for word in re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", text.lower()):
        if word in NOT:
            sign = -sign
        elif word in OPPOSITES:
            stems.add(_stem(OPPOSITES[word]))
            if word in TURNED:
                sign = -sign
        elif word not in STOP:
            stems.add(_stem(word))
    return frozenset(stems), sign


ENDINGS = "ations ation ingly ings ing edly ied ies ed es ly s e".split()


def _stem(word: str) -> str:
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


_VAGUE = frozenset(map(_stem, VAGUE)) | VAGUE


def _vacuous(principles: Sequence[Principle]) -> Iterable[Finding]:
    for p in principles:
        about = frozenset().union(*(_content(text)[0] for text in (p.critique, p.revise, p.compare)))
        if not about - _VAGUE:
            yield Finding(
                "vacuous",
                "warning",
                (p.id,),
                f"it names nothing in particular that an answer could do or leave out: {p.critique!r}",
            )


def _duplicates(principles: Sequence[Principle]) -> Iterable[Finding]:
    texts = [f"{p.critique}\n{p.revise}\n{p.compare}" for p in principles]
    signs = [tuple(_content(text)[1] for text in (p.critique, p.revise, p.compare)) for p in principles]
    for i, j in near_duplicates(texts):
        if signs[i] == signs[j]:  # else they say the contrary in nearly the same words
            yield Finding(
                "duplicate",
                "warning",
                (principles[j].id, principles[i].id),
                "they say nearly the same: it is drawn twice as often as the others",
            )


def _conflicts(principles: Sequence[Principle]) -> Iterable[Finding]:
    """Pairs that are about the same and of contrary sign, in `revise` or in `compare`. Only pairs that share
    a word of their own are looked at.
    """
    seen: set[tuple[int, int]] = set()
    for field in ("revise", "compare"):
        contents = [_content(getattr(p, field)) for p in principles]
        holders: dict[str, list[int]] = defaultdict(list)
        for i, (words, _) in enumerate(contents):
            for word in words - _VAGUE:
                holders[word].append(i)
        for group in holders.values():
            if len(group) > COMMON:
                continue
            for i, j in combinations(group, 2):
                (first, a), (second, b) = contents[i], contents[j]
                if a != b and (i, j) not in seen and len(first & second) >= SHARED * len(first | second):
                    seen.add((i, j))
    for i, j in sorted(seen):
        yield Finding(
            "conflicting",
            "warning",
            (principles[i].id, principles[j].id),
            f"what one asks for the other forbids: {principles[i].revise!r} and {principles[j].revise!r}",
        )


def _tags(constitution: Constitution) -> Iterable[Finding]:
    if untagged := [p.id for p in constitution.principles if not set(p.tags) & set(ABOUT)]:
        few = ", ".join(untagged[:5])
        if len(untagged) > 5:
            few += f" and {len(untagged) - 5} more"
        yield Finding(
            "untagged",
            "warning",
            tuple(untagged),
            f"not tagged {', '.join(ABOUT)}, so that no choice by tag finds them: {few}",
        )


def _never_firing(principles: Sequence[Principle], fired: Mapping[str, tuple[int, int]]) -> Iterable[Finding]:
    for p in principles:
        asked, hits = fired.get(p.id, (0, 0))
        if asked >= ASKED and hits == 0:
            yield Finding(
                "never firing",
                "warning",
                (p.id,),
                (
                    f"asked {asked} times, and no draft broke it: these prompts do not need it, or the "
                    "critic does not understand it"
                ),
            )
        elif asked == 0:
            yield Finding(
                "never asked", "warning", (p.id,), "no chain was drawn for it: other tags, or too few chains"
            )
