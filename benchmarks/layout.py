"""What it saves to read a prompt once for all its completions and to pack rows: the same steps laid out and
plainly padded, in turns.

    python benchmarks/layout.py --model town --threads 1

Completions are sampled from the model for the town's prompts (any model that has a chat template will do: it
is the shape that counts). One step each of the reward model (8 prompts of 4 completions), DPO (16 pairs) and
PPO (128 completions, two of each prompt, one pass), timed in turns, so that the ratio is of one run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from alignlab import names
from alignlab.feedback import RuleJudge
from alignlab.losses import bradley_terry_loss
from alignlab.methods import ppo
from alignlab.models import forward
from alignlab.models.chat import example
from alignlab.models.load import load_policy, load_reward_model
from alignlab.models.optimizer import MasterAdamW
from alignlab.records import pairs_of
from alignlab.rollouts import passes, shaped_scores
from alignlab.sampling import Sampling
from alignlab.sampling.local import LocalSampler
from alignlab.settings import ModelSettings, OptimSettings, PPOSettings


def timed(step: Callable[[], None], rounds: int) -> tuple[float, float]:
    """Median seconds of a step laid out and padded, taken in turns."""
    found: dict[int, list[float]] = {forward.KEYS_A_TOKEN: [], 0: []}
    usual = forward.KEYS_A_TOKEN
    step()
    for _ in range(rounds):
        for keys, seconds in found.items():
            forward.KEYS_A_TOKEN = keys
            begun = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - begun)
    forward.KEYS_A_TOKEN = usual
    return statistics.median(found[usual]), statistics.median(found[0])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model",
        default="town",
        help="a model, or a run of sft: its completions end, as those of a pipeline do",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    path = names.models.model(args.model).path
    policy, reference = load_policy(path, ModelSettings(), trainable=True), load_policy(path, ModelSettings())
    scorer = load_reward_model(path, ModelSettings(), init_head=True, trainable=True)
    prompts = names.data.read("town:prompts", "prompt", count=64).records
    groups = LocalSampler.of(policy).sample(prompts, Sampling(n=4), seed=0)
    rows = [
        [example(policy.tokenizer, c.prompt, c.text, finished=c.finished) for c in group] for group in groups
    ]
    optim = OptimSettings(lr=0.0)
    policy_adam, scorer_adam = (
        MasterAdamW(policy.model.parameters(), optim, 10_000),
        MasterAdamW(scorer.model.parameters(), optim, 10_000),
    )

    def reward_step() -> None:
        for at in range(0, 64, 8):
            layout = forward.laid_out(
                scorer.model, [row for group in rows[at : at + 8] for row in group], scorer.pad_id
            )
            better, worse = pairs_of(range(4))
            scores = forward.last_scores(scorer.model, layout).view(8, 4)
            bradley_terry_loss(scores[:, better].flatten(), scores[:, worse].flatten())[0].backward()
            scorer_adam.step()

    def dpo_step() -> None:
        for at in range(0, 64, 16):
            layout = forward.laid_out(
                policy.model, [row for group in rows[at : at + 16] for row in group[:2]], policy.pad_id
            )
            layout.back(forward.token_logprobs_of(policy.model, layout.batch)).sum().backward()
            policy_adam.step()

    settings = PPOSettings(rollouts=128, per_prompt=2, epochs=1)
    completions = [c for group in groups for c in group[:2]]
    scores = [score.value for score in RuleJudge("length", lambda c: len(c.ids)).score(completions)]
    (passed,) = passes(settings, 0, 0)
    scores_B = shaped_scores(scores, completions, settings)

    def ppo_step() -> None:
        batch = ppo.read(policy, reference, scorer, completions, scores_B, passed, settings, 0.1)
        for minibatch in passed:
            ppo.update(policy, scorer, batch, minibatch, settings)
            policy_adam.step(), scorer_adam.step()

    print(f"{Path(path).name}, {args.threads} threads, median of {args.rounds}, in turns")
    for name, step in (
        ("reward model, 64 prompts of 4", reward_step),
        ("DPO, 64 pairs", dpo_step),
        ("PPO update, 128 completions", ppo_step),
    ):
        ours, padded = timed(step, args.rounds)
        print(
            f"{name:<32} laid out {ours:6.2f} s   padded {padded:6.2f} s   {padded / ours:.2f} times as fast"
        )


if __name__ == "__main__":
    main()
