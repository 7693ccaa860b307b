"""What exercises take of the town: its base model, its data by name, answers, and who ranks them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from ... import names
from ...collecting.collect import different, rank_all
from ...models.load import load_policy
from ...models.policy import Policy
from ...records import Completion, Demonstration, Prompt, Ranking
from ...sampling import Sampling
from ...sampling.local import LocalSampler
from ...settings import ModelSettings
from ...town import answers, tasks, world

CROWD = "town:crowd"
LONGEST = 48  # tokens of an answer


def base() -> Policy:
    """The town's base model."""
    return load_policy(names.models.model("town").path, ModelSettings())


def prompts(name: str, *, count: int = 0, seed: int = 0) -> list[Prompt]:
    return list(names.data.read_data(name, "prompt", seed=seed, count=count).records)


def demonstrations(name: str, *, count: int = 0, seed: int = 0) -> list[Demonstration]:
    return list(names.data.read_data(name, "demonstration", seed=seed, count=count).records)


def answered(asked: Sequence[Prompt], seed: int) -> list[Demonstration]:
    """Ideal answers to prompts of the town."""
    town, rng = world.build(), random.Random(seed)
    return [Demonstration(each, answers.ideal(town, tasks.Request.of(each), rng)) for each in asked]


def greedy(policy: Policy, asked: Sequence[Prompt]) -> list[Completion]:
    """What a policy answers to each prompt, the likeliest token each time."""
    groups = LocalSampler.of(policy).sample(list(asked), Sampling(1, LONGEST, 0.0), seed=0)
    return [completion for [completion] in groups]


def rankings(asked: Sequence[Prompt], annotator: str, *, per_prompt: int = 4, seed: int = 0) -> list[Ranking]:
    """Answers of the town's crowd to each prompt, those that differ, ranked by an annotator."""
    written = names.data.other_completions(CROWD, per_prompt=per_prompt, seed=seed).load()(list(asked))
    groups = [different(written.get(each.id, []), per_prompt) for each in asked]
    ranker: Any = names.people.annotator(annotator, seed=seed).load()
    return list(rank_all(ranker, [(i, group) for i, group in enumerate(groups) if len(group) > 1]))
