"""A tiny random model in a folder, and runs that can be killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from alignlab.run import RunDir

END, PAD = 256, 257


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal model folder: two layers of width 32, a token a byte, head and embeddings apart."""
    folder = tmp_path_factory.mktemp("models") / "base"
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={character: i for i, character in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer, inner.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", pad_token="<pad>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<user>", "<assistant>"]})
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    assert tokenizer.convert_tokens_to_ids(["<end>", "<pad>"]) == [END, PAD]
    tokenizer.save_pretrained(folder)
    tiny_llama().save_pretrained(folder)
    return folder


def tiny_llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=260,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            initializer_range=0.1,
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=END,
            pad_token_id=PAD,
        )
    )


class Killed(Exception):
    """What ends a run from outside."""


@pytest.fixture
def open_run(tmp_path: Path) -> Iterator[Callable[..., RunDir]]:
    """Opens a run of this test by name; `die_at` kills it in that step, once the metrics are written and
    nothing is saved yet.
    """

    def open_(name: str = "run", *, die_at: int | None = None) -> RunDir:
        run = RunDir.open(tmp_path / name, stage="test", config={}, seed=0)
        log = run.log

        def log_and_die(step, metrics):
            log(step, metrics)
            if step == die_at:
                raise Killed

        run.log = log_and_die
        return run

    yield open_
