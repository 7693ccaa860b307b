"""Our own pass through a Llama against transformers': values, gradients, and where it stands aside."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from alignlab.models import forward
from alignlab.models import llama as ours
from alignlab.models.attention import use_plain_attention
from alignlab.models.batch import Layout, lay_out, pad
from alignlab.models.chat import Rendered
from alignlab.models.optimizer import MasterAdamW
from alignlab.models.pretrained import with_head
from alignlab.settings import AdapterSettings, OptimSettings

from .conftest import PAD, llama, mistral


def built(**options: Any) -> Any:
    model = llama(**options)
    use_plain_attention(model)
    return model


def rows(seed: int = 0) -> list[Rendered]:
    """Two completions of each of three prompts."""
    random = torch.Generator().manual_seed(seed)
    found = []
    for before, *after in ((5, 4, 7), (9, 3, 2), (4, 6, 5)):
        prompt = torch.randint(6, 300, (before,), generator=random).tolist()
        for n in after:
            own = torch.randint(6, 300, (n,), generator=random).tolist()
            found.append(Rendered([*prompt, *own], [0] * before + [1] * n))
    return found


def layout_of(kind: str) -> Layout:
    if kind == "packed":
        layout = lay_out(rows(), PAD, key_cost=1000.0)
        assert layout.batch.attention_B1TT is not None
        return layout
    return lay_out(rows(), PAD, key_cost=0.0)


def losses(model: Any, layout: Layout) -> Tensor:
    weights = torch.randn(layout.places_NL.shape, generator=torch.Generator().manual_seed(1))
    return (layout.back(forward.token_logprobs_of(model, layout.batch)) * weights).sum()


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.float().clone() for name, p in model.named_parameters() if p.grad is not None}


def both(model: Any, run: Any, monkeypatch) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """What a function of the model gives, and its gradients: ours, then transformers'."""
    values, grads = [], []
    for reads in (ours.reads, lambda *_: False):
        monkeypatch.setattr(ours, "reads", reads)
        model.zero_grad()
        value = run(model)
        value.sum().backward()
        values.append(value.detach())
        grads.append(gradients(model))
    return values, grads


def check(found: tuple[list[Tensor], list[dict[str, Tensor]]], tolerance: float) -> None:
    """The largest difference, as a part of the largest number."""
    (own, theirs), (own_grads, their_grads) = found
    assert (own - theirs).abs().max() <= tolerance * theirs.abs().max()
    assert own_grads.keys() == their_grads.keys()
    for name, theirs in their_grads.items():
        assert (own_grads[name] - theirs).abs().max() <= tolerance * theirs.abs().max(), name


@pytest.mark.parametrize("kind", ["padded", "packed"])
@pytest.mark.parametrize("options", [{}, {"num_key_value_heads": 4}, {"tie_word_embeddings": False}], ids=str)
def test_equal_to_transformers(kind, options, monkeypatch):
    model = built(**options)
    assert ours.reads(model.model, 64)
    check(both(model, lambda m: losses(m, layout_of(kind)), monkeypatch), 3e-6)


def test_wide_rows_by_onednn(monkeypatch):
    """Products large enough for it, at numbers of tokens (B T = 78, N = 66) read in a wider batch."""
    model = built(hidden_size=64, intermediate_size=96)
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(6, 300, (6, 13), generator=generator).tolist()
    layout = lay_out([Rendered(row, [0, 0] + [1] * 11) for row in ids], PAD, key_cost=0.0)
    check(both(model, lambda m: losses(m, layout), monkeypatch), 3e-6)


def test_scores_and_values_of_a_reward_model(monkeypatch):
    model = with_head(built())
    layout = layout_of("packed")
    check(both(model, lambda m: forward.last_scores(m, layout), monkeypatch), 3e-6)
    check(both(model, lambda m: forward.value_BT(m, layout.batch), monkeypatch), 3e-6)


def test_rows_padded_on_the_left(monkeypatch):
    batch = pad(rows(), PAD, side="left")
    check(both(built(), lambda m: forward.token_logprobs_of(m, batch), monkeypatch), 3e-6)


