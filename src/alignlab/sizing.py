"""`alignlab plan`: what a step of training would take on GPUs that nobody has rented yet. An estimate.

Dense models of the size of Llama's, in bf16 with the optimizer of `models.optimizer` (weights, fp32 masters,
both moments and gradients: 18 bytes per weight), sharded over all GPUs. No step is measured here, and none of
it has been run by us on such machines; `tests/test_sizing.py` holds it within a factor of two of step times
that others have published.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .errors import ConfigError

TRAINED, FROZEN = 18, 2  # bytes per weight
MODELS = {  # trained models, frozen ones, training passes and scoring passes over the batch's tokens
    "sft": (1, 0, 1, 0),
    "reward": (1, 0, 1, 0),
    "dpo": (1, 1, 1, 1),
    "rloo": (1, 1, 1, 2),
    "grpo": (1, 1, 1, 2),
    "ppo": (2, 2, 8, 4),
}
"""PPO: policy and value model, reference and reward model; four epochs over both that train."""
SAMPLES = {"rloo", "grpo", "ppo"}
NODE = 8  # GPUs in a node
USED, READ = 0.4, 0.6  # shares that are reached of peak arithmetic and of peak memory bandwidth
INSIDE, BETWEEN, SYNC = 450e9, 50e9, 8e9  # bytes per second in a node, per GPU between nodes, to samplers
ROOM = 0.75  # of a GPU's memory; the rest holds activations and gathered layers


@dataclass(frozen=True)
class Gpu:
    """FLOP per second in bf16, bytes per second from its memory, bytes of memory."""

    flops: float
    bandwidth: float
    memory: float


GPUS = {
    "a100": Gpu(312e12, 2.04e12, 80e9),
    "h100": Gpu(989e12, 3.35e12, 80e9),
    "h200": Gpu(989e12, 4.8e12, 141e9),
}


@dataclass(frozen=True)
class Work:
    """What one step does.

    Attributes:
        params: weights of the policy; every other model is as large.
        tensor: GPUs that share one sampler.
        completions: of a step (sequences, where nothing is sampled); prompt and mean: their tokens; most: of
            a completion, so many decoding steps.
    """

    params: float
    gpus: int
    method: str
    gpu: str
    tensor: int
    completions: int
    prompt: int
    mean: int
    most: int

    @property
    def cache(self) -> float:
        """Bytes of keys and values per token: 131 kB at 8B and 327 kB at 70B, as Llama 3 has them."""
        return 131e3 * (self.params / 8e9) ** 0.42

    @property
    def tokens(self) -> float:
        return self.completions * (self.prompt + self.mean)

    @property
    def state(self) -> float:
        """Bytes per GPU: weights, masters, moments, gradients, frozen models."""
        trained, frozen, _, _ = MODELS[self.method]
        return (TRAINED * trained + FROZEN * frozen) * self.params / self.gpus

    @property
    def arithmetic(self) -> float:
        """Seconds: 8 P T per training pass (activations computed twice), 2 P T per scoring pass."""
        _, _, training, scoring = MODELS[self.method]
        return (8 * training + 2 * scoring) * self.params * self.tokens / (self.gpus * USED * self.peak.flops)

    @property
    def traffic(self) -> float:
        """Seconds: three gathers in bf16 and a reduction in fp32 per training pass, a gather per scoring."""
        _, _, training, scoring = MODELS[self.method]
        moved = (10 * training + 2 * scoring) * self.params
        return moved / (INSIDE if self.gpus <= NODE else BETWEEN)

    @property
    def sampling(self) -> float:
        """Seconds: each decoding step reads the weights and the cache of the rows that still write, whose
        lengths are taken as even between nothing and twice the mean.
        """
        if self.method not in SAMPLES:
            return 0.0
        rows = self.completions / (self.gpus / self.tensor)
        read = rows * (self.prompt * self.mean + self.mean**2 * 2 / 3) * self.cache  # over all steps
        weights = 2 * self.params * self.most
        return (weights + read) / self.tensor / (READ * self.peak.bandwidth)

    @property
    def sync(self) -> float:
        """Seconds to hand the new weights to the samplers."""
        return 2 * self.params / SYNC if self.method in SAMPLES else 0.0

    @property
    def seconds(self) -> tuple[float, float]:
        """Of a step: traffic hidden behind arithmetic as a whole, and not at all."""
        least = self.sampling + self.arithmetic
        return least, least + self.traffic + self.sync

    @property
    def peak(self) -> Gpu:
        return GPUS[self.gpu]

    @property
    def fewest(self) -> int:
        """GPUs whose memory holds the state."""
        return -int(-self.state * self.gpus // (ROOM * self.peak.memory))


def plan(
    *,
    params: float,
    gpus: int,
    method: str,
    gpu: str,
    tensor_parallel: int,
    completions: int,
    prompt_tokens: int,
    new_tokens: int,
    most_new_tokens: int,
) -> dict[str, Any]:
    """The command `alignlab plan`. Raises ConfigError."""
    for name, value, known in (("method", method, MODELS), ("gpu", gpu, GPUS)):
        if value not in known:
            raise ConfigError(f"there is no estimate for {name} {value!r:.40}", remedy=", ".join(known))
    counts = (gpus, completions, prompt_tokens, new_tokens)
    if not 1e6 <= params <= 1e13 or min(counts) < 1 or most_new_tokens < new_tokens:
        raise ConfigError(
            f"params = {params:g}, gpus = {gpus}, completions = {completions}, "
            f"prompt_tokens = {prompt_tokens}, "
            f"new_tokens = {new_tokens}, most_new_tokens = {most_new_tokens}",
            remedy="1e6 to 1e13 weights, counts from 1, and most_new_tokens at least the mean, new_tokens",
        )
    tensor = tensor_parallel or narrowest(params, gpus, gpu)
    if tensor < 1 or gpus % tensor:
        raise ConfigError(f"{gpus} GPUs are no multiple of {tensor}", remedy="another --tensor-parallel")
    work = Work(params, gpus, method, gpu, tensor, completions, prompt_tokens, new_tokens, most_new_tokens)
    least, most = work.seconds
    parts = {
        "sampling": work.sampling,
        "arithmetic": work.arithmetic,
        "traffic": work.traffic,
        "sync": work.sync,
    }
    binds = max(parts, key=lambda part: parts[part])
    fits = work.state <= ROOM * work.peak.memory
    return {
        "seconds": [least, most],
        "parts": parts,
        "binds": binds,
        "state_bytes": work.state,
        "fits": fits,
        "fewest_gpus": work.fewest,
        "tensor_parallel": tensor,
        "text": "\n".join(_said(work, parts, binds, fits)),
    }


def narrowest(params: float, gpus: int, gpu: str) -> int:
    """The fewest GPUs, a power of two, in whose memory a sampler's weights leave half for its cache; all of
    them, where not even those do.
    """
    tensor = 1
    while tensor < gpus and gpus % (2 * tensor) == 0 and 2 * params / tensor > GPUS[gpu].memory / 2:
        tensor *= 2
    return tensor


def _said(work: Work, parts: dict[str, float], binds: str, fits: bool) -> list[str]:
    trained, frozen, training, scoring = MODELS[work.method]
    least, most = work.seconds
    speed = (INSIDE if work.gpus <= NODE else BETWEEN) / 1e9
    cache = f"{work.cache / 1e3:.0f} kB per token"
    formulas = {
        "sampling": f"(2 P bytes x {work.most} steps + cache, {cache}) / {work.tensor} / ({READ:g} x "
        f"{work.peak.bandwidth / 1e12:g} TB/s)",
        "arithmetic": f"({training} training passes x 8 P T + {scoring} scoring passes x 2 P T) / "
        f"({work.gpus} x {USED:g} x {work.peak.flops / 1e12:g} TFLOP/s)",
        "traffic": f"(10 P bytes per training pass + 2 P per scoring pass) / {speed:.0f} GB/s",
        "sync": f"2 P bytes / {SYNC / 1e9:.0f} GB/s",
    }
    state = f"({trained} trained x {TRAINED} P + {frozen} frozen x {FROZEN} P) / {work.gpus}"
    lines = [
        "An estimate, good to about a factor of two; nothing was measured.",
        f"{work.method}: P = {work.params:.3g} weights, T = {work.tokens:.3g} tokens per step, {work.gpus} "
        f"{work.gpu}, {work.tensor} to a sampler",
        f"  {'a step':<11}{least:8.3g} to {most:.3g} s  (traffic and sync wholly hidden, or not at all)",
        *(f"  {part:<11}{parts[part]:8.3g} s  {formula}" for part, formula in formulas.items()),
        f"  {'memory':<11}{work.state / 1e9:8.3g} GB per GPU of {work.peak.memory / 1e9:.0f}  {state}; "
        "activations come on top",
        f"What binds is {binds}.",
    ]
    if not fits:
        lines.append(
            f"It does not fit: at least {work.fewest} of these GPUs ({ROOM:.0%} of their memory for state)."
        )
    return lines
