"""A model is built within what its files hold: a configuration that claims more is stopped while the empty
model grows, before any memory is taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as hooks

from ..errors import ModelError
from . import folder

SPARE = 2**24
"""Numbers that a model may have beyond twice those in its files (its head is counted twice where it is the
embeddings)."""
BUFFERS = 2**28
"""Bytes of buffers, such as a mask of positions by positions."""


@contextmanager
def within(source: Path) -> Iterator[None]:
    """Raise ModelError out of whatever builds a model of `source` (a folder or a .gguf file), if it grows
    larger than its tensors.
    """
    shapes = folder.tensors(source)
    numbers = sum(math.prod(shape) for shape in shapes.values())
    most_numbers = 2 * numbers + SPARE
    if any("qweight" in name or "absmax" in name or name.endswith("_blocks") for name in shapes):
        most_numbers = 8 * numbers + SPARE  # up to four in one that is stored
    limits = {
        "numbers": most_numbers,
        "bytes of buffers": BUFFERS + numbers,
        "weights": 4 * len(shapes) + 1000,
        "layers and parts": 16 * len(shapes) + 10_000,
    }
    seen: dict[tuple[str, int, str], int] = {}
    sums = dict.fromkeys(limits, 0)

    def count(what: str, owner: nn.Module, name: str, size: int) -> None:
        key = what, id(owner), name
        sums[what] += size - seen.get(key, 0)  # set again as its weights are read, it is the same
        seen[key] = size
        if sums[what] > limits[what]:
            raise ModelError(
                f"the configuration claims a model of more than {limits[what]:,} {what}, and its files "
                f"hold {len(shapes):,} tensors of {numbers:,} numbers",
                where=str(source),
                remedy="copy or download the model again: its configuration is not that of its weights",
            )

    def parameter(owner: nn.Module, name: str, value: Any) -> None:
        if isinstance(value, Tensor):
            count("weights", owner, name, 1)
            count("numbers", owner, name, value.numel())

    def buffer(owner: nn.Module, name: str, value: Any) -> None:
        if isinstance(value, Tensor):
            count("bytes of buffers", owner, name, value.numel() * value.element_size())

    def part(owner: nn.Module, name: str, value: Any) -> None:
        if isinstance(value, nn.Module):
            count("layers and parts", owner, name, 1)

    handles = [
        hooks.register_module_parameter_registration_hook(parameter),
        hooks.register_module_buffer_registration_hook(buffer),
        hooks.register_module_module_registration_hook(part),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
