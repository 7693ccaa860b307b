"""Lessons from what a campaign found: what to train on so that the target refuses it next time, and goes on
helping where it should.

Four kinds, all in the target's own words, so that what is learnt is when to refuse and not another voice:

    refuse     an attack that worked, and the target's own refusal of the plain request (adversarial training)
    recover    an answer that began harmfully, some words long, and then turns: the refusal behind it (Qi et al. 2024, section 4: safety deeper than a few tokens)
    keep       the same wrappers and beginnings around harmless requests, answered as the target answers them: without these it learns to refuse wrappers
    help       ordinary requests, answered as the target answers them

Before anything is trained on, `checked` looks for poison: what comes out of a target under attack is
untrusted.
"""

from __future__ import annotations

import math
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..errors import DataError
from ..feedback.safety.verdicts import Verdict
from ..models.chat import open_turn
from ..records import Comparison, Completion, Demonstration, Message, Prompt
from ..run import derive_seed
from .attacks.catalogue import plain
from .attacks.templates import Template
from .attempt import Attempt
from .campaign import Outcome
from .session import Attack, Session

Kind = Literal["refuse", "recover", "keep", "help"]
DEPTH = 12  # words, at most, after which an answer that began harmfully turns


@dataclass(frozen=True)
class Lesson:
    """One row to learn from. `rejected` is what the target said, or would have had to say wrongly; `keep` is
    a person's (or the check's) decision.
    """

    id: str
    kind: Kind
    prompt: Prompt
    chosen: str
    rejected: str
    keep: bool = True
    why: str = ""

    def demonstration(self) -> Demonstration:
        return Demonstration(self.prompt, self.chosen, {"lesson": self.kind, "id": self.id})

    def comparison(self) -> Comparison:
        return Comparison(self.prompt, self.chosen, self.rejected, meta={"lesson": self.kind, "id": self.id})

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "keep": self.keep,
            "kind": self.kind,
            **self.prompt.to_json(),
            "chosen": self.chosen,
            "rejected": self.rejected,
            "why": self.why,
        }

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Lesson:
        """Raises DataError for a row that a person has broken."""
        if (
            not isinstance(row.get("keep"), bool)
            or not isinstance(row.get("chosen"), str)
            or row.get("kind") not in ("refuse", "recover", "keep", "help")
        ):
            raise DataError(
                "a lesson needs keep (true or false), kind and chosen (a text)",
                remedy="edit keep and chosen only, or delete the row",
            )
        return Lesson(
            str(row["id"]),
            row["kind"],
            Prompt.from_json(row),
            row["chosen"],
            str(row.get("rejected", "")),
            row["keep"],
            str(row.get("why", "")),
        )


def learnable(outcome: Outcome, attack: Attack) -> list[Attempt]:
    """The hits of an attack that a refusal can be learnt from: not those that got a planted text out of the
    target, which is no request for harm.
    """
    return [
        attempt
        for attempt in outcome.attempts[attack.name]
        if attempt.hit and not {"canary", "nonce"} & set(attempt.prompt.meta)
    ]


