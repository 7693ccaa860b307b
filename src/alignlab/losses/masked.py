"""What the losses share: means over a mask or a length, and one check against silent broadcasting."""

from __future__ import annotations

import torch
from torch import Tensor


def zero_outside(x: Tensor, mask: Tensor) -> Tensor:
    """`x` where the mask is not 0, else 0. Unlike `x * mask` it also stops inf and NaN, in values and in
    gradients.
    """
    return x.masked_fill(mask == 0, 0.0)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean of `x` over the places where `mask` is not 0; 0 if there are none. Same shapes in, 0-d out."""
    check_same_shape(x=x, mask=mask)
    return zero_outside(x, mask).sum() / (mask != 0).sum().clamp_min(1)


def token_mean(sums_B: Tensor, lengths_B: Tensor) -> Tensor:
    """(B,) sums over the tokens of completions, each over its length.

    Raises:
        ValueError: shapes that differ, or a completion of no tokens, which has no mean.
    """
    check_same_shape(logps=sums_B, lengths=lengths_B)
    if (lengths_B < 1).any():
        raise ValueError("a completion without a token has no mean log-probability")
    return sums_B / lengths_B


@torch.no_grad()
def explained_variance(values_BT: Tensor, returns_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """1 - Var(returns - values) / Var(returns) over the unmasked positions, 0-d.

    1 is perfect, 0 no better than a constant, below 0 worse than one. Undefined, and 0 here, where all
    returns are equal.
    """
    check_same_shape(values_BT=values_BT, returns_BT=returns_BT, mask_BT=mask_BT)
    kept = mask_BT.bool()
    values, returns = values_BT[kept], returns_BT[kept]
    if returns.numel() == 0 or returns.min() == returns.max():
        return returns_BT.new_zeros(())
    return 1 - (returns - values).var(correction=0) / returns.var(correction=0)


def check_same_shape(**tensors: Tensor) -> None:
    """Raise ValueError unless all shapes agree: (B,) against (B, 1) would broadcast to (B, B) and train on
    nonsense.
    """
    if len({tensor.shape for tensor in tensors.values()}) > 1:
        raise ValueError(
            "need the same shape: "
            + ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items())
        )
