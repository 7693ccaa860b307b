"""MasterAdamW: small updates survive bf16, micro-batches change nothing, a resumed run is the same run."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from alignlab.models.optimizer import MasterAdamW
from alignlab.settings import OptimSettings

CONSTANT = OptimSettings(lr=1e-2, schedule="constant", warmup=0.0, weight_decay=0.0, max_grad_norm=0.0)


def net(dtype: torch.dtype, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3)).to(dtype)


def loss_of(model: nn.Module, seed: int, rows: slice = slice(None)) -> torch.Tensor:
    x = torch.randn(8, 6, generator=torch.Generator().manual_seed(seed))[rows].to(
        next(model.parameters()).dtype
    )
    return model(x).float().square().sum() / 8


def test_equal_to_torch_adamw_in_fp32():
    ours, theirs = net(torch.float32), net(torch.float32)
    settings = OptimSettings(lr=1e-2, schedule="constant", warmup=0.0, weight_decay=0.1, max_grad_norm=0.5)
    optimizer = MasterAdamW(ours.parameters(), settings, 10)
    matrices, rest = (
        [p for p in theirs.parameters() if p.ndim >= 2],
        [p for p in theirs.parameters() if p.ndim < 2],
    )
    adam = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}],
        lr=1e-2,
        betas=(0.9, 0.98),
    )
    for step in range(5):
        loss_of(ours, step).backward()
        loss_of(theirs, step).backward()
        norm = nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        assert optimizer.step() == pytest.approx(norm.item(), rel=1e-6)
        adam.step()
        adam.zero_grad()
        assert all(p.grad is None for p in ours.parameters())
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p, q, atol=1e-6, rtol=1e-5)


def test_updates_too_small_for_bf16_add_up():
    weight = nn.Parameter(torch.ones(4, 4, dtype=torch.bfloat16))
    optimizer = MasterAdamW(
        [weight], OptimSettings(lr=1e-4, schedule="constant", warmup=0.0, weight_decay=0.0), 1000
    )
    for _ in range(100):
        weight.float().sum().backward()
        optimizer.step()
    assert weight[0, 0].item() == pytest.approx(
        0.99, abs=0.004
    )  # a bf16 weight alone would have stayed at 1 - 1e-4 -> 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_micro_batches_add_up(dtype):
    whole, parts = net(dtype), net(dtype)
    first, second = (
        MasterAdamW(whole.parameters(), CONSTANT, 10),
        MasterAdamW(parts.parameters(), CONSTANT, 10),
    )
    loss_of(whole, 0).backward()
    for i in range(8):
        loss_of(parts, 0, slice(i, i + 1)).backward()
    tolerance = 1e-6 if dtype == torch.float32 else 1e-2
    for a, b in zip(first.masters, second.masters, strict=True):
        assert a.grad is not None and b.grad is not None and a.grad.dtype == torch.float32
        torch.testing.assert_close(a.grad, b.grad, atol=tolerance, rtol=tolerance)
    if dtype == torch.bfloat16:
        assert all(p.grad is None for p in parts.parameters())  # taken over by the masters at once


def test_bf16_gradients_are_summed_in_fp32():
    """1 + 255 times 2^-9 is nearly 1.5; in bf16 every one of them would be rounded away."""
    weight = nn.Parameter(torch.zeros(1, 1, dtype=torch.bfloat16))
    optimizer = MasterAdamW([weight], CONSTANT, 1)
    for scale in (1.0, *[2.0**-9] * 255):
        (weight.float().sum() * scale).backward()
    assert optimizer.masters[0].grad is not None and optimizer.masters[0].grad.item() == 1 + 255 * 2.0**-9


def test_one_optimiser_after_another_on_the_same_weights():
    weight = nn.Parameter(torch.ones(2, 2, dtype=torch.bfloat16))
    first = MasterAdamW([weight], CONSTANT, 2)
    second = MasterAdamW([weight], CONSTANT, 2)
    with pytest.raises(AssertionError, match="two optimisers"):
        weight.float().sum().backward()
    weight.grad = first.masters[0].grad = second.masters[0].grad = None
    del first
    weight.float().sum().backward()
    assert second.step() > 0 and weight[0, 0] < 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_resume_is_bit_exact(dtype):
    settings = OptimSettings(lr=1e-2, warmup=0.2)
    straight = net(dtype)
    optimizer = MasterAdamW(straight.parameters(), settings, 10)
    for step in range(6):
        loss_of(straight, step).backward()
        optimizer.step()
        if step == 2:
            kept = load(
                save(
                    {
                        name: t.clone()
                        for name, t in (dict(straight.named_parameters()) | optimizer.state_tensors()).items()
                    }
                )
            )
    resumed = net(dtype, seed=9)
    again = MasterAdamW(resumed.parameters(), settings, 10)
    resumed.load_state_dict({name: kept[name] for name, _ in resumed.named_parameters()})
    again.load_state_tensors(kept)
    for step in range(3, 6):
        loss_of(resumed, step).backward()
        again.step()
    assert again.lr == optimizer.lr
    for p, q in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert p.equal(q)
    for name, tensor in optimizer.state_tensors().items():
        assert tensor.equal(again.state_tensors()[name]), name


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("warmup", [0.0, 0.2])
def test_schedules(schedule, warmup):
    optimizer = MasterAdamW(
        [nn.Parameter(torch.ones(2, 2))], OptimSettings(lr=1.0, schedule=schedule, warmup=warmup), 10
    )
    rates = []
    for optimizer.count in range(10):
        rates.append(optimizer.lr)
    assert max(rates) == 1.0 and min(rates) > 0
    warm = 2 if warmup else 0
    assert rates[:warm] == [0.5, 1.0][:warm]
    wanted = {
        "constant": lambda x: 1.0,
        "linear": lambda x: 1 - x,
        "cosine": lambda x: 0.5 * (1 + math.cos(math.pi * x)),
    }[schedule]
    assert rates[warm:] == pytest.approx([wanted(i / (10 - warm)) for i in range(10 - warm)])


def test_only_matrices_decay():
    model = net(torch.float32)
    optimizer = MasterAdamW(
        model.parameters(), OptimSettings(lr=0.1, schedule="constant", warmup=0.0, weight_decay=0.5), 1
    )
    before = [p.detach().clone() for p in model.parameters()]
    (sum(p.sum() for p in model.parameters()) * 0).backward()  # no gradient: what moves, moves by decay
    optimizer.step()
    for p, old in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(p, old * (0.95 if p.ndim >= 2 else 1.0))


def test_frozen_weights_are_left_alone():
    model = net(torch.bfloat16)
    model[0].requires_grad_(False)
    optimizer = MasterAdamW(model.parameters(), CONSTANT, 1)
    before = model[0].weight.clone()
    loss_of(model, 0).backward()
    optimizer.step()
    assert model[0].weight.equal(before) and len(optimizer.masters) == 4
