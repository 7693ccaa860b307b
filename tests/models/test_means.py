"""Want of memory or descriptors is said to be that (exit code 8); only a model that is broken is to be copied
again (exit code 4).
"""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from typing import Any

import pytest
import torch

from alignlab.errors import ModelError, ResourceError
from alignlab.models import load as loading
from alignlab.models import reader as reading
from alignlab.models.load import load_merged, load_policy, load_reward_model
from alignlab.models.reader import load_reader
from alignlab.models.saving import save_policy
from alignlab.settings import AdapterSettings, ModelSettings

from .conftest import llama

CPU = ModelSettings(device="cpu")

SCRIPT = """
import json, resource, sys
from alignlab.errors import UserError
from alignlab.models.load import load_policy
from alignlab.models.reader import load_reader
from alignlab.settings import ModelSettings
large, small = sys.argv[1:]
said = {}
def attempt(name, call, folder):
    try:
        call(folder, ModelSettings(device="cpu"))
        said[name] = [0, ""]
    except UserError as error:
        said[name] = [error.exit_code, str(error)]
attempt("small", load_policy, small)  # everything is imported
space, files = resource.getrlimit(resource.RLIMIT_AS), resource.getrlimit(resource.RLIMIT_NOFILE)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 16 * 2**20, space[1]))
attempt("memory", load_policy, large)
resource.setrlimit(resource.RLIMIT_AS, space)
for limit in (3, 4):
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, files[1]))
    attempt(f"files {limit}", load_policy, large)
    attempt(f"files {limit} reader", load_reader, large)
resource.setrlimit(resource.RLIMIT_NOFILE, files)
attempt("again", load_policy, large)
print(json.dumps(said))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limits are Linux's")
def test_a_process_with_little_memory_or_few_descriptors(folder, tmp_path, tokenizer):
    llama(hidden_size=1024, intermediate_size=2048, num_hidden_layers=2, vocab_size=8000).save_pretrained(
        tmp_path / "large"
    )  # some 100 MB
    tokenizer.save_pretrained(tmp_path / "large")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path / "large", folder],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    said = json.loads(done.stdout.splitlines()[-1])
    assert [said[name][0] for name in ("small", "again")] == [0, 0], said
    assert (
        said["memory"][0] == 8 and "short of memory" in said["memory"][1] and "again" not in said["memory"][1]
    ), said
    for name in ("files 3", "files 4", "files 3 reader"):
        assert said[name][0] == 8 and "ulimit -n" in said[name][1], said


ERRORS = {
    "python": MemoryError(),
    "the system": OSError(errno.ENOMEM, "x"),
    "descriptors": OSError(errno.EMFILE, "x"),
    "all descriptors": OSError(errno.ENFILE, "x"),
    "the accelerator": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "the allocator": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you "
        "tried to allocate 8 bytes."
    ),
    "a thread": RuntimeError("can't start new thread"),
    "rust": Exception("Error while deserializing header: Cannot allocate memory (os error 12)"),
}


def failing(error: Exception, wrapped: bool) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        if not wrapped:
            raise error
        try:
            raise error
        except Exception as cause:
            raise ValueError("could not import module") from cause

    return fail


@pytest.mark.parametrize("wrapped", [False, True])
def test_every_way_to_say_so(folder, monkeypatch, wrapped):
    for what, error in ERRORS.items():
        monkeypatch.setattr(loading, "pretrained", failing(error, wrapped))
        with pytest.raises(
            ResourceError, match="short of files" if "descriptors" in what else "short of memory"
        ) as caught:
            load_policy(folder, CPU)
        assert caught.value.exit_code == 8 and caught.value.remedy, what


@pytest.mark.parametrize("place", ["find", "tokenizer_of", "_ready"])
def test_wherever_it_happens(folder, tmp_path, monkeypatch, place):
    policy = load_policy(folder, CPU, AdapterSettings(rank=2), trainable=True)
    save_policy(policy, tmp_path / "adapter", card="")
    monkeypatch.setattr(
        loading if place == "_ready" else reading, place, failing(ERRORS["descriptors"], wrapped=True)
    )
    calls = [
        lambda: load_policy(tmp_path / "adapter", CPU),
        lambda: load_reward_model(folder, CPU, init_head=True),
        lambda: load_merged(folder),
    ]
    for call in calls + [lambda: load_reader(tmp_path / "adapter", CPU)] * (place != "_ready"):
        with pytest.raises(ResourceError, match="short of files"):
            call()


def test_a_broken_file_is_still_a_broken_file(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-100])
    with pytest.raises(ModelError, match="cannot load the (model|weights)") as caught:
        load_policy(folder, CPU)
    assert caught.value.exit_code == 4 and "copy or download" in caught.value.remedy
