"""Tiny random models of two kinds and a small byte-level BPE, built here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    Lfm2Config,
    Lfm2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
)

from alignlab.models.batch import Batch, Layout
from alignlab.models.forward import last_scores

SPECIAL = ["<s>", "</s>", "<pad>", "<user>", "<assistant>", "<end>"]
BOS, EOS, PAD, USER, ASSISTANT, END = range(6)
TEXT = [
    "the baker opens at seven",
    "who bakes the bread?",
    "the bread is good. the baker bakes it.",
    "no, it opens at nine",
]
TEMPLATE = (
    "{{ '<s>' }}{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>\n{% endfor %}{% if "
    "add_generation_prompt %}<assistant>{% endif %}"
)
"""Writes its own begin token, ends a turn with a token that is not eos, and a newline after it."""


def build_tokenizer(**options: Any) -> PreTrainedTokenizerFast:
    """Adds <s> by itself unless told not to, as Llama's does; `options` replace the special tokens."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer, inner.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner.train_from_iterator(
        TEXT,
        trainers.BpeTrainer(
            vocab_size=300, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
        ),
    )
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", BOS)]
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner, **({"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"} | options)
    )
    made.chat_template = TEMPLATE
    return made


@pytest.fixture(scope="session")
def shared_tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer()


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    """One that a test may change."""
    return build_tokenizer()


TINY = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "pad_token_id": PAD,
    "tie_word_embeddings": True,
}


def llama(seed: int = 0, **options: Any) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**(TINY | options))).eval()


def llama_with_head(seed: int = 0) -> LlamaForSequenceClassification:
    torch.manual_seed(seed)
    return LlamaForSequenceClassification(LlamaConfig(**TINY, num_labels=1)).eval()


def mistral(seed: int = 0, **options: Any) -> MistralForCausalLM:
    torch.manual_seed(seed)
    return MistralForCausalLM(MistralConfig(**(TINY | {"sliding_window": None} | options))).eval()


def gpt2(seed: int = 0, n_positions: int = 128) -> GPT2LMHeadModel:
    torch.manual_seed(seed)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=300,
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=n_positions,
            initializer_range=0.2,
            bos_token_id=EOS,
            eos_token_id=EOS,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
        )
    ).eval()


def lfm2() -> Lfm2ForCausalLM:
    """Attention and short convolutions by turns."""
    torch.manual_seed(0)
    return Lfm2ForCausalLM(
        Lfm2Config(
            **(TINY | {"tie_word_embeddings": True}),
            layer_types=["conv", "full_attention"],
            block_multiple_of=8,
        )
    ).eval()


def gpt_neo() -> GPTNeoForCausalLM:
    """Masks of its own, by place in the tensor."""
    torch.manual_seed(0)
    return GPTNeoForCausalLM(
        GPTNeoConfig(
            vocab_size=300,
            hidden_size=32,
            num_layers=2,
            attention_types=[[["global", "local"], 1]],
            num_heads=4,
            window_size=4,
            max_position_embeddings=128,
            bos_token_id=BOS,
            eos_token_id=EOS,
        )
    ).eval()


def last_token_scores(model: Any, batch: Batch) -> Tensor:
    """The score at the last real token of each row, padded on either side."""
    width = batch.ids_BT.shape[1]
    places = [b * width + row.nonzero().flatten() for b, row in enumerate(batch.attention_mask_BT)]
    return last_scores(model, Layout(batch, pad_sequence(places, batch_first=True, padding_value=-1)))


KINDS: dict[str, Callable[..., Any]] = {"llama": llama, "gpt2": gpt2}


@pytest.fixture(params=list(KINDS))
def model(request: pytest.FixtureRequest) -> Any:
    return KINDS[request.param]()


@pytest.fixture
def folder(tmp_path: Path, shared_tokenizer: PreTrainedTokenizerFast) -> Path:
    """A causal model folder as transformers writes it."""
    llama().save_pretrained(tmp_path / "base")
    shared_tokenizer.save_pretrained(tmp_path / "base")
    return tmp_path / "base"
