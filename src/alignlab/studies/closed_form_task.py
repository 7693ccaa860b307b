"""A task whose KL-optimal policy is known in closed form, and how near each method comes to it.

For a reward r and a reference, the policy that maximises E r - beta KL(policy || reference) is

    pi*(y | x) = ref(y | x) exp(r(x, y) / beta) / Z(x)    Rafailov et al. 2023, equation 4; Korbak et al. 2022

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
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ConfigError
from ..losses import token_logprobs
from ..run import derive_seed
from .closed_form_settings import ClosedFormSettings

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
    states = torch.zeros_like(ids)
    for position in range(t):  # the prefix before it, read as a number of base V
        before = torch.zeros(len(ids), dtype=torch.long)
        for place in range(position):
            before = before * v + ids[:, place]
        states[:, position] = offset[position] + before
    reward = torch.randn(settings.prompts, len(ids), generator=g, dtype=torch.float64)
    spread = torch.ones(1, dtype=torch.float64)
    if settings.prompts > 1:
        spread = torch.linspace(0.4, 1.6, settings.prompts, dtype=torch.float64)
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
        if spent < nats:
            high = middle
        else:
            low = middle
    best = optimum(log_ref, task.reward_PC, high)
    return (best.exp() * task.reward_PC).sum(1).mean().item()


def figures(task: Task, log_p_PC: Tensor, target_PC: Tensor | None = None) -> dict[str, float]:
    """What a policy is worth, all exact: `kl_to_optimum` KL(pi || pi*), `regret` J(pi*) - J(pi), `reward`,
    `kl` from the reference, and `frontier_gap`, the reward it lacks against the best policy of its own KL.
    With a target of the method's own also `kl_to_own_target`.
    """
    log_ref = task.log_ref_PC
    best = optimum(log_ref, task.reward_PC, task.beta)

    def objective(log_q: Tensor) -> float:
        return ((log_q.exp() * task.reward_PC).sum(1) - task.beta * kl(log_q, log_ref)).mean().item()

    spent = kl(log_p_PC, log_ref).mean().item()
    reward = (log_p_PC.exp() * task.reward_PC).sum(1).mean().item()
    row = {
        "kl_to_optimum": kl(log_p_PC, best).mean().item(),
        "regret": objective(best) - objective(log_p_PC),
        "reward": reward,
        "kl": spent,
        "frontier_gap": best_reward_at(task, spent) - reward,
    }
    if target_PC is not None:
        row["kl_to_own_target"] = kl(log_p_PC, target_PC).mean().item()
    return row


def ipo_target(task: Task) -> Tensor:
    """(P, C) log of IPO's own optimum: ref exp(E_y' p(y before y') / beta) / Z, y' drawn evenly (Azar et al.
    2023, equation 6 with the identity).
    """
    p_PCC = (task.reward_PC[:, :, None] - task.reward_PC[:, None, :]).sigmoid()
    return optimum(task.log_ref_PC, p_PCC.mean(2), task.beta)
