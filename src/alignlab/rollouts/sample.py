"""From prompts to completions."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import cache, lru_cache, partial
from threading import Thread
from typing import Any, TypeAlias

from ..models.policy import Policy
from ..records import Completion, Prompt
from ..run import RunDir, at_step, derive_seed, ranks
from ..sampling import ModelSampler, Sampling
from ..sampling.local import LocalSampler
from ..sampling.vllm import VllmSampler
from ..settings import RolloutTraining
from ..text.disk import remove
from .fitting import OnPolicySettings, prompts_that_fit

WRITTEN = ("text", "ids", "logprobs", "finished", "source", "blocked", "prompt_ids")
"""What processes tell one another of a completion, and what is kept of one that was written ahead."""

Rows: TypeAlias = list[list[list[Any]]]
"""Of each prompt its completions, of each of those what is `WRITTEN`."""


class Source:
    """Where a loop's completions come from: its policy as it is, on the prompts that fit (`dropped` did not).

    Args:
        sampler: who writes the completions; None = as the settings say. With a `staleness` of 1 its weights
            are not those that are trained: it writes while they change.

    Attributes:
        staleness: how many updates older the policy was that wrote the last batch.
    """

    def __init__(
        self,
        run: RunDir,
        policy: Policy,
        prompts: Sequence[Prompt],
        settings: OnPolicySettings,
        *,
        seed: int,
        sampler: ModelSampler | None = None,
    ) -> None:
        self.prompts, self.dropped = prompts_that_fit(run, policy, prompts, settings)
        self.policy, self.seed = policy, seed
        self.sampling = Sampling.of(settings.sampling, settings.per_prompt)
        self.sampler = sampler or _sampler(run, policy, settings)
        self.staleness = 0
        self._batches = settings.steps if isinstance(settings, RolloutTraining) and settings.staleness else 0
        self._ahead: Callable[[], Rows] | None = None

    def go_on(self, numbers: dict[str, Any]) -> None:
        """Have what is written ahead saved with the loop's own numbers (`Trained.numbers`), and take up what
        was.
        """
        if self._batches:
            if rows := numbers.get("ahead"):
                self._ahead = lambda: rows
            numbers["ahead"] = self.written_ahead

    def written_ahead(self) -> Rows:
        """The next step's completions, once they are there; none where nobody is at them. All processes ask.

        Raises:
            UserError: what went wrong while they were written.
        """
        return self._ahead() if self._ahead else []

    def sample(self, count: int, step: int, *, draws: str = "rollout", at: int = -1) -> list[Completion]:
        """`per_prompt` completions of each of the step's prompts, side by side.

        With a `staleness` of 1 the next step's are begun beside the update: by the policy as it is now, which
        is one update old when they are learnt from.

        Args:
            draws: what their seed is for. at: the step of an error, where it is another one.

        Raises:
            GuardStop: the policy's logits are not finite.
        """
        prompts = prompts_of_step(self.prompts, count, step, self.seed)
        with at_step(step if at < 0 else at):
            rows = self.written_ahead()
            self._ahead, self.staleness = None, int(bool(rows))
            self.sampler.sync(self.policy.model)
            rows = rows or ranks.shared(self._writing(step, draws), prompts)
            if step + 1 < self._batches:
                self._ahead = self._begun(count, step + 1, draws)
        return [
            _completion(prompt, row) for prompt, group in zip(prompts, rows, strict=True) for row in group
        ]

    def close(self) -> None:
        self.sampler.close()

    def _writing(self, step: int, draws: str) -> Callable[[int, Sequence[Prompt]], Rows]:
        """How a process writes its part of a step's completions."""
        seed = derive_seed(self.seed, draws, step)

        def written(first: int, part: Sequence[Prompt]) -> Rows:
            groups = self.sampler.sample(part, self.sampling, seed=seed, first=first)
            return [[[getattr(c, name) for name in WRITTEN] for c in group] for group in groups]

        return written

    def _begun(self, count: int, step: int, draws: str) -> Callable[[], Rows]:
        """A step's completions, which a thread begins to write; whoever asks for them waits until they are
        there. The thread talks to the sampler alone, and not to other processes.
        """
        prompts = prompts_of_step(self.prompts, count, step, self.seed)
        own = ranks.part(len(prompts))
        coming = _in_thread(partial(self._writing(step, draws), own.start, prompts[own]))
        return cache(lambda: ranks.shared(lambda *_: coming.result(), prompts))


def _sampler(run: RunDir, policy: Policy, settings: OnPolicySettings) -> ModelSampler:
    """Who writes the completions, as the settings say."""
    folder = run.path / "weights"
    remove(folder)  # of a run that was stopped
    if isinstance(settings, RolloutTraining) and settings.sampler:
        return VllmSampler(settings.sampler, policy, folder)
    return LocalSampler.of(policy, slots=settings.sampling.slots, name="policy")


def _in_thread(work: Callable[[], Rows]) -> Future[Rows]:
    """What a thread works out, or the error that it came to. It ends with the process."""
    future: Future[Rows] = Future()

    def worked() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=worked, name="ahead", daemon=True).start()
    return future


def _completion(prompt: Prompt, row: Sequence[Any]) -> Completion:
    told: dict[str, Any] = dict(zip(WRITTEN, row, strict=True))
    told |= {name: tuple(told[name]) for name in ("ids", "logprobs", "prompt_ids")}
    return Completion(prompt, **told)


def prompts_of_step(prompts: Sequence[Prompt], count: int, step: int, seed: int) -> list[Prompt]:
    """The prompts of one step: every prompt once per epoch, in an order that follows from the seed."""
    chosen = []
    for place in range(step * count, (step + 1) * count):
        epoch, i = divmod(place, len(prompts))
        chosen.append(prompts[_order(len(prompts), derive_seed(seed, "prompts", epoch))[i]])
    return chosen


@lru_cache(maxsize=2)
def _order(length: int, seed: int) -> list[int]:
    order = list(range(length))
    random.Random(seed).shuffle(order)
    return order
