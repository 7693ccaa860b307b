"""A logistic model with a normal prior of each weight, by Newton's method.

Shapes: N rows, F features.
"""

from __future__ import annotations

import numpy as np

STEPS = 50
CLOSE = 1e-10  # what a last step gains, in nats


def logistic(
    x_NF: np.ndarray,
    wins_N: np.ndarray,
    *,
    prior: float,
    counts_N: np.ndarray | None = None,
    begin_F: np.ndarray | None = None,
) -> np.ndarray:
    """(F,) the weights at the maximum of the posterior; there is one, however well the rows are told apart.

    Args:
        wins_N: from 0 to 1, how much of each row is a success.
        prior: standard deviation of each weight before anything is seen, in log-odds per unit of x.
        counts_N: what each row weighs; None = 1.
        begin_F: weights to start from.
    """
    counts_N = np.ones(len(wins_N)) if counts_N is None else counts_N

    def objective(weights_F: np.ndarray) -> float:
        logits_N = x_NF @ weights_F
        likely_N = wins_N * logits_N - np.logaddexp(0, logits_N)
        return float(counts_N @ likely_N - weights_F @ weights_F / (2 * prior**2))

    weights_F = np.zeros(x_NF.shape[1]) if begin_F is None else begin_F
    value = objective(weights_F)
    for _ in range(STEPS):
        curvature_FF, slope_F = curvature_and_slope(x_NF, wins_N, weights_F, prior=prior, counts_N=counts_N)
        step_F, share = np.linalg.solve(curvature_FF, slope_F), 1.0
        while (better := objective(weights_F + share * step_F)) < value - 1e-12:
            share /= 2
        weights_F, gained, value = weights_F + share * step_F, better - value, better
        if gained < CLOSE:
            break
    return weights_F


def curvature_and_slope(
    x_NF: np.ndarray,
    wins_N: np.ndarray,
    weights_F: np.ndarray,
    *,
    prior: float,
    counts_N: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(F, F) minus the second derivative of the log-posterior, whose inverse is Laplace's covariance; and
    (F,) the first.
    """
    counts_N = np.ones(len(wins_N)) if counts_N is None else counts_N
    p_N = sigmoid(x_NF @ weights_F)
    curvature_FF = (x_NF * (counts_N * p_N * (1 - p_N))[:, None]).T @ x_NF + np.eye(len(weights_F)) / prior**2
    return curvature_FF, x_NF.T @ (counts_N * (wins_N - p_N)) - weights_F / prior**2


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e^-x), without an overflow."""
    return 0.5 * (1 + np.tanh(x / 2))
