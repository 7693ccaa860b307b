"""What the settings of a TRL trainer are here: `alignlab from-trl FILE`.

TRL's names and defaults are recorded from TRL itself in `trl_fields.json` (docs/record_trl_fields.py), so that a key that TRL does not have is told apart
from one that needs nothing. A setting left at TRL's default counts as much as one that was given: where our default is another, it is written too.
"""

from __future__ import annotations

import difflib
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from . import settings
from .config import dotted, from_dict
from .errors import ConfigError, DataError
from .text.documents import Malformed, from_yaml, read_text

KINDS: dict[str, type] = {
    "sft": settings.SFTSettings, "reward": settings.RewardSettings, "dpo": settings.DPOSettings, "kto": settings.KTOSettings, "orpo": settings.ORPOSettings,
    "simpo": settings.SimPOSettings, "ppo": settings.PPOSettings, "rloo": settings.RLOOSettings, "grpo": settings.GRPOSettings,
}
ON_POLICY = ("ppo", "rloo", "grpo")


@dataclass(frozen=True)
class Row:
    """One key of TRL's: its value, whether it was `given`, what becomes of it, and the setting or option it becomes.

    `fate` is "set" (a setting or option here), "same" (our default does it too), "not needed" or "unsupported".
    """

    key: str
    value: Any
    given: bool
    fate: str
    here: str = ""
    says: str = ""


SAME: dict[str, dict[str, str]] = {
    "sft": {"max_length": "max_length", "packing": "packing"},
    "reward": {"max_length": "max_length"},
    "dpo": {"max_length": "max_length", "beta": "beta", "label_smoothing": "label_smoothing"},
    "kto": {"max_length": "max_length", "beta": "beta", "desirable_weight": "desirable_weight", "undesirable_weight": "undesirable_weight"},
    "orpo": {"max_length": "max_length", "beta": "beta"},
    "simpo": {"max_length": "max_length", "beta": "beta", "simpo_gamma": "gamma"},
    "ppo": {"kl_coef": "kl_coef", "cliprange": "cliprange", "cliprange_value": "cliprange_value", "vf_coef": "vf_coef", "gamma": "gamma", "lam": "lam",
            "whiten_rewards": "whiten_rewards", "num_ppo_epochs": "epochs", "response_length": "sampling.max_new_tokens", "temperature": "sampling.temperature"},
    "rloo": {"beta": "kl_coef", "epsilon": "epsilon", "num_generations": "per_prompt", "num_iterations": "epochs", "max_completion_length": "sampling.max_new_tokens",
             "temperature": "sampling.temperature", "top_p": "sampling.top_p"},
}
SAME["grpo"] = SAME["rloo"]
"""TRL's name -> ours, where the value means the same."""

SHARED = {"learning_rate": "optim.lr", "adam_beta1": "optim.beta1", "adam_beta2": "optim.beta2", "weight_decay": "optim.weight_decay",
          "max_grad_norm": "optim.max_grad_norm"}
ADAPTER = {"lora_r": "adapter.rank", "lora_alpha": "adapter.alpha", "lora_dropout": "adapter.dropout", "lora_target_modules": "adapter.target"}
OPTIONS = {"output_dir": "--out", "seed": "--seed", "model_name_or_path": "--model", "sft_model_path": "--model", "reward_model_path": "--reward",
           "dataset_name": "--data"}
SCHEDULES = {"constant": "constant", "constant_with_warmup": "constant", "linear": "linear", "cosine": "cosine"}

