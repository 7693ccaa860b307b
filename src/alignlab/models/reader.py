"""Where a model lies, and what of it reads text: neither imports torch, so that a command that only looks at
data starts at once.

`transformers.AutoTokenizer` and `AutoConfig` import torch. Of the families below it is known which class
AutoTokenizer takes and what their config says; a test holds the table against the installed transformers. Any
other folder (a GGUF file, SentencePiece without a tokenizer.json, a rarer family) is left to them.
"""

from __future__ import annotations

import math
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..run import check_model
from ..settings import ModelSettings
from ..text.escapes import first_line
from .chat_template import install_template, tried
from .folder import TOKENIZERS, check_folder, check_gguf, is_adapter
from .folder_files import read_json
from .means import within_means

NOTES = "alignlab.json"
"""Beside an adapter: where its base lies as seen from there, and the scale of a reward model's scores. No config.json, for transformers takes a folder with
one for a whole model."""
SCALE = ("score_mean", "score_std", "cost_model")
GENERIC = ("TokenizersBackend", "PreTrainedTokenizer")
CLASSES = ("GPT2Tokenizer", "Qwen2Tokenizer", "GemmaTokenizer", "GPTNeoXTokenizer", "LlamaTokenizer")
FAMILIES = {
    **dict.fromkeys(
        ("", "llama", "qwen3", "qwen3_moe", "gemma", "gemma2", "gemma3_text", "gpt_neox", "smollm3"), ""
    ),
    "qwen2": "Qwen2Tokenizer",
    **dict.fromkeys(("phi3", "olmo2", "olmo3", "granite"), "TokenizersBackend"),
}
"""By `model_type` ("": an adapter's folder, which names none) the class of its tokenizer; "" where it is the one that tokenizer_config.json names."""
hub_names: dict[Path, str] = {}  # of snapshots in the hub's cache, by folder


@dataclass(frozen=True)
class Reader:
    """What of a model reads text, without its weights: the tokenizer, how much it can look at, and where it
    stops.

    Attributes:
        stops: ids that its generation config (or config) and its tokenizer say end a completion: what other
            libraries stop at.
        own_template: its chat template came with it, so that it says how the model was taught.
    """

    tokenizer: Any
    name: str
    context: int
    stops: frozenset[int]
    own_template: bool = False


def load_reader(ref: str | Path, settings: ModelSettings) -> Reader:
    """Tokenizer and limits of a policy or reward model, from the same names as `load_policy`; no weights are
    read. Raises ModelError.
    """
    with within_means(ref):
        source = at = located(ref, settings)
        tokenizer = tokenizer_of(source, settings)
        while is_adapter(at):
            at = base_of(at, settings)
        context, stops = _limits(at)
        ends = {*stops, tokenizer.eos_token_id} - {None}
        return Reader(tokenizer, str(ref), context, frozenset(ends), own_template=not settings.chat_template)


def located(ref: str | Path, settings: ModelSettings) -> Path:
    """The checked folder or file behind a name, and behind it all that it stands on. Raises ModelError."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    source = at = find(ref)
    seen = set()
    while is_adapter(at):
        if at.resolve() in seen:
            raise ModelError(
                "the adapter's base is the adapter itself, or an adapter on it",
                where=str(at),
                remedy="set base_model_name_or_path to the base model",
            )
        seen.add(at.resolve())
        at = base_of(at, settings)
    return source


def find(ref: str | Path, *, ask: bool = True) -> Path:
    """The folder (or .gguf file) of a model name, checked. Of a hub name only what may be opened is fetched,
    into the hub's cache.

    Args:
        ask: whether the hub may be asked for what is not in its cache: for a name that a person gave, never
            for one that stands in a folder.
    """
    path = Path(ref)
    if path.suffix == ".gguf" and os.path.exists(path):
        check_gguf(path)
        return path
    if os.path.isdir(path):  # of a name that is too long for the system, too
        check_folder(path)
        check_model(path, error=ModelError)
        return path
    if path.suffix == ".gguf" or not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", str(ref), re.ASCII):
        raise ModelError(
            f"there is no model {ref!s}",
            remedy="town, a run folder, a model folder, a .gguf file, or a hub name like owner/name",
        )
    from huggingface_hub import snapshot_download

    try:
        path = Path(
            snapshot_download(
                str(ref),
                allow_patterns=["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"],
                ignore_patterns=["*/*"],
                local_files_only=not ask,
            )
        )
    except Exception as error:  # whatever the network and the hub come up with
        if not ask:
            raise ModelError(
                f"there is no model {ref!s}, neither as a folder nor in the hub's local cache",
                remedy=(
                    f"fetch it once with `hf download {ref!s}`, or let this command fetch it by "
                    "--model.download true"
                ),
            ) from error
        raise ModelError(
            f"there is no model {ref!s}, neither as a folder nor on the hub: {first_line(error)}",
            remedy="check the path or the hub name, and the network if it is not in the local cache",
        ) from error
    hub_names[path] = str(ref)
    check_folder(path)
    return path


def tokenizer_of(source: Path, settings: ModelSettings) -> Any:
    """The tokenizer of a checked folder or .gguf file, with the chat template that is asked for."""
    if source.is_dir() and not any((source / name).exists() for name in TOKENIZERS):
        return tokenizer_of(
            base_of(source, settings), settings
        )  # an adapter folder: `check_folder` has seen to the rest
    options = {"gguf_file": source.name} if source.suffix == ".gguf" else {}

    def load() -> Any:
        import transformers

        return tried(
            getattr(transformers, _class_of(source)).from_pretrained(
                folder_of(source), trust_remote_code=False, **options
            )
        )

    tokenizer = calling_libraries(source, load)
    if settings.chat_template:
        install_template(tokenizer, settings.chat_template)
    return tokenizer


def _class_of(source: Path) -> str:
    """The name of the class that AutoTokenizer takes for a folder where that is known here, else
    AutoTokenizer itself.
    """
    kind, files = _family(source), (source / "tokenizer.json", source / "tokenizer_config.json")
    if kind not in FAMILIES or not all(file.exists() for file in files):
        return "AutoTokenizer"
    taken = FAMILIES[kind] or str(read_json(files[1]).get("tokenizer_class")).removesuffix("Fast")
    if taken in GENERIC or (
        taken == "LlamaTokenizer" and '"ByteLevel"' in files[0].read_text(encoding="utf-8")
    ):
        return "PreTrainedTokenizerFast"
    return taken if taken in CLASSES else "AutoTokenizer"


def _family(source: Path) -> str:
    """The `model_type` that a folder's configuration names, "" if it names none (of a GGUF file, too)."""
    return str(_config(source).get("model_type", ""))


