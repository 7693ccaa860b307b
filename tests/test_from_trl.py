"""`alignlab from-trl`: what a TRL config is here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alignlab import cli
from alignlab.errors import ConfigError
from alignlab.interop.from_trl import convert, from_trl
from alignlab.interop.trl_shared import ADAPTER, OPTIONS, SAME, SHARED
from alignlab.interop.trl_table import KINDS, fates, keys_of, table
from alignlab.settings.resolve import dotted, resolve

TAKEN = (
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "generation_batch_size",
    "steps_per_generation",
    "num_mini_batches",
    "total_episodes",
    "max_steps",
    "num_train_epochs",
    "lr_scheduler_type",
    "warmup_steps",
    "bf16",
    "use_peft",
    "chat_template_path",
    "dataset_text_field",
    "missing_eos_penalty",
    "f_divergence_type",
    "center_rewards_coefficient",
    "cpo_alpha",
    "epsilon_high",
    "reward_clip_range",
    "scale_rewards",
    "importance_sampling_level",
    "use_bias_correction_kl",
    "label_smoothing",
    "loss_type",
    "truncation_mode",
)
"""Keys that the functions of `from_trl` turn into settings, one by one."""

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


def test_a_ppo_config_becomes_a_command_and_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ppo.yaml").write_text(PPO)
    assert (
        cli.main(["from-trl", str(tmp_path / "ppo.yaml"), "--write", str(tmp_path / "ppo.toml"), "--json"])
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["method"] == "ppo" and found["options"] == {
        "--model": "my-sft",
        "--reward": "my-reward",
        "--out": "runs/ppo",
    }
    config, origins = resolve(KINDS["ppo"], file=tmp_path / "ppo.toml")
    assert (config.rollouts, config.minibatch, config.micro_batch, config.steps, config.epochs) == (
        64,
        32,
        16,
        157,
        4,
    )
    assert (
        config.kl_coef,
        config.missing_end_penalty,
        config.whiten_rewards,
        config.sampling.max_new_tokens,
    ) == (0.1, 1.0, True, 64)
    assert config.optim.lr == 3e-6  # YAML reads 3e-6 as text
    assert (config.sampling.temperature, config.optim.schedule, config.optim.warmup) == (
        0.7,
        "linear",
        0.0,
    )  # TRL's defaults, which are not ours
    assert not config.normalize_scores and config.score_clip == 0
    assert cli.main([*found["command"].split()[1:], "--print-config"]) == 0


@pytest.mark.parametrize("method", list(KINDS))
def test_the_defaults_of_every_trainer_convert(method: str) -> None:
    rows, values, _ = convert(method, {})
    assert set(values) <= set(dotted(KINDS[method])) and rows
    assert (
        values["optim.beta2"] == 0.999
        and values.get("optim.weight_decay", dotted(KINDS[method])["optim.weight_decay"].default) == 0.0
    )


@pytest.mark.parametrize("method", list(KINDS))
def test_every_name_in_the_tables_is_real(method: str) -> None:
    known, ours = table()[method]["fields"], dotted(KINDS[method])
    assert set(SAME[method]) <= set(known) and set(SAME[method].values()) <= set(ours)
    assert set(SHARED) <= set(known) and set((SHARED | ADAPTER).values()) <= set(ours)


@pytest.mark.parametrize("method", list(KINDS))
def test_every_key_of_every_config_stands_in_a_table(method: str) -> None:
    """So that no key of a new TRL becomes "not needed" because nobody looked at it."""
    held = fates()
    quiet = {key for keys in held["quiet"].values() for key in keys.split()}
    does = {*held["does"]["all"], *held["does"].get(method, {})}
    known = {*table()["script"]["fields"], *table()[method]["fields"]}
    taken = {*SAME[method], *SHARED, *OPTIONS, *ADAPTER, *TAKEN}
    assert not known - quiet - does - {*held["off"]} - taken
    assert not {*held["does"].get(method, {})} - known and not quiet & {*held["off"]}


def test_the_tables_name_no_key_that_never_was() -> None:
    held = fates()
    everything = {key for book in table().values() for key in book["fields"]}
    named = {key for keys in held["quiet"].values() for key in keys.split()} | {
        *held["off"],
        *held["does"]["all"],
        *ADAPTER,
        *TAKEN,
    }
    assert not named - everything - {"env"}
    assert {new for names in held["renamed"].values() for new in names.values()} <= everything | {
        key for rows in held["gone"].values() for key in rows
    }


@pytest.mark.parametrize(
    ("method", "key"),
    [
        ("sft", "assistant_only_loss"),
        ("dpo", "disable_dropout"),
        ("kto", "disable_dropout"),
        ("reward", "disable_dropout"),
        ("rloo", "disable_dropout"),
        ("grpo", "disable_dropout"),
    ],
)
def test_a_default_of_trl_that_ours_does_not_follow_is_said_though_nobody_gave_it(
    method: str, key: str
) -> None:
    rows, _, _ = convert(method, {})
    assert {row.key: row.fate for row in rows}[key] == "differs"


def test_every_method_knows_every_key_of_its_trainer() -> None:
    for method in KINDS:
        held = table()[method]["fields"]
        rows, _, _ = convert(method, {key: value for key, value in held.items() if value is not None})
        assert {row.key for row in rows} >= {key for key, value in held.items() if value is not None}
        assert all(row.says or row.here or row.fate == "same" for row in rows)


def test_a_command_line_and_a_guess(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        cli.main(
            [
                "from-trl",
                "--args",
                "python grpo.py --num_generations 4 --loss_type=dr_grpo --scale_rewards none --beta 0.04 "
                "--vllm_mode colocate --epsilon_high 0.28 "
                "--importance_sampling_level sequence",
                "--json",
            ]
        )
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["method"] == "grpo"
    assert {
        k: found["settings"][k]
        for k in ("per_prompt", "loss_mean", "advantage", "kl_coef", "cliprange_high", "ratio_level")
    } == {
        "per_prompt": 4,
        "loss_mean": "constant",
        "advantage": "dr_grpo",
        "kl_coef": 0.04,
        "cliprange_high": 0.28,
        "ratio_level": "sequence",
    }


def test_what_has_no_counterpart_is_said() -> None:
    rows, values, _ = convert(
        "dpo",
        {
            "loss_type": ["sigmoid", "bco_pair"],
            "label_smoothing": 0.1,
            "max_steps": 10,
            "logging_steps": 5,
            "ld_alpha": 0.5,
        },
    )
    fates = {row.key: row.fate for row in rows}
    assert {
        key: fates[key] for key in ("loss_type", "label_smoothing", "max_steps", "logging_steps", "ld_alpha")
    } == {
        "loss_type": "unsupported",
        "label_smoothing": "unsupported",
        "max_steps": "unsupported",
        "logging_steps": "not needed",
        "ld_alpha": "unsupported",
    }
    assert "loss_type" not in values and "label_smoothing" not in values


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kl_coeff: 0.1\nnum_ppo_epochs: 4\n", "kl_coef"),
        ("kl_coef: much\n", "not a number"),
        ("kl_coef: null\n", "not a number"),
        ("- 1\n- 2\n", "no table"),
        ("a: [1\n", "not YAML"),
        ("", "no table"),
        ("num_ppo_epochs: 4\nper_device_train_batch_size: 0\n", "at least 1"),
        ("!!python/object/apply:os.system ['true']\n", "not YAML"),
        ("learning_rate: 1e-5\n", "cannot be told"),
    ],
)
def test_bad_input_is_one_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
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
    assert (values["adapter.rank"], values["adapter.target"]) == (
        8,
        "q_proj,v_proj",
    ) and "adapter.dropout" not in values
    assert {row.key: row.fate for row in rows}["lora_dropout"] == "differs"
    assert convert("dpo", given)[1]["adapter.dropout"] == 0.05


KL = {"beta": 0.04}


def test_grpo_keeps_the_gradient_of_trls_kl() -> None:
    """TRL multiplies k3 by the ratio unless told not to: at ratio 1 that is the gradient of k2."""
    assert convert("grpo", KL)[1]["kl_penalty"] == "k2_in_loss"
    assert convert("grpo", KL | {"use_bias_correction_kl": True})[1]["kl_penalty"] == "k2_in_loss"
    rows, values, _ = convert("grpo", KL | {"use_bias_correction_kl": False})
    assert (
        values["kl_penalty"] == "k3_in_loss"
        and {row.key: row.fate for row in rows}["use_bias_correction_kl"] == "same"
    )
    rows, _, _ = convert("grpo", KL | {"num_iterations": 2})
    assert "later updates" in {row.key: row.says for row in rows}["use_bias_correction_kl"]


def test_the_gradient_of_k3_times_the_ratio_is_that_of_k2_at_ratio_1() -> None:
    torch = pytest.importorskip("torch")
    from alignlab.losses import kl_estimate

    logprobs, ref = torch.randn(4, 6, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64)
    grads = []
    for kind in ("corrected", "k2"):
        now = logprobs.clone().requires_grad_()
        kl = (
            kl_estimate(now, ref, estimator="k3") * torch.exp(now - logprobs)
            if kind == "corrected"
            else kl_estimate(now, ref, estimator="k2")
        )
        grads.append(torch.autograd.grad(kl.sum(), now)[0])
    torch.testing.assert_close(*grads)


def test_importance_weights_are_those_of_trl() -> None:
    assert (
        convert("grpo", {})[1]["importance_cap"]
        == convert("rloo", {"use_vllm": True})[1]["importance_cap"]
        == 0.0
    )
    given = {
        "use_vllm": True,
        "vllm_importance_sampling_mode": "token_truncate",
        "vllm_importance_sampling_clip_max": 2.5,
    }
    assert convert("grpo", given)[1]["importance_cap"] == 2.5
    rows, _, _ = convert("grpo", {"use_vllm": True})  # whole completions are masked
    assert {row.key: row.fate for row in rows}["vllm_importance_sampling_mode"] == "differs"


def test_rloo_clips_gradients_where_trl_does() -> None:
    assert (
        convert("rloo", {"max_completion_length": 100, "max_grad_norm": 0.5})[1]["optim.max_grad_norm"]
        == 0.005
    )
    fates_ = {row.key: row.fate for row in convert("rloo", {"num_iterations": 2})[0]}
    assert (
        fates_["epsilon"] == "differs"
        and {row.key: row.fate for row in convert("rloo", {})[0]}["epsilon"] == "same"
    )


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("kto", {"loss_type": "apo_zero_unpaired"}),
        ("sft", {"packing_strategy": "wrapped"}),
        ("sft", {"optim": "adafactor"}),
        ("dpo", {"model_revision": "v2"}),
        ("dpo", {"dataset_train_split": "validation"}),
        ("grpo", {"model_init_kwargs": {"rope_scaling": 2}}),
        ("sft", {"eos_token": "<end>"}),
        ("grpo", {"trust_remote_code": True}),
        ("grpo", {"entropy_coef": 0.1}),
        ("orpo", {"max_completion_length": 64}),
        ("dpo", {"loss_weights": [0.5, 0.2], "loss_type": ["sigmoid", "sft"]}),
        ("dpo", {"loss_weights": [1.0, 0.2], "loss_type": ["sigmoid", "bco_pair"]}),
        ("sft", {"adafactor": True}),
        ("reward", {"load_best_model_at_end": True}),
    ],
)
def test_a_value_that_bears_on_what_is_learnt_is_never_called_not_needed(method: str, given: dict) -> None:
    rows, _, _ = convert(method, given)
    assert {row.key: row.fate for row in rows}[next(iter(given))] == "unsupported"


@pytest.mark.parametrize(
    ("given", "key", "weight"),
    [
        ({"rpo_alpha": 0.5}, "rpo_alpha", 0.5),
        ({"rpo_alpha": None}, "rpo_alpha", 0.0),
        ({"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.2]}, "loss_weights", 0.2),
        ({"loss_type": ["ipo", "sft"]}, "loss_type", 1.0),
    ],
)
def test_the_likelihood_beside_dpo(given: dict, key: str, weight: float) -> None:
    rows, values, _ = convert("dpo", given)
    assert values["nll_coef"] == weight
    assert {row.key: row.fate for row in rows}[key] in ("set", "same")


def test_bf16_is_never_forced() -> None:
    for given, wanted in ((True, "auto"), ("true", "auto"), (False, "fp32"), ("false", "fp32")):
        rows, values, _ = convert("sft", {"bf16": given})
        assert values["model.precision"] == wanted and "unsupported" not in {
            row.fate for row in rows if row.key == "bf16"
        }


def test_accumulation_that_was_used_is_not_called_unsupported() -> None:
    for method in KINDS:
        rows, values, _ = convert(
            method,
            {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 8, "num_generations": 4}
            if method in ("rloo", "grpo")
            else {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 8},
        )
        assert {row.key: row.fate for row in rows}["gradient_accumulation_steps"] in (
            "set",
            "same",
        ) and values["micro_batch"] == 4


def test_names_of_trl_before_1_are_known() -> None:
    rows, values, _ = convert(
        "sft",
        {
            "max_seq_length": 2048,
            "evaluation_strategy": "steps",
            "warmup_ratio": 0.1,
            "overwrite_output_dir": True,
        },
    )
    assert values["max_length"] == 2048 and values["optim.warmup"] == 0.1
    assert {row.key: row.fate for row in rows if row.given} == {
        "max_seq_length": "set",
        "evaluation_strategy": "not needed",
        "warmup_ratio": "set",
        "overwrite_output_dir": "not needed",
    }
    _, values, _ = convert(
        "rloo",
        {
            "rloo_k": 4,
            "kl_coef": 0.03,
            "num_ppo_epochs": 2,
            "total_episodes": 1000,
            "per_device_train_batch_size": 50,
            "response_length": 64,
            "missing_eos_penalty": 1.0,
        },
    )
    assert (
        values["per_prompt"],
        values["kl_coef"],
        values["epochs"],
        values["steps"],
        values["sampling.max_new_tokens"],
        values["missing_end_penalty"],
    ) == (4, 0.03, 2, 20, 64, 1.0)


def test_the_ppo_of_trl_before_0_12_converts() -> None:
    _, values, _ = convert(
        "ppo",
        {
            "init_kl_coef": 0.2,
            "adap_kl_ctrl": True,
            "target": 6,
            "horizon": 10000,
            "ppo_epochs": 3,
            "batch_size": 128,
            "mini_batch_size": 16,
            "gradient_accumulation_steps": 2,
            "early_stopping": True,
            "target_kl": 0.1,
            "score_clip": 5,
        },
    )
    assert (
        values["kl_coef"],
        values["adaptive_kl"],
        values["epochs"],
        values["rollouts"],
        values["minibatch"],
        values["micro_batch"],
        values["score_clip"],
    ) == (0.2, 6.0, 3, 128, 32, 16, 5.0)
    assert values["stop_at_kl"] == pytest.approx(0.15)


def test_the_gradient_of_rloo_is_trls_divided_by_the_bound_on_tokens() -> None:
    torch = pytest.importorskip("torch")
    from alignlab.losses import group_policy_loss, token_weights

    logprobs, advantages = -torch.rand(4, 6, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    mask = (torch.arange(6) < torch.tensor([[6], [3], [4], [1]])).double()
    trl, ours = logprobs.clone().requires_grad_(), logprobs.clone().requires_grad_()
    ratio = torch.exp(
        (trl * mask).sum(1) - (logprobs * mask).sum(1)
    )  # RLOOTrainer._compute_loss: of the whole completion
    (-(ratio * advantages).mean()).backward()
    weights = token_weights(mask, mean="constant", sequences=4, tokens=mask.sum().item(), max_length=10)
    group_policy_loss(ours, logprobs, advantages, mask, weights_BT=weights, epsilon=0.2)[0].backward()
    torch.testing.assert_close(trl.grad, 10 * ours.grad)


@pytest.mark.parametrize(
    ("method", "given", "truncate", "length"),
    [
        ("sft", {}, "end", 1024),
        ("sft", {"truncation_mode": "keep_end"}, "start", 1024),
        ("dpo", {"max_length": 700}, "end", 700),
        ("kto", {}, "end", 1024),
        ("kto", {"truncation_mode": "keep_end"}, "start", 1024),
        ("reward", {}, "drop", 1024),
        ("orpo", {}, "start", 1024),
        ("simpo", {}, "start", 1024),
        ("sft", {"max_length": None}, "end", 1_000_000),
    ],
)
def test_what_is_too_long_is_treated_as_there(method: str, given: dict, truncate: str, length: int) -> None:
    rows, values, _ = convert(method, given)
    assert (values["truncate"], values["max_length"]) == (truncate, length)


def test_prompts_of_on_policy_methods_are_bounded_as_there() -> None:
    assert (
        convert("grpo", {})[1]["max_prompt_length"] == convert("ppo", {})[1]["max_prompt_length"] == 1_000_000
    )  # by the context alone
    assert convert("grpo", {"max_prompt_length": 300})[1]["max_prompt_length"] == 300


HANDBOOK = """
model_name_or_path: alignment-handbook/zephyr-7b-sft-full
torch_dtype: bfloat16
dataset_mixer:
  HuggingFaceH4/ultrafeedback_binarized: 1.0