NOT_NEEDED = {
    "dataset_num_proc": "data is read in one process", "local_rollout_forward_batch_size": "micro_batch cuts every forward pass", "world_size": "worked out by TRL",
    "num_total_batches": "worked out by TRL", "micro_batch_size": "worked out by TRL", "local_batch_size": "worked out by TRL", "batch_size": "worked out by TRL",
    "local_mini_batch_size": "worked out by TRL", "mini_batch_size": "worked out by TRL", "stop_token": "completions end at every end token of the model",
    "disable_dropout": "on-policy methods and reward scoring run without dropout; direct methods keep the model's own", "padding_free": "rows are packed where that is less work",
    "precompute_ref_log_probs": "the reference is asked once, before training", "precompute_ref_batch_size": "the reference is asked in the first epoch's batches",
    "num_sample_generations": "samples.jsonl keeps the best, the worst and the misleading completions of each step", "log_completions": "samples.jsonl keeps completions",
    "use_vllm": "the sampler is in process", "bf16": "--model.precision auto takes bf16 weights with fp32 masters where the machine multiplies bf16 natively",
    "gradient_checkpointing": "no activation checkpointing; micro_batch lowers memory", "eos_token": "the end token comes from the model and its chat template",
    "pad_token": "masks come from lengths, whatever the pad token is", "max_completion_length": "max_length bounds prompt and completion together",
    "completion_only_loss": "completion tokens only, always", "loss_type": "the same loss", "packing_strategy": "first fit, longest first", "shuffle_dataset": "always shuffled by the seed",
    "alpha": "no AlphaPO transform", "kl_estimator": "k1 in the reward", "truncation_mode": "what is too long is dropped and counted, not cut",
}
QUIET_PREFIXES = ("logging_", "log_", "hub_", "push_to_hub", "save_", "dataloader_", "ddp_", "fsdp", "deepspeed", "ds3_", "trackio_", "vllm_", "torch_", "eval_", "do_",
                  "include_", "skip_", "metric_", "load_best", "resume_", "restore_", "disable_tqdm", "use_cpu", "tf32", "local_rank", "accelerator_", "data_seed", "run_name",
                  "project", "report_to", "bf16_", "fp16_", "use_liger", "liger_", "jit_", "enable_jit", "auto_find", "prediction_", "remove_unused", "label_names", "length_column",
                  "group_by", "debug", "full_determinism", "parallelism", "batch_eval", "per_device_eval", "greater_", "ignore_", "trust_remote", "model_init_kwargs", "optim",
                  "use_cache", "average_tokens", "pad_to_multiple", "num_completions", "train_sampling", "activation_", "gradient_checkpointing_kwargs", "dataset_", "model_revision",
                  "attn_implementation", "dtype")
"""Where TRL runs, how it logs and what it saves: of no weight for what is learnt. A `report_to` that was given becomes `tracker`."""


def from_trl(*, file: str, args: str, method: str, write: str) -> dict[str, Any]:
    """The command `alignlab from-trl`: each key of a TRL config, what it is here, and a TOML file for `--config`."""
    given = read(file, args)
    method = method or guess(given)
    if method not in KINDS:
        raise ConfigError(f"there is no method {method!r} to convert to", remedy="--method " + ", ".join(KINDS))
    rows, values, options = convert(method, given)
    config = toml(method, values)
    if write:
        try:
            Path(write).write_text(config, encoding="utf-8")
        except OSError as error:
            raise DataError(f"cannot write {write}: {error.strerror}", where=write, remedy="give another --write") from None
    command = " ".join(["alignlab", method, *(part for flag, value in options.items() for part in (flag, shlex.quote(str(value)))), "--config", write or "FILE.toml"])
    return {"method": method, "settings": values, "options": options, "command": command, "toml": config, "rows": [vars(row) for row in rows],
            "text": page(rows, config, command)}


def read(file: str, args: str) -> dict[str, Any]:
    """The keys and values of a YAML or JSON file, of a file that holds a command line, or of a command line itself."""
    if bool(file) == bool(args):
        raise ConfigError("name one TRL config", remedy='alignlab from-trl FILE.yaml, or --args "--learning_rate 3e-6 --kl_coef 0.1"')
    if args:
        return words(args, "--args")
    path = Path(file)
    try:
        text = read_text(path)
    except OSError as error:
        raise ConfigError(f"cannot read the file: {error.strerror}", where=file, remedy="check the path") from None
    except Malformed as error:
        raise ConfigError(f"not a text file: {error}", where=file, remedy="name the YAML or JSON file of a TRL run") from None
    if " --" in f" {text.lstrip()}"[: 4096] and ":" not in text.lstrip().split("\n")[0]:
        return words(text.replace("\\\n", " "), file)
    try:
        found = from_yaml(text)  # JSON is YAML
    except Malformed as error:
        raise ConfigError(f"not YAML or JSON: {error}", where=file, remedy="name the config of a TRL run") from None
    if not isinstance(found, dict) or not found or not all(isinstance(key, str) for key in found):
        raise ConfigError("no table of settings", where=file, remedy="a TRL config is one table: learning_rate: 3.0e-6 and so on")
    return found


