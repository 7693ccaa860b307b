"""The clipped policy and value losses against loops, with padding, order and micro-batches varied."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from alignlab.losses import ppo_policy_loss, ppo_value_loss


def make(seed: int, B: int = 4, T: int = 6) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """new, old, advantages (or values, old values, returns), and a mask with holes."""
    generator = torch.Generator().manual_seed(seed)
    old = -torch.rand(B, T, generator=generator, dtype=torch.float64) * 3
    new = old + 0.4 * torch.randn(B, T, generator=generator, dtype=torch.float64)
    third = torch.randn(B, T, generator=generator, dtype=torch.float64)
    return new, old, third, torch.rand(B, T, generator=generator) < 0.7


def policy_by_hand(new: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, c: float) -> dict[str, float]:
    totals: dict[str, float] = dict.fromkeys(("loss", "k1", "k3", "clipped", "ratio", "count"), 0.0)
    for b in range(new.shape[0]):
        for t in range(new.shape[1]):
            if mask[b, t]:
                n, o, a = new[b, t].item(), old[b, t].item(), advantages[b, t].item()
                r = math.exp(n - o)
                plain, clipped = -a * r, -a * min(max(r, 1 - c), 1 + c)
                totals["loss"] += max(plain, clipped)
                totals["k1"] += o - n
                totals["k3"] += r - 1 - (n - o)
                totals["clipped"] += clipped > plain
                totals["ratio"] += r
                totals["count"] += 1
    return totals


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("mask_dtype", [torch.bool, torch.int64, torch.float64])
def test_policy_loss_equals_the_loop(seed, mask_dtype):
    new, old, advantages, mask = make(seed)
    loss, metrics = ppo_policy_loss(new, old, advantages, mask.to(mask_dtype), cliprange=0.2, denominator=11)
    by_hand = policy_by_hand(new, old, advantages, mask, 0.2)
    assert loss.dtype == torch.float64 and loss.item() == pytest.approx(by_hand["loss"] / 11, rel=1e-10)
    count = by_hand["count"]
    assert metrics["policy/approxkl_avg"].item() == pytest.approx(by_hand["k3"] / count, rel=1e-10)
    assert metrics["policy/approxkl_k1"].item() == pytest.approx(by_hand["k1"] / count, rel=1e-10)
    assert metrics["policy/clipfrac_avg"].item() == pytest.approx(by_hand["clipped"] / count, rel=1e-10)
    assert metrics["val/ratio"].item() == pytest.approx(by_hand["ratio"] / count, rel=1e-10)


def test_policy_loss_by_hand():
    ratios = torch.tensor([[1.5, 1.5, 0.5, 0.5, 1.1]], dtype=torch.float64)
    advantages = torch.tensor([[1.0, -1.0, 1.0, -1.0, 2.0]], dtype=torch.float64)
    new = ratios.log().requires_grad_()
    loss, metrics = ppo_policy_loss(
        new,
        torch.zeros(1, 5, dtype=torch.float64),
        advantages,
        torch.ones(1, 5),
        cliprange=0.2,
        denominator=1,
    )
    # good and already likelier: clipped at 1.2; bad and likelier: full; good and rarer: full; bad and rarer:
    # clipped at 0.8
    assert loss.item() == pytest.approx(-1.2 + 1.5 - 0.5 + 0.8 - 2.2)
    assert metrics["policy/clipfrac_avg"].item() == pytest.approx(2 / 5)
    loss.backward()
    assert new.grad is not None and new.grad[0].tolist() == pytest.approx([0, 1.5, -0.5, 0, -2.2])


def test_first_pass_is_the_policy_gradient():
    new, _, advantages, mask = make(9)
    new.requires_grad_()
    loss, metrics = ppo_policy_loss(new, new.detach(), advantages, mask, cliprange=0.2, denominator=5)
    loss.backward()
    assert new.grad is not None
    torch.testing.assert_close(new.grad, -advantages * mask / 5)
    assert metrics["val/ratio"] == 1
    assert (
        metrics["policy/approxkl_avg"] == metrics["policy/approxkl_k1"] == metrics["policy/clipfrac_avg"] == 0
    )


def value_by_hand(
    values: Tensor, old: Tensor, returns: Tensor, mask: Tensor, c: float
) -> tuple[float, float, int]:
    loss = clipfrac = 0.0
    count = 0
    for b in range(values.shape[0]):
        for t in range(values.shape[1]):
            if mask[b, t]:
                v, o, r = values[b, t].item(), old[b, t].item(), returns[b, t].item()
                plain, clipped = (v - r) ** 2, (min(max(v, o - c), o + c) - r) ** 2
                loss += 0.5 * max(plain, clipped)
                clipfrac += clipped > plain
                count += 1
    return loss, clipfrac, count


@pytest.mark.parametrize("seed", range(5))
def test_value_loss_equals_the_loop(seed):
    values, old, returns, mask = make(seed)
    loss, metrics = ppo_value_loss(values, old, returns, mask, cliprange_value=0.2, denominator=7)
    expected, clipped, count = value_by_hand(values, old, returns, mask, 0.2)
    assert loss.dtype == torch.float64 and loss.item() == pytest.approx(expected / 7, rel=1e-10)
    assert metrics["val/clipfrac_avg"].item() == pytest.approx(clipped / count, rel=1e-10)


def test_value_loss_by_hand():
    values = torch.tensor([[1.0, 1.0]], dtype=torch.float64, requires_grad=True)
    returns = torch.tensor([[2.0, -1.0]], dtype=torch.float64)
    loss, metrics = ppo_value_loss(
        values,
        torch.zeros(1, 2, dtype=torch.float64),
        returns,
        torch.ones(1, 2),
        cliprange_value=0.5,
        denominator=2,
    )
    # towards 2: clipped to 0.5, error 1.5 rules and stops the gradient; towards -1: the plain error 2 is the
    # larger
    assert loss.item() == pytest.approx(0.5 * (1.5**2 + 2**2) / 2)
    assert metrics["val/clipfrac_avg"].item() == 0.5
    loss.backward()
    assert values.grad is not None and values.grad[0].tolist() == pytest.approx([0, 1.0])


def test_gradients_of_both_losses():
    new, old, third, mask = make(3, B=2, T=3)
    new.requires_grad_()
    assert gradcheck(lambda x: ppo_policy_loss(x, old, third, mask, cliprange=0.2, denominator=4)[0], (new,))
    assert gradcheck(
        lambda x: ppo_value_loss(x, old, third, mask, cliprange_value=0.2, denominator=4)[0], (new,)
    )


LOSSES = {
    "policy": lambda *x, denominator: ppo_policy_loss(*x, cliprange=0.2, denominator=denominator),
    "value": lambda *x, denominator: ppo_value_loss(*x, cliprange_value=0.2, denominator=denominator),
}


@pytest.mark.parametrize("name", LOSSES)
@given(
    seed=st.integers(0, 10_000),
    pad=st.integers(0, 4),
    left=st.booleans(),
    junk=st.sampled_from([0.0, 1e300, math.inf, math.nan]),
)
@settings(max_examples=40, deadline=None)
def test_losses_do_not_see_padding_row_order_or_micro_batches(name, seed, pad, left, junk):
    loss_of = LOSSES[name]
    new, old, third, mask = make(seed)
    count = int(mask.sum()) + 1
    new.requires_grad_()
    whole, metrics = loss_of(new, old, third, mask, denominator=count)
    (gradient,) = torch.autograd.grad(whole, new)

    def padded(x: Tensor, value: float) -> Tensor:
        block = torch.full((4, pad), value, dtype=torch.float64).to(x.dtype)
        return torch.cat([block, x], 1) if left else torch.cat([x, block], 1)

    wide = padded(new.detach(), junk).requires_grad_()
    wide_loss, wide_metrics = loss_of(
        wide, padded(old, -junk), padded(third, junk), padded(mask, 0), denominator=count
    )
    torch.testing.assert_close(wide_loss, whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(wide_metrics, metrics, rtol=1e-12, atol=1e-12)
    (wide_gradient,) = torch.autograd.grad(wide_loss, wide)
    torch.testing.assert_close(wide_gradient, padded(gradient, 0.0))

    order = torch.randperm(4, generator=torch.Generator().manual_seed(seed))
    parts = [loss_of(new[i], old[i], third[i], mask[i], denominator=count) for i in order.split([1, 3])]
    torch.testing.assert_close(torch.stack([part for part, _ in parts]).sum(), whole, rtol=1e-12, atol=1e-12)
    weights = torch.stack([mask[i].sum() for i in order.split([1, 3])])
    for key, value in metrics.items():
        mean = (torch.stack([part[key] for _, part in parts]) * weights).sum() / weights.sum().clamp_min(1)
        torch.testing.assert_close(mean, value, rtol=1e-9, atol=1e-12)
        assert not value.requires_grad


def test_empty_mask_gives_zero_not_nan():
    new, old, third, mask = make(0)
    for loss_of in LOSSES.values():
        loss, metrics = loss_of(new, old, third, torch.zeros_like(mask), denominator=1)
        assert loss == 0 and all(value == 0 for value in metrics.values())


def test_mask_of_another_length_is_refused():
    new, old, third, mask = make(0)
    for loss_of in LOSSES.values():
        with pytest.raises(ValueError, match=r"mask_BT \(4, 5\)"):
            loss_of(new, old, third, mask[:, 1:], denominator=1)
