"""What every defence is: a sampler around a sampler, which changes prompts and answers or withholds them.

A defence changes the prompts, asks the target as often as it likes, and changes the completions. One that
blocks answers with `refused(...)`: `REFUSAL` as the text and its own name in `blocked` (`finish_reason:
content_filter` of the server). A completion carries the prompt that was asked, not the one the defence made
of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import compress

from ..records import Completion, Message, Prompt
from ..sampling import Sampler, Sampling
from ..sampling.answers import REFUSAL


class Guard:
    """A target, and the verbs with which a defence passes prompts on."""

    NAME = ""

    def __init__(self, target: Sampler) -> None:
        self.target = target

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling = Sampling(), *, seed: int = 0
    ) -> list[list[Completion]]:
        raise NotImplementedError

    def ask(self, sent: Sequence[Prompt], sampling: Sampling, seed: int) -> list[list[Completion]]:
        """The target's answers; nothing is asked where nothing is sent."""
        if not sent:
            return []
        return self.target.sample(sent, sampling, seed=seed)

    def pass_on(
        self, prompts: Sequence[Prompt], sent: Sequence[Prompt], sampling: Sampling, seed: int
    ) -> list[list[Completion]]:
        """The target's answers to what is sent, as answers to the prompts."""
        answers = self.ask(sent, sampling, seed)
        return [answers_to(prompt, row) for prompt, row in zip(prompts, answers, strict=True)]

    def only(
        self, prompts: Sequence[Prompt], passes: Sequence[bool], sampling: Sampling, seed: int
    ) -> list[list[Completion]]:
        """The target's answers to the prompts that pass, a refusal to the others."""
        good = list(compress(prompts, passes))
        answers = iter(self.pass_on(good, good, sampling, seed))
        rows = []
        for prompt, is_good in zip(prompts, passes, strict=True):
            rows.append(next(answers) if is_good else refused(prompt, self.NAME, sampling.n))
        return rows

    def withheld(self, completion: Completion) -> Completion:
        """A refusal in the place of an answer."""
        return refused(completion.prompt, self.NAME)[0]


def refused(prompt: Prompt, name: str, n: int = 1) -> list[Completion]:
    """The n completions of a prompt that the defence `name` blocks."""
    return [Completion(prompt, REFUSAL, source=name, blocked=name)] * n


def answers_to(prompt: Prompt, completions: Sequence[Completion]) -> list[Completion]:
    """The completions, as of this prompt."""
    return [replace(completion, prompt=prompt) for completion in completions]


def user_turns(prompt: Prompt) -> list[str]:
    """Everything the user said."""
    return [message.content for message in prompt.messages if message.role == "user"]


def last_user(prompt: Prompt) -> str:
    """What the user said last; empty where the user said nothing."""
    turns = user_turns(prompt)
    return turns[-1] if turns else ""


def with_last_user(prompt: Prompt, text: str) -> Prompt:
    """The prompt with another last turn of the user; as it is where the user said nothing."""
    messages = list(prompt.messages)
    for place in reversed(range(len(messages))):
        if messages[place].role == "user":
            messages[place] = Message("user", text)
            return Prompt(tuple(messages), prompt.meta)
    return prompt
