"""What a loop trains, kept together so that a run can stop at any step and go on in the same bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ResumeRefused
from ..run import RunDir
from . import shards
from .optimizer import MasterAdamW


class Trained:
    """Models with their optimizers, and the loop's own numbers. Making it is enough to go on: what an earlier
    process saved is put back into all of them.

    Raises:
        ResumeRefused: what was saved lacks a tensor, as a state that other code wrote does.

    Args:
        numbers: what the loop counts for itself, as JSON can hold it, where it begins. A function stands for
            what it gives when the state is saved.
        parts: by the name that its tensors are saved under, each model with its optimizer.

    Attributes:
        numbers: to be read and written by the loop.
        resumed: whether there was anything to put back.
    """

    def __init__(
        self, run: RunDir, numbers: Mapping[str, Any], /, **parts: tuple[nn.Module, MasterAdamW]
    ) -> None:
        self.parts, self.numbers = parts, dict(numbers)
        saved = run.load_state()
        self.resumed = saved is not None
        if saved is not None:
            _, tensors, numbers = saved
            if missing := sorted(self._tensors().keys() - tensors.keys()):
                raise ResumeRefused(
                    f"the state that this run would go on from was written by other code: no {missing[0]!r}",
                    where=str(run.path),
                    remedy="--no-resume begins anew; the version that began it can go on",
                )
            for name, (model, optimizer) in parts.items():
                load_tensors(model, tensors, name)
                optimizer.load_state_tensors(tensors, f"{name}_optim")
            self.numbers |= numbers

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What `RunDir.steps` saves. Parts are put together, one tensor after the other, for the process that
        writes; the others have nothing to keep.
        """
        numbers = {name: value() if callable(value) else value for name, value in self.numbers.items()}
        return {name: shards.put_together(tensor) for name, tensor in self._tensors().items()}, numbers

    def _tensors(self) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        for name, (model, optimizer) in self.parts.items():
            tensors |= trainable_tensors(model, name) | optimizer.state_tensors(f"{name}_optim")
        return tensors


def trainable_tensors(model: nn.Module, prefix: str = "model") -> dict[str, Tensor]:
    """The parameters that train, by name, for `RunDir.save_state`."""
    return {f"{prefix}.{name}": p for name, p in model.named_parameters() if p.requires_grad}


def load_tensors(model: nn.Module, tensors: Mapping[str, Tensor], prefix: str = "model") -> None:
    """The inverse of `trainable_tensors`."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.requires_grad:
                p.copy_(shards.like(p, tensors[f"{prefix}.{name}"]))
