"""Gradients of weights, added where they are kept.

A matrix product can add to what is there as cheaply as it can write. Autograd has each backward pass make a
gradient of its own and then adds it: over micro-batches that is the whole model once more to write, and twice
to read. So our own backward passes (`models.llama`, `models.head`) add to the gradient of a weight that
`MasterAdamW` trains, if it has one already, and hand autograd nothing.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from . import products

TRAINED = "_alignlab_trained"


def trained(weight: nn.Parameter) -> None:
    """Say of a weight that its gradient is only ever wanted as the sum in `weight.grad`."""
    setattr(weight, TRAINED, True)


def kept(weight: Any) -> Tensor | None:
    """The gradient that may be added to in place, if there is one: not where somebody is to hear of each."""
    if not getattr(weight, TRAINED, False) or weight._backward_hooks or weight._post_accumulate_grad_hooks:
        return None
    return weight.grad


def product(weight: Tensor, left: Tensor, right: Tensor, *, wanted: bool) -> Tensor | None:
    """left @ right as a part of the gradient of `weight`: what autograd is to be told, if anything."""
    if not wanted:
        return None
    grad = kept(weight)
    if grad is None:
        return products.product(left, right)
    products.add_product(grad, left, right)
    return None
