"""`alignlab run` from end to end at toy sizes; killed in the middle it ends in the same figures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

TOY = (
    "--model town-s --seed 1 --demonstrations 64 --prompts 40 --ppo-prompts 40 --eval.prompts 24 "
    "--eval.sampling.max-new-tokens 24 --sft.epochs 1 --reward.epochs 1 "
    "--ppo.steps 4 --ppo.rollouts 16 --unpenalised.steps 2 --unpenalised.rollouts 8 "
    "--best-of-n.curve-max 4 --best-of-n.curve-prompts 8 --best-of-n.per-prompt 2"
).split()
FIGURES = (
    *("gold", "helpful", "harmless", "honest", "compliance_with_harm", "over_refusal", "look_alike_refusal"),
    *("known_facts", "instruction_format", "compliance_seen", "compliance_held_out", "evasive"),
    *("look_alike_refusal_seen", "look_alike_refusal_held_out", "mean_length"),
)
EVERY_STEP = {"ALIGNLAB_SAVE_EVERY_STEPS": "1"}


def start(out: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "alignlab.cli", "run", "--out", str(out), *TOY],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def figures(out: Path) -> dict[str, Any]:
    """The summary without what a clock or a path decides."""
    summary = json.loads((out / "summary.json").read_text())
    for name in ("seconds", "machine", "stages"):
        summary.pop(name)
    for model in summary["models"].values():
        model.pop("seconds"), model.pop("path")
    return summary


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("run") / "demo"
    process = start(out)
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said
    return out, said


def test_summary_report_and_last_words(undisturbed: tuple[Path, str]) -> None:
    out, said = undisturbed
    summary = json.loads((out / "summary.json").read_text())
    assert summary["schema"] == 1 and summary["recipe"] == "instructgpt" and summary["seed"] == 1
    assert {"base", "sft", "ppo", "dpo", "best_of_n", "unpenalised"} == set(summary["models"])
    for name, model in summary["models"].items():
        assert {"path", "parent", "seconds", "win_rate_vs_sft", "ties_vs_sft", "kl_from_sft"} <= set(model)
        assert {f"{figure}{way}" for figure in FIGURES for way in ("", "_sampled")} <= set(model), name
        assert model["gold"]["n"] == 24 and 0 <= model["gold"]["mean"] <= 1
        other = "_one" if name == "best_of_n" else "_sampled"
        for figure in ("gold", "compliance_with_harm", "over_refusal", "known_facts"):
            assert model[f"{figure}{other}"]["n"] == model[figure]["n"] > 0, (name, figure)
    best = summary["models"]["best_of_n"]
    assert best["picks"] == {"n": 2, "temperature": 0.8} and best["gold_sampled"] is None
    assert best["paired"].keys() == {"picked"} and best["ties_vs_sft"]["n"] == 24
    gain = best["gold"]["mean"] - best["gold_one"]["mean"]
    assert best["paired"]["picked"]["mean"] == pytest.approx(gain)
    assert isinstance(summary["reward_model"]["accuracy"], float) and {
        "ci",
        "n",
        "ceiling",
        "ece",
        "length_floor",
    } <= set(summary["reward_model"])
    assert {"sft", "collect", "reward", "ppo", "dpo"} <= {stage["name"] for stage in summary["stages"]}
    page = (out / "report.html").read_text()
    assert "Proxy and gold" in page and "<script" not in page
    assert str(out / "report.html") in said and said.count("alignlab ") >= 3 and "beats SFT" in said
    assert not list(out.glob("*.partial"))
    assert "s in all" in said and not any(stage["was_done"] for stage in summary["stages"])


def test_a_second_time_everything_is_reused(undisturbed: tuple[Path, str]) -> None:
    out, _ = undisturbed
    before, made = figures(out), (out / "ppo" / "run.json").stat().st_mtime_ns
    process = start(out)
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert figures(out) == before and (out / "ppo" / "run.json").stat().st_mtime_ns == made
    assert "nothing to do" in said
    stages = json.loads((out / "summary.json").read_text())["stages"]
    assert (
        all(stage["was_done"] for stage in stages)
        and f"s now, {len(stages)} of {len(stages)} stages were done already" in said
    )


def test_killed_again_and_again_it_ends_in_the_same_figures(
    undisturbed: tuple[Path, str], tmp_path: Path
) -> None:
    out = tmp_path / "demo"
    for marker in ("sft.partial/state-*", "reward.partial/state-*", "ppo.partial/state-*"):
        process = start(out, **EVERY_STEP)
        deadline = time.monotonic() + 300
        while not list(out.glob(marker)) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert process.poll() is None, f"it ended before {marker} was there:\n{process.communicate()[0]}"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not (out / "summary.json").exists()
    process = start(out)
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said
    assert figures(out) == figures(undisturbed[0])
