"""Exercise 2: preferences and a reward model. You vote, and write seven functions; README.md says the rest.

Shapes are in the names: B answers or pairs, T tokens of the longest row, N pairs.

    alignlab exercise vote ex2 --who ana    forty pairs, a key each
    alignlab exercise grade ex2             any time, also with gaps
    alignlab exercise hint ex2              one step more of help with what fails first
    python run.py                           your votes, your alpha, your reward model
"""

from __future__ import annotations

from torch import Tensor


def pairs(ranks: list[int]) -> list[tuple[int, int]]:
    """What a ranking says of each two answers: (the better, the worse) by their places, each pair once.

    Args:
        ranks: of each answer; 1 is the best, and equal ones tie.

    Returns:
        In any order. A tie prefers nobody and gives no pair; or both orders of it, if it is to count a half.
    """
    raise NotImplementedError


def split(rankings: list[dict], share: float, seed: int) -> tuple[list[dict], list[dict]]:
    """Rankings to learn from and rankings to test on: no question stands on both sides.

    Args:
        rankings: each with `prompt` (its words), `kind` and `params` (what is asked, in whatever words), and
            `place` (its number).
        share: of the questions that are held out, about.
        seed: another one gives another split, the same one the same.
    """
    raise NotImplementedError


def bt_loss(chosen_B: Tensor, rejected_B: Tensor) -> Tensor:
    """The loss of Bradley and Terry: the mean of minus log P(the chosen one wins) over pairs of scores.

    It is finite, and so is its gradient, however far two scores are apart.
    """
    raise NotImplementedError


def score_at(scores_BT: Tensor, lengths_B: Tensor, finished_B: Tensor) -> Tensor:
    """The score of each answer, where it is to be read: at its last token.

    Args:
        scores_BT: what the head says at each place; behind each row is padding.
        lengths_B: tokens of prompt and answer, the end token not counted.
        finished_B: whether the answer has an end token, which stands behind them; a cut one has none.

    Returns:
        (B,) with the gradient of `scores_BT`.
    """
    raise NotImplementedError


def alpha(votes: list[list[str | None]]) -> float:
    """Krippendorff's alpha for labels: 1 less the observed over the expected disagreement.

    Args:
        votes: a row a rater, a column an item; None where he has not voted. An item with a single vote counts
            for nothing.

    Returns:
        1 where all agree, also on a single label.
    """
    raise NotImplementedError


def reliability(p: list[float], y: list[int], bins: int) -> tuple[list[list[float]], float]:
    """How far stated probabilities are from what happens.

    Args:
        p: stated, from 0 to 1; y: 1 where it happened, else 0. bins: of [0, 1].

    Returns:
        Of each bin [mean p, share of y, how many], and the ECE: the mean over all predictions of how far
        those two are apart in their bin.
    """
    raise NotImplementedError


def figures(learnt_N2: Tensor, fresh_N2: Tensor, bins: int) -> tuple[float, float]:
    """What you tell others about your reward model: its accuracy and its ECE.

    Args:
        learnt_N2, fresh_N2: of pairs that it has learnt from, and of pairs whose questions it has not seen:
            the probability that it states for the first answer, and 1 where that was preferred, else 0.
    """
    raise NotImplementedError
