"""KTO, ORPO and SimPO: against their equations by hand and an oracle with math.*, gradients, extremes, and
what each is for.
"""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from alignlab.losses import kto_baseline, kto_loss, orpo_loss, simpo_loss

DTYPES = [torch.float32, torch.float64]
logps = st.floats(-200, -1e-3)
lengths = st.integers(1, 40)


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z > 0 else math.exp(z) / (1 + math.exp(z))


def nll(z: float) -> float:
    """-log sigmoid(z) without overflow."""
    return math.log1p(math.exp(-abs(z))) + max(-z, 0.0)


# KTO


def test_kto_by_hand():
    # r = 3 and z0 = 1: beta (r - z0) = 1. A liked completion loses lambda_D sigmoid(-1), a disliked one
    # lambda_U sigmoid(1)
    losses, rewards = kto_loss(
        tensor(-2.0, -2.0),
        tensor(-5.0, -5.0),
        torch.tensor([True, False]),
        baseline=1.0,
        beta=0.5,
        desirable_weight=2.0,
        undesirable_weight=3.0,
    )
    assert losses.tolist() == pytest.approx([2 / (1 + math.e), 3 * math.e / (1 + math.e)])
    assert rewards.tolist() == [1.5, 1.5] and not rewards.requires_grad
    at_rest, _ = kto_loss(tensor(-2.0), tensor(-2.0), torch.tensor([True]), baseline=0.0)
    assert at_rest.item() == 0.5


@given(
    st.lists(st.tuples(logps, logps, st.booleans()), min_size=1, max_size=6),
    st.floats(0, 50),
    st.floats(0.01, 2),
    st.floats(0.1, 3),
    st.floats(0.1, 3),
)
@settings(max_examples=60, deadline=None)
def test_kto_equals_equation_8(rows, z0, beta, desirable, undesirable):
    policy, ref = (tensor(*column) for column in list(zip(*rows, strict=True))[:2])
    losses, rewards = kto_loss(
        policy,
        ref,
        torch.tensor([label for *_, label in rows]),
        baseline=torch.tensor(z0, dtype=torch.float64),
        beta=beta,
        desirable_weight=desirable,
        undesirable_weight=undesirable,
    )
    assert losses.dtype == torch.float64
    for i, (p, r, label) in enumerate(rows):
        value = (
            desirable * sigmoid(beta * (p - r - z0))
            if label
            else undesirable * sigmoid(beta * (z0 - (p - r)))
        )
        assert losses[i].item() == pytest.approx((desirable if label else undesirable) - value, abs=1e-12)
        assert rewards[i].item() == pytest.approx(beta * (p - r))


def test_ktos_baseline_is_the_mean_log_ratio_at_least_0_and_detached():
    policy = tensor(-1.0, -4.0, -2.0).requires_grad_()
    baseline = kto_baseline(policy, tensor(-3.0, -5.0, -2.0))
    assert baseline.item() == 1 and baseline.shape == () and not baseline.requires_grad
    assert kto_baseline(tensor(-9.0, -9.0), tensor(-3.0, -10.0)).item() == 0


