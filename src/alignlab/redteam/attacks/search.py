"""Attacks that try until one works: best of N, and a bandit over wrappers."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ...data.wrappers import WRAPPERS, compose, rewritten
from ...run import derive_seed
from ..attempt import Attempt, Budget, Goal, still_standing
from ..session import Session


class BestOfN:
    """The request again and again, each time with letters, capitals and signs disturbed at random, at
    temperature 1 (Hughes et al. 2024, Best-of-N jailbreaking).

    Cost: up to `queries`. Needs: nothing. The share of disturbed words is drawn anew for each try, from none
        to the paper's (0.6 scrambled, 0.6 capitals, 0.06 signs).
    """

    name, family, needs = "best-of-n", "automatic", ()

    def run(self, goals: Sequence[Goal], session: Session, budget: Budget, seed: int) -> list[Attempt]:
        attempts: list[Attempt] = []
        for number in range(budget.queries):
            goals = session.open_goals(self, goals, budget)
            if not goals:
                break
            prompts = []
            for goal in goals:
                rng = random.Random(derive_seed(seed, self.name, goal.id, number))
                text = augmented(goal.text, rng, rng.random()) if number else goal.text
                prompts.append(rewritten(goal.prompt, text))
            made = session.attempts(
                self, goals, prompts, seed=derive_seed(seed, self.name, number), temperature=1.0
            )
            attempts += made
            goals = still_standing(goals, made)
        return attempts


def augmented(text: str, rng: random.Random, strength: float) -> str:
    """Words with their inner letters shuffled, letters of another case, characters one code up or down: each
    with its share times `strength`.
    """
    words = []
    for word in text.split(" "):
        if len(word) > 3 and rng.random() < 0.6 * strength:
            inner = list(word[1:-1])
            rng.shuffle(inner)
            word = word[0] + "".join(inner) + word[-1]
        words.append(word)
    changed = []
    for c in " ".join(words):
        # half of the letters that are drawn have that case already
        if c.isalpha() and rng.random() < 0.6 * strength * 0.5:
            c = c.swapcase()
        if 33 <= ord(c) < 126 and rng.random() < 0.06 * strength:
            c = chr(ord(c) + rng.choice((-1, 1)))
        changed.append(c)
    return "".join(changed)


class Bandit:
    """Learns over the goals which wrappers, and which pairs of them, work on this target: Thompson sampling
    (Thompson 1933) over the wrappers' success.

    Cost: up to `queries`. Needs: nothing. What it found stands in the notes: the arms it ended up with.
    """

    name, family, needs = "bandit", "automatic", ()

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def run(self, goals: Sequence[Goal], session: Session, budget: Budget, seed: int) -> list[Attempt]:
        attempts: list[Attempt] = []
        won, lost = dict.fromkeys(self.names, 1.0), dict.fromkeys(self.names, 1.0)
        for number in range(budget.queries):
            goals = session.open_goals(self, goals, budget)
            if not goals:
                break
            arms, prompts = [], []
            for goal in goals:
                rng = random.Random(derive_seed(seed, self.name, goal.id, number))
                ranked = sorted(self.names, key=lambda name: -rng.betavariate(won[name], lost[name]))
                arms.append(ranked[:2] if rng.random() < 0.5 else ranked[:1])
                prompts.append(compose(*arms[-1]).wrap(goal.prompt, rng))
            made = session.attempts(
                self,
                goals,
                prompts,
                seed=derive_seed(seed, self.name, number),
                notes=[{"arms": arm} for arm in arms],
            )
            for arm, attempt in zip(arms, made, strict=True):
                for name in arm:
                    (won if attempt.hit else lost)[name] += 1 / len(arm)
            attempts += made
            goals = still_standing(goals, made)
        return attempts


READABLE = tuple(name for name, wrapper in WRAPPERS.items() if wrapper.family != "obfuscation") + (
    "spaced",
    "words-reversed",
    "stuffed",
    "base64",
    "rot13",
    "leet",
)
"""The arms of the bandit."""
