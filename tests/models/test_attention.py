"""Plain attention against transformers' eager attention, in values and gradients."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    AttentionInterface,
    Gemma2Config,
    Gemma2ForCausalLM,
    GptOssConfig,
    GptOssForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    MptConfig,
    MptForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.models.llama.modeling_llama import eager_attention_forward

from alignlab.models import attention
from alignlab.models.attention import NAME, plain_attention, use_plain_attention

from .conftest import gpt2, llama

SMALL = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    "pad_token_id": 2,
}


def build(name: str):
    torch.manual_seed(0)
    if name == "sliding":
        return MistralForCausalLM(MistralConfig(**SMALL, sliding_window=3))
    if name == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**SMALL))
    if name == "softcap":
        return Gemma2ForCausalLM(
            Gemma2Config(
                **SMALL, head_dim=8, attn_logit_softcapping=1.0, sliding_window=4, query_pre_attn_scalar=8
            )
        )
    if name == "alibi":
        return MptForCausalLM(
            MptConfig(d_model=32, n_heads=4, n_layers=2, vocab_size=300, initializer_range=0.2)
        )
    return {"llama": llama, "gpt2": gpt2}[name]()


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen2", "sliding", "softcap", "alibi"])
def test_equal_to_eager(name):
    model = build(name).eval()
    ids = torch.randint(6, 300, (2, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    found = []
    for plain in (False, True):
        if plain:
            use_plain_attention(model)
            assert model.config._attn_implementation == (
                NAME if model._supports_attention_backend else "eager"
            )
        else:
            model.set_attn_implementation("eager")
        model.zero_grad()
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        (logits * mask[..., None]).square().mean().backward()
        found.append(
            (logits[mask.bool()].detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None])
        )
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-5, rtol=1e-5)
    for eager, ours in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(eager, ours, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["llama", "sliding", "softcap"])
def test_decoding_with_a_cache(name):
    """One query against the keys of all that came before gives what the whole sequence gives."""
    model = build(name).eval()
    use_plain_attention(model)
    ids = torch.randint(6, 300, (2, 9), generator=torch.Generator().manual_seed(0))
    whole = model(input_ids=ids, use_cache=False).logits
    greedy = model.generate(ids, max_new_tokens=4, do_sample=False)
    model.set_attn_implementation("eager")
    assert greedy.equal(model.generate(ids, max_new_tokens=4, do_sample=False))
    torch.testing.assert_close(whole, model(input_ids=ids, use_cache=False).logits, atol=1e-5, rtol=1e-5)


def random_inputs(queries: int, keys: int):
    random = torch.Generator().manual_seed(0)
    return [
        torch.randn(2, heads, n, 8, generator=random, requires_grad=True)
        for heads, n in ((4, queries), (2, keys), (2, keys))
    ]


@pytest.mark.parametrize("kind", ["additive", "boolean", "for each head", "none"])
@pytest.mark.parametrize("queries", [1, 5])
def test_masks_of_every_kind(kind, queries):
    module = llama().model.layers[0].self_attn
    q, k, v = random_inputs(queries, 7)
    causal = torch.ones(queries, 7, dtype=torch.bool).tril(7 - queries)
    allowed = causal.expand(2, 4 if kind == "for each head" else 1, queries, 7).clone()
    if kind != "none":
        allowed[0, -1, :, 0] = False
    additive = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)
    expected, _ = eager_attention_forward(module, q, k, v, additive, scaling=0.3)
    wanted = torch.autograd.grad(expected.square().sum(), (q, k, v))
    ours, _ = plain_attention(
        module, q, k, v, {"boolean": allowed, "none": None}.get(kind, additive), scaling=0.3
    )
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)
    for a, b in zip(torch.autograd.grad(ours.square().sum(), (q, k, v)), wanted, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_long_sequences_go_to_the_fused_kernel_and_agree(monkeypatch):
    module = llama().model.layers[0].self_attn
    q, k, v = random_inputs(6, 6)
    for mask in (None, torch.ones(6, 6).tril().bool()[None, None]):
        short, _ = plain_attention(module, q, k, v, mask)
        monkeypatch.setattr(attention, "LONG", 3)
        with monkeypatch.context() as watched:
            calls = []
            fused = torch.nn.functional.scaled_dot_product_attention
            watched.setattr(
                torch.nn.functional,
                "scaled_dot_product_attention",
                lambda *a, **o: calls.append(1) or fused(*a, **o),
            )
            long, _ = plain_attention(module, q, k, v, mask)
        monkeypatch.undo()
        assert calls == [1]
        torch.testing.assert_close(long, short, atol=1e-5, rtol=0)


def test_dropout_is_applied_in_training_only():
    module = llama().model.layers[0].self_attn
    q, k, v = random_inputs(5, 5)
    still, _ = plain_attention(module.eval(), q, k, v, None, dropout=0.5)
    none, _ = plain_attention(module.train(), q, k, v, None)
    torch.manual_seed(0)
    dropped, _ = plain_attention(module.train(), q, k, v, None, dropout=0.5)
    torch.testing.assert_close(still, none, atol=1e-6, rtol=0)
    assert (dropped - none).abs().max() > 0.1


def test_models_that_attend_otherwise_are_left_alone():
    """Attention sinks are no argument of ours: to ignore them would change the model without a word."""
    sinks = GptOssForCausalLM(GptOssConfig(**SMALL, head_dim=8, num_local_experts=2, num_experts_per_tok=1))
    before = sinks.config._attn_implementation
    use_plain_attention(sinks)
    assert sinks.config._attn_implementation == before != NAME


def test_the_saved_config_does_not_mention_it(tmp_path):
    model = llama()
    use_plain_attention(model)
    model.save_pretrained(tmp_path)
    assert NAME not in (tmp_path / "config.json").read_text() and NAME in AttentionInterface()