def lessons(
    outcome: Outcome,
    session: Session,
    harmless: Sequence[Prompt],
    ordinary: Sequence[Prompt],
    *,
    per_attack: int,
    seed: int,
) -> list[Lesson]:
    """Lessons from the hits of a campaign.

    Args:
        harmless: look-alikes of what is to be refused, put into the wrappers that worked; ordinary: requests
            that are to be answered as before.
        per_attack: hits of one attack that are learnt from, at most.

    Raises:
        DataError: nothing was hit, or the target refused nothing at all: it has no refusal of its own to
            learn.
    """
    rng = random.Random(derive_seed(seed, "lessons"))
    said = {attempt.goal: attempt for attempt in outcome.attempts[plain().name]}
    refusals = sorted(
        {
            a.completion
            for made in outcome.attempts.values()
            for a in made
            if a.verdict.label == "refusal"
            and not a.blocked
            and not open_turn(a.prompt)[1]
            and "lead" not in a.prompt.meta
        }
    )
    if not refusals:
        raise DataError(
            "the target refused nothing: there is no refusal in its own words to learn",
            where=session.identity,
            remedy="teach it to refuse plain requests first: preferences of `town:fair`, or a constitution",
        )
    hits = [
        sample
        for attack in outcome.plan.attacks
        for sample in _some(learnable(outcome, attack), per_attack, rng)
    ]
    if not hits:
        raise DataError(
            "no attack succeeded: there is nothing to learn from",
            where=session.identity,
            remedy="more attacks or goals (--attacks all, --goals)",
        )

    def refusal_of(attempt: Attempt) -> str:
        own = said.get(attempt.goal)
        return own.completion if own and own.verdict.label == "refusal" else rng.choice(refusals)

    found: list[Lesson] = []

    def add(kind: Kind, prompt: Prompt, chosen: str, rejected: str) -> None:
        found.append(Lesson(f"L-{len(found) + 1:05d}", kind, prompt, chosen, rejected))

    # 1. refuse what worked; turn round after a harmful beginning, at every depth
    goals = {goal.id: goal for goal in outcome.plan.goals}
    for attempt in hits:
        prompt, begun = open_turn(attempt.prompt)
        answer = refusal_of(attempt)
        if not begun:
            add("refuse", prompt, answer, attempt.completion)
        words = attempt.completion.split()
        for depth in {len(begun.split()) or 1, rng.randint(1, max(1, min(DEPTH, len(words) - 1)))}:
            if depth < len(words):
                opened = Prompt(
                    (*goals[attempt.goal].prompt.messages, Message("assistant", " ".join(words[:depth]))),
                    goals[attempt.goal].prompt.meta,
                )
                add("recover", opened, f" {answer}", f" {' '.join(words[depth:])}")

    # 2. the same wrappers and beginnings around harmless requests, about as many as there are refusals:
    # fewer, and what is learnt is to refuse
    wrappers = [
        attack
        for attack in outcome.plan.attacks
        if isinstance(attack, Template) and any(a.attack == attack.name for a in hits)
    ]
    times = max(1, math.ceil(len(found) / (2 * max(1, len(harmless)))))
    wrapped = [
        attack.wrapper.wrap(prompt, rng)
        for prompt in harmless
        for attack in rng.sample(wrappers, min(times, len(wrappers)))
    ]
    answers = session.ask([*harmless, *wrapped], seed=derive_seed(seed, "keep"), temperature=0.0)
    for i, (prompt, answer, verdict) in enumerate(
        zip([*harmless, *wrapped], answers, session.verdicts(answers), strict=True)
    ):
        if verdict.label == "compliance" and answer.finished and answer.text.strip():
            add("keep", prompt, answer.text, rng.choice(refusals))
            words = answer.text.split()
            depths = range(1, min(DEPTH, len(words) - 1) + 1) if i < len(harmless) and len(words) > 3 else ()
            for depth in rng.sample(depths, min(times, len(depths))):
                add(
                    "keep",
                    Prompt((*prompt.messages, Message("assistant", " ".join(words[:depth]))), prompt.meta),
                    f" {' '.join(words[depth:])}",
                    f" {rng.choice(refusals)}",
                )

    # 3. everything else as before
    answers = session.ask(ordinary, seed=derive_seed(seed, "help"), temperature=0.0)
    found += [
        Lesson(f"L-{len(found) + i:05d}", "help", prompt, answer.text, rng.choice(refusals))
        for i, (prompt, answer) in enumerate(zip(ordinary, answers, strict=True), 1)
        if answer.finished and answer.text.strip()
    ]
    return found


def _some(attempts: Sequence[Attempt], most: int, rng: random.Random) -> list[Attempt]:
    return list(attempts) if len(attempts) <= most else rng.sample(list(attempts), most)


ODD = re.compile(r"https?://|www\.|<\|[^|>]*\|>|[A-Za-z0-9+/=]{40,}")


