"""A model written as GGUF comes back through the reader that other people's files go through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from alignlab import cli
from alignlab.errors import ConfigError, ModelError
from alignlab.interop.gguf import KINDS, write_gguf
from alignlab.models.chat import prompt_ids, text_ids
from alignlab.models.load import load_policy
from alignlab.models.policy import Policy
from alignlab.records import Prompt
from alignlab.sampling import Sampling
from alignlab.sampling.local import LocalSampler
from alignlab.settings import ModelSettings
from alignlab.town import base

from .conftest import BOS, EOS

gguf = pytest.importorskip("gguf")


def tiny(tokenizer: PreTrainedTokenizerFast, **more: Any) -> Policy:
    torch.manual_seed(0)
    shape = {
        "vocab_size": 300,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 128,
        "initializer_range": 0.2,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "rms_norm_eps": 1e-5,
    } | more
    model = LlamaForCausalLM(LlamaConfig(**shape)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight += 0.1 * torch.randn_like(weight)
    return Policy(model, tokenizer, "tiny", torch.device("cpu"))


def back(file: Path) -> Policy:
    return load_policy(file, ModelSettings(device="cpu", precision="fp32"))


@pytest.mark.parametrize("tied", [False, True])
def test_whole_weights_come_back_and_the_model_says_the_same(
    tied: bool, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    policy = tiny(tokenizer, tie_word_embeddings=tied)
    written = write_gguf(policy, tmp_path / "a" / "tiny.gguf", kind="f32")
    loaded = back(tmp_path / "a" / "tiny.gguf")
    assert (
        written.plain == 0
        and written.bytes == (tmp_path / "a" / "tiny.gguf").stat().st_size
        and not list(tmp_path.glob("a/*.partial"))
    )
    theirs = loaded.model.state_dict()
    for name, tensor in policy.model.state_dict().items():
        torch.testing.assert_close(theirs[name], tensor, msg=lambda text, name=name: f"{name}: {text}")
    assert loaded.tokenizer.chat_template == tokenizer.chat_template
    prompt = Prompt.user("who bakes the bread?")
    assert prompt_ids(loaded.tokenizer, prompt) == prompt_ids(tokenizer, prompt)
    assert loaded.end_ids == policy.end_ids
    want, found = (
        LocalSampler.of(p).sample([prompt], Sampling(max_new_tokens=12, temperature=0.0))[0][0]
        for p in (policy, loaded)
    )
    assert found.ids == want.ids and found.text == want.text


@pytest.mark.parametrize("puts", [True, False])
def test_a_text_begins_in_the_file_as_it_does_in_the_folder(
    puts: bool, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A" if puts else "$A", special_tokens=[("<s>", BOS)]
    )
    write_gguf(tiny(tokenizer), tmp_path / "tiny.gguf", kind="f32")
    assert (
        text_ids(back(tmp_path / "tiny.gguf").tokenizer, "the bread")
        == text_ids(tokenizer, "the bread")
        == tokenizer("the bread")["input_ids"]
    )
    said = gguf.GGUFReader(tmp_path / "tiny.gguf").get_field("tokenizer.ggml.add_bos_token")
    assert said is not None and said.contents() is puts


def test_fewer_bits_are_a_smaller_file_and_a_larger_error(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    policy = tiny(tokenizer)
    sizes, errors = [], []
    for kind in KINDS:
        written = write_gguf(policy, tmp_path / f"{kind}.gguf", kind=kind)
        theirs = back(tmp_path / f"{kind}.gguf").model.state_dict()
        ours = policy.model.state_dict()
        projection = "model.layers.0.self_attn.q_proj.weight"
        for name in ours:
            if "norm" in name:
                torch.testing.assert_close(theirs[name], ours[name])
        sizes.append(written.bytes)
        errors.append(float((theirs[projection] - ours[projection]).norm() / ours[projection].norm()))
        blocks = ours[projection].view(-1, 32)
        largest = blocks.abs().amax(1, keepdim=True)
        bound = {
            "f32": 0.0 * largest,
            "f16": largest / 1000,
            "q8_0": largest / 220,
            "q4_1": (blocks.amax(1, keepdim=True) - blocks.amin(1, keepdim=True)) / 29,
            "q4_0": largest / 7.9,
        }[kind]
        assert ((theirs[projection].view(-1, 32) - blocks).abs() <= bound + 1e-7).all(), (
            f"{kind}: blocks lie within a row"
        )
    assert sizes == sorted(sizes, reverse=True) and errors == sorted(errors), (sizes, errors)
    assert errors[0] == 0 and errors[2] < 0.01 < errors[3] < errors[4] < 0.15


def test_rows_that_fill_no_block_stay_halves_and_are_counted(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    policy = tiny(tokenizer, intermediate_size=80)
    assert write_gguf(policy, tmp_path / "x.gguf", kind="q8_0").plain == 2, (
        "the down projection of each layer"
    )
    torch.testing.assert_close(
        back(tmp_path / "x.gguf").model.model.layers[0].mlp.down_proj.weight,
        policy.model.model.layers[0].mlp.down_proj.weight,
        rtol=1e-3,
        atol=1e-4,
    )


def test_what_cannot_be_said_in_gguf_is_refused(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ConfigError, match="one of: f32"):
        write_gguf(tiny(tokenizer), tmp_path / "x.gguf", kind="q3")
    gpt2 = Policy(
        GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=300)),
        tokenizer,
        "other",
        torch.device("cpu"),
    )
    with pytest.raises(ModelError, match="gpt2"):
        write_gguf(gpt2, tmp_path / "x.gguf")
    from tokenizers import pre_tokenizers

    policy = tiny(tokenizer)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(ModelError, match="byte-level BPE"):
        write_gguf(policy, tmp_path / "x.gguf")
    assert not (tmp_path / "x.gguf").exists()


def test_the_towns_model_through_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "town.gguf"
    assert cli.main(["export", "--gguf", "--model", "town", "--out", str(file)]) == 0
    assert "q8_0" in capsys.readouterr().out
    policy, loaded = load_policy(base.shipped("town"), ModelSettings()), back(file)
    prompt = Prompt.user("Who is the baker?")
    assert prompt_ids(loaded.tokenizer, prompt) == prompt_ids(policy.tokenizer, prompt)
    ids = torch.tensor([prompt_ids(policy.tokenizer, prompt)])
    with torch.no_grad():
        ours, theirs = (p.model(ids).logits.log_softmax(-1) for p in (policy, loaded))
    assert float((ours.exp() * (ours - theirs)).sum(-1).mean()) < 1e-3, "nats of KL a token"
    assert cli.main(["export", "--gguf", "--model", "town", "--out", str(file)]) == 2, "it is there already"
    assert (
        cli.main(
            ["export", "--gguf", "--model", "town", "--out", str(file), "--overwrite", "--quantize", "q4_0"]
        )
        == 0
    )
    for wrong, code in (
        (["--gguf", "--data", "town:demos", "--out", "x.gguf"], 3),
        (["--quantize", "q8_0", "--data", "town:demos", "--out", "x.jsonl"], 3),
        (["--gguf", "--out", str(tmp_path / "y.gguf")], 2),
        (["--gguf", "--model", "town", "--out", str(tmp_path / "y.bin")], 2),
        (["--gguf", "--model", "town", "--out", str(tmp_path / "y.gguf"), "--quantize", "q5"], 3),
    ):
        assert cli.main(["export", *wrong]) == code, wrong
