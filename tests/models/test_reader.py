"""A reader takes the tokenizer and the limits that transformers takes, without torch where the family is
known.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, trainers
from transformers import AutoConfig, AutoTokenizer, GenerationConfig
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

from alignlab.errors import ModelError
from alignlab.models.chat_template import tried
from alignlab.models.load import load_policy
from alignlab.models.reader import FAMILIES, load_reader, tokenizer_of
from alignlab.models.saving import save_policy
from alignlab.settings import AdapterSettings, ModelSettings
from alignlab.town import base as town

from .conftest import TEXT, build_tokenizer, gpt2, llama

CPU = ModelSettings(device="cpu")
SAID = [*TEXT, " two  blanks\n\nand a line", "İstanbul, naïve 日本 😀 1234567", "<s>the<end></s> ▁x", ""]
NAMED = [
    None,
    "TokenizersBackend",
    "PreTrainedTokenizerFast",
    "LlamaTokenizer",
    "GPT2TokenizerFast",
    "Qwen2Tokenizer",
    "GemmaTokenizerFast",
    "NoSuchTokenizer",
    "pipeline",
]


def sentencepiece() -> Tokenizer:
    """As converted from SentencePiece: a blank is a letter, what is not known is written in bytes."""
    made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    made.train_from_iterator(
        TEXT,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))],
            show_progress=False,
        ),
    )
    return made


def files(folder: Path, kind: str, config: dict[str, Any] | None, **settings: Any) -> Path:
    """The files of a tokenizer and a configuration, without weights."""
    folder.mkdir()
    inner = sentencepiece() if kind == "sentencepiece" else build_tokenizer().backend_tokenizer
    inner.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {"bos_token": "<s>", "eos_token": "</s>", "clean_up_tokenization_spaces": False} | settings
        )
    )
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def same(folder: Path, named: Any = None) -> None:
    try:
        theirs = tried(AutoTokenizer.from_pretrained(folder))
    except Exception:  # such as a Gemma without <unk>, or a class that is none
        with pytest.raises(ModelError):
            tokenizer_of(folder, CPU)
        return
    ours = tokenizer_of(folder, CPU)
    assert type(ours) is type(theirs), (folder.name, named)
    for text in SAID:
        ids = theirs(text)["input_ids"]
        assert ours(text)["input_ids"] == ids and ours.decode(ids) == theirs.decode(ids), (
            folder.name,
            named,
            text,
        )
        assert (
            ours(text, add_special_tokens=False)["input_ids"]
            == theirs(text, add_special_tokens=False)["input_ids"]
        ), (folder.name, named, text)
    for name in (
        "special_tokens_map",
        "all_special_ids",
        "added_tokens_decoder",
        "chat_template",
        "eos_token_id",
        "pad_token_id",
    ):
        assert str(getattr(ours, name)) == str(getattr(theirs, name)), (folder.name, named, name)


@pytest.mark.parametrize("kind", ["bytes", "sentencepiece"])
@pytest.mark.parametrize("family", [*FAMILIES, None, "mistral", "gpt2", "stablelm"])
def test_the_tokenizer_is_the_one_that_auto_tokenizer_takes(
    family: str | None, kind: str, tmp_path: Path
) -> None:
    """Whatever class the folder names, for every family of the table and some that are not in it; without a
    config.json as an adapter's folder is.
    """
    config = None if family is None else {"model_type": family} if family else {}
    for named in NAMED:
        same(
            files(
                tmp_path / f"{named}",
                kind,
                config,
                add_bos_token=named != "LlamaTokenizer",
                **({"tokenizer_class": named} if named else {}),
            ),
            family,
        )


def test_the_table_is_of_families_that_transformers_has() -> None:
    assert all(kind in TOKENIZER_MAPPING_NAMES or kind in ("", "llama", "smollm3") for kind in FAMILIES)


@pytest.mark.parametrize("size", ["town-s", "town-m"])
def test_the_town_is_read_as_transformers_reads_it(size: str) -> None:
    same(town.shipped(size))


@pytest.mark.parametrize("make", [llama, gpt2])
@pytest.mark.parametrize("ends", [{}, {"eos_token_id": [5, 1]}, {"eos_token_id": None}])
def test_limits_are_those_of_the_configurations(make: Any, ends: dict[str, Any], tmp_path: Path) -> None:
    model = make()
    vars(model.generation_config).update(ends)
    model.save_pretrained(tmp_path / "m")
    build_tokenizer().save_pretrained(tmp_path / "m")
    for drop in ([], ["eos_token_id"], ["max_position_embeddings", "n_positions"]):
        row = json.loads((tmp_path / "m" / "config.json").read_text())
        (tmp_path / "m" / "config.json").write_text(
            json.dumps({key: value for key, value in row.items() if key not in drop})
        )
        found, config = load_reader(tmp_path / "m", CPU), AutoConfig.from_pretrained(tmp_path / "m")
        stops = GenerationConfig.from_pretrained(tmp_path / "m").eos_token_id or config.eos_token_id
        assert found.context == config.max_position_embeddings
        assert found.stops == {1, *(stops if isinstance(stops, list) else [] if stops is None else [stops])}


SCRIPT = """
import sys
from alignlab.models.reader import load_reader
from alignlab.settings import ModelSettings
for folder in sys.argv[1:]:
    found = load_reader(folder, ModelSettings())
    print(folder, found.context, "torch" in sys.modules)
"""


def test_no_torch_for_a_plain_model_and_an_adapter(folder: Path, tmp_path: Path) -> None:
    save_policy(
        load_policy(folder, CPU, AdapterSettings(rank=2), trainable=True), tmp_path / "adapter", card=""
    )
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "adapter" / name).exists()
    same(tmp_path / "adapter")
    said = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), str(tmp_path / "adapter")], capture_output=True, text=True
    )
    assert [line.split()[1:] for line in said.stdout.splitlines()] == [["128", "False"]] * 2, said.stderr
