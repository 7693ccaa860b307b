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
from ..models.load import context_of
from ..records import Completion, Prompt, Ranking, Score
from ..run import derive_seed
from ..sampling import Sampling
from ..sampling.choices import choice_logprobs
from ..sampling.endpoint import EndpointSampler
from . import sigmoid
from .ai_name import CHOICES

if TYPE_CHECKING:
    from ..sampling.local import LocalSampler

CLAMP = (0.4, 0.6)
"""Chain-of-thought labels stay within these: a model that has argued itself into a verdict is nearly always sure of it (Bai et al. 2022, section 4.3)."""
MASS = 0.5
"""A judge that gives the two choices together less than this probability would rather have said something else: neither A nor B. Their ratio still counts."""
NOTHING = 1e-4
"""With less than this it refuses to judge, and the ratio is noise."""
ROOM = 16
"""Tokens left for a choice, and for the other order's and other principles' slightly other tokens."""
FARTHEST = 30.0
"""Log-odds are held within plus and minus this: a probability of exactly 0 has none that could be averaged."""


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
        drawn = [
            () if a.text == b.text else self._drawn(a.prompt, a.text, b.text)
            for a, b in zip(first, second, strict=True)
        ]
        if self.ask == "each":
            return self._each(first, second, drawn)

        # 1. every (pair, principle, order) as one question, all of them in one call
        turns = (False, True) if self.orders == "both" else (False,)
        cases = [
            (i, principle, turned)
            for i, principles in enumerate(drawn)
            for principle in principles
            for turned in turns
        ]
        shown = [
            (first[i], second[i].text, first[i].text, p)
            if turned
            else (first[i], first[i].text, second[i].text, p)
            for i, p, turned in cases
        ]
        thoughts = (
            self._thoughts([self.form.reasoning(c.prompt, a, b, p) for c, a, b, p in shown])
            if self.cot
            else [""] * len(cases)
        )
        found = self._answers(
            [
                self.form.verdict(c.prompt, a, b, p, reasoning=thought)
                for (c, a, b, p), thought in zip(shown, thoughts, strict=True)
            ]
        )

        # 2. log-odds averaged over the orders, probabilities over the principles
        answers = iter(found)
        verdicts = []
        for principles in drawn:
            own = [[next(answers) for _ in turns] for _ in principles]
            orders = tuple((one[0].p_a, 1 - one[1].p_a if len(one) > 1 else None) for one in own)
            plain = sum(of_orders(*pair) for pair in orders) / len(orders) if orders else 0.5
            masses = [answer.mass for one in own for answer in one]
            verdicts.append(
                PairVerdict(
                    self.label(plain),
                    plain,
                    tuple(p.id for p in principles),
                    orders,
                    neither=sum(NOTHING <= mass < MASS for mass in masses),
                    refused=sum(mass < NOTHING for mass in masses),
                )
            )
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
        cases = [
            (c, p)
            for a, b, principles in zip(first, second, drawn, strict=True)
            for p in principles
            for c in (a, b)
        ]
        odds = iter(self._fine(cases))
        verdicts = []
        for principles in drawn:
            orders = tuple((0.5 + (sigmoid(next(odds)) - sigmoid(next(odds))) / 2, None) for _ in principles)
            plain = sum(p for p, _ in orders) / len(orders) if orders else 0.5
            verdicts.append(PairVerdict(self.label(plain), plain, tuple(p.id for p in principles), orders))
        return verdicts

    def _fine(self, cases: Sequence[tuple[Completion, Principle]]) -> list[float]:
        """Log-odds that each answer keeps its principle."""
        asked = [self.form.standing(c.prompt, c.text, p) for c, p in cases]
        return (
            [fine_log_odds(row) for row in choice_logprobs(self.reader, asked, self.form.fine)]
            if asked
            else []
        )

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
            found.append(Answer(min(max(p, CLAMP[0]), CLAMP[1]) if self.cot else p, mass))
        return found

    def label(self, plain: float) -> float:
        """The label that an averaged probability becomes: at the judge's temperature, and hard or clamped as
        it is set.
        """
        if self.labels == "hard":
            return 0.5 + 0.5 * ((plain > 0.5) - (plain < 0.5))
        p = at_temperature(plain, self.temperature)
        return min(max(p, CLAMP[0]), CLAMP[1]) if self.cot else p

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
        odds = self.standings(completions)
        return [Score(sum(own) / len(own), {"fine": sum(sigmoid(x) for x in own) / len(own)}) for own in odds]

    def standings(self, completions: Sequence[Completion]) -> list[list[float]]:
        """Log-odds that each answer keeps each of its prompt's principles."""
        drawn = [self._drawn(c.prompt) for c in completions]
        odds = iter(
            self._fine([(c, p) for c, principles in zip(completions, drawn, strict=True) for p in principles])
        )
        return [[next(odds) for _ in principles] for principles in drawn]


class AIAnnotator:
    """An AI judge that ranks: by how often, in the mean, each completion is preferred to the others. The
    labels of all pairs lie in `meta["labels"]`.
    """

    def __init__(self, judge: AIJudge) -> None:
        self.judge, self.name = judge, judge.name

    def rank(self, index: int, completions: Sequence[Completion]) -> Ranking:
        return self.rank_all([(index, completions)])[0]

    def rank_all(self, items: Sequence[tuple[int, Sequence[Completion]]]) -> list[Ranking]:
        """Several prompts at a time, each with its completions: all their pairs are put before the judge at
        once.
        """
        pairs = [
            (group[i], group[j])
            for _, group in items
            for i in range(len(group))
            for j in range(i + 1, len(group))
        ]
        labels = iter(self.judge.compare([a for a, _ in pairs], [b for _, b in pairs]))
        rankings = []
        for _, group in items:
            k = len(group)
            own = [next(labels) for _ in range(k * (k - 1) // 2)]
            unranked = Ranking(group[0].prompt, tuple(group), (1,) * k, self.name, {"labels": own})
            wins = [sum(unranked.label(i, j) or 0.0 for j in range(k) if j != i) for i in range(k)]
            ranks = tuple(1 + sum(other > mine + 1e-9 for other in wins) for mine in wins)
            rankings.append(
                Ranking(
                    group[0].prompt,
                    tuple(group),
                    ranks,
                    self.name,
                    {"labels": own, "constitution": self.judge.constitution.digest},
                )
            )
        return rankings


def of_orders(p_first: float, p_second: float | None) -> float:
    """P(first preferred) of both orders together: the mean of the log-odds, in which a fixed liking for a
    place cancels. With one order, that one.
    """
    return p_first if p_second is None else sigmoid((log_odds(p_first) + log_odds(p_second)) / 2)


def at_temperature(p: float, temperature: float) -> float:
    """The probability whose log-odds are those of p over the temperature; at 1 p itself."""
    return p if temperature == 1 else sigmoid(log_odds(p) / temperature)


def log_odds(p: float) -> float:
    """log p / (1 - p), at most FARTHEST from 0."""
    if p in (0.0, 1.0):
        return math.copysign(FARTHEST, p - 0.5)
    return max(-FARTHEST, min(FARTHEST, math.log(p) - math.log1p(-p)))


def fine_log_odds(logprobs: Sequence[float]) -> float:
    """Log-odds of "fine" from the log-probabilities of a form's `fine`: against the other word, or, of one
    alone, against all else.
    """
    if len(logprobs) == 2:
        difference = 0.0 if max(logprobs) == -math.inf else logprobs[0] - logprobs[1]
        return max(-FARTHEST, min(FARTHEST, difference))
    return log_odds(min(1.0, math.exp(logprobs[0])))
