"""What the configuration of a model claims, held against the tensors beside it: numbers that no model has,
weights that lie elsewhere, an adapter that is none.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

from ..errors import ModelError
from .folder_files import read_json
from .headers import Shapes

LAYERS = re.compile(r"layers?$|n_layer|depths?$|stages?$|blocks?$|attention_types")
COUNTS = (
    (LAYERS, 1_000),
    (re.compile(r"head|expert"), 2**16),
    (re.compile(r"position|context|length|window|n_ctx|max_seq|_id$|_ids$|_index$|theta|seed|pixels"), 2**31),
)
"""What whole numbers of a configuration may be, by their names; any other is at most 2**24, or a side of the
largest tensor."""
HEADS = ("score", "classifier")
"""Modules that PEFT says a classifier saves, whether or not it has one of that name."""
PLAIN = re.compile(r"[\w.$^-]+")
"""A module's name, not an expression that could take long."""
MERGE = "merge it into its base with PEFT, and name the merged folder"


def check_index(index: dict[str, Any], path: Path, names: list[str]) -> None:
    """Raise ModelError for an index that names what is no file of weights in the folder."""
    listed = index.get("weight_map")
    if not isinstance(listed, dict):
        raise ModelError(
            "the index of the weights has no weight_map",
            where=str(path),
            remedy="copy the model folder again",
        )
    if not path.name.endswith(".safetensors.index.json"):
        return
    for name in set(map(str, listed.values())):
        if name not in names or not name.endswith(".safetensors"):
            raise ModelError(
                f"the index of the weights names {name!r:.100}, which is no file of weights in this folder",
                where=str(path),
                remedy="copy the whole model folder",
            )


def widest_side(shapes: Shapes) -> int:
    """The largest side of any tensor."""
    return max((max(shape, default=0) for shape in shapes.values()), default=0)


def check_settings(settings: dict[str, Any], path: Path, widest: int) -> None:
    """Raise ModelError for a number in a configuration that no model has, or that the tensors beside it (the
    largest side of which is `widest`) are too small for; for ids and weights that are none.
    """
    rest: list[tuple[str, Any]] = list(settings.items())
    while rest:
        name, value = rest.pop()
        if isinstance(value, dict):
            rest += [(str(key), one) for key, one in value.items()]
        elif isinstance(value, list):
            rest += [(name, one) for one in value]
        if _is_too_many(name, value, widest):
            sides = f", and the largest tensor has a side of {widest:,}" if name == "num_labels" else ""
            raise ModelError(
                f"the configuration claims {name} = {value!r:.30}{sides}",
                where=str(path),
                remedy="copy or download the model again; no model that is loaded here has so many",
            )
        if name.endswith("token_id") and not _is_token_id(value):
            raise ModelError(
                f"{name} = {value!r:.60} is no token id",
                where=str(path),
                remedy="copy the model folder again",
            )
        if name in ("score_mean", "score_std") and not _is_finite(value):
            raise ModelError(
                f"{name} = {value!r:.60} is no number", where=str(path), remedy="copy the model folder again"
            )
        if name == "transformers_weights" and not _is_beside(value):
            raise ModelError(
                f"the weights are said to lie elsewhere: {value!r:.100}",
                where=str(path),
                remedy="copy the whole model folder",
            )


def _is_too_many(name: str, value: Any, widest: int) -> bool:
    """Whether a whole number (of layers, any number) is more than `COUNTS` allows."""
    layers = LAYERS.search(name) is not None
    if isinstance(value, bool) or not isinstance(value, (int, float) if layers else int):
        return False
    return abs(value) > _most(name, widest) or (layers and value < 0)


def _most(name: str, widest: int) -> int:
    if name == "num_labels":
        return widest
    for known, most in COUNTS:
        if known.search(name):
            return most
    return max(2**24, widest)


def _is_token_id(value: Any) -> bool:
    """One, several or none."""
    if isinstance(value, list):
        return all(type(one) is int for one in value)
    return value is None or type(value) is int


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < math.inf


def _is_beside(value: Any) -> bool:
    """Whether a file of weights, if one is named, lies in the folder itself."""
    return value is None or (isinstance(value, str) and Path(value).name == value)


