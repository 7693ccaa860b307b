"""Ties, flips and the sign of a cost: each loss against its paper's own formula in plain numbers, gradients,
limits and what it is at rest at.
"""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from alignlab.losses import (
    bradley_terry_loss,
    davidson_logprobs,
    preference_loss,
    rao_kupper_logprobs,
    safety_loss,
    tie_parameter,
)

KINDS = ("rao_kupper", "davidson")


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def by_hand(kind: str, a: float, b: float, rate: float) -> tuple[float, float, float]:
    """P(first), P(second), P(tie) as the papers write them, from worths."""
    p, q = math.exp(a), math.exp(b)
    if kind == "rao_kupper":
        theta = (1 + rate) / (1 - rate)
        return (
            p / (p + theta * q),
            q / (theta * p + q),
            (theta**2 - 1) * p * q / ((p + theta * q) * (theta * p + q)),
        )
    nu = 2 * rate / (1 - rate)
    total = p + q + nu * math.sqrt(p * q)
    return p / total, q / total, nu * math.sqrt(p * q) / total


@pytest.mark.parametrize("kind", KINDS)
@given(a=st.floats(-8, 8), b=st.floats(-8, 8), rate=st.floats(0.01, 0.95))
@settings(max_examples=60, deadline=None)
def test_the_three_outcomes_are_the_papers(kind: str, a: float, b: float, rate: float) -> None:
    outcomes = {"rao_kupper": rao_kupper_logprobs, "davidson": davidson_logprobs}[kind]
    found = [
        x.exp().item()
        for x in outcomes(tensor(a - b), tie_parameter(torch.tensor(rate, dtype=torch.float64), kind=kind))
    ]
    assert found == pytest.approx(by_hand(kind, a, b, rate), rel=1e-8)
    assert sum(found) == pytest.approx(1)


@pytest.mark.parametrize("kind", KINDS)
def test_equals_tie_as_often_as_the_rate_says(kind: str) -> None:
    assert by_hand(kind, 0.3, 0.3, 0.25)[2] == pytest.approx(0.25)
    loss, _ = preference_loss(
        tensor(0.3), tensor(0.3), tie_B=torch.tensor([True]), ties=kind, tie_rate=tensor(0.25)[0]
    )
    assert loss.item() == pytest.approx(-math.log(0.25))


