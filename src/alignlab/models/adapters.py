"""LoRA adapters through PEFT: put on a model, read from a folder, merged into the weights."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from safetensors import safe_open

from ..errors import ConfigError, ModelError
from ..settings import AdapterSettings
from .folder import adapted_modules


@contextmanager
def quiet() -> Iterator[None]:
    """PEFT still asks transformers for an attribute under its old name; the warning means nothing to who trains."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        yield


def add(model: Any, settings: AdapterSettings, *, task: Literal["CAUSAL_LM", "SEQ_CLS"]) -> Any:
    """The model under a new LoRA adapter (Hu et al. 2021), which alone trains; a scalar head trains in full and is saved inside.

    Raises:
        ConfigError: the model has no module of a name in `settings.target`.
    """
    from peft import LoraConfig, get_peft_model

    targets: str | list[str] = settings.target
    if settings.target != "all-linear":
        targets = [name.strip() for name in settings.target.split(",")]
    head = ["score"] if task == "SEQ_CLS" else None
    config = LoraConfig(r=settings.rank, lora_alpha=settings.alpha, lora_dropout=settings.dropout, target_modules=targets, task_type=task,
                        modules_to_save=head, exclude_modules=head)
    try:
        with quiet():
            return get_peft_model(model, config, autocast_adapter_dtype=False)  # the optimiser keeps fp32 masters of bf16 adapters
    except ValueError as error:
        raise ConfigError(f"no adapter fits on {settings.target!r}: {error}", remedy="all-linear, or names of the model's linear layers") from error


def attach(model: Any, folder: Path, *, trainable: bool) -> Any:
    """The model under the adapter of a PEFT folder.

    Raises:
        ModelError: a kind of adapter that is not in the weights (prompt tuning), or a reward adapter without its head.
    """
    from peft import PeftConfig, PeftModel

    config = PeftConfig.from_pretrained(str(folder))
    if config.is_prompt_learning:
        raise ModelError(f"the adapter is of type {config.peft_type}, which adds tokens instead of weights", where=str(folder), remedy="use LoRA")
    if config.task_type == "SEQ_CLS":
        with safe_open(folder / "adapter_model.safetensors", "pt") as file:
            if not any(name.endswith("score.weight") for name in file.keys()):  # noqa: SIM118  (not a dict)
                raise ModelError("the reward adapter was saved without its head, so its scores would be random", where=str(folder),
                                 remedy='train it again with modules_to_save=["score"]')
    if config.exclude_modules or config.layers_pattern or isinstance(config.target_modules, str):  # expressions of others may take for ever
        config.target_modules, config.exclude_modules, config.layers_pattern, config.layers_to_transform = adapted_modules(folder), None, None, None
    with quiet():
        return PeftModel.from_pretrained(model, str(folder), config=config, is_trainable=trainable, autocast_adapter_dtype=False)


def merged(model: Any) -> Any:
    """The plain model with its adapter, if it has one, added to the weights."""
    return model.merge_and_unload() if hasattr(model, "peft_config") else model


def bare(model: Any) -> Any:
    """The model of transformers inside PEFT's wrapper; the adapter stays in its layers and at work."""
    return model.get_base_model() if hasattr(model, "peft_config") else model
