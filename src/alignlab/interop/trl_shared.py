"""What the settings are here that all of TRL's trainers share: lengths, batches, steps, schedule, adapters."""

from __future__ import annotations

from ..settings.resolve import dotted
from .trl_conversion import Conversion
from .trl_table import KINDS, ON_POLICY, fates, of, table

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
        "epsilon": "cliprange",
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


UNBOUNDED = 1_000_000  # tokens: the model's context is the bound then
CUTS = {
    "sft": {"keep_start": "end", "keep_end": "start"},
    "dpo": {"keep_start": "end", "keep_end": "start"},
    "kto": {"keep_end": "start"},
    "orpo": {"keep_end": "start"},
    "simpo": {"keep_end": "start"},
}
"""TRL's truncation_mode -> what `truncate` is here: of the whole sequence in SFT and DPO, of the prompt in the
others, whose configs had it before TRL 1.0.
"""
CUTS_ANYWAY = {"kto": "end", "reward": "drop", "orpo": "start", "simpo": "start"}
"""Where the config has no truncation_mode."""


def lengths(c: Conversion) -> None:
    """What is too long, and what becomes of it."""
    if "max_length" in c.trl and c.trl["max_length"] is None:
        c.put("max_length", "max_length", UNBOUNDED, "nothing is cut: the model's context is the bound")
    if "truncation_mode" in c.given or c.method in ("sft", "dpo"):
        if (mode := c.trl["truncation_mode"]) in CUTS[c.method]:
            c.put("truncation_mode", "truncate", CUTS[c.method][mode])
        else:
            c.refuse(
                "truncation_mode",
                "a prompt is cut from the left (truncate = start), or the completion at its end",
            )
    elif c.method in CUTS_ANYWAY:
        c.values["truncate"] = CUTS_ANYWAY[c.method]
    if c.method in ON_POLICY:
        if c.given.get("max_prompt_length"):
            c.put("max_prompt_length", "max_prompt_length", c.trl["max_prompt_length"])
        else:
            c.values["max_prompt_length"] = UNBOUNDED
        c.values["truncate"] = "start"


