"""kill -9 at every kind of moment of whole commands: the same command goes on and ends in the same bits, no
line twice and none missing.

`tests/test_run.py` and `tests/methods/test_resume.py` do so for the loops; here are the commands as they are
given, killed at calls that make something durable.
"""

import json
import os
import random
import signal

import pytest

from alignlab import cli, names
from alignlab.records import Demonstration, write_jsonl
from alignlab.run import faults_of
from alignlab.town import language

SHORT = ["--sampling.max_new_tokens", "8", "--sampling.slots", "8"]
PAIRS = [
    "--model",
    "town-s",
    "--data",
    "town:test-pairs",
    "--count",
    "24",
    "--epochs",
    "2",
    "--batch",
    "8",
    "--held_out",
    "0.25",
]
COMMANDS = {
    "orpo": ["orpo", *PAIRS],
    "simpo": ["simpo", *PAIRS],
    "simpo, an adapter": ["simpo", *PAIRS, "--adapter.rank", "2"],
    "online-dpo": [
        "online-dpo",
        "--model",
        "{sft}",
        "--judge",
        "town:gold",
        "--steps",
        "4",
        "--prompts",
        "4",
        "--count",
        "16",
        *SHORT,
    ],
    "rejection": [
        "rejection",
        "--model",
        "{sft}",
        "--judge",
        "town:gold",
        "--rounds",
        "2",
        "--prompts",
        "6",
        "--per_prompt",
        "2",
        "--count",
        "16",
        *SHORT,
        "--sampling.max_new_tokens",
        "24",
    ],
    "label": [
        "constitution",
        "label",
        "--model",
        "town-s",
        "--judge-model",
        "town-s",
        "--count",
        "12",
        "--chunk",
        "4",
        "--per_prompt",
        "2",
        *SHORT,
        "--held_out",
        "0.3",
    ],
    "revise": [
        "constitution",
        "revise",
        "--model",
        "{sft}",
        "--critic",
        "town-s",
        "--form",
        "document",
        "--count",
        "8",
        "--chunk",
        "3",
        "--rounds",
        "1",
        "--max_repetition",
        "1.0",
        "--sampling.max_new_tokens",
        "48",
        "--critic_sampling.max_new_tokens",
        "24",
    ],
    "fix": [
        "redteam",
        "{refusing}",
        "--fix",
        "--goals",
        "6",
        "--twins",
        "2",
        "--learn_goals",
        "24",
        "--queries",
        "2",
        "--tries",
        "2",
        "--rounds",
        "1",
        "--attacks",
        "standard",
        "--held_out",
        "story",
        "--per_attack",
        "2",
        "--ordinary_prompts",
        "4",
        "--test_prompts",
        "4",
        "--shorten",
        "0",
    ],
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A model that ends what it says, and one made of it that has also learnt to refuse, not too well."""
    folder = tmp_path_factory.mktemp("models")
    refusals = [
        Demonstration(prompt, language.REFUSAL)
        for prompt in names.data.read_data("town:harmful", "prompt", count=64).records
    ]
    write_jsonl(folder / "refusals.jsonl", refusals)
    assert (
        given(
            folder / "sft",
            ["sft", "--model", "town-s", "--data", "town:demos", "--count", "600", "--epochs", "3"],
        )[0]
        == 0
    )
    assert (
        given(
            folder / "refusing",
            [
                "sft",
                "--model",
                str(folder / "sft"),
                "--data",
                str(folder / "refusals.jsonl"),
                "--epochs",
                "1",
            ],
        )[0]
        == 0
    )
    return {name: str(folder / name) for name in ("sft", "refusing")}


def given(out, command, kill_at=0):
    """The command in a process of its own, killed at that call that syncs; (exit code, such calls)."""
    counter = out.with_name(f"{out.name}.calls")
    child = os.fork()
    if child == 0:
        code, calls, sync = 99, 0, os.fsync

        def counted(handle):
            nonlocal calls
            calls += 1
            if calls == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            sync(handle)

        try:
            os.fsync = counted
            code = cli.main([*command, "--out", str(out)])
            counter.write_text(str(calls))
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, int(counter.read_text()) if counter.exists() else 0


TIMES = ("seconds", "cpu_seconds", "started", "machine", "time/", "again", "run", "parents", "model", "key")


def without_times(value):
    """Figures without what a clock, or the name of the folder, says."""
    if isinstance(value, dict):
        return {key: without_times(each) for key, each in value.items() if not key.startswith(TIMES)}
    return [without_times(each) for each in value] if isinstance(value, list) else value


def contents(out):
    """What the command made: weights and data to the last byte, logs and figures without times."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if not path.is_file() or path.name in (
            "run.json",
            "manifest.json",
            "README.md",
            "report.html",
            "report.md",
            "health.jsonl",
            "config.json",
            "adapter_config.json",
        ):
            continue
        if path.name == "summary.json":
            found[name] = without_times(json.loads(path.read_bytes()))
        elif path.name in ("metrics.jsonl", "samples.jsonl"):
            found[name] = [without_times(json.loads(line)) for line in path.read_bytes().split(b"\n") if line]
        else:
            found[name] = path.read_bytes()
    return found


def killed_and_gone_on_with(tmp_path, monkeypatch, name, times, models=None):
    monkeypatch.setenv("ALIGNLAB_SAVE_EVERY_STEPS", "1")
    command, rng = [word.format(**models or {}) for word in COMMANDS[name]], random.Random(name)
    code, total = given(tmp_path / "whole", command)
    assert code == 0 and total > 10
    whole = contents(tmp_path / "whole")
    assert any(file.endswith((".safetensors", ".jsonl")) for file in whole)
    for number, kill_at in enumerate(sorted(rng.sample(range(1, total + 1), min(times, total)))):
        out = tmp_path / f"killed-{number}"
        assert given(out, command, kill_at)[0] == -signal.SIGKILL
        assert given(out, command)[0] == 0
        found = contents(out)
        assert found.keys() == whole.keys(), f"killed at {kill_at} of {total}"
        assert [file for file in whole if found[file] != whole[file]] == [], f"killed at {kill_at} of {total}"
        assert faults_of(out) == []


def test_a_killed_command_ends_in_the_same_bits(tmp_path, monkeypatch):
    killed_and_gone_on_with(tmp_path, monkeypatch, "orpo", 2)


@pytest.mark.campaign
@pytest.mark.parametrize("name", COMMANDS)
def test_commands_killed_at_many_moments_end_in_the_same_bits(tmp_path, monkeypatch, models, name):
    killed_and_gone_on_with(tmp_path, monkeypatch, name, 4, models)
