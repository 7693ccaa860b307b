"""What one process does, or each of several: train a tiny model by every method that several share.

python together.py MODEL_FOLDER OUT CASE...   under RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from alignlab.feedback import RuleJudge
from alignlab.methods import direct, group, ppo, reward_model, sft
from alignlab.models import shards
from alignlab.models.load import load_policy, load_reward_model
from alignlab.models.policy import Policy, RewardModel
from alignlab.models.saving import save_policy, save_reward_model
from alignlab.models.state import Trained, trainable_tensors
from alignlab.records import Completion, Demonstration, Prompt, Ranking
from alignlab.run import RunDir, ranks
from alignlab.run.lock import release
from alignlab.settings import (
    AdapterSettings,
    DPOSettings,
    GRPOSettings,
    ModelSettings,
    OptimSettings,
    ORPOSettings,
    PairSettings,
    PPOSettings,
    RewardSettings,
    RLOOSettings,
    SamplingSettings,
    SFTSettings,
    SimPOSettings,
)

OPTIM = OptimSettings(lr=3e-3)
PROMPTS = [Prompt.user(f"{i} apples?") for i in range(14)]
DEMOS = [Demonstration(prompt, "yes " * (1 + i % 4)) for i, prompt in enumerate(PROMPTS)]
RANKINGS = [
    Ranking(p, tuple(Completion(p, text) for text in ("yes, all", "some of them", "no")), (1, 2, 3))
    for p in PROMPTS
]
LOW = RuleJudge("low", lambda c: -sum(c.ids) / 256 / max(1, len(c.ids)))
LOOP: dict[str, Any] = {
    "steps": 3,
    "rollouts": 12,
    "per_prompt": 3,
    "micro_batch": 5,
    "missing_end_penalty": 0.0,
    "sampling": SamplingSettings(max_new_tokens=5),
    "optim": OptimSettings(lr=5e-3, schedule="constant", warmup=0.0, weight_decay=0.0),
}
PLAIN, PARTS = ModelSettings(precision="fp32"), ModelSettings(precision="fp32", shard=True)
Found = tuple[Policy | RewardModel, dict[str, Any]]


def train_sft(
    base: Path,
    run: RunDir,
    model: ModelSettings = PLAIN,
    *,
    rank: int = 0,
    factor: float = 0,
    packing: bool = False,
) -> Found:
    """Batches of 4 in micro-batches of 3: the last has a row, and one process none."""
    policy = load_policy(base, model, AdapterSettings(rank=rank, alpha=8), trainable=True)
    for module in policy.model.modules():
        if factor and hasattr(module, "set_gradient_divide_factor"):
            module.set_gradient_divide_factor(factor)
    length = 64 if packing else 512
    settings = SFTSettings(
        epochs=2, batch=4, micro_batch=3, held_out=0.2, optim=OPTIM, packing=packing, max_length=length
    )
    return policy, sft.train(run, policy, DEMOS, settings, seed=5)


def train_tied(base: Path, run: RunDir, model: ModelSettings = PLAIN) -> Found:
    """Another kind of model: its head is its embedding, of an odd number of tokens."""
    return train_sft(base.with_name("tied"), run, model, packing=True)


def train_lora(base: Path, run: RunDir) -> Found:
    return train_sft(base, run, rank=4)


def train_wrong(base: Path, run: RunDir) -> Found:
    """Each process divides by its own tokens, as a mean over processes does."""
    rightly, ranks.added = ranks.added, dict  # type: ignore[assignment]
    try:
        return train_sft(base, run)
    finally:
        ranks.added = rightly


def train_reward(base: Path, run: RunDir, model: ModelSettings = PLAIN) -> Found:
    made = load_reward_model(base, model, init_head=True, trainable=True)
    settings = RewardSettings(epochs=2, batch=4, micro_batch=3, held_out=0.2, optim=OPTIM)
    return made, reward_model.train(run, made, RANKINGS, settings, seed=5)


def train_pairs(
    base: Path, run: RunDir, model: ModelSettings = PLAIN, *, kind: type[PairSettings], epochs: float = 1
) -> Found:
    policy = load_policy(base, model, trainable=True)
    settings = kind(epochs=epochs, batch=4, micro_batch=3, held_out=0.2, optim=OPTIM)
    return policy, direct.train(run, policy, RANKINGS, settings, seed=5)


def _group(base: Path, run: RunDir, settings: RLOOSettings | GRPOSettings, model: ModelSettings) -> Found:
    policy, reference = load_policy(base, model, trainable=True), load_policy(base, model)
    return policy, group.train(run, policy, reference, PROMPTS, settings, judge=LOW, seed=3)


def train_rloo(base: Path, run: RunDir, model: ModelSettings = PLAIN) -> Found:
    return _group(base, run, RLOOSettings(**LOOP, **written_by(model), kl_coef=0.05), model)


def train_dead(base: Path, run: RunDir, model: ModelSettings = PLAIN) -> Found:
    """Most prompts teach nothing, and without a penalty those get no pass: some process has none."""
    few = RuleJudge("few", lambda c: float(sum(c.ids) % 5 == 0))
    settings = RLOOSettings(**LOOP, **written_by(model), kl_coef=0.0)
    policy = load_policy(base, model, trainable=True)
    return policy, group.train(run, policy, None, PROMPTS, settings, judge=few, seed=3)


def train_ahead(base: Path, run: RunDir) -> Found:
    """The next batch is written beside the update: each process asks for its part of it."""
    return _group(base, run, RLOOSettings(**LOOP, **written_by(PARTS), staleness=1), PLAIN)


def train_grpo(base: Path, run: RunDir, model: ModelSettings = PLAIN) -> Found:
    """Two updates a step, their log-probabilities asked before."""
    more: dict[str, Any] = {"minibatch": 6, "kl_coef": 0.05, "kl_penalty": "k3_in_loss"}
    return _group(base, run, GRPOSettings(**LOOP, **written_by(model), **more), model)


def train_ppo(base: Path, run: RunDir, model: ModelSettings = PLAIN) -> Found:
    policy, reference = load_policy(base, model, trainable=True), load_policy(base, model)
    value = load_reward_model(base, model, init_head=True, trainable=True)
    more: dict[str, Any] = {"epochs": 2, "minibatch": 6, "whiten_rewards": True, "ptx_coef": 0.5}
    settings = PPOSettings(**LOOP, **written_by(model), **more, kl_coef=0.05, ptx_batch=3)
    text = [[5 + i, 9, 40 + i, 7] for i in range(8)]
    summary = ppo.train(run, policy, reference, value, PROMPTS, settings, judge=LOW, ptx_rows=text, seed=3)
    return policy, summary


def written_by(model: ModelSettings) -> dict[str, Any]:
    """A model in parts does not write: the server does that the tests have begun."""
    return {"sampler": os.environ["SAMPLER"]} if model.shard else {}


CASES: dict[str, Callable[[Path, RunDir], Found]] = {
    "sft": train_sft,
    "tied": train_tied,
    "lora": train_lora,
    "wrong": train_wrong,
    "reward": train_reward,
    "dpo": partial(train_pairs, kind=DPOSettings, epochs=2),
    "orpo": partial(train_pairs, kind=ORPOSettings),
    "simpo": partial(train_pairs, kind=SimPOSettings),
    "rloo": train_rloo,
    "dead": train_dead,
    "ahead": train_ahead,
    "grpo": train_grpo,
    "ppo": train_ppo,
}
CASES |= {
    f"{name}-parts": partial(CASES[name], model=PARTS)  # type: ignore[call-arg]
    for name in ("sft", "tied", "reward", "dpo", "orpo", "simpo", "rloo", "dead", "grpo", "ppo")
}
CASES["halved"] = partial(train_sft, model=PARTS, factor=2.0)


class Stopped(Exception):
    """A run that ends with a state."""


def train(case: str, base: Path, out: Path, *, name: str = "", stop: int = -1) -> dict[str, torch.Tensor]:
    """One run, finished and kept, and what it trained; or, with `stop`, one that is saved before that step
    and is left in it.
    """
    torch.manual_seed(1)
    name = name or case
    run = RunDir.open(out / name, stage="test", config={}, seed=0)
    _die_in_time(run, stop)
    if stop >= 0:
        run.should_save = lambda step: step + 1 == stop  # type: ignore[method-assign]
    state = _state_of(run)
    made, summary = CASES[case](base, run)
    save = save_policy if isinstance(made, Policy) else save_reward_model
    save(made, run.path / "checkpoint", card="")  # type: ignore[arg-type]
    run.finish(summary)
    kept = [x for trained in state for x in trained._tensors().values() if x.ndim]
    held = sum((x.to_local() if shards.is_part(x) else x).nbytes for x in kept)  # type: ignore[attr-defined]
    trained = trainable_tensors(made.model)
    (out / f"{name}-{ranks.rank()}.json").write_text(json.dumps(held))
    return {name: shards.whole(tensor).detach().clone() for name, tensor in trained.items()}


def _state_of(run: RunDir) -> list[Trained]:
    """What the run trains, once it does: weights and moments."""
    found, steps = [], run.steps

    def steps_of(total: int, *, desc: str, save: Any) -> Any:
        found.append(save.__self__)
        return steps(total, desc=desc, save=save)

    run.steps = steps_of  # type: ignore[method-assign]
    return found


def _die_in_time(run: RunDir, stop: int) -> None:
    """DIES=RANK:STEP: that process is gone in that step; `stop`: each of them leaves the run in it."""
    who, _, when = os.environ.get("DIES", ":").partition(":")
    log = run.log

    def log_and_die(step: int, metrics: Any) -> None:
        if str(ranks.rank()) == who and str(step) == when:
            os._exit(9)
        log(step, metrics)
        if step == stop:
            release(run.path)
            raise Stopped

    run.log = log_and_die  # type: ignore[method-assign]


if __name__ == "__main__":
    from safetensors.torch import save_file

    folder, into = Path(sys.argv[1]), Path(sys.argv[2])
    for word in sys.argv[3:]:  # CASE, or CASE:NAME of its run, or CASE:NAME:STEP that it stops in
        case, _, rest = word.partition(":")
        name, _, step = rest.partition(":")
        try:
            weights = train(case, folder, into, name=name, stop=int(step or -1))
        except Stopped:
            continue
        save_file(weights, into / f"{name or case}-{ranks.rank()}.safetensors")
