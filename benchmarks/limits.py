"""How near the machine's own limit each stage runs: the matrix products that it must do, the rate at which
this machine does products of these very shapes, and the share of that rate that was reached.

    python benchmarks/limits.py --threads 1
    python benchmarks/limits.py --model FOLDER --rounds 1 --only sft

A step is watched once: each matrix product with its shapes and strides. Then, in turns, the step is timed as
it is, and its products alone, one after the other on operands of their own. Three figures say where the time
goes:

- `products`: the share of a step that its products take when nothing stands around them. It is the limit:
  without all calls, norms, masks and softmaxes a step would take this share of its time.
- `useful`: the share of the products' arithmetic that is for real tokens, by the shapes of the model: a
  prompt read once, no padding, no attention to what is masked, the last layer on all tokens.
- `rate`: useful arithmetic over the time of the step, in the machine's own rate. It may pass `products`,
  where work was left out that the shapes count.

Times are of the processor, over all threads: other programs disturb them least.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from alignlab import names
from alignlab.losses import sft_loss
from alignlab.methods import ppo
from alignlab.models import forward, products
from alignlab.models.batch import neighbours
from alignlab.models.chat import Rendered, example, prompt_ids
from alignlab.models.load import load_policy, load_reward_model
from alignlab.models.optimizer import MasterAdamW
from alignlab.rollouts import passes
from alignlab.sampling import Sampling
from alignlab.sampling.local import LocalSampler
from alignlab.settings import ModelSettings, OptimSettings, PPOSettings

PRODUCTS = {"mm", "addmm", "addmm_", "bmm", "baddbmm", "baddbmm_", "linear", "matmul"}
ONEDNN = "_linear_pointwise"  # of `alignlab.models.products`, and of the sampler
Product = tuple[str, tuple[tuple[tuple[int, ...], tuple[int, ...]], ...], torch.dtype]
"""An operator, the shapes and strides of its operands, and their precision."""


class Watch(TorchDispatchMode):
    """Counts the matrix products that are done while it is open."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[Product] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in PRODUCTS:
            operands = [x for x in args if isinstance(x, Tensor)]
            if name == "linear":  # where no gradient is kept, torch does not take it apart
                operands = [operands[0].flatten(0, -2), operands[1].t()]
            layout = tuple((tuple(x.shape), x.stride()) for x in operands)
            self.found[name, layout, operands[-1].dtype] += 1
        elif name == ONEDNN:
            x, weight = args[0], args[2 if func._overloadname == "binary" else 1]
            layout = tuple((tuple(x.shape), x.stride()) for x in (x, weight.t()))
            self.found[name, layout, x.dtype] += 1
        return func(*args, **(kwargs or {}))


def flops(product: Product) -> int:
    """Multiplications and additions of one product."""
    left, right = product[1][-2][0], product[1][-1][0]
    return 2 * math.prod(left) * right[-1]