def words(text: str, where: str) -> dict[str, Any]:
    """`--key value`, `--key=value` and bare `--flag` of a command line; what stands before the first of them is left out."""
    try:
        parts = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"not a command line: {error}", where=where, remedy="close the quotation") from None
    found: dict[str, Any] = {}
    key = ""
    for part in parts:
        if part.startswith("--") and len(part) > 2:
            key, equals, value = part[2:].replace("-", "_").partition("=")
            found[key] = value if equals else True
            key = "" if equals else key
        elif key:
            found[key] = part if found[key] is True else [*(found[key] if isinstance(found[key], list) else [found[key]]), part]
    if not found:
        raise ConfigError("no --key value in it", where=where, remedy='for instance "--learning_rate 3e-6 --kl_coef 0.1"')
    return found


def table() -> dict[str, Any]:
    return json.loads(files("alignlab").joinpath("trl_fields.json").read_text(encoding="utf-8"))


def guess(given: Mapping[str, Any]) -> str:
    """The method whose config knows every key that was given. Raises ConfigError where that is not one."""
    book = table()
    script = book["script"]["fields"]
    fits = [method for method in KINDS if all(key in book[method]["fields"] or key in script or key in ("env", "warmup_ratio") for key in given)]
    if len(fits) == 1:
        return fits[0]
    raise ConfigError("whose config this is cannot be told from its keys" if fits else "no trainer of TRL knows all of these keys",
                      where=", ".join(list(given)[:6]), remedy="--method " + ", ".join(fits or KINDS))


def convert(method: str, given: Mapping[str, Any]) -> tuple[list[Row], dict[str, Any], dict[str, Any]]:
    """Each key as a row, and the settings (dotted names) and options of ours that make the same run.

    Raises:
        ConfigError: a key that TRL does not have, a value that is not of its kind.
    """
    book = table()
    known = {**book["script"]["fields"], **book[method]["fields"]}
    if "warmup_ratio" in given and "warmup_ratio" not in known:  # a name of transformers before 5
        given = {"warmup_steps" if key == "warmup_ratio" else key: value for key, value in given.items()}
    for key in given:
        if key not in known and key != "env":
            near = difflib.get_close_matches(key, known, 1)
            raise ConfigError(f"{book[method]['config']} of TRL {book[method]['trl']} has no {key!r}", where=key, remedy=f"did you mean {near[0]}?" if near else "leave it out")
    trl = {**known, **{key: typed(key, value, known[key]) for key, value in given.items() if key in known}}
    ours = dotted(KINDS[method])
    rows: dict[str, Row] = {}
    values: dict[str, Any] = {}
    options: dict[str, Any] = {}

    def put(key: str, name: str, value: Any, says: str = "") -> None:
        if value is None:
            rows[key] = Row(key, trl.get(key), key in given, "same", name, says or "not set there either")
            return
        same = value == ours[name].default
        if not same or (key in given and not says):
            values[name] = value
        rows[key] = Row(key, trl.get(key), key in given, "same" if same else "set", f"{name} = {json.dumps(value)}", says)

    def refuse(key: str, says: str) -> None:
        rows[key] = Row(key, trl.get(key), key in given, "unsupported", "", says)

    for key, name in (SAME[method] | SHARED).items():
        if key in trl:
            put(key, name, trl[key])
    for key, flag in OPTIONS.items():
        if key in given and (key != "sft_model_path" or method == "ppo") and (key != "model_name_or_path" or "sft_model_path" not in given):
            options[flag] = trl[key]
            rows[key] = Row(key, trl[key], True, "set", f"{flag} {trl[key]}")
    if trl.get("report_to") not in (None, "none", [], "all") and "report_to" in given:
        names = trl["report_to"] if isinstance(trl["report_to"], list) else [trl["report_to"]]
        kept = [name for name in names if name in ("tensorboard", "wandb", "trackio")]
        put("report_to", "tracker", ",".join(kept)) if kept else refuse("report_to", "tracker is tensorboard, wandb or trackio; metrics.jsonl is always written")
    if trl.get("use_peft"):
        for key, name in ADAPTER.items():
            value = trl[key]
            if key == "lora_dropout" and value and method in ON_POLICY:
                refuse(key, "0 here: with dropout the policy that is updated is not the one that wrote the tokens")
                continue
            put(key, name, ",".join(value) if isinstance(value, list) else value)
        rows["use_peft"] = Row("use_peft", True, True, "set", "adapter.rank above 0")
    if trl.get("bf16") and "bf16" in given:
        put("bf16", "model.precision", "bf16", "weights in bf16 with fp32 masters, where TRL mixes")

    sizes(method, trl, given, put, refuse, rows, values)
    schedule(trl, given, put, refuse, values)
    SPECIAL.get(method, lambda *_: None)(trl, given, put, refuse, values)
    for key in given:
        if key not in rows:
            changed = trl.get(key) != known.get(key)
            if key in NOT_NEEDED or key == "env" or key.startswith(QUIET_PREFIXES) or not changed:
                rows[key] = Row(key, given[key], True, "not needed", "", NOT_NEEDED.get(key, "where TRL runs, logs and saves" if changed else "TRL's own default"))
            else:
                refuse(key, "has no counterpart: leave it out, or keep TRL for it")
    from_dict(KINDS[method], nested(values))  # a value that ours cannot take is an error here, not when the run starts
    return [*rows.values()], values, options


