"""Best of N: sample N, keep the one the reward model likes best. No training (Stiennon et al. 2020; Nakano et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..evals.statistics import mean_ci
from ..feedback import Judge
from ..losses import best_of_n_estimate, best_of_n_kl
from ..models.load import Policy
from ..records import Completion, Prompt
from ..run import RunDir, derive_seed
from ..sampling.local import LocalSampler
from ..settings import BestOfNSettings


def run(run: RunDir, policy: Policy, judge: Judge, gold: Judge | None, prompts: Sequence[Prompt], settings: BestOfNSettings, *, seed: int) -> dict[str, Any]:
    """Pick the best of N for every prompt into data/completions.jsonl; with `curve_max`, proxy and gold against N.

    Returns:
        `proxy` (S, of the picks), `proxy_one` (S, of one sample), `gold` where known, `kl` (the bound at N) and `curve`:
        rows of n, kl, proxy S, gold S by the unbiased estimate.
    """
    s = settings.sampling
    sampler = LocalSampler(policy.model, policy.tokenizer, slots=s.slots, end_ids=policy.end_ids, name="best of n")
    picks: list[Completion] = []
    proxies: list[float] = []
    first: list[float] = []
    chunks = [prompts[i : i + 64] for i in range(0, len(prompts), 64)]
    for number, chunk in enumerate(run.track(chunks, desc="best of n")):
        groups = sampler.sample(chunk, n=settings.n, max_new_tokens=s.max_new_tokens, temperature=s.temperature, top_p=s.top_p,
                                seed=derive_seed(seed, "best-of-n", number))
        scores = iter(judge.score([c for group in groups for c in group]))
        for group in groups:
            values = [next(scores).value for _ in group]
            best = max(range(len(group)), key=values.__getitem__)
            picks.append(group[best])
            proxies.append(values[best])
            first.append(values[0])
    run.add_data("completions", picks)
    summary: dict[str, Any] = {"n": settings.n, "kl": best_of_n_kl(settings.n), "proxy": mean_ci(proxies), "proxy_one": mean_ci(first)}
    if gold:
        summary["gold"] = mean_ci([score.value for score in gold.score(picks)])
    if settings.curve_max > 1:
        summary["curve"] = curve(run, sampler, judge, gold, prompts[: settings.curve_prompts], settings, seed=seed)
    sampler.close()
    return summary


def curve(run: RunDir, sampler: LocalSampler, judge: Judge, gold: Judge | None, prompts: Sequence[Prompt], settings: BestOfNSettings, *, seed: int) -> list[dict]:
    """Proxy and gold of the best of n for n = 1, 2, 4, ... from `curve_max` samples a prompt; the most misleading picks go into samples.jsonl."""
    s = settings.sampling
    proxy, truth = [], []
    worst: list[dict[str, Any]] = []
    chunks = [prompts[i : i + 16] for i in range(0, len(prompts), 16)]
    for number, chunk in enumerate(run.track(chunks, desc="best-of-n curve")):
        groups = sampler.sample(chunk, n=settings.curve_max, max_new_tokens=s.max_new_tokens, temperature=s.temperature, top_p=s.top_p,
                                seed=derive_seed(seed, "curve", number))
        flat = [c for group in groups for c in group]
        scores = torch.tensor([x.value for x in judge.score(flat)], dtype=torch.float64).view(len(chunk), -1)
        proxy.append(scores)
        if gold:
            found = gold.score(flat)
            values = torch.tensor([x.value for x in found], dtype=torch.float64).view(len(chunk), -1)
            truth.append(values)
            for row, group in enumerate(groups):
                best = int(scores[row].argmax())
                worst.append(group[best].to_json() | {"proxy": float(scores[row, best]), "gold": float(values[row, best]),
                                                      "reason": found[row * settings.curve_max + best].reason})
    run.log_samples(0, sorted(worst, key=lambda w: w["gold"] - 0.1 * w["proxy"])[:20])
    proxy_PM, gold_PM = torch.cat(proxy), torch.cat(truth) if truth else None
    rows, n = [], 1
    while n <= settings.curve_max:
        rows.append({"n": n, "kl": best_of_n_kl(n), "proxy": mean_ci(best_of_n_estimate(proxy_PM, proxy_PM, n).tolist()),
                     "gold": mean_ci(best_of_n_estimate(proxy_PM, gold_PM, n).tolist()) if gold_PM is not None else None})
        n *= 2
    return rows
