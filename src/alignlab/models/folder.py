"""What a model folder holds, looked at before anything is built from it. Folders are untrusted: no pickle is
opened, no code of a folder is run.

What a folder claims is held against its files: names against where they lead, sizes against the tensors that
are there, expressions against the time they may take. All of this needs neither torch nor transformers.
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import ModelError
from . import headers
from .headers import Shapes, parsed, read_file
from .tokenizer_files import why_refused

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
TRAINER_STATE = ("training_args", "optimizer", "scheduler", "scaler", "rng_state")
"""Pickles that transformers' Trainer leaves beside the weights; nobody opens them."""
TOKENIZERS = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tiktoken.model",
)
SIZES = {
    "tokenizer.json": 2**26,
    "vocab.json": 2**26,
    ".index.json": 2**25,
    "config.json": 2**22,
    "special_tokens_map.json": 2**22,
    "added_tokens.json": 2**22,
    "chat_template.json": 2**22,
    ".jinja": 2**22,
    "merges.txt": 2**26,
    "vocab.txt": 2**26,
    ".model": 2**26,
}
"""How many bytes the files that libraries read whole may have, by the end of their names."""
MOST_FILES = 10_000
COUNTS = (
    (re.compile(r"layers?$|n_layer|depths?$|stages?$|blocks?$|attention_types"), 1_000),
    (re.compile(r"head|expert"), 2**16),
    (re.compile(r"position|context|length|window|n_ctx|max_seq|_id$|_ids$|_index$|theta|seed|pixels"), 2**31),
)
"""What whole numbers of a configuration may be, by their names; any other is at most 2**24, or a side of the largest tensor."""
HEADS = ("score", "classifier")
"""Modules that PEFT says a classifier saves, whether or not it has one of that name."""
PLAIN = re.compile(r"[\w.$^-]+")
"""A module's name, not an expression that could take long."""


def check_folder(path: str | Path) -> None:
    """Raise ModelError for a model folder that is broken or not safe: code to run, pickled weights, no
    weights, no tokenizer; files that lead elsewhere, are no files, or claim what is not there.

    A PEFT folder may leave the tokenizer to its base.
    """
    folder = Path(path)
    names = _files(folder) if folder.is_dir() else []
    adapter = "adapter_config.json" in names
    if not adapter and "config.json" not in names:
        raise ModelError(
            f"{folder} is not a model folder: it has no config.json",
            where=str(folder),
            remedy="name a folder that transformers or PEFT wrote, or a hub name",
        )
    documents = {
        name: read_json(folder / name)
        for name in names
        if name.endswith(tuple(SIZES)) and name.endswith(".json")
    }
    for name, settings in documents.items():
        if name.endswith("config.json") and "auto_map" in settings:
            raise ModelError(
                f"{folder} wants to run code of its own (auto_map)",
                where=str(folder / name),
                remedy=(
                    "only architectures that transformers knows are loaded; remove auto_map if it is one of "
                    "them"
                ),
            )
    weights = [name for name in names if name.endswith(".safetensors")]
    pickles = [name for name in names if name.endswith(PICKLES) and not name.startswith(TRAINER_STATE)]
    if pickles:
        raise ModelError(
            f"{folder} holds pickled weights ({pickles[0]}), which can run code when opened",
            where=str(folder / pickles[0]),
            remedy="delete them: the safetensors beside them are what is loaded"
            if weights
            else "convert them to safetensors where you trust them, and delete the pickles",
        )
    if not weights or (adapter and "adapter_model.safetensors" not in weights):
        raise ModelError(
            f"{folder} holds no weights (*.safetensors)",
            where=str(folder),
            remedy="copy the whole model folder",
        )
    if not adapter and not any(name in names for name in TOKENIZERS):
        raise ModelError(
            f"{folder} has no tokenizer", where=str(folder), remedy="save the tokenizer into the same folder"
        )
    found = tensors(folder)
    for name, settings in documents.items():
        if name.endswith(".index.json"):
            _check_index(settings, folder / name, names)
        elif name in ("config.json", "generation_config.json"):
            _check_counts(
                settings, folder / name, max((side for shape in found.values() for side in shape), default=0)
            )
        if why := why_refused(name, settings):
            raise ModelError(
                f"cannot load the tokenizer: {why}",
                where=str(folder / name),
                remedy="take the tokenizer from where the model was published, or another model",
            )
    if adapter:
        _check_bases(folder)
        _check_adapter(documents["adapter_config.json"], folder, found)


def check_reward_folder(path: str | Path) -> None:
    """Raise ModelError for a folder that `check_folder` refuses or that holds no scalar head."""
    check_folder(path)
    if not is_reward(Path(path)):
        raise ModelError(
            "the model has no scalar head",
            where=str(path),
            remedy="make a reward model with `alignlab reward`",
        )


def is_adapter(source: Path) -> bool:
    """Whether the folder holds an adapter, whatever else lies in it."""
    return (source / "adapter_config.json").exists()


