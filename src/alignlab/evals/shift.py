"""Distribution shift: how often a reward model is right about what a policy writes, as the policy moves away
from the data it was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, combinations
from operator import itemgetter
from typing import Any

from ..feedback import Judge, part_means
from ..losses import best_of_n_kl
from ..models.policy import Policy, context_of
from ..records import Completion, Prompt
from ..sampling import Sampling
from ..sampling.local import LocalSampler
from ..settings import SamplingSettings
from .answers import kl_from
from .preference import BIG
from .statistics import ahead, mean_by_prompt


def accuracy_on_policy(
    judge: Judge,
    gold: Judge,
    policy: Policy,
    prompts: Sequence[Prompt],
    *,
    per_prompt: int = 4,
    sampling: SamplingSettings,
    seed: int,
    reference: Policy | None = None,
) -> dict[str, Any]:
    """A judge's accuracy against gold on pairs of one prompt's completions, sampled from the policy itself.

    Args:
        per_prompt: completions per prompt, 2 or more: all pairs of them that differ in gold count.
        reference: where KL is measured from; None if the policy is the reference itself, KL 0.

    Returns:
        `accuracy` and `accuracy_big` (pairs at least `BIG` apart), `kl` (k1, nats per completion), `proxy`
        and `gold` (means of the scores), each an S; `differ`, the share of pairs that differ in gold; for an
        ensemble `judge/spread`. All are means over prompts (`statistics.mean_by_prompt`); n of an accuracy
        counts prompts with such a pair.
    """
    groups = _sampled(policy, prompts, per_prompt, sampling, seed)
    kl = {"mean": 0.0, "ci": [0.0, 0.0], "n": len(groups)}  # from itself, exactly
    if reference:
        kl = kl_from(list(chain.from_iterable(groups)), policy, reference)
    return _measured(judge, gold, groups) | {"kl": kl}


def accuracy_on_best_of_n(
    judge: Judge,
    gold: Judge,
    policy: Policy,
    prompts: Sequence[Prompt],
    *,
    n: int,
    per_prompt: int = 4,
    sampling: SamplingSettings,
    seed: int,
) -> dict[str, Any]:
    """As `accuracy_on_policy`, for the policy that samples n and keeps the one the judge likes best:
    `per_prompt` such picks are compared.

    `kl` is the bound log n - (n - 1) / n. Whatever fools the judge is what it picks, so that this falls
    sooner than anything that is learned.
    """
    drawn = _sampled(policy, prompts, n * per_prompt, sampling, seed)
    scores = iter(judge.score(list(chain.from_iterable(drawn))))
    groups = []
    for group in drawn:
        scored = [(next(scores).value, completion) for completion in group]
        picks = [max(scored[i : i + n], key=itemgetter(0)) for i in range(0, len(scored), n)]
        groups.append([completion for _, completion in picks])
    bound = best_of_n_kl(n)
    return _measured(judge, gold, groups) | {"kl": {"mean": bound, "ci": [bound, bound], "n": len(groups)}}


def _sampled(
    policy: Policy, prompts: Sequence[Prompt], n: int, sampling: SamplingSettings, seed: int
) -> list[list[Completion]]:
    sampler = LocalSampler.of(policy, slots=sampling.slots, name="shift")
    most = min(sampling.max_new_tokens, context_of(policy.model))
    groups = sampler.sample(prompts, replace(Sampling.of(sampling, n), max_new_tokens=most), seed=seed)
    sampler.close()
    return groups


def _measured(judge: Judge, gold: Judge, groups: Sequence[Sequence[Completion]]) -> dict[str, Any]:
    flat = list(chain.from_iterable(groups))
    proxies, truths = judge.score(flat), gold.score(flat)
    prompts = [completion.prompt.id for completion in flat]
    right: dict[float, list[float]] = {1e-9: [], BIG: []}
    of: dict[float, list[str]] = {1e-9: [], BIG: []}
    differ: list[float] = []
    paired: list[str] = []
    at = 0
    for group in groups:
        for i, j in combinations(range(at, at + len(group)), 2):
            truth = truths[i].value - truths[j].value
            differ.append(float(abs(truth) > 1e-9))
            paired.append(prompts[i])
            for apart in right:
                if abs(truth) >= apart:
                    right[apart].append(ahead((proxies[i].value - proxies[j].value) * truth, 0.0))
                    of[apart].append(prompts[i])
        at += len(group)
    return {
        "accuracy": mean_by_prompt(right[1e-9], of[1e-9], share=True),
        "accuracy_big": mean_by_prompt(right[BIG], of[BIG], share=True),
        "differ": mean_by_prompt(differ, paired, share=True),
        "proxy": mean_by_prompt([s.value for s in proxies], prompts),
        "gold": mean_by_prompt([s.value for s in truths], prompts),
        **part_means(judge, proxies),
    }