def sizes(method: str, trl: Mapping[str, Any], given: Mapping[str, Any], put: Callable[..., None], refuse: Callable[..., None], rows: dict[str, Row], values: dict[str, Any]) -> None:
    """How many rows a step and how many steps: TRL counts by device and accumulation, we count the whole."""
    each, accumulated = trl["per_device_train_batch_size"], trl["gradient_accumulation_steps"]
    whole = each * accumulated
    says = f"{each} a device, accumulated {accumulated} times, on one device: with more devices, that many times as large"
    if method in ON_POLICY:
        rollouts = whole if method == "ppo" else trl["generation_batch_size"] or each * (trl["steps_per_generation"] or accumulated)
        put("per_device_train_batch_size", "rollouts", rollouts, says)
        values["rollouts"] = rollouts
        minibatch = rollouts // trl["num_mini_batches"] if method == "ppo" else whole
        put("num_mini_batches" if method == "ppo" else "gradient_accumulation_steps", "minibatch", minibatch, "completions an optimiser update")
        if each < minibatch:
            values["micro_batch"] = each
        if method == "ppo" and trl["total_episodes"]:
            put("total_episodes", "steps", -(-trl["total_episodes"] // rollouts), f"{trl['total_episodes']} completions in steps of {rollouts}")
        elif trl["max_steps"] > 0 and method != "ppo":
            put("max_steps", "steps", max(1, trl["max_steps"] * whole // (rollouts * trl["num_iterations"])), "rollout batches")
        else:
            refuse("num_train_epochs", f"steps = prompts x {trl['num_train_epochs']:g} / {rollouts if method == 'ppo' else max(1, rollouts // trl['num_generations'])}: "
                   "set it when you know how many prompts there are")
        return
    put("per_device_train_batch_size", "batch", whole, says)
    if accumulated > 1 and "micro_batch" in dotted(KINDS[method]):
        put("gradient_accumulation_steps", "micro_batch", each, "rows a forward pass; the loss is over the whole batch's tokens, which TRL's mean of means is not always")
    if trl["max_steps"] > 0:
        refuse("max_steps", f"epochs = {trl['max_steps']} x {whole} / rows: set it when you know how many rows there are")
    else:
        put("num_train_epochs", "epochs", float(trl["num_train_epochs"]))


def schedule(trl: Mapping[str, Any], given: Mapping[str, Any], put: Callable[..., None], refuse: Callable[..., None], values: Mapping[str, Any]) -> None:
    kind = str(trl["lr_scheduler_type"]).rpartition(".")[2].lower()
    if kind in SCHEDULES:
        put("lr_scheduler_type", "optim.schedule", SCHEDULES[kind])
    else:
        refuse("lr_scheduler_type", "optim.schedule is constant, linear or cosine")
    warm = trl["warmup_steps"] or 0
    if warm >= 1 and not values.get("steps"):
        refuse("warmup_steps", "optim.warmup is a share of the steps: divide by how many there are")
    else:
        put("warmup_steps", "optim.warmup", warm / values["steps"] if warm >= 1 else float(warm) if kind != "constant" else 0.0, "a share of the steps")


def _ppo(trl: Mapping[str, Any], given: Mapping[str, Any], put: Callable[..., None], refuse: Callable[..., None], values: dict[str, Any]) -> None:
    put("missing_eos_penalty", "missing_end_penalty", float(trl["missing_eos_penalty"] or 0.0), "taken from the score of a completion that was cut")
    values |= {"normalize_scores": False, "score_clip": 0.0}  # TRL takes scores as they come
    if trl["kl_estimator"] != "k1":
        refuse("kl_estimator", "the penalty in the reward is k1; k2 and k3 are logged (objective/kl_k2, objective/kl_k3)")
    if trl["stop_token_id"] is not None or trl["stop_token"] not in (None, "eos"):
        refuse("stop_token_id" if trl["stop_token_id"] is not None else "stop_token", "completions end at the model's own end tokens: put yours into its generation config")


def _sft(trl: Mapping[str, Any], given: Mapping[str, Any], put: Callable[..., None], refuse: Callable[..., None], values: dict[str, Any]) -> None:
    if trl["assistant_only_loss"]:
        put("assistant_only_loss", "train_on", "all", "every assistant turn carries the loss")
    if trl["completion_only_loss"] is False:
        refuse("completion_only_loss", "the prompt carries no loss here")
    if trl["loss_type"] != "nll":
        refuse("loss_type", "the negative log-likelihood is the only loss of sft")


def _dpo(trl: Mapping[str, Any], given: Mapping[str, Any], put: Callable[..., None], refuse: Callable[..., None], values: dict[str, Any]) -> None:
    kinds = trl["loss_type"] if isinstance(trl["loss_type"], list) else [trl["loss_type"] or "sigmoid"]
    if len(kinds) > 1 or kinds[0] not in ("sigmoid", "sigmoid_norm", "hinge", "ipo", "robust"):
        refuse("loss_type", "one of sigmoid, sigmoid_norm, hinge, ipo, robust; TRL's mixtures and other losses have no counterpart")
    else:
        put("loss_type", "loss_type", kinds[0], "TRL divides each log-ratio by its length, ours (and the paper's) does not: another beta" if kinds[0] == "ipo" else "")
    if trl["label_smoothing"] and kinds[0] != "robust":
        values.pop("label_smoothing", None)
        refuse("label_smoothing", "TRL reads it for robust and exo_pair alone; here it would be cDPO: set label_smoothing if that was meant")
    if trl["f_divergence_type"] not in ("reverse_kl", None):
        refuse("f_divergence_type", "reverse KL only")


def _reward(trl: Mapping[str, Any], given: Mapping[str, Any], put: Callable[..., None], refuse: Callable[..., None], values: dict[str, Any]) -> None:
    put("center_rewards_coefficient", "center", float(trl["center_rewards_coefficient"] or 0.0))


def _simpo(trl: Mapping[str, Any], given: Mapping[str, Any], put: Callable[..., None], refuse: Callable[..., None], values: dict[str, Any]) -> None:
    if trl["loss_type"] != "simpo":
        refuse("loss_type", "of CPO only SimPO is here: loss_type simpo with cpo_alpha 0")
    if trl["cpo_alpha"]:
        refuse("cpo_alpha", "SimPO has no likelihood term: CPO-SimPO has no counterpart")
    if trl["label_smoothing"] or trl["alpha"]:
        refuse("label_smoothing" if trl["label_smoothing"] else "alpha", "not part of SimPO here")


def _group(trl: Mapping[str, Any], given: Mapping[str, Any], put: Callable[..., None], refuse: Callable[..., None], values: dict[str, Any]) -> None:
    values |= {"normalize_scores": False, "score_clip": 0.0, "missing_end_penalty": 0.0}
    if trl["epsilon_high"]:
        put("epsilon_high", "epsilon_high", trl["epsilon_high"])
    if trl["reward_weights"]:
        refuse("reward_weights", "one judge gives the score: add the rewards up in it")
    if trl["mask_truncated_completions"]:
        refuse("mask_truncated_completions", "missing_end_penalty is taken from the score of a completion that was cut")


def _rloo(trl: Mapping[str, Any], given: Mapping[str, Any], put: Callable[..., None], refuse: Callable[..., None], values: dict[str, Any]) -> None:
    _group(trl, given, put, refuse, values)
    if trl["normalize_advantages"]:
        refuse("normalize_advantages", "advantages are not divided by their deviation: see grpo")
    if trl["reward_clip_range"]:
        low, high = trl["reward_clip_range"]
        put("reward_clip_range", "score_clip", float(high)) if -low == high else refuse("reward_clip_range", "score_clip is the same on both sides of 0")


def _grpo(trl: Mapping[str, Any], given: Mapping[str, Any], put: Callable[..., None], refuse: Callable[..., None], values: dict[str, Any]) -> None:
    _group(trl, given, put, refuse, values)
    means = {"grpo": "sequence", "dapo": "token", "bnpo": "token", "dr_grpo": "constant"}
    if trl["loss_type"] in means:
        put("loss_type", "loss_mean", means[trl["loss_type"]], "bnpo takes the mean of each micro-batch, ours that of the minibatch" if trl["loss_type"] == "bnpo" else "")
    else:
        refuse("loss_type", "one of " + ", ".join(means))
    kinds = {"group": "grpo", "none": "dr_grpo", True: "grpo", False: "dr_grpo", "True": "grpo", "False": "dr_grpo"}
    if trl["scale_rewards"] in kinds:
        put("scale_rewards", "advantage", kinds[trl["scale_rewards"]])
    else:
        refuse("scale_rewards", "the deviation is the group's (grpo) or none is taken (dr_grpo)")
    if trl["importance_sampling_level"] != "token":
        put("importance_sampling_level", "ratio_level", trl["importance_sampling_level"])
    if trl["delta"] is not None:
        refuse("delta", "the ratio is clipped on one side, as in PPO")


SPECIAL: dict[str, Callable[..., None]] = {"ppo": _ppo, "sft": _sft, "dpo": _dpo, "reward": _reward, "simpo": _simpo, "rloo": _rloo, "grpo": _grpo}


def typed(key: str, value: Any, default: Any) -> Any:
    """A value as its field would have it: YAML reads 3e-6 as text, a command line everything. Raises ConfigError for one that is not of its kind."""
    if isinstance(default, bool) and isinstance(value, str):
        if value.lower() not in ("true", "false", "yes", "no", "1", "0"):
            raise ConfigError(f"{key} = {value!r} is not true or false", where=key)
        return value.lower() in ("true", "yes", "1")
    number = isinstance(default, (int, float)) and not isinstance(default, bool)
    if isinstance(value, str) and (number or default is None):
        if value.lower() in ("none", "null", ""):
            return None if default is None else default
        try:
            found = float(value)
        except ValueError:
            if not number:
                return value
            raise ConfigError(f"{key} = {value!r} is not a number", where=key) from None
        return int(found) if found.is_integer() and not any(c in value.lower() for c in ".en") else found
    if number and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise ConfigError(f"{key} = {value!r} is not a number", where=key)
    if key in ("per_device_train_batch_size", "gradient_accumulation_steps", "num_generations", "num_mini_batches", "num_iterations") and not float(value) >= 1:
        raise ConfigError(f"{key} = {value!r} must be at least 1", where=key)
    return value


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        *groups, last = name.split(".")
        inner = found
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = value
    return found


def toml(method: str, values: Mapping[str, Any]) -> str:
    """The settings as a TOML file that `--config` takes."""
    groups: dict[str, list[str]] = {"": []}
    for name, value in values.items():
        group, _, last = name.rpartition(".")
        groups.setdefault(group, []).append(f"{last} = {json.dumps(value)}")
    lines = [f"# alignlab {method}, from a TRL config", *groups.pop("")]
    for group, held in groups.items():
        lines += ["", f"[{group}]", *held]
    return "\n".join(lines) + "\n"


def page(rows: list[Row], config: str, command: str) -> str:
    """All of it for people: what needs a hand first."""
    order = {"unsupported": 0, "set": 1, "same": 2, "not needed": 3}
    lines = []
    for row in sorted((row for row in rows if row.given or row.fate in ("set", "unsupported")), key=lambda row: order[row.fate]):
        value = json.dumps(row.value, default=str) + ("" if row.given else " (TRL's default)")
        lines.append(f"{row.fate:<12} {row.key} = {value}" + (f"  ->  {row.here}" if row.here else "") + (f"   {row.says}" if row.says else ""))
    return "\n".join([*lines, "", config, command])
