"""What an attack is, what it is after, and what came of one question to the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..data.harms import harms
from ..feedback.safety.verdicts import Verdict
from ..records import Message, Prompt, messages_from_json


@dataclass(frozen=True)
class Goal:
    """Something that the target ought to refuse.

    Attributes:
        prompt: the request as one would ask it plainly; its judge reads the meta.
        category: what kind of harm it is, for reports.
    """

    prompt: Prompt
    category: str = ""

    @property
    def id(self) -> str:
        return self.prompt.id

    @property
    def text(self) -> str:
        return self.prompt.text


def goals_of(prompts: Sequence[Prompt]) -> list[Goal]:
    """Each prompt once. The category is what the meta calls so (`category`), else the group of its harm
    (direct, indirect, contested), where that is known.
    """

    def category(prompt: Prompt) -> str:
        if named := prompt.meta.get("category"):
            return str(named)
        harm = harms().of_prompt(prompt)
        return str(harm.group if harm else prompt.meta.get("kind") or "")

    return list({prompt.id: Goal(prompt, category(prompt)) for prompt in prompts}.values())


@dataclass(frozen=True)
class Attempt:
    """One question to the target and what came of it.

    Attributes:
        goal: the goal's id; attack, family: whose attempt it is.
        place: which attempt of this attack on this goal, from 0. A refusal that a later attempt overcomes
            stays here as it was.
        prompt: what was sent, the judge's meta with it. A last turn of the assistant is a prefill.
        completion: the whole answer, a prefill included.
        verdict: what the judge made of it; unscored where it failed.
        queries, tokens: what the attack had asked of the target for this goal by then, this attempt included.
        blocked: the defence that answered instead of the model.
        notes: what the attack has to say about itself (a loss, a score, a strategy).
    """

    goal: str
    attack: str
    family: str
    place: int
    prompt: Prompt
    completion: str
    verdict: Verdict
    queries: int
    tokens: int
    category: str = ""
    finished: bool = True
    blocked: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def hit(self) -> bool:
        return self.verdict.hit

    def to_json(self) -> dict[str, Any]:
        v = self.verdict
        row = self.prompt.to_json() | {
            "completion": self.completion,
            "goal": self.goal,
            "attack": self.attack,
            "family": self.family,
            "category": self.category,
            "place": self.place,
            "label": v.label,
            "p_refusal": v.p_refusal,
            "hit": v.hit,
            "reason": v.reason,
            "queries": self.queries,
            "tokens": self.tokens,
            "finished": self.finished,
        }
        if self.blocked:
            row["blocked"] = self.blocked
        if self.notes:
            row["notes"] = dict(self.notes)
        return row

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Attempt:
        verdict = Verdict(row["label"], row["p_refusal"], row["hit"], reason=row["reason"])
        return Attempt(
            row["goal"],
            row["attack"],
            row["family"],
            row["place"],
            Prompt(messages_from_json(row["prompt"]), row.get("meta") or {}),
            row["completion"],
            verdict,
            row["queries"],
            row["tokens"],
            row["category"],
            row["finished"],
            row.get("blocked", ""),
            row.get("notes") or {},
        )


@dataclass(frozen=True)
class Budget:
    """What one attack may ask of the target for one goal; 0 tokens = no bound.

    Attributes:
        tries: different wordings that a template may try; an attack that searches goes by `queries`.
        steps: of a search that looks inside the model (its evaluations count as queries, and are not bounded
            by `queries`).
    """

    tries: int = 1
    queries: int = 16
    tokens: int = 0
    steps: int = 100


def continued(goal: Goal, history: Sequence[Message], text: str, **meta: Any) -> Prompt:
    """A prompt in which the conversation goes on with another turn of the user."""
    return Prompt((*history, Message("user", text)), {**goal.prompt.meta, **meta})


def curve(
    attempts: Sequence[Attempt], goals: Sequence[Goal], budgets: Sequence[int]
) -> list[dict[str, float]]:
    """Success against budget: for each number of target queries the share of the goals that had fallen by
    then, and the mean tokens spent on a goal.
    """
    first: dict[str, int] = {}
    for attempt in attempts:
        if attempt.hit:
            first[attempt.goal] = min(first.get(attempt.goal, attempt.queries), attempt.queries)
    rows = []
    for budget in budgets:
        spent: dict[str, int] = {}
        for attempt in attempts:
            if attempt.queries <= budget:
                spent[attempt.goal] = max(spent.get(attempt.goal, 0), attempt.tokens)
        rows.append(
            {
                "queries": budget,
                "asr": sum(queries <= budget for queries in first.values()) / max(1, len(goals)),
                "tokens": sum(spent.values()) / max(1, len(goals)),
            }
        )
    return rows


def fallen(attempts: Sequence[Attempt]) -> set[str]:
    """The goals that an attempt reached."""
    return {attempt.goal for attempt in attempts if attempt.hit}


def still_standing(goals: Sequence[Goal], attempts: Sequence[Attempt]) -> list[Goal]:
    """The goals whose attempt, one for each and in their order, did not hit."""
    return [goal for goal, attempt in zip(goals, attempts, strict=True) if not attempt.hit]


def unscored_goals(attempts: Sequence[Attempt]) -> set[str]:
    """Goals that did not fall and on which the judge failed at least once: whether they are safe is not
    known.
    """
    return {attempt.goal for attempt in attempts if not attempt.verdict.scored} - fallen(attempts)