def sizes(c: Conversion) -> None:
    """How many rows per step and how many steps: TRL counts by device and accumulation, we count the whole."""
    each, accumulated = c.trl["per_device_train_batch_size"], c.trl["gradient_accumulation_steps"]
    whole = each * accumulated
    says = (
        f"{each} a device, accumulated {accumulated} times, on one device: with more devices, that many "
        "times as large"
    )
    if c.method == "ppo" and c.given.get("batch_size"):
        # the PPO of TRL before 0.12, which counted completions
        each, rollouts = int(c.trl["mini_batch_size"] or c.trl["batch_size"]), int(c.trl["batch_size"])
        c.put("batch_size", "rollouts", rollouts, "completions a step")
        c.put("mini_batch_size", "minibatch", each * accumulated, "completions an optimizer update")
        c.values |= {"rollouts": rollouts, "micro_batch": each if accumulated > 1 else 0}
        return
    if c.method in ON_POLICY:
        by_parts = c.method == "ppo" or "num_mini_batches" in c.given  # as RLOO before 0.22
        rollouts = minibatch = whole
        if by_parts:
            minibatch = rollouts // c.trl["num_mini_batches"]
        else:
            generations = c.trl["steps_per_generation"] or accumulated
            rollouts = c.trl["generation_batch_size"] or each * generations
        c.put("per_device_train_batch_size", "rollouts", rollouts, says)
        for key in ("generation_batch_size", "steps_per_generation"):
            if c.trl.get(key):
                c.put(key, "rollouts", rollouts, "completions a step")
        c.values["rollouts"] = rollouts
        says = "completions an optimizer update"
        if by_parts:
            c.put("num_mini_batches", "minibatch", minibatch, says)
        if each < minibatch:
            says += f"; micro_batch = {each}"
        c.put("gradient_accumulation_steps", "minibatch", minibatch, says)
        if each < minibatch:
            c.values["micro_batch"] = each
        if c.trl.get("total_episodes"):
            c.put(
                "total_episodes",
                "steps",
                -(-c.trl["total_episodes"] // rollouts),
                f"{c.trl['total_episodes']} completions in steps of {rollouts}",
            )
        elif c.trl["max_steps"] > 0 and c.method != "ppo":
            c.put(
                "max_steps",
                "steps",
                max(1, c.trl["max_steps"] * whole // (rollouts * c.trl["num_iterations"])),
                "rollout batches",
            )
        else:
            prompts = rollouts if c.method == "ppo" else max(1, rollouts // c.trl["num_generations"])
            c.refuse(
                "num_train_epochs",
                f"steps = prompts x {c.trl['num_train_epochs']:g} / {prompts}: "
                "set it when you know how many prompts there are",
                mend=True,
            )
        return
    c.put("per_device_train_batch_size", "batch", whole, says)
    if accumulated > 1 and "micro_batch" in dotted(KINDS[c.method]):
        c.put(
            "gradient_accumulation_steps",
            "micro_batch",
            each,
            (
                "rows a forward pass; the loss is over the whole batch's tokens, which TRL's mean of means "
                "is not always"
            ),
        )
    if c.trl["max_steps"] > 0:
        c.refuse(
            "max_steps",
            f"epochs = {c.trl['max_steps']} x {whole} / rows: set it when you know how many rows there are",
            mend=True,
        )
    else:
        c.put("num_train_epochs", "epochs", float(c.trl["num_train_epochs"]))


def schedule(c: Conversion) -> None:
    kind = str(c.trl["lr_scheduler_type"]).rpartition(".")[2].lower()
    if kind in SCHEDULES:
        c.put("lr_scheduler_type", "optim.schedule", SCHEDULES[kind])
    else:
        c.refuse("lr_scheduler_type", "optim.schedule is constant, linear or cosine")
    warm = c.trl["warmup_steps"] or 0
    if warm >= 1 and not c.values.get("steps"):
        c.refuse(
            "warmup_steps", "optim.warmup is a share of the steps: divide by how many there are", mend=True
        )
    else:
        if warm >= 1:
            warm /= c.values["steps"]
        elif kind == "constant":
            warm = 0.0
        c.put("warmup_steps", "optim.warmup", float(warm), "a share of the steps")


def rest(c: Conversion) -> None:
    """Rows for the keys that no setting of ours took: what was given, and the defaults of TRL's that ours
    does not follow.
    """
    held = fates()
    quiet = {key: reason for reason, keys in held["quiet"].items() for key in keys.split()}
    does, gone, today = of(held["does"], c.method), of(held["gone"], c.method), table()[c.method]["fields"]
    for key, value in c.trl.items():
        if key in c.rows or (key not in c.given and key not in today):
            continue
        if key in gone and key not in today:
            row = gone[key]
            fate, says = "unsupported", row.get("says", "")
            if row.get("quiet"):
                fate, says = "not needed", "of an older TRL: nothing that is learnt follows from it"
            elif value == c.known[key]:
                fate, says = "same", ""
        elif key in does:
            says = does[key]["says"]
            same = str(value).lower() in [str(other).lower() for other in does[key]["same"]]
            fate = "differs" if value == c.known[key] else "unsupported"
            if same:
                fate = "same"
        elif key in quiet:
            fate, says = "not needed", quiet[key]
        else:
            says = held["off"].get(key, "")
            fate = "same" if value == c.known[key] else "unsupported"
        if key in c.given or fate == "differs":
            c.row(key, fate, "", says)


def plain(c: Conversion) -> None:
    """Keys that mean the same, and those of the command, of PEFT and of the data."""
    for key, name in (SAME[c.method] | SHARED).items():
        if key in c.trl:
            c.put(key, name, c.trl[key])
    for key, flag in OPTIONS.items():
        of_ppo_only = key == "sft_model_path" and c.method != "ppo"
        instead = key == "model_name_or_path" and "sft_model_path" in c.given
        if key in c.given and not of_ppo_only and not instead:
            c.options[flag] = c.trl[key]
            c.row(key, "set", f"{flag} {c.trl[key]}")
    if "sft_model_path" in c.given and "model_name_or_path" in c.given:
        c.row("model_name_or_path", "not needed", "", "TRL takes its tokenizer; here that of --model is used")
    if c.trl.get("report_to") not in (None, "none", [], "all") and "report_to" in c.given:
        names = c.trl["report_to"]
        if not isinstance(names, list):
            names = [names]
        trackers = [name for name in names if name in ("tensorboard", "wandb", "trackio")]
        if trackers:
            c.put("report_to", "tracker", ",".join(trackers))
        else:
            c.refuse("report_to", "tracker is tensorboard, wandb or trackio; metrics.jsonl is always written")
    if c.trl.get("use_peft"):
        for key, name in ADAPTER.items():
            value = c.trl[key]
            if key == "lora_dropout" and value and c.method in ON_POLICY:
                c.refuse(
                    key,
                    "0 here: with dropout the policy that is updated is not the one that wrote the tokens",
                )
                continue
            if isinstance(value, list):
                value = ",".join(value)
            c.put(key, name, value)
        c.row("use_peft", "set", "adapter.rank above 0")
    if "bf16" in c.given:
        precision, says = "fp32", ""
        if c.trl["bf16"]:
            precision = "auto"
            says = (
                "bf16 weights with fp32 masters where the machine multiplies bf16 natively, else fp32: "
                "never emulated"
            )
        c.put("bf16", "model.precision", precision, says)
    if str(c.trl.get("chat_template_path") or "").endswith(".jinja"):
        c.put("chat_template_path", "model.chat_template", c.trl["chat_template_path"])
    elif c.trl.get("chat_template_path"):
        c.refuse(
            "chat_template_path", "model.chat_template takes a Jinja file: that folder's chat_template.jinja"
        )
    if c.trl.get("dataset_text_field") not in (None, c.known.get("dataset_text_field")):
        c.options["--columns"] = f"text={c.trl['dataset_text_field']}"
        c.row("dataset_text_field", "set", f"--columns text={c.trl['dataset_text_field']}")