@pytest.mark.parametrize("kind", KINDS)
def test_without_ties_it_becomes_bradley_and_terry(kind: str) -> None:
    chosen, rejected = tensor(0.3, -1.0, 2.0), tensor(0.1, 1.0, -2.0)
    loss, metrics = preference_loss(
        chosen, rejected, ties=kind, tie_rate=torch.tensor(1e-12, dtype=torch.float64), center=0.1
    )
    plain, same = bradley_terry_loss(chosen, rejected, center=0.1)
    torch.testing.assert_close(loss, plain)
    assert metrics == same
    for more in ({}, {"label_smoothing": 0.2}, {"margin_B": tensor(0.1, 0.2, 0.3)}):
        torch.testing.assert_close(
            preference_loss(chosen, rejected, **more)[0],
            bradley_terry_loss(chosen, rejected, **more)[0],
            rtol=0,
            atol=0,
        )


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_the_loss_equals_the_loop(kind: str, data: st.DataObject) -> None:
    score = st.floats(-5, 5)
    rows = data.draw(
        st.lists(st.tuples(score, score, st.booleans(), st.floats(0.01, 0.9)), min_size=1, max_size=6)
    )
    rate = data.draw(st.floats(0.05, 0.8))
    chosen, rejected, _, flips = (tensor(*column) for column in zip(*rows, strict=True))
    tie = torch.tensor([row[2] for row in rows])
    loss, metrics = preference_loss(
        chosen, rejected, tie_B=tie, ties=kind, tie_rate=torch.tensor(rate, dtype=torch.float64), flip_B=flips
    )
    total = 0.0
    for a, b, tied, flip in rows:
        win, lose, even = by_hand(kind, a, b, rate)
        total -= math.log(even if tied else (1 - flip) * win + flip * lose)
    assert loss.dtype == torch.float64 and loss.item() == pytest.approx(total / len(rows), rel=1e-8)
    decided = [(a > b) + 0.5 * (a == b) for a, b, tied, _ in rows if not tied]
    assert (
        metrics["accuracy"].isnan().item()
        if not decided
        else metrics["accuracy"].item() == pytest.approx(sum(decided) / len(decided))
    )


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_scores_rate_and_flips(kind: str) -> None:
    inputs = (
        tensor(0.3, -1.0, 2.0).requires_grad_(),
        tensor(0.0, 1.0, 2.0).requires_grad_(),
        tensor(0.3).requires_grad_(),
        tensor(0.2, 0.1, 0.6).requires_grad_(),
    )
    tie = torch.tensor([False, True, False])
    assert gradcheck(
        lambda c, r, q, f: preference_loss(c, r, tie_B=tie, ties=kind, tie_rate=q[0], flip_B=f, center=0.1)[
            0
        ],
        inputs,
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_finite_far_out(kind: str, dtype: torch.dtype) -> None:
    chosen = torch.tensor([1e4, -1e4, 1e4, 0.0], dtype=dtype, requires_grad=True)
    rate, flip = (
        torch.tensor(0.2, dtype=dtype, requires_grad=True),
        torch.tensor(0.1, dtype=dtype, requires_grad=True),
    )
    loss, _ = preference_loss(
        chosen,
        torch.zeros(4, dtype=dtype),
        tie_B=torch.tensor([False, False, True, True]),
        ties=kind,
        tie_rate=rate,
        flip_B=flip,
    )
    loss.backward()
    assert loss.isfinite() and all(
        x.grad is not None and x.grad.isfinite().all() for x in (chosen, rate, flip)
    )


def test_the_rate_of_ties_and_of_flips_is_found_where_scores_are_known() -> None:
    """The likelihood's own optimum is the truth that drew the labels: a threshold of 1, three labels of ten
    turned round.
    """
    generator = torch.Generator().manual_seed(0)
    difference = torch.randn(20_000, generator=generator, dtype=torch.float64) * 2
    win, lose, _ = (x.exp() for x in rao_kupper_logprobs(difference, torch.tensor(1.0, dtype=torch.float64)))
    drawn = torch.rand(len(difference), generator=generator, dtype=torch.float64)
    first, tie = drawn < win, drawn >= win + lose
    turned = torch.rand(len(difference), generator=generator, dtype=torch.float64) < 0.3
    chosen = torch.where(
        first ^ turned, difference, -difference
    )  # the score of whoever was called better, above the other's
    logits = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=60)

    def closure() -> Tensor:
        optimizer.zero_grad()
        rate, flip = logits.sigmoid()
        loss, _ = preference_loss(
            chosen, torch.zeros_like(chosen), tie_B=tie, ties="rao_kupper", tie_rate=rate, flip_B=flip
        )
        loss.backward()
        return loss

    optimizer.step(closure)
    rate, flip = logits.sigmoid().tolist()
    assert rate == pytest.approx(math.tanh(0.5), abs=0.015) and flip == pytest.approx(0.3, abs=0.015)


def test_a_flip_believes_a_sure_margin_and_smoothing_does_not() -> None:
    """At a margin of 8 a label that goes against it pulls with all its weight under smoothing, with almost
    none under a flip of one tenth.
    """
    against = {}
    for name, more in (("smoothing", {"label_smoothing": 0.1}), ("flip", {"flip_B": tensor(0.1)})):
        chosen = tensor(-8.0).requires_grad_()
        preference_loss(chosen, tensor(0.0), **more)[0].backward()
        assert chosen.grad is not None
        against[name] = -chosen.grad.item()
    assert against["smoothing"] == pytest.approx(0.9, abs=1e-3) and 0 < against["flip"] < 0.01


def test_the_contrary_annotator_teaches_the_opposite() -> None:
    chosen = tensor(0.0).requires_grad_()
    preference_loss(chosen, tensor(0.0), flip_B=tensor(0.95))[0].backward()
    assert chosen.grad is not None and chosen.grad.item() == pytest.approx(
        0.45
    )  # what was called better goes down
    random = tensor(0.7).requires_grad_()
    preference_loss(random, tensor(0.0), flip_B=tensor(0.5))[0].backward()
    assert random.grad is not None and random.grad.item() == pytest.approx(0)


def test_the_sign_term_is_logistic_regression_on_the_cost() -> None:
    scores, safe = tensor(2.0, -1.0, 0.5), torch.tensor([True, True, False])
    costs, signs = (-2.0, 1.0, -0.5), (-1, -1, 1)
    expected = sum(math.log1p(math.exp(-s * c)) for s, c in zip(signs, costs, strict=True)) / 3
    assert safety_loss(scores, safe).item() == pytest.approx(expected)
    assert gradcheck(lambda x: safety_loss(x, safe), (scores.requires_grad_(),))


def test_it_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="ties need a model"):
        preference_loss(tensor(1.0), tensor(0.0), tie_B=torch.tensor([True]))
    with pytest.raises(ValueError, match="same shape"):
        preference_loss(
            tensor(1.0, 2.0),
            tensor(0.0, 1.0),
            tie_B=torch.tensor([True]),
            ties="davidson",
            tie_rate=tensor(0.1)[0],
        )