def test_bf16_is_as_near_to_fp32_as_transformers_is(monkeypatch):
    layout = layout_of("packed")
    _, (exact, _) = both(built(), lambda m: losses(m, layout), monkeypatch)
    _, found = both(built().to(torch.bfloat16), lambda m: losses(m, layout), monkeypatch)
    own, theirs = (
        sum(float((grads[name] - right).square().sum()) for name, right in exact.items()) for grads in found
    )
    assert 0 < own < 1.2 * theirs


def test_norm_and_rotation_are_transformers_own():
    model = built()
    rotary, norm = model.model.rotary_emb, model.model.norm
    x = torch.randn(3, 7, 4, 8)
    hidden = torch.randn(5, 32)
    with torch.no_grad():
        norm.weight.normal_()
        cos, sin = rotary(x, torch.arange(7)[None])
        expected, _ = ours.theirs.apply_rotary_pos_emb(x.transpose(1, 2), x.transpose(1, 2), cos, sin)
        found = ours.rotate(x.transpose(1, 2), cos[:, None], sin[:, None], torch.empty(3, 4, 7, 8))
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
        back = ours.rotate(found, cos[:, None], sin[:, None], torch.empty(3, 4, 7, 8), back=True)
        torch.testing.assert_close(back, x.transpose(1, 2), atol=1e-6, rtol=1e-6)
        own = ours.rms_norm(hidden, norm.weight, ours.inverse_rms(hidden, norm.variance_epsilon))
        torch.testing.assert_close(own, norm(hidden), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("tied", [True, False])
def test_micro_batches_add_up_in_place(tied, monkeypatch):
    """Weights that an optimizer trains: two backward passes give the sum, as they do in transformers."""
    model = built(tie_word_embeddings=tied)
    optimizer = MasterAdamW(model.parameters(), OptimSettings(), 10)
    found = []
    for reads in (ours.reads, lambda *_: False):
        monkeypatch.setattr(ours, "reads", reads)
        for p in optimizer.params:
            p.grad = None
        for seed in (0, 1):
            batch = pad(rows(seed), PAD)
            forward.token_logprobs_of(model, batch).sum().backward()
        found.append(gradients(model))
    for name, theirs in found[1].items():
        assert (found[0][name] - theirs).abs().max() <= 3e-6 * theirs.abs().max(), name


def test_a_part_of_the_weights_trains_alone(monkeypatch):
    model = built()
    model.requires_grad_(False)
    model.model.layers[0].mlp.up_proj.requires_grad_(True)
    found = both(model, lambda m: losses(m, layout_of("padded")), monkeypatch)
    assert len(found[1][0]) == 1
    check(found, 3e-6)


def test_what_it_was_not_written_for_is_left_to_transformers():
    """An adapter, a quantized or a watched layer, checkpoints, dropout, biases, another model, long rows."""
    assert ours.reads(built().model, 64)
    assert not ours.reads(built().model, 4096)
    assert not ours.reads(mistral().model, 64)
    assert not ours.reads(llama().model, 64)  # with transformers' own attention
    assert not ours.reads(built(attention_bias=True).model, 64)
    assert not ours.reads(built(mlp_bias=True).model, 64)
    assert not ours.reads(built(hidden_act="gelu").model, 64)
    assert not ours.reads(built(attention_dropout=0.5).train().model, 64)
    checkpointed = built().train()
    checkpointed.gradient_checkpointing_enable()
    assert not ours.reads(checkpointed.model, 64)
    watched = built()
    watched.model.layers[1].mlp.register_forward_hook(lambda *_: None)
    assert not ours.reads(watched.model, 64)
    adapted = forward.adapters.add(built(), AdapterSettings(rank=2), task="CAUSAL_LM")
    assert not ours.reads(adapted.get_base_model().model, 64)
    with torch.autocast("cpu", torch.bfloat16):
        assert not ours.reads(built().model, 64)
