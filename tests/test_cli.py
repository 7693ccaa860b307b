"""The command line: quick to start, helpful with mistakes, true to its exit codes."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

from alignlab import cli
from alignlab.cli.commands import COMMANDS, imported
from alignlab.defences.middleware import DEFENCES
from alignlab.names.known import JUDGES
from alignlab.recipes.catalogue import RECIPES
from alignlab.redteam.attacks.catalogue import ATTACKS
from alignlab.settings.resolve import dotted
from alignlab.studies.catalogue import STUDIES
from alignlab.town.people import PEOPLE_WHO_RANK
from alignlab.town.sets import SIZES


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = cli.main(list(arguments))
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["ppo", "--help"], ["ppo", "--print-config"]]
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys; from alignlab import cli\ntry: cli.main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'transformers', 'matplotlib', 'numpy'} & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_every_setting_and_a_target(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([name, "--help", "all"]) == 0
    shown = capsys.readouterr().out
    if kind := COMMANDS[name].settings:
        assert all(f"--{name}" in shown for name in dotted(kind))
    assert callable(imported(COMMANDS[name].target))
    assert cli.main([name, "-h"]) == 0
    short = capsys.readouterr().out
    assert short.count("\n") < 170 and all(
        f"--{option.flag}" in short or option.positional for option in COMMANDS[name].options
    )
    assert all(len(line) <= 100 for line in (shown + short).split("\n") if "--help all" not in line)
    assert ("--help all" in short) == (len(short) < len(shown)) or name in ("run", "study")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_gives_its_target_what_it_wants(name: str) -> None:
    """A function that wants what only commands with a run folder get, a seed say, ends in a traceback."""
    for command in (COMMANDS[name], *COMMANDS[name].kinds.values()):
        given = {option.argument for option in command.options} | set(command.given)
        if command.out:
            given |= {"out", "seed", "resume"}
        if command.settings:
            given |= {"method", "grid"} if command.swept else {"settings"}
        if command.live:
            given.add("as_json")
        inspect.signature(imported(command.target)).bind(**dict.fromkeys(given))


def test_help_lists_what_may_be_named_and_what_a_recipe_or_a_study_reads(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def shown(*arguments: str) -> str:
        assert cli.main([*arguments]) == 0
        return " ".join(capsys.readouterr().out.split())

    assert all(
        name in shown("run", "--help") for name in (*RECIPES, *(f"town:{who}" for who in PEOPLE_WHO_RANK))
    )
    assert all(
        name in shown("collect", "-h")
        for name in (
            *(f"town:{who}" for who in PEOPLE_WHO_RANK),
            *JUDGES,
            *(f"town:{data}" for data in SIZES),
        )
    )
    assert all(name in shown("redteam", "-h") for name in (*ATTACKS, *DEFENCES))
    assert all(name in shown("study", "-h") for name in STUDIES)
    one, other = (
        shown("study", "kl-frontier", "--help", "all"),
        shown("study", "closed-form", "--help", "all"),
    )
    assert "--kl_frontier.dpo_betas" in one and "--kl_frontier" not in other and "--closed_form.beta" in other
    assert "--rlvr.steps" in shown("run", "--recipe", "tulu3", "--help", "all") and "--rlvr" not in shown(
        "run", "--recipe", "zephyr", "--help", "all"
    )
    assert "--answers" in shown("collect", "--kind", "human", "-h") and "--critic" in shown(
        "constitution", "revise", "-h"
    )


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command.kinds])
def test_help_of_a_command_of_several_kinds_has_a_line_for_each(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([name, "--help"]) == 0
    lines = capsys.readouterr().out.split("\n")
    for kind, command in COMMANDS[name].kinds.items():
        assert any(
            line.startswith(f"  {kind} ") and line.split(maxsplit=1)[1].startswith(command.help[:30])
            for line in lines
        ), kind
        assert cli.main([name, "--kind", kind, "--help"]) == 0
        assert "kinds (" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "ours"),
    [
        ("dpo --learning-rate 3e-6", "--optim.lr 3e-06"),
        ("dpo --learning_rate=3e-6", "--optim.lr 3e-06"),
        ("sft --per-device-train-batch-size 4", "--batch 4"),
        ("ppo --num_ppo_epochs 2", "--epochs 2"),
        ("reward --lora-r 8", "--adapter.rank 8"),
        ("grpo --num-generations 8", "--per_prompt 8"),
        ("kto --output_dir x", "--out x"),
        ("run --learning-rate 1", "--sft.optim.lr 1"),
        ("sft --bf16", "--model.precision auto"),
        ("online-dpo --learning_rate 3e-7", "--optim.lr 3e-07"),
        ("rloo --beta 0.1", "--kl_coef 0.1"),
        ("sft --logging-steps 5", "how TRL logs"),
        ("dpo --f_divergence_type js_divergence", "f_divergence_type"),
        ("sft --num-train-epochs 3", "--epochs 3"),
        ("orpo --max-grad-norm 1", "--optim.max_grad_norm"),
        ("eval --temperature 1", "--sampling.temperature"),
    ],
)
def test_names_of_trl_and_transformers_are_answered_with_ours(
    typed: str, ours: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(*typed.split(), capsys=capsys)
    assert code == 2 and out == "" and ours in err.split("remedy:")[1], err


def test_mistakes_get_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, hint in (
        (["popo"], "ppo"),
        (["ppo", "--lr", "1"], "--optim.lr"),
        (["ppo", "--kl_coeff", "1"], "kl"),
        (["sft", "--modle", "x"], "--model"),
        (["collect", "--prompts", "9"], "--count"),
        (["best-of-n", "--limit", "9"], "--count"),
    ):
        code, _, err = run(*arguments, capsys=capsys)
        assert code == 2 and "did you mean" in err and hint in err, err


def test_settings_and_where_they_came_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("kl_coef = 0.3\n[optim]\nlr = 0.002\n")
    code, out, _ = run(
        "ppo", "--config", str(file), "--epochs", "7", "--print-config", "--json", capsys=capsys
    )
    found = json.loads(out)["settings"]
    assert code == 0 and found["kl_coef"]["value"] == 0.3 and "mine.toml" in found["kl_coef"]["from"]
    assert (
        found["optim.lr"]["value"] == 0.002
        and found["epochs"] == {"value": 7, "from": "flag", "range": "from 1"}
        and found["gamma"]["from"] == "default"
    )
    file.write_text("kl_ceof = 0.3\n")
    code, _, err = run("ppo", "--config", str(file), "--print-config", capsys=capsys)
    assert code == 3 and "kl_coef" in err and "mine.toml" in err
    code, _, err = run("ppo", "--epochs", "many", "--print-config", capsys=capsys)
    assert code == 3 and "epochs" in err and "many" in err


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b'{"prompt": "a", "completion": "b"}\n{"prompt": "a", "compl', ":2"),
        (b'{"prompt": "caf\xe9", "completion": "b"}\n', "UTF-8"),
        (b'{"prompt": "a", "completion": "b"}\n{"instruction": "x", "output": "y"}\n', "different formats"),
    ],
)
def test_broken_data_is_one_clear_error(
    content: bytes, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "data.jsonl"
    file.write_bytes(content)
    code, _, err = run("sft", "--data", str(file), "--out", str(tmp_path / "run"), capsys=capsys)
    assert code == 4 and "data.jsonl" in err and says.lower() in err.lower(), err
    assert not (tmp_path / "run").exists()


def test_models_that_are_missing_unsafe_or_of_the_wrong_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text("{}")
    (pickled / "pytorch_model.bin").write_bytes(b"\x80\x04")
    coded = tmp_path / "coded"
    coded.mkdir()
    (coded / "config.json").write_text('{"auto_map": {"AutoModelForCausalLM": "evil.Model"}}')
    (coded / "model.safetensors").write_bytes(b"")
    for model, says in (
        (str(tmp_path / "nowhere"), "no model"),
        (str(pickled), "pickle"),
        (str(coded), "code"),
    ):
        code, _, err = run(
            "eval", "--model", model, "--out", str(tmp_path / f"run-{Path(model).name}"), capsys=capsys
        )
        assert code == 4 and says in err, err
    code, _, err = run("ppo", "--out", str(tmp_path / "ppo"), capsys=capsys)
    assert code == 2 and "--reward" in err
    code, _, err = run("ppo", "--reward", "town", "--out", str(tmp_path / "ppo"), capsys=capsys)
    assert code == 4 and "head" in err, err


def test_a_finished_run_is_reused_or_refused_and_errors_are_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy = [
        "sft",
        "--count",
        "24",
        "--epochs",
        "1",
        "--model.threads",
        "1",
        "--out",
        str(tmp_path / "sft"),
        "--json",
    ]
    code, out, _ = run(*toy, capsys=capsys)
    assert code == 0 and json.loads(out)["schema"] == 1
    code, out, _ = run(*toy, capsys=capsys)
    assert code == 0 and "nothing to do" in out
    code, out, err = run(*toy, "--optim.lr", "0.1", capsys=capsys)
    assert code == 7 and json.loads(out)["error"] == "ResumeRefused" and "optim.lr" in err


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(
        "sft",
        "--count",
        "48",
        "--epochs",
        "3",
        "--optim.lr",
        "1e30",
        "--optim.warmup",
        "0",
        "--optim.max-grad-norm",
        "0",
        "--model.threads",
        "1",
        "--out",
        str(tmp_path / "sft"),
        capsys=capsys,
    )
    assert code == 6 and "step" in err and "learning rate" in err, err
    assert not (tmp_path / "sft").exists()


@pytest.mark.parametrize(
    ("words", "goes_on"),
    [
        (["sft"], True),
        (["constitution", "revise"], True),
        (["constitution", "--kind", "label"], True),
        (["constitution", "show", "town"], False),
        (["redteam", "town"], True),
        (["redteam", "judge", "x"], False),
        (["collect", "--kind", "distil"], True),
        (["view"], False),
        ([], False),
    ],
)
def test_a_command_that_is_stopped_says_whether_it_can_go_on(
    words: list[str], goes_on: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("alignlab.cli.entry._main", stopped)
    assert cli.main(words) == 130
    assert ("goes on where it was" in capsys.readouterr().err) == goes_on
