"""What the settings of each of TRL's trainers are here, where the value does not mean the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .trl_conversion import Conversion


def _ppo(c: Conversion) -> None:
    c.put(
        "missing_eos_penalty",
        "missing_end_penalty",
        float(c.trl["missing_eos_penalty"] or 0.0),
        "taken from the score of a completion that was cut",
    )
    c.values |= {"normalize_scores": False, "score_clip": 0.0}  # TRL takes scores as they come
    if (
        "adap_kl_ctrl" in c.given and c.trl["adap_kl_ctrl"] or "target" in c.given
    ):  # the PPO of TRL before 0.12
        c.put(
            "target",
            "adaptive_kl",
            float(c.trl["target"]),
            "nats a completion that the adaptive kl_coef steers for",
        )
        c.put("horizon", "kl_horizon", int(c.trl["horizon"]))
    if "adap_kl_ctrl" in c.given:
        target = float(c.trl["target"]) if c.trl["adap_kl_ctrl"] else 0.0
        c.put("adap_kl_ctrl", "adaptive_kl", target)
    if "early_stopping" in c.given and c.trl["early_stopping"]:
        c.put("early_stopping", "stop_at_kl", 1.5 * c.trl["target_kl"], "TRL stopped at 1.5 x target_kl")
        c.put("target_kl", "stop_at_kl", 1.5 * c.trl["target_kl"], "TRL stopped at 1.5 x target_kl")
    if "score_clip" in c.given:
        c.put("score_clip", "score_clip", float(c.trl["score_clip"] or 0.0))
    if "max_steps" in c.given:
        c.put("max_steps", "steps", None, "TRL's PPO goes by total_episodes")


def _sft(c: Conversion) -> None:
    if c.trl["assistant_only_loss"]:
        c.put("assistant_only_loss", "train_on", "all", "every assistant turn carries the loss")


LIKELIHOOD = "each chosen completion weighs the same here; in TRL each of their tokens"


def _dpo(c: Conversion) -> None:
    kinds = c.trl["loss_type"]
    if not isinstance(kinds, list):
        kinds = [kinds or "sigmoid"]
    weights = c.trl["loss_weights"] or [1.0] * len(kinds)
    if kinds[1:] == ["sft"] and _first_is_one(weights):
        kinds = kinds[:1]
        c.put("loss_weights", "nll_coef", float(weights[-1]), LIKELIHOOD)
    if "rpo_alpha" in c.given:
        c.put("rpo_alpha", "nll_coef", float(c.trl["rpo_alpha"] or 0.0), LIKELIHOOD)
    if len(kinds) > 1 or kinds[0] not in ("sigmoid", "sigmoid_norm", "hinge", "ipo", "robust"):
        c.refuse(
            "loss_type",
            (
                "one of sigmoid, sigmoid_norm, hinge, ipo, robust, alone or before sft; TRL's other mixtures "
                "and losses have no counterpart"
            ),
        )
    else:
        says = ""
        if kinds[0] == "ipo":
            says = "TRL divides each log-ratio by its length, ours (and the paper's) does not: another beta"
        c.put("loss_type", "loss_type", kinds[0], says)
    if c.trl["label_smoothing"] and kinds[0] != "robust":
        c.values.pop("label_smoothing", None)
        c.refuse(
            "label_smoothing",
            (
                "TRL reads it for robust and exo_pair alone; here it would be cDPO: set label_smoothing if "
                "that was meant"
            ),
        )
    if c.trl["f_divergence_type"] not in ("reverse_kl", None):
        c.refuse("f_divergence_type", "reverse KL only")


def _first_is_one(weights: Any) -> bool:
    """Whether these are two weights, numbers both, and the first of them 1."""
    two = isinstance(weights, list) and len(weights) == 2
    return two and weights[0] == 1 and isinstance(weights[1], int | float)


def _reward(c: Conversion) -> None:
    c.put("center_rewards_coefficient", "center", float(c.trl["center_rewards_coefficient"] or 0.0))


def _simpo(c: Conversion) -> None:
    if c.trl["loss_type"] != "simpo":
        c.refuse("loss_type", "of CPO only SimPO is here: loss_type simpo with cpo_alpha 0")
    else:
        c.put("loss_type", "", None, "SimPO")
    if c.trl["cpo_alpha"]:
        c.refuse("cpo_alpha", "SimPO has no likelihood term: CPO-SimPO has no counterpart")
    else:
        c.put("cpo_alpha", "", None, "SimPO has no likelihood term")


def _group(c: Conversion) -> None:
    c.values |= {"normalize_scores": False, "score_clip": 0.0, "missing_end_penalty": 0.0}
    if c.trl["epsilon_high"]:
        c.put("epsilon_high", "cliprange_high", c.trl["epsilon_high"])
    corrected = c.trl.get("vllm_importance_sampling_correction") and c.trl["use_vllm"]
    if not corrected:
        c.put(
            "use_vllm",
            "importance_cap",
            0.0,
            "TRL weighs tokens by trainer over sampler probability only where vLLM wrote them",
        )
    elif (
        c.trl["vllm_importance_sampling_mode"] == "token_truncate"
        and not c.trl["vllm_importance_sampling_clip_min"]
    ):
        c.put(
            "vllm_importance_sampling_clip_max",
            "importance_cap",
            float(c.trl["vllm_importance_sampling_clip_max"]),
        )
    else:
        c.refuse("vllm_importance_sampling_mode", "importance_cap is token_truncate without a lower bound")


def _rloo(c: Conversion) -> None:
    _group(c)
    # TRL sums over a completion's tokens, ours divides by max_new_tokens as well: AdamW does not see that,
    # clipping would
    c.put(
        "max_grad_norm",
        "optim.max_grad_norm",
        c.trl["max_grad_norm"] / c.trl["max_completion_length"],
        "TRL's loss is that many tokens times as large as ours: the same clipping",
    )
    if updates_per_batch(c.values) > 1:
        c.refuse(
            "epsilon",
            (
                "TRL clips the ratio of the whole completion, ours each token's: the same in the first "
                "update of a batch, not in the others"
            ),
        )
    if c.trl["reward_clip_range"]:
        low, high = c.trl["reward_clip_range"]
        if -low == high:
            c.put("reward_clip_range", "score_clip", float(high))
        else:
            c.refuse("reward_clip_range", "score_clip is the same on both sides of 0")
    if "missing_eos_penalty" in c.given:
        c.put(
            "missing_eos_penalty",
            "missing_end_penalty",
            float(c.trl["missing_eos_penalty"] or 0.0),
            "taken from the score of a completion that was cut",
        )


def updates_per_batch(values: Mapping[str, Any]) -> int:
    """Optimizer updates on one batch of rollouts."""
    return values.get("epochs", 1) * -(-values["rollouts"] // values.get("minibatch", values["rollouts"]))


def _grpo(c: Conversion) -> None:
    _group(c)
    if c.trl["beta"]:  # TRL's default multiplies k3 by the ratio, whose gradient at ratio 1 is that of k2
        penalty, says = "k3_in_loss", "k3 as it is"
        if c.trl["use_bias_correction_kl"]:
            penalty, says = "k2_in_loss", "k3 times the ratio has the gradient of k2"
            if updates_per_batch(c.values) > 1:
                says += "; in later updates of a batch TRL also weighs it by the ratio"
        c.put("use_bias_correction_kl", "kl_penalty", penalty, says)
    means = {"grpo": "sequence", "dapo": "token", "bnpo": "token", "dr_grpo": "constant"}
    if c.trl["loss_type"] in means:
        says = ""
        if c.trl["loss_type"] == "bnpo":
            says = "bnpo takes the mean of each micro-batch, ours that of the minibatch"
        c.put("loss_type", "loss_mean", means[c.trl["loss_type"]], says)
    else:
        c.refuse("loss_type", "one of " + ", ".join(means))
    kinds = {
        "group": "grpo",
        "none": "dr_grpo",
        True: "grpo",
        False: "dr_grpo",
        "True": "grpo",
        "False": "dr_grpo",
    }
    if c.trl["scale_rewards"] in kinds:
        c.put("scale_rewards", "advantage", kinds[c.trl["scale_rewards"]])
    else:
        c.refuse("scale_rewards", "the deviation is the group's (grpo) or none is taken (dr_grpo)")
    if c.trl["importance_sampling_level"] != "token":
        c.put("importance_sampling_level", "ratio_level", c.trl["importance_sampling_level"])


SPECIAL: dict[str, Callable[[Conversion], None]] = {
    "ppo": _ppo,
    "sft": _sft,
    "dpo": _dpo,
    "reward": _reward,
    "simpo": _simpo,
    "rloo": _rloo,
    "grpo": _grpo,
}
