"""`alignlab lecture machine`: how fast this computer reads memory and multiplies, and what models make of it.

Timings of this very moment: whatever else runs takes its share.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from .quant import SHAPES, Shape, estimate, in_words, shape_of

READ_BYTES = 2**28  # far more than any cache holds
SIDE = 1024  # of the square matrices that are multiplied
SECONDS = 1.0  # for each of the measurements
CONTEXT = 256
KINDS = ("f32", "q8_0", "q4_0")


def machine(*, model: str = "") -> dict[str, Any]:
    """Bandwidth and products of this computer, and the bound that they set; of a model also what it does.

    Args:
        model: any name of a model with weights; it answers alone, as `alignlab chat` lets it.

    Returns:
        `bandwidth`, bytes a second; `products`, multiplications and additions a second, each pair as one;
        `models`: by name and kind of weights the estimate; `measured`, tokens a second of the model. `text`.
    """
    bandwidth, products = read_speed(), product_speed()
    shapes, measured = dict(SHAPES), None
    if model:
        shape, measured = speed_of(model)
        shapes = {model: shape} | {name: known for name, known in SHAPES.items() if name != model}
    rows: dict[str, Any] = {}
    for name, shape in shapes.items():
        kinds = {kind: estimate(shape, kind, context=CONTEXT, bandwidth=bandwidth) for kind in KINDS}
        rows[name] = {kind: asdict(found) for kind, found in kinds.items()}
        rows[name]["multiplying"] = products / shape.parameters
    found = {
        "bandwidth": bandwidth,
        "products": products,
        "cores": os.cpu_count(),
        "context": CONTEXT,
        "models": rows,
        "measured": measured,
    }
    return found | {"text": "\n".join(lines(found, model))}


def lines(found: dict[str, Any], model: str) -> list[str]:
    """The measurements, for people."""
    said = [
        f"{found['bandwidth'] / 1e9:.1f} GB a second are read from memory, {found['products'] / 1e9:.1f} "
        f"billion products a second are summed up ({found['cores']} cores, at this moment).",
        "",
        f"The most tokens a second, one sequence, {found['context']} tokens of context:",
        f"  {'model':<24}{'weights':>8}{'size':>10}{'memory':>10}{'products':>10}",
    ]
    for name, kinds in found["models"].items():
        for kind in KINDS:
            row = kinds[kind]
            said.append(
                f"  {name[-24:]:<24}{kind:>8}{in_words(row['weights']):>10}{row['tokens']:>10,.0f}"
                f"{kinds['multiplying']:>10,.0f}"
            )
    if model:
        bound = found["models"][model]["f32"]["tokens"]
        wrote = f"{model} writes {found['measured']:,.0f} tokens a second here, in fp32"
        said += ["", f"{wrote}; the bound of memory is {bound:,.0f}."]
        if found["measured"] < bound / 3:
            said.append(
                "It does not wait for memory: what is around each product (Python, one small step after the "
                "other) takes the time."
            )
    return said


def fastest(work: Callable[[], Any]) -> float:
    """The shortest time of one call, of all that fit into `SECONDS`; one to warm up is not counted."""
    work()
    best, end = float("inf"), time.perf_counter() + SECONDS
    while True:
        begun = time.perf_counter()
        work()
        now = time.perf_counter()
        best = min(best, now - begun)
        if now > end:
            return best


def read_speed() -> float:
    """Bytes a second of a matrix times a vector: what a model does with its weights for every token."""
    import torch

    rows = torch.ones(READ_BYTES // 4 // 8192, 8192)
    vector = torch.ones(8192)
    return READ_BYTES / fastest(lambda: torch.mv(rows, vector))


def product_speed() -> float:
    """Products a second of two square matrices: what a model does with many tokens at once."""
    import torch

    left, right = torch.ones(SIDE, SIDE), torch.ones(SIDE, SIDE)
    return SIDE**3 / fastest(lambda: torch.mm(left, right))


def speed_of(name: str) -> tuple[Shape, float]:
    """A model's shape, and the tokens a second that it writes alone at temperature 1."""
    from .. import names
    from ..models.load import load_policy
    from ..records import Prompt
    from ..sampling import Sampling
    from ..sampling.local import LocalSampler
    from ..settings import ModelSettings

    policy = load_policy(names.models.model(name).path, ModelSettings(precision="fp32", device="cpu"))
    sampler = LocalSampler.of(policy, slots=1)
    asked, how = [Prompt.user("Tell me a long story.")], Sampling(max_new_tokens=64, temperature=1.0)
    sampler.sample(asked, how, seed=0)
    written, turn, begun = 0, 1, time.perf_counter()
    while time.perf_counter() < begun + SECONDS:
        written += sum(len(one.ids) for group in sampler.sample(asked, how, seed=turn) for one in group)
        turn += 1
    return shape_of(policy.model), written / (time.perf_counter() - begun)
