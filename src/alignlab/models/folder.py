"""What a model folder holds, looked at before anything is built from it. Folders are untrusted: no pickle is opened, no code of a folder is run."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from ..errors import ModelError

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
TRAINER_STATE = ("training_args", "optimizer", "scheduler", "scaler", "rng_state")
"""Pickles that transformers' Trainer leaves beside the weights; nobody opens them."""
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model", "tiktoken.model")


def check_folder(path: str | Path) -> None:
    """Raise ModelError for a model folder that is broken or not safe: code to run, pickled weights, no weights, no tokenizer.

    A PEFT folder may leave the tokenizer to its base.
    """
    folder = Path(path)
    names = sorted(item.name for item in folder.iterdir()) if folder.is_dir() else []
    adapter = "adapter_config.json" in names
    if not adapter and "config.json" not in names:
        raise ModelError(f"{folder} is not a model folder: it has no config.json", where=str(folder),
                         remedy="name a folder that transformers or PEFT wrote, or a hub name")
    for name in names:
        if name.endswith("config.json"):
            settings = read_json(folder / name)
            if "auto_map" in settings:
                raise ModelError(f"{folder} wants to run code of its own (auto_map)", where=str(folder / name),
                                 remedy="only architectures that transformers knows are loaded; remove auto_map if it is one of them")
    weights = [name for name in names if name.endswith(".safetensors")]
    pickles = [name for name in names if name.endswith(PICKLES) and not name.startswith(TRAINER_STATE)]
    if pickles:
        raise ModelError(f"{folder} holds pickled weights ({pickles[0]}), which can run code when opened", where=str(folder / pickles[0]),
                         remedy="delete them: the safetensors beside them are what is loaded" if weights
                         else "convert them to safetensors where you trust them, and delete the pickles")
    if not weights or (adapter and "adapter_model.safetensors" not in weights):
        raise ModelError(f"{folder} holds no weights (*.safetensors)", where=str(folder), remedy="copy the whole model folder")
    if not adapter and not any(name in names for name in TOKENIZERS):
        raise ModelError(f"{folder} has no tokenizer", where=str(folder), remedy="save the tokenizer into the same folder")


def check_reward_folder(path: str | Path) -> None:
    """Raise ModelError for a folder that `check_folder` refuses or that holds no scalar head."""
    check_folder(path)
    if not is_reward(Path(path)):
        raise ModelError("the model has no scalar head", where=str(path), remedy="make a reward model with `alignlab reward`")


def is_adapter(source: Path) -> bool:
    """Whether the folder holds an adapter, whatever else lies in it."""
    return (source / "adapter_config.json").exists()


def is_reward(source: Path) -> bool:
    """Whether the folder holds a model (or an adapter) with a head for scores."""
    if is_adapter(source):
        return read_json(source / "adapter_config.json").get("task_type") == "SEQ_CLS"
    if source.suffix == ".gguf":
        return False
    return any(str(name).endswith("ForSequenceClassification") for name in read_json(source / "config.json").get("architectures") or [])


def read_file(path: Path, most: int) -> bytes:
    """The bytes of a regular file. Raises OSError for a pipe, a device, a folder, a file of more than `most` bytes, or one that cannot be read."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # a pipe that nobody writes to does not wait
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is no regular file")
        if status.st_size > most:
            raise OSError(f"it has {status.st_size:,} bytes, and {most:,} are the most that is read")
        return file.read(most)


def read_json(path: Path) -> dict[str, Any]:
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"not a JSON file: {error}", where=str(path), remedy="copy the model folder again") from None
    if not isinstance(row, dict):
        raise ModelError(f"holds a {type(row).__name__} where settings are expected", where=str(path), remedy="copy the model folder again")
    return row
