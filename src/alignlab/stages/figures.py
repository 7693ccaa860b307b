"""The figures of a summary that say most of a run."""

from __future__ import annotations

from ..report.words import judge_of, mean_of
from ..run import RunInfo

FIGURES = {
    "gold": "gold",
    "gold_sampled": "gold at T = 1",
    "eval_loss": "loss",
    "accuracy_folded": "accuracy, folded",
    "accuracy": "accuracy",
    "mc1": "MC1",
    "prompt_strict": "prompts kept",
    "score_last": "score",
    "proxy_last": "proxy",
    "gold_last": "gold",
    "proxy": "proxy",
    "kl_last": "KL",
    "kl_from_sft": "KL",
    "text_loss": "text loss",
    "loss": "loss",
    "chosen_likelier": "chosen likelier",
    "compliance_with_harm": "helps harm, greedy",
    "compliance_with_harm_sampled": "helps harm, T = 1",
    "over_refusal": "over-refusal, greedy",
    "over_refusal_sampled": "over-refusal, T = 1",
    "rankings": "rankings",
    "demonstrations": "demonstrations",
    "revisions": "revisions",
    "comparisons": "pairs",
    "members": "members",
}
"""Figures of a summary that say most of a run, in the order in which they are looked for, and what they are
called in a list.
"""

SHARES = frozenset(
    (
        "accuracy_folded",
        "accuracy",
        "mc1",
        "prompt_strict",
        "chosen_likelier",
        "compliance_with_harm",
        "over_refusal",
    )
)
"""Those of `FIGURES` that are shares, from 0 to 1."""


def figures_of(info: RunInfo) -> dict[str, float]:
    """The main figures of a run's summary by the names of a list; none of an unfinished one."""
    found: dict[str, float] = {}
    gold = judge_of(info) if info.stage == "eval" else "gold"
    for key, name in FIGURES.items():
        if (value := mean_of(info.summary.get(key))) is not None:
            found.setdefault(name.replace("gold", gold), value)
    return found
