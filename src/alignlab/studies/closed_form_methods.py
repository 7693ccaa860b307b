"""The methods of the study `closed-form`: the shipped losses, on batches drawn by the policy as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..losses import (
    dpo_loss,
    gae,
    group_advantages,
    kl_estimate,
    kl_shaped_rewards,
    masked_whiten,
    ppo_policy_loss,
    ppo_value_loss,
    sft_loss,
)
from .closed_form_settings import ClosedFormSettings
from .closed_form_task import Task


@dataclass(frozen=True)
class Batch:
    """Completions the policy drew: B = P x G, the G of a prompt side by side."""

    prompts_B: Tensor
    completions_B: Tensor
    scores_B: Tensor
    logprobs_BT: Tensor  # of the policy, with gradient
    ref_BT: Tensor

    @property
    def mask_BT(self) -> Tensor:
        return torch.ones_like(self.ref_BT)


def group_loss(kind: str, penalty: str) -> Callable[[Task, Batch, ClosedFormSettings], Tensor]:
    """A policy gradient with a group baseline. `penalty`: "reward" takes beta k1, summed over the completion,
    from the score (Ahmadian et al. 2024); k1, k2 and k3 add beta times that estimate to the loss, token by
    token (Shao et al. 2024, equation 3, has k3); "whole k2" adds beta d^2 / 2 of the log-ratio d of the whole
    completion, whose gradient beta d grad log pi is that of the penalty in the reward.
    """

    def loss(task: Task, b: Batch, s: ClosedFormSettings) -> Tensor:
        old_BT = b.logprobs_BT.detach()
        scores_B = b.scores_B
        if penalty == "reward":
            scores_B = scores_B - task.beta * kl_estimate(old_BT, b.ref_BT, estimator="k1").sum(1)
        advantages_BT = (
            group_advantages(scores_B.view(-1, s.group), kind=kind).reshape(-1, 1).expand_as(old_BT)
        )
        value, _ = ppo_policy_loss(
            b.logprobs_BT, old_BT, advantages_BT, b.mask_BT, cliprange=0.2, denominator=len(scores_B)
        )
        if penalty == "reward":
            return value
        if penalty == "whole k2":
            whole = b.logprobs_BT.sum(1, keepdim=True), b.ref_BT.sum(1, keepdim=True)
            far = kl_estimate(*whole, estimator="k2")
        else:
            far = kl_estimate(b.logprobs_BT, b.ref_BT, estimator=penalty)
        return value + task.beta * far.sum() / len(scores_B)

    return loss


GROUP_METHODS = {
    "RLOO": ("rloo", "reward"),
    "REINFORCE, batch baseline": ("reinforce", "reward"),
    "Dr. GRPO, KL in the reward": ("dr_grpo", "reward"),
    "GRPO, KL in the reward": ("grpo", "reward"),
    "GRPO as published (k3 in the loss)": ("grpo", "k3"),
    "RLOO, k3 in the loss": ("rloo", "k3"),
    "RLOO, k2 of the whole completion in the loss": ("rloo", "whole k2"),
    "RLOO, k2 in the loss": ("rloo", "k2"),
    "RLOO, k1 in the loss": ("rloo", "k1"),
}


def sample(task: Task, logits_PSV: Tensor, settings: ClosedFormSettings, generator: torch.Generator) -> Batch:
    prompts = len(task.reward_PC)
    with torch.no_grad():
        drawn_PG = torch.multinomial(
            task.log_table(logits_PSV).exp(),
            settings.group * settings.groups,
            replacement=True,
            generator=generator,
        )
    prompts_B = torch.arange(prompts).repeat_interleave(drawn_PG.shape[1])
    completions_B = drawn_PG.reshape(-1)
    return Batch(
        prompts_B,
        completions_B,
        task.reward_PC[prompts_B, completions_B],
        task.logprobs(logits_PSV, prompts_B, completions_B),
        task.logprobs(task.ref_PSV, prompts_B, completions_B),
    )


def minimize(parameters: list[Tensor], steps: int, lr: float, loss_of: Callable[[int], Tensor]) -> None:
    """Adam with a rate that falls to 0, so that what is left at the end is bias and not noise."""
    optimizer = torch.optim.Adam(parameters, lr=lr, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for step in range(steps):
        optimizer.zero_grad()
        loss_of(step).backward()
        optimizer.step()
        schedule.step()


def learn_group(task: Task, kind: str, penalty: str, settings: ClosedFormSettings, seed: int) -> Tensor:
    logits, g = task.ref_PSV.clone().requires_grad_(), torch.Generator().manual_seed(seed)
    of_batch = group_loss(kind, penalty)

    def loss(step: int) -> Tensor:
        return of_batch(task, sample(task, logits, settings, g), settings)

    minimize([logits], settings.steps, settings.lr, loss)
    return task.log_table(logits).detach()


def learn_ppo(task: Task, settings: ClosedFormSettings, seed: int) -> Tensor:
    """PPO as in `methods/ppo.py`: KL in the reward, a value for each prompt and prefix, GAE, whitened
    advantages, both clips; one pass a batch.
    """
    logits, g = task.ref_PSV.clone().requires_grad_(), torch.Generator().manual_seed(seed)
    values_PS = torch.zeros(task.ref_PSV.shape[:2], dtype=torch.float64, requires_grad=True)

    def loss(step: int) -> Tensor:
        b = sample(task, logits, settings, g)
        old_BT = b.logprobs_BT.detach()
        old_values_BT = values_PS[b.prompts_B[:, None], task.states_CT[b.completions_B]]
        rewards_BT = kl_shaped_rewards(b.scores_B, old_BT, b.ref_BT, b.mask_BT, kl_coef=task.beta)
        advantages_BT, returns_BT = gae(rewards_BT, old_values_BT.detach(), b.mask_BT, gamma=1.0, lam=0.95)
        policy, _ = ppo_policy_loss(
            b.logprobs_BT,
            old_BT,
            masked_whiten(advantages_BT, b.mask_BT),
            b.mask_BT,
            cliprange=0.2,
            denominator=len(b.scores_B),
        )
        value, _ = ppo_value_loss(
            old_values_BT,
            old_values_BT.detach(),
            returns_BT,
            b.mask_BT,
            cliprange_value=0.2,
            denominator=len(b.scores_B),
        )
        return policy + value

    minimize([logits, values_PS], settings.steps, settings.lr, loss)
    return task.log_table(logits).detach()


def learn_direct(
    task: Task, loss_type: str, settings: ClosedFormSettings, seed: int, *, comparisons: int = 0
) -> Tensor:
    """DPO or IPO on Bradley-Terry preferences: exact ones, each pair weighted by its two probabilities, or
    `comparisons` labels a prompt drawn once.

    A step sees a batch of pairs of two completions of one prompt, drawn evenly from all, so that every pair
    counts alike.
    """
    logits, g = task.ref_PSV.clone().requires_grad_(), torch.Generator().manual_seed(seed)
    prompts, completions = task.reward_PC.shape
    log_ref = task.log_ref_PC
    count = settings.group * settings.groups

    def drawn(labels: int) -> Tensor:
        return torch.multinomial(torch.ones(prompts, completions), labels, replacement=True, generator=g)

    def first_is_better(a: Tensor, b: Tensor) -> Tensor:
        return (task.reward_PC.gather(1, a) - task.reward_PC.gather(1, b)).sigmoid()

    if comparisons:
        first, other = drawn(comparisons), drawn(comparisons)
        coin = torch.rand(prompts, comparisons, generator=g, dtype=torch.float64)
        labels = (coin < first_is_better(first, other)).to(coin.dtype)

    def loss(step: int) -> Tensor:
        if comparisons:
            a, b, p = first, other, labels
        else:
            a, b = (torch.randint(completions, (prompts, count), generator=g) for _ in range(2))
            p = first_is_better(a, b)
        table = task.log_table(logits)
        a_B, b_B = table.gather(1, a).flatten(), table.gather(1, b).flatten()
        ref_a_B, ref_b_B = log_ref.gather(1, a).flatten(), log_ref.gather(1, b).flatten()
        forward, *_ = dpo_loss(a_B, b_B, ref_a_B, ref_b_B, beta=task.beta, loss_type=loss_type)
        backward, *_ = dpo_loss(b_B, a_B, ref_b_B, ref_a_B, beta=task.beta, loss_type=loss_type)
        return (p.flatten() * forward + (1 - p.flatten()) * backward).mean()

    minimize([logits], settings.steps, settings.lr, loss)
    return task.log_table(logits).detach()


def learn_rejection(task: Task, n: int, settings: ClosedFormSettings, seed: int) -> Tensor:
    """SFT on the best of n samples of the reference: the shipped `sft_loss` on picks."""
    logits, g = task.ref_PSV.clone().requires_grad_(), torch.Generator().manual_seed(seed)
    reference = task.log_ref_PC.exp()
    prompts = len(reference)

    def loss(step: int) -> Tensor:
        drawn_PG = torch.multinomial(
            reference, settings.group * settings.groups * n, replacement=True, generator=g
        )
        groups = drawn_PG.view(prompts, -1, n)
        rewards = task.reward_PC.gather(1, drawn_PG).view(groups.shape)
        picks_B = groups.gather(2, rewards.argmax(2, keepdim=True)).reshape(-1)
        prompts_B = torch.arange(prompts).repeat_interleave(groups.shape[1])
        logprobs_BT = task.logprobs(logits, prompts_B, picks_B)
        return sft_loss(logprobs_BT, torch.ones_like(logprobs_BT), denominator=len(picks_B))[0]

    minimize([logits], settings.steps, settings.lr, loss)
    return task.log_table(logits).detach()
