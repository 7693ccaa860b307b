"""The logistic model against its own definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from alignlab.evals.logistic import curvature_and_slope, logistic, sigmoid

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(40, 3))
WINS = DRAW.choice([0.0, 0.5, 1.0], 40)
COUNTS = DRAW.integers(1, 4, 40).astype(float)


@pytest.mark.parametrize("prior", [0.5, 2.5])
def test_it_is_at_the_maximum_of_the_posterior(prior: float) -> None:
    def loss(weights: np.ndarray) -> float:
        logits = X @ weights
        return float(-COUNTS @ (WINS * logits - np.logaddexp(0, logits)) + weights @ weights / (2 * prior**2))

    found = logistic(X, WINS, prior=prior, counts_N=COUNTS)
    assert found == pytest.approx(minimize(loss, np.zeros(3), tol=1e-12).x, abs=1e-4)
    curvature, slope = curvature_and_slope(X, WINS, found, prior=prior, counts_N=COUNTS)
    assert slope == pytest.approx(np.zeros(3), abs=1e-4)
    step = 1e-4 * np.eye(3)
    slopes = [curvature_and_slope(X, WINS, found + each, prior=prior, counts_N=COUNTS)[1] for each in step]
    assert -np.array(slopes) / 1e-4 == pytest.approx(curvature, rel=1e-2, abs=1e-2)
    again = logistic(X, WINS, prior=prior, counts_N=COUNTS, begin_F=found + 3)
    assert again == pytest.approx(found, abs=1e-4)


def test_rows_that_are_told_apart_by_one_feature_have_weights_all_the_same() -> None:
    x = np.array([[-40.0], [40.0]] * 30)
    (weight,) = logistic(x, np.array([0.0, 1.0] * 30), prior=2.0)
    assert 0 < weight < 2
    assert sigmoid(np.array([-1e4, 0.0, 1e4])) == pytest.approx([0, 0.5, 1])
