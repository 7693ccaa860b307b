"""Several processes at one run make what one makes: the same draws, the same losses and gradients, the same
weights; and each of them has them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from alignlab import cli
from alignlab.errors import ConfigError
from alignlab.models import shards
from alignlab.models.load import load_policy
from alignlab.run import ranks, read_run
from alignlab.sampling.local import LocalSampler
from alignlab.settings import (
    AdapterSettings,
    DPOSettings,
    KTOSettings,
    ModelSettings,
    PPOSettings,
    RewardSettings,
    RLOOSettings,
    SFTSettings,
)
from alignlab.settings.rules import check

from ..methods.conftest import base as base  # the tiny model in a folder
from ..methods.conftest import tiny_llama
from ..serve.conftest import Running

WORKER = Path(__file__).with_name("together.py")
SAME = ("sft", "lora", "reward", "dpo", "rloo", "ahead", "grpo", "ppo")
ALIKE = ("sft", "tied", "reward", "dpo", "orpo", "simpo", "rloo", "dead", "grpo", "ppo")
PARTS = tuple(f"{case}-parts" for case in ALIKE)
PARTS_OF_IT = ModelSettings(precision="fp32", shard=True)
STOPS = 3  # the step in which a run of six is left
MOMENT = 400  # seconds that a test waits for its processes, on a machine that has much else to do


def start(base: Path, out: Path, *cases: str, **environment: str) -> list[int]:
    """Two processes on these cases; their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out.mkdir(exist_ok=True)
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, WORKER, base, out, *cases],
            env={**os.environ, **shared, "RANK": str(i), **environment},
            stderr=subprocess.DEVNULL if not os.environ.get("LOUD") else None,
        )
        for i in range(2)
    ]
    return [process.wait(MOMENT) for process in processes]


@pytest.fixture(scope="module")
def together() -> Any:
    spec = importlib.util.spec_from_file_location("together", WORKER)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", autouse=True)
