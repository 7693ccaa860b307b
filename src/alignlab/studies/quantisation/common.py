"""What two models of one base have in common once both are rounded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ... import names
from ...errors import ModelError
from ...run import derive_seed
from ...stages.stage import done, open_run, result
from ..settings import NoSettings
from .rounding import BLOCK, coded, is_embedding, matrices
from .settings import WIDTHS


def codes(
    *, first: str, second: str, out: Path, seed: int, resume: bool, settings: NoSettings
) -> dict[str, Any]:
    """What is left of the difference of two models of one base once both are rounded.

    The summary has `moved`, the norm of the difference over that of the first; and by width in bits, over
    the matrices that a file has in 4 bits: `same`, the share of codes that are equal; `same_dealt`, that
    share where the difference is dealt at random within each matrix; `scales`, the share of blocks with an
    equal scale; `cosine` of the difference before and after, and `length`, the norm after over that before.
    `block` has the first 32 weights of a matrix of the middle layer under both, to be shown.
    """
    ends = [names.models.model(first), names.models.model(second)]
    run = open_run("study-codes", out, settings, seed, resume, uses=ends)
    if run.done:
        return done(run)
    from ...models.load import load_merged

    here, there = (dict(matrices(load_merged(end.path).model)) for end in ends)
    if {name: w.shape for name, w in here.items()} != {name: w.shape for name, w in there.items()}:
        raise ModelError(
            "the two models have other weights", where=second, remedy="two that were trained from one base"
        )
    pairs = [(here[name].detach(), there[name].detach()) for name in here if not is_embedding(name)]
    draws = torch.Generator().manual_seed(derive_seed(seed, "study-codes"))
    dealt = [(a, a + shuffled(b - a, draws)) for a, b in pairs]
    by_width: dict[str, Any] = {}
    for bits in WIDTHS:
        by_width[str(bits)] = compared(pairs, bits) | {"same_dealt": compared(dealt, bits)["same"]}
    moved = norm(b - a for a, b in pairs) / norm(a for a, _ in pairs)
    middle = pairs[len(pairs) // 2]
    block = {key: w.flatten()[:BLOCK].tolist() for key, w in zip(("first", "second"), middle, strict=True)}
    run.finish(
        {"moved": moved, "weights": sum(a.numel() for a, _ in pairs), "bits": by_width, "block": block}
    )
    return result(run, f"{by_width['4']['same']:.3f} of the 4-bit codes are the same")


def shuffled(values: Tensor, draws: torch.Generator) -> Tensor:
    return values.flatten()[torch.randperm(values.numel(), generator=draws)].view(values.shape)


def norm(parts: Iterable[Tensor]) -> float:
    return sum(float(part.double().square().sum()) for part in parts) ** 0.5


def compared(pairs: list[tuple[Tensor, Tensor]], bits: int) -> dict[str, float]:
    """Of some pairs of matrices at one width: see `codes`."""
    both = [(coded(a, bits), coded(b, bits)) for a, b in pairs]
    count = sum(a.numel() for a, _ in pairs)
    before = [b - a for a, b in pairs]
    after = [q.weights(b.shape) - p.weights(a.shape) for (p, q), (a, b) in zip(both, pairs, strict=True)]
    along = sum(float((x.double() * y.double()).sum()) for x, y in zip(before, after, strict=True))
    return {
        "same": sum(int((p.codes == q.codes).sum()) for p, q in both) / count,
        "scales": sum(int((p.scales == q.scales).sum()) for p, q in both) * BLOCK / count,
        "cosine": along / max(norm(before) * norm(after), 1e-30),
        "length": norm(after) / max(norm(before), 1e-30),
    }
