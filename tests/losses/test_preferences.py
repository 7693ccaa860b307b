"""bradley_terry_loss and dpo_loss: hand-derived values, oracles with math.*, gradients, stability."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from alignlab.losses import better_nll, bradley_terry_loss, dpo_loss

LOSS_TYPES = ("sigmoid", "robust", "hinge", "ipo")
scores = st.floats(-30, 30)


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def nll(z: float) -> float:
    """-log sigmoid(z) without overflow."""
    return math.log1p(math.exp(-abs(z))) + max(-z, 0.0)


def test_bradley_terry_by_hand():
    # z = log 3 -> P = 3/4; z = 0 -> 1/2
    loss, metrics = bradley_terry_loss(tensor(math.log(3.0), 1.0), tensor(0.0, 1.0))
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)
    assert metrics["accuracy"].item() == 0.75  # one right, one tie that counts half
    assert metrics["margin"].item() == pytest.approx(math.log(3) / 2)
    assert metrics["mean_reward"].item() == pytest.approx((math.log(3) + 2) / 4)
    assert metrics["min_reward"].item() == 0 and metrics["max_reward"].item() == pytest.approx(math.log(3))


@given(
    st.lists(st.tuples(scores, scores, st.floats(0, 3)), min_size=1, max_size=6),
    st.floats(0, 0.5),
    st.floats(0, 1),
)
@settings(max_examples=60, deadline=None)
def test_bradley_terry_equals_the_loop(rows, smoothing, center):
    chosen, rejected, margins = (tensor(*column) for column in zip(*rows, strict=True))
    loss, metrics = bradley_terry_loss(
        chosen, rejected, margin_B=margins, center=center, label_smoothing=smoothing
    )
    terms = [(1 - smoothing) * nll(c - r - m) + smoothing * nll(-(c - r - m)) for c, r, m in rows]
    expected = sum(terms) / len(rows) + center * sum((c + r) ** 2 for c, r, _ in rows) / len(rows)
    assert loss.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    right = sum(1.0 if c > r else 0.5 if c == r else 0.0 for c, r, _ in rows)
    assert metrics["accuracy"].item() == pytest.approx(right / len(rows))
    reversed_loss, _ = bradley_terry_loss(
        chosen.flip(0), rejected.flip(0), margin_B=margins.flip(0), center=center, label_smoothing=smoothing
    )
    torch.testing.assert_close(reversed_loss, loss, rtol=1e-12, atol=1e-12)


def test_bradley_terry_sees_only_differences_unless_centred():
    chosen, rejected = tensor(1.0, -2.0), tensor(0.5, 3.0)
    plain, shifted = (bradley_terry_loss(chosen + k, rejected + k)[0].item() for k in (0, 100))
    assert shifted == pytest.approx(plain, rel=1e-12)
    centred = bradley_terry_loss(chosen + 100, rejected + 100, center=0.01)[0].item()
    assert centred == pytest.approx(plain + 0.01 * (201.5**2 + 201**2) / 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("lead", [1e4, -1e4])
def test_bradley_terry_is_stable_far_out(dtype, lead):
    chosen = torch.tensor([lead], dtype=dtype, requires_grad=True)
    loss, _ = bradley_terry_loss(chosen, torch.zeros(1, dtype=dtype), label_smoothing=0.1)
    loss.backward()
    assert loss.dtype == dtype and loss.item() == pytest.approx(1e3 if lead > 0 else 9e3)
    assert chosen.grad is not None and chosen.grad.item() == pytest.approx(0.1 if lead > 0 else -0.9)


def test_bradley_terry_gradient_is_the_surprise():
    chosen, rejected = tensor(0.3, -1.0, 2.0).requires_grad_(), tensor(0.0, 1.0, 2.0).requires_grad_()
    assert gradcheck(
        lambda c, r: bradley_terry_loss(c, r, center=0.2, label_smoothing=0.1)[0], (chosen, rejected)
    )
    loss, metrics = bradley_terry_loss(chosen, rejected)
    loss.backward()
    assert chosen.grad is not None and rejected.grad is not None
    expected = [-1 / (1 + math.exp(z)) / 3 for z in (0.3, -2.0, 0.0)]
    assert chosen.grad.tolist() == pytest.approx(expected)
    assert rejected.grad.tolist() == pytest.approx([-x for x in expected])
    assert not any(metric.requires_grad for metric in metrics.values())


def test_columns_against_rows_are_refused():
    with pytest.raises(ValueError, match=r"chosen_B \(4, 1\), rejected_B \(4,\)"):
        bradley_terry_loss(torch.zeros(4, 1), torch.zeros(4))
    with pytest.raises(ValueError, match="same shape"):
        dpo_loss(torch.zeros(4, 1), torch.zeros(4), torch.zeros(4), torch.zeros(4))


def dpo_by_hand(pc: float, pr: float, rc: float, rr: float, beta: float, loss_type: str, e: float) -> float:
    h = (pc - rc) - (pr - rr)
    match loss_type:
        case "sigmoid":
            return (1 - e) * nll(beta * h) + e * nll(-beta * h)
        case "robust":
            return ((1 - e) * nll(beta * h) - e * nll(-beta * h)) / (1 - 2 * e)
        case "hinge":
            return max(0.0, 1 - beta * h)
        case _:
            return (h - 0.5 / beta) ** 2


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_dpo_equals_the_loop(loss_type, data):
    logps = st.floats(-200, 0)
    rows = data.draw(st.lists(st.tuples(logps, logps, logps, logps), min_size=1, max_size=5))
    beta = data.draw(st.floats(0.01, 2))
    e = data.draw(st.floats(0, 0.45)) if loss_type in ("sigmoid", "robust") else 0.0
    columns = [tensor(*column) for column in zip(*rows, strict=True)]
    losses, chosen, rejected = dpo_loss(*columns, beta=beta, loss_type=loss_type, label_smoothing=e)
    assert losses.dtype == torch.float64 and losses.shape == (len(rows),)
    for i, row in enumerate(rows):
        assert losses[i].item() == pytest.approx(
            dpo_by_hand(*row, beta=beta, loss_type=loss_type, e=e), rel=1e-7, abs=1e-9
        )
        assert chosen[i].item() == pytest.approx(beta * (row[0] - row[2]))
        assert rejected[i].item() == pytest.approx(beta * (row[1] - row[3]))


def test_dpo_by_hand():
    # policy = reference: every margin 0
    zero = [tensor(-3.0), tensor(-5.0), tensor(-3.0), tensor(-5.0)]
    assert dpo_loss(*zero)[0].item() == pytest.approx(math.log(2))
    assert dpo_loss(*zero, loss_type="robust", label_smoothing=0.2)[0].item() == pytest.approx(math.log(2))
    assert dpo_loss(*zero, loss_type="hinge")[0].item() == 1
    assert dpo_loss(*zero, loss_type="ipo")[0].item() == pytest.approx(25)
    # h = (-2 + 4) - (-7 + 4) = 5, so IPO with beta 0.1 is at its minimum
    moved = [tensor(-2.0), tensor(-7.0), tensor(-4.0), tensor(-4.0)]
    assert dpo_loss(*moved, loss_type="ipo")[0].item() == pytest.approx(0, abs=1e-20)
    losses, chosen, rejected = dpo_loss(*moved)
    assert losses.item() == pytest.approx(math.log(1 + math.exp(-0.5)))
    assert (chosen.item(), rejected.item()) == pytest.approx((0.2, -0.3))


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_dpo_gradients_and_detached_rewards(loss_type):
    generator = torch.Generator().manual_seed(0)
    inputs = tuple(
        torch.randn(4, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(4)
    )
    e = 0.1 if loss_type in ("sigmoid", "robust") else 0.0
    assert gradcheck(
        lambda *x: dpo_loss(x[0], x[1], x[2], x[3], beta=0.7, loss_type=loss_type, label_smoothing=e)[0],
        inputs,
    )
    losses, chosen, rejected = dpo_loss(*inputs, loss_type=loss_type, label_smoothing=e)
    assert losses.requires_grad and not chosen.requires_grad and not rejected.requires_grad


def test_robust_dpo_is_unbiased_under_flipped_labels():
    pc, pr, rc, rr = tensor(-3.0, -9.0), tensor(-4.0, -1.0), tensor(-3.5, -8.0), tensor(-3.0, -2.0)
    e = 0.3
    right = dpo_loss(pc, pr, rc, rr, loss_type="robust", label_smoothing=e)[0]
    flipped = dpo_loss(pr, pc, rr, rc, loss_type="robust", label_smoothing=e)[0]
    torch.testing.assert_close((1 - e) * right + e * flipped, dpo_loss(pc, pr, rc, rr)[0])


def test_conservative_dpo_is_at_rest_where_the_margin_matches_the_label_noise():
    e, beta = 0.2, 0.5
    h = torch.tensor([math.log((1 - e) / e) / beta], dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(1, dtype=torch.float64)
    dpo_loss(h, zero, zero, zero, beta=beta, label_smoothing=e)[0].sum().backward()
    assert h.grad is not None and h.grad.item() == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_dpo_is_finite_far_out(loss_type):
    far = torch.tensor([1e4, -1e4], requires_grad=True)
    losses, _, _ = dpo_loss(far, -far, torch.zeros(2), torch.zeros(2), loss_type=loss_type)
    losses.sum().backward()
    assert losses.isfinite().all() and far.grad is not None and far.grad.isfinite().all()


@given(
    st.lists(
        st.tuples(*[st.floats(-200, 0)] * 4, st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=5
    ),
    st.floats(0.1, 10),
    st.floats(0, 0.4),
)
@settings(max_examples=40, deadline=None)
def test_length_normalised_dpo_equals_the_loop(rows, beta, e):
    *columns, n, m = zip(*rows, strict=True)
    losses, chosen, rejected = dpo_loss(
        *(tensor(*column) for column in columns),
        beta=beta,
        loss_type="sigmoid_norm",
        label_smoothing=e,
        chosen_lengths=torch.tensor(n),
        rejected_lengths=torch.tensor(m),
    )
    assert losses.dtype == torch.float64
    for i, (pc, pr, rc, rr, n_c, n_r) in enumerate(rows):
        z = beta * ((pc - rc) / n_c - (pr - rr) / n_r)
        assert losses[i].item() == pytest.approx((1 - e) * nll(z) + e * nll(-z), rel=1e-7, abs=1e-9)
        assert (chosen[i].item(), rejected[i].item()) == pytest.approx(
            (beta * (pc - rc) / n_c, beta * (pr - rr) / n_r)
        )


def test_length_normalised_dpo_by_hand():
    # log-ratios -6 over 3 tokens and -8 over 2: a token -2 and -4, so that the longer completion is not
    # blamed for its length
    four, lengths = (
        [tensor(-10.0), tensor(-12.0), tensor(-4.0), tensor(-4.0)],
        {"chosen_lengths": torch.tensor([3]), "rejected_lengths": torch.tensor([2])},
    )
    losses, chosen, rejected = dpo_loss(*four, beta=5.0, loss_type="sigmoid_norm", **lengths)
    assert losses.item() == pytest.approx(math.log1p(math.exp(-10))) and (chosen.item(), rejected.item()) == (
        -10,
        -20,
    )
    one = {"chosen_lengths": torch.tensor([1]), "rejected_lengths": torch.tensor([1])}
    torch.testing.assert_close(dpo_loss(*four, loss_type="sigmoid_norm", **one)[0], dpo_loss(*four)[0])
    leaves = tuple(
        torch.randn(4, generator=torch.Generator().manual_seed(3), dtype=torch.float64, requires_grad=True)
        for _ in range(4)
    )
    n, m = torch.tensor([1, 2, 9, 4]), torch.tensor([3, 1, 1, 7])
    assert gradcheck(
        lambda *x: dpo_loss(
            x[0], x[1], x[2], x[3], beta=3.0, loss_type="sigmoid_norm", chosen_lengths=n, rejected_lengths=m
        )[0],
        leaves,
    )


def test_ipo_is_the_papers_and_trls_on_mean_log_probabilities():
    """At h = 1 / (2 beta) nats a comparison ours is at rest; TRL's at as many nats a token."""
    chosen, zero = tensor(5.0), tensor(0.0)
    assert dpo_loss(chosen, zero, zero, zero, loss_type="ipo")[0].item() == pytest.approx(0, abs=1e-20)
    assert dpo_loss(chosen / 4, zero, zero, zero, loss_type="ipo")[0].item() == pytest.approx(
        (5 / 4 - 5) ** 2
    )


