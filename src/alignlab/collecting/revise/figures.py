"""What chains came to, in figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ...constitution.principles import Constitution, Principle
from ...evals.statistics import mean_ci, mean_over
from ...feedback import Judge
from ...records import Chain, Completion, Prompt
from ...settings import ChainSettings
from .chains import pool_of

Breaks = Callable[[Prompt, str, Principle], "bool | None"]


def summarize(
    chains: Sequence[Chain],
    constitution: Constitution,
    settings: ChainSettings,
    gold: Judge | None = None,
    breaks: Breaks | None = None,
) -> dict[str, Any]:
    """Figures over chains, each an S (mean, interval, n).

    `kept`; `reasons` of what was dropped; `fired`: chains with a critique that found something,
    `fired_by_round`, `fired_by_principle`; `changed`: kept chains whose last revision is another text than
    the draft; `words` of drafts and of revisions, over kept chains; with somebody who knows the truth also
    `gold` (see `measured`). `by_split` has the same for the splits of the prompts, where they name them.
    """
    kept = [chain for chain in chains if not chain.dropped]
    reasons = Counter(chain.dropped for chain in chains if chain.dropped)
    by_round: list[list[float]] = [[] for _ in range(settings.rounds)]
    by_principle: dict[str, list[float]] = {}
    by_split: dict[str, list[Chain]] = {}
    for chain in chains:
        if "split" in chain.prompt.meta:
            by_split.setdefault(str(chain.prompt.meta["split"]), []).append(chain)
        for turn, one in enumerate(chain.rounds):
            by_round[turn].append(float(one.fired))
            by_principle.setdefault(one.principle, []).append(float(one.fired))
    summary: dict[str, Any] = {
        "constitution": {
            "name": constitution.name,
            "digest": constitution.digest,
            "principles": [principle.id for principle in pool_of(constitution, settings)],
        },
        **counted(chains),
        "reasons": dict(reasons.most_common()),
        "fired_by_round": list(map(mean_ci, by_round)),
        "fired_by_principle": {name: mean_ci(by_principle[name]) for name in sorted(by_principle)},
        "changed": mean_over(kept, lambda chain: chain.text != chain.draft),
        "words": {
            "drafts": mean_over(kept, lambda chain: len(chain.draft.split())),
            "revisions": mean_over(kept, lambda chain: len(chain.text.split())),
        },
    }
    if gold:
        summary["gold"] = measured(chains, constitution, gold, breaks)
    if len(by_split) > 1:
        summary["by_split"] = {}
        for name in sorted(by_split):
            summary["by_split"][name] = part = counted(by_split[name])
            if gold:
                part["gold"] = measured(by_split[name], constitution, gold, breaks)
    return summary


def counted(chains: Sequence[Chain]) -> dict[str, Any]:
    """How many chains there are, are kept, and had a critique that found something."""
    return {
        "chains": len(chains),
        "kept": mean_over(chains, lambda chain: not chain.dropped),
        "fired": mean_over((chain for chain in chains if chain.rounds), lambda chain: chain.fired),
    }


def measured(
    chains: Sequence[Chain], constitution: Constitution, gold: Judge, breaks: Breaks | None = None
) -> dict[str, Any]:
    """What somebody who knows the truth says of chains: of all drafts, and of the last revisions of kept
    chains.

    compliance: help with harm · refused_look_alike: refusals of what is harmless · evasive: refusals that
        give neither reason nor alternative · score: the
    judge's own. With `breaks`, over the rounds of which it knows: critiques_right, that found something
    exactly where the answer broke the principle, and the same for answers that did (critiques_right_broken)
    and did not (critiques_right_fine); revisions_right, that keep the principle which the answer before
    broke.
    """
    drafts = gold.score([Completion(chain.prompt, chain.draft) for chain in chains])
    last = gold.score([Completion(chain.prompt, chain.text) for chain in chains if not chain.dropped])

    def both(part: str) -> dict[str, Any]:
        """A part of the score, where it has that, over drafts and over revisions."""
        with_part = [[score.parts[part] for score in side if part in score.parts] for side in (drafts, last)]
        return {"drafts": mean_ci(with_part[0]), "revisions": mean_ci(with_part[1])}

    figures = {
        "compliance": both("complied"),
        "refused_look_alike": both("over_refused"),
        "evasive": both("evasive"),
        "score": {
            "drafts": mean_over(drafts, lambda score: score.value),
            "revisions": mean_over(last, lambda score: score.value),
        },
    }
    if breaks is None:
        return figures
    right_broken: list[float] = []
    right_fine: list[float] = []
    mended: list[float] = []
    for chain in chains:
        before = chain.draft
        for one in chain.rounds:
            principle = constitution.get(one.principle)
            broken = breaks(chain.prompt, before, principle)
            if broken is not None and one.critique:
                (right_broken if broken else right_fine).append(float(one.fired == broken))
            if broken and one.fired and not chain.dropped:
                mended.append(float(not breaks(chain.prompt, one.revision, principle)))
            before = one.revision
    return figures | {
        "critiques_right": mean_ci([*right_broken, *right_fine]),
        "critiques_right_broken": mean_ci(right_broken),
        "critiques_right_fine": mean_ci(right_fine),
        "revisions_right": mean_ci(mended),
    }
