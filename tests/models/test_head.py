"""Head and log-softmax as one step, against autograd on all logits."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
)

from alignlab.models import head
from alignlab.models.head import head_logprobs, head_of

from .conftest import KINDS, TINY, llama


def given(
    *, bias: bool = False, dtype: torch.dtype = torch.float32, scale: float = 1.0
) -> tuple[Tensor, nn.Linear, Tensor]:
    torch.manual_seed(0)
    layer = nn.Linear(8, 50, bias=bias).to(dtype)
    layer.weight.data *= scale
    return torch.randn(23, 8, dtype=dtype, requires_grad=True), layer, torch.randint(0, 50, (23,))


def plainly(
    hidden: Tensor, layer: nn.Linear, targets: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    logits = layer(hidden).float() / temperature
    log_p = logits.log_softmax(-1)
    return (
        log_p.gather(1, targets[:, None]).squeeze(1),
        -(log_p.exp() * log_p).sum(-1).detach(),
        (logits.argmax(-1) == targets).float(),
    )


@pytest.mark.parametrize(
    ("piece", "kept"),
    [(2**23, 2**25), (50 * 4, 50 * 8), (50 * 4, 0), (50, 50 * 100), (1, 1)],
    ids=["one", "some kept", "none kept", "rows", "tiny"],
)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_values_and_gradients_are_those_of_autograd(monkeypatch, piece, kept, bias, temperature):
    monkeypatch.setattr(head, "PIECE", piece)
    monkeypatch.setattr(head, "KEPT", kept)
    hidden, layer, targets = given(bias=bias, scale=4.0)
    weights = torch.randn(23)
    expected = plainly(hidden, layer, targets, temperature)
    (expected[0] * weights).sum().backward()
    wanted = [p.grad.clone() for p in (hidden, *layer.parameters())]
    hidden.grad = None
    layer.zero_grad()
    found = head_logprobs(hidden, layer, targets, temperature=temperature, told=True)
    (found[0] * weights).sum().backward()
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=2e-6)
    for p, gradient in zip((hidden, *layer.parameters()), wanted, strict=True):
        torch.testing.assert_close(p.grad, gradient, atol=1e-5, rtol=1e-5)
    assert not found[1].requires_grad and not found[2].requires_grad


def test_the_same_bits_with_and_without_gradients_and_figures():
    """PPO's first ratio is 1 because the update computes what the rollout did."""
    hidden, layer, targets = given()
    with torch.no_grad():
        still = head_logprobs(hidden, layer, targets)[0]
    assert still.equal(head_logprobs(hidden, layer, targets)[0]) and still.equal(
        head_logprobs(hidden, layer, targets, told=True)[0]
    )


def test_bf16_gradients_of_a_nearly_certain_token_are_not_rounded_away():
    """1 - p of p = 0.9999 is 0 in bf16: the target's entry comes from the log-probability."""
    hidden, layer, targets = given(dtype=torch.bfloat16)
    with torch.no_grad():
        layer.weight[targets[0]] = hidden[0] * 3
    logp = head_logprobs(hidden, layer, targets)[0]
    logp[0].backward()
    gradient = hidden.grad[0].float()
    exact = hidden.detach().float().requires_grad_()
    logits = exact @ layer.weight.detach().float().T
    logits.log_softmax(-1)[0, targets[0]].backward()
    assert logp.dtype == torch.float32 and logp[0] > -0.05
    torch.testing.assert_close(gradient, exact.grad[0], atol=1e-3, rtol=0.05)


def test_frozen_weights_get_no_gradient_and_frozen_states_none():
    hidden, layer, targets = given()
    layer.requires_grad_(False)
    head_logprobs(hidden, layer, targets)[0].sum().backward()
    assert hidden.grad is not None and layer.weight.grad is None
    layer.requires_grad_(True)
    head_logprobs(hidden.detach(), layer, targets)[0].sum().backward()
    assert layer.weight.grad is not None


def test_a_token_that_cannot_be_and_no_token_at_all():
    hidden, layer, targets = given(bias=True)
    with torch.no_grad():
        layer.bias[7] = -torch.inf
    logp, entropies, _ = head_logprobs(hidden, layer, torch.where(targets == 7, 8, targets), told=True)
    assert logp.isfinite().all() and entropies.isfinite().all()
    nothing = head_logprobs(hidden[:0], layer, targets[:0], told=True)[0]
    nothing.sum().backward()
    assert nothing.shape == (0,) and not layer.weight.grad.any()


def test_a_nan_stays_visible():
    hidden, layer, targets = given()
    with torch.no_grad():
        layer.weight[3, 2] = torch.nan
    assert head_logprobs(hidden, layer, targets)[0].isnan().all()


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_plain_head_is_found(kind):
    model = KINDS[kind]()
    assert head_of(model) is model.get_output_embeddings() and head_of(model) is not None


def test_a_head_whose_logits_are_changed_afterwards_is_not_taken():
    small = {
        key: TINY[key]
        for key in (
            "vocab_size",
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "num_key_value_heads",
            "pad_token_id",
        )
    }
    for model in (
        Gemma2ForCausalLM(Gemma2Config(**small, head_dim=8, final_logit_softcapping=2.0)),
        CohereForCausalLM(CohereConfig(**small, logit_scale=0.3)),
        GraniteForCausalLM(GraniteConfig(**small, logits_scaling=3.0)),
    ):
        assert head_of(model.eval()) is None
    assert (
        head_of(Gemma2ForCausalLM(Gemma2Config(**small, head_dim=8, final_logit_softcapping=None)).eval())
        is not None
    )


def test_a_head_under_an_adapter_is_not_taken():
    from peft import LoraConfig, get_peft_model

    from alignlab.models.adapters import bare

    model = get_peft_model(
        llama(tie_word_embeddings=False), LoraConfig(r=2, target_modules=["lm_head"], task_type="CAUSAL_LM")
    )
    assert head_of(bare(model)) is None


def test_asking_a_model_draws_no_random_number() -> None:
    model = llama(7).train()
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    head_of(model)
    assert torch.equal(torch.random.get_rng_state(), before)
    lora = get_peft_model(llama(8), LoraConfig(r=2, lora_dropout=0.5, target_modules=["q_proj"])).train()
    before = torch.random.get_rng_state()
    assert head_of(lora) is not None
    assert torch.equal(torch.random.get_rng_state(), before)
