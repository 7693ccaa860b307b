"""On which device, and in which precision, a model runs: asked of the machine, not assumed."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import torch

from ..errors import ConfigError
from ..run import ranks
from ..run.beside import may_be_lent
from ..settings import ModelSettings
from ..text.escapes import first_line
from ..text.streams import say

BIG = 20_000_000
"""Parameters above which bf16 pays."""


def may_be_copied() -> bool:
    """Whether a copy of this process may do a part of its work: a core is lent at times, and torch has one
    thread. Of a pool of threads the copy has none, and would wait for them forever.
    """
    return may_be_lent() and torch.get_num_threads() == 1


def pick_device(settings: ModelSettings) -> torch.device:
    """The device asked for; auto is cuda, mps or cpu. Raises ConfigError for one that is not there."""
    if settings.device != "auto":
        try:
            return torch.empty(0, device=settings.device).device
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise ConfigError(
                f"model.device = {settings.device!r} cannot be used: {first_line(error)}",
                remedy="auto, cpu, cuda or mps",
            ) from error
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) if ranks.size() > 1 else 0)
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bf16 natively."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    can = torch.cpu.get_capabilities()
    return bool(can.get("avx512_bf16") or can.get("amx_bf16") or can.get("bf16"))


def wants_bf16(settings: ModelSettings, device: torch.device, *, pays: bool = True) -> bool:
    """Whether a model is to run in bf16. Where the device would only emulate it, that is said, once.

    Args:
        pays: the model is so large that auto is to take it.
    """
    if settings.precision == "fp32" or (settings.precision == "auto" and not pays):
        return False
    native = multiplies_bf16(device)
    if not native:
        _say_emulated(device.type, settings.precision)
    return native or settings.precision == "bf16"


@cache
def _say_emulated(device: str, precision: str) -> None:
    consequence = "fp32 is taken, for emulated it may take many times as long"
    if precision == "bf16":
        consequence = "emulated it may take many times as long as fp32, which auto would take"
    say(
        f"model.precision = {precision}: this {device} does not report that it multiplies bf16 natively; "
        f"{consequence}"
    )


def dtype_in_use(model: Any, settings: ModelSettings, device: torch.device) -> torch.dtype:
    """The precision that the model is used in."""
    large = sum(p.numel() for p in model.parameters()) > BIG
    return torch.bfloat16 if wants_bf16(settings, device, pays=large) else torch.float32
