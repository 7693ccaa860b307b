"""What is right in exercise 3, in float64, and what those write who have misunderstood a line of it.

Each name in `but` stands for one such line. Equations: Ouyang et al. 2022 (2), Schulman 2020 (k1, k3),
Ahmadian et al. 2024 (leave one out), Schulman et al. 2017 (7).
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ...grade.exercise import NOTHING, Function

CLIP = 0.2


def shaped_rewards(
    scores_B: Tensor,
    logp_BT: Tensor,
    ref_BT: Tensor,
    mask_BT: Tensor,
    beta: float,
    *,
    but: frozenset[str] = NOTHING,
) -> Tensor:
    """(B, T): -beta (log p - log ref) on every completion token, plus the score on the last of them."""
    inside = mask_BT != 0
    kl_BT = logp_BT - ref_BT
    if "kl-sign" in but:
        kl_BT = -kl_BT
    if "kl-on-padding" not in but:
        kl_BT = kl_BT.masked_fill(~inside, 0.0)
    scored = inside & (inside.flip(1).cumsum(1).flip(1) == 1)
    if "score-on-a-pad" in but:
        scored = torch.zeros_like(inside)
        scored[:, -1] = True
    if "score-on-every-token" in but:
        scored = inside
    return scores_B[:, None] * scored - beta * kl_BT


def kl(
    logp_BT: Tensor, ref_BT: Tensor, mask_BT: Tensor, *, but: frozenset[str] = NOTHING
) -> tuple[Tensor, Tensor]:
    """k1 and k3 of each completion, nats: sums over its tokens of d and of e^-d - 1 + d, where d is log p -
    log ref.
    """
    d_BT = logp_BT - ref_BT
    turned_BT = -d_BT if "k3-turned-round" in but else d_BT
    k1_BT, k3_BT = d_BT, torch.expm1(-turned_BT) + turned_BT
    if "kl-counts-padding" not in but:
        k1_BT, k3_BT = k1_BT.masked_fill(mask_BT == 0, 0.0), k3_BT.masked_fill(mask_BT == 0, 0.0)
    tokens_B = torch.ones_like(k1_BT[:, 0])
    if "kl-as-a-mean" in but:
        tokens_B = (mask_BT != 0).sum(1).to(k1_BT.dtype)
    return k1_BT.sum(1) / tokens_B, k3_BT.sum(1) / tokens_B


def advantages(rewards_BT: Tensor, mask_BT: Tensor, group: int, *, but: frozenset[str] = NOTHING) -> Tensor:
    """(B, T): the return of each completion less the mean return of the others of its prompt, at every token
    of it.

    Right as well: "to-go" counts from each token on; "group-mean" takes the mean of all of the group,
    "batch-mean" that of all; "whole" lets the baseline be of whole returns; "deviation" and "whitened" divide
    by the spread within the group or of all tokens ("population": by n instead of n - 1; "tiny": epsilon of
    1e-8).
    """
    inside = mask_BT != 0
    rewards_BT = rewards_BT.masked_fill(~inside, 0.0)
    whole_BT = rewards_BT.sum(1, keepdim=True).expand_as(rewards_BT)
    returns_BT = whole_BT
    if "to-go" in but:
        returns_BT = rewards_BT.flip(1).cumsum(1).flip(1)
    if "reward-for-return" in but:
        returns_BT = rewards_BT
    compared_BT = whole_BT if "whole" in but else returns_BT
    compared_PGT = compared_BT.reshape(-1, group, mask_BT.shape[1])
    axis = 0 if "baseline-over-the-wrong-axis" in but else 1
    others = max(compared_PGT.shape[axis] - 1, 1)
    baseline_PGT = (compared_PGT.sum(axis, keepdim=True) - compared_PGT) / others
    if "group-mean" in but:
        baseline_PGT = compared_PGT.mean(axis, keepdim=True).expand_as(compared_PGT)
    if "batch-mean" in but:
        baseline_PGT = compared_PGT.mean((0, 1), keepdim=True).expand_as(compared_PGT)
    found_BT = returns_BT - baseline_PGT.reshape(rewards_BT.shape)
    epsilon, less = 1e-8 if "tiny" in but else 1e-4, 0 if "population" in but else 1
    if "deviation" in but:
        spread_PG = whole_BT[:, 0].reshape(-1, group).std(1, keepdim=True, correction=less)
        found_BT = found_BT / (spread_PG.expand(-1, group).reshape(-1, 1) + epsilon)
    if "whitened" in but or "whitening-over-padding" in but:
        counted = found_BT.masked_fill(~inside, 0.0).flatten()
        if "whitening-over-padding" not in but:
            counted = found_BT[inside]
        found_BT = (found_BT - counted.mean()) / (counted.std(correction=less) + epsilon)
    return found_BT.masked_fill(~inside, 0.0)


def policy_loss(
    logp_BT: Tensor,
    old_BT: Tensor,
    adv_BT: Tensor,
    mask_BT: Tensor,
    clip: float,
    tokens: float,
    *,
    but: frozenset[str] = NOTHING,
) -> Tensor:
    """Sum over completion tokens of max(-A r, -A clip(r, 1 - c, 1 + c)) over `tokens`, r = p / p_old."""
    if "detached" in but:
        logp_BT = logp_BT.detach()
    ratio_BT = (logp_BT - old_BT).masked_fill(mask_BT == 0, 0.0).exp()
    low = 0.0 if "upper-clip-alone" in but else 1 - clip
    free_BT, held_BT = -adv_BT * ratio_BT, -adv_BT * ratio_BT.clamp(low, 1 + clip)
    worse = torch.minimum if "min-for-max" in but else torch.maximum
    return worse(free_BT, held_BT).masked_fill(mask_BT == 0, 0.0).sum() / tokens


# --- inputs


def _mask(g: Generator, rows: int, tokens: int) -> Tensor:
    """Completions of one token and more, behind a prompt of none or one, padding after most of them."""
    mask_BT = torch.zeros(rows, tokens, dtype=torch.float64)
    for row in mask_BT:
        first, length = (int(torch.randint(n, (), generator=g)) for n in (2, tokens - 1))
        row[first : first + length + 1] = 1.0
    return mask_BT


def _normal(g: Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=g, dtype=torch.float64)


def _near(g: Generator, other_BT: Tensor, spread: float) -> Tensor:
    """Log-probabilities not far from others, none above 0."""
    return (other_BT + spread * _normal(g, *other_BT.shape)).clamp(max=-0.01)


def draw_rewards(g: Generator) -> dict[str, Tensor | float]:
    mask_BT, ref_BT = _mask(g, 3, 4), -_normal(g, 3, 4).abs()
    return {
        "scores_B": _normal(g, 3),
        "logp_BT": _near(g, ref_BT, 0.7),
        "ref_BT": ref_BT,
        "mask_BT": mask_BT,
        "beta": 0.1 + float(torch.rand((), generator=g)),
    }


def draw_kl(g: Generator) -> dict[str, Tensor]:
    ref_BT = -_normal(g, 3, 4).abs()
    return {"logp_BT": _near(g, ref_BT, 0.7), "ref_BT": ref_BT, "mask_BT": _mask(g, 3, 4)}


def draw_advantages(g: Generator) -> dict[str, Tensor | int]:
    group, prompts = (2 + int(torch.randint(2, (), generator=g)) for _ in range(2))
    mask_BT = _mask(g, group * prompts, 4)
    return {"rewards_BT": _normal(g, group * prompts, 4) * mask_BT, "mask_BT": mask_BT, "group": group}


def draw_loss(g: Generator) -> dict[str, Tensor | float]:
    old_BT, mask_BT = -_normal(g, 3, 4).abs(), _mask(g, 3, 4)
    return {
        "logp_BT": _near(g, old_BT, 0.5),
        "old_BT": old_BT,
        "adv_BT": 2 * _normal(g, 3, 4),
        "mask_BT": mask_BT,
        "clip": CLIP,
        "tokens": 5.0,
    }


# --- what is asked for

_RETURNS = ("to-go", "")
_BASELINES = ("", "group-mean", "batch-mean")
_SCALES = ("", "deviation", "whitened")
FORMS = tuple(
    dict.fromkeys(
        frozenset(filter(None, (returns, whole, baseline, scale, less, tiny)))
        for returns in _RETURNS
        for whole in ("", "whole" if returns else "")
        for baseline in _BASELINES
        for scale in _SCALES
        for less in ("", "population" if scale else "")
        for tiny in ("", "tiny" if scale else "")
    )
)
SHAPED = Function(
    "shaped_rewards",
    shaped_rewards,
    draw_rewards,
    ("kl-sign", "kl-on-padding", "score-on-a-pad", "score-on-every-token"),
)
KL = Function("kl", kl, draw_kl, ("k3-turned-round", "kl-counts-padding", "kl-as-a-mean"))
ADVANTAGES = Function(
    "advantages",
    advantages,
    draw_advantages,
    ("reward-for-return", "baseline-over-the-wrong-axis", "whitening-over-padding"),
    FORMS,
    block="group",
)
LOSS = Function(
    "policy_loss", policy_loss, draw_loss, ("min-for-max", "upper-clip-alone", "detached"), gradient="logp_BT"
)
