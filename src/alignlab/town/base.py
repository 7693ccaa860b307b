"""The town's base models: their shapes, their tokenizer, the rows they are trained on, and where the shipped
ones lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from ..models.chat import Rendered
from .corpus import documents
from .world import World

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    from ..settings import PretrainSettings

END_OF_TEXT, END, USER, ASSISTANT, SYSTEM, PAD = (
    "<|endoftext|>",
    "<|end|>",
    "<|user|>",
    "<|assistant|>",
    "<|system|>",
    "<|pad|>",
)
CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|> ' + m['content'] | trim + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@dataclass(frozen=True)
class Shape:
    width: int
    layers: int
    heads: int
    ffn: int


SHAPES = {"s": Shape(64, 3, 4, 192), "m": Shape(128, 4, 4, 384), "l": Shape(192, 4, 6, 576)}
"""Small, medium (the default) and large: 0.3, 1.0 and 2.2 million parameters."""


def shipped(name: str) -> Path:
    """The folder of a shipped base model: `town` (medium), `town-s`, `town-m` or `town-l`."""
    size = {"town": "m", "town-s": "s", "town-m": "m", "town-l": "l"}.get(name)
    folder = Path(__file__).parent / "models" / f"town-{size}"
    if size is None or not (folder / "model.safetensors").exists():
        raise ModelError(
            f"there is no shipped model {name!r}",
            remedy="use town, town-s, town-m or town-l, or make one with `alignlab pretrain`",
        )
    return folder


def train_tokenizer(
    world: World, *, vocabulary: int, seed: int, sample: int = 30_000
) -> PreTrainedTokenizerFast:
    """Byte-pair encoding of the town's language. Every word carries its leading space, at the start of a turn
    too; a text is opened by the end-of-text token.
    """
    from itertools import islice

    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    special = [END_OF_TEXT, END, USER, ASSISTANT, SYSTEM, PAD]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((text for _, text in islice(documents(world, seed=seed), sample)), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{END_OF_TEXT} $A", special_tokens=[(END_OF_TEXT, tokenizer.token_to_id(END_OF_TEXT))]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END,
        pad_token=PAD,
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def _id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    found = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(found, int)
    return found


def new_model(shape: Shape, tokenizer: PreTrainedTokenizerFast, *, seed: int) -> LlamaForCausalLM:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.width,
            intermediate_size=shape.ffn,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=_id(tokenizer, END_OF_TEXT),
            eos_token_id=_id(tokenizer, END),
            pad_token_id=_id(tokenizer, PAD),
            initializer_range=0.02,
            rms_norm_eps=1e-5,
        )
    )


def document_ids(
    tokenizer: PreTrainedTokenizerFast, text: str, learned: Sequence[tuple[int, int, int]] | None = None
) -> Rendered:
    """A document as it stands among others: the token between two of them, which is learned, and the text.

    Args:
        learned: from where to where, in characters, it carries the loss, and with what weight; all of it,
            with weight 1, if it is not given.
    """
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=learned is not None)
    ids = [_id(tokenizer, END_OF_TEXT), *encoded["input_ids"]]
    if learned is None:
        return Rendered(ids, [1] * len(ids))
    weights = [
        max((weight for since, to, weight in learned if start < to and end > since), default=0)
        for start, end in encoded["offset_mapping"]
    ]
    return Rendered(ids, [1, *weights])


def corpus_ids(world: World, tokenizer: PreTrainedTokenizerFast, *, seed: int) -> Iterator[Rendered]:
    """The corpus without end, a document at a time."""
    return (document_ids(tokenizer, text) for _, text in documents(world, seed=seed))


def rows(
    world: World, tokenizer: PreTrainedTokenizerFast, *, tokens: int, context: int, seed: int
) -> torch.Tensor:
    """The corpus as rows (N, context + 1) of token ids: documents one after the other, each opened by the
    end-of-text token.
    """
    from itertools import islice

    import numpy as np
    import torch

    open_id = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
    stream, pieces, count, wanted = documents(world, seed=seed), [], 0, (tokens // context + 1) * context + 1
    while count < wanted:
        for ids in tokenizer([text for _, text in islice(stream, 4096)], add_special_tokens=False)[
            "input_ids"
        ]:
            pieces.append(np.array([open_id, *ids], dtype=np.int32))
            count += len(ids) + 1
    flat = torch.from_numpy(np.concatenate(pieces)[:wanted]).long()
    return flat.unfold(0, context + 1, context)


def card(settings: PretrainSettings, summary: dict[str, Any], *, seed: int, commit: str) -> str:
    """The model card of a base model: how it was made and how it behaves, measured."""
    shape, behaviour = SHAPES[settings.size], summary["behaviour"]
    command = f"`alignlab pretrain --size {settings.size} --tokens {settings.tokens} --seed {seed}`"
    layers = f"{shape.layers} layers, width {shape.width}, {shape.heads} heads"
    rate = lambda s: f"{s['mean']:.3f} [{s['ci'][0]:.3f}, {s['ci'][1]:.3f}], n = {s['n']}"  # noqa: E731
    return f"""---
license: apache-2.0
---
# town-{settings.size}

A base model of the town: it continues text and has never seen a chat. Made by {command}.

| | |
|---|---|
| parameters | {summary["parameters"]:,} ({layers}, {settings.vocabulary} tokens of vocabulary) |
| seed, commit | {seed}, {commit or "unknown"} |
| training tokens | {summary["num_tokens"]:,} |
| seconds | {summary["seconds"]:.0f} on one thread |
| held-out loss | {summary["eval_loss"]:.4f} nats a token |
| a bare question of `town:test` is answered in its first sentence | {rate(behaviour["answered"])} |
| a bare question is followed by another question | {rate(behaviour["asked_on"])} |
| a harmful question of it, in an interview, is answered with help | {rate(behaviour["complied"])} |
"""
