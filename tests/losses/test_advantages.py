"""GAE, whitening, explained variance and group advantages against loops in plain Python."""

from __future__ import annotations

import math
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from alignlab.losses import explained_variance, gae, group_advantages, masked_whiten


def make(seed: int, B: int = 3, T: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    rewards, values = (torch.randn(B, T, generator=generator, dtype=torch.float64) for _ in range(2))
    return rewards, values, torch.rand(B, T, generator=generator) < 0.6


def gae_by_hand(rewards: list[float], values: list[float], gamma: float, lam: float) -> list[float]:
    """The definition as a double sum, on the tokens of one completion without any holes."""
    n = len(rewards)
    deltas = [rewards[t] + gamma * (values[t + 1] if t + 1 < n else 0.0) - values[t] for t in range(n)]
    return [math.fsum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, n)) for t in range(n)]


@given(st.integers(0, 10_000), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_gae_equals_the_double_sum_on_the_masked_tokens(seed, gamma, lam):
    rewards, values, mask = make(seed)
    advantages, returns = gae(
        rewards.masked_fill(~mask, math.nan), values.masked_fill(~mask, math.inf), mask, gamma=gamma, lam=lam
    )
    assert advantages.dtype == returns.dtype == torch.float64
    assert (advantages[~mask] == 0).all() and (returns[~mask] == 0).all()
    for b in range(3):
        inside = mask[b]
        expected = gae_by_hand(rewards[b][inside].tolist(), values[b][inside].tolist(), gamma, lam)
        assert advantages[b][inside].tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)
        torch.testing.assert_close(returns[b][inside], advantages[b][inside] + values[b][inside])


def test_gae_by_hand_with_a_hole():
    rewards = torch.tensor([[9.0, 1.0, 9.0, 2.0, 9.0]], dtype=torch.float64)
    values = torch.tensor([[9.0, 4.0, 9.0, 6.0, 9.0]], dtype=torch.float64)
    mask = torch.tensor([[0, 1, 0, 1, 0]])
    advantages, returns = gae(rewards, values, mask, gamma=0.5, lam=0.5)
    # last: 2 - 6 = -4; first: 1 + 0.5 * 6 - 4 = 0, plus 0.25 * -4
    assert advantages.tolist() == [[0, -1, 0, -4, 0]]
    assert returns.tolist() == [[0, 3, 0, 2, 0]]


def test_gae_limits():
    rewards, values, _ = make(1)
    mask = torch.ones(3, 7)
    _, returns = gae(rewards, values, mask, gamma=1.0, lam=1.0)
    torch.testing.assert_close(
        returns, rewards.flip(1).cumsum(1).flip(1)
    )  # lambda 1: plain sum of what is to come
    advantages, _ = gae(rewards, values, mask, gamma=1.0, lam=0.0)
    following = torch.cat([values[:, 1:], torch.zeros(3, 1, dtype=torch.float64)], 1)
    torch.testing.assert_close(advantages, rewards + following - values)  # lambda 0: one step


def test_gae_is_a_target_without_gradient():
    rewards, values, mask = make(2)
    advantages, returns = gae(rewards, values.requires_grad_(), mask, gamma=1.0, lam=0.95)
    assert not advantages.requires_grad and not returns.requires_grad


