"""PPO against a reward model, with a KL penalty against the model it started from (InstructGPT, section 3.5,
equation 2).
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError
from ..feedback import Judge, part_means
from ..feedback.lagrange import LagrangeJudge
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
    truncated_importance_weights,
)
from ..models.batch import pad
from ..models.chat import Rendered
from ..models.forward import laid_out, token_logprobs_of, token_stats, value_BT
from ..models.load import Policy, RewardModel, context_of, load_tensors, trainable_tensors
from ..models.optimizer import MasterAdamW
from ..records import Completion, Prompt
from ..rollouts import (
    Minibatch,
    current,
    first_and_last,
    frozen,
    judged_by,
    logprobs_under,
    mean,
    minibatches,
    mismatch,
    place_of,
    prompts_of_step,
    prompts_that_fit,
    rows_of,
    sampler_logprobs,
    samples_of_step,
    shaped_scores,
)
from ..run import RunDir, at_step, derive_seed, guard_finite
from ..sampling import Sampling
from ..sampling.local import LocalSampler
from ..settings import PPOSettings
from ..settings.rules import check


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


def train(
    run: RunDir,
    policy: Policy,
    reference: Policy | None,
    value_model: RewardModel,
    prompts: Sequence[Prompt],
    settings: PPOSettings,
    *,
    judge: Judge,
    gold: Judge | None = None,
    ptx_rows: Sequence[Sequence[int]] | Tensor | None = None,
    seed: int,
) -> dict[str, Any]:
    """Train the policy in place. Dropout stays off: the policy that is updated is the one that wrote the
    tokens.

    Args:
        reference: the frozen model that KL is measured from; None stands for the policy with its adapter off.
        value_model: a model with a scalar head, trained along with an optimiser of its own; usually started
            from the reward model.
        judge: gives the score that is optimised; any judge will do. A `LagrangeJudge` makes it constrained
            PPO: its multiplier takes a step on every batch.
        gold: a judge that knows the truth, logged beside the proxy and never optimised.
        ptx_rows: token ids of pretraining text, mixed in when `ptx_coef` is not 0 (PPO-ptx); longer ones are
            cut to the context.

    Metrics of a step carry the field's names. `objective/*` are means over completions, taken before the
    update: `kl` (k1), `kl_k2` and `kl_k3` are sums over the tokens of a completion. `policy/*`, `loss/*` and
    `val/*` are means over the updates of means over the masked tokens; `val/ratio_first` is the ratio on the
    first minibatch, 1 in fp32. `judge/*` and `safety/*` are what the judge adds. `time/*` are seconds.

    Returns:
        Score, KL and gold (None where unknown) over the first and the last tenth of the steps.

    Raises:
        ConfigError: settings that PPO cannot work with. DataError: no prompt fits. GuardStop: a score, loss
            or gradient that is not finite.
    """
    # 1. prompts that fit; two optimisers, where they were if the run goes on
    check(settings)
    if settings.ptx_coef and (ptx_rows is None or not len(ptx_rows)):
        raise ConfigError(
            f"ptx_coef = {settings.ptx_coef} without pretraining text",
            remedy="name the text, or set ptx_coef to 0",
        )
    s = settings.sampling
    prompts, report = prompts_that_fit(run, policy, prompts, settings)
    updates = settings.steps * settings.epochs * -(-settings.rollouts // settings.minibatch)
    value_optim = replace(settings.optim, lr=settings.value_lr or settings.optim.lr)
    policy_optimizer = MasterAdamW(policy.model.parameters(), settings.optim, updates)
    value_optimizer = MasterAdamW(value_model.model.parameters(), value_optim, updates)
    kl_coef: float = settings.kl_coef
    constraint = judge if isinstance(judge, LagrangeJudge) else None
    history: list[dict[str, float | None]] = []
    if saved := run.load_state():
        _, tensors, extra = saved
        load_tensors(policy.model, tensors)
        load_tensors(value_model.model, tensors, "value")
        policy_optimizer.load_state_tensors(tensors)
        value_optimizer.load_state_tensors(tensors, "value_optim")
        kl_coef, history = extra["kl_coef"], extra["history"]
        if constraint:
            constraint.log_lambda = extra["log_lambda"]

    def state() -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = trainable_tensors(policy.model) | trainable_tensors(value_model.model, "value")
        extra = {"kl_coef": kl_coef, "history": history} | (
            {"log_lambda": constraint.log_lambda} if constraint else {}
        )
        return tensors | policy_optimizer.state_tensors() | value_optimizer.state_tensors(
            "value_optim"
        ), extra

    policy.model.eval()
    value_model.model.eval()
    sampler = LocalSampler.of(policy, slots=s.slots, name="policy")
    for step in run.steps(settings.steps, desc="ppo", save=state):
        clock = [time.perf_counter()]

        # 2. the behaviour policy is the current policy: completions with their log-probabilities
        sampler.sync(policy.model)
        asked = prompts_of_step(prompts, settings.rollouts // settings.per_prompt, step, seed)
        with at_step(step):
            groups = sampler.sample(
                asked, Sampling.of(s, n=settings.per_prompt), seed=derive_seed(seed, "rollout", step)
            )
        completions = [completion for group in groups for completion in group]
        clock.append(time.perf_counter())

        # 3. feedback; under a constraint the price of cost follows how far its mean is from the limit
        judged = judged_by(judge, completions, step)
        scores = [score.value for score in judged]
        said = part_means(judge, judged) | (constraint.update(judged) if constraint else {})
        clock.append(time.perf_counter())

        # 4. log-probabilities, values, KL-shaped rewards and advantages
        passes = [
            minibatches(
                len(completions),
                per_prompt=settings.per_prompt,
                minibatch=settings.minibatch,
                micro_batch=settings.micro_batch,
                seed=derive_seed(seed, "minibatch", step, epoch),
            )
            for epoch in range(settings.epochs)
        ]
        rollouts, metrics = make_rollouts(
            policy, reference, value_model, completions, scores, passes[0], settings, kl_coef
        )

        # 5. passes over the batch: clipped policy and value updates
        rate = policy_optimizer.lr
        found: list[dict[str, float]] = []
        for epoch, passed in enumerate(passes):
            for number, minibatch in enumerate(passed):
                ptx = ptx_sample(
                    ptx_rows,
                    settings,
                    context_of(policy.model),
                    derive_seed(seed, "ptx", step, epoch, number),
                )
                losses = update(policy, value_model, rollouts, minibatch, settings, ptx)
                losses |= {
                    "policy/grad_norm": policy_optimizer.step(),
                    "val/grad_norm": value_optimizer.step(),
                }
                for name in ("loss/policy_avg", "loss/value_avg", "policy/grad_norm", "val/grad_norm"):
                    guard_finite(losses[name], step=step, what=name, sample=completions[minibatch[0][0]].text)
                found.append(losses)
            if (
                settings.stop_at_kl
                and mean([m["policy/approxkl_avg"] for m in found[-len(passed) :]]) > settings.stop_at_kl
            ):
                break
        clock.append(time.perf_counter())

        # 6. what is logged: the field's names, and gold beside the proxy
        truth = gold.score(completions) if gold and step % settings.gold_every == 0 else None
        metrics |= said | {name: mean([m[name] for m in found]) for name in found[0]}
        metrics |= {
            "val/ratio_first": found[0]["val/ratio"],
            "objective/kl_coef": kl_coef,
            "learning_rate": rate,
            "policy/updates": len(found),
            "time/sampling": clock[1] - clock[0],
            "time/feedback": clock[2] - clock[1],
            "time/updating": clock[3] - clock[2],
        }
        if truth:
            metrics["objective/gold"] = mean([score.value for score in truth])
        run.log(step, metrics)
        kl_B = (rollouts.old_logprobs_BT - rollouts.ref_logprobs_BT).sum(1)
        run.log_samples(step, samples_of_step(completions, rollouts.scores_B.tolist(), kl_B.tolist(), truth))
        history.append(
            {
                "score": metrics["objective/scores"],
                "kl": metrics["objective/kl"],
                "gold": metrics.get("objective/gold"),
            }
            | ({"cost": said["safety/cost"]} if constraint else {})
        )
        if settings.adaptive_kl:
            kl_coef = adaptive_kl_coef(
                kl_coef,
                metrics["objective/kl"],
                target=settings.adaptive_kl,
                horizon=settings.kl_horizon,
                n=len(completions),
            )

    sampler.close()
    found_ends = first_and_last(history, "score", "gold", "kl")
    if constraint:
        found_ends |= first_and_last(history, "cost") | {
            "lambda_last": constraint.multiplier,
            "cost_limit": constraint.limit,
        }
    return {"steps": settings.steps, **found_ends, "kl_coef_last": kl_coef, "dropped": report.dropped}


def make_rollouts(
    policy: Policy,
    reference: Policy | None,
    value_model: RewardModel,
    completions: list[Completion],
    scores: Sequence[float],
    first_pass: Sequence[Minibatch],
    settings: PPOSettings,
    kl_coef: float,
) -> tuple[Rollouts, dict[str, float]]:
    """Log-probabilities, values, shaped rewards and advantages of a batch of completions, and what is logged
    of them.

    The old log-probabilities come from the trainer's own forward pass over the very micro-batches of the
    first pass, so that the first ratio is 1 to the last bit; how far the sampler's differ is logged. A
    completion cut at the limit has no end token: its last token carries the score, less
    `missing_end_penalty`.
    """
    rows, mask = rows_of(policy, completions)
    pieces = [piece for minibatch in first_pass for piece in minibatch]
    scores_B = shaped_scores(
        scores,
        completions,
        clip=settings.score_clip,
        missing_end_penalty=settings.missing_end_penalty,
        device=policy.device,
    )
    old_logprobs_BT, ref_logprobs_BT = logprobs_under(
        [current(policy), frozen(policy, reference)],
        policy,
        rows,
        pieces,
        temperature=settings.sampling.temperature,
    )
    old_values_BT = torch.zeros(mask.shape, device=policy.device)
    with torch.no_grad():
        for piece in pieces:
            old_values_BT[place_of(piece, rows)] = values_of(value_model, [rows[i] for i in piece])
    old_values_BT *= mask
    rewards_BT = kl_shaped_rewards(scores_B, old_logprobs_BT, ref_logprobs_BT, mask, kl_coef=kl_coef)
    if settings.whiten_rewards:
        rewards_BT = masked_whiten(rewards_BT, mask, shift_mean=False)
    advantages_BT, returns_BT = gae(rewards_BT, old_values_BT, mask, gamma=settings.gamma, lam=settings.lam)
    if settings.whiten_advantages:
        advantages_BT = masked_whiten(advantages_BT, mask)
    sampler_logprobs_BT = sampler_logprobs(completions, mask)
    # weights are not below 0, so that the clipped surrogate times a weight is that of the advantage times it
    if settings.importance_cap:
        advantages_BT = advantages_BT * truncated_importance_weights(
            old_logprobs_BT, sampler_logprobs_BT, mask, cap=settings.importance_cap
        )

    kl = {
        k: (kl_estimate(old_logprobs_BT, ref_logprobs_BT, estimator=k) * mask).sum(1).mean().item()
        for k in ("k1", "k2", "k3")
    }
    score, finished = scores_B.mean().item(), sum(c.finished for c in completions)
    return Rollouts(
        completions,
        rows,
        mask,
        scores_B,
        old_logprobs_BT,
        ref_logprobs_BT,
        old_values_BT,
        advantages_BT,
        returns_BT,
    ), {
        "objective/kl": kl["k1"],
        "objective/kl_k2": kl["k2"],
        "objective/kl_k3": kl["k3"],
        "objective/entropy": -old_logprobs_BT.sum(1).mean().item(),
        "objective/scores": score,
        "objective/scores_std": scores_B.std(correction=0).item(),
        "objective/non_score_reward": -kl_coef * kl["k1"],
        "objective/rlhf_reward": score - kl_coef * kl["k1"],
        "critic/vf_explained_var": explained_variance(old_values_BT, returns_BT, mask).item(),
        "val/num_eos_tokens": finished,
        "completions/mean_length": mask.sum().item() / len(completions),
        "completions/clipped_ratio": 1 - finished / len(completions),
        **mismatch(old_logprobs_BT, sampler_logprobs_BT, mask),
    }


def values_of(value_model: RewardModel, rows: Sequence[Rendered]) -> Tensor:
    """Values (N, L) in the unit of the normalised score: a value model that starts from the reward model then
    starts near the returns.
    """
    layout = laid_out(value_model.model, rows, value_model.pad_id)
    return (layout.back(value_BT(value_model.model, layout.batch)) - value_model.mean) / value_model.std


def update(
    policy: Policy,
    value_model: RewardModel,
    rollouts: Rollouts,
    minibatch: Minibatch,
    settings: PPOSettings,
    ptx: list[list[int]],
) -> dict[str, float]:
    """Gradients of one minibatch, in micro-batches over its whole token count; returns its metrics. The
    caller steps the optimisers.

    `vf_coef` scales the value model's gradient. It is a model with an optimiser of its own, so AdamW undoes a
    scale, and what is left of it is where `max_grad_norm` begins to clip.
    """
    count = float(rollouts.mask_BT[[i for piece in minibatch for i in piece]].sum())
    totals: dict[
        str, float
    ] = {}  # over tokens, so that dividing once makes the mean of ratios that are all 1 a 1
    for piece in minibatch:
        rows = [rollouts.rows[i] for i in piece]
        place = place_of(piece, rollouts.rows)
        mask = rollouts.mask_BT[place]
        layout = laid_out(policy.model, rows, policy.pad_id)
        stats = token_stats(policy.model, layout.batch, temperature=settings.sampling.temperature)
        policy_loss, policy_metrics = ppo_policy_loss(
            layout.back(stats.logprobs_BT),
            rollouts.old_logprobs_BT[place],
            rollouts.advantages_BT[place],
            mask,
            cliprange=settings.cliprange,
            denominator=count,
        )
        policy_loss.backward()
        value_loss, value_metrics = ppo_value_loss(
            values_of(value_model, rows) * mask,
            rollouts.old_values_BT[place],
            rollouts.returns_BT[place],
            mask,
            cliprange_value=settings.cliprange_value,
            denominator=count,
        )
        (settings.vf_coef * value_loss).backward()
        sums = {
            name: float(value) * float(mask.sum()) for name, value in (policy_metrics | value_metrics).items()
        }
        sums |= {
            "loss/policy_avg": policy_loss.item() * count,
            "loss/value_avg": value_loss.item() * count,
            "policy/entropy_avg": stats.entropy_BT.sum().item(),
        }
        totals = {name: totals.get(name, 0.0) + value for name, value in sums.items()}
    found = {name: total / count for name, total in totals.items()}
    if ptx:
        batch = pad([Rendered(ids, [1] * len(ids)) for ids in ptx], policy.pad_id).to(policy.device)
        loss, _ = sft_loss(
            token_logprobs_of(policy.model, batch),
            batch.loss_mask_BT,
            denominator=float(batch.loss_mask_BT[:, 1:].sum()),
        )
        (settings.ptx_coef * loss).backward()
        found["loss/ptx_avg"] = loss.item()
    return found


def ptx_sample(
    rows: Sequence[Sequence[int]] | Tensor | None, settings: PPOSettings, context: int, seed: int
) -> list[list[int]]:
    """Pretraining rows for one update; none where they are not wanted."""
    if not settings.ptx_coef or rows is None:
        return []
    chosen = random.Random(seed).sample(range(len(rows)), min(settings.ptx_batch, len(rows)))
    return [[int(token) for token in rows[i][:context]] for i in chosen]
