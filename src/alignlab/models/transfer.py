"""Weights on their way from a trainer to who samples for it, through a folder that both see.

The folder is one that transformers and vLLM read: `*.safetensors` under the names of the hub. Beside them
lies `update.json`: the version, and the SHA-256 of each file. The version is made from those, so that two
folders of one version hold the same bits.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from ..errors import ModelError
from ..text.disk import write_whole
from . import adapters
from .folder import PICKLES
from .folder_files import read_json, regular_files
from .headers import LARGEST_HEADER, read_file

NOTE = "update.json"
AGAIN = "write the folder again, whole, and send it again; the weights from before stay"


def write(model: Any, folder: Path, state: Mapping[str, Tensor] | None = None) -> str:
    """The weights of a model in a folder, in the place of what was there; an adapter is added to them.
    Returns their version. Raises OSError.

    Args:
        state: the weights, where the model has only a part of them (`shards.state_of`).
    """
    whole = model
    if hasattr(model, "peft_config"):
        dtype = adapters.bare(model).dtype
        whole = adapters.cast(adapters.merged(copy.deepcopy(model)), dtype)
    with write_whole(folder, sync=False) as staging:
        whole.save_pretrained(staging, state_dict=state)
        sums = {path.name: _digest(path.read_bytes()) for path in sorted(staging.glob("*.safetensors"))}
        version = _digest(json.dumps(sums).encode())[:32]
        (staging / NOTE).write_text(json.dumps({"version": version, "sha256": sums}), encoding="utf-8")
    return version


def read(folder: Path, model: Any) -> tuple[str, dict[str, Tensor]]:
    """The version of a folder, and its weights by the names under which the model has them.

    Raises:
        ModelError: pickled weights, a link out of the folder, a file that is cut, missing or not what the
            note says; weights of another model, shape or precision.
    """
    names = regular_files(folder) if folder.is_dir() else []
    if pickled := [name for name in names if name.endswith(PICKLES)]:
        raise _refused(f"the folder holds pickled weights ({pickled[0]}), which can run code when opened")
    if NOTE not in names:
        raise _refused(f"the folder has no {NOTE}, which says its version and the SHA-256 of each file")
    note = read_json(folder / NOTE)
    version, sums = note.get("version"), note.get("sha256")
    if not isinstance(version, str) or not isinstance(sums, dict):
        raise _refused(f"its {NOTE} says no version, or no SHA-256")
    if set(sums) != {name for name in names if name.endswith(".safetensors")} or not sums:
        raise _refused(f"its {NOTE} does not speak of the *.safetensors that are there")
    served = model.state_dict()
    most = 2 * sum(tensor.nbytes for tensor in served.values()) + LARGEST_HEADER
    found: dict[str, Tensor] = {}
    for name in sums:
        try:
            raw = read_file(folder / name, most)
            most -= len(raw)
            if _digest(raw) != sums[name]:
                raise _refused(f"{name} is cut or changed: its SHA-256 is not the one that {NOTE} says")
            found |= load(raw)
        except (OSError, SafetensorError, ValueError) as error:
            raise _refused(f"{name} cannot be read: {error!s:.200}") from None
    _check(found, served)
    return version, found


def put(model: Any, weights: Mapping[str, Tensor]) -> None:
    """Weights that `read` gave, into the model, in place."""
    served = model.state_dict()
    with torch.no_grad():
        for name, tensor in weights.items():
            served[name].copy_(tensor)


def _check(found: Mapping[str, Tensor], served: Mapping[str, Tensor]) -> None:
    """Raise ModelError unless all that the model has is there, and as the model has it. A tied weight is
    there under one of its names.
    """
    if foreign := sorted(found.keys() - served.keys()):
        raise _refused(f"they are of another model: this one has no {foreign[0]!r:.100}")
    places = {served[name].data_ptr() for name in found}
    missing = [name for name in served if name not in found and served[name].data_ptr() not in places]
    if missing:
        raise _refused(f"{len(missing)} weights are missing, {missing[0]} among them")
    for name, tensor in found.items():
        there = served[name]
        if tensor.shape != there.shape:
            shapes = f"{tuple(tensor.shape)}, and {tuple(there.shape)} here"
            raise _refused(f"they are of another model: {name} is {shapes}")
        if tensor.dtype != there.dtype:
            raise _refused(
                f"they are in another precision: {name} is {tensor.dtype}, and {there.dtype} here",
                "serve with --model.precision as it is trained",
            )
    for name, tensor in found.items():
        twins = [other for other in found if served[other].data_ptr() == served[name].data_ptr()]
        if any(not torch.equal(found[other], tensor) for other in twins if other != name):
            raise _refused(f"{name} is tied to {twins[0]} here, and the two differ")


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _refused(what: str, remedy: str = AGAIN) -> ModelError:
    return ModelError(f"these weights are not taken: {what}", remedy=remedy)