dataset_splits: [train_prefs, test_prefs]
preprocessing_num_workers: 12
beta: 0.01
learning_rate: 5.0e-7
max_length: 1024
max_prompt_length: 512
gradient_checkpointing_kwargs:
  use_reentrant: False
warmup_ratio: 0.1
"""
OPEN_R1 = """
model_name_or_path: Qwen/Qwen2.5-1.5B-Instruct
torch_dtype: bfloat16
dataset_name: open-r1/OpenR1-Math-220k
dataset_prompt_column: problem
system_prompt: "You are helpful."
num_generations: 16
reward_funcs: [accuracy, format]
my_own_key: 3
"""


@pytest.mark.parametrize(
    ("place", "text", "method", "asks"),
    [
        ("dpo/config_full.yaml", HANDBOOK, "dpo", ["dataset_mixer", "dataset_splits", "max_prompt_length"]),
        ("zephyr-7b-beta-dpo.yaml", HANDBOOK, "dpo", ["dataset_mixer", "dataset_splits"]),
        (
            "grpo/config_demo.yaml",
            OPEN_R1,
            "grpo",
            ["dataset_prompt_column", "system_prompt", "reward_funcs", "my_own_key"],
        ),
    ],
)
def test_recipes_of_the_field_convert_and_keys_that_are_not_trls_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str, text: str, method: str, asks: list
) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(text)
    assert cli.main(["from-trl", str(tmp_path / place), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["key"]: row for row in found["rows"]}
    assert found["method"] == method and rows["torch_dtype"]["fate"] == "not needed"
    assert all(rows[key]["fate"] == "unsupported" and rows[key]["says"] for key in asks)
    assert all(
        row["says"] or row["here"] for row in rows.values() if row["fate"] in ("unsupported", "differs")
    )


@pytest.mark.parametrize(
    ("line", "method", "values"),
    [
        (
            (
                "accelerate launch --config_file deepspeed_zero3.yaml --num_processes 8 "
                "examples/scripts/ppo/ppo_tldr.py --learning_rate 3e-6 --sft_model_path a/b-c "
                "--model_name_or_path d"
            ),
            "ppo",
            {"--model": "a/b-c"},
        ),
        (
            (
                "python trl/scripts/kto.py --model_name_or_path=trl-lib/qwen1.5-1.8b-sft "
                "--output-dir=kto-aligned-model \\ \n  --learning_rate 5e-7  # a trial"
            ),
            "kto",
            {"--model": "trl-lib/qwen1.5-1.8b-sft", "--out": "kto-aligned-model"},
        ),
        ("trl sft --model_name_or_path gpt2", "sft", {"--model": "gpt2"}),
        ("python reward_modeling.py --learning_rate 1e-4", "reward", {}),
        (
            (
                "#!/bin/bash\n# a run: the third\nexport A=1\npython cpo.py --loss_type simpo --cpo_alpha "
                "0.0 --no_remove_unused_columns"
            ),
            "simpo",
            {},
        ),
    ],
)
def test_a_script_says_whose_flags_they_are_and_their_values_stay(
    tmp_path: Path, line: str, method: str, values: dict
) -> None:
    (tmp_path / "run.sh").write_text(line)
    found = from_trl(file=str(tmp_path / "run.sh"), args="", method="", write="")
    assert found["method"] == method and found["options"] == values
    assert not [row for row in found["rows"] if row["fate"] == "unsupported" and not row["says"]]
    rows = {row["key"]: row for row in found["rows"]}
    if method == "simpo":
        assert (
            rows["loss_type"]["fate"] == rows["cpo_alpha"]["fate"] == "same"
            and rows["remove_unused_columns"]["value"] is False
        )


@pytest.mark.parametrize(
    "text",
    [
        "compute_environment: LOCAL_MACHINE\nmixed_precision: bf16\nnum_processes: 8\n",
        "a: 1\n",
        "python online_dpo.py --learning_rate 1e-5",
    ],
)
def test_what_is_no_config_of_these_trainers_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    assert cli.main(["from-trl", str(tmp_path / "a.yaml")]) == 3


@pytest.mark.parametrize("method", list(KINDS))
def test_any_value_under_any_key_is_a_row_or_one_clear_error(method: str) -> None:
    known, _ = keys_of(method)
    for key in known:
        for value in (None, [], {}, "x", -1, float("nan"), 10**400, [1, 2], "1e999"):
            try:
                convert(method, {key: value})
            except ConfigError as error:
                assert error.what