def check_bases(adapter: Path) -> None:
    """Raise ModelError for an adapter that stands on itself, over however many others, or whose base has no
    name.
    """
    at, seen = adapter, set[Path]()
    while os.path.isfile(at / "adapter_config.json"):  # of a name that is too long for the system, too
        if at.resolve() in seen:
            raise ModelError(
                "the adapter is said to stand on itself",
                where=str(adapter / "adapter_config.json"),
                remedy="set base_model_name_or_path in it to where the base model lies",
            )
        seen.add(at.resolve())
        base = read_json(at / "adapter_config.json").get("base_model_name_or_path") or ""
        if not isinstance(base, str) or "\0" in base:
            raise ModelError(
                f"the adapter's base model is {base!r:.60}, which is no name",
                where=str(at / "adapter_config.json"),
                remedy="set base_model_name_or_path in it to where the base model lies",
            )
        if not base:
            return
        at = Path(base)


def check_lora(config: dict[str, Any], folder: Path, shapes: Shapes) -> None:
    """Raise ModelError for an adapter that is no LoRA adapter, or that claims what its tensors are not."""
    where = str(folder / "adapter_config.json")

    def refuse(
        what: str, remedy: str = "take it from where it was published, or train it again"
    ) -> ModelError:
        return ModelError(f"the adapter {what}", where=where, remedy=remedy)

    if config.get("peft_type") != "LORA":
        raise refuse(f"is of type {config.get('peft_type')!r:.40}, and only LoRA is read here", MERGE)
    for name in ("layer_replication", "megatron_config", "loftq_config", "eva_config", "corda_config"):
        if config.get(name):
            raise refuse(f"asks for {name}, which is not done here", MERGE)
    rows = _lora_rows(shapes)
    ranks, alphas = config.get("rank_pattern") or {}, config.get("alpha_pattern") or {}
    if not isinstance(ranks, dict) or not isinstance(alphas, dict):
        raise refuse("has a rank_pattern or alpha_pattern that is no table")
    for name, rank in (("r", config.get("r", 8)), *ranks.items()):
        if type(rank) is not int or not 1 <= rank <= max(rows, 1):
            raise refuse(f"claims rank {rank!r:.40} ({name:.60}), and its tensors have {rows}")
    for name, alpha in (("lora_alpha", config.get("lora_alpha", 8)), *alphas.items()):
        if type(alpha) not in (int, float) or not abs(alpha) < math.inf:
            raise refuse(f"scales {name:.60} by {alpha!r:.40}, which is no number")
    saved = config.get("modules_to_save") or []
    if not isinstance(saved, list) or len(saved) > 100 or not all(_is_saved(name, shapes) for name in saved):
        raise refuse("saves modules that its tensors are not")
    expressions = [*ranks, *alphas, *saved]
    for name in expressions:
        if not PLAIN.fullmatch(name):
            raise refuse(
                f"names modules by an expression, {name!r:.80}",
                "write the modules' names in rank_pattern and alpha_pattern",
            )
    if len(expressions) > 10_000:
        raise refuse(f"names {len(expressions):,} modules")
    dropout = config.get("lora_dropout") or 0.0
    if type(dropout) not in (int, float) or not 0 <= dropout < 1:
        raise refuse(f"has a dropout of {dropout!r:.40}")
    for name in ("target_modules", "exclude_modules", "layers_pattern", "target_parameters"):
        if not _is_names(config.get(name)):
            raise refuse(f"has a {name} that is neither a name nor a list of names")
    if config.get("target_parameters"):
        raise refuse("is put on parameters (target_parameters), which is not read here", MERGE)


def _lora_rows(shapes: Shapes) -> int:
    """The largest rank among the adapter's tensors."""
    ranks = [shape[0] for name, shape in shapes.items() if ".lora_A." in name or ".lora_embedding_A" in name]
    return max(ranks, default=0)


def _is_saved(name: Any, shapes: Shapes) -> bool:
    """Whether the adapter's tensors hold a module of that name, which PEFT says it saves."""
    if name in HEADS:
        return True
    return isinstance(name, str) and any(f".{name}." in f".{tensor}" for tensor in shapes)


def _is_names(value: Any) -> bool:
    """A name, a list of names, or none."""
    if isinstance(value, list):
        return all(isinstance(one, str) for one in value)
    return value is None or isinstance(value, str)