def _config(source: Path) -> dict[str, Any]:
    return read_json(source / "config.json") if (source / "config.json").exists() else {}


def _limits(source: Path) -> tuple[int, list[int]]:
    """Tokens that a model (no adapter) can look at, and the ids that its generation config, or else its
    config, says end a completion.
    """
    row = _config(source)
    if (
        _family(source) in FAMILIES
        and type(row.get("max_position_embeddings")) is int
        and "eos_token_id" in row
    ):
        context, stops = row["max_position_embeddings"] or sys.maxsize, listed(row["eos_token_id"])
    else:  # what its architecture has by default
        from transformers import AutoConfig

        options = {"gguf_file": source.name} if source.suffix == ".gguf" else {}
        config = calling_libraries(
            source, lambda: AutoConfig.from_pretrained(folder_of(source), trust_remote_code=False, **options)
        )
        context, stops = context_in(config), listed(config.get_text_config().eos_token_id)
    generation = source / "generation_config.json"
    return context, (
        listed(read_json(generation).get("eos_token_id")) if generation.exists() else []
    ) or stops


def context_in(config: Any) -> int:
    """Tokens that a model of this configuration can look at; sys.maxsize where it does not say."""
    return getattr(config.get_text_config(), "max_position_embeddings", None) or sys.maxsize


def listed(ids: int | list[int] | None) -> list[int]:
    """The end ids of a generation config, which holds one, several or none."""
    return [] if ids is None else sorted(ids) if isinstance(ids, list) else [ids]


def base_of(source: Path, settings: ModelSettings) -> Path:
    """The checked folder of the model that an adapter folder was trained on: where that says, or in the same
    place as seen from the adapter.
    """
    file = source / "adapter_config.json"
    base, notes = read_json(file).get("base_model_name_or_path"), notes_of(source)
    try:
        if not base or not isinstance(base, str):
            raise ModelError("none is named")
        beside = os.path.normpath(source / notes.get("from_here", ""))
        if (
            base == notes.get("base") and not os.path.exists(base) and os.path.exists(beside)
        ):  # moved together
            base = beside
        return find(base, ask=settings.download)
    except ModelError as error:
        raise ModelError(
            f"the adapter's base model cannot be used: {error.what}",
            where=error.where or str(file),
            remedy=(f"{error.remedy}; or " if error.remedy and base else "")
            + f"set base_model_name_or_path in {file} to where the base model lies",
        ) from error


def notes_of(source: Path) -> dict[str, Any]:
    """What `load.save_policy` wrote beside an adapter; empty for others' adapters."""
    if not (source / NOTES).exists():
        return {}
    notes = read_json(source / NOTES)
    paths, numbers = (
        (notes.get("base", ""), notes.get("from_here", "")),
        [notes[key] for key in SCALE if key in notes],
    )
    if {*map(type, paths)} != {str} or not all(
        isinstance(n, (int, float)) and abs(n) < math.inf for n in numbers
    ):
        raise ModelError(
            "where the base lies is no path, or the scale of the scores no number",
            where=str(source / NOTES),
            remedy="copy the model folder again",
        )
    return notes


def folder_of(source: Path) -> Path:
    return source.parent if source.suffix == ".gguf" else source


def calling_libraries(source: Path, call: Any) -> Any:
    """What `call` returns; what safetensors, tokenizers, transformers or PEFT raise about a folder becomes a
    ModelError.
    """
    try:
        return call()
    except ModelError:
        raise
    except Exception as error:  # tokenizers raises Exception itself
        lacking = (
            'pip install "alignlab[gguf]"'
            if source.suffix == ".gguf"
            else "install that, or take the model as it was before it was quantized"
        )
        raise ModelError(
            f"cannot load the model: {first_line(error)}",
            where=str(source),
            remedy=lacking
            if isinstance(error, ImportError)
            else "copy or download it again; it should be as transformers or PEFT wrote it",
        ) from error
