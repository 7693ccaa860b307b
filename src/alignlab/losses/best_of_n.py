"""Best of N: its KL bound and its unbiased estimate."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .masked import check_same_shape


def best_of_n_kl(n: int) -> float:
    """log n - (n - 1) / n: an upper bound of KL(best of n || one sample), in nats.

    Stiennon et al. 2020, appendix G.3; exact where scores never tie, a bound otherwise: Beirami et al. 2024.

    Raises:
        ValueError: n below 1.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}")
    return math.log(n) - (n - 1) / n


def best_of_n_estimate(proxy_PM: Tensor, gold_PM: Tensor, n: int) -> Tensor:
    """Unbiased estimate, from M samples per prompt, of the value of the best of n by proxy (Nakano et al.
    2021, appendix I).

    Over all C(M, n) subsets the sample of rank i by proxy (1 = lowest) is the best of its subset C(i - 1, n -
    1) times. Samples that tie by proxy share their value, so that the order of a tie does not matter.

    Args:
        proxy_PM: (P, M) scores that pick; gold_PM: (P, M) what is wanted of the pick (gold, or the proxy
            itself).
        n: 1 to M.

    Returns:
        (P,) expected value for each prompt.

    Raises:
        ValueError: n is not from 1 to M.
    """
    check_same_shape(proxy_PM=proxy_PM, gold_PM=gold_PM)
    samples = proxy_PM.shape[1]
    if not 1 <= n <= samples:
        raise ValueError(f"n = {n} needs between 1 and M = {samples} samples")
    dtype = torch.result_type(gold_PM, 1.0)  # 0/1 labels may come as integers
    shares = [math.comb(i, n - 1) / math.comb(samples, n) for i in range(samples)]
    weights = torch.tensor(shares, dtype=dtype, device=gold_PM.device)
    order = proxy_PM.argsort(dim=1, stable=True)
    proxy, values = proxy_PM.gather(1, order), gold_PM.to(dtype).gather(1, order)
    same = (proxy[:, :, None] == proxy[:, None, :]).to(values.dtype)
    shared = (same * values[:, None, :]).sum(2) / same.sum(2)
    return (shared * weights).sum(1)
