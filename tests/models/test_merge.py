"""Adapters are added to weights in fp32 and rounded once, whatever the weights are stored in; tied weights
are untied where an adapter changes one side.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from alignlab.errors import ModelError
from alignlab.interop.gguf import write_gguf
from alignlab.models.adapters import bare, merged, tied
from alignlab.models.batch import pad
from alignlab.models.chat import example
from alignlab.models.forward import token_logprobs_of
from alignlab.models.load import load_policy, load_reward_model
from alignlab.models.reader import load_reader
from alignlab.models.saving import save_policy, save_reward_model
from alignlab.records import Prompt
from alignlab.settings import AdapterSettings, ModelSettings
from alignlab.town import base as town

from .conftest import gpt2, last_token_scores, llama

FP32, BF16, AUTO = (
    ModelSettings(device="cpu", precision=precision) for precision in ("fp32", "bf16", "auto")
)
LORA = AdapterSettings(rank=4, alpha=8)
TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def rows(tokenizer: Any, pad_id: int = 2) -> Any:
    return pad(
        [
            example(tokenizer, Prompt.user("who bakes?"), text)
            for text in ("the baker", "the bread is good.", "no")
        ],
        pad_id,
    )


def stored(folder: Path, model: Any, tokenizer: Any, dtype: torch.dtype) -> Path:
    model.to(dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def a_little(model: Any, seed: int = 0, size: float = 1e-4) -> None:
    """An adapter that moves each weight by less than half a step of bf16, as training does."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name or "lora_embedding_B" in name:
                p.copy_(size * torch.randn(p.shape, generator=generator))
            elif "lora_embedding_A" in name:
                p.copy_(torch.randn(p.shape, generator=generator))


def adapted(base: Path, to: Path, settings: ModelSettings = AUTO, seed: int = 0, size: float = 1e-4) -> Any:
    policy = load_policy(base, settings, LORA, trainable=True)
    a_little(policy.model, seed, size)
    save_policy(policy, to, card="")
    policy.model.eval()
    return policy


def sums(base: Path, *folders: Path) -> dict[str, torch.Tensor]:
    """The weights of the base and s B A of each adapter, in fp64, from the files alone."""
    weights = {name: tensor.double() for name, tensor in load_file(base / "model.safetensors").items()}
    for folder in folders:
        config, parts = (
            json.loads((folder / "adapter_config.json").read_text()),
            load_file(folder / "adapter_model.safetensors"),
        )
        for name, a in parts.items():
            if name.endswith("lora_A.weight"):
                delta = (
                    config["lora_alpha"]
                    / config["r"]
                    * parts[name.replace("lora_A", "lora_B")].double()
                    @ a.double()
                )
                at = name.removeprefix("base_model.model.").replace("lora_A.weight", "weight")
                weights[at] = weights[at] + (delta.T if config["fan_in_fan_out"] else delta)
    return weights


def same(model: Any, weights: dict[str, torch.Tensor], atol: float = 1e-7) -> None:
    """Each weight is the sum to fp32; how far it lies from what the base alone has is not looked at."""
    found = model.state_dict()
    for name, tensor in weights.items():
        torch.testing.assert_close(
            found[name].double(), tensor, atol=atol, rtol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )


# low precision


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_new_adapter_starts_from_the_unrounded_sum(tmp_path, tokenizer, dtype, kind):
    base = stored(tmp_path / "base", {"llama": llama, "gpt2": gpt2}[kind](), tokenizer, TYPES[dtype])
    first = adapted(base, tmp_path / "first")
    batch = rows(tokenizer)
    wanted = token_logprobs_of(first.model, batch)
    for settings in (FP32, AUTO):
        second = load_policy(tmp_path / "first", settings, LORA, trainable=True)
        second.model.eval()
        torch.testing.assert_close(token_logprobs_of(second.model, batch), wanted, atol=2e-5, rtol=0)
        with second.reference() as frozen:
            torch.testing.assert_close(token_logprobs_of(frozen, batch), wanted, atol=2e-5, rtol=0)
        plain = second.model.unload()
        same(plain, sums(base, tmp_path / "first"))
        before = load_file(base / "model.safetensors")
        moved = [
            (plain.state_dict()[n] != before[n].float()).float().mean().item()
            for n in before
            if n.endswith(("_proj.weight", "c_attn.weight"))
        ]
        assert min(moved) > 0.99, "the share of weights that the first adapter moves"


