"""Rounded weights: blocks of 32 that share a scale, as a GGUF file has them or in plain arithmetic."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ... import names
from ...run import derive_seed
from ...stages.stage import card, done, keep, open_run, result
from .settings import RoundingSettings

BLOCK = 32
EMBEDDING_BITS = 8  # a file of 4-bit weights has its embeddings, which are the head too, in 8


@dataclass(frozen=True)
class Codes:
    """A matrix as whole numbers.

    Attributes:
        codes: (N, 32) from -2^(bits - 1) to 2^(bits - 1) - 1, whole numbers as floats.
        scales: (N, 1) what a step of a block is worth.
    """

    codes: Tensor
    scales: Tensor

    def weights(self, shape: torch.Size) -> Tensor:
        return (self.codes * self.scales).view(shape)


def coded(weight: Tensor, bits: int) -> Codes:
    """The codes of a matrix whose rows are a multiple of 32, by the rule of q4_0 at any width: the weight of
    a block that is furthest from 0 gets the code -2^(bits - 1), and all others the nearest of the codes in
    equal steps. (ggml, `quantize_row_q4_0_ref`; there the scale is a half.)
    """
    blocks = weight.reshape(-1, BLOCK)
    furthest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
    half = 2 ** (bits - 1)
    scales = furthest / -half
    steps = torch.where(scales == 0, torch.zeros_like(blocks), blocks / scales)
    codes = (steps + half + 0.5).floor().clamp(0, 2 * half - 1) - half
    return Codes(codes, scales)


def matrices(model: Any) -> Iterator[tuple[str, Tensor]]:
    """The weights that are rounded, each once: matrices whose rows are a multiple of 32. Norms stay whole."""
    for name, weight in model.named_parameters():
        if weight.ndim == 2 and weight.shape[-1] % BLOCK == 0:
            yield name, weight


def is_embedding(name: str) -> bool:
    return "embed_tokens" in name or "lm_head" in name


def bits_of(name: str, bits: int) -> int:
    """The width of a matrix: embeddings have at least 8 bits, as in a file of 4-bit weights."""
    return max(bits, EMBEDDING_BITS) if is_embedding(name) else bits


def rounded(
    *, model: str, out: Path, seed: int, resume: bool, settings: RoundingSettings, other: str = ""
) -> dict[str, Any]:
    """A model with its weights rounded, as a run with a checkpoint in fp32; with `bytes` of the file where it
    is one that `export --gguf` writes. The weights are those of the file; sums are fp32, where llama.cpp
    rounds activations too.

    Args:
        other: the model whose rounding errors, or most of whose rounded weights, are taken; see
            `RoundingSettings.place`.
    """
    start = names.models.model(model)
    others = [names.models.model(other)] if other else []
    run = open_run("study-rounded", out, settings, seed, resume, uses=[start, *others])
    if run.done:
        return done(run)
    from ...models.load import load_merged
    from ...models.policy import Policy
    from ...models.saving import save_policy

    policy, summary = load_merged(start.path), {}
    assert isinstance(policy, Policy)
    if settings.place == "own":
        new, size = weights_of(policy, settings)
        summary = {"bytes": size} if size else {}
    elif settings.place in ("changed", "scales"):
        new = recombined(policy.model, load_merged(others[0].path).model, settings)
    else:
        source = load_merged(others[0].path) if settings.place == "other" else policy
        new = moved_by_errors(policy, source, settings, derive_seed(seed, "study-rounded"))
    summary |= replace_weights(policy.model, new)
    said = f"{settings.kind}, {settings.place}"
    keep(run, policy, summary, save_policy, card("rounded", model, said, seed, summary))
    return result(run, f"{said}: relative error {summary['error']:.4f}")


def weights_of(policy: Any, settings: RoundingSettings) -> tuple[dict[str, Tensor], int]:
    """The rounded weights by name, and the bytes of the file that they were read from; 0 = there is none."""
    if settings.kind == "plain":
        parts = matrices(policy.model)
        return {
            name: coded(weight.detach(), bits_of(name, settings.bits)).weights(weight.shape)
            for name, weight in parts
        }, 0
    from ...interop.gguf import write_gguf
    from ...models.load import load_merged

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.gguf"
        size = write_gguf(policy, file, kind=settings.kind).bytes
        back = load_merged(file).model
    return {name: weight.detach() for name, weight in matrices(back)}, size


def moved_by_errors(policy: Any, source: Any, settings: RoundingSettings, seed: int) -> dict[str, Tensor]:
    """The policy's weights with what rounding adds to the source's; of its own, dealt at random."""
    draws = torch.Generator().manual_seed(seed)
    whole = dict(source.model.named_parameters())
    new: dict[str, Tensor] = {}
    errors = weights_of(source, settings)[0]
    for name, weight in matrices(policy.model):
        error = errors[name] - whole[name].detach()
        if settings.place == "shuffled":
            dealt = torch.randperm(error.numel(), generator=draws)
            error = error.flatten()[dealt].view(error.shape)
        new[name] = weight.detach() + error
    return new


def recombined(model: Any, other: Any, settings: RoundingSettings) -> dict[str, Tensor]:
    """The other model rounded, with the rounded weights of this one where its code differs ("changed"), or
    where it does not, and the scale alone does ("scales").
    """
    theirs = dict(other.named_parameters())
    new: dict[str, Tensor] = {}
    for name, weight in matrices(model):
        width = bits_of(name, settings.bits)
        here, there = coded(weight.detach(), width), coded(theirs[name].detach(), width)
        differs = here.codes != there.codes
        ours = differs if settings.place == "changed" else ~differs
        mixed = torch.where(ours, here.codes * here.scales, there.codes * there.scales)
        new[name] = mixed.view(weight.shape)
    return new


@torch.no_grad()
def replace_weights(model: Any, new: dict[str, Tensor]) -> dict[str, float]:
    """Put these weights into a model; returns `error`, the norm of what changed over that of the weights."""
    changed = whole = 0.0
    for name, weight in model.named_parameters():
        if name in new:
            changed += float((new[name] - weight).double().square().sum())
            whole += float(weight.double().square().sum())
            weight.copy_(new[name])
    return {"error": (changed / whole) ** 0.5}
