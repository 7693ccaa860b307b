"""Matrix products in fp32 on a CPU by oneDNN, where torch has it.

It uses AVX-512 on every CPU that has it and MKL only on some: on the others a product takes half as long this
way. For each shape oneDNN compiles kernels, once, in half a millisecond and about a megabyte. Tokens are
therefore read in few widths, with zeros behind them (`width`); few rows, where its longer calls cost more
than it saves, are left to MKL, and so is all that is not fp32 on a CPU. Nothing here is seen by autograd.

Suffixes: M tokens, I and O features in and out.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

FROM = 32  # rows from which oneDNN is the faster one
CACHED = 2**19  # numbers that are still in a core's cache after they were written
_operator: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
onednn: Any = _operator if _operator is not None and torch.backends.mkldnn.is_available() else None


def suits(left: Tensor, right: Tensor) -> bool:
    """Whether a product of these two is oneDNN's to do."""
    return (
        onednn is not None
        and min(*left.shape, *right.shape) >= FROM
        and left.dtype == right.dtype == torch.float32
        and left.device.type == "cpu"
    )


def linear(x_MI: Tensor, weight_OI: Tensor, *, plus: Tensor | None = None) -> Tensor:
    """x W^T (+ plus)."""
    if suits(x_MI, weight_OI):
        found = onednn.default(x_MI, weight_OI, None, "none", [], "")
        return found if plus is None else found.add_(plus)  # its own sum would be one more kernel to compile
    if plus is None:
        return functional.linear(x_MI, weight_OI)
    return torch.addmm(plus, x_MI, weight_OI.t())


def product(left: Tensor, right: Tensor, *, plus: Tensor | None = None) -> Tensor:
    """left @ right (+ plus)."""
    if plus is None and _turns(left, right):
        return linear(right.t(), left).t()
    return linear(left, right.t(), plus=plus)


def _turns(left: Tensor, right: Tensor) -> bool:
    """Whether (right^T left^T)^T is faster: oneDNN wants its left operand to lie in order, and copies it if
    not.
    """
    return not left.is_contiguous() and left.shape[0] > right.shape[1] and suits(left, right)


def add_product(into: Tensor, left: Tensor, right: Tensor) -> None:
    """into += left @ right."""
    if not suits(left, right):
        into.addmm_(left, right)
        return
    step = max(
        FROM, 2 ** int(math.log2(CACHED / right.shape[1]))
    )  # rows of a part that is read again at once
    for start in range(0, len(into), step):
        part = slice(start, start + step)
        into[part].add_(product(left[part], right))


def width(count: int) -> int:
    """The number of rows in which so many tokens are read: four widths to a doubling from 32 on, so that the
    kernels made for one width are used again.
    """
    step = max(1, 2 ** ((max(count, 1) - 1).bit_length() - 3))
    return count if count <= FROM else -(-count // step) * step


def widened(x_N: Tensor) -> Tensor:
    """Zeros behind it up to its `width`."""
    more = width(len(x_N)) - len(x_N) if x_N.device.type == "cpu" else 0
    return torch.cat([x_N, x_N.new_zeros(more, *x_N.shape[1:])]) if more else x_N