def test_dpo_says_what_is_wrong():
    four, lengths = (
        [tensor(0.0)] * 4,
        {"chosen_lengths": torch.tensor([1]), "rejected_lengths": torch.tensor([1])},
    )
    with pytest.raises(ValueError, match="give chosen_lengths and rejected_lengths"):
        dpo_loss(*four, loss_type="sigmoid_norm")
    with pytest.raises(ValueError, match="lengths have no meaning for loss_type 'sigmoid'"):
        dpo_loss(*four, **lengths)
    with pytest.raises(ValueError, match="without a token"):
        dpo_loss(*four, loss_type="sigmoid_norm", **lengths | {"rejected_lengths": torch.tensor([0])})
    with pytest.raises(
        ValueError, match="loss_type 'sigmod' is not one of sigmoid, sigmoid_norm, hinge, ipo, robust"
    ):
        dpo_loss(*four, loss_type="sigmod")
    with pytest.raises(ValueError, match="no meaning for loss_type 'hinge'"):
        dpo_loss(*four, loss_type="hinge", label_smoothing=0.1)
    with pytest.raises(ValueError, match="below 0.5"):
        dpo_loss(*four, loss_type="robust", label_smoothing=0.5)


def test_the_likelihood_of_the_chosen_one_by_hand() -> None:
    """Sums of -6 over 3 tokens and -1 over 4: 2 and 1/4 nats per token; the rejected one does not count."""
    chosen, rejected = tensor(-6.0, -1.0).requires_grad_(), tensor(-2.0, -9.0).requires_grad_()
    found = better_nll(chosen, rejected, tensor(3.0, 4.0), tensor(1.0, 2.0))
    assert found.tolist() == [2.0, 0.25]
    (0.2 * found.sum()).backward()
    torch.testing.assert_close(chosen.grad, tensor(-0.2 / 3, -0.2 / 4))
    assert rejected.grad is None
    with pytest.raises(ValueError, match="without a token"):
        better_nll(chosen, rejected, tensor(0.0, 4.0), tensor(1.0, 2.0))