def _operand(shape: tuple[int, ...], stride: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Random numbers laid out as an operand was; one that was spread out of less is whole here."""
    empty = (
        torch.empty_strided(shape, stride, dtype=dtype)
        if 0 not in stride
        else torch.empty(shape, dtype=dtype)
    )
    return empty.normal_()


def alone(found: Counter[Product]) -> float:
    """Processor seconds of the products, each shape timed by itself."""
    total = 0.0
    for (name, layout, dtype), count in found.items():
        operands = [_operand(shape, stride, dtype) for shape, stride in layout]
        if name == ONEDNN:
            call, operands[1] = products.linear, operands[1].t()
        else:
            call = getattr(torch, name.rstrip("_")) if len(operands) == 3 else torch.matmul
        repeats = max(2, min(50, int(2e8 / max(1, flops((name, layout, dtype))))))
        call(*operands)
        begun = time.process_time()
        for _ in range(repeats):
            call(*operands)
        total += (time.process_time() - begun) / repeats * count
    return total


@dataclass(frozen=True)
class Stage:
    """One stage: its step, and the arithmetic that the shapes of its rows ask for."""

    name: str
    step: Callable[[], object]
    useful: float


def needed(model: Any, rows: Sequence[Rendered], *, passes: float, head: bool) -> float:
    """Arithmetic of so many forward passes (a backward pass is two) over rows whose prompts are read once."""
    config = model.config
    weights = sum(p.numel() for name, p in model.named_parameters() if p.ndim == 2 and "layers." in name)
    tokens = predicted = seen = 0
    for prompt, members in neighbours(rows):
        tokens += len(prompt)
        seen += len(prompt) ** 2 // 2
        for i in members:
            own = len(rows[i].ids) - len(prompt)
            tokens, predicted = tokens + own, predicted + sum(rows[i].loss_mask[1:])
            seen += own * len(prompt) + own**2 // 2
    attention = 4 * config.num_hidden_layers * config.num_attention_heads * config.head_dim * seen
    of_head = 2 * predicted * config.vocab_size * config.hidden_size if head else 0
    return passes * (2 * weights * tokens + attention + of_head)


def stages(ref: str, only: Sequence[str], count: int, precision: Any) -> list[Stage]:
    path, settings = names.weights.model_path(ref), ModelSettings(precision=precision)
    policy = load_policy(path, settings, trainable=True)
    pairs = names.data.read_data("town:test-pairs", "comparison", seed=0, count=count).records
    both = [
        [example(policy.tokenizer, c.prompt, text, finished=True) for text in (c.chosen, c.rejected)]
        for c in pairs
    ]
    optim = OptimSettings(lr=0.0)
    adam = MasterAdamW(policy.model.parameters(), optim, 10_000)
    batches = [both[at : at + 8] for at in range(0, count, 8)]
    found: list[Stage] = []

    def sft() -> None:
        for batch in batches:
            padded = forward.laid_out(policy.model, [rows[0] for rows in batch], policy.pad_id).batch
            stats = forward.token_stats(policy.model, padded)
            loss, _ = sft_loss(stats.logprobs_BT, padded.loss_mask_BT, denominator=1000.0)
            loss.backward()
            adam.step()

    def dpo() -> None:
        for batch in batches:
            layout = forward.laid_out(policy.model, [row for rows in batch for row in rows], policy.pad_id)
            layout.back(forward.token_logprobs_of(policy.model, layout.batch)).sum().backward()
            adam.step()

    every = [row for rows in both for row in rows]
    if "sft" in only:
        useful = needed(policy.model, [rows[0] for rows in both], passes=3, head=True)
        found.append(Stage("sft", sft, useful))
    if "dpo" in only:
        found.append(Stage("dpo", dpo, needed(policy.model, every, passes=3, head=True)))
    if not {"reward", "ppo"} & {*only}:
        return [*found, *_sampling(policy, pairs, only)]
    scorer = load_reward_model(path, settings, init_head=True, trainable=True)
    scorer_adam = MasterAdamW(scorer.model.parameters(), optim, 10_000)

    def reward() -> None:
        for batch in batches:
            layout = forward.laid_out(scorer.model, [row for rows in batch for row in rows], scorer.pad_id)
            forward.last_scores(scorer.model, layout).sum().backward()
            scorer_adam.step()

    if "reward" in only:
        found.append(Stage("reward", reward, needed(scorer.model, every, passes=3, head=False)))
    if "ppo" in only:
        found.append(_ppo(policy, load_policy(path, settings), scorer, pairs, (adam, scorer_adam)))
    return [*found, *_sampling(policy, pairs, only)]


def _ppo(policy: Any, reference: Any, scorer: Any, pairs: Sequence[Any], optimizers: Sequence[Any]) -> Stage:
    """Two completions of each prompt, one pass over them: what is read of them, and the updates."""
    settings = PPOSettings(rollouts=2 * len(pairs), per_prompt=2, minibatch=16, epochs=1)
    sampler = LocalSampler(policy.model, policy.tokenizer, end_ids=policy.end_ids)
    groups = sampler.sample([c.prompt for c in pairs], Sampling(n=2), seed=0)
    completions = [c for group in groups for c in group]
    scores_B = torch.tensor([float(len(c.ids)) for c in completions])
    (passed,) = passes(settings, 0, 0)

    def step() -> None:
        batch = ppo.read(policy, reference, scorer, completions, scores_B, passed, settings, 0.1)
        for minibatch in passed:
            ppo.update(policy, scorer, batch, minibatch, settings)
            for optimizer in optimizers:
                optimizer.step()

    rows = []
    for c in completions:
        before = prompt_ids(policy.tokenizer, c.prompt)
        rows.append(Rendered([*before, *c.ids], [0] * len(before) + [1] * len(c.ids)))
    useful = needed(policy.model, rows, passes=3 + 2, head=True)
    return Stage("ppo", step, useful + needed(policy.model, rows, passes=3 + 1, head=False))


def _sampling(policy: Any, pairs: Sequence[Any], only: Sequence[str]) -> list[Stage]:
    if "sampling" not in only:
        return []
    sampler = LocalSampler(policy.model, policy.tokenizer, end_ids=policy.end_ids)

    def step() -> list[Any]:
        return sampler.sample([c.prompt for c in pairs], Sampling(n=4, max_new_tokens=64), seed=0)

    rows = []
    for c in (c for group in step() for c in group):
        before = prompt_ids(policy.tokenizer, c.prompt)
        rows.append(Rendered([*before, *c.ids], [0] * len(before) + [1] * len(c.ids)))
    return [Stage("sampling", step, needed(policy.model, rows, passes=1, head=True))]


def main() -> None:
    every = ("sft", "dpo", "reward", "ppo", "sampling")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="town", help="town, or a folder of a Llama")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--count", type=int, default=64, help="pairs of the town that are read, eight a batch"
    )
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--only", nargs="+", choices=every, default=every)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"{Path(args.model).name}, {args.precision}, {args.threads} threads, medians of {args.rounds}")
    print(
        "| stage | GFLOP useful | done | step, CPU-s | its products alone | GFLOP/s alone | products | rate |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for stage in stages(args.model, args.only, args.count, args.precision):
        with Watch() as watch:
            stage.step()
        done = sum(flops(product) * count for product, count in watch.found.items())
        steps, alones = [], []
        for _ in range(args.rounds):
            begun = time.process_time()
            stage.step()
            steps.append(time.process_time() - begun)
            alones.append(alone(watch.found))
        share = statistics.median(p / s for p, s in zip(alones, steps, strict=True))
        step, product = statistics.median(steps), statistics.median(alones)
        print(
            f"| {stage.name} | {stage.useful / 1e9:.1f} | {done / 1e9:.1f} | {step:.3f} | {product:.3f} | "
            f"{done / 1e9 / product:.0f} | {share:.2f} | {share * stage.useful / done:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
