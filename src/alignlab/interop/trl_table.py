"""TRL's keys as they are recorded: names, defaults, what becomes of them, and values as their fields have
them.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.resources import files
from typing import Any

from .. import settings
from ..errors import ConfigError

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
    gone = {key: row.get("default") for key, row in of(held["gone"], method).items()}
    return {**gone, **book["script"]["fields"], **book[method]["fields"]}, of(held["renamed"], method)


def of(tables: Mapping[str, Any], method: str) -> dict[str, Any]:
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
    "rpo_alpha",
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
            read = float(value)
            whole = read.is_integer() and not any(c in value.lower() for c in ".en")
            value = int(read) if whole else read
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