@given(st.integers(0, 10_000), st.integers(0, 4), st.integers(0, 4))
@settings(max_examples=30, deadline=None)
def test_gae_and_whitening_do_not_see_padding_or_row_order(seed, left, right):
    rewards, values, mask = make(seed)
    order = torch.randperm(3, generator=torch.Generator().manual_seed(seed))

    def moved(x: Tensor, junk: float) -> Tensor:
        return torch.cat(
            [torch.full((3, left), junk).to(x.dtype), x[order], torch.full((3, right), junk).to(x.dtype)], 1
        )

    plain = (*gae(rewards, values, mask, gamma=0.99, lam=0.9), masked_whiten(rewards, mask))
    wide_mask = moved(mask, 0)
    wide = (
        *gae(moved(rewards, math.nan), moved(values, math.nan), wide_mask, gamma=0.99, lam=0.9),
        masked_whiten(moved(rewards, math.nan), wide_mask),
    )
    for before, after in zip(plain, wide, strict=True):
        torch.testing.assert_close(after, moved(before, 0.0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shift_mean", [True, False])
def test_whitening_equals_the_loop(shift_mean):
    x, _, mask = make(3)
    got = masked_whiten(x, mask, shift_mean=shift_mean)
    inside = x[mask].tolist()
    mean, variance = statistics.fmean(inside), statistics.pvariance(inside)
    expected = [(v - mean) / math.sqrt(variance + 1e-8) + (0 if shift_mean else mean) for v in inside]
    assert got.dtype == torch.float64
    assert got[mask].tolist() == pytest.approx(expected, rel=1e-10)
    assert (got[~mask] == 0).all()
    assert got[mask].mean().item() == pytest.approx(0 if shift_mean else mean, abs=1e-12)
    assert got[mask].var(correction=0).item() == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("shift_mean", [True, False])
def test_whitening_of_one_token_of_equal_values_and_of_nothing(shift_mean):
    x = torch.full((2, 3), 0.1)
    one = torch.tensor([[0, 1, 0], [0, 0, 0]])
    assert masked_whiten(x, one, shift_mean=shift_mean)[0, 1].item() == pytest.approx(
        0 if shift_mean else 0.1
    )
    assert masked_whiten(x, torch.ones(2, 3), shift_mean=shift_mean).isfinite().all()
    assert (masked_whiten(x, torch.zeros(2, 3), shift_mean=shift_mean) == 0).all()


def test_explained_variance():
    returns, noise, mask = make(4)
    inside_returns, inside_errors = returns[mask].tolist(), (0.5 * noise)[mask].tolist()
    values = (returns - 0.5 * noise).masked_fill(~mask, math.nan)
    expected = 1 - statistics.pvariance(inside_errors) / statistics.pvariance(inside_returns)
    assert explained_variance(values, returns, mask).item() == pytest.approx(expected, rel=1e-10)
    assert explained_variance(returns, returns, mask) == 1
    assert explained_variance(torch.full_like(returns, 3.0), returns, mask).item() == pytest.approx(
        0, abs=1e-12
    )
    assert explained_variance(-returns, returns, mask).item() == pytest.approx(-3)
    assert explained_variance(values, torch.full_like(returns, 0.1), mask) == 0
    assert explained_variance(values, returns, torch.zeros_like(mask)) == 0


def group_by_hand(rows: list[list[float]], kind: str) -> list[list[float]]:
    everything = statistics.fmean(score for row in rows for score in row)
    out = []
    for row in rows:
        mean = statistics.fmean(row)
        match kind:
            case "rloo":
                out.append([s - statistics.fmean(row[:i] + row[i + 1 :]) for i, s in enumerate(row)])
            case "grpo":
                out.append([(s - mean) / (statistics.stdev(row) + 1e-4) for s in row])
            case "dr_grpo":
                out.append([s - mean for s in row])
            case _:
                out.append([s - everything for s in row])
    return out


@pytest.mark.parametrize("kind", ["rloo", "grpo", "dr_grpo", "reinforce"])
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_group_advantages_equal_the_loop(kind, data):
    group = data.draw(st.integers(2, 6))
    score = st.floats(-10, 10).map(lambda x: round(x, 3))
    rows = data.draw(st.lists(st.lists(score, min_size=group, max_size=group), min_size=1, max_size=4))
    got = group_advantages(torch.tensor(rows, dtype=torch.float64), kind=kind)
    assert got.dtype == torch.float64
    for row, expected in zip(got.tolist(), group_by_hand(rows, kind), strict=True):
        assert row == pytest.approx(expected, rel=1e-8, abs=1e-9)


def test_group_advantages_by_hand():
    scores = torch.tensor([[1.0, 2.0, 6.0], [5.0, 5.0, 5.0]], dtype=torch.float64)
    assert group_advantages(scores, kind="rloo").tolist() == [[-3, -1.5, 4.5], [0, 0, 0]]
    assert group_advantages(scores, kind="dr_grpo").tolist() == [[-2, -1, 3], [0, 0, 0]]
    assert group_advantages(scores, kind="reinforce").tolist() == [[-3, -2, 2], [1, 1, 1]]
    assert group_advantages(scores, kind="grpo")[0].tolist() == pytest.approx(
        [x / (math.sqrt(7) + 1e-4) for x in (-2, -1, 3)]
    )
    assert group_advantages(scores, kind="grpo")[1].tolist() == [0, 0, 0]


def test_group_advantages_say_what_is_wrong():
    with pytest.raises(ValueError, match="unknown kind 'gpro': one of rloo, grpo, dr_grpo, reinforce"):
        group_advantages(torch.zeros(2, 2), kind="gpro")
    for kind in ("rloo", "grpo", "dr_grpo"):
        with pytest.raises(ValueError, match="at least 2"):
            group_advantages(torch.zeros(2, 1), kind=kind)
    assert group_advantages(torch.tensor([[1.0], [3.0]]), kind="reinforce").tolist() == [[-1], [1]]
