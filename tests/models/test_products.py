"""Products by oneDNN against torch's own: values, sums, and where they are left alone."""

from __future__ import annotations

import pytest
import torch

from alignlab.models import gradients, products


@pytest.mark.parametrize("tokens", [1, 40, 128])
@pytest.mark.parametrize("features", [(32, 96), (96, 32)])
def test_all_ways_to_multiply(tokens, features, monkeypatch):
    monkeypatch.setattr(products, "CACHED", 32 * 64)  # a gradient is added to in parts
    out, into = features
    x, weight, grad = torch.randn(tokens, into), torch.randn(out, into), torch.randn(tokens, out)
    start = torch.randn(out, into)
    found = start.clone()
    products.add_product(found, grad.t(), x)
    pairs = [
        (products.linear(x, weight), x @ weight.t()),
        (products.linear(x, weight, plus=grad), x @ weight.t() + grad),
        (products.product(grad, weight), grad @ weight),
        (products.product(grad.t(), x), grad.t() @ x),
        (found, start + grad.t() @ x),
    ]
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-5)


def test_only_fp32_of_some_size_is_onednns(monkeypatch):
    large = torch.randn(64, 64)
    assert products.suits(large, large) == (products.onednn is not None)
    assert not products.suits(large[:31], large)
    assert not products.suits(large.bfloat16(), large.bfloat16())
    monkeypatch.setattr(products, "onednn", None)
    assert not products.suits(large, large)


def test_what_is_added_behind_is_zero():
    x = torch.ones(70, 3)
    assert products.widened(x).sum() == x.sum() and len(products.widened(x)) == products.width(70) == 80
    assert products.widened(x[:7]).shape == (7, 3)


def test_a_trained_weight_is_added_to_and_another_is_told():
    weight = torch.nn.Parameter(torch.zeros(64, 32))
    left, right = torch.randn(64, 48), torch.randn(48, 32)
    assert gradients.product(weight, left, right, wanted=False) is None
    told = gradients.product(weight, left, right, wanted=True)
    assert told is not None
    gradients.trained(weight)
    weight.grad = told.clone()
    assert gradients.product(weight, left, right, wanted=True) is None
    torch.testing.assert_close(weight.grad, 2 * (left @ right), atol=1e-4, rtol=1e-5)
