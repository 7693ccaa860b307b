"""LoRA adapters through PEFT: put on a model, read from a folder, added to the weights, saved as one adapter
of the model below them all.

Sums are taken in fp32, whatever the weights are stored in: an adapter moves a weight by less than half a step
of bf16, and a sum in bf16 loses it.
"""

from __future__ import annotations

import copy
import warnings
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import ConfigError, ModelError
from ..settings import AdapterSettings
from .folder import adapted_modules, tensors


@dataclass(frozen=True)
class Part:
    """What one adapter adds to a model, by name of the module.

    Attributes:
        factors: A (r, in), B (out, r) and the scale of s B A.
        whole: modules that the adapter holds in full, in place of the model's own.
        kind: empty, or what it is that factors and whole modules cannot say (DoRA, IA3, biases).
    """

    factors: dict[str, tuple[Tensor, Tensor, float]]
    whole: tuple[str, ...]
    kind: str


_below: weakref.WeakKeyDictionary[nn.Module, list[Part]] = weakref.WeakKeyDictionary()
"""Adapters that were added to the weights of a plain model, the lowest first: an adapter that is saved holds them too."""


@contextmanager
def quiet() -> Iterator[None]:
    """PEFT still asks transformers for an attribute under its old name, and warns of tied weights, which
    `merged` unties.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        warnings.filterwarnings(
            "ignore",
            message="(?s).*(tie_word_embeddings|embeddings are no longer tied|ensure_weight_tying).*",
        )
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
        with quiet():
            return get_peft_model(
                model, config, autocast_adapter_dtype=False
            )  # the optimiser keeps fp32 masters of bf16 adapters
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
        with safe_open(folder / "adapter_model.safetensors", "pt") as file:
            if not any(name.endswith("score.weight") for name in file.keys()):  # noqa: SIM118  (not a dict)
                raise ModelError(
                    "the reward adapter was saved without its head, so its scores would be random",
                    where=str(folder),
                    remedy='train it again with modules_to_save=["score"]',
                )
    _fit_vocabulary(model, folder)
    if (
        config.exclude_modules or config.layers_pattern or isinstance(config.target_modules, str)
    ):  # expressions of others may take for ever
        config.target_modules, config.exclude_modules, config.layers_pattern, config.layers_to_transform = (
            adapted_modules(folder),
            None,
            None,
            None,
        )
    with quiet():
        return PeftModel.from_pretrained(
            model, str(folder), config=config, is_trainable=trainable, autocast_adapter_dtype=False
        )


def _fit_vocabulary(model: Any, folder: Path) -> None:
    """Give the model as many tokens as an adapter has that was trained with new ones, and holds the embedding
    (and the head) of them all.
    """
    held, rows = tensors(folder), model.get_input_embeddings().weight.shape[0]
    ends = {"embedding": model.get_input_embeddings(), "head": model.get_output_embeddings()}
    names = {
        what: next(name for name, module in model.named_modules(remove_duplicate=False) if module is end)
        for what, end in ends.items()
        if end is not None
    }
    wanted = {what: held.get(f"base_model.model.{name}.weight", (rows,))[0] for what, name in names.items()}
    factors = {shape[1] for name, shape in held.items() if name.endswith("lora_embedding_A")}
    if factors - {wanted["embedding"]} or (
        {*wanted.values()} != {rows} and len({*wanted.values()}) > 1 and not tied(model)
    ):
        raise ModelError(
            (
                f"the adapter was trained with {max(factors | {*wanted.values()})} tokens, its base has "
                f"{rows}, and it does not hold all the rest of them"
            ),
            where=str(folder),
            remedy="merge it into its base where it was trained, and name the merged folder",
        )
    if (most := max(wanted.values())) != rows:
        model.resize_token_embeddings(most, mean_resizing=False)
        _below[model] = [
            *_below.get(model, []),
            Part({}, tuple(names.values()), ""),
        ]  # what the adapter holds of them is saved again with it


def merged(model: Any) -> Any:
    """The plain model with its adapter, if it has one, added to the weights in fp32. A tied weight of which
    the adapter changes one side is untied.
    """
    if not hasattr(model, "peft_config"):
        return model
    plain = bare(cast(model, torch.float32))
    _below[plain] = [*_below.get(plain, []), _part(model)]
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


def taken_over(model: Any, source: Any) -> None:
    """Note that a model was made of the body of another, adapters that were added to that body included."""
    names = {name for name, _ in model.named_modules()}
    _below[model] = [
        Part(
            {name: f for name, f in part.factors.items() if name in names},
            tuple(n for n in part.whole if n in names),
            part.kind,
        )
        for part in _below.get(source, [])
    ]


def check_savable(model: Any, where: str) -> None:
    """Raise ModelError for an adapter on top of others that cannot be saved as one with them: said before it
    is trained.
    """
    lower = _below.get(bare(model), [])
    if lower and (kind := next((part.kind for part in [*lower, _part(model)] if part.kind), "")):
        raise ModelError(
            f"an adapter with {kind} cannot be saved together with one on top of it",
            where=where,
            remedy=(
                "write the model without adapters by `alignlab export --merge --model M --out FOLDER`, and "
                "train on that"
            ),
        )


def save(model: Any, folder: Path) -> None:
    """The adapter as PEFT reads it, on the model below all adapters.

    Adapters that lie below it are written into it: with A and B one upon the other, s B A is the sum of
    theirs, and nothing is rounded.
    """
    plain, config = bare(model), model.peft_config[model.active_adapter]
    config.base_model_name_or_path = plain.name_or_path
    if lower := _below.get(plain):
        check_savable(model, plain.name_or_path)
        config, weights = _as_one(model, [*lower, _part(model)])
        folder.mkdir(parents=True)
        save_file(weights, folder / "adapter_model.safetensors", {"format": "pt"})
        config.save_pretrained(str(folder))
    else:
        model.save_pretrained(
            str(folder), save_embedding_layers=False
        )  # they are never resized here, and asking would ask the hub


def _part(model: Any) -> Part:
    """What the model's adapter adds."""
    from peft import LoraConfig
    from peft.tuners.lora import Embedding, Linear
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper, ModulesToSaveWrapper

    name = model.active_adapter
    config = model.peft_config[name]
    if type(config) is not LoraConfig:
        return Part({}, (), f"{config.peft_type.value} weights")
    if config.bias != "none" or config.lora_bias:
        return Part({}, (), "biases of its own")
    if config.init_lora_weights not in (True, False, "gaussian", "orthogonal"):
        return Part({}, (), f"weights begun by {config.init_lora_weights}")
    factors, whole = {}, []
    for at, module in bare(model).named_modules():
        layer: Any = module
        if type(module) is ModulesToSaveWrapper:
            whole.append(at)
        elif isinstance(module, AuxiliaryTrainingWrapper):
            return Part({}, (), "single tokens that it trains")
        elif isinstance(module, BaseTunerLayer):
            if type(module) not in (Linear, Embedding) or layer.lora_variant:
                return Part({}, (), f"layers that are more than LoRA ({at})")
            pair = (
                (layer.lora_embedding_A[name], layer.lora_embedding_B[name])
                if type(module) is Embedding
                else (layer.lora_A[name].weight, layer.lora_B[name].weight)
            )
            factors[at] = (*(x.detach().cpu() for x in pair), layer.scaling[name])
    return Part(factors, tuple(whole), "")


