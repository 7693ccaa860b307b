"""GGUF files of the architectures that reach a machine without a hub: llama and gemma3 come back with the
weights that were written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from alignlab import stages
from alignlab.models.chat import prompt_ids
from alignlab.models.forward import token_logprobs_of
from alignlab.models.load import load_policy
from alignlab.models.saving import save_policy
from alignlab.records import Prompt
from alignlab.sampling import Sampling
from alignlab.sampling.local import LocalSampler
from alignlab.settings import (
    AdapterSettings,
    DPOSettings,
    LikelihoodSettings,
    ModelSettings,
    OptimSettings,
    SFTSettings,
)

from .conftest import BOS, EOS, build_tokenizer
from .test_load import rows

gguf = pytest.importorskip("gguf")
SHAPE = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
}


def tiny(arch: str) -> PreTrainedModel:
    torch.manual_seed(0)
    if arch == "llama":
        model = LlamaForCausalLM(LlamaConfig(**SHAPE, rms_norm_eps=1e-5, tie_word_embeddings=False))
    else:
        model = Gemma3ForCausalLM(
            Gemma3TextConfig(**SHAPE, rms_norm_eps=1e-6, sliding_window=64)
        )  # what the file cannot say stays at its default
    with torch.no_grad():  # norms that do something
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight += 0.1 * torch.randn_like(weight)
    return model.eval()


def interleaved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a query or key projection in the order that llama.cpp's rotary embedding wants."""
    return (
        weight.view(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
        .swapaxes(1, 2)
        .reshape(weight.shape)
    )


def write(path: Path, arch: str, model: PreTrainedModel) -> None:
    """The model and a byte-level tokenizer as a GGUF file, as llama.cpp's converter lays them out."""
    tokenizer, config = build_tokenizer(), model.config
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    writer = gguf.GGUFWriter(path, arch)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0 if arch == "llama" else 1_000_000.0)
    writer.add_vocab_size(config.vocab_size)
    if arch == "gemma3":
        writer.add_sliding_window(config.sliding_window)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types([3 if i < 6 else 1 for _, i in vocabulary])
    writer.add_token_merges(
        [" ".join(pair) for pair in json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]]
    )
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_unk_token_id(0)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[arch.upper()], config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and arch == "gemma3":
            continue  # tied
        stem, _, kind = name.rpartition(".")
        if arch == "llama" and stem.endswith(("q_proj", "k_proj")):
            tensor = interleaved(
                tensor, config.num_attention_heads if stem.endswith("q_proj") else config.num_key_value_heads
            )
        if arch == "gemma3" and "norm" in stem:
            tensor = tensor + 1
        writer.add_tensor(f"{names.get_name(stem)}.{kind}", tensor.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("arch", ["llama", "gemma3"])
def test_weights_come_back_and_the_model_answers(
    arch: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = tiny(arch)
    write(tmp_path / "tiny.gguf", arch, model)
    policy = load_policy(tmp_path / "tiny.gguf", ModelSettings(device="cpu", chat_template="chatml"))
    assert type(policy.model).__name__ == {"llama": "LlamaForCausalLM", "gemma3": "Gemma3ForCausalLM"}[arch]
    assert "Converting" not in capfd.readouterr().err  # no bar of the reader's in a log
    loaded = policy.model.state_dict()
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(loaded[name], tensor, msg=lambda text, name=name: f"{name}: {text}")
    ids = prompt_ids(policy.tokenizer, Prompt.user("who bakes the bread?"))
    [[completion]] = LocalSampler.of(policy).sample([ids], Sampling(max_new_tokens=8, temperature=0.0))
    greedy = model.generate(torch.tensor([ids]), max_new_tokens=8, do_sample=False, pad_token_id=2)[
        0, len(ids) :
    ].tolist()
    assert list(completion.ids) == greedy[: len(completion.ids)]
    save_policy(policy, tmp_path / "folder", card="")
    batch = rows(policy.tokenizer, policy.pad_id)
    again = load_policy(tmp_path / "folder", ModelSettings(device="cpu"))
    torch.testing.assert_close(token_logprobs_of(again.model, batch), token_logprobs_of(policy.model, batch))


def test_adapters_on_a_file_go_through_sft_and_dpo_and_load_again(tmp_path: Path) -> None:
    """A base model of a GGUF file, a chat template by name: DPO starts from SFT's model, and its adapter
    holds both: off, it is the file's.
    """
    write(tmp_path / "base.gguf", "llama", tiny("llama"))
    chats = [{"prompt": f"who is {i}?", "completion": f"{i} is the baker"} for i in range(12)]
    pairs = [{"prompt": f"where is {i}?", "chosen": "in town", "rejected": "no"} for i in range(12)]
    for name, made in (("chats", chats), ("pairs", pairs)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    shared: dict[str, Any] = {
        "batch": 4,
        "max_length": 100,
        "held_out": 0.25,
        "adapter": AdapterSettings(rank=2),
        "optim": OptimSettings(lr=1e-2),
    }
    on_cpu = ModelSettings(device="cpu")
    stages.sft(
        model=str(tmp_path / "base.gguf"),
        data=str(tmp_path / "chats.jsonl"),
        out=tmp_path / "sft",
        seed=0,
        resume=True,
        settings=SFTSettings(**shared, model=ModelSettings(device="cpu", chat_template="chatml")),
    )
    stages.dpo(
        model=str(tmp_path / "sft"),
        data=str(tmp_path / "pairs.jsonl"),
        out=tmp_path / "dpo",
        seed=0,
        resume=True,
        settings=DPOSettings(**shared, model=on_cpu),
    )
    assert not list((tmp_path / "dpo" / "checkpoint").glob("model*.safetensors"))  # an adapter, not the base
    base, sft, dpo = (
        load_policy(path, on_cpu)
        for path in (tmp_path / "base.gguf", tmp_path / "sft" / "checkpoint", tmp_path / "dpo" / "checkpoint")
    )
    batch = rows(sft.tokenizer, sft.pad_id)
    said = [token_logprobs_of(policy.model, batch) for policy in (base, sft, dpo)]
    with sft.reference() as off:
        torch.testing.assert_close(token_logprobs_of(off, batch), said[0])
    with dpo.reference() as off:
        torch.testing.assert_close(token_logprobs_of(off, batch), said[0])
    assert not torch.allclose(said[0], said[1], atol=1e-3) and not torch.allclose(said[1], said[2], atol=1e-3)
    prompt = Prompt.user("who bakes?")
    assert prompt_ids(dpo.tokenizer, prompt) == prompt_ids(sft.tokenizer, prompt)  # the template goes along
    found = stages.likelihood(
        model=str(tmp_path / "dpo"),
        demonstrations=str(tmp_path / "chats.jsonl"),
        comparisons=str(tmp_path / "pairs.jsonl"),
        baseline="",
        out=tmp_path / "likelihood",
        seed=0,
        resume=True,
        settings=LikelihoodSettings(max_length=100, held_out=0.5, model=on_cpu),
    )["summary"]
    assert found["loss"]["n"] > 0 and found["margin"]["n"] > 0
