"""A task whose KL-optimal policy is known in closed form, and how near each method comes to it.

For a reward r and a reference, the policy that maximises E r - beta KL(policy || reference) is

    pi*(y | x) = ref(y | x) exp(r(x, y) / beta) / Z(x)          Rafailov et al. 2023, equation 4; Korbak et al. 2022

Here y is one of V^T sequences of tokens, so that pi*, every expectation and every KL are sums. The policy is
a table of logits, one row for each prompt and prefix: it can be any distribution over sequences, so what a
method misses of pi* is the method's own doing. The losses are the shipped ones; nothing here re-derives them.
For any policy

    J(pi*) - J(pi) = beta KL(pi || pi*),          J(pi) = E r - beta KL(pi || ref)

so the distance is the regret. A second figure takes strength out: how much reward the policy lacks against
the best policy of its own KL.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ConfigError
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
    token_logprobs,
)
from ..run import derive_seed
from .settings import ClosedFormSettings

MOST = 100_000  # completions times prompts that are enumerated


def check(settings: ClosedFormSettings) -> None:
    """Raise ConfigError for a task that cannot be made or enumerated."""
    s = settings
    if (
        min(s.prompts, s.length, s.groups, s.steps, s.comparisons, s.best_of) < 1
        or s.vocabulary < 2
        or s.group < 2
    ):
        raise ConfigError(
            "closed_form: prompts, length, groups, steps, comparisons and best_of from 1, vocabulary "
            "and group from 2"
        )
    if s.beta <= 0 or s.lr <= 0:
        raise ConfigError(
            f"closed_form.beta = {s.beta}, lr = {s.lr}",
            remedy="above 0: without a penalty the optimum is no distribution but the best completion",
        )
    if s.prompts * s.vocabulary**s.length > MOST:
        raise ConfigError(
            f"{s.prompts} prompts of {s.vocabulary}^{s.length} completions are too many to enumerate",
            remedy=f"at most {MOST} in all",
        )


@dataclass(frozen=True)
class Task:
    """All sequences of T tokens from a vocabulary of V, rewards and a reference.

    Attributes:
        ids_CT: the C = V^T completions.
        states_CT: the row of the table that gives the logits of each token: one for each prefix.
        reward_PC: of each completion of each prompt.
        ref_PSV: the reference's logits.
    """

    ids_CT: Tensor
    states_CT: Tensor
    reward_PC: Tensor
    ref_PSV: Tensor
    beta: float

    def logprobs(self, logits_PSV: Tensor, prompts_B: Tensor, completions_B: Tensor) -> Tensor:
        """(B, T) of tokens, by the shipped `token_logprobs`, which wants a position before the first."""
        states_BT = self.states_CT[completions_B]
        logits_BTV = logits_PSV[prompts_B[:, None], states_BT]
        logits_BTV = torch.cat([logits_BTV, torch.zeros_like(logits_BTV[:, :1])], 1)
        ids_BT = self.ids_CT[completions_B]
        return token_logprobs(logits_BTV, torch.cat([torch.zeros_like(ids_BT[:, :1]), ids_BT], 1))[:, 1:]

    def log_table(self, logits_PSV: Tensor) -> Tensor:
        """(P, C) log-probability of every completion."""
        prompts, completions = self.reward_PC.shape
        p = torch.arange(prompts).repeat_interleave(completions)
        return (
            self.logprobs(logits_PSV, p, torch.arange(completions).repeat(prompts))
            .sum(1)
            .view(prompts, completions)
        )

    @property
    def log_ref_PC(self) -> Tensor:
        return self.log_table(self.ref_PSV)


def make_task(settings: ClosedFormSettings, seed: int) -> Task:
    """A task drawn from the seed: a random reference, rewards that are no sum over tokens, and prompts of
    unlike spread.

    The spread of the rewards runs from 0.4 to 1.6 over the prompts (mean 1), so that a method that divides by
    it can be told from one that does not.
    """
    g = torch.Generator().manual_seed(derive_seed(seed, "closed-form", "task"))
    v, t = settings.vocabulary, settings.length
    ids = torch.tensor(list(itertools.product(range(v), repeat=t)))
    offset = [sum(v**k for k in range(position)) for position in range(t)]
    states = torch.stack(
        [
            offset[k]
            + sum((ids[:, j] * v ** (k - 1 - j) for j in range(k)), torch.zeros(len(ids), dtype=torch.long))
            for k in range(t)
        ],
        1,
    )
    reward = torch.randn(settings.prompts, len(ids), generator=g, dtype=torch.float64)
    spread = (
        torch.linspace(0.4, 1.6, settings.prompts, dtype=torch.float64)
        if settings.prompts > 1
        else torch.ones(1, dtype=torch.float64)
    )
    reference = torch.randn(
        settings.prompts, sum(v**k for k in range(t)), v, generator=g, dtype=torch.float64
    )
    return Task(ids, states, reward * spread[:, None], reference, settings.beta)


def optimum(log_ref_PC: Tensor, reward_PC: Tensor, beta: float) -> Tensor:
    """(P, C) log pi*, the closed form above."""
    return (log_ref_PC + reward_PC / beta).log_softmax(-1)


def kl(log_p_PC: Tensor, log_q_PC: Tensor) -> Tensor:
    """(P,) KL(p || q) in nats, summed over all completions."""
    return (log_p_PC.exp() * (log_p_PC - log_q_PC).nan_to_num(0.0, 0.0, 0.0)).sum(-1)


def best_of_n_table(log_p_PC: Tensor, reward_PC: Tensor, n: int) -> Tensor:
    """(P, C) log-probability of the best of n samples: P(all n at or below) - P(all n below), rewards taken
    to be distinct.
    """
    order = reward_PC.argsort(1)
    below_PC = log_p_PC.exp().gather(1, order).cumsum(1).clamp(max=1.0)
    upto = below_PC**n
    mass = torch.diff(upto, dim=1, prepend=torch.zeros_like(upto[:, :1])).clamp_min(1e-300)
    return torch.empty_like(mass).scatter_(1, order, mass).log()


def best_reward_at(task: Task, nats: float) -> float:
    """The most mean reward any policy can have within a mean KL over the prompts: that of pi* at the beta
    that spends it (by bisection in log beta).
    """
    log_ref = task.log_ref_PC
    low, high = 1e-3, 1e4
    for _ in range(100):
        middle = math.sqrt(low * high)
        spent = kl(optimum(log_ref, task.reward_PC, middle), log_ref).mean().item()
        low, high = (low, middle) if spent < nats else (middle, high)
    best = optimum(log_ref, task.reward_PC, high)
    return (best.exp() * task.reward_PC).sum(1).mean().item()


def figures(task: Task, log_p_PC: Tensor, target_PC: Tensor | None = None) -> dict[str, float]:
    """What a policy is worth, all exact: `kl_to_optimum` KL(pi || pi*), `regret` J(pi*) - J(pi), `reward`, `kl` from the reference, and
    `frontier_gap`, the reward it lacks against the best policy of its own KL. With a target of the method's
    own also `kl_to_own_target`.
    """
    log_ref = task.log_ref_PC
    best = optimum(log_ref, task.reward_PC, task.beta)

    def objective(log_q: Tensor) -> float:
        return ((log_q.exp() * task.reward_PC).sum(1) - task.beta * kl(log_q, log_ref)).mean().item()

    spent, reward = (
        kl(log_p_PC, log_ref).mean().item(),
        (log_p_PC.exp() * task.reward_PC).sum(1).mean().item(),
    )
    row = {
        "kl_to_optimum": kl(log_p_PC, best).mean().item(),
        "regret": objective(best) - objective(log_p_PC),
        "reward": reward,
        "kl": spent,
        "frontier_gap": best_reward_at(task, spent) - reward,
    }
    return row | (
        {"kl_to_own_target": kl(log_p_PC, target_PC).mean().item()} if target_PC is not None else {}
    )


# the methods: each a loss of a batch drawn by the policy as it is


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
        if penalty == "whole k2":
            value = value + task.beta * kl_estimate(
                b.logprobs_BT.sum(1, keepdim=True), b.ref_BT.sum(1, keepdim=True), estimator="k2"
            ).sum() / len(scores_B)
        elif penalty != "reward":
            value = value + task.beta * kl_estimate(b.logprobs_BT, b.ref_BT, estimator=penalty).sum() / len(
                scores_B
            )
        return value

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
    prompts_B, completions_B = (
        torch.arange(prompts).repeat_interleave(drawn_PG.shape[1]),
        drawn_PG.reshape(-1),
    )
    return Batch(
        prompts_B,
        completions_B,
        task.reward_PC[prompts_B, completions_B],
        task.logprobs(logits_PSV, prompts_B, completions_B),
        task.logprobs(task.ref_PSV, prompts_B, completions_B),
    )


def minimise(parameters: list[Tensor], steps: int, lr: float, loss_of: Callable[[int], Tensor]) -> None:
    """Adam with a rate that falls to 0, so that what is left at the end is bias and not noise."""
    optimizer = torch.optim.Adam(parameters, lr=lr, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for step in range(steps):
        optimizer.zero_grad()
        loss_of(step).backward()
        optimizer.step()
        schedule.step()


def learn_group(task: Task, kind: str, penalty: str, settings: ClosedFormSettings, seed: int) -> Tensor:
    logits, g, loss = (
        task.ref_PSV.clone().requires_grad_(),
        torch.Generator().manual_seed(seed),
        group_loss(kind, penalty),
    )
    minimise(
        [logits],
        settings.steps,
        settings.lr,
        lambda _: loss(task, sample(task, logits, settings, g), settings),
    )
    return task.log_table(logits).detach()


def learn_ppo(task: Task, settings: ClosedFormSettings, seed: int) -> Tensor:
    """PPO as in `methods/ppo.py`: KL in the reward, a value for each prompt and prefix, GAE, whitened
    advantages, both clips; one pass a batch.
    """
    logits, g = task.ref_PSV.clone().requires_grad_(), torch.Generator().manual_seed(seed)
    values_PS = torch.zeros(task.ref_PSV.shape[:2], dtype=torch.float64, requires_grad=True)

    def loss(step: int) -> Tensor:
        b = sample(task, logits, settings, g)
        old_BT, old_values_BT = (
            b.logprobs_BT.detach(),
            values_PS[b.prompts_B[:, None], task.states_CT[b.completions_B]],
        )
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

    minimise([logits, values_PS], settings.steps, settings.lr, loss)
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
    first = (
        torch.multinomial(torch.ones(prompts, completions), comparisons, replacement=True, generator=g)
        if comparisons
        else None
    )
    other = (
        torch.multinomial(torch.ones(prompts, completions), comparisons, replacement=True, generator=g)
        if comparisons
        else None
    )
    coin = torch.rand(prompts, comparisons, generator=g, dtype=torch.float64) if comparisons else None
    count = settings.group * settings.groups

    def loss(step: int) -> Tensor:
        if first is None or other is None or coin is None:
            a, b = (torch.randint(completions, (prompts, count), generator=g) for _ in range(2))
        else:
            a, b = first, other
        p = (task.reward_PC.gather(1, a) - task.reward_PC.gather(1, b)).sigmoid()
        if coin is not None:
            p = (coin < p).to(p.dtype)
        table = task.log_table(logits)
        rows = [x.gather(1, y).flatten() for y in (a, b) for x in (table, log_ref)]
        forward, *_ = dpo_loss(rows[0], rows[2], rows[1], rows[3], beta=task.beta, loss_type=loss_type)
        backward, *_ = dpo_loss(rows[2], rows[0], rows[3], rows[1], beta=task.beta, loss_type=loss_type)
        return (p.flatten() * forward + (1 - p.flatten()) * backward).mean()

    minimise([logits], settings.steps, settings.lr, loss)
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

    minimise([logits], settings.steps, settings.lr, loss)
    return task.log_table(logits).detach()


def ipo_target(task: Task) -> Tensor:
    """(P, C) log of IPO's own optimum: ref exp(E_y' p(y before y') / beta) / Z, y' drawn evenly (Azar et al.
    2023, equation 6 with the identity).
    """
    p_PCC = (task.reward_PC[:, :, None] - task.reward_PC[:, None, :]).sigmoid()
    return optimum(task.log_ref_PC, p_PCC.mean(2), task.beta)
