"""From prompts to scored completions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from ..data.checks import FitReport, fit
from ..feedback import Judge
from ..models.policy import Policy, context_of
from ..records import Completion, Prompt, Score
from ..run import RunDir, at_step, derive_seed, guard_finite
from ..sampling import ModelSampler, Sampling
from ..settings import GroupSettings, OnlineDPOSettings, PPOSettings, RejectionSettings


def prompts_that_fit(
    run: RunDir,
    policy: Policy,
    prompts: Sequence[Prompt],
    settings: PPOSettings | GroupSettings | OnlineDPOSettings | RejectionSettings,
) -> tuple[list[Prompt], FitReport]:
    """The prompts of at most `max_prompt_length` tokens that leave room for an answer; what was cut or
    dropped is said, and they go into the run's data.

    Raises:
        DataError: no prompt fits, or most of them are lost.
    """
    name, sampling = run.info["stage"], settings.sampling
    longest = min(settings.max_prompt_length, context_of(policy.model) - sampling.max_new_tokens)
    prompts, report = fit(
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
    run.add_data("prompts", prompts)
    return prompts, report


def prompts_of_step(prompts: Sequence[Prompt], count: int, step: int, seed: int) -> list[Prompt]:
    """The prompts of one step: every prompt once per epoch, in an order that follows from the seed."""
    places = (divmod(place, len(prompts)) for place in range(step * count, (step + 1) * count))
    return [prompts[_order(len(prompts), derive_seed(seed, "prompts", epoch))[i]] for epoch, i in places]


@lru_cache(maxsize=2)
def _order(length: int, seed: int) -> list[int]:
    order = list(range(length))
    random.Random(seed).shuffle(order)
    return order


def sample(
    sampler: ModelSampler,
    policy: Policy,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    *,
    step: int,
    seed: int,
) -> list[Completion]:
    """Completions by the policy as it is now, those of a prompt side by side.

    Raises:
        GuardStop: its logits are not finite, at this step.
    """
    sampler.sync(policy.model)
    with at_step(step):
        groups = sampler.sample(prompts, sampling, seed=seed)
    return [completion for group in groups for completion in group]


def judged(judge: Judge, completions: Sequence[Completion], step: int) -> list[Score]:
    """What a judge says of each completion.

    Raises:
        GuardStop: a score that is not finite, with the step and the completion.
    """
    scores = judge.score(completions)
    for completion, score in zip(completions, scores, strict=True):
        guard_finite(
            score.value,
            step=step,
            what=f"the score of {judge.name}",
            sample=f"{completion.prompt.text} | {completion.text}",
        )
    return scores


def shaped_scores(
    scores: Sequence[float], completions: Sequence[Completion], settings: PPOSettings | GroupSettings
) -> Tensor:
    """(B,) scores clipped to plus and minus `score_clip` (0 = off), less `missing_end_penalty` where a
    completion was cut before it ended.
    """
    scores_B = torch.tensor(scores)
    if settings.score_clip:
        scores_B = scores_B.clamp(-settings.score_clip, settings.score_clip)
    return scores_B - settings.missing_end_penalty * torch.tensor([not c.finished for c in completions])
