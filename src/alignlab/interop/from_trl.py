"""What the settings of a TRL trainer are here: `alignlab from-trl FILE`.

TRL's names and defaults are recorded from TRL itself in `trl_fields.json` (docs/record_trl_fields.py), so
that a key that TRL does not have is told apart from one that needs nothing. A setting left at TRL's default
counts as much as one that was given: where our default is another, it is written too, and where ours does
otherwise whatever is set, it is said. `trl_keys.toml` holds what becomes of keys that are no setting here,
and older names.
"""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from .. import settings
from ..errors import ConfigError
from ..run import check_file, whole_file
from ..settings.resolve import dotted, from_dict
from ..text.nearest import nearest
from .trl_files import read

KINDS: dict[str, type] = {
    "sft": settings.SFTSettings,
    "reward": settings.RewardSettings,
    "dpo": settings.DPOSettings,
    "kto": settings.KTOSettings,
    "orpo": settings.ORPOSettings,
    "simpo": settings.SimPOSettings,
    "ppo": settings.PPOSettings,
    "rloo": settings.RLOOSettings,
    "grpo": settings.GRPOSettings,
}
ON_POLICY = ("ppo", "rloo", "grpo")


@dataclass(frozen=True)
class Row:
    """One key of TRL's: its value, whether it was `given`, what becomes of it, and the setting or option it
    becomes.

    `fate` is "set" (a setting or option here), "same" (ours does it too), "differs" (TRL's default, which
    ours does not follow and no setting changes), "not needed" (of no weight for what is learnt) or
    "unsupported" (a value that nothing here does).
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
    "kto": {
        "max_length": "max_length",
        "beta": "beta",
        "desirable_weight": "desirable_weight",
        "undesirable_weight": "undesirable_weight",
    },
    "orpo": {"max_length": "max_length", "beta": "beta"},
    "simpo": {"max_length": "max_length", "beta": "beta", "simpo_gamma": "gamma"},
    "ppo": {
        "kl_coef": "kl_coef",
        "cliprange": "cliprange",
        "cliprange_value": "cliprange_value",
        "vf_coef": "vf_coef",
        "gamma": "gamma",
        "lam": "lam",
        "whiten_rewards": "whiten_rewards",
        "num_ppo_epochs": "epochs",
        "response_length": "sampling.max_new_tokens",
        "temperature": "sampling.temperature",
    },
    "rloo": {
        "beta": "kl_coef",
        "epsilon": "epsilon",
        "num_generations": "per_prompt",
        "num_iterations": "epochs",
        "max_completion_length": "sampling.max_new_tokens",
        "temperature": "sampling.temperature",
        "top_p": "sampling.top_p",
    },
}
SAME["grpo"] = SAME["rloo"]
"""TRL's name -> ours, where the value means the same."""

SHARED = {
    "learning_rate": "optim.lr",
    "adam_beta1": "optim.beta1",
    "adam_beta2": "optim.beta2",
    "weight_decay": "optim.weight_decay",
    "max_grad_norm": "optim.max_grad_norm",
}
ADAPTER = {
    "lora_r": "adapter.rank",
    "lora_alpha": "adapter.alpha",
    "lora_dropout": "adapter.dropout",
    "lora_target_modules": "adapter.target",
}
OPTIONS = {
    "output_dir": "--out",
    "seed": "--seed",
    "model_name_or_path": "--model",
    "sft_model_path": "--model",
    "reward_model_path": "--reward",
    "dataset_name": "--data",
}
SCHEDULES = {
    "constant": "constant",
    "constant_with_warmup": "constant",
    "linear": "linear",
    "cosine": "cosine",
}


def from_trl(*, file: str, args: str, method: str, write: str) -> dict[str, Any]:
    """The command `alignlab from-trl`: each key of a TRL config, what it is here, and a TOML file for
    `--config`.
    """
    given, named = read(file, args)
    method = method or guess(given, named)
    if method not in KINDS:
        raise ConfigError(
            f"there is no method {method!r} to convert to", remedy="--method " + ", ".join(KINDS)
        )
    rows, values, options = convert(method, given)
    config = toml(method, values)
    if write:
        check_file(Path(write), ours=lambda content: content.startswith(b"# alignlab "), option="--write")
        with whole_file(Path(write)) as staging:
            staging.write_text(config, encoding="utf-8")
    command = " ".join(
        [
            "alignlab",
            method,
            *(part for flag, value in options.items() for part in (flag, shlex.quote(str(value)))),
            "--config",
            write or "FILE.toml",
        ]
    )
    return {
        "method": method,
        "settings": values,
        "options": options,
        "command": command,
        "toml": config,
        "rows": [vars(row) for row in rows],
        "text": page(rows, config, command, fates()["notes"].get(method, "")),
    }


