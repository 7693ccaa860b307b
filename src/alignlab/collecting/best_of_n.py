"""Best of N: sample N, keep the one the reward model likes best. No training (Stiennon et al. 2020; Nakano et
al. 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import Any

import torch

from ..evals.statistics import mean_ci, mean_over
from ..feedback import Judge, values_of
from ..losses import best_of_n_estimate, best_of_n_kl
from ..models.policy import Policy
from ..records import Completion, Prompt, Score
from ..run import RunDir, derive_seed
from ..sampling import Sampler, Sampling
from ..sampling.local import LocalSampler
from ..settings import BestOfNSettings, SamplingSettings
from ..text.lists import pieces

CHUNK = 256  # prompts sampled together, between two signs of progress


@dataclass(frozen=True, slots=True)
class Pick:
    """The n completions of one prompt, as they were drawn, with their scores."""

    completions: tuple[Completion, ...]
    scores: tuple[Score, ...]

    @property
    def values(self) -> list[float]:
        return [score.value for score in self.scores]

    @property
    def place(self) -> int:
        """Which one is picked; the first of equals."""
        return max(range(len(self.scores)), key=self.values.__getitem__)

    @property
    def best(self) -> Completion:
        return self.completions[self.place]


def run(
    run: RunDir,
    policy: Policy,
    judge: Judge,
    gold: Judge | None,
    prompts: Sequence[Prompt],
    settings: BestOfNSettings,
    *,
    seed: int,
) -> dict[str, Any]:
    """Pick the best of N for every prompt into data/completions.jsonl; with `curve_max`, proxy and gold
    against N at temperature 1.

    Returns:
        `proxy` (S, of the picks) and its control `proxy_one` (S, of one sample at the same temperature, a
        random pick), `gold` and `gold_one` where known, `kl` (the bound at N, from the policy at the
        temperature of the samples) and `curve`, whose most misleading picks go into samples.jsonl.
    """
    s = settings.sampling
    sampler = LocalSampler.of(policy, slots=s.slots, name="best of n")
    picks: list[Pick] = []
    for number, chunk in enumerate(run.track(pieces(prompts, CHUNK), desc="best of n")):
        picks += pick(
            sampler,
            judge,
            chunk,
            n=settings.per_prompt,
            sampling=s,
            seed=derive_seed(seed, "best-of-n", number),
        )
    best = [pick.best for pick in picks]
    run.add_data("completions", best)
    summary: dict[str, Any] = {
        "n": settings.per_prompt,
        "temperature": s.temperature,
        "kl": best_of_n_kl(settings.per_prompt),
        "proxy": mean_over(picks, lambda pick: max(pick.values)),
        "proxy_one": mean_over(picks, lambda pick: pick.values[0]),
    }
    if gold:
        first = [pick.completions[0] for pick in picks]
        summary["gold"] = mean_ci(values_of(gold, best))
        summary["gold_one"] = mean_ci(values_of(gold, first))
    if settings.curve_max > 1:
        summary["curve"], misleading = curve(
            sampler,
            judge,
            gold,
            prompts[: settings.curve_prompts],
            max_n=settings.curve_max,
            sampling=replace(s, temperature=1.0),
            seed=seed,
            track=partial(run.track, desc="best-of-n curve"),
        )
        run.log_samples(0, misleading)
    sampler.close()
    return summary


def pick(
    sampler: Sampler,
    judge: Judge,
    prompts: Sequence[Prompt],
    *,
    n: int,
    sampling: SamplingSettings,
    seed: int,
) -> list[Pick]:
    """n completions of each prompt, scored."""
    groups = sampler.sample(prompts, Sampling.of(sampling, n=n), seed=seed)
    scores = iter(judge.score(list(chain.from_iterable(groups))))
    return [Pick(tuple(group), tuple(islice(scores, len(group)))) for group in groups]


def curve(
    sampler: Sampler,
    judge: Judge,
    gold: Judge | None,
    prompts: Sequence[Prompt],
    *,
    max_n: int,
    sampling: SamplingSettings,
    seed: int,
    track: Callable[[list[Sequence[Prompt]]], Iterable[Sequence[Prompt]]] = iter,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Proxy and gold of the best of n for n = 1, 2, 4, ... up to `max_n`, all from the same `max_n` samples
    per prompt.

    Args:
        track: shows how far it is.

    Returns:
        Rows of `n`, `kl` (the bound, nats), `proxy` S and `gold` S (None where unknown) by the unbiased
        estimate; and the 20 picks of `max_n` that mislead most: those with the lowest gold, the highest proxy
        first.
    """
    # the same picks with the proxy's scores and with the truth's; without a gold judge the latter stay empty
    picks: list[Pick] = []
    true_picks: list[Pick] = []
    for number, chunk in enumerate(track(pieces(prompts, 16))):
        drawn = pick(
            sampler, judge, chunk, n=max_n, sampling=sampling, seed=derive_seed(seed, "curve", number)
        )
        picks += drawn
        if gold:
            true_picks += [Pick(each.completions, tuple(gold.score(each.completions))) for each in drawn]
    proxy_PM, gold_PM = _values_PM(picks), _values_PM(true_picks)
    rows = []
    for k in range(max_n.bit_length()):
        n = 2**k
        row = {"n": n, "kl": best_of_n_kl(n), "proxy": _estimate(proxy_PM, proxy_PM, n), "gold": None}
        if gold:
            row["gold"] = _estimate(proxy_PM, gold_PM, n)
        rows.append(row)
    misleading = []
    for by_proxy, by_gold in zip(picks, true_picks, strict=False):  # no truth, no rows
        true = by_gold.scores[by_proxy.place]
        shown = {"proxy": max(by_proxy.values), "gold": true.value, "reason": true.reason}
        misleading.append(by_proxy.best.to_json() | shown)
    return rows, sorted(misleading, key=lambda row: (row["gold"], -row["proxy"]))[:20]


def _values_PM(picks: Sequence[Pick]) -> torch.Tensor:
    return torch.tensor([pick.values for pick in picks], dtype=torch.float64)


def _estimate(by_PM: torch.Tensor, value_PM: torch.Tensor, n: int) -> dict[str, Any]:
    """S of the value of the best of n, picked by the one and valued by the other."""
    return mean_ci(best_of_n_estimate(by_PM, value_PM, n).tolist())
