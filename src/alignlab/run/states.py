"""The states that an unfinished run goes on from: a folder of tensors and JSON each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .files import read_json

if TYPE_CHECKING:
    from torch import Tensor


def is_whole(state: Path) -> bool:
    """Whether a state folder can be read: a truncated tensor file contradicts its own header."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(state / "tensors.safetensors", framework="numpy"):
            read_json(state / "extra.json")
    except (OSError, ValueError, SafetensorError):
        return False
    return True


def unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as safetensors wants them: on the CPU, contiguous, and a copy where two share memory (tied weights)."""
    seen: set[int] = set()
    flat: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        flat[name] = tensor.detach().cpu().contiguous()
        if (storage := flat[name].untyped_storage().data_ptr()) in seen:
            flat[name] = flat[name].clone()
        seen.add(storage)
    return flat
