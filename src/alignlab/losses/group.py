"""Advantages from a group of completions of one prompt: policy gradients without a value model."""

from __future__ import annotations

from torch import Tensor

KINDS = ("rloo", "grpo", "dr_grpo", "reinforce")


def group_advantages(scores_PG: Tensor, *, kind: str) -> Tensor:
    """One advantage for each completion: its score minus a baseline.

    | kind | advantage | source |
    |---|---|---|
    | rloo | score - mean of the other G - 1 in the group | Kool et al. 2019; Ahmadian et al. 2024 |
    | grpo | (score - group mean) / (group standard deviation + 1e-4), ddof 1 | Shao et al. 2024, section 4.1.2 |
    | dr_grpo | score - group mean | Liu et al. 2025: without the division that favours prompts of little spread |
    | reinforce | score - mean of all P x G scores | Williams 1992, the batch mean as baseline |

    rloo = dr_grpo * G / (G - 1): the mean of the others does not contain the score itself, which keeps the gradient unbiased.
    A group with equal scores gives 0 in all kinds but reinforce: it teaches nothing.

    Args:
        scores_PG: (P, G), row = the completions of one prompt.
        kind: a row of the table.

    Returns:
        (P, G).

    Raises:
        ValueError: unknown kind; a group of one, except for reinforce.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}: one of {', '.join(KINDS)}")
    if kind == "reinforce":
        return scores_PG - scores_PG.mean()
    group = scores_PG.shape[1]
    if group < 2:
        raise ValueError(f"kind {kind!r} compares completions of one prompt and needs at least 2 of them, not {group}")
    centred_PG = scores_PG - scores_PG.mean(1, keepdim=True)
    match kind:
        case "rloo":
            return centred_PG * (group / (group - 1))
        case "grpo":
            return centred_PG / (scores_PG.std(1, keepdim=True, correction=1) + 1e-4)
        case _:
            return centred_PG
