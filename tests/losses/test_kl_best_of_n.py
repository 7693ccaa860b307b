"""KL estimators and rewards, the adaptive coefficient, and best-of-n in closed form against enumeration."""

from __future__ import annotations

import ast
import itertools
import math
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab import losses
from alignlab.losses import adaptive_kl_coef, best_of_n_estimate, best_of_n_kl, kl_estimate, kl_shaped_rewards


@given(st.lists(st.tuples(st.floats(-20, 0), st.floats(-20, 0)), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_kl_estimates_equal_the_formulas(pairs):
    logprobs, ref = (torch.tensor([column], dtype=torch.float64) for column in zip(*pairs, strict=True))
    for estimator, formula in (
        ("k1", lambda d: d),
        ("k2", lambda d: d * d / 2),
        ("k3", lambda d: math.expm1(-d) + d),
    ):
        got = kl_estimate(logprobs, ref, estimator=estimator)
        assert got.dtype == torch.float64 and got.shape == logprobs.shape
        assert got[0].tolist() == pytest.approx([formula(p - r) for p, r in pairs], rel=1e-9, abs=1e-15)


def test_kl_estimates_are_exact_on_average():
    p, q = (
        torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
        torch.tensor([0.2, 0.2, 0.6], dtype=torch.float64),
    )
    exact = sum(a * math.log(a / b) for a, b in zip(p.tolist(), q.tolist(), strict=True))
    for estimator in ("k1", "k3"):
        each = kl_estimate(p.log()[None], q.log()[None], estimator=estimator)
        assert (p * each[0]).sum().item() == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_k3_is_never_negative_and_keeps_small_values(dtype):
    for scale in (1e-8, 1e-5, 1e-3, 0.1, 1.0, 20.0):
        d = scale * torch.linspace(-1, 1, 20_001, dtype=dtype)[None]
        assert (kl_estimate(d, torch.zeros_like(d), estimator="k3") >= 0).all()
    tiny = kl_estimate(
        torch.tensor([[1e-6]], dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64), estimator="k3"
    )
    assert tiny.item() == pytest.approx(5e-13, rel=1e-3)  # exp(-d) - 1 + d would be all rounding here


def test_kl_gradients():
    generator = torch.Generator().manual_seed(0)
    inputs = tuple(
        torch.randn(2, 3, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(2)
    )
    for estimator in ("k1", "k2", "k3"):
        assert torch.autograd.gradcheck(lambda p, r, e=estimator: kl_estimate(p, r, estimator=e), inputs)


def test_unknown_estimator_and_shapes():
    with pytest.raises(ValueError, match="estimator 'k4' is not one of k1, k2, k3"):
        kl_estimate(torch.zeros(1, 1), torch.zeros(1, 1), estimator="k4")
    with pytest.raises(ValueError, match="same shape"):
        kl_estimate(torch.zeros(2, 3), torch.zeros(3), estimator="k1")
    with pytest.raises(ValueError, match=r"scores_B \(2, 1\), mask_BT\[:, 0\] \(2,\)"):
        kl_shaped_rewards(
            torch.zeros(2, 1), torch.zeros(2, 3), torch.zeros(2, 3), torch.ones(2, 3), kl_coef=0.1
        )


def test_kl_shaped_rewards_by_hand():
    logprobs = torch.tensor(
        [[math.nan, -1.0, -2.0, math.inf, -1.0, 0.0], [0.0, -1.0, 0.0, 0.0, 0.0, 0.0], [0.0] * 6],
        dtype=torch.float64,
    )
    ref = torch.tensor(
        [[0.0, -3.0, -1.0, 0.0, -1.5, 0.0], [0.0, -1.0, 0.0, 0.0, 0.0, 0.0], [0.0] * 6], dtype=torch.float64
    )
    mask = torch.tensor([[0, 1, 1, 0, 1, 0], [0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    scores = torch.tensor([10.0, 20.0, 30.0], dtype=torch.float64)
    got = kl_shaped_rewards(scores, logprobs, ref, mask, kl_coef=0.5)
    expected = [[0, -1.0, 0.5, 0, -0.25 + 10, 0], [0, 20, 0, 0, 0, 0], [0] * 6]
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))


@given(st.integers(0, 10_000), st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_kl_shaped_rewards_sum_to_the_objective(seed, kl_coef):
    generator = torch.Generator().manual_seed(seed)
    logprobs, ref = (-torch.rand(4, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    scores = torch.randn(4, generator=generator, dtype=torch.float64)
    mask = torch.rand(4, 6, generator=generator) < 0.5
    mask[:, 3] = True
    got = kl_shaped_rewards(scores, logprobs, ref, mask, kl_coef=kl_coef)
    sequence_kl = ((logprobs - ref) * mask).sum(1)
    torch.testing.assert_close(got.sum(1), scores - kl_coef * sequence_kl)
    assert (got[~mask] == 0).all()


def test_adaptive_kl_coef():
    assert adaptive_kl_coef(0.1, 6.0, target=6.0, horizon=10_000, n=64) == pytest.approx(0.1)
    assert adaptive_kl_coef(0.1, 6.6, target=6.0, horizon=10_000, n=1000) == pytest.approx(
        0.1 * (1 + 0.1 * 0.1)
    )
    assert adaptive_kl_coef(0.1, 600.0, target=6.0, horizon=10_000, n=1000) == pytest.approx(0.1 * 1.02)
    assert adaptive_kl_coef(0.1, -3.0, target=6.0, horizon=10_000, n=1000) == pytest.approx(0.1 * 0.98)


def test_best_of_n_kl():
    assert best_of_n_kl(1) == 0
    assert best_of_n_kl(2) == pytest.approx(math.log(2) - 0.5)
    assert best_of_n_kl(64) == pytest.approx(3.174508083, rel=1e-9)
    with pytest.raises(ValueError, match="at least 1"):
        best_of_n_kl(0)


@pytest.mark.parametrize("n", [2, 5, 16])
def test_best_of_n_kl_is_the_divergence_of_the_best_of_many_distinct_scores(n):
    # equally likely completions, all scores distinct; P(best is the k-th) = ((k+1)/base)^n - (k/base)^n
    base = 200_000
    edges = torch.arange(base + 1, dtype=torch.float64) / base
    best = (edges**n).diff()
    exact = (best * (best * base).clamp_min(1e-300).log()).sum().item()
    assert exact == pytest.approx(best_of_n_kl(n), rel=1e-3) and exact <= best_of_n_kl(n) + 1e-12


def estimate_by_enumeration(proxy: list[float], gold: list[float], n: int) -> float:
    """Mean over all subsets of n; within a subset, mean over the samples that share the highest proxy."""
    values = []
    for subset in itertools.combinations(range(len(proxy)), n):
        top = max(proxy[i] for i in subset)
        best = [gold[i] for i in subset if proxy[i] == top]
        values.append(math.fsum(best) / len(best))
    return math.fsum(values) / len(values)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_best_of_n_estimate_equals_enumeration_with_ties(data):
    samples = data.draw(st.integers(1, 7))
    n = data.draw(st.integers(1, samples))
    proxy = data.draw(
        st.lists(
            st.lists(st.integers(0, 3).map(float), min_size=samples, max_size=samples), min_size=1, max_size=3
        )
    )
    gold = [data.draw(st.lists(st.floats(-5, 5), min_size=samples, max_size=samples)) for _ in proxy]
    got = best_of_n_estimate(
        torch.tensor(proxy, dtype=torch.float64), torch.tensor(gold, dtype=torch.float64), n
    )
    assert got.dtype == torch.float64 and got.shape == (len(proxy),)
    assert got.tolist() == pytest.approx(
        [estimate_by_enumeration(p, g, n) for p, g in zip(proxy, gold, strict=True)], rel=1e-9, abs=1e-9
    )


def test_best_of_n_estimate_by_hand():
    proxy, gold = torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([[0.0, 1.0, 5.0]])
    assert best_of_n_estimate(proxy, gold, 1).item() == pytest.approx(2)  # the plain mean
    assert best_of_n_estimate(proxy, gold, 2).item() == pytest.approx(
        (5 + 0 + 0) / 3
    )  # {1, 2} -> 5, the others -> 0
    assert best_of_n_estimate(proxy, gold, 3).item() == 0  # the proxy's favourite
    assert best_of_n_estimate(proxy, proxy, 2).item() == pytest.approx((2 + 3 + 3) / 3)
    assert best_of_n_estimate(proxy, gold.long(), 1).item() == pytest.approx(
        2
    )  # counts and 0/1 labels are not truncated
    assert best_of_n_estimate(torch.zeros(1, 3), gold, 2).item() == pytest.approx(
        2
    )  # a proxy that knows nothing


def test_best_of_n_estimate_holds_for_many_samples():
    proxy = torch.rand(2, 2000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for n in (1, 64, 1999):
        ordered = proxy.sort(1).values
        weight, weights = n / 2000, []
        for rank in range(2000, 0, -1):  # from the best down, w_{i-1} = w_i (i - n) / (i - 1)
            weights.append(weight)
            weight *= (rank - n) / max(rank - 1, 1)
            weight = max(weight, 0.0)
        expected = (ordered * torch.tensor(weights[::-1], dtype=torch.float64)).sum(1)
        torch.testing.assert_close(best_of_n_estimate(proxy, proxy, n), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n", [0, 4])
def test_best_of_n_estimate_needs_enough_samples(n):
    with pytest.raises(ValueError, match="between 1 and M = 3 samples"):
        best_of_n_estimate(torch.zeros(1, 3), torch.zeros(1, 3), n)


def test_losses_import_torch_and_the_standard_library_alone():
    folder = Path(losses.__file__).parent
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level <= 1, file
                names = [] if node.level else [node.module or ""]
            for name in names:
                root = name.split(".")[0]
                assert root == "torch" or root in sys.stdlib_module_names, (file, name)
    assert list(losses.__all__) == sorted(losses.__all__)
