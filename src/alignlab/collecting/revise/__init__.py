"""The supervised stage of Constitutional AI (Bai et al. 2022, section 3): drafts, critiques under sampled
principles, revisions, and the demonstrations they make.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ...errors import DataError
from ...feedback import Judge
from ...records import Chain, Demonstration, Prompt
from ...run import RunDir, derive_seed
from ...settings import ReviseSettings
from ...settings.rules import check
from ...text.lists import pieces
from .chains import R, Workshop, answered, pool_of, revised
from .figures import Breaks, summarize


def revise(
    run: RunDir,
    workshop: Workshop,
    prompts: Sequence[Prompt],
    settings: ReviseSettings,
    *,
    helpful: Sequence[Prompt] = (),
    gold: Judge | None = None,
    breaks: Breaks | None = None,
    seed: int,
) -> dict[str, Any]:
    """Chains for red-team prompts into data/chains.jsonl, and data/demonstrations.jsonl for SFT: the last
    revision of each chain that is kept, and the author's answers to harmless prompts. `completion_meta.kind`
    tells them apart ("revision", "helpful").

    Prompts are done in chunks, and after drafts and each round of a chunk what there is is kept: a run that
    was interrupted goes on from there.

    Args:
        helpful: harmless prompts; the author's own answers to them keep the model helpful (section 3.2).
        gold: a judge that knows the truth, to measure by; nothing is picked by it.
        breaks: who knows whether an answer breaks a principle, to measure critiques and revisions by.

    Returns:
        See `summarize`; `demonstrations`, `revisions` and `helpful` count what is learned from, `repeated` the
        same answers to the same prompts, which stand once.

    Raises:
        ConfigError: settings that cannot be. DataError: no chain was kept, with the reasons.
    """
    check(settings)
    pool_of(workshop.constitution, settings)
    red = pieces(list(enumerate(prompts)), settings.chunk)
    chunks = [*red, *pieces(list(enumerate(helpful)), settings.chunk)]
    chains: list[Chain] = []
    answers: list[Demonstration] = []
    for number, chunk in enumerate(run.track(chunks, desc="revise")):
        # 1. chains of a chunk of red-team prompts, or answers to a chunk of harmless ones; each step read
        # back if it was done before
        def keep(name: str, make: Callable[[], Iterable[R]], kind: type[R], number: int = number) -> list[R]:
            return run.kept(f"revise/{number:05d}-{name}", make, kind)

        if number < len(red):
            chains += revised(workshop, dict(chunk), settings, seed=seed, number=number, keep=keep)
        else:
            answers += answered(workshop, dict(chunk), settings, seed=seed, number=number, keep=keep)
    run.add_data("chains", chains)

    # 2. what is learned from: the last revision of each chain, the answers to harmless prompts, the same one
    # once
    learn: list[Demonstration] = []
    for place, chain in enumerate(chains):
        if not chain.dropped:
            learn.append(Demonstration(chain.prompt, chain.text, lineage(chain, place)))
    if not learn:
        reasons = Counter(chain.dropped for chain in chains).most_common()
        listed = ", ".join(f"{count} {reason}" for reason, count in reasons)
        raise DataError(
            f"no chain was kept: {listed or 'there were no prompts'}",
            where=str(run.path),
            remedy="a stronger critic (--critic), another --form, or milder settings",
        )
    good = [answer for answer in answers if not answer.rejected]
    rejected = Counter(answer.rejected for answer in answers if answer.rejected)
    different: dict[tuple[str, str], Demonstration] = {}
    for row in reversed([*learn, *good]):
        different[row.prompt.id, " ".join(row.completion.split())] = row
    mixed = [*reversed(different.values())]
    random.Random(derive_seed(seed, "mix")).shuffle(mixed)
    run.add_data("demonstrations", mixed)

    # 3. figures
    kinds = Counter(d.meta["kind"] for d in mixed)
    summary = {
        "demonstrations": len(mixed),
        "revisions": kinds["revision"],
        "helpful": kinds["helpful"],
        "repeated": len(learn) + len(good) - len(mixed),
        "helpful_rejected": dict(rejected),
    }
    summary |= summarize(chains, workshop.constitution, settings, gold, breaks)
    return summary


def lineage(chain: Chain, place: int) -> dict[str, Any]:
    """What a demonstration says of the chain it comes from: its line in data/chains.jsonl, and by what and
    whom it was made.
    """
    return {
        "kind": "revision",
        "chain": place,
        "principles": [one.principle for one in chain.rounds],
        "fired": chain.fired,
        "author": chain.author,
        "critic": chain.critic,
        "constitution": chain.constitution,
    }