def test_kto_gradients_push_liked_up_and_disliked_down_most_near_the_baseline():
    policy, ref = tensor(-3.0, -3.0, -20.0, -20.0).requires_grad_(), tensor(-3.0, -3.0, -3.0, -3.0)
    labels = torch.tensor([True, False, True, False])
    assert gradcheck(
        lambda x: kto_loss(x, ref, labels, baseline=0.7, beta=0.3, desirable_weight=1.2)[0], (policy,)
    )
    losses, _ = kto_loss(policy, ref, labels, baseline=0.0)
    losses.sum().backward()
    near_liked, near_disliked, far_liked, far_disliked = policy.grad.tolist()
    assert (
        near_liked == -near_disliked == pytest.approx(-0.1 / 4)
        and abs(far_liked) < abs(near_liked)
        and 0 < far_disliked < near_disliked
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_kto_is_finite_and_bounded_far_out(dtype):
    far = torch.tensor([1e6, -1e6, 1e6, -1e6], dtype=dtype, requires_grad=True)
    losses, _ = kto_loss(
        far,
        torch.zeros(4, dtype=dtype),
        torch.tensor([True, True, False, False]),
        baseline=0.0,
        desirable_weight=1.3,
    )
    losses.sum().backward()
    assert (
        losses.dtype == dtype
        and losses.tolist() == pytest.approx([0, 1.3, 1, 0])
        and far.grad.isfinite().all()
    )


# ORPO


def odds_by_hand(mean: float) -> float:
    p = math.exp(mean)
    return math.log(p) - math.log1p(-p) if p > 1e-300 else mean


def test_orpo_by_hand():
    # two tokens of probability 3/4 and three of 1/4: odds 3 and 1/3, odds ratio 9, -log sigmoid(log 9) =
    # log(10 / 9)
    chosen, rejected = tensor(2 * math.log(3 / 4)), tensor(3 * math.log(1 / 4))
    losses, good, bad, metrics = orpo_loss(chosen, rejected, torch.tensor([2]), torch.tensor([3]), beta=0.5)
    assert losses.item() == pytest.approx(math.log(4 / 3) + 0.5 * math.log(10 / 9))
    assert metrics["nll_loss"].item() == pytest.approx(math.log(4 / 3))
    assert metrics["log_odds_chosen"].item() == pytest.approx(math.log(9)) and metrics[
        "log_odds_ratio"
    ].item() == pytest.approx(-math.log(10 / 9))
    assert (good.item(), bad.item()) == pytest.approx((0.5 * math.log(3 / 4), 0.5 * math.log(1 / 4)))


@given(st.lists(st.tuples(logps, logps, lengths, lengths), min_size=1, max_size=5), st.floats(0.01, 2))
@settings(max_examples=60, deadline=None)
def test_orpo_equals_equations_6_and_7(rows, beta):
    c, r, n, m = zip(*rows, strict=True)
    losses, *_ = orpo_loss(tensor(*c), tensor(*r), torch.tensor(n), torch.tensor(m), beta=beta)
    assert losses.dtype == torch.float64
    for i in range(len(rows)):
        good, bad = c[i] / n[i], r[i] / m[i]
        assert losses[i].item() == pytest.approx(
            -good + beta * nll(odds_by_hand(good) - odds_by_hand(bad)), rel=1e-9
        )


def test_orpo_and_simpo_gradients_and_detached_figures():
    generator = torch.Generator().manual_seed(0)
    leaves = tuple(
        (-3 * torch.rand(4, generator=generator, dtype=torch.float64) - 0.1).requires_grad_()
        for _ in range(2)
    )
    n, m = torch.tensor([1, 4, 2, 3]), torch.tensor([2, 1, 5, 3])
    assert gradcheck(lambda c, r: orpo_loss(c, r, n, m, beta=0.7)[0], leaves)
    assert gradcheck(lambda c, r: simpo_loss(c, r, n, m, beta=2.5, gamma=0.8)[0], leaves)
    losses, *rewards, metrics = orpo_loss(*leaves, n, m)
    assert losses.requires_grad and not any(x.requires_grad for x in (*rewards, *metrics.values()))
    losses, *rewards = simpo_loss(*leaves, n, m)
    assert losses.requires_grad and not any(x.requires_grad for x in rewards)


@pytest.mark.parametrize("dtype", DTYPES)
def test_orpo_where_odds_have_no_end(dtype):
    """Probability 1 (a sum of zeros), all but 1, and far below the smallest number: losses and gradients are
    finite.
    """
    sums = torch.tensor([0.0, -1e-30, -1e-12, -1e4, -1e6, -1.0], dtype=dtype)
    chosen, rejected = (
        sums.repeat_interleave(len(sums)).requires_grad_(),
        sums.repeat(len(sums)).requires_grad_(),
    )
    ones = torch.ones(len(chosen), dtype=torch.long)
    losses, *_, metrics = orpo_loss(chosen, rejected, ones, ones)
    losses.sum().backward()
    assert (
        losses.dtype == dtype
        and losses.isfinite().all()
        and (losses >= 0).all()
        and all(x.isfinite().all() for x in metrics.values())
    )
    assert (
        chosen.grad is not None
        and rejected.grad is not None
        and chosen.grad.isfinite().all()
        and rejected.grad.isfinite().all()
    )


def test_orpo_keeps_its_digits_in_float32():
    mean = torch.tensor([-1e-4, -1e-3, -0.5, -5.0, -40.0])
    ones = torch.ones(5, dtype=torch.long)
    single = orpo_loss(mean, mean.flip(0), ones, ones)[3]["log_odds_chosen"]
    exact = orpo_loss(mean.double(), mean.double().flip(0), ones, ones)[3]["log_odds_chosen"]
    torch.testing.assert_close(single.double(), exact, rtol=1e-5, atol=1e-5)


# SimPO


def test_simpo_by_hand():
    # a token -0.5 and -2: with beta 2 and gamma 1, z = -1 + 4 - 1 = 2
    losses, chosen, rejected = simpo_loss(
        tensor(-2.0), tensor(-6.0), torch.tensor([4]), torch.tensor([3]), beta=2.0, gamma=1.0
    )
    assert losses.item() == pytest.approx(math.log1p(math.exp(-2))) and (chosen.item(), rejected.item()) == (
        -1,
        -4,
    )


@given(
    st.lists(st.tuples(logps, logps, lengths, lengths), min_size=1, max_size=5),
    st.floats(0.1, 10),
    st.floats(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_simpo_equals_equation_6(rows, beta, gamma):
    c, r, n, m = zip(*rows, strict=True)
    losses, chosen, rejected = simpo_loss(
        tensor(*c), tensor(*r), torch.tensor(n), torch.tensor(m), beta=beta, gamma=gamma
    )
    for i in range(len(rows)):
        assert losses[i].item() == pytest.approx(
            nll(beta * c[i] / n[i] - beta * r[i] / m[i] - gamma), rel=1e-7, abs=1e-12
        )
        assert (chosen[i].item(), rejected[i].item()) == pytest.approx(
            (beta * c[i] / n[i], beta * r[i] / m[i])
        )


def test_simpo_does_not_pay_for_length():
    """Twice the tokens at the same mean: the same loss, where a sum would call it a worse completion."""
    short = simpo_loss(tensor(-3.0), tensor(-8.0), torch.tensor([3]), torch.tensor([4]))[0]
    torch.testing.assert_close(
        simpo_loss(tensor(-6.0), tensor(-8.0), torch.tensor([6]), torch.tensor([4]))[0], short
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_simpo_is_finite_far_out(dtype):
    far = torch.tensor([-1e6, 0.0], dtype=dtype, requires_grad=True)
    losses, *_ = simpo_loss(far, far.flip(0), torch.tensor([1, 1]), torch.tensor([1, 1]))
    losses.sum().backward()
    assert (
        losses.dtype == dtype
        and losses.isfinite().all()
        and far.grad is not None
        and far.grad.isfinite().all()
    )


# all


@pytest.mark.parametrize("loss", [orpo_loss, simpo_loss])
def test_what_has_no_mean_or_another_shape_is_refused(loss):
    two = torch.zeros(2)
    with pytest.raises(ValueError, match="without a token"):
        loss(two, two, torch.tensor([1, 0]), torch.tensor([1, 1]))
    with pytest.raises(ValueError, match="same shape"):
        loss(two, two[:1], torch.tensor([1, 1]), torch.tensor([1, 1]))
    with pytest.raises(ValueError, match=r"lengths \(2, 1\)"):
        loss(two, two, torch.ones(2, 1), torch.ones(2))
    with pytest.raises(ValueError, match="same shape"):
        kto_loss(two, two, torch.ones(2, 1, dtype=torch.bool), baseline=0.0)
    with pytest.raises(ValueError, match="same shape"):
        kto_baseline(two, two[:1])


@pytest.mark.parametrize("name", ["kto", "orpo", "simpo"])
def test_the_order_of_a_batch_changes_nothing(name):
    generator = torch.Generator().manual_seed(1)
    a, b = (-20 * torch.rand(5, generator=generator, dtype=torch.float64) for _ in range(2))
    n, m = (torch.randint(1, 9, (5,), generator=generator) for _ in range(2))
    order = torch.tensor([3, 1, 4, 0, 2])
    of = {
        "kto": lambda i: kto_loss(a[i], b[i], (n > 4)[i], baseline=kto_baseline(a, b))[0],
        "orpo": lambda i: orpo_loss(a[i], b[i], n[i], m[i])[0],
        "simpo": lambda i: simpo_loss(a[i], b[i], n[i], m[i])[0],
    }[name]
    assert torch.equal(of(torch.arange(5))[order], of(order))
