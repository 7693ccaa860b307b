"""An AI judge: a model that reads a principle and says which of two answers is better by it (Bai et al. 2022,
Constitutional AI, section 4.1; RLAIF).

What it says is never read from words. A pair is put before it as (A) and (B), and the label is the
probability that it would go on with the one letter against the other: a soft label. Both orders are asked and
their log-odds averaged, which takes away whatever the model thinks of a place; of several principles the
probabilities are averaged. Each verdict keeps what was said under each principle in each order, and what went
wrong.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..constitution.asking import Asked, Form
from ..constitution.principles import Constitution, Principle
from ..errors import ConfigError
from ..models.chat import prompt_ids, text_ids
from ..models.policy import context_of
from ..records import Completion, Prompt, Score
from ..run import derive_seed
from ..sampling import Sampling
from ..sampling.choices import choice_logprobs
from ..sampling.endpoint import EndpointSampler
from . import sigmoid
from .ai_name import CHOICES

if TYPE_CHECKING:
    from ..sampling.local import LocalSampler
from .log_odds import FARTHEST, at_temperature, fine_log_odds, of_orders

CLAMP = (0.4, 0.6)
"""Chain-of-thought labels stay within these: a model that has argued itself into a verdict is nearly always sure of it (Bai et al. 2022, section 4.3)."""
MASS = 0.5
"""A judge that gives the two choices together less than this probability would rather have said something else: neither A nor B. Their ratio still counts."""
NOTHING = 1e-4
"""With less than this it refuses to judge, and the ratio is noise."""
ROOM = 16
"""Tokens left for a choice, and for the other order's and other principles' slightly other tokens."""


@dataclass(frozen=True, slots=True)
class PairVerdict:
    """What the judge made of a pair.

    Attributes:
        p: the label, the probability that the first is preferred: averaged, at the judge's temperature,
            clamped or made hard as the judge is set.
        plain: the averaged probability before temperature, clamp and rounding: what a temperature is fitted
            to.
        principles: ids of the principles that were asked.
        orders: for each principle P(first preferred) as the judge saw it with the first as (A), and with the
            first as (B), which is None where one order is asked.
        neither: answers (a principle in one order) in which A and B together had less than MASS of the
            probability: it would rather say something else.
        refused: answers in which they had next to nothing (NOTHING): it refuses to judge, and the answer
            counts as one half.
    """

    p: float
    plain: float
    principles: tuple[str, ...]
    orders: tuple[tuple[float, float | None], ...]
    neither: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one question: P(the one shown as A is preferred), and the probability that A and B had
    together.
    """

    p_a: float
    mass: float


