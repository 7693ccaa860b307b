"""Comparisons: K completions of each prompt, by the policy and by other people, ranked by an annotator
(InstructGPT, sections 3.2 and 3.5).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

from ..data.split import by_question
from ..errors import DataError
from ..evals.collected import summarize
from ..feedback import Judge
from ..models.devices import may_be_copied
from ..models.policy import Policy
from ..records import Completion, Prompt, Ranking
from ..run import RunDir, derive_seed
from ..sampling import Sampling
from ..sampling.local import LocalSampler
from ..settings import CollectSettings
from ..settings.rules import check


class Annotator(Protocol):
    """Somebody who ranks the completions of one prompt."""

    name: str

    def rank(self, index: int, completions: Sequence[Completion]) -> Ranking: ...


def run(
    run: RunDir,
    policy: Policy,
    annotator: Annotator,
    prompts: Sequence[Prompt],
    settings: CollectSettings,
    *,
    others: Mapping[str, Sequence[Completion]] | None = None,
    gold: Judge | None = None,
    seed: int,
) -> dict[str, Any]:
    """Rank completions of every prompt into data/rankings.jsonl and, for held-out prompts,
    data/rankings_test.jsonl.

    Of K completions a share `from_others` comes from other people, where they answered the prompt: a reward
    model that sees the policy's own answers only never learns what it must not do. Equal texts are kept once;
    a prompt with a single text left is not ranked. Prompts are done in chunks of 512; a run that was
    interrupted goes on with the first chunk that is missing.

    Args:
        others: completions by prompt id.
        gold: a judge that knows the truth, to measure the labels by.

    Returns:
        Counts, `sampled_tokens` by the policy, completions by source, the annotator's ceiling on train and
        test pairs, and its agreement with gold where known.

    Raises:
        ConfigError: K outside 2 to 9, or a share outside 0 to 1. DataError: no prompt got two different
            completions.
    """
    check(settings)
    others = others or {}
    s = settings.sampling
    sampler = LocalSampler.of(policy, slots=s.slots, name="policy")

    def ranked(number: int, asked: Sequence[tuple[int, Prompt]]) -> dict[str, Any]:
        # 1. what other people wrote, and as many of the policy's own as the prompt with the fewest of those
        # needs
        borrowed: list[list[Completion]] = []
        for i, prompt in asked:
            seed_of = derive_seed(seed, "others", i)
            borrowed.append(borrow(others.get(prompt.id, ()), settings, seed_of))
        needed = settings.per_prompt - min(map(len, borrowed))
        own = sampler.sample(
            [prompt for _, prompt in asked],
            Sampling.of(s, n=max(1, needed)),
            seed=derive_seed(seed, "collect", number),
        )

        # 2. K different texts in random order, ranked
        groups: list[tuple[int, list[Completion]]] = []
        for (i, _), theirs, ours in zip(asked, borrowed, own, strict=True):
            group = different([*theirs, *ours], settings.per_prompt)
            random.Random(derive_seed(seed, "order", i)).shuffle(group)
            if len(group) > 1:
                groups.append((i, group))
        return {
            "rankings": [ranking.to_json() for ranking in rank_all(annotator, groups)],
            "sampled_tokens": sum(len(completion.ids) for completion in chain.from_iterable(own)),
        }

    rankings: list[Ranking] = []
    sampled_tokens = 0
    # a person ranks anywhere; whoever is asked about many at once may be a server, or a model elsewhere
    in_copies = policy.device.type == "cpu" and may_be_copied() and not hasattr(annotator, "rank_all")
    for chunk in run.in_chunks(list(enumerate(prompts)), ranked, desc="collect", in_copies=in_copies):
        rankings += map(Ranking.from_json, chunk["rankings"])
        sampled_tokens += chunk["sampled_tokens"]  # also for completions that are not kept
    sampler.close()
    if not rankings:
        raise DataError("no prompt got two different completions", remedy="a higher temperature, or --others")

    # 3. prompts kept for testing
    train, test = by_question(rankings, settings.held_out, seed)
    run.add_data("rankings", train)
    run.add_data("rankings_test", test)
    unranked = len(prompts) - len(rankings)
    summary: dict[str, Any] = {
        "prompts": len(prompts),
        "unranked": unranked,
        "sampled_tokens": sampled_tokens,
    } | summarize(train, test, annotator, gold)
    summary["duplicates"] = settings.per_prompt * len(prompts) - unranked - sum(summary["sources"].values())
    return summary


def different(completions: Sequence[Completion], most: int) -> list[Completion]:
    """The first completions of different texts."""
    by_text: dict[str, Completion] = {}
    for completion in completions:
        by_text.setdefault(completion.text, completion)
    return list(by_text.values())[:most]


def rank_all(annotator: Annotator, groups: Sequence[tuple[int, Sequence[Completion]]]) -> Sequence[Ranking]:
    """Rankings of groups of completions, each with the place of its prompt."""
    at_once = getattr(annotator, "rank_all", None)  # one whose work is cheaper for many prompts at once
    return at_once(groups) if at_once else [annotator.rank(i, group) for i, group in groups]


def borrow(theirs: Sequence[Completion], settings: CollectSettings, seed: int) -> list[Completion]:
    """The completions of other people for one prompt: `from_others` of K in the mean, drawn by the seed."""
    rng = random.Random(seed)
    wanted = settings.from_others * settings.per_prompt
    count = int(wanted) + (rng.random() < wanted - int(wanted))
    return rng.sample(list(theirs), min(count, len(theirs)))