def check_gguf(path: Path) -> None:
    """Raise ModelError for a .gguf file whose header the file does not keep, or that claims more than it
    holds.
    """
    try:
        values, found = headers.gguf(path)
    except (OSError, ValueError, headers.struct.error) as error:
        raise ModelError(
            f"cannot load the model: {error}", where=str(path), remedy="copy or download the file again"
        ) from None
    widest = max((side for shape in found.values() for side in shape), default=0)
    counts = {
        name: value for name, value in values.items() if not name.startswith(("general.", "tokenizer."))
    }
    _check_counts(counts, path, widest)
    blocks = 1 + max(
        (int(name.split(".")[1]) for name in found if re.match(r"blk\.\d{1,9}\.", name)), default=-1
    )
    said = values.get(f"{values.get('general.architecture')}.block_count")
    if blocks and said != blocks:
        raise ModelError(
            f"the header claims {said!r:.40} blocks, and the file holds {blocks}",
            where=str(path),
            remedy="copy or download the file again",
        )
    if why := why_refused(".gguf", values):
        raise ModelError(
            f"cannot load the tokenizer: {why}", where=str(path), remedy="another file of the model"
        )


def is_reward(source: Path) -> bool:
    """Whether the folder holds a model (or an adapter) with a head for scores."""
    if is_adapter(source):
        return read_json(source / "adapter_config.json").get("task_type") == "SEQ_CLS"
    if not (source / "config.json").exists():  # a .gguf file, or a hub name
        return False
    named = read_json(source / "config.json").get("architectures") or []
    return isinstance(named, list) and any(str(name).endswith("ForSequenceClassification") for name in named)


def tensors(source: Path) -> Shapes:
    """The shapes of all tensors in a folder's .safetensors files, or in a .gguf file, by name. Raises
    ModelError.
    """
    files = sorted(source.glob("*.safetensors")) if source.is_dir() else [source]
    found: Shapes = {}
    for file in files:
        found |= headers.shapes(file)
    return found


def adapted_modules(folder: Path) -> list[str]:
    """The modules that a PEFT folder has LoRA weights for: what its configuration names, perhaps by an
    expression, is there to be read.
    """
    return sorted(
        {
            name.split(".lora_")[0].removeprefix("base_model.model.")
            for name in tensors(folder)
            if ".lora_" in name
        }
    )


def read_json(path: Path) -> dict[str, Any]:
    """The settings in a JSON file of a model folder. Raises ModelError."""
    most = next((size for end, size in SIZES.items() if path.name.endswith(end)), 2**22)
    try:
        row = parsed(read_file(path, most))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"not a JSON file: {error}", where=str(path), remedy="copy the model folder again"
        ) from None
    if not isinstance(row, dict):
        raise ModelError(
            f"holds a {type(row).__name__} where settings are expected",
            where=str(path),
            remedy="copy the model folder again",
        )
    return row