@cache
def table() -> dict[str, Any]:
    """Names and defaults of TRL's configs, as recorded from TRL."""
    return json.loads(files("alignlab.interop").joinpath("trl_fields.json").read_text(encoding="utf-8"))


@cache
def fates() -> dict[str, Any]:
    """What becomes of the keys that are no setting here."""
    return tomllib.loads(files("alignlab.interop").joinpath("trl_keys.toml").read_text(encoding="utf-8"))


def keys_of(method: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Every key that the method's config has or had, with its default; and older names by today's."""
    book, held = table(), fates()
    gone = {key: row.get("default") for key, row in _of(held["gone"], method).items()}
    return {**gone, **book["script"]["fields"], **book[method]["fields"]}, _of(held["renamed"], method)


def _of(tables: Mapping[str, Any], method: str) -> dict[str, Any]:
    return {**tables.get("all", {}), **tables.get(method, {})}


def guess(given: Mapping[str, Any], named: str = "") -> str:
    """The method whose config knows most of the keys that were given; of several the one that the file or
    script names. Raises ConfigError where that is not one.
    """
    others = fates()["others"]

    def unknown(method: str) -> tuple[int, int]:
        known, renamed = keys_of(method)
        today = {
            **table()["script"]["fields"],
            **table()[method]["fields"],
            "env": None,
            "warmup_ratio": None,
        }
        return sum(key not in known and key not in renamed and key not in others for key in given), sum(
            key not in today for key in given
        )

    counts = {method: unknown(method) for method in KINDS}
    least = min(counts.values())
    fits = [method for method in KINDS if counts[method] == least]
    if 2 * least[0] > len(given):
        raise ConfigError(
            "no trainer of TRL knows most of these keys",
            where=", ".join(list(given)[:6]),
            remedy="--method " + ", ".join(KINDS),
        )
    if named in KINDS and counts[named][0] == least[0]:
        return named
    if len(fits) == 1:
        return fits[0]
    raise ConfigError(
        "whose config this is cannot be told from its keys",
        where=", ".join(list(given)[:6]),
        remedy="--method " + ", ".join(fits),
    )


def convert(method: str, given: Mapping[str, Any]) -> tuple[list[Row], dict[str, Any], dict[str, Any]]:
    """Each key as a row, and the settings (dotted names) and options of ours that make the same run.

    A key that TRL does not have is "unsupported": other projects put keys of their own beside TRL's.

    Raises:
        ConfigError: a key that looks like a misspelt one of TRL's, a value that is not of its kind.
    """
    book, others = table()[method], fates()["others"]
    known, renamed = keys_of(method)
    given = {
        key[3:] if _switched_off(key, known) else key: False if _switched_off(key, known) else value
        for key, value in given.items()
    }
    older = {renamed[key]: key for key in given if key in renamed and key not in book["fields"]}
    given = {renamed[key] if key in older.values() else key: value for key, value in given.items()}
    strange = [key for key in given if key not in known and key != "env"]
    for key in strange:
        if key not in others and (near := nearest(key, [*known, *renamed], cutoff=0.8)):
            raise ConfigError(f"{book['config']} of TRL {book['trl']} has no {key!r}", where=key, remedy=near)
    trl = {**known, **{key: typed(key, value, known[key]) for key, value in given.items() if key in known}}
    ours = dotted(KINDS[method])
    rows = {
        key: Row(
            key,
            given[key],
            True,
            "not needed" if others.get(key) == "" else "unsupported",
            "",
            others.get(key)
            or ("how another project runs" if key in others else f"no key of {book['config']}: not read"),
        )
        for key in strange
    }
    values: dict[str, Any] = {}
    options: dict[str, Any] = {}

    def put(key: str, name: str, value: Any, says: str = "") -> None:
        if value is None:
            rows[key] = Row(key, trl.get(key), key in given, "same", name, says or "not set there either")
            return
        same = value == ours[name].default
        values[name] = value  # also where it is the same: defaults here follow the model
        rows[key] = Row(
            key, trl.get(key), key in given, "same" if same else "set", f"{name} = {json.dumps(value)}", says
        )

    def refuse(key: str, says: str, *, mend: bool = False) -> None:
        """`mend`: whoever runs this has to set something, whether the value was given or is TRL's default."""
        fate = "differs" if trl.get(key) == known.get(key) and not mend else "unsupported"
        rows[key] = Row(key, trl.get(key), key in given, fate, "", says)

    for key, name in (SAME[method] | SHARED).items():
        if key in trl:
            put(key, name, trl[key])
    for key, flag in OPTIONS.items():
        if (
            key in given
            and (key != "sft_model_path" or method == "ppo")
            and (key != "model_name_or_path" or "sft_model_path" not in given)
        ):
            options[flag] = trl[key]
            rows[key] = Row(key, trl[key], True, "set", f"{flag} {trl[key]}")
    if "sft_model_path" in given and "model_name_or_path" in given:
        rows["model_name_or_path"] = Row(
            "model_name_or_path",
            trl["model_name_or_path"],
            True,
            "not needed",
            "",
            "TRL takes its tokenizer; here that of --model is used",
        )
    if trl.get("report_to") not in (None, "none", [], "all") and "report_to" in given:
        names = trl["report_to"] if isinstance(trl["report_to"], list) else [trl["report_to"]]
        kept = [name for name in names if name in ("tensorboard", "wandb", "trackio")]
        put("report_to", "tracker", ",".join(kept)) if kept else refuse(
            "report_to", "tracker is tensorboard, wandb or trackio; metrics.jsonl is always written"
        )
    if trl.get("use_peft"):
        for key, name in ADAPTER.items():
            value = trl[key]
            if key == "lora_dropout" and value and method in ON_POLICY:
                refuse(
                    key,
                    "0 here: with dropout the policy that is updated is not the one that wrote the tokens",
                )
                continue
            put(key, name, ",".join(value) if isinstance(value, list) else value)
        rows["use_peft"] = Row("use_peft", True, True, "set", "adapter.rank above 0")
    if "bf16" in given:
        put(
            "bf16",
            "model.precision",
            "auto" if trl["bf16"] else "fp32",
            (
                "bf16 weights with fp32 masters where the machine multiplies bf16 natively, else fp32: "
                "never emulated"
            )
            if trl["bf16"]
            else "",
        )
    if str(trl.get("chat_template_path") or "").endswith(".jinja"):
        put("chat_template_path", "model.chat_template", trl["chat_template_path"])
    elif trl.get("chat_template_path"):
        refuse(
            "chat_template_path", "model.chat_template takes a Jinja file: that folder's chat_template.jinja"
        )
    if trl.get("dataset_text_field") not in (None, known.get("dataset_text_field")):
        options["--columns"] = f"text={trl['dataset_text_field']}"
        rows["dataset_text_field"] = Row(
            "dataset_text_field",
            trl["dataset_text_field"],
            True,
            "set",
            f"--columns text={trl['dataset_text_field']}",
        )

    lengths(method, trl, given, put, refuse, values)
    sizes(method, trl, given, put, refuse, rows, values)
    schedule(trl, given, put, refuse, values)
    SPECIAL.get(method, lambda *_: None)(trl, given, put, refuse, values)
    rest(method, trl, known, given, rows)
    from_dict(
        KINDS[method], nested(values)
    )  # a value that ours cannot take is an error here, not when the run starts
    for key, name in older.items():
        rows[key] = replace(
            rows[key], key=name, says="; ".join(filter(None, (f"today {key}", rows[key].says)))
        )
    return [*rows.values()], values, options


def _switched_off(key: str, known: Mapping[str, Any]) -> bool:
    """Whether it is the flag that turns off what TRL has on: --no_remove_unused_columns."""
    return key.startswith("no_") and key not in known and isinstance(known.get(key[3:]), bool)


def counterpart(method: str, key: str, value: str = "") -> str:
    """What a key of TRL's (or of transformers' or PEFT's) that was typed as a flag is here; empty where TRL
    has no such key.

    Args:
        method: whose settings are meant; of a command that TRL has none like, those that all trainers share.
    """
    method = method if method in KINDS else "sft"
    known, renamed = keys_of(method)
    if key not in known and key not in renamed:
        return ""
    number = isinstance(known.get(key), (int, float)) and not isinstance(known.get(key), bool)
    given = ({key: value or True} if value or not number else {}) | (
        {"use_peft": True} if key in ADAPTER else {}
    )
    try:
        rows, _, _ = convert(method, given)
    except ConfigError as error:
        return f"TRL's {key}: {error.what}"
    row = next((row for row in rows if row.key in (key, renamed.get(key))), None)
    if row is None:
        return f"TRL's {key} needs nothing here"
    name, equals, found = row.here.partition(" = ")
    flag = (
        f"--{name} {json.loads(found)}"
        if equals and (value or not number)
        else f"--{name}"
        if equals
        else row.here
    )
    return (
        f"TRL's {key} is {flag} here{f' ({row.says})' if row.says else ''}"
        if flag
        else f"TRL's {key}: {row.says}"
    )


def rest(
    method: str,
    trl: Mapping[str, Any],
    known: Mapping[str, Any],
    given: Mapping[str, Any],
    rows: dict[str, Row],
) -> None:
    """Rows for the keys that no setting of ours took: what was given, and the defaults of TRL's that ours
    does not follow.
    """
    held = fates()
    quiet = {key: reason for reason, keys in held["quiet"].items() for key in keys.split()}
    does, gone, today = _of(held["does"], method), _of(held["gone"], method), table()[method]["fields"]
    for key, value in trl.items():
        if key in rows or (key not in given and key not in today):
            continue
        if key in gone and key not in today:
            row = gone[key]
            fate, says = (
                ("not needed", "of an older TRL: nothing that is learnt follows from it")
                if row.get("quiet")
                else ("same", "")
                if value == known[key]
                else ("unsupported", row.get("says", ""))
            )
        elif key in does:
            says = does[key]["says"]
            same = str(value).lower() in [str(other).lower() for other in does[key]["same"]]
            fate = "same" if same else "differs" if value == known[key] else "unsupported"
        elif key in quiet:
            fate, says = "not needed", quiet[key]
        else:
            says = held["off"].get(key, "")
            fate = "same" if value == known[key] else "unsupported"
        if key in given or fate == "differs":
            rows[key] = Row(key, value, key in given, fate, "", says)


UNBOUNDED = 1_000_000  # tokens: the model's context is the bound then
CUTS = {
    "sft": {"keep_start": "end", "keep_end": "start"},
    "dpo": {"keep_start": "end", "keep_end": "start"},
    "kto": {"keep_end": "start"},
    "orpo": {"keep_end": "start"},
    "simpo": {"keep_end": "start"},
}
"""TRL's truncation_mode -> what `truncate` is here: of the whole sequence in SFT and DPO, of the prompt in the others, whose configs had it before TRL 1.0."""
CUTS_ANYWAY = {"kto": "end", "reward": "drop", "orpo": "start", "simpo": "start"}
"""Where the config has no truncation_mode."""


def lengths(
    method: str,
    trl: Mapping[str, Any],
    given: Mapping[str, Any],
    put: Callable[..., None],
    refuse: Callable[..., None],
    values: dict[str, Any],
) -> None:
    """What is too long, and what becomes of it."""
    if "max_length" in trl and trl["max_length"] is None:
        put("max_length", "max_length", UNBOUNDED, "nothing is cut: the model's context is the bound")
    if "truncation_mode" in given or method in ("sft", "dpo"):
        if (mode := trl["truncation_mode"]) in CUTS[method]:
            put("truncation_mode", "truncate", CUTS[method][mode])
        else:
            refuse(
                "truncation_mode",
                "a prompt is cut from the left (truncate = start), or the completion at its end",
            )
    elif method in CUTS_ANYWAY:
        values["truncate"] = CUTS_ANYWAY[method]
    if method in ON_POLICY:
        if given.get("max_prompt_length"):
            put("max_prompt_length", "max_prompt_length", trl["max_prompt_length"])
        else:
            values["max_prompt_length"] = UNBOUNDED
        values["truncate"] = "start"


def sizes(
    method: str,
    trl: Mapping[str, Any],
    given: Mapping[str, Any],
    put: Callable[..., None],
    refuse: Callable[..., None],
    rows: dict[str, Row],
    values: dict[str, Any],
) -> None:
    """How many rows a step and how many steps: TRL counts by device and accumulation, we count the whole."""
    each, accumulated = trl["per_device_train_batch_size"], trl["gradient_accumulation_steps"]
    whole = each * accumulated
    says = (
        f"{each} a device, accumulated {accumulated} times, on one device: with more devices, that many "
        "times as large"
    )
    if method == "ppo" and given.get("batch_size"):  # the PPO of TRL before 0.12, which counted completions
        each, rollouts = int(trl["mini_batch_size"] or trl["batch_size"]), int(trl["batch_size"])
        put("batch_size", "rollouts", rollouts, "completions a step")
        put("mini_batch_size", "minibatch", each * accumulated, "completions an optimizer update")
        values |= {"rollouts": rollouts, "micro_batch": each if accumulated > 1 else 0}
        return
    if method in ON_POLICY:
        by_parts = method == "ppo" or "num_mini_batches" in given  # as RLOO before 0.22
        rollouts = (
            whole
            if by_parts
            else trl["generation_batch_size"] or each * (trl["steps_per_generation"] or accumulated)
        )
        put("per_device_train_batch_size", "rollouts", rollouts, says)
        for key in ("generation_batch_size", "steps_per_generation"):
            if trl.get(key):
                put(key, "rollouts", rollouts, "completions a step")
        values["rollouts"] = rollouts
        minibatch = rollouts // trl["num_mini_batches"] if by_parts else whole
        if by_parts:
            put("num_mini_batches", "minibatch", minibatch, "completions an optimizer update")
        put(
            "gradient_accumulation_steps",
            "minibatch",
            minibatch,
            "completions an optimizer update" + (f"; micro_batch = {each}" if each < minibatch else ""),
        )
        if each < minibatch:
            values["micro_batch"] = each
        if trl.get("total_episodes"):
            put(
                "total_episodes",
                "steps",
                -(-trl["total_episodes"] // rollouts),
                f"{trl['total_episodes']} completions in steps of {rollouts}",
            )
        elif trl["max_steps"] > 0 and method != "ppo":
            put(
                "max_steps",
                "steps",
                max(1, trl["max_steps"] * whole // (rollouts * trl["num_iterations"])),
                "rollout batches",
            )
        else:
            refuse(
                "num_train_epochs",
                f"steps = prompts x {trl['num_train_epochs']:g} / {rollouts if method == 'ppo' else max(1, rollouts // trl['num_generations'])}: "
                "set it when you know how many prompts there are",
                mend=True,
            )
        return
    put("per_device_train_batch_size", "batch", whole, says)
    if accumulated > 1 and "micro_batch" in dotted(KINDS[method]):
        put(
            "gradient_accumulation_steps",
            "micro_batch",
            each,
            (
                "rows a forward pass; the loss is over the whole batch's tokens, which TRL's mean of means "
                "is not always"
            ),
        )
    if trl["max_steps"] > 0:
        refuse(
            "max_steps",
            f"epochs = {trl['max_steps']} x {whole} / rows: set it when you know how many rows there are",
            mend=True,
        )
    else:
        put("num_train_epochs", "epochs", float(trl["num_train_epochs"]))


def schedule(
    trl: Mapping[str, Any],
    given: Mapping[str, Any],
    put: Callable[..., None],
    refuse: Callable[..., None],
    values: Mapping[str, Any],
) -> None:
    kind = str(trl["lr_scheduler_type"]).rpartition(".")[2].lower()
    if kind in SCHEDULES:
        put("lr_scheduler_type", "optim.schedule", SCHEDULES[kind])
    else:
        refuse("lr_scheduler_type", "optim.schedule is constant, linear or cosine")
    warm = trl["warmup_steps"] or 0
    if warm >= 1 and not values.get("steps"):
        refuse(
            "warmup_steps", "optim.warmup is a share of the steps: divide by how many there are", mend=True
        )
    else:
        put(
            "warmup_steps",
            "optim.warmup",
            warm / values["steps"] if warm >= 1 else float(warm) if kind != "constant" else 0.0,
            "a share of the steps",
        )


def _ppo(
    trl: Mapping[str, Any],
    given: Mapping[str, Any],
    put: Callable[..., None],
    refuse: Callable[..., None],
    values: dict[str, Any],
) -> None:
    put(
        "missing_eos_penalty",
        "missing_end_penalty",
        float(trl["missing_eos_penalty"] or 0.0),
        "taken from the score of a completion that was cut",
    )
    values |= {"normalize_scores": False, "score_clip": 0.0}  # TRL takes scores as they come
    if "adap_kl_ctrl" in given and trl["adap_kl_ctrl"] or "target" in given:  # the PPO of TRL before 0.12
        put(
            "target",
            "kl_target",
            float(trl["target"]),
            "nats a completion that the adaptive kl_coef steers for",
        )
        put("horizon", "kl_horizon", int(trl["horizon"]))
    if "adap_kl_ctrl" in given:
        put("adap_kl_ctrl", "kl_target", float(trl["target"]) if trl["adap_kl_ctrl"] else 0.0)
    if "early_stopping" in given and trl["early_stopping"]:
        put("early_stopping", "target_kl", 1.5 * trl["target_kl"], "TRL stopped at 1.5 x target_kl")
        put("target_kl", "target_kl", 1.5 * trl["target_kl"], "TRL stopped at 1.5 x target_kl")
    if "score_clip" in given:
        put("score_clip", "score_clip", float(trl["score_clip"] or 0.0))
    if "max_steps" in given:
        put("max_steps", "steps", None, "TRL's PPO goes by total_episodes")


def _sft(
    trl: Mapping[str, Any],
    given: Mapping[str, Any],
    put: Callable[..., None],
    refuse: Callable[..., None],
    values: dict[str, Any],
) -> None:
    if trl["assistant_only_loss"]:
        put("assistant_only_loss", "train_on", "all", "every assistant turn carries the loss")


def _dpo(
    trl: Mapping[str, Any],
    given: Mapping[str, Any],
    put: Callable[..., None],
    refuse: Callable[..., None],
    values: dict[str, Any],
) -> None:
    kinds = trl["loss_type"] if isinstance(trl["loss_type"], list) else [trl["loss_type"] or "sigmoid"]
    if len(kinds) > 1 or kinds[0] not in ("sigmoid", "sigmoid_norm", "hinge", "ipo", "robust"):
        refuse(
            "loss_type",
            (
                "one of sigmoid, sigmoid_norm, hinge, ipo, robust; TRL's mixtures and other losses have no "
                "counterpart"
            ),
        )
    else:
        put(
            "loss_type",
            "loss_type",
            kinds[0],
            "TRL divides each log-ratio by its length, ours (and the paper's) does not: another beta"
            if kinds[0] == "ipo"
            else "",
        )
    if trl["label_smoothing"] and kinds[0] != "robust":
        values.pop("label_smoothing", None)
        refuse(
            "label_smoothing",
            (
                "TRL reads it for robust and exo_pair alone; here it would be cDPO: set label_smoothing if "
                "that was meant"
            ),
        )
    if trl["f_divergence_type"] not in ("reverse_kl", None):
        refuse("f_divergence_type", "reverse KL only")


def _reward(
    trl: Mapping[str, Any],
    given: Mapping[str, Any],
    put: Callable[..., None],
    refuse: Callable[..., None],
    values: dict[str, Any],
) -> None:
    put("center_rewards_coefficient", "center", float(trl["center_rewards_coefficient"] or 0.0))


def _simpo(
    trl: Mapping[str, Any],
    given: Mapping[str, Any],
    put: Callable[..., None],
    refuse: Callable[..., None],
    values: dict[str, Any],
) -> None:
    if trl["loss_type"] != "simpo":
        refuse("loss_type", "of CPO only SimPO is here: loss_type simpo with cpo_alpha 0")
    else:
        put("loss_type", "", None, "SimPO")
    if trl["cpo_alpha"]:
        refuse("cpo_alpha", "SimPO has no likelihood term: CPO-SimPO has no counterpart")
    else:
        put("cpo_alpha", "", None, "SimPO has no likelihood term")


def _group(
    trl: Mapping[str, Any],
    given: Mapping[str, Any],
    put: Callable[..., None],
    refuse: Callable[..., None],
    values: dict[str, Any],
) -> None:
    values |= {"normalize_scores": False, "score_clip": 0.0, "missing_end_penalty": 0.0}
    if trl["epsilon_high"]:
        put("epsilon_high", "epsilon_high", trl["epsilon_high"])
    corrected = trl.get("vllm_importance_sampling_correction") and trl["use_vllm"]
    if not corrected:
        put(
            "use_vllm",
            "importance_cap",
            0.0,
            "TRL weighs tokens by trainer over sampler probability only where vLLM wrote them",
        )
    elif (
        trl["vllm_importance_sampling_mode"] == "token_truncate"
        and not trl["vllm_importance_sampling_clip_min"]
    ):
        put(
            "vllm_importance_sampling_clip_max",
            "importance_cap",
            float(trl["vllm_importance_sampling_clip_max"]),
        )
    else:
        refuse("vllm_importance_sampling_mode", "importance_cap is token_truncate without a lower bound")


def _rloo(
    trl: Mapping[str, Any],
    given: Mapping[str, Any],
    put: Callable[..., None],
    refuse: Callable[..., None],
    values: dict[str, Any],
) -> None:
    _group(trl, given, put, refuse, values)
    # TRL sums over a completion's tokens, ours divides by max_new_tokens as well: AdamW does not see that,
    # clipping would
    put(
        "max_grad_norm",
        "optim.max_grad_norm",
        trl["max_grad_norm"] / trl["max_completion_length"],
        "TRL's loss is that many tokens times as large as ours: the same clipping",
    )
    if updates_a_batch(values) > 1:
        refuse(
            "epsilon",
            (
                "TRL clips the ratio of the whole completion, ours each token's: the same in the first "
                "update of a batch, not in the others"
            ),
        )
    if trl["reward_clip_range"]:
        low, high = trl["reward_clip_range"]
        put("reward_clip_range", "score_clip", float(high)) if -low == high else refuse(
            "reward_clip_range", "score_clip is the same on both sides of 0"
        )
    if "missing_eos_penalty" in given:
        put(
            "missing_eos_penalty",
            "missing_end_penalty",
            float(trl["missing_eos_penalty"] or 0.0),
            "taken from the score of a completion that was cut",
        )


def updates_a_batch(values: Mapping[str, Any]) -> int:
    """Optimizer updates on one batch of rollouts."""
    return values.get("epochs", 1) * -(-values["rollouts"] // values.get("minibatch", values["rollouts"]))


def _grpo(
    trl: Mapping[str, Any],
    given: Mapping[str, Any],
    put: Callable[..., None],
    refuse: Callable[..., None],
    values: dict[str, Any],
) -> None:
    _group(trl, given, put, refuse, values)
    if trl["beta"]:  # TRL's default multiplies k3 by the ratio, whose gradient at ratio 1 is that of k2
        says = "k3 times the ratio has the gradient of k2" if trl["use_bias_correction_kl"] else "k3 as it is"
        later = (
            "; in later updates of a batch TRL also weighs it by the ratio"
            if trl["use_bias_correction_kl"] and updates_a_batch(values) > 1
            else ""
        )
        put(
            "use_bias_correction_kl",
            "kl_penalty",
            "k2_in_loss" if trl["use_bias_correction_kl"] else "k3_in_loss",
            says + later,
        )
    means = {"grpo": "sequence", "dapo": "token", "bnpo": "token", "dr_grpo": "constant"}
    if trl["loss_type"] in means:
        put(
            "loss_type",
            "loss_mean",
            means[trl["loss_type"]],
            "bnpo takes the mean of each micro-batch, ours that of the minibatch"
            if trl["loss_type"] == "bnpo"
            else "",
        )
    else:
        refuse("loss_type", "one of " + ", ".join(means))
    kinds = {
        "group": "grpo",
        "none": "dr_grpo",
        True: "grpo",
        False: "dr_grpo",
        "True": "grpo",
        "False": "dr_grpo",
    }
    if trl["scale_rewards"] in kinds:
        put("scale_rewards", "advantage", kinds[trl["scale_rewards"]])
    else:
        refuse("scale_rewards", "the deviation is the group's (grpo) or none is taken (dr_grpo)")
    if trl["importance_sampling_level"] != "token":
        put("importance_sampling_level", "ratio_level", trl["importance_sampling_level"])


SPECIAL: dict[str, Callable[..., None]] = {
    "ppo": _ppo,
    "sft": _sft,
    "dpo": _dpo,
    "reward": _reward,
    "simpo": _simpo,
    "rloo": _rloo,
    "grpo": _grpo,
}


COUNTS = (
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "num_generations",
    "num_mini_batches",
    "num_iterations",
    "generation_batch_size",
    "steps_per_generation",
    "batch_size",
    "mini_batch_size",
    "total_episodes",
    "max_completion_length",
    "response_length",
)
NUMBERS = (
    *COUNTS,
    "center_rewards_coefficient",
    "epsilon_high",
    "missing_eos_penalty",
    "score_clip",
    "target",
    "max_prompt_length",
)
"""Keys whose value is a number, though TRL's default may be none."""
WORDS = (
    "loss_type",
    "scale_rewards",
    "truncation_mode",
    "importance_sampling_level",
    "lr_scheduler_type",
    "f_divergence_type",
    "vllm_importance_sampling_mode",
)
LARGEST = 2**53  # a whole number that every float can tell from the next


def typed(key: str, value: Any, default: Any) -> Any:
    """A value as its field would have it: YAML reads 3e-6 as text, a command line everything. Raises
    ConfigError for one that is not of its kind.
    """
    if isinstance(default, bool) and isinstance(value, str):
        if value.lower() not in ("true", "false", "yes", "no", "1", "0"):
            raise ConfigError(f"{key} = {value!r:.60} is not true or false", where=key)
        return value.lower() in ("true", "yes", "1")
    fixed = isinstance(default, (int, float)) and not isinstance(default, bool)
    if isinstance(value, str) and value.lower() in ("none", "null", "") and (fixed or default is None):
        return default
    if value is None and (not fixed or key == "max_length"):  # of a length none is no bound
        return None
    if isinstance(value, str) and default is None and value.lower() in ("true", "false"):
        return value.lower() == "true"
    number = fixed or key in NUMBERS
    if isinstance(value, str) and (number or default is None):
        with suppress(ValueError):
            found = float(value)
            value = int(found) if found.is_integer() and not any(c in value.lower() for c in ".en") else found
    if number and (
        isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < LARGEST
    ):
        raise ConfigError(f"{key} = {value!r:.60} is not a number", where=key)
    if key in COUNTS and isinstance(value, (int, float)) and value < 1:
        raise ConfigError(f"{key} = {value!r:.60} must be at least 1", where=key)
    if (
        key in WORDS
        and not isinstance(value, (str, bool))
        and not (isinstance(value, list) and value and all(isinstance(word, str) for word in value))
    ):
        raise ConfigError(f"{key} = {value!r:.60} is not a text", where=key)
    if key == "reward_clip_range" and not (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and all(isinstance(end, (int, float)) and abs(end) < LARGEST for end in value)
    ):
        raise ConfigError(f"{key} = {value!r:.60} is not two numbers", where=key)
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


def page(rows: list[Row], config: str, command: str, note: str) -> str:
    """All of it for people: what needs a hand first."""
    order = ["unsupported", "differs", "set", "same", "not needed"]
    lines = []
    for row in sorted(
        (row for row in rows if row.given or row.fate in ("set", "unsupported", "differs")),
        key=lambda row: order.index(row.fate),
    ):
        value = json.dumps(row.value, default=str) + ("" if row.given else " (TRL's default)")
        lines.append(
            f"{row.fate:<12} {row.key} = {value}"
            + (f"  ->  {row.here}" if row.here else "")
            + (f"   {row.says}" if row.says else "")
        )
    return "\n".join([*lines, *([note] if note else []), "", config, command])