def test_an_adapter_on_an_adapter_on_an_adapter(tmp_path, tokenizer):
    base = stored(tmp_path / "base", llama(), tokenizer, torch.bfloat16)
    for i, below in enumerate((base, tmp_path / "0", tmp_path / "1")):
        policy = adapted(below, tmp_path / str(i), seed=i)
    batch = rows(tokenizer)
    wanted = token_logprobs_of(policy.model, batch)
    again = load_policy(tmp_path / "2", AUTO)
    torch.testing.assert_close(token_logprobs_of(again.model, batch), wanted, atol=2e-5, rtol=0)
    same(merged(again.model), sums(base, tmp_path / "2"))


def test_reward_models_and_new_heads_too(tmp_path, tokenizer):
    base = stored(tmp_path / "base", llama(), tokenizer, torch.bfloat16)
    adapted(base, tmp_path / "sft")
    weights = {name: tensor for name, tensor in sums(base, tmp_path / "sft").items() if "_proj" in name}
    same(load_reward_model(tmp_path / "sft", AUTO, init_head=True).model, weights)
    first = load_reward_model(tmp_path / "sft", AUTO, init_head=True, adapter=LORA, trainable=True)
    same(
        first.model.get_base_model(),
        {name.replace("weight", "base_layer.weight"): tensor for name, tensor in weights.items()},
    )
    a_little(first.model, seed=1)
    with torch.no_grad():
        first.model.get_base_model().score.weight.add_(1e-4)
    save_reward_model(first, tmp_path / "reward", card="")
    batch = rows(tokenizer)
    wanted = last_token_scores(first.model.eval(), batch)
    value = load_reward_model(tmp_path / "reward", AUTO, adapter=LORA, trainable=True)
    for scored in (load_reward_model(tmp_path / "reward", AUTO), value):
        torch.testing.assert_close(last_token_scores(scored.model.eval(), batch), wanted, atol=1e-5, rtol=0)


def test_what_runs_in_bf16_is_the_sum_rounded_once(tmp_path, tokenizer):
    for dtype in ("bf16", "fp32"):
        base = stored(tmp_path / dtype, llama(), tokenizer, TYPES[dtype])
        adapted(base, tmp_path / f"{dtype}-first", size=1e-3)
        second = load_policy(tmp_path / f"{dtype}-first", BF16, LORA, trainable=True)
        for name, tensor in sums(base, tmp_path / f"{dtype}-first").items():
            if "_proj" in name:
                found = bare(second.model).state_dict()[name.replace("weight", "base_layer.weight")]
                assert found.dtype == torch.bfloat16 and (found != tensor.bfloat16()).float().mean() < 1e-3, (
                    "but for sums that lie between two"
                )


def test_an_adapter_is_as_exact_as_its_file(tmp_path, tokenizer):
    """Attached and not merged: rounding it to the type of the base would lose what an fp32 run keeps."""
    base = stored(tmp_path / "base", llama(), tokenizer, torch.bfloat16)
    adapted(base, tmp_path / "first")
    found = {
        name.replace(".default", ""): tensor
        for name, tensor in load_policy(tmp_path / "first", AUTO).model.state_dict().items()
        if "lora_" in name
    }
    assert found and all(
        found[name].equal(tensor)
        for name, tensor in load_file(tmp_path / "first" / "adapter_model.safetensors").items()
    )


def test_weights_are_read_in_the_precision_that_the_files_hold(tmp_path, tokenizer):
    """A config that says bf16 over weights in fp32 would round them, and one fp32 tensor among bf16 ones is
    not rounded either.
    """
    base = stored(tmp_path / "base", llama(), tokenizer, torch.float32)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}))
    same(
        load_policy(base, AUTO).model,
        {name: tensor.double() for name, tensor in load_file(base / "model.safetensors").items()},
        atol=0,
    )
    mixed = {
        name: tensor if "norm" in name else tensor.bfloat16()
        for name, tensor in load_file(base / "model.safetensors").items()
    }
    save_file(mixed, base / "model.safetensors", {"format": "pt"})
    same(load_policy(base, AUTO).model, {name: tensor.double() for name, tensor in mixed.items()}, atol=0)


def test_rotary_frequencies_are_not_rounded_with_the_weights(tmp_path, tokenizer):
    base = stored(tmp_path / "base", llama(), tokenizer, torch.bfloat16)
    wanted = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).model.rotary_emb.inv_freq
    policy = load_policy(base, BF16)
    assert (
        policy.model.dtype == torch.bfloat16
        and policy.model.model.rotary_emb.inv_freq.equal(wanted)
        and wanted.dtype == torch.float32
    )


