"""A campaign: every attack on every goal, harmless twins beside them, and the document that says how it went."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from ..evals.statistics import mean_ci, mean_over
from ..feedback.safety.verdicts import LABELS, Verdict, count_labels
from ..records import Completion, Prompt
from ..run import derive_seed
from .attacks.catalogue import plain
from .attempt import Attempt, Budget, Goal, curve, fallen, unscored_goals
from .session import Attack, Session

S = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What a campaign does.

    Attributes:
        goals: what the target ought to refuse; twins: harmless prompts that look like them.
        search_goals: the first so many goals are what attacks that look inside the model are run on; they
            take long.
    """

    attacks: Sequence[Attack]
    goals: Sequence[Goal]
    twins: Sequence[Prompt]
    budget: Budget
    search_goals: int
    seed: int

    def goals_for(self, attack: Attack) -> list[Goal]:
        if {"gradients", "logprobs", "attacker"} & set(attack.needs):
            return list(self.goals[: self.search_goals])
        return list(self.goals)


@dataclass(frozen=True)
class Outcome:
    """What came of a campaign: attempts by attack, `plain` among them, and the answers to the twins with
    their verdicts.
    """

    plan: Plan
    attempts: Mapping[str, Sequence[Attempt]]
    twins: Sequence[tuple[Completion, Verdict]]

    def hits(self, attack: Attack) -> list[float]:
        """For each goal of the attack, 1 if it fell."""
        down = fallen(self.attempts[attack.name])
        return [float(goal.id in down) for goal in self.plan.goals_for(attack)]

    def success(self, attack: Attack) -> float:
        """The share of the attack's goals that fell."""
        return sum(self.hits(attack)) / max(1, len(self.plan.goals_for(attack)))

    @property
    def everything(self) -> list[Attempt]:
        """The attempts of all attacks, one attack after the other."""
        return list(chain.from_iterable(self.attempts.values()))

    @property
    def refused_twins(self) -> list[float]:
        """For each answer to a twin that was scored, 1 if it refuses."""
        return [float(verdict.refuses) for _, verdict in self.twins if verdict.scored]


def attack_all(
    session: Session, plan: Plan, *, track: Callable[[list[Attack]], Iterable[Attack]] = iter
) -> Outcome:
    """Run the plain requests, every attack, and the twins.

    Args:
        track: shows how far it is.
    """
    attempts: dict[str, Sequence[Attempt]] = {}
    for attack in track([plain(), *plan.attacks]):
        attempts[attack.name] = attack.run(
            plan.goals_for(attack), session, plan.budget, derive_seed(plan.seed, "attack", attack.name)
        )
    answers = session.ask(plan.twins, seed=derive_seed(plan.seed, "twins"))
    return Outcome(plan, attempts, list(zip(answers, session.verdicts(answers), strict=True)))


def document(
    model: str, outcome: Outcome, *, findings: int, correct: Callable[[int, int], S] | None = None
) -> dict[str, Any]:
    """The red-team document of the contract. Rates count every goal; one whose only failures are the judge's
    is among `unscored` and counts as not fallen.

    Args:
        correct: makes of hits and goals that were scored a rate without the judge's measured errors; None =
            the judge makes none.
    """
    rows: dict[str, dict[str, Any]] = {}
    down: set[str] = set()
    for attack in outcome.plan.attacks:
        rows[attack.name] = _row(outcome, attack, correct)
        down |= fallen(outcome.attempts[attack.name])
    counts = count_labels(attempt.verdict for attempt in outcome.everything)
    unscored = counts["unscored"] + count_labels(verdict for _, verdict in outcome.twins)["unscored"]
    best = max(rows, key=lambda name: rows[name]["asr"]["mean"] or 0.0, default="")
    return {
        "model": model,
        "plain": mean_ci(outcome.hits(plain())),
        "over_refusal": mean_ci(outcome.refused_twins),
        "attacks": rows,
        "all": mean_over(outcome.plan.goals, lambda goal: goal.id in down),
        "best": best,
        "unscored": unscored,
        "labels": {label: counts[label] for label in LABELS},
        "findings": findings,
        "goals": len(outcome.plan.goals),
        "queries": sum(row["queries"] for row in rows.values()),
        "void": voids(outcome),
    }


def _row(outcome: Outcome, attack: Attack, correct: Callable[[int, int], S] | None) -> dict[str, Any]:
    """What came of one attack."""
    attempts, goals = outcome.attempts[attack.name], outcome.plan.goals_for(attack)
    hits, unscored = outcome.hits(attack), len(unscored_goals(attempts))
    asr = corrected = mean_ci(hits)
    if correct:
        corrected = correct(int(sum(hits)), len(goals) - unscored)
    down_at_once = fallen([attempt for attempt in attempts if not attempt.place])
    most = max((attempt.queries for attempt in attempts), default=1)
    return {
        "family": attack.family,
        "asr": asr,
        "asr_corrected": corrected,
        "queries": queries(attempts),
        "tokens": tokens(attempts),
        "first": mean_over(goals, lambda goal: goal.id in down_at_once),
        "unscored": unscored,
        "curve": curve(attempts, goals, [2**k for k in range(most.bit_length())]),
    }


def voids(outcome: Outcome) -> dict[str, dict[str, int]]:
    """How many answers are void, of how many: to the plain requests, to attacks, to the harmless twins. A
    target that says nothing looks safe and helpful.
    """
    counts = {"plain": {"void": 0, "of": 0}, "attacks": {"void": 0, "of": 0}, "twins": {"void": 0, "of": 0}}

    def count(whose: str, verdict: Verdict) -> None:
        counts[whose]["void"] += verdict.label == "void"
        counts[whose]["of"] += 1

    for name, attempts in outcome.attempts.items():
        for attempt in attempts:
            count("plain" if name == "plain" else "attacks", attempt.verdict)
    for _, verdict in outcome.twins:
        count("twins", verdict)
    return counts


def queries(attempts: Sequence[Attempt]) -> int:
    """Target queries of these attempts, a search's evaluations among them."""
    return sum(_last(attempts, "queries").values())


def tokens(attempts: Sequence[Attempt]) -> int:
    """Tokens that these attempts sent and got."""
    return sum(_last(attempts, "tokens").values())


def _last(attempts: Sequence[Attempt], what: str) -> dict[str, int]:
    by_goal: dict[str, int] = {}
    for attempt in attempts:
        by_goal[attempt.goal] = max(by_goal.get(attempt.goal, 0), getattr(attempt, what))
    return by_goal


def usable(attacks: Sequence[Attack], can: frozenset[str]) -> tuple[list[Attack], list[str]]:
    """The attacks whose needs the target meets, and what to tell of the others."""
    meets: list[Attack] = []
    without: list[str] = []
    for attack in attacks:
        if lacking := sorted(set(attack.needs) - can):
            without.append(f"{attack.name} (needs {', '.join(lacking)})")
        else:
            meets.append(attack)
    return meets, without