def _files(folder: Path) -> list[str]:
    """The names of the folder's files: each a regular one that lies inside it (or in the blobs of its
    repository, in the hub's cache), and not too large.
    """
    names = []
    for number, item in enumerate(_entries(folder)):
        if number > MOST_FILES:
            raise ModelError(
                f"{folder} holds more than {MOST_FILES:,} files",
                where=str(folder),
                remedy="name the folder of one model",
            )
        path = Path(item.path)
        if item.is_symlink() and not _inside(path, folder):
            raise ModelError(
                f"{folder} leads out of itself: {item.name} is a link to elsewhere",
                where=str(path),
                remedy="copy the file itself into the folder",
            )
        if item.is_dir():
            continue
        try:
            status = path.stat()
        except OSError as error:
            raise ModelError(
                f"cannot read {item.name}: {error.strerror}",
                where=str(path),
                remedy="copy the model folder again",
            ) from None
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(
                f"{item.name} is no file (a pipe, a device or a socket)",
                where=str(path),
                remedy="copy the model folder again, files only",
            )
        most = next((size for end, size in SIZES.items() if item.name.endswith(end)), status.st_size)
        if status.st_size > most:
            raise ModelError(
                f"{item.name} has {status.st_size:,} bytes; no model has one of more than {most:,}",
                where=str(path),
                remedy="copy or download the model again",
            )
        if path.parent == folder:
            names.append(item.name)
    return sorted(names)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What lies in the folder, and in the one folder below it that transformers reads by itself."""
    for place in (folder, folder / "additional_chat_templates"):
        if place.is_dir():
            with os.scandir(place) as found:
                yield from found


def _inside(path: Path, folder: Path) -> bool:
    """Whether a link leads to a place in the folder; for a snapshot in the hub's cache also to the blobs of
    the same repository.
    """
    try:
        home, target = folder.resolve(), path.resolve()
    except (OSError, RuntimeError):  # links in a circle
        return False
    return target.is_relative_to(home) or (
        home.parent.name == "snapshots" and target.is_relative_to(home.parent.parent / "blobs")
    )


def _check_index(index: dict[str, Any], path: Path, names: list[str]) -> None:
    listed = index.get("weight_map")
    if not isinstance(listed, dict):
        raise ModelError(
            "the index of the weights has no weight_map",
            where=str(path),
            remedy="copy the model folder again",
        )
    for name in set(map(str, listed.values())):
        if not path.name.endswith(".safetensors.index.json"):
            continue
        if name not in names or not name.endswith(".safetensors"):
            raise ModelError(
                f"the index of the weights names {name!r:.100}, which is no file of weights in this folder",
                where=str(path),
                remedy="copy the whole model folder",
            )


def _check_counts(settings: dict[str, Any], path: Path, widest: int) -> None:
    """Raise ModelError for a number in a configuration that no model has, or that the tensors beside it are
    too small for.
    """
    rest: list[tuple[str, Any]] = list(settings.items())
    while rest:
        name, value = rest.pop()
        if isinstance(value, dict):
            rest += [(str(key), one) for key, one in value.items()]
        elif isinstance(value, list):
            rest += [(name, one) for one in value]
        most = (
            widest
            if name == "num_labels"
            else next((most for known, most in COUNTS if known.search(name)), max(2**24, widest))
        )
        layers = COUNTS[0][0].search(name)
        if (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and (isinstance(value, int) or layers)
            and (abs(value) > most or (layers and value < 0))
        ):
            raise ModelError(
                f"the configuration claims {name} = {value!r:.30}"
                + (f", and the largest tensor has a side of {widest:,}" if name == "num_labels" else ""),
                where=str(path),
                remedy="copy or download the model again; no model that is loaded here has so many",
            )
        if name.endswith("token_id") and not (
            value is None
            or type(value) is int
            or (isinstance(value, list) and all(type(one) is int for one in value))
        ):
            raise ModelError(
                f"{name} = {value!r:.60} is no token id",
                where=str(path),
                remedy="copy the model folder again",
            )
        if name in ("score_mean", "score_std") and not (
            isinstance(value, int | float) and abs(value) < math.inf
        ):
            raise ModelError(
                f"{name} = {value!r:.60} is no number", where=str(path), remedy="copy the model folder again"
            )
        if (
            name == "transformers_weights"
            and value is not None
            and (not isinstance(value, str) or Path(value).name != value)
        ):
            raise ModelError(
                f"the weights are said to lie elsewhere: {value!r:.100}",
                where=str(path),
                remedy="copy the whole model folder",
            )


def _check_bases(adapter: Path) -> None:
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


def _check_adapter(config: dict[str, Any], folder: Path, found: Shapes) -> None:
    """Raise ModelError for an adapter that is no LoRA adapter, or that claims what its tensors are not."""
    where = str(folder / "adapter_config.json")

    def refuse(
        what: str, remedy: str = "take it from where it was published, or train it again"
    ) -> ModelError:
        return ModelError(f"the adapter {what}", where=where, remedy=remedy)

    if config.get("peft_type") != "LORA":
        raise refuse(
            f"is of type {config.get('peft_type')!r:.40}, and only LoRA is read here",
            "merge it into its base with PEFT, and name the merged folder",
        )
    for name in ("layer_replication", "megatron_config", "loftq_config", "eva_config", "corda_config"):
        if config.get(name):
            raise refuse(
                f"asks for {name}, which is not done here",
                "merge it into its base with PEFT, and name the merged folder",
            )
    rows = max(
        (shape[0] for name, shape in found.items() if ".lora_A." in name or ".lora_embedding_A" in name),
        default=0,
    )
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
    if (
        not isinstance(saved, list)
        or len(saved) > 100
        or not all(
            name in HEADS or (isinstance(name, str) and any(f".{name}." in f".{tensor}" for tensor in found))
            for name in saved
        )
    ):
        raise refuse("saves modules that its tensors are not")
    expressions = [*ranks, *alphas, *saved]
    if wrong := next((name for name in expressions if not PLAIN.fullmatch(name)), None):
        raise refuse(
            f"names modules by an expression, {wrong!r:.80}",
            "write the modules' names in rank_pattern and alpha_pattern",
        )
    if len(expressions) > 10_000:
        raise refuse(f"names {len(expressions):,} modules")
    dropout = config.get("lora_dropout") or 0.0
    if type(dropout) not in (int, float) or not 0 <= dropout < 1:
        raise refuse(f"has a dropout of {dropout!r:.40}")
    for name in ("target_modules", "exclude_modules", "layers_pattern", "target_parameters"):
        value = config.get(name)
        if not (
            value is None
            or isinstance(value, str)
            or (isinstance(value, list) and all(isinstance(one, str) for one in value))
        ):
            raise refuse(f"has a {name} that is neither a name nor a list of names")
    if config.get("target_parameters"):
        raise refuse(
            "is put on parameters (target_parameters), which is not read here",
            "merge it into its base with PEFT, and name the merged folder",
        )
