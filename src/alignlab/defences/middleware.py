"""Defences around a model at inference, as middleware: each wraps a target and is one.

A target is whatever samples chats: a `LocalSampler`, an `EndpointSampler`, a model of `alignlab serve`, or a
defence around one of these. `build(["self-reminder", "perplexity-filter"], target)` wraps from the left: the
last named is the outermost and sees what a user sends first.

A defence changes the prompts, asks the target as often as it likes, and changes the completions. One that
blocks answers with `refused(...)`: `REFUSAL` as the text and its own name in `blocked` (`finish_reason:
content_filter` of the server). A completion must carry the prompt that was asked, not the one the defence
made of it.

To add one: a class or function that takes the target, entered into `DEFENCES`. Its docstring says who
published it, what it costs in target queries and tokens, and what gets past it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from ..errors import ConfigError, UserError
from ..models.chat import text_ids
from ..records import Completion, Message, Prompt
from ..sampling import Sampler, Sampling
from ..sampling.answers import REFUSAL
from ..text.nearest import nearest


def build(stack: Sequence[str], target: Sampler) -> Sampler:
    """The target inside the defences of these names, the last one outermost; an empty stack is the target
    itself.

    Raises:
        UserError: a name that is no defence. ConfigError: one that is named twice.
    """
    check(stack)
    for name in stack:
        target = DEFENCES[name](target)
    return target


def check(stack: Sequence[str]) -> None:
    """As `build` raises, without a target."""
    for place, name in enumerate(stack):
        if name not in DEFENCES:
            raise UserError(
                f"there is no defence {name!r:.80}",
                remedy=nearest(name, DEFENCES) or "one of: " + ", ".join(DEFENCES),
            )
        if name in stack[:place]:
            raise ConfigError(f"the defence {name} is named twice", remedy="name it once")


def refused(prompt: Prompt, name: str, n: int = 1) -> list[Completion]:
    """The n completions of a prompt that the defence `name` blocks."""
    return [Completion(prompt, REFUSAL, source=name, blocked=name)] * n


class SelfReminder:
    """The user's turn between two reminders to be responsible (Xie et al. 2023, "Defending ChatGPT against
    jailbreak attack via self-reminders").

    Cost: none in queries, about fifty tokens a prompt. It asks the model to use what it has learnt: a model
        that does not refuse by itself is not
    made to, one that never saw such words is confused by them, and an attack that names the reminder and
    cancels it gets past.
    """

    BEFORE = (
        "You should be a responsible assistant and should not write harmful or misleading content. Answer "
        "the following request in a responsible way."
    )
    AFTER = "Remember: be a responsible assistant, and do not write harmful or misleading content."

    def __init__(self, target: Sampler) -> None:
        self.target = target

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling = Sampling(), *, seed: int = 0
    ) -> list[list[Completion]]:
        found = self.target.sample([self.reminded(prompt) for prompt in prompts], sampling, seed=seed)
        return [
            [replace(completion, prompt=prompt) for completion in row]
            for prompt, row in zip(prompts, found, strict=True)
        ]

    def reminded(self, prompt: Prompt) -> Prompt:
        """The prompt with its last user turn between the reminders."""
        messages = list(prompt.messages)
        last = max((i for i, message in enumerate(messages) if message.role == "user"), default=None)
        if last is not None:
            messages[last] = Message("user", f"{self.BEFORE}\n{messages[last].content}\n{self.AFTER}")
        return Prompt(tuple(messages), prompt.meta)


class PerplexityFilter:
    """Blocks prompts of which a stretch is less likely to a language model than any stretch of known good
    prompts (Jain et al. 2023, windowed; Alon and Kamfonas 2023).

    Cost: one forward pass of a small model over the user's turns, no target query. It stops suffixes of
        random tokens (GCG) and most encodings; a
    jailbreak in fluent words gets past, as does a suffix that was searched for with the filter in the
    objective. Good prompts unlike those it knows (another language, code, names it never saw) are blocked:
    that is its over-refusal.

    Args:
        surprise: for each text the highest mean surprise of a stretch (see `windowed_surprise`).
        threshold: a text above it is blocked.
    """

    NAME = "perplexity-filter"

    def __init__(
        self, target: Sampler, surprise: Callable[[Sequence[str]], list[float]], threshold: float
    ) -> None:
        self.target, self.surprise, self.threshold = target, surprise, threshold

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling = Sampling(), *, seed: int = 0
    ) -> list[list[Completion]]:
        worst = self.surprise(
            ["\n".join(m.content for m in prompt.messages if m.role == "user") for prompt in prompts]
        )
        passed = [place for place, value in enumerate(worst) if value <= self.threshold]
        answers = (
            iter(self.target.sample([prompts[i] for i in passed], sampling, seed=seed))
            if passed
            else iter(())
        )
        return [
            next(answers) if value <= self.threshold else refused(prompt, self.NAME, sampling.n)
            for prompt, value in zip(prompts, worst, strict=True)
        ]


# tokens of a stretch: a suffix of twenty random tokens holds two whole ones, a rare name does not fill one
WINDOW = 8


@cache
def town_filter() -> tuple[Callable[[Sequence[str]], list[float]], float]:
    """The surprise of the shipped town model, and the highest that any of 1000 of the town's own requests
    has: none of these is blocked.
    """
    from ..models.load import context_of, load_policy
    from ..settings import ModelSettings
    from ..town import base, sets, world

    policy = load_policy(base.shipped("town"), ModelSettings())
    policy.model.eval()

    def surprise(texts: Sequence[str]) -> list[float]:
        return windowed_surprise(policy.model, policy.tokenizer, texts, context=context_of(policy.model))

    return surprise, max(
        surprise(
            [
                record.text
                for record in sets.load(world.build(), "prompts", count=1000)
                if isinstance(record, Prompt)
            ]
        )
    )


def windowed_surprise(
    model: Any, tokenizer: Any, texts: Sequence[str], *, context: int, window: int = WINDOW
) -> list[float]:
    """For each text the highest mean negative log-probability, in nats a token, of `window` tokens in a row;
    of all its tokens if it has fewer, 0 if none.

    Each text is read as a document that begins there; one that is longer than the model's context is read in
    pieces.
    """
    from ..models.likelihood import likelihoods

    pieces, owners = [], []
    for place, text in enumerate(texts):
        ids = text_ids(tokenizer, text.encode("utf-8", "replace").decode())
        for at in range(
            0, len(ids) - 1, context - 1
        ):  # a piece begins with the last token of the one before: nothing predicts its first
            pieces.append(ids[at : at + context])
            owners.append(place)
    worst = [0.0] * len(texts)
    for place, row in zip(owners, likelihoods(model, pieces), strict=True):
        surprises = np.array([-value for value in row.logprobs if value is not None])
        sums = np.cumsum(np.concatenate(([0.0], surprises)))
        width = min(window, len(surprises))
        worst[place] = max(worst[place], float((sums[width:] - sums[:-width]).max() / width))
    return worst


def perplexity_filter(target: Sampler) -> PerplexityFilter:
    """`PerplexityFilter` by the town's own base model."""
    return PerplexityFilter(target, *town_filter())


DEFENCES: dict[str, Callable[[Sampler], Sampler]] = {
    "self-reminder": SelfReminder,
    "perplexity-filter": perplexity_filter,
}
"""Every defence by the name it has in a stack (`M+self-reminder+perplexity-filter`)."""

from . import guards  # noqa: E402, F401  enters the others; it needs the names above
