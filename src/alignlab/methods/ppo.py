"""PPO against a reward model, with a KL penalty against the model it started from (InstructGPT, section 3.5, equation 2)."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..data.checks import fit
from ..feedback import Judge
from ..losses import (
    adaptive_kl_coef, explained_variance, gae, kl_estimate, kl_shaped_rewards, masked_whiten, ppo_policy_loss, ppo_value_loss, sft_loss,
)
from ..models.batch import Batch, pad
from ..models.chat import Rendered, prompt_ids
from ..models.forward import token_logprobs_of, token_stats, value_BT
from ..models.load import Policy, RewardModel, load_tensors, trainable_tensors
from ..models.optimizer import MasterAdamW
from ..records import Completion, Prompt
from ..run import RunDir, derive_seed, guard_finite
from ..sampling.local import LocalSampler
from ..settings import OptimSettings, PPOSettings


@dataclass(frozen=True, slots=True)
class Rollouts:
    """One batch of completions with all that the update needs; (B, T) tensors are 0 outside the completion."""

    completions: list[Completion]
    batch: Batch
    scores_B: Tensor
    old_logprobs_BT: Tensor
    ref_logprobs_BT: Tensor
    old_values_BT: Tensor
    advantages_BT: Tensor
    returns_BT: Tensor


def train(run: RunDir, policy: Policy, reference: Policy | None, value_model: RewardModel, prompts: Sequence[Prompt], settings: PPOSettings, *,
          judge: Judge, gold: Judge | None = None, ptx_rows: Sequence[list[int]] | None = None, seed: int) -> dict[str, Any]:
    """Train the policy in place.

    Args:
        reference: the frozen model that KL is measured from; None stands for the policy with its adapter off.
        value_model: a model with a scalar head, trained along; usually started from the reward model.
        judge: gives the score that is optimised; any judge will do.
        gold: a judge that knows the truth, logged beside the proxy and never optimised.
        ptx_rows: token ids of pretraining text, mixed in when `ptx_coef` is not 0 (PPO-ptx).

    Metrics a step carry the field's names: `objective/*` over completions, `policy/*`, `loss/*` and `val/*` over the masked tokens of every update
    (`val/ratio_first`: the ratio on the first minibatch, exactly 1). Those under `time/` are seconds.
    """
    # 1. prompts that fit; two optimisers, where they were if the run goes on
    prompts, report = fit(prompts, policy.tokenizer, settings.max_prompt_length)
    run.note(f"ppo: {report}")
    minibatches = -(-settings.rollouts // settings.minibatch)
    updates = settings.steps * settings.epochs * minibatches
    policy_optimizer = MasterAdamW(policy.model.parameters(), settings.optim, updates)
    value_optimizer = MasterAdamW(value_model.model.parameters(), _value_optim(settings), updates)
    kl_coef, history = settings.kl_coef, []
    if saved := run.load_state():
        _, tensors, extra = saved
        load_tensors(policy.model, tensors)
        load_tensors(value_model.model, tensors, "value")
        policy_optimizer.load_state_tensors(tensors)
        value_optimizer.load_state_tensors(tensors, "value_optim")
        kl_coef, history = extra["kl_coef"], extra["history"]

    def state() -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = trainable_tensors(policy.model) | trainable_tensors(value_model.model, "value")
        return (tensors | policy_optimizer.state_tensors() | value_optimizer.state_tensors("value_optim"), {"kl_coef": kl_coef, "history": history})

    s = settings.sampling
    sampler = LocalSampler(policy.model, policy.tokenizer, slots=s.slots, end_ids=policy.end_ids, name="policy")
    for step in run.steps(settings.steps, desc="ppo", save=state):
        torch.manual_seed(derive_seed(seed, "ppo", step))
        clock = time.perf_counter()

        # 2. the behaviour policy is the current policy: completions with their log-probabilities
        sampler.sync(policy.model)
        asked = prompts_of_step(prompts, settings.rollouts // settings.per_prompt, step, seed)
        groups = sampler.sample(asked, n=settings.per_prompt, max_new_tokens=s.max_new_tokens, temperature=s.temperature, top_p=s.top_p,
                                seed=derive_seed(seed, "rollout", step))
        completions = [completion for group in groups for completion in group]
        sampled_at = time.perf_counter()

        # 3. feedback, 4. values, KL-shaped rewards and advantages
        rollouts, shaped = make_rollouts(policy, reference, value_model, completions, judge, settings, kl_coef)
        mask = rollouts.batch.loss_mask_BT
        guard_finite(float(rollouts.scores_B.sum()), step=step, what="the sum of the scores", sample=completions[0].text)

        # 5. passes over the batch: clipped policy and value updates
        found: list[dict[str, float]] = []
        for epoch in range(settings.epochs):
            order = list(range(len(completions)))
            random.Random(derive_seed(seed, "minibatch", step, epoch)).shuffle(order)
            epoch_kl = []
            for start in range(0, len(order), settings.minibatch):
                chosen = order[start : start + settings.minibatch]
                extra_rows = ptx_sample(ptx_rows, settings.ptx_batch, seed, step, epoch, start) if settings.ptx_coef and ptx_rows else []
                metrics = update(policy, value_model, rollouts, chosen, settings, extra_rows)
                guard_finite(metrics["loss/policy_avg"] + metrics["loss/value_avg"], step=step, what="the loss", sample=completions[chosen[0]].text)
                metrics["policy/grad_norm"], metrics["val/grad_norm"] = policy_optimizer.step(), value_optimizer.step()
                guard_finite(metrics["policy/grad_norm"], step=step, what="the gradient norm", sample=completions[chosen[0]].text)
                found.append(metrics)
                epoch_kl.append(metrics["policy/approxkl_avg"])
            if settings.target_kl and sum(epoch_kl) / len(epoch_kl) > settings.target_kl:
                break

        # 6. what is logged: the field's names, and gold beside the proxy
        kl_sums = {k: (kl_estimate(rollouts.old_logprobs_BT, rollouts.ref_logprobs_BT, estimator=k) * mask).sum(1) for k in ("k1", "k2", "k3")}
        truth = gold.score(completions) if gold and step % settings.gold_every == 0 else None
        metrics = {name: sum(m[name] for m in found) / len(found) for name in found[0]} | shaped | {
            "val/ratio_first": found[0]["val/ratio"],
            "objective/kl": kl_sums["k1"].mean().item(), "objective/kl_k2": kl_sums["k2"].mean().item(), "objective/kl_k3": kl_sums["k3"].mean().item(),
            "objective/entropy": (-(rollouts.old_logprobs_BT * mask).sum(1)).mean().item(), "objective/kl_coef": kl_coef,
            "val/num_eos_tokens": float(sum(c.finished for c in completions)),
            "critic/vf_explained_var": explained_variance(rollouts.old_values_BT, rollouts.returns_BT, mask).item(),
            "completions/mean_length": mask.sum().item() / len(completions),
            "completions/clipped_ratio": sum(not c.finished for c in completions) / len(completions),
            "learning_rate": policy_optimizer.lr, "policy/updates": float(len(found)),
            "time/sampling": sampled_at - clock, "time/step": time.perf_counter() - clock,
        }
        if truth:
            metrics["objective/gold"] = sum(t.value for t in truth) / len(truth)
        run.log(step, metrics)
        run.log_samples(step, [
            completions[i].to_json() | {"proxy": rollouts.scores_B[i].item(), "kl": kl_sums["k1"][i].item(),
                                        "gold": truth[i].value if truth else None, "reason": truth[i].reason if truth else ""}
            for i in worth_seeing(rollouts.scores_B.tolist(), [t.value for t in truth] if truth else None)])
        history.append([metrics["objective/scores"], metrics["objective/kl"]])
        if settings.kl_target:
            kl_coef = adaptive_kl_coef(kl_coef, metrics["objective/kl"], target=settings.kl_target, horizon=settings.kl_horizon, n=len(completions))

    sampler.close()
    policy.model.eval()
    few = max(1, len(history) // 10)
    return {"steps": settings.steps, "score_first": _mean([h[0] for h in history[:few]]), "score_last": _mean([h[0] for h in history[-few:]]),
            "kl_last": _mean([h[1] for h in history[-few:]]), "kl_coef_last": kl_coef, "dropped": report.dropped}


def make_rollouts(policy: Policy, reference: Policy | None, value_model: RewardModel, completions: list[Completion], judge: Judge, settings: PPOSettings,
                  kl_coef: float) -> tuple[Rollouts, dict[str, float]]:
    """Scores, log-probabilities, values, shaped rewards and advantages of a batch of completions, and their means.

    The old log-probabilities come from the trainer's own forward pass, so that the first ratio is exactly 1; how far the sampler's
    differ is logged. A completion cut at the limit has no end token and pays `missing_end_penalty`.
    """
    rows = []
    for c in completions:
        before = prompt_ids(policy.tokenizer, c.prompt)
        rows.append(Rendered([*before, *c.ids], [0] * len(before) + [1] * len(c.ids)))
    batch = pad(rows, policy.pad_id).to(policy.device)
    mask = batch.loss_mask_BT
    temperature = settings.sampling.temperature

    values = [score.value for score in judge.score(completions)]
    scores_B = torch.tensor(values, device=policy.device)
    if settings.score_clip:
        scores_B = scores_B.clamp(-settings.score_clip, settings.score_clip)
    unfinished_B = torch.tensor([not c.finished for c in completions], device=policy.device)
    scores_B = scores_B - settings.missing_end_penalty * unfinished_B

    with torch.no_grad():
        policy.model.train()
        old_logprobs_BT = in_pieces(lambda b: token_logprobs_of(policy.model, b, temperature=temperature), batch, settings)
        with policy.reference() if reference is None else contextlib.nullcontext(reference.model) as frozen:
            ref_logprobs_BT = in_pieces(lambda b: token_logprobs_of(frozen, b, temperature=temperature), batch, settings)
        value_model.model.train()
        old_values_BT = in_pieces(lambda b: value_BT(value_model.model, b), batch, settings) * mask
    rewards_BT = kl_shaped_rewards(scores_B, old_logprobs_BT, ref_logprobs_BT, mask, kl_coef=kl_coef)
    non_score_B = (rewards_BT * mask).sum(1) - scores_B
    if settings.whiten_rewards:
        rewards_BT = masked_whiten(rewards_BT, mask, shift_mean=False)
    advantages_BT, returns_BT = gae(rewards_BT, old_values_BT, mask, gamma=settings.gamma, lam=settings.lam)
    if settings.whiten_advantages:
        advantages_BT = masked_whiten(advantages_BT, mask)

    sampler_BT = torch.zeros_like(old_logprobs_BT)
    for i, (row, c) in enumerate(zip(rows, completions, strict=True)):
        sampler_BT[i, len(row.ids) - len(c.ids) : len(row.ids)] = torch.tensor(c.logprobs, device=policy.device)
    difference_BT = ((old_logprobs_BT - sampler_BT) * mask).abs()
    return Rollouts(completions, batch, scores_B, old_logprobs_BT, ref_logprobs_BT, old_values_BT, advantages_BT, returns_BT), {
        "objective/scores": scores_B.mean().item(), "objective/non_score_reward": non_score_B.mean().item(),
        "objective/rlhf_reward": (scores_B + non_score_B).mean().item(), "objective/scores_std": scores_B.std(correction=0).item(),
        "sampling/sampling_logp_difference/mean": (difference_BT.sum() / mask.sum()).item(),
        "sampling/sampling_logp_difference/max": difference_BT.max().item(),
    }


def in_pieces(function: Any, batch: Batch, settings: PPOSettings) -> Tensor:
    """A forward pass over the batch in the pieces of an update, so that memory stays what an update needs."""
    size = settings.micro_batch or settings.minibatch
    return torch.cat([function(batch.rows(slice(i, i + size))) for i in range(0, batch.ids_BT.shape[0], size)])


def update(policy: Policy, value_model: RewardModel, rollouts: Rollouts, chosen: list[int], settings: PPOSettings, ptx: list[list[int]]) -> dict[str, float]:
    """Gradients of one minibatch, in micro-batches over its whole token count; returns its metrics. The caller steps the optimisers."""
    count = float(rollouts.batch.loss_mask_BT[chosen].sum())
    size = settings.micro_batch or len(chosen)
    sums: dict[str, float] = {}
    for start in range(0, len(chosen), size):
        rows = torch.tensor(chosen[start : start + size])
        micro = rollouts.batch.rows(rows)
        mask = micro.loss_mask_BT
        share = float(mask.sum()) / count
        stats = token_stats(policy.model, micro, temperature=settings.sampling.temperature)
        policy_loss, policy_metrics = ppo_policy_loss(stats.logprobs_BT, rollouts.old_logprobs_BT[rows], rollouts.advantages_BT[rows], mask,
                                                      cliprange=settings.cliprange, denominator=count)
        policy_loss.backward()
        values_BT = value_BT(value_model.model, micro) * mask
        value_loss, value_metrics = ppo_value_loss(values_BT, rollouts.old_values_BT[rows], rollouts.returns_BT[rows], mask,
                                                   cliprange_value=settings.cliprange_value, denominator=count)
        (settings.vf_coef * value_loss).backward()
        parts = {"loss/policy_avg": policy_loss.item(), "loss/value_avg": value_loss.item(), "policy/entropy_avg": stats.entropy_BT.sum().item() / count}
        parts |= {name: float(value) * share for name, value in (policy_metrics | value_metrics).items()}
        sums = {name: sums.get(name, 0.0) + value for name, value in parts.items()}
    if ptx:
        batch = pad([Rendered(ids, [1] * len(ids)) for ids in ptx], policy.pad_id).to(policy.device)
        logprobs_BT = token_logprobs_of(policy.model, batch)
        loss, _ = sft_loss(logprobs_BT, batch.loss_mask_BT, denominator=float(batch.loss_mask_BT[:, 1:].sum()))
        (settings.ptx_coef * loss).backward()
        sums["loss/ptx_avg"] = loss.item()
    return sums


def prompts_of_step(prompts: Sequence[Prompt], count: int, step: int, seed: int) -> list[Prompt]:
    """The prompts of one step: every prompt once an epoch, in an order that follows from the seed."""
    chosen = []
    for place in range(step * count, (step + 1) * count):
        epoch, i = divmod(place, len(prompts))
        order = _order(len(prompts), derive_seed(seed, "prompts", epoch))
        chosen.append(prompts[order[i]])
    return chosen


_orders: dict[tuple[int, int], list[int]] = {}


def _order(length: int, seed: int) -> list[int]:
    if (length, seed) not in _orders:
        _orders.clear()
        order = list(range(length))
        random.Random(seed).shuffle(order)
        _orders[length, seed] = order
    return _orders[length, seed]


def ptx_sample(rows: Sequence[list[int]], count: int, seed: int, step: int, epoch: int, start: int) -> list[list[int]]:
    """Pretraining rows for one update."""
    return random.Random(derive_seed(seed, "ptx", step, epoch, start)).sample(list(rows), min(count, len(rows)))


def worth_seeing(proxy: list[float], gold: list[float] | None) -> list[int]:
    """A few completions of a step: the best and the worst by proxy, and where proxy and gold differ most."""
    order = sorted(range(len(proxy)), key=lambda i: -proxy[i])
    chosen = order[:2] + order[-1:]
    if gold:
        chosen += sorted(range(len(proxy)), key=lambda i: gold[i] - 0.1 * proxy[i])[:3]
    return list(dict.fromkeys(chosen))


def _value_optim(settings: PPOSettings) -> OptimSettings:
    from dataclasses import replace

    return replace(settings.optim, lr=settings.value_lr) if settings.value_lr else settings.optim


def _mean(values: list[float]) -> float:
    return sum(values) / max(1, len(values))
