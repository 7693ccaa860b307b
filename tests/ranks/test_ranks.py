"""Several processes at one run make what one makes: the same draws, the same losses and gradients, the same
weights; and each of them has them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from alignlab import cli
from alignlab.run import ranks, read_run

from ..methods.conftest import base as base  # the tiny model in a folder

WORKER = Path(__file__).with_name("together.py")
SAME = ("sft", "lora", "reward", "dpo", "rloo", "grpo", "ppo")
MOMENT = 120  # seconds that a test waits for its processes


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
            stderr=subprocess.DEVNULL,
        )
        for i in range(2)
    ]
    return [process.wait(MOMENT) for process in processes]


@pytest.fixture(scope="module")
def two(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of two processes."""
    out = tmp_path_factory.mktemp("two")
    assert start(base, out, *SAME, "wrong") == [0, 0]
    return out


@pytest.fixture(scope="module")
def one(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The same run of one process, made here."""
    spec = importlib.util.spec_from_file_location("together", WORKER)
    assert spec and spec.loader
    together = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(together)
    out, weights = tmp_path_factory.mktemp("one"), {}

    def made(case: str) -> tuple[Path, dict[str, torch.Tensor]]:
        if case not in weights:
            weights[case] = together.train(case, base, out)
        return out / case, weights[case]

    yield made


@pytest.mark.parametrize("case", SAME)
def test_two_processes_make_what_one_makes(case: str, one: Any, two: Path, base: Path) -> None:
    folder, weights = one(case)
    begun = {f"model.{name}": value for name, value in load_file(base / "model.safetensors").items()}
    for row, other in zip(rows_of(folder), rows_of(two / case), strict=True):
        assert row.keys() == other.keys()
        for name, value in row.items():
            assert other[name] == pytest.approx(value, rel=2e-5, abs=2e-6, nan_ok=True), (row["step"], name)
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


def test_devices_that_cannot_be_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sft", "--devices", "0"]) == 3
    assert "--devices 0" in capsys.readouterr().err


def rows_of(folder: Path) -> list[dict[str, float]]:
    """Metrics without seconds."""
    rows = read_run(folder).metrics
    return [{name: value for name, value in row.items() if not name.startswith("time/")} for row in rows]


def lines_of(file: Path, key: str) -> list[Any]:
    return [json.loads(line)[key] for line in file.read_text(encoding="utf-8").splitlines()]
