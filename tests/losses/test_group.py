"""The group losses against their equations in float64, and the gradients that the KL estimates have."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.losses import (
    group_advantages,
    group_policy_loss,
    kl_estimate,
    ppo_policy_loss,
    token_weights,
    truncated_importance_weights,
)

F = torch.float64


def batch(seed: int = 0, rows: int = 4, width: int = 6):
    rng = torch.Generator().manual_seed(seed)
    logprobs, old, ref = (-torch.rand(rows, width, generator=rng, dtype=F) * 2 for _ in range(3))
    lengths = torch.randint(1, width + 1, (rows,), generator=rng)
    mask = (torch.arange(width) < lengths[:, None]).to(F)
    return logprobs.requires_grad_(), old, ref, torch.randn(rows, generator=rng, dtype=F), mask


def by_hand(logprobs, old, ref, advantages, mask, weights, low, high, kl_coef, estimator):
    """The equation, a token at a time."""
    total = 0.0
    for b in range(mask.shape[0]):
        for t in range(mask.shape[1]):
            if mask[b, t]:
                lp, a = logprobs[b, t].item(), advantages[b].item()
                r = math.exp(lp - old[b, t].item())
                d = lp - ref[b, t].item()
                kl = math.exp(-d) - 1 + d if estimator == "k3" else d * d / 2
                total += weights[b, t].item() * (
                    max(-a * r, -a * min(max(r, 1 - low), 1 + high)) + kl_coef * kl
                )
    return total


@pytest.mark.parametrize("estimator", ["k3", "k2"])
@pytest.mark.parametrize("high", [None, 0.28])
def test_the_loss_is_the_equation(estimator, high):
    logprobs, old, ref, advantages, mask = batch()
    weights = token_weights(mask, mean="sequence", sequences=4, tokens=float(mask.sum()), max_length=6)
    loss, metrics = group_policy_loss(
        logprobs,
        old,
        advantages,
        mask,
        weights_BT=weights,
        epsilon=0.2,
        epsilon_high=high,
        ref_logprobs_BT=ref,
        kl_coef=0.3,
        estimator=estimator,
    )
    assert loss.item() == pytest.approx(
        by_hand(logprobs, old, ref, advantages, mask, weights, 0.2, high or 0.2, 0.3, estimator), abs=1e-12
    )
    ratio = (logprobs - old).exp()
    low_clip = ((ratio < 0.8) & (advantages[:, None] < 0) & (mask > 0)).sum() / mask.sum()
    high_clip = ((ratio > 1 + (high or 0.2)) & (advantages[:, None] > 0) & (mask > 0)).sum() / mask.sum()
    assert metrics["clip_ratio/low_mean"] == pytest.approx(low_clip.item()) and metrics[
        "clip_ratio/high_mean"
    ] == pytest.approx(high_clip.item())
    assert (
        metrics["clip_ratio/region_mean"] == pytest.approx((low_clip + high_clip).item())
        and low_clip + high_clip > 0
    )


def test_with_token_weights_it_is_the_loss_of_ppo():
    logprobs, old, _, advantages, mask = batch(3)
    count = float(mask.sum())
    ours, _ = group_policy_loss(
        logprobs,
        old,
        advantages,
        mask,
        weights_BT=token_weights(mask, mean="token", sequences=4, tokens=count, max_length=6),
        epsilon=0.2,
    )
    theirs, _ = ppo_policy_loss(
        logprobs, old, advantages[:, None].expand_as(mask), mask, cliprange=0.2, denominator=count
    )
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-14)


def test_on_a_first_pass_the_gradient_is_that_of_reinforce():
    logprobs, _, _, advantages, mask = batch(1)
    weights = token_weights(mask, mean="constant", sequences=4, tokens=0.0, max_length=10)
    loss, metrics = group_policy_loss(
        logprobs, logprobs.detach(), advantages, mask, weights_BT=weights, epsilon=0.2
    )
    (gradient,) = torch.autograd.grad(loss, logprobs)
    assert torch.allclose(gradient, -advantages[:, None] * mask / 40) and metrics["ratio"] == 1.0


@pytest.mark.parametrize("mean", ["sequence", "token", "constant"])
def test_micro_batches_add_up_and_padding_and_nonsense_beyond_the_end_change_nothing(mean):
    logprobs, old, ref, advantages, mask = batch(2, rows=6)
    whole = {"mean": mean, "sequences": 6, "tokens": float(mask.sum()), "max_length": 9}

    def loss_of(rows, columns=6):
        m = mask[rows, :columns]
        return group_policy_loss(
            logprobs[rows, :columns],
            old[rows, :columns],
            advantages[rows],
            m,
            weights_BT=token_weights(m, **whole),
            epsilon=0.2,
            ref_logprobs_BT=ref[rows, :columns],
            kl_coef=0.1,
        )[0]

    together = loss_of(list(range(6)))
    (gradient,) = torch.autograd.grad(together, logprobs)
    parts = [[4, 0], [5], [1, 3, 2]]
    summed = sum(loss_of(part, int(mask[part].sum(1).max())) for part in parts)
    assert summed.item() == pytest.approx(together.item(), abs=1e-12)
    assert torch.allclose(torch.autograd.grad(summed, logprobs)[0], gradient, atol=1e-14)
    broken = torch.where(mask > 0, logprobs.detach(), math.nan).requires_grad_()
    loss, metrics = group_policy_loss(
        broken,
        old,
        advantages,
        mask,
        weights_BT=token_weights(mask, **whole),
        epsilon=0.2,
        ref_logprobs_BT=ref,
        kl_coef=0.1,
    )
    assert loss.item() == pytest.approx(together.item(), abs=1e-12) and all(
        torch.isfinite(value) for value in metrics.values()
    )
    assert torch.isfinite(torch.autograd.grad(loss, broken)[0]).all()


def test_at_the_level_of_a_sequence_all_tokens_share_its_ratio():
    """GSPO's equation by hand; with weights that are alike within a completion, a token's part of the
    gradient is -A s / length of each (Zheng et al. 2025, 10).
    """
    logprobs, old, _, advantages, mask = batch(4, rows=5)
    whole = {"mean": "sequence", "sequences": 5, "tokens": float(mask.sum()), "max_length": 6}
    loss, metrics = group_policy_loss(
        logprobs,
        old,
        advantages,
        mask,
        weights_BT=token_weights(mask, **whole),
        epsilon=0.1,
        ratio_level="sequence",
    )
    lengths = mask.sum(1)
    ratio = (((logprobs - old) * mask).sum(1) / lengths).exp()
    each = torch.maximum(-advantages * ratio, -advantages * ratio.clamp(0.9, 1.1))
    assert loss.item() == pytest.approx(each.mean().item(), abs=1e-12)
    (gradient,) = torch.autograd.grad(loss, logprobs)
    held = ((ratio < 0.9) & (advantages < 0)) | ((ratio > 1.1) & (advantages > 0))
    assert held.any() and not held.all()
    assert torch.allclose(gradient, (-advantages * ratio / lengths / 5 * ~held)[:, None] * mask, atol=1e-14)
    assert metrics["clip_ratio/region_mean"].item() == pytest.approx(
        ((held[:, None] * mask).sum() / mask.sum()).item()
    )

    def part(rows):
        width = int(mask[rows].sum(1).max())
        m = mask[rows, :width]
        broken = torch.where(m > 0, logprobs.detach()[rows, :width], math.nan)
        return group_policy_loss(
            broken,
            old[rows, :width],
            advantages[rows],
            m,
            weights_BT=token_weights(m, **whole),
            epsilon=0.1,
            ratio_level="sequence",
        )[0].item()

    assert part([3, 0]) + part([4]) + part([1, 2]) == pytest.approx(loss.item(), abs=1e-12)
    with pytest.raises(ValueError, match="token, sequence"):
        group_policy_loss(
            logprobs, old, advantages, mask, weights_BT=mask, epsilon=0.1, ratio_level="completion"
        )


def test_on_a_first_pass_the_level_of_the_ratio_changes_no_gradient():
    logprobs, _, _, advantages, mask = batch(6)
    weights = token_weights(mask, mean="constant", sequences=4, tokens=0.0, max_length=10)
    gradients = [
        torch.autograd.grad(
            group_policy_loss(
                logprobs,
                logprobs.detach(),
                advantages,
                mask,
                weights_BT=weights,
                epsilon=0.2,
                ratio_level=level,
            )[0],
            logprobs,
        )[0]
        for level in ("token", "sequence")
    ]
    assert torch.allclose(*gradients, atol=1e-15)


def test_the_means_are_what_they_say():
    mask = torch.tensor([[1.0, 1, 1, 1], [1, 0, 0, 0]], dtype=F)
    counts = {"sequences": 2, "tokens": 5.0, "max_length": 8}
    assert token_weights(mask, mean="sequence", **counts).tolist() == [[1 / 8] * 4, [1 / 2, 0, 0, 0]]
    assert token_weights(mask, mean="token", **counts).tolist() == [[1 / 5] * 4, [1 / 5, 0, 0, 0]]
    assert token_weights(mask, mean="constant", **counts).tolist() == [[1 / 16] * 4, [1 / 16, 0, 0, 0]]
    with pytest.raises(ValueError, match="sequence, token, constant"):
        token_weights(mask, mean="other", **counts)


def test_the_expected_gradients_of_the_estimates():
    """By enumeration of a vocabulary: k3's gradient is that of KL(ref || p), k2's that of KL(p || ref), k1's
    is 0.
    """
    rng = torch.Generator().manual_seed(5)
    theta = torch.randn(7, generator=rng, dtype=F).requires_grad_()
    ref = torch.randn(7, generator=rng, dtype=F).log_softmax(0)

    def expected(estimator):
        log_p = theta.log_softmax(0)
        each = kl_estimate(log_p[:, None], ref[:, None], estimator=estimator).squeeze(1)
        return torch.autograd.grad((log_p.detach().exp() * each).sum(), theta)[0]

    log_p = theta.log_softmax(0)
    (kl,) = torch.autograd.grad((log_p.exp() * (log_p - ref)).sum(), theta)
    log_p = theta.log_softmax(0)
    (reverse,) = torch.autograd.grad((ref.exp() * (ref - log_p)).sum(), theta)
    assert (
        torch.allclose(expected("k2"), kl)
        and torch.allclose(expected("k3"), reverse)
        and not torch.allclose(kl, reverse, atol=1e-2)
    )
    assert torch.allclose(expected("k1"), torch.zeros(7, dtype=F), atol=1e-15)
    with pytest.raises(ValueError, match="expected gradient of k1 is 0"):
        group_policy_loss(
            theta[None],
            theta[None].detach(),
            torch.ones(1, dtype=F),
            torch.ones(1, 7),
            weights_BT=torch.ones(1, 7),
            epsilon=0.2,
            kl_coef=0.1,
            ref_logprobs_BT=ref[None],
            estimator="k1",
        )


@given(st.integers(2, 9), st.floats(-5, 5), st.sampled_from(["rloo", "grpo", "dr_grpo"]))
@settings(max_examples=40, deadline=None)
def test_equal_scores_teach_exactly_nothing(group, score, kind):
    assert not group_advantages(torch.full((2, group), score), kind=kind).any()


def test_importance_weights_undo_the_sampler_up_to_the_cap():
    """Expectation under the sampler of w f is that of f under the trainer, if no weight is capped; a cap only
    lowers weights.
    """
    p, q = torch.tensor([0.5, 0.3, 0.2], dtype=F), torch.tensor([0.4, 0.2, 0.4], dtype=F)
    f = torch.tensor([1.0, -2.0, 5.0], dtype=F)
    mask = torch.ones(3, 1)
    weights = truncated_importance_weights(p.log()[:, None], q.log()[:, None], mask, cap=10.0).squeeze(1)
    assert (q * weights * f).sum().item() == pytest.approx((p * f).sum().item(), abs=1e-12)
    capped = truncated_importance_weights(
        p.log()[:, None].requires_grad_(), q.log()[:, None], mask, cap=1.3
    ).squeeze(1)
    assert torch.allclose(capped, torch.tensor([1.25, 1.3, 0.5], dtype=F)) and not capped.requires_grad
    outside = truncated_importance_weights(
        torch.tensor([[math.inf, 0.0]]), torch.zeros(1, 2), torch.tensor([[0, 1]]), cap=2.0
    )
    assert outside.tolist() == [[0.0, 1.0]]
