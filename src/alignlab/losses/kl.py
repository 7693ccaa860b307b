"""Estimates of the KL divergence between policy and reference, and the controller of its weight."""

from __future__ import annotations

import torch
from torch import Tensor

from .masked import check_same_shape


def kl_estimate(logprobs_BT: Tensor, ref_logprobs_BT: Tensor, *, estimator: str) -> Tensor:
    """Estimates of KL(policy || reference) at each token the policy sampled (Schulman 2020, "Approximating KL
    divergence").

        d = log p - log p_ref
        k1 = d              unbiased, high variance, can be negative
        k2 = d^2 / 2        biased, low variance
        k3 = e^-d - 1 + d   unbiased, low variance, never negative

    Args:
        logprobs_BT, ref_logprobs_BT: (B, T) in nats.
        estimator: k1, k2 or k3.

    Raises:
        ValueError: another estimator.
    """
    check_same_shape(logprobs_BT=logprobs_BT, ref_logprobs_BT=ref_logprobs_BT)
    d = logprobs_BT - ref_logprobs_BT
    if estimator == "k1":  # log r
        return d
    if estimator == "k2":  # (log r)^2 / 2
        return d.square() / 2
    if estimator == "k3":  # 1 / r - 1 + log r
        return (torch.expm1(-d) + d).clamp_min(0.0)
    raise ValueError(f"estimator {estimator!r} is not one of k1, k2, k3")


def adaptive_kl_coef(coef: float, kl: float, *, target: float, horizon: float, n: float) -> float:
    """The next weight of the KL penalty (Ziegler et al. 2019, section 2.2).

        e = clip(kl / target - 1, -0.2, 0.2);   coef' = coef (1 + e n / horizon)

    Args:
        kl: measured, nats per completion.
        target: wanted, nats per completion.
        n: completions since the last change, `horizon`: completions over which it reacts.
    """
    error = min(0.2, max(-0.2, kl / target - 1))
    return coef * (1 + error * n / horizon)
