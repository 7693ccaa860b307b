"""`alignlab plan`: its formulas, and step times that others have published."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from alignlab import cli
from alignlab.sizing import MODELS, ROOM, Work

WORK = Work(8e9, 8, "grpo", "h100", 1, 512, 256, 512, 1024)
PUBLISHED = {
    "Llama 3.1 8B": (Work(8.03e9, 16, "grpo", "h100", 1, 2048, 200, 860, 3896), 97.7),
    "Qwen3 32B": (Work(32.8e9, 32, "grpo", "h100", 4, 2048, 200, 3006, 3896), 393.0),
}
"""NeMo RL 0.4's performance summary (2025): GRPO, on policy, BF16, DGX-H100; step times in seconds. Sequences
have 1,060 and 3,206 tokens in the mean and 4,096 at most; 200 of the prompt are ours to guess.
"""


@pytest.mark.parametrize("name", PUBLISHED)
def test_steps_are_within_a_factor_of_two_of_published_ones(name: str) -> None:
    work, seconds = PUBLISHED[name]
    least, most = work.seconds
    assert seconds / 2 <= least <= most <= seconds * 2


def test_formulas_by_hand() -> None:
    tokens = 512 * 768
    assert WORK.tokens == tokens and WORK.state == 20 * 8e9 / 8
    assert WORK.arithmetic == pytest.approx(12 * 8e9 * tokens / (8 * 0.4 * 989e12))
    assert WORK.traffic == pytest.approx(14 * 8e9 / 450e9)
    assert WORK.sync == pytest.approx(2.0)
    cache = 64 * (256 * 512 + 512**2 * 2 / 3) * 131e3
    assert WORK.sampling == pytest.approx((16e9 * 1024 + cache) / (0.6 * 3.35e12))
    assert replace(WORK, gpus=16).traffic == pytest.approx(14 * 8e9 / 50e9)  # between nodes
    ppo = replace(WORK, method="ppo")
    assert ppo.state == 40 * 8e9 / 8 and ppo.arithmetic == pytest.approx(6 * WORK.arithmetic)
    assert replace(WORK, method="dpo").sampling == replace(WORK, method="sft").sync == 0


@pytest.mark.parametrize("method", MODELS)
def test_the_fewest_gpus_fit_and_one_less_does_not(method: str) -> None:
    work = replace(WORK, params=70e9, method=method)
    room = ROOM * work.peak.memory
    assert replace(work, gpus=work.fewest).state <= room < replace(work, gpus=work.fewest - 1).state


def test_the_command_says_what_binds_and_what_does_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "--params", "70e9", "--gpus", "16", "--method", "ppo"]) == 0
    said = capsys.readouterr().out
    assert "An estimate" in said and "does not fit: at least 47" in said
    assert cli.main(["plan", "--params", "8e9", "--gpus", "64", "--method", "grpo", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["binds"] == "sampling" and found["fits"]


@pytest.mark.parametrize(
    "wrong",
    [
        ["--method", "dppo"],
        ["--gpu", "tpu"],
        ["--gpus", "0"],
        ["--params", "12"],
        ["--params", "nan"],
        ["--gpus", "8", "--tensor-parallel", "3"],
        ["--new-tokens", "2000"],
    ],
)
def test_what_cannot_be_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", *wrong]) == 3
    assert "alignlab:" in capsys.readouterr().err