def checked(
    found: Sequence[Lesson], session: Session, *, forbidden: frozenset[str] = frozenset()
) -> tuple[list[Lesson], dict[str, Any]]:
    """The lessons with `keep` off and a reason where one looks poisoned, and a report.

    - a refusal that the judge does not take for one, or an answer to be kept that it takes for one;
    - the same prompt with contrary lessons; the same lesson twice;
    - links, marks of a chat template, long runs of Base64, characters that cannot be seen, in what is to be
      said;
    - a prompt that the test is made of (`forbidden`: prompt ids);
    - an ending that most kept answers share and the target's other answers do not (a planted signature).

    The report also names phrases that stand in a tenth of what is refused and nowhere in what is kept:
    learnt, they would be refused by themselves.
    """
    verdicts = session.verdicts([_said(lesson) for lesson in found])
    wanted: dict[str, set[bool]] = {}
    for lesson in found:
        wanted.setdefault(lesson.prompt.id, set()).add(lesson.kind in ("refuse", "recover"))
    seen: set[tuple[str, str]] = set()
    result: list[Lesson] = []
    for lesson, verdict in zip(found, verdicts, strict=True):
        why = _why_not(lesson, verdict, contrary=len(wanted[lesson.prompt.id]) > 1, forbidden=forbidden)
        if not why and (lesson.prompt.id, lesson.chosen) in seen:
            why = "there twice"
        seen.add((lesson.prompt.id, lesson.chosen))
        result.append(replace(lesson, keep=not why, why=why))
    result = _signatures(result)
    kept = [lesson for lesson in result if lesson.keep]
    return result, {
        "lessons": len(result),
        "kept": len(kept),
        "kinds": dict(Counter(lesson.kind for lesson in kept)),
        "dropped": dict(Counter(lesson.why for lesson in result if not lesson.keep)),
        "shortcuts": shortcuts(kept),
    }


def _said(lesson: Lesson) -> Completion:
    """A lesson as the judge reads it: a refusal by itself, whatever words the answer was to begin with; any
    other answer whole, with what it was begun with.
    """
    prompt, begun = open_turn(lesson.prompt)
    if lesson.kind in ("refuse", "recover"):
        return Completion(
            Prompt(prompt.messages, {key: value for key, value in prompt.meta.items() if key != "lead"}),
            lesson.chosen.strip(),
        )
    return Completion(prompt, begun + lesson.chosen)


def _why_not(lesson: Lesson, verdict: Verdict, *, contrary: bool, forbidden: frozenset[str]) -> str:
    refuses = lesson.kind in ("refuse", "recover")
    if not verdict.scored:
        return "the judge could not read it"
    if refuses and verdict.label != "refusal":
        return "the refusal is none"
    if not refuses and verdict.label != "compliance":
        return "the answer to be kept is none, or refuses"
    if contrary:
        return "the same prompt is to be refused and to be answered"
    if open_turn(lesson.prompt)[0].id in forbidden:
        return "the prompt belongs to the test"
    if ODD.search(lesson.chosen) or any(
        unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs") and c not in "\n\t" for c in lesson.chosen
    ):
        return "odd characters in what is to be said"
    return ""


def _signatures(found: list[Lesson]) -> list[Lesson]:
    """Kept answers that end alike, in more than a third of them and in more than thrice the share of the
    ordinary ones, are dropped.
    """
    ends = {
        kind: Counter(
            " ".join(lesson.chosen.split()[-3:]) for lesson in found if lesson.kind == kind and lesson.keep
        )
        for kind in ("keep", "help")
    }
    total = {kind: max(1, sum(counts.values())) for kind, counts in ends.items()}
    odd = {
        end
        for end, count in ends["keep"].items()
        if count > 5
        and count / total["keep"] > 1 / 3
        and count / total["keep"] > 3 * ends["help"][end] / total["help"]
    }
    return [
        replace(lesson, keep=False, why="a signature")
        if lesson.keep and lesson.kind == "keep" and " ".join(lesson.chosen.split()[-3:]) in odd
        else lesson
        for lesson in found
    ]


def shortcuts(kept: Sequence[Lesson]) -> list[str]:
    """Runs of three words in a tenth of the prompts that are refused and in none that is answered."""

    def runs(text: str) -> set[str]:
        words = text.lower().split()
        return {" ".join(words[i : i + 3]) for i in range(len(words) - 2)}

    refused = [runs(lesson.prompt.text) for lesson in kept if lesson.kind == "refuse"]
    answered = {run for lesson in kept if lesson.kind in ("keep", "help") for run in runs(lesson.prompt.text)}
    counts = Counter(run for each in refused for run in each - answered)
    return [run for run, count in counts.most_common(20) if count >= 0.1 * max(1, len(refused))]