@dataclass
class AIJudge:
    """A model with a constitution behind the two verbs of feedback.

    `compare` is P(first preferred), as above. `score`, for loops that score one completion, is the mean over
    principles of the log-odds that the answer keeps the principle: log P(fine) - log P(not fine), P(fine) by
    what the form has the critic say of an answer that is fine.

    Args:
        reader: who judges: a sampler of a model in this process, or of an endpoint.
        constitution: the principles; `tags` narrows them, none named is all.
        form: how the reader is asked.
        principles: how many of them judge a pair, drawn by seed, prompt and the two texts (in whatever order
            they come); 0 is all.
        ask: verdict, as above; or each: the two are read one by one, and the one that is fine is preferred to
            the one that is not. For a judge that criticises well and compares badly.
        orders: both, or one (the first as (A)): an ablation.
        labels: soft, or hard (0, 1/2 or 1): an ablation.
        cot: the judge thinks aloud first; labels are then clamped to CLAMP.
        temperature: the averaged label's log-odds are divided by it (Guo et al. 2017, on a judge's labels); 1
            leaves them.
        reason_tokens: tokens of a thought.
    """

    reader: LocalSampler | EndpointSampler
    constitution: Constitution
    form: Form
    name: str = "ai"
    tags: tuple[str, ...] = ("harmless",)
    principles: int = 0
    ask: str = "verdict"
    orders: str = "both"
    labels: str = "soft"
    cot: bool = False
    temperature: float = 1.0
    reason_tokens: int = 96
    seed: int = 0

    def __post_init__(self) -> None:
        if self.principles < 0 or not 0 < self.temperature < math.inf or self.reason_tokens < 1:
            raise ConfigError(
                (
                    f"principles = {self.principles}, temperature = {self.temperature}, reason_tokens = "
                    f"{self.reason_tokens}"
                ),
                remedy="principles from 0 (all), a temperature above 0, reason_tokens from 1",
            )
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} = {getattr(self, name)!r}", remedy=f"one of {', '.join(known)}")
        if self.ask == "each" and (self.cot or self.orders == "one"):
            raise ConfigError(
                (
                    f"ask = each with {'cot' if self.cot else 'orders = one'}: answers that are read one by "
                    "one have no order and no thoughts between them"
                ),
                remedy="ask = verdict",
            )
        self.asked = self.constitution.tagged(*self.tags)

    # --- pairs ---

    def compare(self, first: Sequence[Completion], second: Sequence[Completion]) -> list[float]:
        return [verdict.p for verdict in self.verdicts(first, second)]

    def verdicts(self, first: Sequence[Completion], second: Sequence[Completion]) -> list[PairVerdict]:
        """What it makes of each pair. Two equal texts are one half without being asked about."""
        drawn: list[tuple[Principle, ...]] = []
        for a, b in zip(first, second, strict=True):
            drawn.append(() if a.text == b.text else self._drawn(a.prompt, a.text, b.text))
        if self.ask == "each":
            return self._each(first, second, drawn)

        # 1. every (pair, principle, order) as one question, all of them in one call
        turns = (False, True) if self.orders == "both" else (False,)
        shown: list[tuple[Completion, str, str, Principle]] = []
        for a, b, principles in zip(first, second, drawn, strict=True):
            for principle in principles:
                for turned in turns:
                    texts = (b.text, a.text) if turned else (a.text, b.text)
                    shown.append((a, *texts, principle))
        thoughts = [""] * len(shown)
        if self.cot:
            thoughts = self._thoughts([self.form.reasoning(c.prompt, a, b, p) for c, a, b, p in shown])
        questions = []
        for (completion, a, b, principle), thought in zip(shown, thoughts, strict=True):
            questions.append(self.form.verdict(completion.prompt, a, b, principle, reasoning=thought))
        answers = iter(self._answers(questions))

        # 2. log-odds averaged over the orders, probabilities over the principles
        verdicts = []
        for principles in drawn:
            own = [[next(answers) for _ in turns] for _ in principles]
            orders = tuple(_in_both_orders(one) for one in own)
            masses = [answer.mass for one in own for answer in one]
            neither = sum(NOTHING <= mass < MASS for mass in masses)
            refused = sum(mass < NOTHING for mass in masses)
            verdicts.append(self._verdict(principles, orders, neither, refused))
        return verdicts

    def _each(
        self,
        first: Sequence[Completion],
        second: Sequence[Completion],
        drawn: Sequence[tuple[Principle, ...]],
    ) -> list[PairVerdict]:
        """Verdicts without a verdict: each answer is read by itself, and is fine under a principle with
        probability f. The one that is fine is preferred to the one that is not; where both are, or neither, a
        coin decides: P(first preferred) = 1/2 + (f_first - f_second) / 2. There is no order to have an
        effect, and two fine answers are one half however fine one of them is.
        """
        cases: list[tuple[Completion, Principle]] = []
        for a, b, principles in zip(first, second, drawn, strict=True):
            for principle in principles:
                cases += [(a, principle), (b, principle)]
        fine = map(sigmoid, self._fine(cases))
        verdicts = []
        for principles in drawn:
            orders = tuple((0.5 + (next(fine) - next(fine)) / 2, None) for _ in principles)
            verdicts.append(self._verdict(principles, orders))
        return verdicts

    def _verdict(
        self,
        principles: tuple[Principle, ...],
        orders: tuple[tuple[float, float | None], ...],
        neither: int = 0,
        refused: int = 0,
    ) -> PairVerdict:
        """The verdict of what was said under each principle; one half where nothing was asked."""
        plain = sum(of_orders(*pair) for pair in orders) / len(orders) if orders else 0.5
        ids = tuple(principle.id for principle in principles)
        return PairVerdict(self.label(plain), plain, ids, orders, neither, refused)

    def _fine(self, cases: Sequence[tuple[Completion, Principle]]) -> list[float]:
        """Log-odds that each answer keeps its principle."""
        if not cases:
            return []
        asked = [self.form.standing(c.prompt, c.text, p) for c, p in cases]
        return [fine_log_odds(row) for row in choice_logprobs(self.reader, asked, self.form.fine)]

    def _drawn(self, prompt: Prompt, *texts: str) -> tuple[Principle, ...]:
        """The principles that judge a pair: the same whoever comes first, and whatever else is judged with
        it. Without texts, those of a prompt.
        """
        if not self.principles or self.principles >= len(self.asked):
            return self.asked
        rng = random.Random(derive_seed(self.seed, "principles", prompt.id, *sorted(texts)))
        return tuple(rng.sample(self.asked, self.principles))

    def _thoughts(self, asked: Sequence[Asked]) -> list[str]:
        groups = self.reader.sample(
            asked,
            Sampling(max_new_tokens=self.reason_tokens, temperature=1.0),
            seed=derive_seed(self.seed, "thoughts"),
        )
        return [self.form.read_reasoning(group[0].text) for group in groups]

    def _answers(self, asked: Sequence[Asked]) -> list[Answer]:
        if not asked:
            return []
        found = []
        for log_a, log_b in choice_logprobs(self.reader, asked, self.form.choices):
            mass = math.exp(log_a) + math.exp(log_b)
            p = sigmoid(max(-FARTHEST, min(FARTHEST, log_a - log_b))) if mass >= NOTHING else 0.5
            found.append(Answer(self._clamped(p), mass))
        return found

    def _clamped(self, p: float) -> float:
        """A probability after a chain of thought within CLAMP; as it is without one."""
        return min(max(p, CLAMP[0]), CLAMP[1]) if self.cot else p

    def label(self, plain: float) -> float:
        """The label that an averaged probability becomes: at the judge's temperature, and hard or clamped as
        it is set.
        """
        if self.labels == "hard":
            return 0.5 + 0.5 * ((plain > 0.5) - (plain < 0.5))
        return self._clamped(at_temperature(plain, self.temperature))

    def fits(self, first: Completion, second: Completion) -> bool:
        """Whether the pair, under its longest principle, fits the context of a judge in this process; an
        endpoint says so itself.
        """
        if isinstance(self.reader, EndpointSampler):
            return True
        asked = self.form.verdict(
            first.prompt, first.text, second.text, max(self.asked, key=lambda p: len(p.compare))
        )
        tokenizer = self.reader.tokenizer
        ids = prompt_ids(tokenizer, asked) if isinstance(asked, Prompt) else text_ids(tokenizer, asked)
        return len(ids) + (self.reason_tokens if self.cot else 0) + ROOM <= context_of(self.reader.model)

    # --- one completion ---

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        """Mean log-odds that each answer keeps the principles; the part `fine` is the mean probability of it."""
        scores = []
        for odds in self.standings(completions):
            fine = sum(map(sigmoid, odds)) / len(odds)
            scores.append(Score(sum(odds) / len(odds), {"fine": fine}))
        return scores

    def standings(self, completions: Sequence[Completion]) -> list[list[float]]:
        """Log-odds that each answer keeps each of its prompt's principles."""
        drawn = [self._drawn(c.prompt) for c in completions]
        cases: list[tuple[Completion, Principle]] = []
        for completion, principles in zip(completions, drawn, strict=True):
            cases += [(completion, principle) for principle in principles]
        odds = iter(self._fine(cases))
        return [[next(odds) for _ in principles] for principles in drawn]


def _in_both_orders(answers: Sequence[Answer]) -> tuple[float, float | None]:
    """P(first preferred) with the first as (A), and with the first as (B) where that was asked."""
    return answers[0].p_a, (1 - answers[1].p_a if len(answers) > 1 else None)
