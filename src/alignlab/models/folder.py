"""What a model folder holds, looked at before anything is built from it. Folders are untrusted: no pickle is
opened, no code of a folder is run.

What a folder claims is held against its files: names against where they lead (`folder_files`), sizes against
the tensors that are there (`claims`, `headers`), expressions against the time they may take (`patterns`). All
of this needs neither torch nor transformers.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..errors import ModelError
from . import headers
from .claims import check_bases, check_index, check_lora, check_settings, widest_side
from .folder_files import documents_in, read_json, regular_files
from .headers import Shapes
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


def check_folder(path: str | Path) -> None:
    """Raise ModelError for a model folder that is broken or not safe: code to run, pickled weights, no
    weights, no tokenizer; files that lead elsewhere, are no files, or claim what is not there.

    A PEFT folder may leave the tokenizer to its base.
    """
    folder = Path(path)
    names = regular_files(folder) if folder.is_dir() else []
    adapter = "adapter_config.json" in names
    if not adapter and "config.json" not in names:
        raise ModelError(
            f"{folder} is not a model folder: it has no config.json",
            where=str(folder),
            remedy="name a folder that transformers or PEFT wrote, or a hub name",
        )
    documents = documents_in(folder, names)
    for name, settings in documents.items():
        if name.endswith("config.json") and "auto_map" in settings:
            raise ModelError(
                f"{folder} wants to run code of its own (auto_map)",
                where=str(folder / name),
                remedy="only architectures that transformers knows are loaded; remove auto_map if it is one of them",
            )
    _check_weights(folder, names, adapter)
    if not adapter and not set(names) & set(TOKENIZERS):
        raise ModelError(
            f"{folder} has no tokenizer", where=str(folder), remedy="save the tokenizer into the same folder"
        )
    shapes = tensors(folder)
    for name, settings in documents.items():
        if name.endswith(".index.json"):
            check_index(settings, folder / name, names)
        elif name in ("config.json", "generation_config.json"):
            check_settings(settings, folder / name, widest_side(shapes))
        if why := why_refused(name, settings):
            raise ModelError(
                f"cannot load the tokenizer: {why}",
                where=str(folder / name),
                remedy="take the tokenizer from where the model was published, or another model",
            )
    if adapter:
        check_bases(folder)
        check_lora(documents["adapter_config.json"], folder, shapes)


def _check_weights(folder: Path, names: list[str], adapter: bool) -> None:
    """Raise ModelError for pickled weights, and where there are none as safetensors."""
    weights = [name for name in names if name.endswith(".safetensors")]
    for name in names:
        if name.endswith(PICKLES) and not name.startswith(TRAINER_STATE):
            convert = "convert them to safetensors where you trust them, and delete the pickles"
            delete = "delete them: the safetensors beside them are what is loaded"
            raise ModelError(
                f"{folder} holds pickled weights ({name}), which can run code when opened",
                where=str(folder / name),
                remedy=delete if weights else convert,
            )
    if not weights or (adapter and "adapter_model.safetensors" not in weights):
        raise ModelError(
            f"{folder} holds no weights (*.safetensors)",
            where=str(folder),
            remedy="copy the whole model folder",
        )


def check_scalar_head(source: Path) -> None:
    """Raise ModelError for a folder (or file) that says of no head for scores."""
    if not is_reward(source):
        raise ModelError(
            "the model has no scalar head",
            where=str(source),
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
        values, shapes = headers.gguf(path)
    except (OSError, ValueError, headers.struct.error) as error:
        raise ModelError(
            f"cannot load the model: {error}", where=str(path), remedy="copy or download the file again"
        ) from None
    counts = {
        name: value for name, value in values.items() if not name.startswith(("general.", "tokenizer."))
    }
    check_settings(counts, path, widest_side(shapes))
    numbers = [int(name.split(".")[1]) for name in shapes if re.match(r"blk\.\d{1,9}\.", name)]
    blocks = 1 + max(numbers, default=-1)
    claimed = values.get(f"{values.get('general.architecture')}.block_count")
    if blocks and claimed != blocks:
        raise ModelError(
            f"the header claims {claimed!r:.40} blocks, and the file holds {blocks}",
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
    architectures: Any = read_json(source / "config.json").get("architectures")
    if not isinstance(architectures, list):
        return False
    return any(str(name).endswith("ForSequenceClassification") for name in architectures)


def tensors(source: Path) -> Shapes:
    """The shapes of all tensors in a folder's .safetensors files, or in a .gguf file, by name. Raises
    ModelError.
    """
    files = sorted(source.glob("*.safetensors")) if source.is_dir() else [source]
    shapes: Shapes = {}
    for file in files:
        shapes |= headers.shapes(file)
    return shapes


def adapted_modules(folder: Path) -> list[str]:
    """The modules that a PEFT folder has LoRA weights for: what its configuration names, perhaps by an
    expression, is there to be read.
    """
    modules = set()
    for name in tensors(folder):
        if ".lora_" in name:
            modules.add(name.split(".lora_")[0].removeprefix("base_model.model."))
    return sorted(modules)
