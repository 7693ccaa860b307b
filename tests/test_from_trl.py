"""`alignlab from-trl`: what a TRL config is here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alignlab import cli
from alignlab.config import dotted, resolve
from alignlab.from_trl import ADAPTER, KINDS, NOT_NEEDED, SAME, SHARED, convert, table

PPO = """
sft_model_path: my-sft
reward_model_path: my-reward
output_dir: runs/ppo
learning_rate: 3e-6
per_device_train_batch_size: 16
gradient_accumulation_steps: 4
num_mini_batches: 2
total_episodes: 10000
num_ppo_epochs: 4
kl_coef: 0.1
missing_eos_penalty: 1.0
response_length: 64
stop_token: eos
whiten_rewards: true
"""


def test_a_ppo_config_becomes_a_command_and_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ppo.yaml").write_text(PPO)
    assert cli.main(["from-trl", str(tmp_path / "ppo.yaml"), "--write", str(tmp_path / "ppo.toml"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["method"] == "ppo" and found["options"] == {"--model": "my-sft", "--reward": "my-reward", "--out": "runs/ppo"}
    config, origins = resolve(KINDS["ppo"], file=tmp_path / "ppo.toml")
    assert (config.rollouts, config.minibatch, config.micro_batch, config.steps, config.epochs) == (64, 32, 16, 157, 4)
    assert (config.kl_coef, config.missing_end_penalty, config.whiten_rewards, config.sampling.max_new_tokens) == (0.1, 1.0, True, 64)
    assert config.optim.lr == 3e-6  # YAML reads 3e-6 as text
    assert (config.sampling.temperature, config.optim.schedule, config.optim.warmup) == (0.7, "linear", 0.0)  # TRL's defaults, which are not ours
    assert not config.normalize_scores and config.score_clip == 0
    assert cli.main([*found["command"].split()[1:], "--print-config"]) == 0


@pytest.mark.parametrize("method", list(KINDS))
def test_the_defaults_of_every_trainer_convert(method: str) -> None:
    rows, values, _ = convert(method, {})
    assert set(values) <= set(dotted(KINDS[method])) and rows
    assert values["optim.beta2"] == 0.999 and values.get("optim.weight_decay", dotted(KINDS[method])["optim.weight_decay"].default) == 0.0


@pytest.mark.parametrize("method", list(KINDS))
def test_every_name_in_the_tables_is_real(method: str) -> None:
    known, ours = table()[method]["fields"], dotted(KINDS[method])
    assert set(SAME[method]) <= set(known) and set(SAME[method].values()) <= set(ours)
    assert set(SHARED) <= set(known) and set((SHARED | ADAPTER).values()) <= set(ours)
    everything = {key for held in table().values() for key in held["fields"]}
    assert set(NOT_NEEDED) <= everything and set(ADAPTER) <= everything


def test_every_method_knows_every_key_of_its_trainer() -> None:
    for method in KINDS:
        held = table()[method]["fields"]
        rows, _, _ = convert(method, {key: value for key, value in held.items() if value is not None})
        assert {row.key for row in rows} >= {key for key, value in held.items() if value is not None}
        assert all(row.says or row.here for row in rows)


def test_a_command_line_and_a_guess(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["from-trl", "--args", "python grpo.py --num_generations 4 --loss_type=dr_grpo --scale_rewards none --beta 0.04 --vllm_mode colocate --epsilon_high 0.28 "
                     "--importance_sampling_level sequence", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["method"] == "grpo"
    assert {k: found["settings"][k] for k in ("per_prompt", "loss_mean", "advantage", "kl_coef", "epsilon_high", "ratio_level")} == {
        "per_prompt": 4, "loss_mean": "constant", "advantage": "dr_grpo", "kl_coef": 0.04, "epsilon_high": 0.28, "ratio_level": "sequence"}


def test_what_has_no_counterpart_is_said() -> None:
    rows, values, _ = convert("dpo", {"loss_type": ["sigmoid", "bco_pair"], "label_smoothing": 0.1, "max_steps": 10, "logging_steps": 5, "ld_alpha": 0.5})
    fates = {row.key: row.fate for row in rows}
    assert {key: fates[key] for key in ("loss_type", "label_smoothing", "max_steps", "logging_steps", "ld_alpha")} == {
        "loss_type": "unsupported", "label_smoothing": "unsupported", "max_steps": "unsupported", "logging_steps": "not needed", "ld_alpha": "unsupported"}
    assert "loss_type" not in values and "label_smoothing" not in values


@pytest.mark.parametrize(("text", "says"), [
    ("kl_coeff: 0.1\nnum_ppo_epochs: 4\n", "kl_coef"), ("kl_coef: much\n", "not a number"), ("- 1\n- 2\n", "no table"), ("a: [1\n", "not YAML"), ("", "no table"),
    ("num_ppo_epochs: 4\nper_device_train_batch_size: 0\n", "at least 1"), ("!!python/object/apply:os.system ['true']\n", "not YAML"), ("learning_rate: 1e-5\n", "cannot be told"),
])
def test_bad_input_is_one_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    method = ["--method", "ppo"] if "kl_coef" in text else []
    assert cli.main(["from-trl", str(tmp_path / "a.yaml"), *method]) == 3
    assert says in capsys.readouterr().err


def test_no_file_two_sources_and_no_such_method(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kl_coef: 0.1\n")
    assert cli.main(["from-trl"]) == 3
    assert cli.main(["from-trl", str(tmp_path / "nowhere.yaml")]) == 3
    assert cli.main(["from-trl", str(tmp_path / "a.yaml"), "--args", "--kl_coef 1"]) == 3
    assert cli.main(["from-trl", str(tmp_path / "a.yaml"), "--method", "poo"]) == 3
    assert cli.main(["from-trl", "--args", "no flags"]) == 3


def test_lora_and_the_dropout_that_an_on_policy_method_cannot_have() -> None:
    given = {"use_peft": True, "lora_r": 8, "lora_target_modules": ["q_proj", "v_proj"]}
    rows, values, _ = convert("ppo", given)
    assert (values["adapter.rank"], values["adapter.target"]) == (8, "q_proj,v_proj") and "adapter.dropout" not in values
    assert {row.key: row.fate for row in rows}["lora_dropout"] == "unsupported"
    assert convert("dpo", given)[1]["adapter.dropout"] == 0.05
