"""RLOO, REINFORCE with a baseline, GRPO and Dr. GRPO: policy gradients whose baseline is the other
completions, with no value model.

They differ in three places only: the baseline (`advantage`), where the KL penalty stands (`kl_penalty`) and
what a token weighs (`loss_mean`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..feedback import Judge, part_means
from ..losses import (
    group_advantages,
    group_policy_loss,
    kl_estimate,
    token_weights,
    truncated_importance_weights,
)
from ..models.chat import Rendered
from ..models.forward import laid_out, token_stats
from ..models.load import Policy, load_tensors, trainable_tensors
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
from ..sampling import ModelSampler, Sampling
from ..sampling.local import LocalSampler
from ..settings import GRPOSettings, RLOOSettings
from ..settings.rules import check


@dataclass(frozen=True, slots=True)
class Rollouts:
    """One batch of completions, those of a prompt side by side, with all that the update needs; (B, T)
    tensors are 0 outside the completion.

    Attributes:
        learnt_B: False where no gradient comes from: an advantage of 0, and no KL term in the loss. Such rows
            get no forward pass.
        old_logprobs_BT: of the policy before the update. If it is not `asked_before`, the update fills it in
            from its own forward pass.
        ref_logprobs_BT: None where there is no KL penalty.
    """

    completions: list[Completion]
    rows: list[Rendered]
    mask_BT: Tensor
    scores_B: Tensor
    rewards_B: Tensor
    advantages_B: Tensor
    learnt_B: Tensor
    sampler_logprobs_BT: Tensor
    old_logprobs_BT: Tensor
    asked_before: bool
    ref_logprobs_BT: Tensor | None


def train(
    run: RunDir,
    policy: Policy,
    reference: Policy | None,
    prompts: Sequence[Prompt],
    settings: RLOOSettings | GRPOSettings,
    *,
    judge: Judge,
    gold: Judge | None = None,
    sampler: ModelSampler | None = None,
    seed: int,
) -> dict[str, Any]:
    """Train the policy in place. Dropout stays off: the policy that is updated is the one that wrote the
    tokens.

    Args:
        reference: the frozen model that KL is measured from; None stands for the policy with its adapter off.
            Not asked where `kl_coef` is 0.
        judge: gives the score that is optimised; any judge will do.
        gold: a judge that knows the truth, logged beside the proxy and never optimised.
        sampler: who writes the completions; None samples from the policy in this process.

    Metrics of a step: `reward` (score less KL penalty, if that is in the reward), `reward_std` (within a
    prompt), `frac_reward_zero_std` (share of prompts whose completions all have one score: dead groups),
    `objective/scores` (the judge's), `kl` and `kl_k3` (nats a completion, before the update), `entropy` (nats
    a token), `clip_ratio/*`, `completions/*`, `sampling/*` (see `alignlab.rollouts.mismatch`),
    `objective/gold`. What takes a forward pass is over the completions that were learnt from.

    Returns:
        Score, KL and gold (None where unknown) over the first and the last tenth of the steps.

    Raises:
        ConfigError: settings that cannot work. DataError: no prompt fits. GuardStop: a score, loss or
            gradient that is not finite.
    """
    # 1. prompts that fit; the optimiser, where it was if the run goes on
    check(settings)
    s, size = settings.sampling, settings.minibatch or settings.rollouts
    prompts, report = prompts_that_fit(run, policy, prompts, settings)
    optimizer = MasterAdamW(
        policy.model.parameters(),
        settings.optim,
        settings.steps * settings.epochs * -(-settings.rollouts // size),
    )
    history: list[dict[str, float | None]] = []
    if saved := run.load_state():
        _, tensors, extra = saved
        load_tensors(policy.model, tensors)
        optimizer.load_state_tensors(tensors)
        history = extra["history"]

    def state() -> tuple[dict[str, Tensor], dict[str, Any]]:
        return trainable_tensors(policy.model) | optimizer.state_tensors(), {"history": history}

    policy.model.eval()
    sampler = sampler or LocalSampler.of(policy, slots=s.slots, name="policy")
    for step in run.steps(settings.steps, desc=settings.advantage, save=state):
        clock = [time.perf_counter()]

        # 2. several completions of each prompt, by the current policy
        sampler.sync(policy.model)
        asked = prompts_of_step(prompts, settings.rollouts // settings.per_prompt, step, seed)
        with at_step(step):
            groups = sampler.sample(
                asked, Sampling.of(s, n=settings.per_prompt), seed=derive_seed(seed, "rollout", step)
            )
        completions = [completion for group in groups for completion in group]
        clock.append(time.perf_counter())

        # 3. feedback
        judged = judged_by(judge, completions, step)
        scores_B = shaped_scores(
            [score.value for score in judged],
            completions,
            clip=settings.score_clip,
            missing_end_penalty=settings.missing_end_penalty,
            device=policy.device,
        )
        clock.append(time.perf_counter())

        # 4. rewards, and each completion against the others
        passes = [
            minibatches(
                len(completions),
                per_prompt=settings.per_prompt,
                minibatch=size,
                micro_batch=settings.micro_batch,
                seed=derive_seed(seed, "minibatch", step, epoch),
            )
            for epoch in range(settings.epochs)
        ]
        rollouts = make_rollouts(policy, reference, completions, scores_B, passes, settings)

        # 5. clipped updates; a minibatch that nothing is learnt from is left out
        rate, found = optimizer.lr, list[dict[str, float]]()
        for minibatch in (minibatch for passed in passes for minibatch in passed):
            if losses := update(policy, rollouts, minibatch, settings):
                losses["grad_norm"] = optimizer.step()
                for name in ("loss", "grad_norm"):
                    guard_finite(losses[name], step=step, what=name, sample=completions[minibatch[0][0]].text)
                found.append(losses)
        clock.append(time.perf_counter())

        # 6. what is logged: the field's names, and gold beside the proxy
        truth = gold.score(completions) if gold and step % settings.gold_every == 0 else None
        metrics = (
            describe(rollouts, settings)
            | part_means(judge, judged)
            | {name: mean([m[name] for m in found]) for name in (found[0] if found else ())}
        )
        metrics |= {
            "learning_rate": rate,
            "updates": len(found),
            "time/sampling": clock[1] - clock[0],
            "time/feedback": clock[2] - clock[1],
            "time/updating": clock[3] - clock[2],
        }
        if truth:
            metrics["objective/gold"] = mean([score.value for score in truth])
        run.log(step, metrics)
        kl_B = (
            None
            if rollouts.ref_logprobs_BT is None
            else (rollouts.old_logprobs_BT - rollouts.ref_logprobs_BT).sum(1).tolist()
        )
        run.log_samples(step, samples_of_step(completions, rollouts.scores_B.tolist(), kl_B, truth))
        history.append(
            {
                "score": metrics["objective/scores"],
                "kl": metrics.get("kl"),
                "gold": metrics.get("objective/gold"),
                "dead": metrics["frac_reward_zero_std"],
            }
        )

    sampler.close()
    return {
        "steps": settings.steps,
        **first_and_last(history, "score", "gold", "kl", "dead"),
        "dropped": report.dropped,
    }


def make_rollouts(
    policy: Policy,
    reference: Policy | None,
    completions: list[Completion],
    scores_B: Tensor,
    passes: Sequence[Sequence[Minibatch]],
    settings: RLOOSettings | GRPOSettings,
) -> Rollouts:
    """Rewards and advantages of a batch of completions.

    Old log-probabilities come from the trainer's own forward pass over the very micro-batches of the first
    pass, so that the first ratio is 1 to the last bit. With one update a step that ratio stays 1 and the
    update's forward pass gives them as well, without a pass of their own; but a KL penalty in the reward
    needs them before.
    """
    s = settings
    rows, mask = rows_of(policy, completions)
    pieces = [piece for minibatch in passes[0] for piece in minibatch]
    in_reward = bool(s.kl_coef) and s.kl_penalty == "k1_in_reward"
    asked_before = in_reward or len(passes) * len(passes[0]) > 1

    # without a KL penalty a completion that is as good as its baseline has no gradient: no forward pass then
    rewards_B, advantages_B = (
        scores_B,
        group_advantages(scores_B.view(-1, s.per_prompt), kind=s.advantage).flatten(),
    )
    learnt_B = torch.ones_like(advantages_B, dtype=torch.bool) if s.kl_coef else advantages_B != 0

    # the policy, and the reference, where they are needed
    old_BT, ref_BT = torch.zeros(mask.shape, device=policy.device), None
    pieces = [kept for piece in pieces if (kept := [i for i in piece if learnt_B[i]])]
    asked = ([current(policy)] if asked_before else []) + ([frozen(policy, reference)] if s.kl_coef else [])
    if asked:
        found = logprobs_under(asked, policy, rows, pieces, temperature=s.sampling.temperature)
        old_BT = found[0] if asked_before else old_BT
        ref_BT = found[-1] if s.kl_coef else None

    # the penalty in the reward: that of the whole completion, which is one action (Ahmadian et al. 2024,
    # section 3)
    if in_reward and ref_BT is not None:
        rewards_B = scores_B - s.kl_coef * (old_BT - ref_BT).sum(1)
        advantages_B = group_advantages(rewards_B.view(-1, s.per_prompt), kind=s.advantage).flatten()
    return Rollouts(
        completions,
        rows,
        mask,
        scores_B,
        rewards_B,
        advantages_B,
        learnt_B,
        sampler_logprobs(completions, mask),
        old_BT,
        asked_before,
        ref_BT,
    )


def update(
    policy: Policy, rollouts: Rollouts, minibatch: Minibatch, settings: RLOOSettings | GRPOSettings
) -> dict[str, float]:
    """Gradients of one minibatch, in micro-batches over its whole counts; returns its metrics, none if it
    teaches nothing. The caller steps the optimiser.
    """
    members = [i for piece in minibatch for i in piece]
    tokens, kept = (
        float(rollouts.mask_BT[members].sum()),
        float((rollouts.mask_BT[members] * rollouts.learnt_B[members, None]).sum()),
    )
    loss_mean = (
        settings.loss_mean
        if settings.loss_mean != "auto"
        else "sequence"
        if settings.advantage == "grpo"
        else "constant"
    )
    in_loss = settings.kl_penalty != "k1_in_reward"
    totals: dict[str, float] = {}
    for piece in ([i for i in piece if rollouts.learnt_B[i]] for piece in minibatch):
        if not piece:
            continue
        place = place_of(piece, rollouts.rows)
        mask = rollouts.mask_BT[place]
        layout = laid_out(policy.model, [rollouts.rows[i] for i in piece], policy.pad_id)
        stats = token_stats(policy.model, layout.batch, temperature=settings.sampling.temperature)
        logprobs_BT = layout.back(stats.logprobs_BT)
        if not rollouts.asked_before:
            rollouts.old_logprobs_BT[place] = logprobs_BT.detach()
        old_BT = rollouts.old_logprobs_BT[place]
        weights_BT = token_weights(
            mask,
            mean=loss_mean,
            sequences=len(members),
            tokens=tokens,
            max_length=settings.sampling.max_new_tokens,
        )
        if settings.importance_cap:
            weights_BT = weights_BT * truncated_importance_weights(
                old_BT, rollouts.sampler_logprobs_BT[place], mask, cap=settings.importance_cap
            )
        loss, metrics = group_policy_loss(
            logprobs_BT,
            old_BT,
            rollouts.advantages_B[piece],
            mask,
            weights_BT=weights_BT,
            epsilon=settings.cliprange,
            epsilon_high=settings.cliprange_high or None,
            ref_logprobs_BT=rollouts.ref_logprobs_BT[place] if rollouts.ref_logprobs_BT is not None else None,
            kl_coef=settings.kl_coef if in_loss else 0.0,
            estimator=settings.kl_penalty[:2],
            ratio_level=settings.ratio_level,
        )
        loss.backward()
        sums = {name: float(value) * float(mask.sum()) for name, value in metrics.items()} | {
            "entropy": stats.entropy_BT.sum().item()
        }
        sums |= {"loss": loss.item() * kept}
        totals = {name: totals.get(name, 0.0) + value for name, value in sums.items()}
    return {name: total / kept for name, total in totals.items()}


def describe(rollouts: Rollouts, settings: RLOOSettings | GRPOSettings) -> dict[str, float]:
    """What is logged of a batch of completions, once the old log-probabilities are known."""
    r, count = rollouts, len(rollouts.completions)
    scores_PG, rewards_PG = (
        r.scores_B.view(-1, settings.per_prompt),
        r.rewards_B.view(-1, settings.per_prompt),
    )
    metrics = {
        "reward": r.rewards_B.mean().item(),
        "reward_std": rewards_PG.std(1).mean().item() if settings.per_prompt > 1 else 0.0,
        "frac_reward_zero_std": (scores_PG.amax(1) == scores_PG.amin(1)).float().mean().item()
        if settings.per_prompt > 1
        else 0.0,
        "objective/scores": r.scores_B.mean().item(),
        "objective/scores_std": r.scores_B.std(correction=0).item(),
        "completions/mean_length": r.mask_BT.sum().item() / count,
        "completions/clipped_ratio": 1 - sum(c.finished for c in r.completions) / count,
        "completions/learnt": r.learnt_B.float().mean().item(),
    }
    if r.learnt_B.any():
        metrics |= mismatch(r.old_logprobs_BT, r.sampler_logprobs_BT, r.mask_BT * r.learnt_B[:, None])
    if r.ref_logprobs_BT is not None:
        estimates = {
            name: (kl_estimate(r.old_logprobs_BT, r.ref_logprobs_BT, estimator=k) * r.mask_BT)
            .sum(1)
            .mean()
            .item()
            for name, k in (("kl", "k1"), ("kl_k3", "k3"))
        }
        metrics |= estimates
    return metrics
