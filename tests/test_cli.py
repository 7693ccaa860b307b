"""The command line: quick to start, helpful with mistakes, true to its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from alignlab import cli


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = cli.main(list(arguments))
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["ppo", "--help"], ["ppo", "--print-config"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    script = ("import sys; from alignlab import cli\ntry: cli.main(sys.argv[1:])\nexcept SystemExit: pass\n"
              "assert not {'torch', 'transformers', 'matplotlib', 'numpy'} & set(sys.modules), sorted(sys.modules)")
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_with_every_setting_and_a_target(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        cli.main([name, "--help"])
    assert leaving.value.code == 0
    shown = capsys.readouterr().out
    if kind := cli.COMMANDS[name].settings:
        assert all(f"--{dotted}" in shown for dotted, _, _ in cli.flags_of(kind))
    assert callable(cli._load(cli.COMMANDS[name].target))


def test_mistakes_get_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, hint in ((["popo"], "ppo"), (["ppo", "--lr", "1"], "--optim.lr"), (["ppo", "--kl_coeff", "1"], "kl"), (["sft", "--modle", "x"], "--model")):
        code, _, err = run(*arguments, capsys=capsys)
        assert code == 2 and "did you mean" in err and hint in err, err


def test_settings_and_where_they_came_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("kl_coef = 0.3\n[optim]\nlr = 0.002\n")
    code, out, _ = run("ppo", "--config", str(file), "--epochs", "7", "--print-config", "--json", capsys=capsys)
    found = json.loads(out)["settings"]
    assert code == 0 and found["kl_coef"]["value"] == 0.3 and "mine.toml" in found["kl_coef"]["from"]
    assert found["optim.lr"]["value"] == 0.002 and found["epochs"] == {"value": 7, "from": "flag"} and found["gamma"]["from"] == "default"
    file.write_text("kl_ceof = 0.3\n")
    code, _, err = run("ppo", "--config", str(file), "--print-config", capsys=capsys)
    assert code == 3 and "kl_coef" in err and "mine.toml" in err
    code, _, err = run("ppo", "--epochs", "many", "--print-config", capsys=capsys)
    assert code == 3 and "epochs" in err and "many" in err


@pytest.mark.parametrize(("content", "says"), [
    (b"", "empty"), (b'{"prompt": "a", "completion": "b"}\n{"prompt": "a", "compl', ":2"), (b'{"prompt": "caf\xe9", "completion": "b"}\n', "UTF-8"),
    (b'{"prompt": "a", "completion": "b"}\n{"instruction": "x", "output": "y"}\n', "different formats"),
])
def test_broken_data_is_one_clear_error(content: bytes, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "data.jsonl"
    file.write_bytes(content)
    code, _, err = run("sft", "--data", str(file), "--out", str(tmp_path / "run"), capsys=capsys)
    assert code == 4 and "data.jsonl" in err and says.lower() in err.lower(), err
    assert not (tmp_path / "run").exists()


def test_models_that_are_missing_unsafe_or_of_the_wrong_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text("{}")
    (pickled / "pytorch_model.bin").write_bytes(b"\x80\x04")
    coded = tmp_path / "coded"
    coded.mkdir()
    (coded / "config.json").write_text('{"auto_map": {"AutoModelForCausalLM": "evil.Model"}}')
    (coded / "model.safetensors").write_bytes(b"")
    for model, says in ((str(tmp_path / "nowhere"), "no model"), (str(pickled), "pickle"), (str(coded), "code")):
        code, _, err = run("eval", "--model", model, "--out", str(tmp_path / f"run-{Path(model).name}"), capsys=capsys)
        assert code == 4 and says in err, err
    code, _, err = run("ppo", "--out", str(tmp_path / "ppo"), capsys=capsys)
    assert code == 2 and "--reward" in err
    code, _, err = run("ppo", "--reward", "town", "--out", str(tmp_path / "ppo"), capsys=capsys)
    assert code == 4 and "head" in err, err


def test_a_finished_run_is_reused_or_refused_and_errors_are_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy = ["sft", "--count", "24", "--epochs", "1", "--model.threads", "1", "--out", str(tmp_path / "sft"), "--json"]
    code, out, _ = run(*toy, capsys=capsys)
    assert code == 0 and json.loads(out)["schema"] == 1
    code, out, _ = run(*toy, capsys=capsys)
    assert code == 0 and "nothing to do" in out
    code, out, err = run(*toy, "--optim.lr", "0.1", capsys=capsys)
    assert code == 7 and json.loads(out)["error"] == "ResumeRefused" and "optim.lr" in err


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run("sft", "--count", "48", "--epochs", "3", "--optim.lr", "1e30", "--optim.warmup", "0", "--optim.max-grad-norm", "0", "--model.threads", "1",
                       "--out", str(tmp_path / "sft"), capsys=capsys)
    assert code == 6 and "step" in err and "learning rate" in err, err
    assert not (tmp_path / "sft").exists()
