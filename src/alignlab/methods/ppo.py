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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from .. import losses, rollouts
from ..feedback import Judge
from ..models import shards
from ..models.chat import Rendered
from ..models.forward import laid_out, token_stats, value_BT
from ..models.optimizer import MasterAdamW
from ..models.policy import Policy, RewardModel
from ..models.state import Trained
from ..records import Completion, Prompt
from ..rollouts import Minibatch, Rollouts, mean
from ..run import RunDir, guard_finite, ranks
from ..settings import PPOSettings

GUARDED = ("loss/policy_avg", "loss/value_avg", "policy/grad_norm", "val/grad_norm")
COLUMNS = {"score": "objective/scores", "gold": "objective/gold", "kl": "objective/kl"}


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
    """Train the policy in place. What the metrics mean: `rollouts.metrics`.

    Args:
        reference: the frozen model that KL is measured from; None stands for the policy with its adapter off.
        value_model: a model with a scalar head, trained along; usually started from the reward model.
        judge: gives the score that is optimized; a `LagrangeJudge` makes it constrained PPO.
        gold: a judge that knows the truth, logged beside the proxy and never optimized.
        ptx_rows: token ids of pretraining text, for `ptx_coef` (`rollouts.PretrainingText`).

    Returns:
        Score, KL and gold (None where unknown) over the first and the last tenth of the steps.

    Raises:
        ConfigError: settings that PPO cannot work with. DataError: no prompt fits. GuardStop: a score, loss
            or gradient that is not finite.
    """
    # 1. prompts that fit; policy and value model with their optimizers, where they were if the run goes on
    source = rollouts.Source(run, policy, prompts, settings, seed=seed)
    text = rollouts.PretrainingText(policy, ptx_rows, settings, seed)
    updates = settings.steps * settings.epochs * -(-settings.rollouts // settings.minibatch)
    value_optim = replace(settings.optim, lr=settings.value_lr or settings.optim.lr)
    policy_optimizer = MasterAdamW(policy.model.parameters(), settings.optim, updates)
    value_optimizer = MasterAdamW(value_model.model.parameters(), value_optim, updates)
    trained = Trained(
        run,
        {"kl_coef": settings.kl_coef, "curve": []},
        model=(policy.model, policy_optimizer),
        value=(value_model.model, value_optimizer),
    )
    numbers = trained.numbers
    source.go_on(numbers)
    feedback = rollouts.Feedback(judge, numbers)
    columns = COLUMNS | feedback.columns
    log = rollouts.StepLog(run, source, settings, gold, numbers["curve"], columns)

    policy.model.eval()
    value_model.model.eval()
    for step in run.steps(settings.steps, desc="ppo", save=trained.state):
        # 2. the behavior policy is the current policy: completions with their log-probabilities
        log.begin(step)
        completions = source.sample(settings.rollouts // settings.per_prompt, step)
        log.lap("sampling")

        # 3. feedback
        scores_B, metrics_of_judge = feedback(completions, settings, step)
        log.lap("feedback")

        # 4. log-probabilities, values, KL-shaped rewards and advantages
        kl_coef, learning_rate = numbers["kl_coef"], policy_optimizer.lr
        passes = rollouts.passes(settings, step, seed)
        scores_B = scores_B.to(policy.device)
        batch = read(policy, reference, value_model, completions, scores_B, passes[0], settings, kl_coef)

        # 5. passes over the batch: clipped policy and value updates
        rows: list[dict[str, float]] = []
        for epoch, minibatches in enumerate(passes):
            for number, minibatch in enumerate(minibatches):
                row = update(policy, value_model, batch, minibatch, settings)
                row |= text.gradients(step, epoch, number)
                row["policy/grad_norm"] = policy_optimizer.step()
                row["val/grad_norm"] = value_optimizer.step()
                for name in GUARDED:
                    guard_finite(row[name], step=step, what=name, sample=completions[minibatch[0][0]].text)
                rows.append(row)
            moved = mean([row["policy/approxkl_avg"] for row in rows[-len(minibatches) :]])
            if settings.stop_at_kl and moved > settings.stop_at_kl:
                break
        log.lap("updating")

        # 6. what is logged, and the weight of the KL penalty in the next step
        metrics = rollouts.metrics.of_ppo(batch, kl_coef) | metrics_of_judge | rollouts.metrics.means(rows)
        metrics |= {
            "val/ratio_first": rows[0]["val/ratio"],
            "objective/kl_coef": kl_coef,
            "learning_rate": learning_rate,
            "policy/updates": len(rows),
        }
        kl_B = (batch.old_logprobs_BT - batch.ref_logprobs_BT).sum(1)
        log.write(step, metrics, completions, scores_B.tolist(), kl_B.tolist(), by_token(batch))
        if settings.adaptive_kl:
            numbers["kl_coef"] = losses.adaptive_kl_coef(
                kl_coef,
                metrics["objective/kl"],
                target=settings.adaptive_kl,
                horizon=settings.kl_horizon,
                n=len(completions),
            )

    ends = log.ends() | feedback.summary()
    source.close()
    return {"steps": settings.steps, **ends, "kl_coef_last": numbers["kl_coef"], "dropped": source.dropped}


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
    """What policy, reference and value model say of a batch of completions, and the advantages that
    follow.
    """
    r = Rollouts.read(policy, completions)
    pieces = list(chain.from_iterable(first_pass))
    old_BT, ref_BT = r.logprobs_under(
        [rollouts.current(policy), rollouts.frozen(policy, reference)],
        pieces,
        temperature=settings.sampling.temperature,
    )
    old_values_BT = torch.zeros_like(old_BT)
    with torch.no_grad():
        for piece, counts in shards.parts(value_model.model, pieces):
            values_NT = values_of(value_model, [r.rows[i] for i in piece])
            if counts:
                old_values_BT[r.place(piece)] = values_NT
    ranks.add_up([old_values_BT])
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


def by_token(batch: Batch) -> rollouts.Read:
    """What is kept of the tokens of samples."""
    columns = {
        "logprob": batch.old_logprobs_BT,
        "ref": batch.ref_logprobs_BT,
        "advantage": batch.advantages_BT,
        "value": batch.old_values_BT,
    }
    return rollouts.Read(batch.rollouts.mask_BT, columns)


def values_of(value_model: RewardModel, rows: Sequence[Rendered]) -> Tensor:
    """Values (N, L) in the unit of the normalized score, so that a reward model starts near the returns."""
    layout = laid_out(value_model.model, rows, value_model.pad_id)
    return (layout.back(value_BT(value_model.model, layout.batch)) - value_model.mean) / value_model.std


def update(
    policy: Policy, value_model: RewardModel, batch: Batch, minibatch: Minibatch, settings: PPOSettings
) -> dict[str, float]:
    """Gradients of one minibatch, in micro-batches over its whole token count, and its metrics.

    `vf_coef` scales the value model's gradient. AdamW undoes a scale, so that all it moves is where
    `max_grad_norm` begins to clip.
    """
    r = batch.rollouts
    count = float(r.mask_BT[list(chain.from_iterable(minibatch))].sum())
    totals: dict[str, float] = {}  # over tokens: divided once, the mean of ratios that are all 1 is 1
    for piece, counts in shards.parts(policy.model, minibatch):
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
        (counts * policy_loss).backward()
        value_loss, value_metrics = losses.ppo_value_loss(
            values_of(value_model, rows) * mask_BT,
            batch.old_values_BT[place],
            batch.returns_BT[place],
            mask_BT,
            cliprange_value=settings.cliprange_value,
            denominator=count,
        )
        (counts * settings.vf_coef * value_loss).backward()
        if not counts:  # rows of another process, read so that its parts of the weights are together
            continue
        tokens = float(mask_BT.sum())
        sums = {name: float(value) * tokens for name, value in (policy_metrics | value_metrics).items()}
        sums["loss/policy_avg"] = policy_loss.item() * count
        sums["loss/value_avg"] = value_loss.item() * count
        sums["policy/entropy_avg"] = stats.entropy_BT.sum().item()
        totals = {name: totals.get(name, 0.0) + value for name, value in sums.items()}
    return {name: total / count for name, total in ranks.added(totals).items()}
