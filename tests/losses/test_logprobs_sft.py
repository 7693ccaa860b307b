"""token_logprobs, target_logprobs, entropy and sft_loss against loops in plain Python."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from alignlab.losses import entropy, sft_loss, token_logprobs
from alignlab.losses.masked import masked_mean


def make(seed: int, B: int = 3, T: int = 5, V: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(B, T, V, generator=generator, dtype=torch.float64) * 3, torch.randint(
        V, (B, T), generator=generator
    )


def log_softmax_by_hand(row: list[float], temperature: float = 1.0) -> list[float]:
    scaled = [x / temperature for x in row]
    top = max(scaled)
    total = math.fsum(math.exp(x - top) for x in scaled)
    return [x - top - math.log(total) for x in scaled]


@pytest.mark.parametrize("temperature", [1.0, 0.7, 2.5])
def test_token_logprobs_equal_the_loop(temperature):
    logits, ids = make(0)
    got = token_logprobs(logits, ids, temperature=temperature)
    for b in range(3):
        assert got[b, 0] == 0
        for t in range(1, 5):
            expected = log_softmax_by_hand(logits[b, t - 1].tolist(), temperature)[ids[b, t]]
            assert got[b, t].item() == pytest.approx(expected, rel=1e-12)


def test_token_logprobs_by_hand():
    # two tokens: p = (3/4, 1/4) after token 0, (1/2, 1/2) after token 1; the last logits predict nothing
    logits = torch.tensor([[[math.log(3.0), 0.0], [5.0, 5.0], [9.0, -9.0]]], dtype=torch.float64)
    got = token_logprobs(logits, torch.tensor([[0, 0, 1]]))
    assert got[0].tolist() == pytest.approx([0.0, math.log(0.75), math.log(0.5)])


def test_token_logprobs_ignores_the_future_and_the_last_logits():
    logits, ids = make(1)
    logits.requires_grad_()
    token_logprobs(logits, ids)[:, 3].sum().backward()
    assert logits.grad is not None
    touched = logits.grad.abs().sum(-1) > 0
    assert touched[:, 2].all() and touched.sum() == 3


def test_token_logprobs_survive_huge_and_impossible_logits():
    logits = torch.tensor([[[1e30, -1e30, -math.inf], [0.0, 0.0, 0.0]]])
    assert token_logprobs(logits, torch.tensor([[0, 0]]))[0].tolist() == [0.0, 0.0]
    assert token_logprobs(logits, torch.tensor([[0, 2]]))[0, 1] == -math.inf


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_follows_the_input(dtype):
    logits, ids = make(2)
    logits = logits.to(dtype)
    assert token_logprobs(logits, ids, temperature=0.5).dtype == dtype
    assert entropy(logits).dtype == dtype
    loss, metrics = sft_loss(token_logprobs(logits, ids), torch.ones(3, 5), denominator=15)
    assert loss.dtype == metrics["loss"].dtype == dtype


def test_single_token_has_nothing_to_predict():
    assert token_logprobs(torch.randn(2, 1, 4), torch.zeros(2, 1, dtype=torch.long)).tolist() == [
        [0.0],
        [0.0],
    ]


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_temperature_must_be_positive(temperature):
    logits, ids = make(3)
    with pytest.raises(ValueError, match="temperature must be above 0"):
        token_logprobs(logits, ids, temperature=temperature)


def test_gradients_of_logprobs_entropy_and_sft():
    logits, ids = make(5, B=2, T=3, V=4)
    logits.requires_grad_()
    mask = torch.tensor([[0, 1, 1], [0, 0, 1]])
    assert gradcheck(lambda x: token_logprobs(x, ids, temperature=1.7), (logits,))
    assert gradcheck(entropy, (logits,))
    assert gradcheck(lambda x: sft_loss(token_logprobs(x, ids), mask, denominator=3)[0], (logits,))


def test_entropy_equals_the_loop_and_its_bounds():
    logits, _ = make(6)
    got = entropy(logits)
    for b in range(3):
        for t in range(5):
            log_p = log_softmax_by_hand(logits[b, t].tolist())
            assert got[b, t].item() == pytest.approx(-math.fsum(math.exp(x) * x for x in log_p), rel=1e-10)
    assert entropy(torch.zeros(1, 1, 8, dtype=torch.float64)).item() == pytest.approx(math.log(8))


def test_entropy_with_impossible_tokens_is_finite_in_value_and_gradient():
    logits = torch.tensor([[[0.0, 0.0, -math.inf]]], dtype=torch.float64, requires_grad=True)
    value = entropy(logits)
    assert value.item() == pytest.approx(math.log(2))
    value.sum().backward()
    assert logits.grad is not None and logits.grad.isfinite().all()


def test_sft_loss_by_hand():
    logprobs = torch.tensor([[0.0, -1.0, -2.0], [0.0, -4.0, -8.0]], dtype=torch.float64)
    mask = torch.tensor([[0, 1, 1], [0, 1, 0]])
    loss, metrics = sft_loss(logprobs, mask, denominator=10)
    assert loss.item() == pytest.approx(0.7)
    assert metrics["loss"].item() == pytest.approx(7 / 3)
    assert metrics["num_tokens"].item() == 3
    assert not any(metric.requires_grad for metric in metrics.values())


def test_sft_gradient_is_probability_minus_one_hot():
    logits, ids = make(7)
    logits.requires_grad_()
    mask = torch.tensor([[0, 1, 0, 1, 1], [0, 0, 0, 0, 0], [0, 1, 1, 1, 1]])
    sft_loss(token_logprobs(logits, ids), mask, denominator=7)[0].backward()
    assert logits.grad is not None
    for b in range(3):
        for t in range(5):
            p = [math.exp(x) for x in log_softmax_by_hand(logits[b, t].tolist())]
            learnt = t < 4 and bool(mask[b, t + 1])
            for v in range(7):
                expected = (p[v] - (v == ids[b, min(t + 1, 4)].item())) / 7 if learnt else 0.0
                assert logits.grad[b, t, v].item() == pytest.approx(expected, rel=1e-9, abs=1e-15)


@given(
    st.integers(0, 10_000),
    st.integers(0, 4),
    st.booleans(),
    st.sampled_from([0.0, math.inf, -math.inf, math.nan]),
)
@settings(max_examples=40, deadline=None)
def test_sft_loss_does_not_see_padding_row_order_or_micro_batches(seed, pad, left, junk):
    generator = torch.Generator().manual_seed(seed)
    logprobs = -torch.rand(6, 5, generator=generator, dtype=torch.float64)
    mask = torch.rand(6, 5, generator=generator) < 0.6
    count = int(mask.sum()) + 1
    whole, metrics = sft_loss(logprobs, mask, denominator=count)

    block, off = torch.full((6, pad), junk, dtype=torch.float64), torch.zeros(6, pad, dtype=torch.bool)
    sides = (lambda a, b: torch.cat([b, a], 1)) if left else (lambda a, b: torch.cat([a, b], 1))
    padded, padded_metrics = sft_loss(sides(logprobs, block), sides(mask, off), denominator=count)
    torch.testing.assert_close(padded, whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(padded_metrics, metrics, rtol=1e-12, atol=1e-12)

    order = torch.randperm(6, generator=generator)
    parts = [sft_loss(logprobs[rows], mask[rows], denominator=count)[0] for rows in order.split([1, 3, 2])]
    torch.testing.assert_close(torch.stack(parts).sum(), whole, rtol=1e-12, atol=1e-12)


def test_junk_on_masked_tokens_stays_out_of_the_gradient():
    logprobs = torch.tensor([[0.0, -1.0, math.nan, -math.inf]], dtype=torch.float64, requires_grad=True)
    loss, _ = sft_loss(logprobs, torch.tensor([[0, 1, 0, 0]]), denominator=1)
    loss.backward()
    assert loss.item() == 1 and logprobs.grad is not None and logprobs.grad.tolist() == [[0, -1, 0, 0]]


def test_masked_mean_of_nothing_is_zero():
    assert masked_mean(torch.full((2, 2), math.nan), torch.zeros(2, 2)) == 0


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"logprobs_BT \(2, 3\), loss_mask_BT \(1, 3\)"):
        sft_loss(torch.zeros(2, 3), torch.ones(1, 3), denominator=1)
