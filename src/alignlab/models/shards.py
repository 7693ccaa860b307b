"""Sharded weights: each of several processes holds a part of every weight, of its gradient and of its moments
(FSDP2, by the plan that transformers has for the model).

The weights of a layer are put together while it works. So weights are read within the model's own forward
pass and nowhere else, and every process makes the same passes in the same order: one that has no row to read
takes another's, and gives it no weight (`share`). Gradients are added and never divided, as those of
processes that have the whole model each are.

The whole model is in each process's memory once, while it is loaded, and again in that of the first one when
a state or the model is saved: models of up to a few billion weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..run import ranks
from ..text.escapes import first_line

T = TypeVar("T")
WITHOUT = "leave model.shard out; or dense weights, all of them trained, by several processes (--devices N)"
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")  # of a config, where a model has some


def check_shareable(model: Any, device: torch.device, *, adapter: bool = False) -> None:
    """Raise ConfigError for a model whose weights this process cannot share with others."""
    there = torch.accelerator.current_accelerator() or torch.device("cpu")
    config = model.config.get_text_config()
    wrong = {
        "shares weights among processes, and this one is alone": ranks.size() == 1,
        "and an adapter": adapter or hasattr(model, "peft_config"),
        "and a mixture of experts": any(getattr(config, name, None) for name in EXPERTS),
        f"on {device.type}, where there is {there.type}": device.type != there.type or device.type == "mps",
    }
    for what, is_so in wrong.items():
        if is_so:
            raise ConfigError(f"model.shard {what}", remedy=WITHOUT)


def sharded(model: Any) -> Any:
    """A model of fp32 weights, which becomes this process's part of it, on the process's device.

    Raises:
        ConfigError: transformers has no plan for this kind of model.
    """
    from transformers.distributed.configuration_utils import DistributedConfig

    ranks.met()
    tied = _tied(model)  # left to the root, which keeps them as one weight
    model.fsdp_plan = {name: style for name, style in model.fsdp_plan.items() if name not in tied}
    try:
        config, _, mesh = model.prepare_distribute_model(DistributedConfig(fsdp_size=ranks.size()))
        model = model.maybe_distribute_model(model, config, mesh)
    except ValueError as error:
        raise ConfigError(f"model.shard: {first_line(error)}", remedy=WITHOUT) from error
    for module in _units(model):
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)
    assert factors(model) == {(1.0, True)}, "gradients of sharded weights would be divided"
    del model.config.distributed_config  # of this run, and not of the model
    return model


def is_sharded(model: Any) -> bool:
    """Whether this is one process's part of a model."""
    return getattr(model, "_is_fsdp_managed_module", False)


def factors(model: nn.Module) -> set[tuple[float | None, bool]]:
    """What gradients are divided by, and whether they are added up without a mean, over all parts."""
    groups = [group for module in _units(model) for group in module._get_fsdp_state()._fsdp_param_groups]
    return {(group.gradient_divide_factor, group.force_sum_reduction_for_comms) for group in groups}


def share(model: Any, rows: Sequence[T]) -> tuple[Sequence[T], bool]:
    """This process's part of the rows of a micro-batch, and whether they count. A process without a row of
    its own has nothing to do; if the model is sharded, it reads the first, which is another's.
    """
    own = ranks.mine(rows)
    if own or not is_sharded(model):
        return own, True
    return rows[:1], False


def parts(model: Any, micro_batches: Iterable[Sequence[T]]) -> Iterator[tuple[Sequence[T], bool]]:
    """What `share` gives of each micro-batch, where this process has something to read."""
    for rows in micro_batches:
        part, counts = share(model, rows)
        if part:
            yield part, counts


def let_go(model: nn.Module) -> None:
    """Of weights that are still together after a pass that no backward pass follows, this process keeps its
    part again: it is that which is trained and saved.
    """
    for module in _units(model):
        module.reshard()


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """The whole state of a sharded model, for the first process; all ask for it at once. What is tied is the
    same tensor.
    """
    state: dict[str, Tensor] = {}
    known: dict[int, Tensor] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in known:
            known[id(tensor)] = put_together(tensor)
        state[name] = known[id(tensor)]
    return {} if ranks.rank() else state


def put_together(tensor: Tensor) -> Tensor:
    """The tensor that this is a part of, on the CPU of the first process, which is to write it; elsewhere an
    empty one. All processes ask for it at once.
    """
    together = whole(tensor).detach()
    return together.new_empty(0) if ranks.rank() else together.cpu()


def whole(tensor: Tensor) -> Tensor:
    """The tensor that this is a part of, if it is one: all processes ask for it at once."""
    return tensor.detach().full_tensor() if is_part(tensor) else tensor  # type: ignore[attr-defined]


def like(tensor: Tensor, value: Tensor) -> Tensor:
    """A copy of the value where the tensor is, and of the same part of it, if the tensor is one."""
    if not is_part(tensor):
        return value.to(tensor.device, copy=True)
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(tensor, DTensor)
    value = value.to(tensor.device)
    return distribute_tensor(value, tensor.device_mesh, tensor.placements, src_data_rank=None).clone()


def is_part(tensor: Tensor) -> bool:
    """Whether this is this process's part of a weight, a gradient or a moment."""
    if ranks.size() == 1:
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def _units(model: nn.Module) -> list[Any]:
    from torch.distributed.fsdp import FSDPModule

    return [module for module in model.modules() if isinstance(module, FSDPModule)]


def _tied(model: Any) -> set[str]:
    """The names of embedding and head, if they share a weight."""
    ends = [model.get_input_embeddings(), model.get_output_embeddings()]
    if ends[1] is None or ends[0].weight is not ends[1].weight:
        return set()
    return {name for name, module in model.named_modules() if any(module is end for end in ends)}
