"""Plain models, without adapters: from a folder or a .gguf file with all their weights, or under a new scalar head."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from ..errors import ModelError
from ..settings import ModelSettings
from . import adapters, reader
from .building import within
from .stacked import taken_over


def pretrained(auto: Any, source: Path, settings: ModelSettings, plain: bool) -> Any:
    """A model of a checked folder or .gguf file, by the class of transformers that `auto` takes; in bf16 only
    if it is stored so, or is wanted so and nothing is added to it (`plain`).

    Raises:
        ModelError: weights that are missing, or of another shape than the config says.
    """
    with within(source):
        model, info = reader.calling_libraries(source, lambda: _from_files(auto, source, settings, plain))
    misshapen = {name for name, *_ in info["mismatched_keys"]}
    if wrong := sorted(info["missing_keys"] | misshapen):
        raise ModelError(
            f"{len(wrong)} weights are missing or have another shape than the config says, {wrong[0]} among them",
            where=str(source),
            remedy="copy or download the model folder again",
        )
    model.name_or_path = reader.hub_names.get(source) or os.path.abspath(
        source
    )  # an adapter names this as its base
    adapters.say_untied(model)
    return model


def _from_files(auto: Any, source: Path, settings: ModelSettings, plain: bool) -> tuple[Any, dict[str, Any]]:
    """The model, and what transformers tells of its weights."""
    options = _gguf_options(source) if source.suffix == ".gguf" else _folder_options(source)
    return auto.from_pretrained(
        reader.folder_of(source),
        dtype=_dtype(source, settings, plain),
        trust_remote_code=False,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        **options,
    )


def _folder_options(source: Path) -> dict[str, Any]:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    config._attn_implementation = None  # it may name a kernel, which would be fetched from the hub and run
    return {"use_safetensors": True, "config": config}


def _gguf_options(source: Path) -> dict[str, Any]:
    import transformers
    from transformers import modeling_gguf_pytorch_utils as loader
    from transformers.utils import logging

    loader.__dict__["tqdm"] = logging.tqdm  # its bar does not ask whether bars are wanted
    options: dict[str, Any] = {"gguf_file": source.name}
    if hasattr(transformers, "GgufConfig"):
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    return options


def _dtype(source: Path, settings: ModelSettings, plain: bool) -> torch.dtype:
    """The precision that the weights are read in."""
    if settings.precision == "bf16" and not plain:
        return torch.bfloat16
    if settings.precision == "fp32":
        return torch.float32
    return _stored_in(source)


def _stored_in(source: Path) -> torch.dtype:
    """The precision of the weights in a folder, fp32 if it is not the same for all: asked of the files, for a
    config may say less than they hold.
    """
    stored: set[str] = set()
    for path in reader.folder_of(source).glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            stored |= {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118  (not a dict)
    if stored == {"BF16"}:
        return torch.bfloat16
    return torch.float16 if stored == {"F16"} else torch.float32


def with_head(causal: Any, seed: int = 0) -> Any:
    """The body of a causal model under a new scalar head, drawn from N(0, 1 / (hidden + 1)) by the seed.

    Raises:
        ModelError: transformers has no classifier on the same body.
    """
    from transformers import AutoModelForSequenceClassification

    causal.config.num_labels = 1
    try:
        with torch.device("meta"):
            model = AutoModelForSequenceClassification.from_config(causal.config, trust_remote_code=False)
    except ValueError as error:
        raise ModelError(
            f"transformers has no classifier for {type(causal).__name__}",
            where=causal.name_or_path,
            remedy="take another model",
        ) from error
    same_body = type(model.base_model) is type(causal.base_model)
    if not isinstance(getattr(model, "score", None), nn.Linear) or not same_body:
        raise ModelError(
            f"the classifier of {type(causal).__name__} has no head named score on the same body",
            where=causal.name_or_path,
            remedy="take another model",
        )
    width = model.score.in_features
    setattr(model, model.base_model_prefix, causal.base_model)
    weight = torch.randn(1, width, generator=torch.Generator().manual_seed(seed)) / (width + 1) ** 0.5
    model.score = nn.Linear(width, 1, bias=False, dtype=causal.dtype)
    model.score.weight.data.copy_(weight)
    model.config, model.name_or_path = causal.config, causal.name_or_path
    taken_over(model, causal)
    return model
