"""PPO against any judge, with a KL penalty against the model it started from (InstructGPT, section 3.5,
equation 2).

I sample a batch of completions from the policy, have a judge score them, take a penalty for leaving the
reference off the score, token by token, and let a value model say how much better each token was than
expected (GAE). Then I take clipped steps on policy and value over the batch, a few times, and begin again. I
compute the old log-probabilities with the model that is trained, in the very micro-batches of the first pass,
and not with the sampler: the first ratio is 1 to the last bit. I leave out dropout, since the policy that is
updated has to be the one that wrote the tokens; a value head on the policy, since two models learn without
pulling at one another; and running statistics of the reward, since the judge's scores come normalized.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .. import losses, rollouts
from ..errors import ConfigError
from ..feedback import Judge, part_means
from ..feedback.lagrange import LagrangeJudge
from ..models.batch import pad
from ..models.chat import Rendered
from ..models.forward import laid_out, token_logprobs_of, token_stats, value_BT
from ..models.optimizer import MasterAdamW
from ..models.policy import Policy, RewardModel, context_of
from ..models.state import Trained
from ..records import Completion, Prompt
from ..rollouts import Minibatch, Rollouts, mean
from ..run import RunDir, derive_seed, guard_finite
from ..sampling import Sampling
from ..sampling.local import LocalSampler
from ..settings import PPOSettings
from ..settings.rules import check

GUARDED = ("loss/policy_avg", "loss/value_avg", "policy/grad_norm", "val/grad_norm")


@dataclass(frozen=True, slots=True)
class Batch:
    """Rollouts with all that an update needs; (B, T) tensors are 0 outside the completion."""

    rollouts: Rollouts
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
    """Train the policy in place.

    Args:
        reference: the frozen model that KL is measured from; None stands for the policy with its adapter off.
        value_model: a model with a scalar head, trained along with an optimizer of its own; usually started
            from the reward model.
        judge: gives the score that is optimized; any judge will do. A `LagrangeJudge` makes it constrained
            PPO: its multiplier takes a step on every batch.
        gold: a judge that knows the truth, logged beside the proxy and never optimized.
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
    # 1. prompts that fit; policy and value model with their optimizers, where they were if the run goes on
    check(settings)
    if settings.ptx_coef and (ptx_rows is None or not len(ptx_rows)):
        raise ConfigError(
            f"ptx_coef = {settings.ptx_coef} without pretraining text",
            remedy="name the text, or set ptx_coef to 0",
        )
    prompts, report = rollouts.prompts_that_fit(run, policy, prompts, settings)
    updates = settings.steps * settings.epochs * -(-settings.rollouts // settings.minibatch)
    value_optim = replace(settings.optim, lr=settings.value_lr or settings.optim.lr)
    policy_optimizer = MasterAdamW(policy.model.parameters(), settings.optim, updates)
    value_optimizer = MasterAdamW(value_model.model.parameters(), value_optim, updates)
    constraint = judge if isinstance(judge, LagrangeJudge) else None
    numbers = {"kl_coef": settings.kl_coef, "curve": [], "log_lambda": getattr(judge, "log_lambda", 0.0)}
    value = (value_model.model, value_optimizer)
    trained = Trained(run, numbers, model=(policy.model, policy_optimizer), value=value)
    numbers, columns = trained.numbers, {"score": "objective/scores", "gold": "objective/gold"}
    columns |= {"kl": "objective/kl"} | ({"cost": "safety/cost"} if constraint else {})
    log = rollouts.StepLog(run, gold, settings.gold_every, numbers["curve"], columns)
    if constraint:
        constraint.log_lambda = numbers["log_lambda"]

    policy.model.eval()
    value_model.model.eval()
    sampler = LocalSampler.of(policy, slots=settings.sampling.slots, name="policy")
    sampling = Sampling.of(settings.sampling, settings.per_prompt)
    for step in run.steps(settings.steps, desc="ppo", save=trained.state):
        # 2. the behavior policy is the current policy: completions with their log-probabilities
        log.begin()
        asked = rollouts.prompts_of_step(prompts, settings.rollouts // settings.per_prompt, step, seed)
        draws = derive_seed(seed, "rollout", step)
        completions = rollouts.sample(sampler, policy, asked, sampling, step=step, seed=draws)
        log.lap("sampling")

        # 3. feedback; under a constraint the price of cost follows how far its mean is from the limit
        judged = rollouts.judged(judge, completions, step)
        scores = [score.value for score in judged]
        scores_B = rollouts.shaped_scores(scores, completions, settings).to(policy.device)
        said = part_means(judge, judged)
        if constraint:
            said |= constraint.update(judged)
            numbers["log_lambda"] = constraint.log_lambda
        log.lap("feedback")

        # 4. log-probabilities, values, KL-shaped rewards and advantages
        kl_coef, rate = numbers["kl_coef"], policy_optimizer.lr
        passes = rollouts.passes(settings, step, seed)
        batch = read(policy, reference, value_model, completions, scores_B, passes[0], settings, kl_coef)

        # 5. passes over the batch: clipped policy and value updates
        found: list[dict[str, float]] = []
        for epoch, minibatches in enumerate(passes):
            for number, minibatch in enumerate(minibatches):
                ptx_seed = derive_seed(seed, "ptx", step, epoch, number)
                ptx = ptx_sample(ptx_rows, settings, context_of(policy.model), ptx_seed)
                row = update(policy, value_model, batch, minibatch, settings, ptx)
                row["policy/grad_norm"] = policy_optimizer.step()
                row["val/grad_norm"] = value_optimizer.step()
                for name in GUARDED:
                    guard_finite(row[name], step=step, what=name, sample=completions[minibatch[0][0]].text)
                found.append(row)
            moved = mean([row["policy/approxkl_avg"] for row in found[-len(minibatches) :]])
            if settings.stop_at_kl and moved > settings.stop_at_kl:
                break
        log.lap("updating")

        # 6. what is logged: the field's names, and gold beside the proxy
        metrics = describe(batch, kl_coef) | said
        metrics |= {name: mean([row[name] for row in found]) for name in found[0]}
        metrics |= {
            "val/ratio_first": found[0]["val/ratio"],
            "objective/kl_coef": kl_coef,
            "learning_rate": rate,
            "policy/updates": len(found),
        }
        kl_B = (batch.old_logprobs_BT - batch.ref_logprobs_BT).sum(1)
        log.write(step, metrics, completions, batch.scores_B.tolist(), kl_B.tolist())
        if settings.adaptive_kl:
            numbers["kl_coef"] = losses.adaptive_kl_coef(
                kl_coef,
                metrics["objective/kl"],
                target=settings.adaptive_kl,
                horizon=settings.kl_horizon,
                n=len(completions),
            )

    sampler.close()
    summary = {"steps": settings.steps, **log.ends()}
    if constraint:
        summary |= {"lambda_last": constraint.multiplier, "cost_limit": constraint.limit}
    return summary | {"kl_coef_last": numbers["kl_coef"], "dropped": report.dropped}


def read(
    policy: Policy,
    reference: Policy | None,
    value_model: RewardModel,
    completions: list[Completion],
    scores_B: Tensor,
    first_pass: Sequence[Minibatch],
    settings: PPOSettings,
    kl_coef: float,
) -> Batch:
    """What policy, reference and value model say of a batch of completions, and the advantages that follow.

    A completion cut at the limit has no end token: its last token carries the score, less
    `missing_end_penalty`.
    """
    r = Rollouts.read(policy, completions)
    pieces = [piece for minibatch in first_pass for piece in minibatch]
    old_BT, ref_BT = r.logprobs_under(
        [rollouts.current(policy), rollouts.frozen(policy, reference)],
        pieces,
        temperature=settings.sampling.temperature,
    )
    old_values_BT = torch.zeros_like(old_BT)
    with torch.no_grad():
        for piece in pieces:
            old_values_BT[r.place(piece)] = values_of(value_model, [r.rows[i] for i in piece])
    old_values_BT *= r.mask_BT
    rewards_BT = losses.kl_shaped_rewards(scores_B, old_BT, ref_BT, r.mask_BT, kl_coef=kl_coef)
    if settings.whiten_rewards:
        rewards_BT = losses.masked_whiten(rewards_BT, r.mask_BT, shift_mean=False)
    advantages_BT, returns_BT = losses.gae(
        rewards_BT, old_values_BT, r.mask_BT, gamma=settings.gamma, lam=settings.lam
    )
    if settings.whiten_advantages:
        advantages_BT = losses.masked_whiten(advantages_BT, r.mask_BT)
    # weights are not below 0, so that the clipped surrogate times a weight is that of the advantage times it
    if settings.importance_cap:
        advantages_BT = advantages_BT * losses.truncated_importance_weights(
            old_BT, r.sampler_logprobs_BT, r.mask_BT, cap=settings.importance_cap
        )
    return Batch(r, scores_B, old_BT, ref_BT, old_values_BT, advantages_BT, returns_BT)


def values_of(value_model: RewardModel, rows: Sequence[Rendered]) -> Tensor:
    """Values (N, L) in the unit of the normalized score: a value model that starts from the reward model then
    starts near the returns.
    """
    layout = laid_out(value_model.model, rows, value_model.pad_id)
    return (layout.back(value_BT(value_model.model, layout.batch)) - value_model.mean) / value_model.std


def update(
    policy: Policy,
    value_model: RewardModel,
    batch: Batch,
    minibatch: Minibatch,
    settings: PPOSettings,
    ptx: list[list[int]],
) -> dict[str, float]:
    """Gradients of one minibatch, in micro-batches over its whole token count; returns its metrics. The
    caller steps the optimizers.

    `vf_coef` scales the value model's gradient. It is a model with an optimizer of its own, so AdamW undoes a
    scale, and what is left of it is where `max_grad_norm` begins to clip.
    """
    r = batch.rollouts
    count = float(r.mask_BT[[i for piece in minibatch for i in piece]].sum())
    totals: dict[str, float] = {}  # over tokens: divided once, the mean of ratios that are all 1 is 1
    for piece in minibatch:
        rows, place = [r.rows[i] for i in piece], r.place(piece)
        mask_BT = r.mask_BT[place]
        layout = laid_out(policy.model, rows, policy.pad_id)
        stats = token_stats(policy.model, layout.batch, temperature=settings.sampling.temperature)
        policy_loss, policy_metrics = losses.ppo_policy_loss(
            layout.back(stats.logprobs_BT),
            batch.old_logprobs_BT[place],
            batch.advantages_BT[place],
            mask_BT,
            cliprange=settings.cliprange,
            denominator=count,
        )
        policy_loss.backward()
        value_loss, value_metrics = losses.ppo_value_loss(
            values_of(value_model, rows) * mask_BT,
            batch.old_values_BT[place],
            batch.returns_BT[place],
            mask_BT,
            cliprange_value=settings.cliprange_value,
            denominator=count,
        )
        (settings.vf_coef * value_loss).backward()
        tokens = float(mask_BT.sum())
        sums = {name: float(value) * tokens for name, value in (policy_metrics | value_metrics).items()}
        sums["loss/policy_avg"] = policy_loss.item() * count
        sums["loss/value_avg"] = value_loss.item() * count
        sums["policy/entropy_avg"] = stats.entropy_BT.sum().item()
        totals = {name: totals.get(name, 0.0) + value for name, value in sums.items()}
    found = {name: total / count for name, total in totals.items()}
    if ptx:
        text = pad([Rendered(ids, [1] * len(ids)) for ids in ptx], policy.pad_id).to(policy.device)
        loss, _ = losses.sft_loss(
            token_logprobs_of(policy.model, text),
            text.loss_mask_BT,
            denominator=float(text.loss_mask_BT[:, 1:].sum()),
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


def describe(batch: Batch, kl_coef: float) -> dict[str, float]:
    """What is logged of a batch, before anything is learnt from it."""
    r, score = batch.rollouts, batch.scores_B.mean().item()

    def kl(estimator: str) -> float:
        kl_BT = losses.kl_estimate(batch.old_logprobs_BT, batch.ref_logprobs_BT, estimator=estimator)
        return (kl_BT * r.mask_BT).sum(1).mean().item()

    variance = losses.explained_variance(batch.old_values_BT, batch.returns_BT, r.mask_BT)
    return {
        "objective/kl": kl("k1"),
        "objective/kl_k2": kl("k2"),
        "objective/kl_k3": kl("k3"),
        "objective/entropy": -batch.old_logprobs_BT.sum(1).mean().item(),
        "objective/scores": score,
        "objective/scores_std": batch.scores_B.std(correction=0).item(),
        "objective/non_score_reward": -kl_coef * kl("k1"),
        "objective/rlhf_reward": score - kl_coef * kl("k1"),
        "critic/vf_explained_var": variance.item(),
        "val/num_eos_tokens": sum(c.finished for c in r.completions),
        **r.lengths(),
        **r.mismatch(batch.old_logprobs_BT),
    }
