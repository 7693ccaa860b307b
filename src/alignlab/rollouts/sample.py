"""From prompts to completions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

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
"""What processes tell one another of a completion."""


class Source:
    """Where a loop's completions come from: its policy as it is, on the prompts that fit (`dropped` did not).

    Args:
        sampler: who writes the completions; None = as the settings say.
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

    def sample(self, count: int, step: int, *, draws: str = "rollout", at: int = -1) -> list[Completion]:
        """`per_prompt` completions of each of the step's prompts, side by side.

        Args:
            draws: what their seed is for. at: the step of an error, where it is another one.

        Raises:
            GuardStop: the policy's logits are not finite.
        """
        prompts = prompts_of_step(self.prompts, count, step, self.seed)
        self.sampler.sync(self.policy.model)
        seed = derive_seed(self.seed, draws, step)

        def written(first: int, part: Sequence[Prompt]) -> list[list[Any]]:
            groups = self.sampler.sample(part, self.sampling, seed=seed, first=first)
            return [[[getattr(c, name) for name in WRITTEN] for c in group] for group in groups]

        with at_step(step if at < 0 else at):
            if ranks.size() == 1:
                groups = self.sampler.sample(prompts, self.sampling, seed=seed)
                return [completion for group in groups for completion in group]
            groups = ranks.shared(written, prompts)
        return [
            _completion(prompt, row) for prompt, group in zip(prompts, groups, strict=True) for row in group
        ]

    def close(self) -> None:
        self.sampler.close()


def _sampler(run: RunDir, policy: Policy, settings: OnPolicySettings) -> ModelSampler:
    """Who writes the completions, as the settings say."""
    folder = run.path / "weights"
    remove(folder)  # of a run that was stopped
    if isinstance(settings, RolloutTraining) and settings.sampler:
        return VllmSampler(settings.sampler, policy, folder)
    return LocalSampler.of(policy, slots=settings.sampling.slots, name="policy")


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
