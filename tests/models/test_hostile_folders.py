"""Model folders, adapters and GGUF files that mean harm end in a ModelError, within bounds of memory and time
that the kernel keeps.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaForCausalLM

from alignlab.errors import ModelError
from alignlab.interop.gguf import write_gguf
from alignlab.models.chat import example
from alignlab.models.load import load_policy
from alignlab.models.policy import Policy
from alignlab.models.reader import load_reader
from alignlab.records import Prompt
from alignlab.settings import ModelSettings

from .conftest import build_tokenizer, llama
from .hostile import ADAPTER, GGUF, HARMLESS, MODEL, Spoil, mutated

MEMORY = 500 * 2**20
"""Bytes that a load may take beyond what the process has."""
SECONDS = 20
"""A guard against what hangs, not a measure: two cores are shared by many."""
ON_CPU = ModelSettings(device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder, an adapter on it, and a GGUF file."""
    place = tmp_path_factory.mktemp("sound")
    tokenizer = build_tokenizer()
    llama().save_pretrained(place / "model")
    tokenizer.save_pretrained(place / "model")
    base = LlamaForCausalLM.from_pretrained(place / "model")
    get_peft_model(
        base, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    ).save_pretrained(str(place / "adapter"))
    tokenizer.save_pretrained(place / "adapter")
    write_gguf(
        Policy(llama(head_dim=8), tokenizer, "tiny", torch.device("cpu")), place / "model.gguf", kind="f32"
    )
    return place


def read(source: Path) -> None:
    """What a command does with a model: reads it, asks its tokenizer, builds it."""
    reader = load_reader(source, ON_CPU)
    example(reader.tokenizer, Prompt.user("a" * 5000), "b" * 5000)
    load_policy(source, ON_CPU)


def bounded(call: Callable[[], Any]) -> str:
    """What comes of a call in a process of its own, which the kernel ends if it takes too much."""
    inward, outward = os.pipe()
    if not (child := os.fork()):
        try:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            most = pages * resource.getpagesize() + MEMORY
            resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(SECONDS)
            call()
            said = "read"
        except ModelError as error:
            said = (
                f"ModelError: {error.what}"
                if error.remedy and error.where
                else f"ModelError without a remedy: {error}"
            )
        except BaseException:
            said = traceback.format_exc()
        os.write(outward, said.encode("utf-8", "replace")[:60_000])
        os._exit(0)
    os.close(outward)
    with os.fdopen(inward, "rb") as file:
        said = file.read().decode()
    status = os.waitpid(child, 0)[1]
    return said or f"ended by signal {os.WTERMSIG(status)}"


def tried(sound: Path, tmp_path: Path, kind: str, spoil: Spoil) -> str:
    at = tmp_path / kind
    if kind == "model.gguf":
        shutil.copy(sound / kind, at)
    else:
        shutil.copytree(sound / kind, at)
    spoil(at)
    return bounded(lambda: read(at))


@pytest.mark.parametrize("kind", ["model", "adapter", "model.gguf"])
def test_a_sound_one_is_read(sound: Path, tmp_path: Path, kind: str) -> None:
    assert tried(sound, tmp_path, kind, lambda _: None) == "read"


QUICK = (
    "a link to above: config.json",
    "a link of a link",
    "config.json is pipe",
    "tokenizer.json is /dev/zero",
    "shards at ../outside.safetensors",
    "a header of 90 MB",
    "num_hidden_layers = 1e+07",
    "num_hidden_layers = 900",
    "vocab_size = 1.68e+07",
    "num_labels = 1e+09",
    "a mask of positions",
    "local attention",
    "experts, few",
    "a number of 5,000 digits",
    "ends of text",
    "cut by (a+)+$",
    "text that doubles",
    "a template of loops",
)


@pytest.mark.parametrize("name", QUICK)
def test_a_folder_that_means_harm(sound: Path, tmp_path: Path, name: str) -> None:
    assert (said := tried(sound, tmp_path, "model", MODEL[name])).startswith("ModelError: "), said


@pytest.mark.parametrize(
    "name",
    ["rank_pattern by (a+)+$", "rank 1000000000", "layers to 10**9", "its base is itself", "saves (a+)+$"],
)
def test_an_adapter_that_means_harm(sound: Path, tmp_path: Path, name: str) -> None:
    assert (said := tried(sound, tmp_path, "adapter", ADAPTER[name])).startswith("ModelError: "), said


@pytest.mark.parametrize("name", HARMLESS)
def test_what_an_adapter_is_on_is_read_off_its_tensors(sound: Path, tmp_path: Path, name: str) -> None:
    assert tried(sound, tmp_path, "adapter", HARMLESS[name]) == "read"


@pytest.mark.parametrize(
    "name",
    [
        "block_count = 1,000,000,000",
        "block_count = 900",
        "values without end",
        "a long list of texts",
        "a tensor of 10**18",
        "a pipe",
        "a template without end",
    ],
)
def test_a_gguf_file_that_means_harm(sound: Path, tmp_path: Path, name: str) -> None:
    assert (said := tried(sound, tmp_path, "model.gguf", GGUF[name])).startswith("ModelError: "), said


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind, table in (("model", MODEL), ("adapter", ADAPTER), ("model.gguf", GGUF))
        for name in table
    ],
)
def test_every_way_to_mean_harm(sound: Path, tmp_path: Path, kind: str, name: str) -> None:
    spoil = {"model": MODEL, "adapter": ADAPTER, "model.gguf": GGUF}[kind][name]
    assert (said := tried(sound, tmp_path, kind, spoil)).startswith("ModelError: "), said


@pytest.mark.campaign
@pytest.mark.parametrize("kind", ["model", "adapter", "model.gguf"])
def test_odd_values_anywhere(sound: Path, tmp_path: Path, kind: str) -> None:
    """Whatever stands in a file, it is read or it ends in a ModelError."""
    found = {
        seed: tried(sound, tmp_path / str(seed), kind, mutated(seed))
        for seed in range(int(os.environ.get("ALIGNLAB_MUTATIONS", "150")))
        if not (tmp_path / str(seed)).mkdir()
    }
    wrong = {
        seed: said for seed, said in found.items() if said != "read" and not said.startswith("ModelError: ")
    }
    assert not wrong, "\n\n".join(f"{seed}: {said}" for seed, said in wrong.items())


def test_the_hub_s_cache_is_read(sound: Path, tmp_path: Path) -> None:
    """Its snapshots are links to blobs of the same repository; to blobs of another they are links to
    elsewhere.
    """
    repository = tmp_path / "models--owner--name"
    for name in ("blobs", "snapshots/main"):
        (repository / name).mkdir(parents=True)
    for number, file in enumerate(sorted((sound / "model").iterdir())):
        shutil.copy(file, repository / "blobs" / str(number))
        (repository / "snapshots" / "main" / file.name).symlink_to(f"../../blobs/{number}")
    assert bounded(lambda: read(repository / "snapshots" / "main")) == "read"
    (repository / "blobs").rename(tmp_path / "other")
    (repository / "blobs").symlink_to(tmp_path / "other")
    assert "leads out of itself" in bounded(lambda: read(repository / "snapshots" / "main"))
