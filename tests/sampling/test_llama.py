"""A Llama read by hand against transformers' own forward pass, on tiny random models of many shapes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from alignlab.models.products import width
from alignlab.sampling import local
from alignlab.sampling.llama import LlamaReader
from alignlab.sampling.local import LocalSampler
from alignlab.sampling.reading import TransformersReader

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "a head for each query": {"num_key_value_heads": 4},
    "tied, one head": {"num_key_value_heads": 1, "tie_word_embeddings": True},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "heads of another size": {"head_dim": 24},
    "llama3": {"rope_parameters": LLAMA3},
    "linear": {"rope_parameters": {"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0}},
}


def tiny(**changes: Any) -> Any:
    torch.manual_seed(3)
    common = {
        "vocab_size": 96,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 96,
        "initializer_range": 0.3,
        "eos_token_id": 5,
    }
    return LlamaForCausalLM(LlamaConfig(**common | changes)).eval()


def both(model: Any, monkeypatch: pytest.MonkeyPatch, **how: Any) -> list[Any]:
    """What is sampled through the model's own forward pass, and by hand."""
    generator = torch.Generator().manual_seed(1)
    lengths = (1, 30, 7, 7, 12, 3, 19, 2, 5)
    prompts = [torch.randint(0, 96, (length,), generator=generator).tolist() for length in lengths]
    found = []
    for reader in (TransformersReader, None):
        with monkeypatch.context() as patched:
            if reader:
                patched.setattr(local, "reader_of", reader)
            sampler = LocalSampler(model, None, slots=48, end_ids={*range(9)})
            patched.setattr(sampler, "_text", lambda sequence: "")
            found.append(sampler.sample(prompts, n=8, max_new_tokens=20, seed=4, **how))
    return found


def same(one: Any, other: Any) -> None:
    for a, b in zip(sum(one, []), sum(other, []), strict=True):
        assert a.ids == b.ids and a.finished == b.finished
        assert a.logprobs == pytest.approx(b.logprobs, abs=2e-4)


@pytest.mark.parametrize("name", SHAPES)
def test_ids_and_logprobs_are_those_of_the_forward_pass(name, monkeypatch):
    model = tiny(**SHAPES[name])
    assert LlamaReader.fits(model)
    same(*both(model, monkeypatch))


@pytest.mark.parametrize("how", [{"temperature": 0.0}, {"top_p": 0.7, "temperature": 1.4}])
def test_however_it_is_drawn(how, monkeypatch):
    same(*both(tiny(), monkeypatch, **how))


def test_bf16_is_as_near_as_bf16_is(monkeypatch):
    model = tiny().to(torch.bfloat16)
    theirs, ours = (
        reader(model).prefill([[1, 2, 3], [4, 5, 6, 7, 8]])[0] for reader in (TransformersReader, LlamaReader)
    )
    assert (theirs - ours).abs().max() < 0.05 * theirs.abs().max()


def test_an_adapter_is_applied_in_its_layers(monkeypatch):
    model = get_peft_model(tiny(), LoraConfig(r=2, target_modules=["q_proj", "up_proj", "down_proj"]))
    for name, tensor in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(tensor, std=0.3)
    assert LlamaReader.fits(model.get_base_model())
    adapted = both(model.eval(), monkeypatch)
    same(*adapted)
    with model.disable_adapter():
        bare = both(model, monkeypatch)
    same(*bare)
    assert [c.ids for c in adapted[1][0]] != [c.ids for c in bare[1][0]]


def test_what_is_no_llama_to_the_letter_is_read_by_its_own_forward_pass():
    dynamic = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    assert not LlamaReader.fits(tiny(rope_parameters=dynamic))
    assert not LlamaReader.fits(tiny(hidden_act="gelu"))
    small: dict[str, Any] = {
        "vocab_size": 32,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
    }
    mistral = MistralConfig(**small, num_attention_heads=2, num_key_value_heads=1)
    assert not LlamaReader.fits(MistralForCausalLM(mistral))
    replaced = tiny()
    replaced.model.layers[1].mlp = torch.nn.Identity()
    assert not LlamaReader.fits(replaced)
    hooked = tiny()
    handle = hooked.model.layers[0].register_forward_hook(lambda *_: None)
    assert not LlamaReader.fits(hooked)
    handle.remove()
    assert LlamaReader.fits(hooked)


def test_a_hook_on_a_product_is_called(monkeypatch):
    model, seen = tiny(), []
    model.model.layers[0].mlp.down_proj.register_forward_hook(lambda *_: seen.append(1))
    assert LlamaReader.fits(model)
    LlamaReader(model).prefill([[1, 2]])
    assert seen == [1]


def test_widths_are_few_and_not_far_above():
    assert [width(n) for n in (0, 1, 31, 32, 33, 41, 64, 65, 129, 200, 256)] == [
        *(0, 1, 31, 32, 40, 48, 64, 80, 160, 224, 256)
    ]
    assert len({width(n) for n in range(33, 4097)}) == 28
    assert all(n <= width(n) <= 1.25 * n for n in range(1, 4097))
