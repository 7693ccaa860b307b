"""LoRA adapters through PEFT: put on a model, read from a folder, added to the weights, saved as one adapter
of the model below them all.

Sums are taken in fp32, whatever the weights are stored in: an adapter moves a weight by less than half a step
of bf16, and a sum in bf16 loses it.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from ..errors import ConfigError, ModelError
from ..settings import AdapterSettings
from .folder import adapted_modules, tensors
from .stacked import Part, as_one, check_savable, note_below, part_of, parts_of


@contextmanager
def quiet() -> Iterator[None]:
    """PEFT still asks transformers for an attribute under its old name, and warns of tied weights, which
    `merged` unties.
    """
    tied_weights = "(?s).*(tie_word_embeddings|embeddings are no longer tied|ensure_weight_tying).*"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message=tied_weights)
        yield


def add(model: Any, settings: AdapterSettings, *, task: Literal["CAUSAL_LM", "SEQ_CLS"]) -> Any:
    """The model under a new LoRA adapter (Hu et al. 2021), which alone trains; a scalar head trains in full
    and is saved inside.

    Raises:
        ConfigError: the model has no module of a name in `settings.target`.
    """
    from peft import LoraConfig, get_peft_model

    targets: str | list[str] = settings.target
    if settings.target != "all-linear":
        targets = [name.strip() for name in settings.target.split(",")]
    head = ["score"] if task == "SEQ_CLS" else None
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        task_type=task,
        modules_to_save=head,
        exclude_modules=head,
    )
    try:
        with quiet():  # no cast to fp32: the optimizer keeps fp32 masters of bf16 adapters
            return get_peft_model(model, config, autocast_adapter_dtype=False)
    except ValueError as error:
        raise ConfigError(
            f"no adapter fits on {settings.target!r}: {error}",
            remedy="all-linear, or names of the model's linear layers",
        ) from error


def attach(model: Any, folder: Path, *, trainable: bool) -> Any:
    """The model under the LoRA adapter of a checked folder (`folder.check_folder`), whose weights are rounded
    to what the model's are in.

    Raises:
        ModelError: a reward adapter without its head.
    """
    from peft import LoraConfig, PeftModel

    config = LoraConfig.from_pretrained(str(folder))
    assert isinstance(config, LoraConfig)  # any other kind is refused before
    if config.task_type == "SEQ_CLS":
        _check_head(folder)
    _fit_vocabulary(model, folder)
    if config.exclude_modules or config.layers_pattern or isinstance(config.target_modules, str):
        # Expressions of others may take for ever: the modules are named one by one.
        config.target_modules = adapted_modules(folder)
        config.exclude_modules = config.layers_pattern = config.layers_to_transform = None
    with quiet():
        return PeftModel.from_pretrained(
            model, str(folder), config=config, is_trainable=trainable, autocast_adapter_dtype=False
        )


def _check_head(folder: Path) -> None:
    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        if not any(name.endswith("score.weight") for name in file.keys()):  # noqa: SIM118  (not a dict)
            raise ModelError(
                "the reward adapter was saved without its head, so its scores would be random",
                where=str(folder),
                remedy='train it again with modules_to_save=["score"]',
            )


def _fit_vocabulary(model: Any, folder: Path) -> None:
    """Give the model as many tokens as an adapter has that was trained with new ones, and holds the embedding
    (and the head) of them all.
    """
    held, rows = tensors(folder), model.get_input_embeddings().weight.shape[0]
    embedding = _place_of(model, model.get_input_embeddings())
    ends = [embedding]
    if model.get_output_embeddings() is not None:
        ends.append(_place_of(model, model.get_output_embeddings()))
    wanted = {name: held.get(f"base_model.model.{name}.weight", (rows,))[0] for name in ends}
    counts = set(wanted.values())
    factors = {shape[1] for name, shape in held.items() if name.endswith("lora_embedding_A")}
    one_side_alone = counts != {rows} and len(counts) > 1 and not tied(model)
    if factors - {wanted[embedding]} or one_side_alone:
        raise ModelError(
            f"the adapter was trained with {max(factors | counts)} tokens, its base has {rows}, and it does "
            "not hold all the rest of them",
            where=str(folder),
            remedy="merge it into its base where it was trained, and name the merged folder",
        )
    if max(counts) != rows:
        model.resize_token_embeddings(max(counts), mean_resizing=False)
        note_below(model, Part({}, tuple(ends), ""))  # what the adapter holds of them is saved again with it


def _place_of(model: Any, module: nn.Module) -> str:
    """The name under which a module stands first in the model."""
    return next(name for name, one in model.named_modules(remove_duplicate=False) if one is module)


def merged(model: Any) -> Any:
    """The plain model with its adapter, if it has one, added to the weights in fp32. A tied weight of which
    the adapter changes one side is untied.
    """
    if not hasattr(model, "peft_config"):
        return model
    plain = bare(cast(model, torch.float32))
    note_below(plain, part_of(model))
    _untie(plain)
    with quiet():
        try:
            model.merge_and_unload()
        except RuntimeError as error:  # as PEFT says it: a bias, of layers that have none
            raise ModelError(
                f"the adapter cannot be added to the weights: {error}",
                where=plain.name_or_path,
                remedy="an adapter without lora_bias",
            ) from error
    say_untied(plain)
    return plain


def cast(model: Any, dtype: torch.dtype) -> Any:
    """The model with its weights in another precision. What is computed and not stored stays: rotary
    frequencies in bf16 would put tokens elsewhere.
    """
    for tensor in model.state_dict(keep_vars=True).values():
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(dtype)
    return model


def bare(model: Any) -> Any:
    """The model of transformers inside PEFT's wrapper; the adapter stays in its layers and at work."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def tied(model: Any) -> bool:
    """Whether the head's weights are the embedding's: asked of the tensors, since a config may say otherwise."""
    return model.get_output_embeddings().weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()


def say_untied(model: Any) -> None:
    """The config of a model whose head has weights of its own says so: who reads it next would tie them."""
    if model.get_output_embeddings() is not None and not tied(model):
        model.config.tie_word_embeddings = model.config.get_text_config().tie_word_embeddings = False


def _untie(plain: Any) -> None:
    """Weights of a layer that an adapter changes, and of another module too: the layer gets a copy."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    modules = [module for _, module in plain.named_modules(remove_duplicate=False)]
    owners: Counter[int] = Counter()
    for module in modules:
        owners.update(p.data_ptr() for p in module.parameters(recurse=False))
    for layer in modules:
        if isinstance(layer, BaseTunerLayer):
            base: Any = layer.get_base_layer()
            for name, p in list(base.named_parameters(recurse=False)):
                if owners[p.data_ptr()] > 1:
                    owners[p.data_ptr()] -= 1
                    setattr(base, name, nn.Parameter(p.detach().clone(), requires_grad=p.requires_grad))


def save(model: Any, folder: Path) -> None:
    """The adapter as PEFT reads it, on the model below all adapters; those that lie below it are written into
    it.
    """
    plain, config = bare(model), model.peft_config[model.active_adapter]
    config.base_model_name_or_path = plain.name_or_path
    if parts := parts_of(model):
        check_savable(model, plain.name_or_path)
        config, weights = as_one(model, parts)
        folder.mkdir(parents=True)
        save_file(weights, folder / "adapter_model.safetensors", {"format": "pt"})
        config.save_pretrained(str(folder))
    else:
        # Embeddings are never resized here, and asking whether they were would ask the hub.
        model.save_pretrained(str(folder), save_embedding_layers=False)