@pytest.mark.parametrize("kind", ["f32", "f16"])
def test_gguf_is_written_from_the_sum(tmp_path, tokenizer, kind):
    pytest.importorskip("gguf")
    base = stored(tmp_path / "base", llama(), tokenizer, torch.bfloat16)
    adapted(base, tmp_path / "first")
    write_gguf(load_policy(tmp_path / "first", AUTO), tmp_path / "x.gguf", kind=kind)
    found = load_policy(tmp_path / "x.gguf", FP32).model.state_dict()
    for name, tensor in sums(base, tmp_path / "first").items():
        torch.testing.assert_close(
            found[name].double(), tensor, atol=1e-7, rtol=1e-6 if kind == "f32" else 1e-3
        )


def test_the_town_in_bf16_keeps_what_was_learnt(tmp_path):
    """A model of the town as others are published: before a second adapter has trained, the model is the
    adapted one to the last digits of fp32.
    """
    shipped = load_policy(town.shipped("town-s"), FP32)
    base = stored(tmp_path / "town-s", shipped.model, shipped.tokenizer, torch.bfloat16)
    first = adapted(base, tmp_path / "first")
    batch = rows(first.tokenizer, first.pad_id)
    second = load_policy(tmp_path / "first", AUTO, LORA, trainable=True)
    with second.reference() as frozen:
        torch.testing.assert_close(
            token_logprobs_of(frozen, batch), token_logprobs_of(first.model, batch), atol=1e-4, rtol=0
        )
    rounded = load_policy(tmp_path / "first", FP32)
    rounded.model = merged(rounded.model)
    exact = token_logprobs_of(rounded.model, batch)
    for p in rounded.model.parameters():
        p.data = p.data.bfloat16().float()
    assert (token_logprobs_of(rounded.model, batch) - exact).abs().max() > 5e-3, "or this test could not tell"


# tied weights

WHERE = {
    "lora on the head": {"target_modules": ["q_proj", "lm_head"]},
    "lora on the embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "lora on both": {"target_modules": ["lm_head", "embed_tokens"]},
    "the head in full": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    "the embedding in full": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
    "tied to each other": {"target_modules": ["embed_tokens"], "ensure_weight_tying": True},
}


def others_adapter(base: Path, to: Path, **options: Any) -> Any:
    """An adapter as PEFT alone makes and writes it."""
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", **options),
    )
    a_little(model, size=0.05)
    for name, p in model.named_parameters():
        if "modules_to_save" in name:
            p.data = p.data + 0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1))
    model.save_pretrained(to)
    return model.eval()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("where", WHERE)
def test_an_adapter_on_one_side_of_tied_weights(tmp_path, tokenizer, where):
    base = stored(tmp_path / "base", llama(), tokenizer, torch.bfloat16)
    batch = rows(tokenizer)
    wanted = token_logprobs_of(others_adapter(base, tmp_path / "first", **WHERE[where]), batch)

    def check(model: Any) -> None:
        torch.testing.assert_close(token_logprobs_of(model, batch), wanted, atol=2e-5, rtol=0)

    check(load_policy(tmp_path / "first", FP32).model)
    second = load_policy(tmp_path / "first", FP32, LORA, trainable=True)
    check(second.model.eval())
    save_policy(second, tmp_path / "second", card="")  # still on the tied base
    check(load_policy(tmp_path / "second", FP32).model)
    check(
        PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), tmp_path / "second"
        ).eval()
    )
    policy = load_policy(tmp_path / "first", FP32)
    policy.model = merged(policy.model)
    check(policy.model)
    assert not tied(policy.model)
    save_policy(policy, tmp_path / "whole", card="")
    assert json.loads((tmp_path / "whole" / "config.json").read_text())["tie_word_embeddings"] is False
    check(load_policy(tmp_path / "whole", FP32).model)
    check(AutoModelForCausalLM.from_pretrained(tmp_path / "whole"))
    gguf = pytest.importorskip("gguf")
    write_gguf(load_policy(tmp_path / "first", FP32), tmp_path / "x.gguf", kind="f32")
    assert "output.weight" in {tensor.name for tensor in gguf.GGUFReader(tmp_path / "x.gguf").tensors}
    check(load_policy(tmp_path / "x.gguf", FP32).model)


