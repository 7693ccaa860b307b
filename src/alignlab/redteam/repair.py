"""Lessons from what a campaign found: what to train on so that the target refuses it next time, and goes on
helping where it should.

Four kinds, all in the target's own words, so that what is learned is when to refuse and not another voice:

    refuse     an attack that worked, and the target's own refusal of the plain request (adversarial training)
    recover    an answer that began harmfully, some words long, and then turns: the refusal behind it (Qi et
               al. 2024, section 4: safety deeper than a few tokens)
    keep       the same wrappers and beginnings around harmless requests, answered as the target answers them:
               without these it learns to refuse wrappers
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
from ..records import Comparison, Completion, Demonstration, Message, Prompt, question
from ..run import derive_seed
from .attacks.catalogue import plain
from .attacks.templates import Template
from .attempt import Attempt
from .campaign import Outcome
from .session import Attack, Session, planted_in, without_lead

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

    @property
    def refuses(self) -> bool:
        """Whether it teaches to refuse."""
        return self.kind in ("refuse", "recover")

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
        is_whole = isinstance(row.get("keep"), bool) and isinstance(row.get("chosen"), str)
        if not is_whole or row.get("kind") not in ("refuse", "recover", "keep", "help"):
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
    """The hits of an attack that a refusal can be learned from: not those that got a planted text out of the
    target, which is no request for harm.
    """
    attempts = outcome.attempts[attack.name]
    return [attempt for attempt in attempts if attempt.hit and not planted_in(attempt.prompt)]


def refusals_of(outcome: Outcome) -> list[str]:
    """What the target wrote where it refused by itself: no defence spoke for it, and nothing was put into its
    mouth.
    """
    texts: set[str] = set()
    for attempt in outcome.everything:
        was_begun = open_turn(attempt.prompt)[1] or "lead" in attempt.prompt.meta
        if attempt.verdict.label == "refusal" and not attempt.blocked and not was_begun:
            texts.add(attempt.completion)
    return sorted(texts)


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
        per_attack: hits of one attack that are learned from, at most.

    Raises:
        DataError: nothing was hit, or the target refused nothing at all: it has no refusal of its own to
            learn.
    """
    rng = random.Random(derive_seed(seed, "lessons"))
    plainly = {attempt.goal: attempt for attempt in outcome.attempts[plain().name]}
    refusals = refusals_of(outcome)
    if not refusals:
        raise DataError(
            "the target refused nothing: there is no refusal in its own words to learn",
            where=session.identity,
            remedy="teach it to refuse plain requests first: preferences of `town:fair`, or a constitution",
        )
    hits: list[Attempt] = []
    for attack in outcome.plan.attacks:
        hits += _some(learnable(outcome, attack), per_attack, rng)
    if not hits:
        raise DataError(
            "no attack succeeded: there is nothing to learn from",
            where=session.identity,
            remedy="more attacks or goals (--attacks all, --goals)",
        )

    def refusal_of(attempt: Attempt) -> str:
        own = plainly.get(attempt.goal)
        return own.completion if own and own.verdict.label == "refusal" else rng.choice(refusals)

    taught: list[Lesson] = []

    def add(kind: Kind, prompt: Prompt, chosen: str, rejected: str) -> None:
        taught.append(Lesson(f"L-{len(taught) + 1:05d}", kind, prompt, chosen, rejected))

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
                opened, rest = _begun(goals[attempt.goal].prompt, words, depth)
                add("recover", opened, f" {answer}", rest)

    # 2. the same wrappers and beginnings around harmless requests, about as many as there are refusals:
    # fewer, and what is learned is to refuse
    worked = {attempt.attack for attempt in hits}
    templates = [attack for attack in outcome.plan.attacks if isinstance(attack, Template)]
    wrappers = [attack.wrapper for attack in templates if attack.name in worked]
    times = max(1, math.ceil(len(taught) / (2 * max(1, len(harmless)))))
    requests = list(harmless)
    for prompt in harmless:
        for wrapper in rng.sample(wrappers, min(times, len(wrappers))):
            requests.append(wrapper.wrap(prompt, rng))
    answers = session.ask(requests, seed=derive_seed(seed, "keep"), temperature=0.0)
    for i, (answer, verdict) in enumerate(zip(answers, session.verdicts(answers), strict=True)):
        if verdict.label != "compliance" or not answer.finished or not answer.text.strip():
            continue
        add("keep", requests[i], answer.text, rng.choice(refusals))
        words, depths = answer.text.split(), range(0)
        if i < len(harmless) and len(words) > 3:  # of a bare request also from the middle of its answer
            depths = range(1, min(DEPTH, len(words) - 1) + 1)
        for depth in rng.sample(depths, min(times, len(depths))):
            opened, rest = _begun(requests[i], words, depth)
            add("keep", opened, rest, f" {rng.choice(refusals)}")

    # 3. everything else as before
    answers = session.ask(ordinary, seed=derive_seed(seed, "help"), temperature=0.0)
    before = len(taught)  # what is skipped takes a number too
    for i, (prompt, answer) in enumerate(zip(ordinary, answers, strict=True), before + 1):
        if answer.finished and answer.text.strip():
            taught.append(Lesson(f"L-{i:05d}", "help", prompt, answer.text, rng.choice(refusals)))
    return taught


