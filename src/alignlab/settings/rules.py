"""What settings cannot be beside their bounds: rules about several of them, and lists within a text.

Imports nothing heavy. The command line asks `check` before a model is loaded, a pipeline before its first
stage, and every method again, since it may be called from Python.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

from .. import settings as s
from ..errors import ConfigError
from .resolve import walk


def check(settings: Any) -> None:
    """Raise ConfigError for a value out of its bounds, for settings that contradict one another, and for one
    that another makes meaningless, in tables inside too.
    """
    for setting, value in walk(settings):
        setting.parsed(value, "")
    _check_rules(settings, "")


def _check_rules(settings: Any, table: str) -> None:
    for kind, rule in RULES:
        if isinstance(settings, kind):
            try:
                rule(settings)
            except ConfigError as error:
                where = error.where or (f"[{table}]" if table else "")
                raise ConfigError(error.what, where=where, remedy=error.remedy) from None
    for item in fields(settings):
        if is_dataclass(inner := getattr(settings, item.name)):
            _check_rules(inner, f"{table}.{item.name}" if table else item.name)


def _crowd(x: s.CrowdSettings) -> None:
    writers = [name for name in x.writers.split(",") if name.strip()]
    reviewers = [name for name in x.reviewers.split(",") if name.strip()]
    if len(writers) < 2 or not reviewers:
        raise ConfigError(
            f"{len(writers)} writers, {len(reviewers)} reviewers",
            remedy="two writers or more, and a reviewer or more",
        )


def _chain(x: s.ChainSettings) -> None:
    if x.principle and x.tags != s.ChainSettings().tags:
        raise ConfigError(
            f"tags = {x.tags!r} says nothing where principle = {x.principle!r} names the only one",
            remedy="one of the two",
        )


def _label(x: s.LabelSettings) -> None:
    if x.sampling.temperature == 0:
        raise ConfigError(
            "sampling.temperature = 0: the answers to a prompt would all be the same",
            remedy="1, as the policy is trained at",
        )
    if x.labels == "hard" and x.temperature != 1:
        raise ConfigError(
            f"temperature = {x.temperature} does nothing to hard labels",
            remedy="--temperature 1 or --labels soft",
        )


def _reward(x: s.RewardSettings) -> None:
    usual = s.RewardSettings()
    if x.tie_rate and x.ties == "drop":
        raise ConfigError(
            f"tie_rate = {x.tie_rate} with ties = {x.ties}", remedy="--ties rao_kupper or davidson"
        )
    if x.margins in ("ranks", "scores") and x.ties != "drop":
        raise ConfigError(
            f"margins = {x.margins} with ties = {x.ties}",
            remedy="one of them: with a margin the three outcomes have no probabilities",
        )
    if x.margins == "none" and x.margin_scale != usual.margin_scale:
        raise ConfigError(
            f"margin_scale = {x.margin_scale} without margins", remedy="--margins data, ranks or scores"
        )
    if x.noise == "flip" and not x.label_smoothing:
        raise ConfigError(
            "noise = flip, but label_smoothing is 0: no label is turned round",
            remedy="--label_smoothing 0.1, or --noise learnt",
        )
    if x.annotators == "reliability" and (x.noise != "smoothing" or x.label_smoothing):
        raise ConfigError(
            f"annotators = reliability with noise = {x.noise}, label_smoothing = {x.label_smoothing}",
            remedy="leave noise and label_smoothing be: a reliability is a flip rate for each annotator",
        )
    learns_ties = x.ties != "drop" and not x.tie_rate
    learns = learns_ties or x.noise == "learnt" or x.annotators == "reliability"
    if x.label_lr != usual.label_lr and not learns:
        raise ConfigError(
            f"label_lr = {x.label_lr}, but nothing is learnt about the labels",
            remedy="--ties, --noise learnt or --annotators reliability",
        )


def _dpo(x: s.DPOSettings) -> None:
    if x.label_smoothing and x.loss_type in ("hinge", "ipo"):
        raise ConfigError(
            f"label_smoothing = {x.label_smoothing} has no meaning for loss_type {x.loss_type}",
            remedy="--label_smoothing 0, or loss_type sigmoid, sigmoid_norm or robust",
        )


def _on_policy(x: Any) -> None:
    """Settings under which the policy that is updated would not be the one that wrote the tokens."""
    if x.sampling.temperature <= 0:
        raise ConfigError(
            f"sampling.temperature = {x.sampling.temperature}",
            remedy="above 0: what is learnt from is the chance that each token had",
        )
    if x.adapter.dropout:
        raise ConfigError(
            f"adapter.dropout = {x.adapter.dropout}",
            remedy="0: with dropout the policy that is updated is not the one that wrote the tokens",
        )


def _ahead(x: s.PPOSettings | s.GroupSettings | s.OnlineDPOSettings) -> None:
    if x.staleness and not x.sampler:
        raise ConfigError(
            f"staleness = {x.staleness} without a sampler: the policy cannot write while it is updated",
            remedy="--sampler http://host:port/v1#model, or --staleness 0",
        )
    if x.staleness and not getattr(x, "importance_cap", 1):
        raise ConfigError(
            f"staleness = {x.staleness}, importance_cap = 0: what an older policy wrote would be learnt from "
            "as if it were the policy's own",
            remedy="--importance_cap 2",
        )


def _whole_groups(x: s.PPOSettings | s.GroupSettings) -> None:
    if x.rollouts % x.per_prompt:
        raise ConfigError(
            f"rollouts = {x.rollouts}, per_prompt = {x.per_prompt}",
            remedy="rollouts must be a multiple of per_prompt",
        )


def _ppo(x: s.PPOSettings) -> None:
    if x.lambda_start > x.lambda_max:
        raise ConfigError(
            f"lambda_start = {x.lambda_start}, lambda_max = {x.lambda_max}",
            remedy="a start of at most the maximum",
        )
    if x.cost_kind == "chance" and not 0 <= x.cost_limit < 1:
        raise ConfigError(
            f"cost_limit = {x.cost_limit} with cost_kind = chance",
            remedy="a share of unsafe completions from 0 to below 1; or --cost_kind score",
        )


def _group(x: s.GroupSettings) -> None:
    advantage = getattr(x, "advantage", "")
    if x.per_prompt == 1 and advantage != "reinforce":
        raise ConfigError(
            f"per_prompt = 1, advantage = {advantage}",
            remedy="at least 2 completions per prompt, or --advantage reinforce",
        )
    updates = x.epochs * -(-x.rollouts // (x.minibatch or x.rollouts))
    if x.ratio_level == "sequence" and updates == 1:
        raise ConfigError(
            "ratio_level = sequence with one update per step: every ratio is 1, "
            "and the level changes nothing",
            remedy="minibatch below rollouts, or epochs above 1; or leave ratio_level at token",
        )
    if advantage == "reinforce" and x.rollouts == 1:
        raise ConfigError(
            "rollouts = 1, advantage = reinforce",
            remedy="at least 2: one completion less the mean of itself is always 0",
        )


def _online_dpo(x: s.OnlineDPOSettings) -> None:
    if x.ask == "compare" and x.per_prompt > 2:
        raise ConfigError(
            f"per_prompt = {x.per_prompt}, ask = {x.ask}",
            remedy="2 completions per prompt to be compared, 2 or more to be scored",
        )


def _rejection(x: s.RejectionSettings) -> None:
    if x.keep_earlier and x.rounds == 1:
        raise ConfigError(
            "keep_earlier = True with rounds = 1", remedy="more rounds: the first has no earlier one"
        )


def _shift(x: s.ShiftSettings) -> None:
    if x.sampling.temperature <= 0:
        raise ConfigError(
            f"sampling.temperature = {x.sampling.temperature}",
            remedy="above 0: equal completions cannot be compared",
        )
    parts = x.best_of.split(",") if x.best_of else []
    if not all(part.isdecimal() and int(part) >= 2 for part in parts):
        raise ConfigError(
            f"best_of = {x.best_of!r}", remedy="numbers from 2, comma separated, as 4,16; or nothing"
        )


def _shard(x: Any) -> None:
    model = getattr(x, "model", None)
    if not (isinstance(model, s.ModelSettings) and model.shard):
        return
    on_policy = isinstance(x, (s.GroupSettings, s.PPOSettings))
    if not on_policy and not isinstance(x, (s.SFTSettings, s.RewardSettings, s.PairSettings)):
        raise ConfigError(
            "model.shard is for sft, reward, dpo, orpo, simpo, rloo, grpo and ppo alone",
            remedy="leave it out",
        )
    if on_policy and not x.sampler:
        raise ConfigError(
            "model.shard without a sampler: a model whose weights are in parts does not write",
            remedy="--sampler http://host:port/v1#model, a server of `alignlab serve MODEL --updates FOLDER`",
        )
    if x.adapter.rank:
        raise ConfigError(
            f"model.shard with adapter.rank = {x.adapter.rank}",
            remedy="one of them: of the weights below an adapter no gradients are kept",
        )
    if model.precision == "bf16":
        raise ConfigError("model.shard with model.precision = bf16", remedy="--model.precision fp32")
    if isinstance(x, s.RewardSettings) and x.members > 1:
        raise ConfigError(f"model.shard with members = {x.members}", remedy="one member per run")


RULES: tuple[tuple[type | tuple[type, ...], Callable[[Any], None]], ...] = (
    (object, _shard),
    (s.CrowdSettings, _crowd),
    (s.ChainSettings, _chain),
    (s.LabelSettings, _label),
    (s.RewardSettings, _reward),
    (s.DPOSettings, _dpo),
    ((s.PPOSettings, s.GroupSettings, s.OnlineDPOSettings, s.RejectionSettings), _on_policy),
    ((s.PPOSettings, s.GroupSettings, s.OnlineDPOSettings), _ahead),
    ((s.PPOSettings, s.GroupSettings), _whole_groups),
    (s.PPOSettings, _ppo),
    (s.GroupSettings, _group),
    (s.OnlineDPOSettings, _online_dpo),
    (s.RejectionSettings, _rejection),
    (s.ShiftSettings, _shift),
)
"""Rules by the settings that they are about; those of a kind come before those of its subclasses."""