def sampler(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A server that writes for those whose weights are in parts."""
    policy = load_policy(base, ModelSettings(precision="fp32"))
    server = Running(policy, updates=tmp_path_factory.getbasetemp(), timeout=60, max_new_tokens=16)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SAMPLER", f"http://127.0.0.1:{server.port}/v1#tiny")
        yield
    server.close()


@pytest.fixture(scope="module")
def two(base: Path, together: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of two processes; one of them goes on with what one process began, and one is left."""
    out = tmp_path_factory.mktemp("two")
    make_tied(base)
    with pytest.raises(together.Stopped):
        together.train("sft", base, out, name="begun", stop=STOPS)
    others = ("wrong", "halved", "sft-parts:begun", f"sft-parts:left:{STOPS}")
    assert start(base, out, *SAME, *PARTS, *others) == [0, 0]
    return out


@pytest.fixture(scope="module")
def one(base: Path, together: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The same run of one process, made here."""
    out, weights = tmp_path_factory.mktemp("one"), {}
    make_tied(base)

    def made(case: str) -> tuple[Path, dict[str, torch.Tensor]]:
        if case not in weights:
            weights[case] = together.train(case, base, out)
        return out / case, weights[case]

    yield made


@pytest.mark.parametrize("case", SAME + PARTS)
def test_two_processes_make_what_one_makes(case: str, one: Any, two: Path, base: Path) -> None:
    folder, weights = one(case.removesuffix("-parts"))
    start = base.with_name("tied") if case == "tied-parts" else base
    begun = {f"model.{name}": value for name, value in load_file(start / "model.safetensors").items()}
    for row, other in zip(rows_of(folder), rows_of(two / case), strict=True):
        assert row.keys() == other.keys()
        for name, value in row.items():
            least = 2e-5 if name.startswith("sampling/") else 2e-6  # a server's last digits are others
            assert other[name] == pytest.approx(value, rel=2e-5, abs=least, nan_ok=True), (row["step"], name)
    first, second = (load_file(two / f"{case}-{rank}.safetensors") for rank in range(2))
    for name, value in weights.items():
        assert torch.equal(first[name], second[name]), "each process has the same weights"
        moved = (value - begun[name]).norm() if name in begun else value.norm()
        assert (first[name] - value).norm() <= 2e-3 * moved + 1e-6, name
    if (folder / "samples.jsonl").exists():
        drawn, again = (lines_of(run / "samples.jsonl", "completion") for run in (folder, two / case))
        assert drawn == again


def test_a_mean_over_processes_would_be_seen(one: Any, two: Path) -> None:
    """The control: each process divides by its own count."""
    right, wrong = rows_of(one("sft")[0]), rows_of(two / "wrong")
    assert abs(wrong[0]["grad_norm"] / right[0]["grad_norm"] - 1) > 0.2


@pytest.mark.parametrize("case", PARTS)
def test_each_process_holds_a_half_and_the_first_saves_all_of_it(case: str, one: Any, two: Path) -> None:
    alone = one(case.removesuffix("-parts"))[0]
    held = [json.loads((two / f"{case}-{rank}.json").read_text()) for rank in range(2)]
    all_of_it = json.loads((alone.parent / f"{alone.name}-0.json").read_text())
    assert sum(held) == all_of_it and max(held) < 0.52 * all_of_it
    kind = AutoModelForSequenceClassification if case == "reward-parts" else AutoModelForCausalLM
    loaded: Any = kind.from_pretrained(two / case / "checkpoint", output_loading_info=True)
    assert not any(loaded[1].values())
    names = [file.name for file in (alone / "checkpoint").iterdir()]
    assert sorted(names) == sorted(file.name for file in (two / case / "checkpoint").iterdir())
    config, theirs = (
        json.loads((run / "checkpoint" / "config.json").read_text()) for run in (alone, two / case)
    )
    assert config.keys() == theirs.keys() and config["architectures"] == theirs["architectures"]
    saved = load_file(two / case / "checkpoint" / "model.safetensors")
    trained = load_file(two / f"{case}-0.safetensors")
    assert {f"model.{name}" for name in saved} == trained.keys()
    assert all(torch.equal(value, trained[f"model.{name}"]) for name, value in saved.items())


def test_a_state_of_two_processes_is_gone_on_with_by_one_and_the_reverse(
    one: Any, two: Path, together: Any, base: Path
) -> None:
    """Whoever has saved it: whole, or put together."""
    folder, weights = one("sft")
    left = together.train("sft", base, two, name="left")
    begun = load_file(two / "begun-0.safetensors")
    for name, run in {"left": left, "begun": begun}.items():
        for row, other in zip(rows_of(folder), rows_of(two / name), strict=True):
            assert other == pytest.approx(row, rel=2e-5, abs=2e-6, nan_ok=True)
        for weight, value in weights.items():
            assert (run[weight] - value).norm() <= 1e-5 * value.norm(), (name, weight)


def test_a_factor_that_divides_gradients_would_be_seen(one: Any, two: Path) -> None:
    """The control: with a factor of 2 each gradient is a half, exactly."""
    right, halved = rows_of(two / "sft-parts"), rows_of(two / "halved")
    assert halved[0]["grad_norm"] == pytest.approx(right[0]["grad_norm"] / 2, rel=1e-7)
    assert halved[0]["loss"] == right[0]["loss"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (KTOSettings(model=PARTS_OF_IT), "sft, reward, dpo"),
        (RLOOSettings(model=PARTS_OF_IT), "does not write"),
        (PPOSettings(model=PARTS_OF_IT), "does not write"),
        (SFTSettings(model=PARTS_OF_IT, adapter=AdapterSettings(rank=4)), "adapter.rank"),
        (DPOSettings(model=replace(PARTS_OF_IT, precision="bf16")), "bf16"),
        (RewardSettings(model=PARTS_OF_IT, members=2), "members"),
    ],
)
def test_shards_of_what_is_not_shown_to_be_right_are_refused(settings: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check(settings)


def test_one_process_alone_has_no_part(base: Path) -> None:
    with pytest.raises(ConfigError, match="alone"):
        load_policy(base, PARTS_OF_IT, trainable=True)


def test_models_that_are_not_shown_to_be_right_in_parts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "size", lambda: 2)
    here = torch.accelerator.current_accelerator() or torch.device("cpu")
    dense, experts = tiny_llama(), tiny_llama()
    experts.config.num_local_experts = 4
    shards.check_shareable(dense, here)
    for said, model, device, adapter in (
        ("adapter", dense, here, True),
        ("experts", experts, here, False),
        ("on mps", dense, torch.device("mps"), False),
    ):
        with pytest.raises(ConfigError, match=said):
            shards.check_shareable(model, device, adapter=adapter)


def test_a_model_in_parts_is_not_sampled_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "is_sharded", lambda _: True)
    with pytest.raises(ConfigError, match="does not write"):
        LocalSampler(tiny_llama(), None, end_ids={1})


def test_a_run_that_loses_a_process_stops_and_goes_on_in_the_same_bits(
    base: Path, two: Path, tmp_path: Path
) -> None:
    often = {"ALIGNLAB_SAVE_EVERY_STEPS": "1"}
    codes = start(base, tmp_path, "ppo", DIES="1:1", **often)
    assert codes[1] == 9 and codes[0] not in (0, 9)
    assert not (tmp_path / "ppo").exists()
    assert start(base, tmp_path, "ppo", **often) == [0, 0]
    assert rows_of(tmp_path / "ppo") == rows_of(two / "ppo")
    assert (tmp_path / "ppo-0.safetensors").read_bytes() == (two / "ppo-0.safetensors").read_bytes()


def test_parts_are_side_by_side_and_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for count in range(7):
        for size in (1, 2, 3, 5):
            found: list[int] = []
            for rank in range(size):
                monkeypatch.setattr(ranks, "rank", lambda rank=rank: rank)
                monkeypatch.setattr(ranks, "size", lambda size=size: size)
                found += ranks.mine(list(range(count)))
            assert found == list(range(count))


@pytest.mark.parametrize(("wrong", "said"), [(["kto"], "one process"), (["run"], "one process")])
def test_a_command_that_would_be_done_twice_is_refused(
    wrong: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ranks.size.cache_clear()
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    try:
        assert cli.main(wrong) == 3
    finally:
        ranks.size.cache_clear()
    assert said in capsys.readouterr().err


def test_a_command_of_one_process_names_those_of_several(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["kto", "--devices", "2"]) == 3
    said = capsys.readouterr().err
    assert "one process" in said and "sft" in said


def test_devices_that_cannot_be_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sft", "--devices", "0"]) == 3
    assert "--devices 0" in capsys.readouterr().err


def make_tied(base: Path) -> None:
    """A model beside the base, of another kind: its head is its embedding, of an odd number of tokens."""
    folder = base.with_name("tied")
    if folder.exists():
        return
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=261,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=256,
        initializer_range=0.1,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=256,
        pad_token_id=257,
    )
    shutil.copytree(base, folder)
    Qwen3ForCausalLM(config).save_pretrained(folder)


def rows_of(folder: Path) -> list[dict[str, float]]:
    """Metrics without seconds."""
    rows = read_run(folder).metrics
    return [{name: value for name, value in row.items() if not name.startswith("time/")} for row in rows]


def lines_of(file: Path, key: str) -> list[Any]:
    return [json.loads(line)[key] for line in file.read_text(encoding="utf-8").splitlines()]