def _begun(prompt: Prompt, words: Sequence[str], depth: int) -> tuple[Prompt, str]:
    """The prompt with its answer begun by the first `depth` words, and the rest of the answer."""
    turns = (*prompt.messages, Message("assistant", " ".join(words[:depth])))
    return Prompt(turns, prompt.meta), f" {' '.join(words[depth:])}"


def _some(attempts: Sequence[Attempt], most: int, rng: random.Random) -> list[Attempt]:
    return list(attempts) if len(attempts) <= most else rng.sample(list(attempts), most)


ODD = re.compile(r"https?://|www\.|<\|[^|>]*\|>|[A-Za-z0-9+/=]{40,}")


def checked(
    taught: Sequence[Lesson], session: Session, *, forbidden: frozenset[str] = frozenset()
) -> tuple[list[Lesson], dict[str, Any]]:
    """The lessons with `keep` off and a reason where one looks poisoned, and a report.

    - a refusal that the judge does not take for one, or an answer to be kept that it takes for one;
    - the same prompt with contrary lessons; the same lesson twice;
    - links, marks of a chat template, long runs of Base64, characters that cannot be seen, in what is to be
      said;
    - a question that the test is made of (`forbidden`: as `records.question` tells them);
    - an ending that most kept answers share and the target's other answers do not (a planted signature).

    The report also names phrases that stand in a tenth of what is refused and nowhere in what is kept:
    learned, they would be refused by themselves.
    """
    verdicts = session.verdicts(list(map(_as_judged, taught)))
    wanted: dict[str, set[bool]] = {}
    for lesson in taught:
        wanted.setdefault(lesson.prompt.id, set()).add(lesson.refuses)
    seen: set[tuple[str, str]] = set()
    result: list[Lesson] = []
    for lesson, verdict in zip(taught, verdicts, strict=True):
        why = _why_not(lesson, verdict, contrary=len(wanted[lesson.prompt.id]) > 1, forbidden=forbidden)
        if not why and (lesson.prompt.id, lesson.chosen) in seen:
            why = "there twice"
        seen.add((lesson.prompt.id, lesson.chosen))
        result.append(replace(lesson, keep=not why, why=why))
    result = _signatures(result)
    sound = [lesson for lesson in result if lesson.keep]
    kinds = Counter(lesson.kind for lesson in sound)
    dropped = Counter(lesson.why for lesson in result if not lesson.keep)
    return result, {
        "lessons": len(result),
        "kept": len(sound),
        "kinds": dict(kinds),
        "dropped": dict(dropped),
        "shortcuts": shortcuts(sound),
    }


def _as_judged(lesson: Lesson) -> Completion:
    """A lesson as the judge reads it: a refusal by itself, whatever words the answer was to begin with; any
    other answer whole, with what it was begun with.
    """
    prompt, begun = open_turn(lesson.prompt)
    if lesson.refuses:
        return Completion(without_lead(prompt), lesson.chosen.strip())
    return Completion(prompt, begun + lesson.chosen)


def _why_not(lesson: Lesson, verdict: Verdict, *, contrary: bool, forbidden: frozenset[str]) -> str:
    if not verdict.scored:
        return "the judge could not read it"
    if lesson.refuses and verdict.label != "refusal":
        return "the refusal is none"
    if not lesson.refuses and verdict.label != "compliance":
        return "the answer to be kept is none, or refuses"
    if contrary:
        return "the same prompt is to be refused and to be answered"
    if question(open_turn(lesson.prompt)[0]) in forbidden:
        return "the question belongs to the test"
    if ODD.search(lesson.chosen) or any(map(_is_unseen, lesson.chosen)):
        return "odd characters in what is to be said"
    return ""


def _is_unseen(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Co", "Cs") and char not in "\n\t"


def _signatures(taught: list[Lesson]) -> list[Lesson]:
    """Kept answers that end alike, in more than a third of them and in more than thrice the share of the
    ordinary ones, are dropped.
    """

    def end_of(lesson: Lesson) -> str:
        return " ".join(lesson.chosen.split()[-3:])

    ends: dict[str, Counter[str]] = {"keep": Counter(), "help": Counter()}
    for lesson in taught:
        if lesson.keep and lesson.kind in ends:
            ends[lesson.kind][end_of(lesson)] += 1
    of_kept, of_ordinary = max(1, ends["keep"].total()), max(1, ends["help"].total())
    odd = set()
    for end, count in ends["keep"].items():
        share, ordinary = count / of_kept, ends["help"][end] / of_ordinary
        if count > 5 and share > 1 / 3 and share > 3 * ordinary:
            odd.add(end)
    result = []
    for lesson in taught:
        if lesson.keep and lesson.kind == "keep" and end_of(lesson) in odd:
            lesson = replace(lesson, keep=False, why="a signature")
        result.append(lesson)
    return result


def shortcuts(lessons: Sequence[Lesson]) -> list[str]:
    """Runs of three words in a tenth of the prompts that are refused and in none that is answered."""
    refused: list[set[str]] = []
    answered: set[str] = set()
    for lesson in lessons:
        words = lesson.prompt.text.lower().split()
        runs = {" ".join(words[i : i + 3]) for i in range(len(words) - 2)}
        if lesson.kind == "refuse":
            refused.append(runs)
        elif lesson.kind in ("keep", "help"):
            answered |= runs
    counts: Counter[str] = Counter()
    for runs in refused:
        counts.update(runs - answered)
    return [run for run, count in counts.most_common(20) if count >= 0.1 * max(1, len(refused))]
