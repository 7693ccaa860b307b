"""One step of training in two halves, by rows: the later half may be read in a second process.

Each half has gradients of its own, counted from nothing, and the later's are added to the earlier's. So the
sum is the same to the last bit whether one process reads both halves in turn or two read them at once.
Weights and the later half's gradients lie in memory that both processes see; what the optimizer changes, both
have.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from ..run import ranks
from ..run.beside import Beside
from .devices import may_be_copied
from .optimizer import MasterAdamW

SMALL = 20_000_000
"""Weights of a model whose steps are halved: of a larger one, gradients twice weigh more than a core that
idles."""
ALIGNED = 64  # bytes


class Halves:
    """Reads the rows of a step and leaves their gradients with the optimizers.

    Args:
        learn: forward and backward pass of some rows, called with the step, the half (0 or 1) and the rows;
            what it gives is plain numbers. Draws follow from step and half alone.
        optimizers: of all that `learn` has gradients for.
    """

    def __init__(
        self, learn: Callable[[int, int, Sequence[int]], Any], optimizers: Sequence[MasterAdamW]
    ) -> None:
        self.learn = learn
        self.masters = [master for optimizer in optimizers for master in optimizer.masters]
        weights = [weight for optimizer in optimizers for weight in optimizer.params]
        count = sum(weight.numel() for weight in weights)
        alone = ranks.size() == 1
        self.halved = alone and count <= SMALL and all(weight.device.type == "cpu" for weight in weights)
        self.theirs = [torch.empty_like(master) for master in self.masters] if self.halved else []
        copied = self.halved and may_be_copied()
        if copied:
            for weight, seen in zip(weights, _seen_by_both(weights), strict=True):
                weight.data = seen.copy_(weight.data)
            self.theirs = _seen_by_both(self.masters)
        self.beside = Beside(self._later_half if copied else None)

    def step(self, step: int, rows: Sequence[int]) -> list[Any]:
        """What `learn` gives for each half, the earlier first. The optimizers have no gradients before, and
        have those of all rows afterwards.
        """
        part = (step, rows[1::2])
        if not self.halved or len(rows) < 2:
            return [self.learn(step, 0, rows)]
        handed_over = self.beside.begin(part)
        found = self.learn(step, 0, rows[::2])
        gradients = self._taken()
        found_there, learnt = self.beside.result(part) if handed_over else self._later_half(part)
        for master, gradient, theirs, is_learnt in zip(
            self.masters, gradients, self.theirs, learnt, strict=True
        ):
            if gradient is None:
                master.grad = theirs.clone() if is_learnt else None
            else:
                master.grad = gradient.add_(theirs) if is_learnt else gradient
        return [found, found_there]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.beside.close()

    def _later_half(self, part: tuple[int, Sequence[int]]) -> tuple[Any, list[bool]]:
        """Its gradients go into `theirs`; what it found, and which weights have a gradient."""
        found = self.learn(part[0], 1, part[1])
        gradients = self._taken()
        for theirs, gradient in zip(self.theirs, gradients, strict=True):
            if gradient is not None:
                theirs.copy_(gradient)
        return found, [gradient is not None for gradient in gradients]

    def _taken(self) -> list[Tensor | None]:
        """The gradients as they stand, taken off the weights."""
        gradients = [master.grad for master in self.masters]
        for master in self.masters:
            master.grad = None
        return gradients


def _seen_by_both(like: Sequence[Tensor]) -> list[Tensor]:
    """Tensors of these shapes in memory that a copy of this process shares; each begins where torch's own
    would, as products may differ in their last bit by where a matrix begins.
    """
    sizes = [-(-tensor.numel() * tensor.element_size() // ALIGNED) * ALIGNED for tensor in like]
    memory = mmap.mmap(-1, max(1, sum(sizes)))
    shared, start = [], 0
    for tensor, size in zip(like, sizes, strict=True):
        flat = torch.frombuffer(memory, dtype=tensor.dtype, count=tensor.numel(), offset=start)
        shared.append(flat.view(tensor.shape))
        start += size
    return shared