def _as_one(model: Any, parts: list[Part]) -> tuple[Any, dict[str, Tensor]]:
    """Configuration and weights, as PEFT names them, of one adapter that is all the parts; the last is the
    one that the model wears.
    """
    from peft.utils.other import ModulesToSaveWrapper

    plain = bare(model)
    whole = list(dict.fromkeys(name for part in parts for name in part.whole))
    layers = [
        name for name in dict.fromkeys(name for part in parts for name in part.factors) if name not in whole
    ]
    ranks = [max((len(a) for a, _, _ in part.factors.values()), default=0) for part in parts]
    rank = sum(ranks)
    config = copy.copy(model.peft_config[model.active_adapter])
    config.r, config.lora_alpha = (
        rank,
        max(1, round(rank * max(scale for _, _, scale in parts[-1].factors.values()))),
    )
    config.use_rslora, config.rank_pattern, config.alpha_pattern = False, {}, {}
    config.target_modules, config.modules_to_save = layers, whole or None
    config.exclude_modules = config.layers_to_transform = config.layers_pattern = config.layer_replication = (
        None
    )
    config.inference_mode, config.ensure_weight_tying = True, False
    weights: dict[str, Tensor] = {}
    for name in layers:
        rows, columns = [], []
        for part, width in zip(parts, ranks, strict=True):
            known = next(p.factors[name] for p in parts if name in p.factors)
            a, b, scale = part.factors.get(name, (known[0][:0], known[1][:, :0], 0.0))
            less = width - len(
                a
            )  # an adapter that leaves this layer alone, or has a lower rank here, adds nothing in the rest
            rows.append(torch.cat([a, a.new_zeros(less, a.shape[1])]))
            columns.append(torch.cat([b, b.new_zeros(len(b), less)], 1) * (scale * rank / config.lora_alpha))
        embedding = isinstance(_base(plain.get_submodule(name)), nn.Embedding)
        a_name, b_name = (
            ("lora_embedding_A", "lora_embedding_B") if embedding else ("lora_A.weight", "lora_B.weight")
        )
        weights |= {
            f"base_model.model.{name}.{a_name}": torch.cat(rows),
            f"base_model.model.{name}.{b_name}": torch.cat(columns, 1),
        }
    for name in whole:
        module: Any = plain.get_submodule(name)
        if isinstance(module, ModulesToSaveWrapper):
            module = module.modules_to_save[model.active_adapter]
        state = {key: tensor.detach().cpu() for key, tensor in _base(module).state_dict().items()}
        if name in parts[-1].factors:
            state["weight"] = state["weight"] + module.get_delta_weight(model.active_adapter).detach().cpu()
        weights |= {f"base_model.model.{name}.{key}": tensor for key, tensor in state.items()}
    return config, {name: tensor.contiguous().clone() for name, tensor in weights.items()}


def _base(module: Any) -> Any:
    return module.get_base_layer() if hasattr(module, "get_base_layer") else module


def _untie(plain: Any) -> None:
    """Weights of a layer that an adapter changes, and of another module too: the layer gets a copy."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    modules = [module for _, module in plain.named_modules(remove_duplicate=False)]
    owners = Counter(p.data_ptr() for module in modules for p in module.parameters(recurse=False))
    for layer in modules:
        if isinstance(layer, BaseTunerLayer):
            base: Any = layer.get_base_layer()
            for name, p in list(base.named_parameters(recurse=False)):
                if owners[p.data_ptr()] > 1:
                    owners[p.data_ptr()] -= 1
                    setattr(base, name, nn.Parameter(p.detach().clone(), requires_grad=p.requires_grad))
