"""From prompts to completions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache

from ..data.checks import fit
from ..models.policy import Policy, context_of
from ..records import Completion, Prompt
from ..run import RunDir, at_step, derive_seed
from ..sampling import ModelSampler, Sampling
from ..sampling.local import LocalSampler
from ..settings import GroupSettings, OnlineDPOSettings, PPOSettings, RejectionSettings
from ..settings.rules import check


class Source:
    """Where a loop's completions come from: its policy as it is, on the prompts of at most
    `max_prompt_length` tokens that leave room for an answer. What was cut or dropped is said, and the prompts
    go into the run's data.

    Args:
        sampler: who writes the completions; None samples from the policy in this process.

    Attributes:
        prompts: those that fit. dropped: how many did not.

    Raises:
        ConfigError: settings that cannot work. DataError: no prompt fits, or most of them are lost.
    """

    def __init__(
        self,
        run: RunDir,
        policy: Policy,
        prompts: Sequence[Prompt],
        settings: PPOSettings | GroupSettings | OnlineDPOSettings | RejectionSettings,
        *,
        seed: int,
        sampler: ModelSampler | None = None,
    ) -> None:
        check(settings)
        name, sampling = run.info["stage"], settings.sampling
        longest = min(settings.max_prompt_length, context_of(policy.model) - sampling.max_new_tokens)
        self.prompts, report = fit(
            prompts,
            policy.tokenizer,
            longest,
            truncate=settings.truncate,
            anyway=settings.anyway,
            setting="max_prompt_length",
        )
        cut = f", {report.cut} of them cut from the left" if report.cut else ""
        run.note(
            f"{name}: {report.kept} of {report.read} prompts fit into {longest} tokens (longest "
            f"{report.longest}){cut}"
        )
        if sampling.top_p < 1:
            run.note(
                f"{name}: top_p {sampling.top_p} samples from less than the policy; ratios and KL are those "
                "of the whole policy"
            )
        run.add_data("prompts", self.prompts)
        self.dropped, self.policy, self.seed = report.dropped, policy, seed
        self.sampling = Sampling.of(sampling, settings.per_prompt)
        self.sampler = sampler or LocalSampler.of(policy, slots=sampling.slots, name="policy")

    def sample(self, count: int, step: int, *, draws: str = "rollout", at: int = -1) -> list[Completion]:
        """`per_prompt` completions of each of the step's prompts, side by side.

        Args:
            draws: what their seed is for. at: the step of an error, where it is another one.

        Raises:
            GuardStop: the policy's logits are not finite.
        """
        prompts = prompts_of_step(self.prompts, count, step, self.seed)
        self.sampler.sync(self.policy.model)
        with at_step(step if at < 0 else at):
            groups = self.sampler.sample(prompts, self.sampling, seed=derive_seed(self.seed, draws, step))
        return [completion for group in groups for completion in group]

    def close(self) -> None:
        self.sampler.close()


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
