"""A model folder as one GGUF file, which llama.cpp and what is built on it run: llama's architecture, weights
whole or quantised by the `gguf` package.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import ConfigError, ModelError, UserError
from ..models import adapters
from ..models.chat_template import begin_ids, end_token_id, template_of
from ..models.policy import Policy
from ..run import whole_file

KINDS = ("f32", "f16", "q8_0", "q4_1", "q4_0")
PRE = {"gpt-2": [], "smollm": ["Digits"]}
"""llama.cpp's names of the ways to cut a text before byte pairs are merged: GPT-2's pattern, and the same
behind single digits.
"""


@dataclass(frozen=True)
class Written:
    """What was written. `plain`: tensors that should have been quantised and are not, since their rows are no
    multiple of the block.
    """

    kind: str
    tensors: int
    plain: int
    bytes: int


def write_gguf(policy: Policy, file: Path, *, kind: str = "q8_0") -> Written:
    """The model, its tokenizer and chat template in `file`; whole or not there. An adapter is merged.

    Args:
        kind: weights as they are (f32), halves (f16), or blocks of 32 that share a scale: 8 bits (q8_0), 4
            bits (q4_0) or 4 bits and an offset (q4_1). Norms stay f32; with 4 bits the embeddings have 8:
            they are also the head where the two are tied.

    Raises:
        ConfigError: no such kind. ModelError: an architecture, a positional embedding or a tokenizer that
            cannot be said in llama.cpp's terms from here.
        UserError: the `gguf` package is missing. ResourceError: the disk is full.
    """
    if kind not in KINDS:
        raise ConfigError(
            f"there is no kind {kind!r:.40} of GGUF weights here", remedy="one of: " + ", ".join(KINDS)
        )
    try:
        import gguf
    except ImportError:
        raise UserError("the gguf package is not installed", remedy='pip install "alignlab[gguf]"') from None
    model = adapters.merged(policy.model)
    config = model.config
    rope = getattr(config, "rope_parameters", None) or {}
    if (
        config.model_type not in ("llama", "mistral")
        or getattr(config, "sliding_window", None)
        or rope.get("rope_type", "default") != "default"
    ):
        raise ModelError(
            (
                f"a model of type {config.model_type!r} with {rope.get('rope_type', 'default')} positions "
                "is not written as GGUF here"
            ),
            where=policy.name,
            remedy=(
                "llama.cpp's own convert_hf_to_gguf.py knows more architectures; the model folder is what "
                "it reads"
            ),
        )
    with whole_file(file) as partial:
        writer = gguf.GGUFWriter(partial, "llama")
        _add_shape(writer, config, rope, kind, policy.name)
        _add_tokenizer(writer, policy, config.vocab_size)
        written = _add_tensors(writer, model, config, kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return Written(kind, *written, file.stat().st_size)


def _add_shape(writer: Any, config: Any, rope: dict[str, Any], kind: str, name: str) -> None:
    import gguf

    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_name(Path(name).name)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(float(rope.get("rope_theta", 10_000.0)))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType[{"f32": "ALL_F32"}.get(kind, f"MOSTLY_{kind.upper()}")])


def _add_tokenizer(writer: Any, policy: Policy, vocabulary: int) -> None:
    """A byte-level BPE as llama.cpp's "gpt2" kind."""
    tokenizer = policy.tokenizer
    fast: dict[str, Any] = {}
    if getattr(tokenizer, "backend_tokenizer", None):
        fast = json.loads(tokenizer.backend_tokenizer.to_str())
    before = fast.get("pre_tokenizer") or {}
    steps = before.get("pretokenizers", [before])
    ahead = [step.get("type") for step in steps[:-1]]
    pre = next((name for name, kinds in PRE.items() if kinds == ahead), None)
    bytes_last = steps[-1].get("type") == "ByteLevel" and steps[-1].get("use_regex", True)
    single = all(step.get("individual_digits") for step in steps[:-1])
    if (
        fast.get("model", {}).get("type") != "BPE"
        or fast.get("normalizer")
        or pre is None
        or not bytes_last
        or not single
    ):
        raise ModelError(
            (
                "the tokenizer is no byte-level BPE that cuts words as GPT-2 or SmolLM do, and its words "
                "cannot be said in GGUF from here"
            ),
            where=policy.name,
            remedy="llama.cpp's own convert_hf_to_gguf.py knows more tokenizers",
        )
    names: list[str] = [f"[PAD{i}]" for i in range(vocabulary)]
    kinds = [5] * vocabulary  # unused
    for name, i in tokenizer.get_vocab().items():
        if i < vocabulary:
            names[i], kinds[i] = name, 1
    for i, added in tokenizer.added_tokens_decoder.items():
        if i < vocabulary:
            names[i], kinds[i] = added.content, 3 if added.special else 4
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(names)
    writer.add_token_types(kinds)
    merges = fast["model"]["merges"]
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in merges])
    writer.add_add_bos_token(
        tokenizer.bos_token_id is not None and begin_ids(tokenizer) == [tokenizer.bos_token_id]
    )
    writer.add_add_space_prefix(bool(steps[-1].get("add_prefix_space")))
    template = template_of(tokenizer)
    end = end_token_id(tokenizer) if template else tokenizer.eos_token_id
    eos = end if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    for add, token in (
        (writer.add_bos_token_id, tokenizer.bos_token_id),
        (writer.add_eos_token_id, eos),
        (writer.add_eot_token_id, end),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
    ):
        if token is not None:
            add(token)
    if template:
        writer.add_chat_template(template)


def _add_tensors(writer: Any, model: Any, config: Any, kind: str) -> tuple[int, int]:
    """How many tensors there are, and how many of those to be quantized could not be."""
    import gguf
    from gguf.quants import quantize

    known, count, plain = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers), 0, 0
    tied = adapters.tied(model)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and tied:
            continue
        stem, _, part = name.rpartition(".")
        if (place := known.get_name(stem)) is None:
            raise ModelError(
                f"the weight {name} has no place in a GGUF file",
                remedy="llama.cpp's own convert_hf_to_gguf.py",
            )
        if stem.endswith("q_proj"):
            tensor = interleaved(tensor, config.num_attention_heads)
        elif stem.endswith("k_proj"):
            tensor = interleaved(tensor, config.num_key_value_heads)
        values = np.ascontiguousarray(tensor.detach().float().cpu().numpy())
        wanted = kind
        if values.ndim == 1:
            wanted = "f32"
        elif kind.startswith("q4") and stem.endswith(("embed_tokens", "lm_head")):
            wanted = "q8_0"
        if wanted.startswith("q") and values.shape[-1] % 32:
            wanted, plain = "f16", plain + 1
        sort = gguf.GGMLQuantizationType[wanted.upper()]
        writer.add_tensor(f"{place}.{part}", quantize(values, sort), raw_dtype=sort)
        count += 1
    return count, plain


def interleaved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a query or key projection in the order that llama.cpp's rotary embedding wants: the two halves
    of each head in turn.
    """
    return (
        weight.view(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
        .swapaxes(1, 2)
        .reshape(weight.shape)
    )
