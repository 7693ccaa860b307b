"""RLOO, REINFORCE with a baseline, GRPO and Dr. GRPO: policy gradients whose baseline is the other
completions, with no value model.

I sample several completions of each prompt, have a judge score them, and ask of each how much better it was
than the others of its prompt. That is its advantage, the same for all of its tokens; what was no better and
no worse teaches nothing and gets no forward pass. The methods differ in three places only: the baseline
(`advantage`), where the KL penalty stands (`kl_penalty`) and what a token weighs (`loss_mean`). With one
update per step the ratio is 1, and I take the old log-probabilities from the update's own forward pass. I
leave out dropout, since the policy that is updated has to be the one that wrote the tokens; credit for single
tokens, which is what PPO pays a value model for; and sampling anew where all completions of a prompt score
alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from .. import losses, rollouts
from ..feedback import Judge
from ..models import shards
from ..models.forward import laid_out, token_stats
from ..models.optimizer import MasterAdamW
from ..models.policy import Policy
from ..models.state import Trained
from ..records import Completion, Prompt
from ..rollouts import Minibatch, Rollouts
from ..run import RunDir, guard_finite, ranks
from ..sampling import ModelSampler
from ..settings import GRPOSettings, RLOOSettings

COLUMNS = {"score": "objective/scores", "gold": "objective/gold", "kl": "kl", "dead": "frac_reward_zero_std"}


@dataclass(frozen=True, slots=True)
class Batch:
    """Rollouts, those of a prompt side by side, with all that an update needs; (B, T) tensors are 0 outside
    the completion.

    Attributes:
        rewards_B: scores, less the KL penalty if that is in the reward.
        learnt_B: False where no gradient comes from: an advantage of 0, and no KL term in the loss.
        old_logprobs_BT: of the policy before the update; None where the step's only update gives them.
        ref_logprobs_BT: None where there is no KL penalty.
    """

    rollouts: Rollouts
    scores_B: Tensor
    rewards_B: Tensor
    advantages_B: Tensor
    learnt_B: Tensor
    old_logprobs_BT: Tensor | None
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
    """Train the policy in place.

    Args:
        reference: the frozen model that KL is measured from; None stands for the policy with its adapter off.
            Not asked where `kl_coef` is 0.
        judge: gives the score that is optimized; any judge will do.
        gold: a judge that knows the truth, logged beside the proxy and never optimized.
        sampler: who writes the completions; None = as the settings say.

    What the metrics mean: `rollouts.metrics`; `entropy` is in nats per token. What takes a forward pass is
    over the completions that were learnt from.

    Returns:
        Score, KL and gold (None where unknown) over the first and the last tenth of the steps.

    Raises:
        ConfigError: settings that cannot work. DataError: no prompt fits. GuardStop: a score, loss or
            gradient that is not finite.
    """
    # 1. prompts that fit; the optimizer, where it was if the run goes on
    source = rollouts.Source(run, policy, prompts, settings, seed=seed, sampler=sampler)
    minibatch_size = settings.minibatch or settings.rollouts
    updates = settings.steps * settings.epochs * -(-settings.rollouts // minibatch_size)
    optimizer = MasterAdamW(policy.model.parameters(), settings.optim, updates)
    trained = Trained(run, {"curve": []}, model=(policy.model, optimizer))
    source.go_on(trained.numbers)
    feedback = rollouts.Feedback(judge, trained.numbers)
    columns = COLUMNS | feedback.columns
    log = rollouts.StepLog(run, source, settings, gold, trained.numbers["curve"], columns)

    policy.model.eval()
    for step in run.steps(settings.steps, desc=settings.advantage, save=trained.state):
        # 2. several completions of each prompt, by the current policy
        log.begin(step)
        completions = source.sample(settings.rollouts // settings.per_prompt, step)
        log.lap("sampling")

        # 3. feedback
        scores_B, metrics_of_judge = feedback(completions, settings, step)
        log.lap("feedback")

        # 4. rewards, and each completion against the others
        learning_rate, passes = optimizer.lr, rollouts.passes(settings, step, seed)
        batch = read(policy, reference, completions, scores_B.to(policy.device), passes, settings)
        old_BT = batch.old_logprobs_BT

        # 5. clipped updates; a minibatch that nothing is learnt from is left out
        rows: list[dict[str, float]] = []
        for minibatch in chain.from_iterable(passes):
            row, now_BT = update(policy, batch, minibatch, settings)
            old_BT = now_BT if old_BT is None else old_BT
            if row:
                row["grad_norm"] = optimizer.step()
                for name in ("loss", "grad_norm"):
                    guard_finite(row[name], step=step, what=name, sample=completions[minibatch[0][0]].text)
                rows.append(row)
        log.lap("updating")

        # 6. what is logged: the field's names, and gold beside the proxy
        assert old_BT is not None
        metrics = describe(batch, old_BT, settings) | metrics_of_judge | rollouts.metrics.means(rows)
        metrics |= {"learning_rate": learning_rate, "updates": len(rows)}
        ref_BT = batch.ref_logprobs_BT
        kl = None if ref_BT is None else (old_BT - ref_BT).sum(1).tolist()
        log.write(step, metrics, completions, batch.scores_B.tolist(), kl, by_token(batch, old_BT))

    ends = log.ends() | feedback.summary()
    source.close()
    return {"steps": settings.steps, **ends, "dropped": source.dropped}


def read(
    policy: Policy,
    reference: Policy | None,
    completions: list[Completion],
    scores_B: Tensor,
    passes: Sequence[Sequence[Minibatch]],
    settings: RLOOSettings | GRPOSettings,
) -> Batch:
    """Rewards and advantages of a batch of completions.

    Old log-probabilities come from the trainer's own forward pass over the very micro-batches of the first
    pass, so that the first ratio is 1 to the last bit. With one update per step they are that update's own;
    but a KL penalty in the reward needs them before.
    """
    r = Rollouts.read(policy, completions)
    in_reward = bool(settings.kl_coef) and settings.kl_penalty == "k1_in_reward"
    before = in_reward or len(passes) * len(passes[0]) > 1  # whether the old ones are asked now

    # without a KL penalty a completion that is as good as its baseline has no gradient: no forward pass then
    advantages_B = against_others(scores_B, settings)
    learnt_B = (advantages_B != 0) | bool(settings.kl_coef)
    pieces = [learnt(piece, learnt_B) for piece in chain.from_iterable(passes[0])]

    # the policy, and the reference, where they are needed
    old_BT = ref_BT = None
    temperature = settings.sampling.temperature
    if before and settings.kl_coef:
        both = [rollouts.current(policy), rollouts.frozen(policy, reference)]
        old_BT, ref_BT = r.logprobs_under(both, pieces, temperature=temperature)
    elif before:
        (old_BT,) = r.logprobs_under([rollouts.current(policy)], pieces, temperature=temperature)
    elif settings.kl_coef:
        (ref_BT,) = r.logprobs_under([rollouts.frozen(policy, reference)], pieces, temperature=temperature)

    # the penalty in the reward: that of the whole completion, which is one action (Ahmadian et al. 2024,
    # section 3)
    rewards_B = scores_B
    if in_reward and old_BT is not None and ref_BT is not None:
        rewards_B = scores_B - settings.kl_coef * (old_BT - ref_BT).sum(1)
        advantages_B = against_others(rewards_B, settings)
    return Batch(r, scores_B, rewards_B, advantages_B, learnt_B, old_BT, ref_BT)


def by_token(batch: Batch, old_BT: Tensor) -> rollouts.Read:
    """What is kept of the tokens of samples: the advantage of a completion is that of each of its tokens, and
    of those that nothing was learnt from no model was asked.
    """
    columns = {"logprob": old_BT, "advantage": batch.advantages_B[:, None].expand_as(old_BT)}
    if batch.ref_logprobs_BT is not None:
        columns["ref"] = batch.ref_logprobs_BT
    return rollouts.Read(batch.rollouts.mask_BT, columns, batch.learnt_B)


def against_others(rewards_B: Tensor, settings: RLOOSettings | GRPOSettings) -> Tensor:
    """(B,) the advantage of each completion over those of its prompt."""
    rewards_PG = rewards_B.view(-1, settings.per_prompt)
    return losses.group_advantages(rewards_PG, kind=settings.advantage).flatten()


def learnt(piece: Sequence[int], learnt_B: Tensor) -> list[int]:
    """Those of a piece that a gradient comes from."""
    return [i for i in piece if learnt_B[i]]


def loss_mean_of(settings: RLOOSettings | GRPOSettings) -> str:
    """What a token weighs, where the settings leave it to the method."""
    if settings.loss_mean != "auto":
        return settings.loss_mean
    return "sequence" if settings.advantage == "grpo" else "constant"


def update(
    policy: Policy, batch: Batch, minibatch: Minibatch, settings: RLOOSettings | GRPOSettings
) -> tuple[dict[str, float], Tensor]:
    """Gradients of one minibatch, in micro-batches over its whole counts; returns its metrics, none if it
    teaches nothing, and the (B, T) log-probabilities that it saw. The caller steps the optimizer.
    """
    r, cap = batch.rollouts, settings.importance_cap
    members = list(chain.from_iterable(minibatch))
    tokens = float(r.mask_BT[members].sum())
    kept = float((r.mask_BT[members] * batch.learnt_B[members, None]).sum())
    now_BT = torch.zeros(r.mask_BT.shape, device=policy.device)
    totals: dict[str, float] = {}
    micro_batches = [learnt(whole, batch.learnt_B) for whole in minibatch]
    for piece, counts in shards.parts(policy.model, micro_batches):
        place = r.place(piece)
        mask_BT = r.mask_BT[place]
        layout = laid_out(policy.model, [r.rows[i] for i in piece], policy.pad_id)
        stats = token_stats(policy.model, layout.batch, temperature=settings.sampling.temperature)
        logprobs_BT = layout.back(stats.logprobs_BT)
        old_BT = logprobs_BT.detach() if batch.old_logprobs_BT is None else batch.old_logprobs_BT[place]
        weights_BT = losses.token_weights(
            mask_BT,
            mean=loss_mean_of(settings),
            sequences=len(members),
            tokens=tokens,
            max_length=settings.sampling.max_new_tokens,
        )
        if cap:
            sampled_BT = r.sampler_logprobs_BT[place]
            ratio_BT = losses.truncated_importance_weights(old_BT, sampled_BT, mask_BT, cap=cap)
            weights_BT = weights_BT * ratio_BT
        loss, metrics = losses.group_policy_loss(
            logprobs_BT,
            old_BT,
            batch.advantages_B[piece],
            mask_BT,
            weights_BT=weights_BT,
            epsilon=settings.cliprange,
            epsilon_high=settings.cliprange_high or None,
            ref_logprobs_BT=None if batch.ref_logprobs_BT is None else batch.ref_logprobs_BT[place],
            kl_coef=settings.kl_coef if settings.kl_penalty != "k1_in_reward" else 0.0,
            estimator=settings.kl_penalty[:2],
            ratio_level=settings.ratio_level,
        )
        (counts * loss).backward()
        if not counts:  # rows of another process, read so that its parts of the weights are together
            continue
        now_BT[place] = logprobs_BT.detach()
        sums = {name: float(value) * float(mask_BT.sum()) for name, value in metrics.items()}
        sums["entropy"] = stats.entropy_BT.sum().item()
        sums["loss"] = loss.item() * kept
        totals = {name: totals.get(name, 0.0) + value for name, value in sums.items()}
    ranks.add_up([now_BT])
    return {name: total / kept for name, total in ranks.added(totals).items()}, now_BT


def describe(batch: Batch, old_BT: Tensor, settings: RLOOSettings | GRPOSettings) -> dict[str, float]:
    """What is logged of a batch, once the old log-probabilities are known."""
    r, several = batch.rollouts, settings.per_prompt > 1
    scores_PG = batch.scores_B.view(-1, settings.per_prompt)
    rewards_PG = batch.rewards_B.view(-1, settings.per_prompt)
    dead_P = (scores_PG.amax(1) == scores_PG.amin(1)).float()
    metrics = {
        "reward": batch.rewards_B.mean().item(),
        "reward_std": rewards_PG.std(1).mean().item() if several else 0.0,
        "frac_reward_zero_std": dead_P.mean().item() if several else 0.0,
        "objective/scores": batch.scores_B.mean().item(),
        "objective/scores_std": batch.scores_B.std(correction=0).item(),
        **rollouts.metrics.lengths(r),
        "completions/learnt": batch.learnt_B.float().mean().item(),
    }
    if batch.learnt_B.any():
        metrics |= rollouts.metrics.mismatch(r, old_BT, r.mask_BT * batch.learnt_B[:, None])
    if batch.ref_logprobs_BT is not None:
        for name, estimator in (("kl", "k1"), ("kl_k3", "k3")):
            metrics[name] = rollouts.metrics.kl_of(r, old_BT, batch.ref_logprobs_BT, estimator)
    return metrics
