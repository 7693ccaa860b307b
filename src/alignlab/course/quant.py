"""How much memory a quantised model takes, and how fast memory lets it write: the calculator of the bridge.

The page's script (`calculator.js`) computes the same; 200 stored cases hold the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError
from ..text.nearest import one_of

BITS = {"f32": 32.0, "f16": 16.0, "q8_0": 8.5, "q4_1": 5.0, "q4_0": 4.5}
"""Bits a weight takes: a block of 32 has a scale of 16 bits beside its codes, in q4_1 an offset as well."""
CACHE_BYTES = 2  # keys and values are halves
WORD_BYTES = 33  # of a GGUF file for each word of the vocabulary: the word, its kind, a merge


@dataclass(frozen=True)
class Shape:
    """What of a model decides its size.

    Attributes:
        parameters: weights in all. embedding: those of the embeddings, and of a head of its own.
        heads: heads of keys and values. head: numbers in one of them.
        vocabulary: words of the tokenizer.
    """

    parameters: int
    embedding: int
    layers: int
    heads: int
    head: int
    vocabulary: int


SHAPES = {
    "town": Shape(1_049_728, 196_608, 4, 4, 32, 1_536),
    "SmolLM2-135M": Shape(134_515_008, 28_311_552, 30, 3, 64, 49_152),
    "Llama-2-7B": Shape(6_738_415_616, 262_144_000, 32, 32, 128, 32_000),
}
"""Models that the page and `alignlab lecture machine` begin with. The last is by its published config."""


@dataclass(frozen=True)
class Estimate:
    """Bytes of the weights, of the cache when the context is full, and of the file; and `tokens`, the most
    tokens a second that memory allows, all sequences together.
    """

    weights: float
    cache: float
    file: float
    tokens: float


def estimate(shape: Shape, kind: str, *, context: int, bandwidth: float, sequences: int = 1) -> Estimate:
    """The size of a model and the bound that memory sets: to write one token, all weights and the whole cache
    are read once.

        weights = parameters x bits / 8      (embeddings keep 8.5 bits at least, as `export --gguf` has them)
        cache   = 2 x layers x heads x head x context x 2 bytes x sequences
        tokens  = sequences x bandwidth / (weights + cache)

    Args:
        kind: of weights, see `BITS`.
        context: tokens in the cache of each sequence.
        bandwidth: bytes a second that are read from memory.
        sequences: texts that are written side by side; the weights are read once for all of them.

    Raises:
        ConfigError: no such kind; a number that is not above 0 (the context may be 0).
    """
    one_of(kind, BITS, "there is no kind of weights", error=ConfigError)
    if min(shape.parameters, bandwidth, sequences) <= 0 or context < 0:
        raise ConfigError(
            f"parameters = {shape.parameters}, bandwidth = {bandwidth}, sequences = {sequences}, context = "
            f"{context}",
            remedy="numbers above 0",
        )
    bits = BITS[kind]
    rest = shape.parameters - shape.embedding
    weights = (rest * bits + shape.embedding * max(bits, BITS["q8_0"])) / 8
    cache = 2 * shape.layers * shape.heads * shape.head * context * CACHE_BYTES * sequences
    file = weights + WORD_BYTES * shape.vocabulary
    return Estimate(weights, cache, file, sequences * bandwidth / (weights + cache))


def shape_of(model: Any) -> Shape:
    """The shape of a loaded causal model of transformers."""
    config = model.config.get_text_config()
    ends = {
        id(part.weight): part.weight for part in (model.get_input_embeddings(), model.get_output_embeddings())
    }
    return Shape(
        parameters=sum(weight.numel() for weight in model.parameters()),
        embedding=sum(weight.numel() for weight in ends.values()),
        layers=config.num_hidden_layers,
        heads=getattr(config, "num_key_value_heads", None) or config.num_attention_heads,
        head=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
        vocabulary=config.vocab_size,
    )


def in_words(size: float) -> str:
    """Bytes, for people."""
    for unit, bytes_of in (("GB", 1e9), ("MB", 1e6)):
        if size >= bytes_of:
            return f"{size / bytes_of:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"
