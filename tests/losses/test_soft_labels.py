"""Soft labels in the losses: 1 is today's loss to the bit, 1/2 teaches that two are equal, a pair turned
round with 1 - l is the same, and expectations.
"""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.losses import better_nll, bradley_terry_loss, dpo_loss, preference_loss

SOFT = ("sigmoid", "sigmoid_norm", "robust", "ipo")
rows = st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9), st.floats(0, 1)), min_size=1, max_size=6)


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def nll(z: float) -> float:
    """-log sigmoid(z) without overflow."""
    return math.log1p(math.exp(-abs(z))) + max(-z, 0.0)


def dpo(policy, ref, loss_type: str, label=None, **more):
    lengths = (
        {"chosen_lengths": tensor(*[3.0] * len(policy)), "rejected_lengths": tensor(*[5.0] * len(policy))}
        if loss_type == "sigmoid_norm"
        else {}
    )
    smoothing = {"label_smoothing": 0.1} if loss_type == "robust" else {}
    return dpo_loss(
        policy[:, 0],
        policy[:, 1],
        ref[:, 0],
        ref[:, 1],
        loss_type=loss_type,
        label_B=label,
        **lengths,
        **smoothing,
        **more,
    )[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_label_of_1_is_the_loss_without_labels_to_the_bit(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    chosen, rejected, margin = (torch.randn(64, generator=generator, dtype=dtype) * 5 for _ in range(3))
    sure = torch.ones(64, dtype=dtype)
    for options in ({}, {"label_smoothing": 0.1, "margin_B": margin, "center": 0.01}):
        plain, metrics = bradley_terry_loss(chosen, rejected, **options)
        soft, found = bradley_terry_loss(chosen, rejected, label_B=sure, **options)
        assert torch.equal(plain, soft) and all(torch.equal(metrics[name], found[name]) for name in metrics)
        assert torch.equal(
            preference_loss(chosen, rejected, label_B=sure, **options)[0],
            preference_loss(chosen, rejected, **options)[0],
        )
    policy, ref = (
        torch.randn(64, 2, generator=generator, dtype=dtype) * 9,
        torch.randn(64, 2, generator=generator, dtype=dtype) * 9,
    )
    for loss_type in SOFT:
        assert torch.equal(dpo(policy, ref, loss_type), dpo(policy, ref, loss_type, sure)), loss_type


@given(rows, st.floats(0, 0.4), st.floats(-2, 2))
@settings(max_examples=60, deadline=None)
def test_bradley_terry_is_the_cross_entropy_and_knows_no_order(
    found, smoothing: float, margin: float
) -> None:
    chosen, rejected, label = (tensor(*column) for column in zip(*found, strict=True))
    margins = torch.full_like(chosen, margin)
    loss, metrics = bradley_terry_loss(
        chosen, rejected, margin_B=margins, label_smoothing=smoothing, label_B=label
    )
    mixed = [
        p * (1 - smoothing) + (1 - p) * smoothing for *_, p in found
    ]  # a smoothed soft label is a soft label
    expected = sum(
        q * nll(c - r - margin) + (1 - q) * nll(r - c + margin)
        for q, (c, r, _) in zip(mixed, found, strict=True)
    ) / len(found)
    assert loss.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    turned, other = bradley_terry_loss(
        rejected, chosen, margin_B=-margins, label_smoothing=smoothing, label_B=1 - label
    )
    torch.testing.assert_close(turned, loss, rtol=1e-9, atol=1e-12)
    drawn = [
        p if c > r else 1 - p if c < r else 0.5 for c, r, p in found
    ]  # how often labels drawn from p agree with the order of the scores
    assert (
        metrics["accuracy"].item()
        == pytest.approx(sum(drawn) / len(found))
        == pytest.approx(other["accuracy"].item())
    )
    torch.testing.assert_close(
        preference_loss(chosen, rejected, margin_B=margins, label_smoothing=smoothing, label_B=label)[0],
        loss,
        rtol=1e-9,
        atol=1e-12,
    )


@pytest.mark.parametrize("loss_type", SOFT)
@given(found=rows, beta=st.floats(0.05, 2))
@settings(max_examples=30, deadline=None)
def test_dpo_is_the_expectation_over_drawn_labels_and_knows_no_order(
    loss_type: str, found, beta: float
) -> None:
    policy, ref, label = (
        tensor(*[x for a, b, _ in found for x in (a, b)]).view(-1, 2),
        torch.zeros(len(found), 2, dtype=torch.float64),
        tensor(*[p for *_, p in found]),
    )
    lengths = (
        {"chosen_lengths": torch.full_like(label, 3), "rejected_lengths": torch.full_like(label, 5)}
        if loss_type == "sigmoid_norm"
        else {}
    )
    turned_lengths = (
        {"chosen_lengths": torch.full_like(label, 5), "rejected_lengths": torch.full_like(label, 3)}
        if lengths
        else {}
    )
    smoothing = {"label_smoothing": 0.1} if loss_type == "robust" else {}

    def of(one, label_B=None, given=lengths):
        return dpo_loss(
            one[:, 0],
            one[:, 1],
            ref[:, 0],
            ref[:, 1],
            beta=beta,
            loss_type=loss_type,
            label_B=label_B,
            **given,
            **smoothing,
        )[0]

    soft = of(policy, label)
    torch.testing.assert_close(
        soft,
        label * of(policy) + (1 - label) * of(policy.flip(1), given=turned_lengths),
        rtol=1e-9,
        atol=1e-9,
    )
    torch.testing.assert_close(of(policy.flip(1), 1 - label, turned_lengths), soft, rtol=1e-9, atol=1e-9)


def test_a_label_of_one_half_has_no_gradient_at_equal_scores_and_pulls_unequal_ones_together() -> None:
    half = tensor(0.5, 0.5)
    chosen, rejected = tensor(1.0, 3.0).requires_grad_(), tensor(1.0, 1.0).requires_grad_()
    bradley_terry_loss(chosen, rejected, label_B=half)[0].backward()
    assert chosen.grad is not None and rejected.grad is not None
    assert chosen.grad[0] == rejected.grad[0] == 0 and chosen.grad[1] > 0 > rejected.grad[1]
    for loss_type in ("sigmoid", "robust", "ipo"):
        policy = tensor(-2.0, -2.0, -1.0, -5.0).view(2, 2).requires_grad_()
        dpo(policy, torch.zeros_like(policy), loss_type, half).sum().backward()
        assert (
            policy.grad is not None
            and policy.grad[0].abs().max() < 1e-12
            and policy.grad[1, 0] > 0 > policy.grad[1, 1]
        ), loss_type


def test_the_least_loss_is_where_the_model_states_the_label() -> None:
    """sigmoid(margin) = l for Bradley-Terry and DPO; (2 l - 1) / (2 beta) nats for IPO."""
    label, beta = tensor(0.2, 0.5, 0.9), 0.25
    z = torch.logit(label).requires_grad_()
    bradley_terry_loss(z, torch.zeros_like(z), label_B=label)[0].backward()
    assert z.grad is not None and z.grad.abs().max() < 1e-12
    for loss_type, h in (("sigmoid", torch.logit(label) / beta), ("ipo", (2 * label - 1) / (2 * beta))):
        policy = torch.stack([h, torch.zeros_like(h)], 1).requires_grad_()
        dpo(policy, torch.zeros_like(policy), loss_type, label, beta=beta).sum().backward()
        assert policy.grad is not None and policy.grad.abs().max() < 1e-12, loss_type


def test_ties_and_flips_go_along_with_soft_labels() -> None:
    chosen, rejected, label, tie = (
        tensor(1.0, 0.0, 2.0),
        tensor(0.0, 1.0, 2.0),
        tensor(0.8, 0.3, 0.123),
        torch.tensor([False, False, True]),
    )
    rate = torch.tensor(0.3, dtype=torch.float64)
    loss, _ = preference_loss(chosen, rejected, tie_B=tie, ties="davidson", tie_rate=rate, label_B=label)
    other, _ = preference_loss(
        chosen, rejected, tie_B=tie, ties="davidson", tie_rate=rate, label_B=tensor(0.8, 0.3, 0.9)
    )
    assert loss.item() == other.item(), "the label of a tie is not looked at"
    flipped, _ = preference_loss(chosen, rejected, label_B=label, flip_B=tensor(0.1, 0.1, 0.1))
    by_hand = [
        -(p * math.log(0.9 * s + 0.1 * (1 - s)) + (1 - p) * math.log(0.9 * (1 - s) + 0.1 * s))
        for p, s in zip(label.tolist(), (chosen - rejected).sigmoid().tolist(), strict=True)
    ]
    assert flipped.item() == pytest.approx(sum(by_hand) / 3)


def test_hinge_knows_no_soft_label_and_shapes_have_to_fit() -> None:
    four = [tensor(-1.0, -2.0) for _ in range(4)]
    with pytest.raises(ValueError, match="no meaning for loss_type 'hinge'"):
        dpo_loss(*four, loss_type="hinge", label_B=tensor(1.0, 0.5))
    with pytest.raises(ValueError, match="label_B"):
        dpo_loss(*four, label_B=tensor(1.0))
    with pytest.raises(ValueError, match="label_B"):
        bradley_terry_loss(*four[:2], label_B=tensor(1.0))


def test_the_likelihood_of_the_better_one_is_the_mean_over_who_it_is() -> None:
    policy = tensor(-3.0, -8.0), tensor(-5.0, -2.0)
    lengths = tensor(2.0, 4.0), tensor(5.0, 1.0)
    found = better_nll(*policy, *lengths, label_B=tensor(0.25, 1.0))
    torch.testing.assert_close(found, tensor(0.25 * 1.5 + 0.75 * 1.0, 2.0))
    turned = better_nll(*policy[::-1], *lengths[::-1], label_B=tensor(0.75, 0.0))
    assert torch.equal(turned, found)
    assert torch.equal(better_nll(*policy, *lengths), better_nll(*policy, *lengths, label_B=tensor(1.0, 1.0)))
