"""Log-probabilities, entropies and scores of tokens against transformers' own logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
)

from alignlab.losses import entropy, token_logprobs
from alignlab.models.batch import Batch, pad
from alignlab.models.chat import Rendered
from alignlab.models.forward import token_logprobs_of, token_stats, value_BT
from alignlab.models.pretrained import with_head

from .conftest import EOS, KINDS, PAD, last_token_scores, llama

SMALL: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    "pad_token_id": PAD,
}


def with_scaled_logits(kind: str) -> Any:
    """Architectures that do something to their logits after the head."""
    torch.manual_seed(0)
    if kind == "softcap":
        return Gemma2ForCausalLM(
            Gemma2Config(**SMALL, head_dim=8, final_logit_softcapping=2.0, sliding_window=4)
        ).eval()
    if kind == "multiplied":
        return CohereForCausalLM(CohereConfig(**SMALL, logit_scale=0.3)).eval()
    return GraniteForCausalLM(GraniteConfig(**SMALL, logits_scaling=3.0)).eval()


@pytest.fixture
def batch() -> Batch:
    random = torch.Generator().manual_seed(0)
    rows = [torch.randint(6, 300, (n,), generator=random).tolist() for n in (9, 5, 7)]
    return pad(
        [Rendered([*ids, EOS], [1] + [0] * 2 + [1] * (len(ids) - 2)) for ids in rows], PAD, side="right"
    )


MODELS = [*KINDS, "softcap", "multiplied", "divided"]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_equal_to_all_logits_times_the_mask(name, temperature, batch):
    model = KINDS[name]() if name in KINDS else with_scaled_logits(name)
    mask = batch.loss_mask_BT.clone()
    mask[:, 0] = 0
    logits = model(input_ids=batch.ids_BT, attention_mask=batch.attention_mask_BT).logits
    expected = token_logprobs(logits, batch.ids_BT, temperature=temperature) * mask
    weights = torch.randn(mask.shape, generator=torch.Generator().manual_seed(1))
    (expected * weights).sum().backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()

    stats = token_stats(model, batch, temperature=temperature)
    (stats.logprobs_BT * weights).sum().backward()
    torch.testing.assert_close(stats.logprobs_BT, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        token_logprobs_of(model, batch, temperature=temperature), expected, atol=1e-5, rtol=0
    )
    for p, gradient in zip(model.parameters(), gradients, strict=True):
        torch.testing.assert_close(p.grad, gradient, atol=1e-5, rtol=1e-4)

    shifted = torch.nn.functional.pad(entropy(logits, temperature=temperature)[:, :-1], (1, 0)) * mask
    torch.testing.assert_close(stats.entropy_BT, shifted.detach(), atol=1e-5, rtol=0)
    likeliest = torch.nn.functional.pad(logits.argmax(-1)[:, :-1], (1, 0))
    assert stats.correct_BT.equal((likeliest == batch.ids_BT) * mask.float())
    assert not stats.entropy_BT.requires_grad and not stats.correct_BT.requires_grad


@pytest.mark.parametrize("kind", ["softcap", "plain"])
def test_only_the_trained_positions_reach_the_head(kind, batch):
    """And the hook that sees to it is gone afterwards, even when the pass fails. A plain head is not called
    at all: see test_head.
    """
    model = with_scaled_logits(kind) if kind == "softcap" else llama()
    token_logprobs_of(model, batch)
    seen = []
    watch = model.lm_head.register_forward_hook(lambda _, inputs, output: seen.append(tuple(output.shape)))
    token_logprobs_of(model, batch)
    watch.remove()
    assert seen == ([(int(batch.loss_mask_BT[:, 1:].sum()), 300)] if kind == "softcap" else [])
    with pytest.raises(IndexError):
        token_logprobs_of(
            model,
            Batch(batch.ids_BT + 300, batch.attention_mask_BT, batch.loss_mask_BT, batch.position_ids_BT),
        )
    assert model(input_ids=batch.ids_BT).logits.shape == (3, 10, 300)


def test_no_trained_token_at_all(batch):
    stats = token_stats(
        llama(), Batch(batch.ids_BT, batch.attention_mask_BT, batch.loss_mask_BT * 0, batch.position_ids_BT)
    )
    assert not stats.logprobs_BT.any() and not stats.entropy_BT.any()


def test_bf16_weights_give_fp32_log_probabilities(batch):
    stats = token_stats(llama().to(torch.bfloat16), batch)
    assert stats.logprobs_BT.dtype == torch.float32
    torch.testing.assert_close(stats.logprobs_BT, token_stats(llama(), batch).logprobs_BT, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("kind", list(KINDS))
def test_scores_are_those_of_transformers_where_that_is_right(kind):
    """With a pad token that is nothing else, AutoModelForSequenceClassification reads the last real token; so
    do we.
    """
    model = with_head(KINDS[kind]())
    model.config.pad_token_id = PAD
    rows = [Rendered([7, 8, 9, EOS], []), Rendered([10, 11], []), Rendered([12], [])]
    rows = [Rendered(row.ids, [0] * len(row.ids)) for row in rows]
    right = pad(rows, PAD)
    expected = model(input_ids=right.ids_BT, attention_mask=right.attention_mask_BT).logits[:, 0]
    torch.testing.assert_close(last_token_scores(model, right), expected, atol=1e-5, rtol=0)
    for pad_id in (PAD, EOS):  # where pad is the end token, transformers reads one too early: we do not
        for side in ("left", "right"):
            torch.testing.assert_close(
                last_token_scores(model, pad(rows, pad_id, side=side)), expected, atol=1e-5, rtol=0
            )
    one_by_one = torch.cat([last_token_scores(model, pad([row], EOS)) for row in rows])
    torch.testing.assert_close(one_by_one, expected, atol=1e-5, rtol=0)


def test_transformers_reads_one_token_too_early_when_pad_is_the_end():
    """The bug that `last_token_scores` is tested against, so that we notice when it is gone."""
    model = with_head(llama())
    model.config.pad_token_id = EOS
    batch = pad([Rendered([7, 8, 9, EOS], [0] * 4), Rendered([10, EOS], [0] * 2)], EOS)
    theirs = model(input_ids=batch.ids_BT, attention_mask=batch.attention_mask_BT).logits[:, 0]
    assert (theirs - last_token_scores(model, batch)).abs().min() > 1e-3


def test_values_stand_where_their_tokens_do():
    model = with_head(llama())
    batch = pad([Rendered([7, 8, 9, EOS], [0, 0, 1, 1]), Rendered([10, 11, 12], [0, 1, 1])], PAD)
    values = value_BT(model, batch)
    assert values.shape == (2, 4) and not values[:, 0].any()
    for b, t in ((0, 3), (1, 2)):  # the value at t is the score of what stands before t
        prefix = pad([Rendered(batch.ids_BT[b, :t].tolist(), [0] * t)], PAD)
        assert values[b, t].item() == pytest.approx(last_token_scores(model, prefix).item(), abs=1e-5)


def test_scores_of_bf16_weights_are_not_rounded_to_bf16():
    model = with_head(llama()).to(torch.bfloat16)
    scores = last_token_scores(model, pad([Rendered([i, i + 1], [0, 0]) for i in range(6, 40)], PAD))
    assert scores.dtype == torch.float32 and (scores != scores.bfloat16().float()).any()
