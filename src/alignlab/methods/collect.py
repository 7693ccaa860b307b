"""Comparisons: K completions of each prompt, by the policy and by other people, ranked by an annotator (InstructGPT, sections 3.2 and 3.5)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..data.split import by_prompt
from ..errors import ConfigError, DataError
from ..feedback import Judge
from ..models.load import Policy
from ..records import Completion, Prompt, Ranking, read_jsonl, write_jsonl
from ..run import RunDir, derive_seed
from ..sampling.local import LocalSampler
from ..settings import CollectSettings

CHUNK = 128


class Annotator(Protocol):
    """Somebody who ranks the completions of one prompt."""

    name: str

    def rank(self, index: int, completions: Sequence[Completion]) -> Ranking: ...


def run(run: RunDir, policy: Policy, annotator: Annotator, prompts: Sequence[Prompt], settings: CollectSettings, *,
        others: Mapping[str, Sequence[Completion]] | None = None, gold: Judge | None = None, seed: int) -> dict[str, Any]:
    """Rank completions of every prompt into data/rankings.jsonl and, for held-out prompts, data/rankings_test.jsonl.

    Of K completions a share `from_others` comes from other people, where they answered the prompt: a reward model that sees the policy's
    own answers only never learns what it must not do. Equal texts are kept once. Prompts are done in chunks of 128; a run that was
    interrupted goes on with the first chunk that is missing.

    Returns:
        Counts, the share of each source, the annotator's ceiling on train and test pairs, and its agreement with gold where known.
    """
    if not 2 <= settings.per_prompt <= 9:
        raise ConfigError(f"per_prompt = {settings.per_prompt}", remedy="2 to 9 completions are ranked together")
    others = others or {}
    s = settings.sampling
    sampler = LocalSampler(policy.model, policy.tokenizer, slots=s.slots, end_ids=policy.end_ids, name="policy")
    chunks = [list(range(i, min(i + CHUNK, len(prompts)))) for i in range(0, len(prompts), CHUNK)]
    rankings: list[Ranking] = []
    for number, members in enumerate(run.track(chunks, desc="collect")):
        kept = run.path / "chunks" / f"{number:05d}.jsonl"
        if not kept.exists():
            asked = [prompts[i] for i in members]
            borrowed = [borrow(others.get(prompt.id, ()), settings, derive_seed(seed, "others", i)) for i, prompt in zip(members, asked, strict=True)]
            needed = settings.per_prompt - min(len(theirs) for theirs in borrowed)
            own = sampler.sample(asked, n=max(1, needed), max_new_tokens=s.max_new_tokens, temperature=s.temperature, top_p=s.top_p,
                                 seed=derive_seed(seed, "collect", number))
            found = []
            for i, theirs, ours in zip(members, borrowed, own, strict=True):
                different: dict[str, Completion] = {}
                for completion in [*theirs, *ours]:
                    if len(different) < settings.per_prompt:
                        different.setdefault(completion.text, completion)
                shuffled = list(different.values())
                random.Random(derive_seed(seed, "order", i)).shuffle(shuffled)
                if len(shuffled) > 1:
                    found.append(annotator.rank(i, shuffled))
            write_jsonl(kept, found)
        rankings += read_jsonl(kept, Ranking)
    sampler.close()
    if not rankings:
        raise DataError("no prompt got two different completions", remedy="a higher temperature, or --others")
    train, test = by_prompt(rankings, settings.held_out, seed)
    run.add_data("rankings", train)
    run.add_data("rankings_test", test)
    return summarise(train, test, annotator, gold)


def borrow(theirs: Sequence[Completion], settings: CollectSettings, seed: int) -> list[Completion]:
    """The completions of other people for one prompt: `from_others` of K in the mean, drawn by the seed."""
    rng = random.Random(seed)
    wanted = settings.from_others * settings.per_prompt
    count = int(wanted) + (rng.random() < wanted - int(wanted))
    return rng.sample(list(theirs), min(count, len(theirs)))


def summarise(train: Sequence[Ranking], test: Sequence[Ranking], annotator: Annotator, gold: Judge | None) -> dict[str, Any]:
    """What was collected, and how good the labels are."""
    everything = [*train, *test]
    sources: dict[str, int] = {}
    for ranking in everything:
        for completion in ranking.completions:
            sources[completion.source] = sources.get(completion.source, 0) + 1
    pairs = sum(len(r.comparisons()) for r in everything)
    summary: dict[str, Any] = {"rankings": len(everything), "test": len(test), "pairs": pairs,
                               "ties": sum(len(r.comparisons(ties=True)) for r in everything) - pairs, "sources": sources}
    ceiling = getattr(annotator, "ceiling", None)
    if ceiling:
        summary |= {"ceiling_train": ceiling(train), "ceiling_test": ceiling(test)} if test else {"ceiling_train": ceiling(train)}
    if gold:
        agree = []
        for ranking in everything:
            values = [score.value for score in gold.score(ranking.completions)]
            for i in range(len(values)):
                for j in range(i + 1, len(values)):
                    if ranking.ranks[i] != ranking.ranks[j] and values[i] != values[j]:
                        agree.append(float((values[i] - values[j]) * (ranking.ranks[j] - ranking.ranks[i]) > 0))
        summary["agreement_with_gold"] = sum(agree) / max(1, len(agree))
    return summary
