"""Adapters that lie one upon the other: what each adds to the model below, and all of them as one adapter.

An adapter that is saved stands on the model below them all. With A and B one upon the other, s B A is the sum
of theirs, and nothing is rounded.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelError

Factors = tuple[Tensor, Tensor, float]
"""A (r, in), B (out, r) and the scale of s B A."""


@dataclass(frozen=True)
class Part:
    """What one adapter adds to a model, by name of the module.

    Attributes:
        factors: of each module that it changes.
        whole: modules that the adapter holds in full, in place of the model's own.
        kind: empty, or what it is that factors and whole modules cannot say (DoRA, IA3, biases).
    """

    factors: dict[str, Factors]
    whole: tuple[str, ...]
    kind: str


_below: weakref.WeakKeyDictionary[nn.Module, list[Part]] = weakref.WeakKeyDictionary()
"""Adapters that were added to the weights of a plain model, the lowest first: an adapter that is saved holds them
too."""


def note_below(plain: nn.Module, part: Part) -> None:
    """Note that an adapter was added to the weights of a plain model, upon those that were added before."""
    _below[plain] = [*_below.get(plain, []), part]


def taken_over(model: Any, source: Any) -> None:
    """Note that a model was made of the body of another, adapters that were added to that body included."""
    names = {name for name, _ in model.named_modules()}
    _below[model] = [_among(part, names) for part in _below.get(source, [])]


def _among(part: Part, names: set[str]) -> Part:
    """What an adapter adds to the modules of these names."""
    factors = {name: each for name, each in part.factors.items() if name in names}
    return Part(factors, tuple(name for name in part.whole if name in names), part.kind)


def _base_layer(module: Any) -> Any:
    return module.get_base_layer() if hasattr(module, "get_base_layer") else module


def parts_of(model: Any) -> list[Part]:
    """The adapters in the weights of a model under an adapter, the lowest first, and last the one that it
    wears; none if its weights hold none.
    """
    lower = _below.get(model.get_base_model(), [])
    return [*lower, part_of(model)] if lower else []


def check_savable(model: Any, where: str) -> None:
    """Raise ModelError for an adapter on top of others that cannot be saved as one with them: said before it
    is trained.
    """
    for part in parts_of(model):
        if part.kind:
            raise ModelError(
                f"an adapter with {part.kind} cannot be saved together with one on top of it",
                where=where,
                remedy="write the model without adapters by `alignlab export --merge --model M --out FOLDER`, "
                "and train on that",
            )


def part_of(model: Any) -> Part:
    """What the model's adapter adds."""
    from peft import LoraConfig
    from peft.tuners.lora import Embedding, Linear
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper, ModulesToSaveWrapper

    name = model.active_adapter
    config = model.peft_config[name]
    if type(config) is not LoraConfig:
        return _of_kind(f"{config.peft_type.value} weights")
    if config.bias != "none" or config.lora_bias:
        return _of_kind("biases of its own")
    if config.init_lora_weights not in (True, False, "gaussian", "orthogonal"):
        return _of_kind(f"weights begun by {config.init_lora_weights}")
    factors: dict[str, Factors] = {}
    whole: list[str] = []
    for at, module in model.get_base_model().named_modules():
        layer: Any = module
        if type(module) is ModulesToSaveWrapper:
            whole.append(at)
        elif isinstance(module, AuxiliaryTrainingWrapper):
            return _of_kind("single tokens that it trains")
        elif isinstance(module, BaseTunerLayer):
            if type(module) not in (Linear, Embedding) or layer.lora_variant:
                return _of_kind(f"layers that are more than LoRA ({at})")
            if type(module) is Embedding:
                a, b = layer.lora_embedding_A[name], layer.lora_embedding_B[name]
            else:
                a, b = layer.lora_A[name].weight, layer.lora_B[name].weight
            factors[at] = a.detach().cpu(), b.detach().cpu(), layer.scaling[name]
    return Part(factors, tuple(whole), "")


