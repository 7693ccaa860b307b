"""Best of N: sample N, keep the one the reward model likes best. No training (Stiennon et al. 2020; Nakano et
al. 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from ..evals.statistics import mean_ci
from ..feedback import Judge
from ..losses import best_of_n_estimate, best_of_n_kl
from ..models.policy import Policy
from ..records import Completion, Prompt, Score
from ..run import RunDir, derive_seed
from ..sampling import Sampler, Sampling
from ..sampling.local import LocalSampler
from ..settings import BestOfNSettings, SamplingSettings

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
    chunks = [prompts[i : i + CHUNK] for i in range(0, len(prompts), CHUNK)]
    picks: list[Pick] = []
    for number, chunk in enumerate(run.track(chunks, desc="best of n")):
        picks += pick(
            sampler,
            judge,
            chunk,
            n=settings.per_prompt,
            sampling=s,
            seed=derive_seed(seed, "best-of-n", number),
        )
    run.add_data("completions", [p.best for p in picks])
    summary: dict[str, Any] = {
        "n": settings.per_prompt,
        "temperature": s.temperature,
        "kl": best_of_n_kl(settings.per_prompt),
        "proxy": mean_ci([max(p.values) for p in picks]),
        "proxy_one": mean_ci([p.values[0] for p in picks]),
    }
    if gold:
        summary |= {
            "gold": mean_ci([score.value for score in gold.score([p.best for p in picks])]),
            "gold_one": mean_ci([score.value for score in gold.score([p.completions[0] for p in picks])]),
        }
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
    scores = iter(judge.score([c for group in groups for c in group]))
    return [Pick(tuple(group), tuple(next(scores) for _ in group)) for group in groups]


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
    """Proxy and gold of the best of n for n = 1, 2, 4, ... up to `max_n`, all from the same `max_n` samples a
    prompt.

    Args:
        track: shows how far it is.

    Returns:
        Rows of `n`, `kl` (the bound, nats), `proxy` S and `gold` S (None where unknown) by the unbiased
        estimate; and the 20 picks of `max_n` that mislead most: those with the lowest gold, the highest proxy
        first.
    """
    picks: list[Pick] = []
    truth: list[list[Score]] = []
    chunks = [prompts[i : i + 16] for i in range(0, len(prompts), 16)]
    for number, chunk in enumerate(track(chunks)):
        found = pick(
            sampler, judge, chunk, n=max_n, sampling=sampling, seed=derive_seed(seed, "curve", number)
        )
        picks += found
        truth += [gold.score(p.completions) for p in found] if gold else []
    proxy_PM = torch.tensor([p.values for p in picks], dtype=torch.float64)
    gold_PM = (
        torch.tensor([[score.value for score in scores] for scores in truth], dtype=torch.float64)
        if gold
        else None
    )
    rows = [
        {
            "n": n,
            "kl": best_of_n_kl(n),
            "proxy": mean_ci(best_of_n_estimate(proxy_PM, proxy_PM, n).tolist()),
            "gold": mean_ci(best_of_n_estimate(proxy_PM, gold_PM, n).tolist())
            if gold_PM is not None
            else None,
        }
        for n in (2**k for k in range(max_n.bit_length()))
    ]
    picked = [
        p.best.to_json()
        | {"proxy": max(p.values), "gold": scores[p.place].value, "reason": scores[p.place].reason}
        for p, scores in zip(picks, truth, strict=False)
    ]  # no truth, no rows
    return rows, sorted(picked, key=lambda row: (row["gold"], -row["proxy"]))[:20]
