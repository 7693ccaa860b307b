"""PPO against a reward model, with a KL penalty against the model it started from (InstructGPT, section 3.5, equation 2)."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..data.checks import fit
from ..errors import ConfigError
from ..feedback import Judge
from ..losses import (
    adaptive_kl_coef,
    explained_variance,
    gae,
    kl_estimate,
    kl_shaped_rewards,
    masked_whiten,
    ppo_policy_loss,
    ppo_value_loss,
    sft_loss,
)
from ..models.batch import pad
from ..models.chat import Rendered, prompt_ids
from ..models.forward import laid_out, token_logprobs_of, token_stats, value_BT
from ..models.load import Policy, RewardModel, context_of, load_tensors, trainable_tensors
from ..models.optimizer import MasterAdamW
from ..records import Completion, Prompt
from ..run import RunDir, at_step, derive_seed, guard_finite
from ..sampling.local import LocalSampler
from ..settings import PPOSettings

Minibatch = list[list[int]]
"""The rows of one optimiser update, cut into micro-batches."""


@dataclass(frozen=True, slots=True)
class Rollouts:
    """One batch of completions with all that the update needs; (B, T) tensors are 0 outside the completion."""

    completions: list[Completion]
    rows: list[Rendered]
    mask_BT: Tensor
    scores_B: Tensor
    old_logprobs_BT: Tensor
    ref_logprobs_BT: Tensor
    old_values_BT: Tensor
    advantages_BT: Tensor
    returns_BT: Tensor


def train(run: RunDir, policy: Policy, reference: Policy | None, value_model: RewardModel, prompts: Sequence[Prompt], settings: PPOSettings, *,
          judge: Judge, gold: Judge | None = None, ptx_rows: Sequence[Sequence[int]] | Tensor | None = None, seed: int) -> dict[str, Any]:
    """Train the policy in place. Dropout stays off: the policy that is updated is the one that wrote the tokens.

    Args:
        reference: the frozen model that KL is measured from; None stands for the policy with its adapter off.
        value_model: a model with a scalar head, trained along with an optimiser of its own; usually started from the reward model.
        judge: gives the score that is optimised; any judge will do.
        gold: a judge that knows the truth, logged beside the proxy and never optimised.
        ptx_rows: token ids of pretraining text, mixed in when `ptx_coef` is not 0 (PPO-ptx); longer ones are cut to the context.

    Metrics of a step carry the field's names. `objective/*` are means over completions, taken before the update: `kl` (k1), `kl_k2` and
    `kl_k3` are sums over the tokens of a completion. `policy/*`, `loss/*` and `val/*` are means over the updates of means over the masked
    tokens; `val/ratio_first` is the ratio on the first minibatch, 1 in fp32. `time/*` are seconds.

    Returns:
        Score, KL and gold (None where unknown) over the first and the last tenth of the steps.

    Raises:
        ConfigError: settings that PPO cannot work with. DataError: no prompt fits. GuardStop: a score, loss or gradient that is not finite.
    """
    # 1. prompts that fit; two optimisers, where they were if the run goes on
    check(settings, ptx_rows)
    s, context = settings.sampling, context_of(policy.model)
    longest = min(settings.max_prompt_length, context - s.max_new_tokens)
    prompts, report = fit(prompts, policy.tokenizer, longest)
    run.note(f"ppo: {report.kept} of {report.read} prompts fit into {longest} tokens (longest {report.longest})")
    if s.top_p < 1:
        run.note(f"ppo: top_p {s.top_p} samples from less than the policy; ratios and KL are those of the whole policy")
    run.add_data("prompts", prompts)
    updates = settings.steps * settings.epochs * -(-settings.rollouts // settings.minibatch)
    value_optim = replace(settings.optim, lr=settings.value_lr or settings.optim.lr)
    policy_optimizer = MasterAdamW(policy.model.parameters(), settings.optim, updates)
    value_optimizer = MasterAdamW(value_model.model.parameters(), value_optim, updates)
    kl_coef: float = settings.kl_coef
    history: list[dict[str, float | None]] = []
    if saved := run.load_state():
        _, tensors, extra = saved
        load_tensors(policy.model, tensors)
        load_tensors(value_model.model, tensors, "value")
        policy_optimizer.load_state_tensors(tensors)
        value_optimizer.load_state_tensors(tensors, "value_optim")
        kl_coef, history = extra["kl_coef"], extra["history"]

    def state() -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = trainable_tensors(policy.model) | trainable_tensors(value_model.model, "value")
        return tensors | policy_optimizer.state_tensors() | value_optimizer.state_tensors("value_optim"), {"kl_coef": kl_coef, "history": history}

    policy.model.eval()
    value_model.model.eval()
    sampler = LocalSampler(policy.model, policy.tokenizer, slots=s.slots, end_ids=policy.end_ids, name="policy")
    for step in run.steps(settings.steps, desc="ppo", save=state):
        clock = [time.perf_counter()]

        # 2. the behaviour policy is the current policy: completions with their log-probabilities
        sampler.sync(policy.model)
        asked = prompts_of_step(prompts, settings.rollouts // settings.per_prompt, step, seed)
        with at_step(step):
            groups = sampler.sample(asked, n=settings.per_prompt, max_new_tokens=s.max_new_tokens, temperature=s.temperature, top_p=s.top_p,
                                    seed=derive_seed(seed, "rollout", step))
        completions = [completion for group in groups for completion in group]
        clock.append(time.perf_counter())

        # 3. feedback
        scores = [score.value for score in judge.score(completions)]
        for completion, score in zip(completions, scores, strict=True):
            guard_finite(score, step=step, what=f"the score of {judge.name}", sample=f"{completion.prompt.text} | {completion.text}")
        clock.append(time.perf_counter())

        # 4. log-probabilities, values, KL-shaped rewards and advantages
        passes = [minibatches(len(completions), settings, derive_seed(seed, "minibatch", step, epoch)) for epoch in range(settings.epochs)]
        rollouts, metrics = make_rollouts(policy, reference, value_model, completions, scores, passes[0], settings, kl_coef)

        # 5. passes over the batch: clipped policy and value updates
        rate = policy_optimizer.lr
        found: list[dict[str, float]] = []
        for epoch, passed in enumerate(passes):
            for number, minibatch in enumerate(passed):
                ptx = ptx_sample(ptx_rows, settings, context, derive_seed(seed, "ptx", step, epoch, number))
                losses = update(policy, value_model, rollouts, minibatch, settings, ptx)
                losses |= {"policy/grad_norm": policy_optimizer.step(), "val/grad_norm": value_optimizer.step()}
                for name in ("loss/policy_avg", "loss/value_avg", "policy/grad_norm", "val/grad_norm"):
                    guard_finite(losses[name], step=step, what=name, sample=completions[minibatch[0][0]].text)
                found.append(losses)
            if settings.target_kl and mean([m["policy/approxkl_avg"] for m in found[-len(passed):]]) > settings.target_kl:
                break
        clock.append(time.perf_counter())

        # 6. what is logged: the field's names, and gold beside the proxy
        truth = gold.score(completions) if gold and step % settings.gold_every == 0 else None
        metrics |= {name: mean([m[name] for m in found]) for name in found[0]}
        metrics |= {"val/ratio_first": found[0]["val/ratio"], "objective/kl_coef": kl_coef, "learning_rate": rate, "policy/updates": len(found),
                    "time/sampling": clock[1] - clock[0], "time/feedback": clock[2] - clock[1], "time/updating": clock[3] - clock[2]}
        if truth:
            metrics["objective/gold"] = mean([score.value for score in truth])
        run.log(step, metrics)
        proxy, golds = rollouts.scores_B.tolist(), [score.value for score in truth] if truth else None
        kl_B = (rollouts.old_logprobs_BT - rollouts.ref_logprobs_BT).sum(1).tolist()
        misled = misleading(proxy, golds)
        run.log_samples(step, [
            completions[i].to_json() | {"proxy": proxy[i], "kl": kl_B[i], "gold": truth[i].value if truth else None, "reason": truth[i].reason if truth else "",
                                        "misleading": i in misled}
            for i in dict.fromkeys([*best_and_worst(proxy), *misled[:3]])])
        history.append({"score": metrics["objective/scores"], "kl": metrics["objective/kl"], "gold": metrics.get("objective/gold")})
        if settings.kl_target:
            kl_coef = adaptive_kl_coef(kl_coef, metrics["objective/kl"], target=settings.kl_target, horizon=settings.kl_horizon, n=len(completions))

    sampler.close()
    score, kl, truly = (ends([value for row in history if (value := row[name]) is not None]) for name in ("score", "kl", "gold"))
    return {"steps": settings.steps, "score_first": score[0], "score_last": score[1], "kl_last": kl[1], "gold_first": truly[0], "gold_last": truly[1],
            "kl_coef_last": kl_coef, "dropped": report.dropped}


def check(settings: PPOSettings, ptx_rows: Sequence[Sequence[int]] | Tensor | None) -> None:
    """Raise ConfigError for settings that would do something else than they say."""
    s = settings
    if s.sampling.temperature <= 0:
        raise ConfigError(f"sampling.temperature = {s.sampling.temperature}", remedy="above 0: PPO learns from the chance that each token had")
    if min(s.steps, s.epochs, s.minibatch, s.per_prompt, s.gold_every) < 1:
        raise ConfigError("steps, epochs, minibatch, per_prompt and gold_every must be at least 1")
    if s.rollouts < 1 or s.rollouts % s.per_prompt:
        raise ConfigError(f"rollouts = {s.rollouts}, per_prompt = {s.per_prompt}", remedy="rollouts must be a multiple of per_prompt")
    if s.adapter.dropout:
        raise ConfigError(f"adapter.dropout = {s.adapter.dropout}", remedy="0: with dropout the policy that is updated is not the one that wrote the tokens")
    if s.ptx_coef and (ptx_rows is None or not len(ptx_rows)):
        raise ConfigError(f"ptx_coef = {s.ptx_coef} without pretraining text", remedy="name the text, or set ptx_coef to 0")


def make_rollouts(policy: Policy, reference: Policy | None, value_model: RewardModel, completions: list[Completion], scores: Sequence[float],
                  first_pass: Sequence[Minibatch], settings: PPOSettings, kl_coef: float) -> tuple[Rollouts, dict[str, float]]:
    """Log-probabilities, values, shaped rewards and advantages of a batch of completions, and what is logged of them.

    The old log-probabilities come from the trainer's own forward pass over the very micro-batches of the first pass, so that the
    first ratio is 1 to the last bit; how far the sampler's differ is logged. A completion cut at the limit has no end token: its last
    token carries the score, less `missing_end_penalty`.
    """
    rows = []
    for c in completions:
        before = prompt_ids(policy.tokenizer, c.prompt)
        rows.append(Rendered([*before, *c.ids], [0] * len(before) + [1] * len(c.ids)))
    mask, temperature = pad(rows, policy.pad_id).loss_mask_BT.to(policy.device), settings.sampling.temperature

    scores_B = torch.tensor(scores, device=policy.device)
    if settings.score_clip:
        scores_B = scores_B.clamp(-settings.score_clip, settings.score_clip)
    scores_B = scores_B - settings.missing_end_penalty * torch.tensor([not c.finished for c in completions], device=policy.device)

    old_logprobs_BT, ref_logprobs_BT, old_values_BT = (torch.zeros(mask.shape, device=policy.device) for _ in range(3))
    with torch.no_grad():
        for piece in (piece for minibatch in first_pass for piece in minibatch):
            layout = laid_out(policy.model, [rows[i] for i in piece], policy.pad_id)
            place = torch.tensor(piece), slice(layout.places_NL.shape[1])
            old_logprobs_BT[place] = layout.back(token_logprobs_of(policy.model, layout.batch, temperature=temperature))
            with policy.reference() if reference is None else contextlib.nullcontext(reference.model) as frozen:
                ref_logprobs_BT[place] = layout.back(token_logprobs_of(frozen, layout.batch, temperature=temperature))
            old_values_BT[place] = values_of(value_model, [rows[i] for i in piece])
    old_values_BT *= mask
    rewards_BT = kl_shaped_rewards(scores_B, old_logprobs_BT, ref_logprobs_BT, mask, kl_coef=kl_coef)
    if settings.whiten_rewards:
        rewards_BT = masked_whiten(rewards_BT, mask, shift_mean=False)
    advantages_BT, returns_BT = gae(rewards_BT, old_values_BT, mask, gamma=settings.gamma, lam=settings.lam)
    if settings.whiten_advantages:
        advantages_BT = masked_whiten(advantages_BT, mask)

    sampler_BT = torch.zeros_like(old_logprobs_BT).masked_scatter(mask.bool(), torch.tensor([p for c in completions for p in c.logprobs], device=policy.device))
    difference_BT = (old_logprobs_BT - sampler_BT).abs()
    kl = {k: (kl_estimate(old_logprobs_BT, ref_logprobs_BT, estimator=k) * mask).sum(1).mean().item() for k in ("k1", "k2", "k3")}
    score, finished = scores_B.mean().item(), sum(c.finished for c in completions)
    return Rollouts(completions, rows, mask, scores_B, old_logprobs_BT, ref_logprobs_BT, old_values_BT, advantages_BT, returns_BT), {
        "objective/kl": kl["k1"], "objective/kl_k2": kl["k2"], "objective/kl_k3": kl["k3"], "objective/entropy": -old_logprobs_BT.sum(1).mean().item(),
        "objective/scores": score, "objective/scores_std": scores_B.std(correction=0).item(),
        "objective/non_score_reward": -kl_coef * kl["k1"], "objective/rlhf_reward": score - kl_coef * kl["k1"],
        "critic/vf_explained_var": explained_variance(old_values_BT, returns_BT, mask).item(), "val/num_eos_tokens": finished,
        "completions/mean_length": mask.sum().item() / len(completions), "completions/clipped_ratio": 1 - finished / len(completions),
        "sampling/sampling_logp_difference/mean": (difference_BT.sum() / mask.sum()).item(),
        "sampling/sampling_logp_difference/max": difference_BT.max().item(),
    }


def minibatches(count: int, settings: PPOSettings, seed: int) -> list[Minibatch]:
    """All rows once, in an order that follows from the seed, the completions of a prompt side by side: minibatches of micro-batches of rows."""
    groups = [list(range(at, min(at + settings.per_prompt, count))) for at in range(0, count, settings.per_prompt)]
    random.Random(seed).shuffle(groups)
    order = [row for group in groups for row in group]
    updates = [order[i : i + settings.minibatch] for i in range(0, count, settings.minibatch)]
    size = settings.micro_batch or settings.minibatch
    return [[rows[i : i + size] for i in range(0, len(rows), size)] for rows in updates]


def values_of(value_model: RewardModel, rows: Sequence[Rendered]) -> Tensor:
    """Values (N, L) in the unit of the normalised score: a value model that starts from the reward model then starts near the returns."""
    layout = laid_out(value_model.model, rows, value_model.pad_id)
    return (layout.back(value_BT(value_model.model, layout.batch)) - value_model.mean) / value_model.std


def update(policy: Policy, value_model: RewardModel, rollouts: Rollouts, minibatch: Minibatch, settings: PPOSettings, ptx: list[list[int]]) -> dict[str, float]:
    """Gradients of one minibatch, in micro-batches over its whole token count; returns its metrics. The caller steps the optimisers.

    `vf_coef` scales the value model's gradient. It is a model with an optimiser of its own, so AdamW undoes a scale, and what is left
    of it is where `max_grad_norm` begins to clip.
    """
    count = float(rollouts.mask_BT[[i for piece in minibatch for i in piece]].sum())
    totals: dict[str, float] = {}  # over tokens, so that dividing once makes the mean of ratios that are all 1 a 1
    for piece in minibatch:
        rows = [rollouts.rows[i] for i in piece]
        place = torch.tensor(piece), slice(max(len(row.ids) for row in rows))
        mask = rollouts.mask_BT[place]
        layout = laid_out(policy.model, rows, policy.pad_id)
        stats = token_stats(policy.model, layout.batch, temperature=settings.sampling.temperature)
        policy_loss, policy_metrics = ppo_policy_loss(layout.back(stats.logprobs_BT), rollouts.old_logprobs_BT[place], rollouts.advantages_BT[place], mask,
                                                      cliprange=settings.cliprange, denominator=count)
        policy_loss.backward()
        value_loss, value_metrics = ppo_value_loss(values_of(value_model, rows) * mask, rollouts.old_values_BT[place], rollouts.returns_BT[place], mask,
                                                   cliprange_value=settings.cliprange_value, denominator=count)
        (settings.vf_coef * value_loss).backward()
        sums = {name: float(value) * float(mask.sum()) for name, value in (policy_metrics | value_metrics).items()}
        sums |= {"loss/policy_avg": policy_loss.item() * count, "loss/value_avg": value_loss.item() * count, "policy/entropy_avg": stats.entropy_BT.sum().item()}
        totals = {name: totals.get(name, 0.0) + value for name, value in sums.items()}
    found = {name: total / count for name, total in totals.items()}
    if ptx:
        batch = pad([Rendered(ids, [1] * len(ids)) for ids in ptx], policy.pad_id).to(policy.device)
        loss, _ = sft_loss(token_logprobs_of(policy.model, batch), batch.loss_mask_BT, denominator=float(batch.loss_mask_BT[:, 1:].sum()))
        (settings.ptx_coef * loss).backward()
        found["loss/ptx_avg"] = loss.item()
    return found


def prompts_of_step(prompts: Sequence[Prompt], count: int, step: int, seed: int) -> list[Prompt]:
    """The prompts of one step: every prompt once an epoch, in an order that follows from the seed."""
    places = (divmod(place, len(prompts)) for place in range(step * count, (step + 1) * count))
    return [prompts[_order(len(prompts), derive_seed(seed, "prompts", epoch))[i]] for epoch, i in places]


@lru_cache(maxsize=2)
def _order(length: int, seed: int) -> list[int]:
    order = list(range(length))
    random.Random(seed).shuffle(order)
    return order


def ptx_sample(rows: Sequence[Sequence[int]] | Tensor | None, settings: PPOSettings, context: int, seed: int) -> list[list[int]]:
    """Pretraining rows for one update; none where they are not wanted."""
    if not settings.ptx_coef or rows is None:
        return []
    chosen = random.Random(seed).sample(range(len(rows)), min(settings.ptx_batch, len(rows)))
    return [[int(token) for token in rows[i][:context]] for i in chosen]


def best_and_worst(proxy: Sequence[float]) -> list[int]:
    """The two best of a step by proxy, and the worst."""
    order = sorted(range(len(proxy)), key=lambda i: -proxy[i])
    return [*order[:2], order[-1]]


def misleading(proxy: Sequence[float], gold: Sequence[float] | None) -> list[int]:
    """Where the proxy is above the batch's mean and gold below it: what the judge likes and should not. Lowest gold first, then highest proxy."""
    if not gold:
        return []
    liked, right = mean(proxy), mean(gold)
    found = [i for i in range(len(proxy)) if proxy[i] > liked and gold[i] < right]
    return sorted(found, key=lambda i: (gold[i], -proxy[i]))


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def ends(values: Sequence[float]) -> tuple[float | None, float | None]:
    """The means of the first and of the last tenth."""
    few = max(1, len(values) // 10)
    return (mean(values[:few]), mean(values[-few:])) if values else (None, None)