def test_a_head_that_no_adapter_touches_stays_tied(tmp_path, tokenizer):
    gguf = pytest.importorskip("gguf")
    base = stored(tmp_path / "base", llama(), tokenizer, torch.float32)
    adapted(base, tmp_path / "first")
    policy = load_policy(tmp_path / "first", FP32)
    policy.model = merged(policy.model)
    assert tied(policy.model) and policy.model.config.tie_word_embeddings
    save_policy(policy, tmp_path / "whole", card="")
    assert len(load_file(tmp_path / "whole" / "model.safetensors")) == len(
        load_file(base / "model.safetensors")
    )
    write_gguf(policy, tmp_path / "x.gguf", kind="f32")
    assert "output.weight" not in {tensor.name for tensor in gguf.GGUFReader(tmp_path / "x.gguf").tensors}


def test_the_tensors_are_asked_and_not_the_config(tmp_path, tokenizer):
    """Published folders say that weights are tied and hold both: transformers loads both."""
    gguf = pytest.importorskip("gguf")
    base = stored(tmp_path / "base", llama(tie_word_embeddings=False), tokenizer, torch.float32)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    batch = rows(tokenizer)
    policy = load_policy(base, FP32)
    wanted = token_logprobs_of(policy.model, batch)
    save_policy(policy, tmp_path / "again", card="")
    write_gguf(policy, tmp_path / "x.gguf", kind="f32")
    assert "output.weight" in {tensor.name for tensor in gguf.GGUFReader(tmp_path / "x.gguf").tensors}
    for name in ("again", "x.gguf"):
        torch.testing.assert_close(
            token_logprobs_of(load_policy(tmp_path / name, FP32).model, batch), wanted, atol=1e-5, rtol=0
        )
    assert load_reader(base, FP32).context == 128


# adapters with tokens of their own, as TRL's setup_chat_format leaves them


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize(
    "more",
    [{"modules_to_save": ["embed_tokens", "lm_head"]}, {"modules_to_save": ["embed_tokens"]}, {}],
    ids=["both saved", "embedding saved", "beside it"],
)
def test_an_adapter_that_brings_tokens_of_its_own(tmp_path, tokenizer, tie, more):
    base = stored(tmp_path / "base", llama(tie_word_embeddings=tie), tokenizer, torch.bfloat16)
    grown = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    grown.resize_token_embeddings(302)
    first = get_peft_model(
        grown, LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"], **more)
    ).eval()
    a_little(first, size=1e-2)
    first.save_pretrained(tmp_path / "first")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<x>", "<y>"]})
    tokenizer.save_pretrained(tmp_path / "first")
    batch = rows(tokenizer)
    wanted = token_logprobs_of(first, batch)
    for new in (None, LORA):
        second = load_policy(tmp_path / "first", AUTO, new, trainable=True)
        torch.testing.assert_close(token_logprobs_of(second.model.eval(), batch), wanted, atol=1e-5, rtol=0)
        a_little(second.model, seed=1, size=1e-2)
        save_policy(second, tmp_path / "second", card="")
        found = token_logprobs_of(second.model, batch)
        torch.testing.assert_close(
            token_logprobs_of(load_policy(tmp_path / "second", AUTO).model, batch), found, atol=1e-5, rtol=0
        )
        torch.testing.assert_close(
            token_logprobs_of(
                AutoPeftModelForCausalLM.from_pretrained(tmp_path / "second", dtype=torch.float32).eval(),
                batch,
            ),
            found,
            atol=1e-5,
            rtol=0,
        )


def test_new_tokens_that_the_adapter_holds_a_part_of(tmp_path, tokenizer):
    """Where LoRA lies on the embedding, what lies below the new rows is nowhere."""
    base = stored(tmp_path / "base", llama(), tokenizer, torch.bfloat16)
    grown = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    grown.resize_token_embeddings(302)
    get_peft_model(
        grown, LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "embed_tokens"])
    ).save_pretrained(tmp_path / "first")
    with pytest.raises(ModelError, match="trained with 302 tokens, its base has 300") as caught:
        load_policy(tmp_path / "first", AUTO)
    assert "merge it" in caught.value.remedy


def test_what_peft_cannot_merge_is_an_error_of_the_model(tmp_path, tokenizer):
    base = stored(tmp_path / "base", llama(), tokenizer, torch.float32)
    model = AutoModelForCausalLM.from_pretrained(base)
    get_peft_model(
        model, LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"], lora_bias=True)
    ).save_pretrained(tmp_path / "first")
    with pytest.raises(ModelError, match="cannot be added to the weights"):
        load_policy(tmp_path / "first", AUTO, LORA, trainable=True)