def _of_kind(kind: str) -> Part:
    """An adapter that cannot be told by factors and whole modules."""
    return Part({}, (), kind)


def as_one(model: Any, parts: Sequence[Part]) -> tuple[Any, dict[str, Tensor]]:
    """Configuration and weights, as PEFT names them, of one adapter that is all the parts; the last is the
    one that the model wears.
    """
    whole = _once(name for part in parts for name in part.whole)
    changed = _once(name for part in parts for name in part.factors)
    layers = [name for name in changed if name not in whole]
    ranks = [_rank(part) for part in parts]
    config = _config_of_all(model, parts[-1], sum(ranks), layers, whole)
    weights: dict[str, Tensor] = {}
    for name in layers:
        a, b = _joined(name, parts, ranks, config)
        a_name, b_name = "lora_A.weight", "lora_B.weight"
        if isinstance(_base_layer(model.get_base_model().get_submodule(name)), nn.Embedding):
            a_name, b_name = "lora_embedding_A", "lora_embedding_B"
        weights |= {f"base_model.model.{name}.{a_name}": a, f"base_model.model.{name}.{b_name}": b}
    for name in whole:
        for key, tensor in _held_in_full(model, name, changed=name in parts[-1].factors).items():
            weights[f"base_model.model.{name}.{key}"] = tensor
    return config, {name: tensor.contiguous().clone() for name, tensor in weights.items()}


def _once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _rank(part: Part) -> int:
    """The largest rank of a part."""
    return max((len(a) for a, _, _ in part.factors.values()), default=0)


def _config_of_all(model: Any, worn: Part, rank: int, layers: list[str], whole: list[str]) -> Any:
    """The worn adapter's configuration, for all parts together: their ranks add up."""
    largest = max(scale for _, _, scale in worn.factors.values())
    config = copy.copy(model.peft_config[model.active_adapter])
    config.r, config.lora_alpha = rank, max(1, round(rank * largest))
    config.use_rslora, config.rank_pattern, config.alpha_pattern = False, {}, {}
    config.target_modules, config.modules_to_save = layers, whole or None
    for key in ("exclude_modules", "layers_to_transform", "layers_pattern", "layer_replication"):
        setattr(config, key, None)
    config.inference_mode, config.ensure_weight_tying = True, False
    return config


def _joined(name: str, parts: Sequence[Part], ranks: Sequence[int], config: Any) -> tuple[Tensor, Tensor]:
    """A and B of a layer, each part's beside the others'. A part that leaves this layer alone, or has a lower
    rank here, adds nothing in the rest.

    Args:
        ranks: how many rows of A each part has.
        config: of the whole adapter, by whose scale B is divided.
    """
    a_known, b_known, _ = next(part.factors[name] for part in parts if name in part.factors)
    nothing = a_known[:0], b_known[:, :0], 0.0
    rows, columns = [], []
    for part, rank in zip(parts, ranks, strict=True):
        a, b, scale = part.factors.get(name, nothing)
        less = rank - len(a)
        rows.append(torch.cat([a, a.new_zeros(less, a.shape[1])]))
        columns.append(torch.cat([b, b.new_zeros(len(b), less)], 1) * (scale * config.r / config.lora_alpha))
    return torch.cat(rows), torch.cat(columns, 1)


def _held_in_full(model: Any, name: str, *, changed: bool) -> dict[str, Tensor]:
    """The weights of a module that an adapter holds in full; `changed` by the adapter that the model wears."""
    from peft.utils.other import ModulesToSaveWrapper

    module: Any = model.get_base_model().get_submodule(name)
    if isinstance(module, ModulesToSaveWrapper):
        module = module.modules_to_save[model.active_adapter]
    state = {key: tensor.detach().cpu() for key, tensor in _base_layer(module).state_dict().items()}
    if changed:
        state["weight"] = state["weight"] + module.get_delta_weight(model.active_adapter).detach().cpu()
    return state
