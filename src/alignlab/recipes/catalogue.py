"""Every recipe by name, and what of the pipeline's settings it reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import attrgetter

from ..errors import ConfigError
from .constitutional import constitutional
from .instructgpt import instructgpt
from .llama2 import llama2
from .llama3 import llama3
from .mixtral import mixtral
from .plan import Plan
from .settings import PipelineSettings
from .tulu3 import tulu3
from .zephyr import zephyr


@dataclass(frozen=True)
class Recipe:
    """A recipe, the settings of the pipeline that it reads beside those that all read, and those of them
    ("table.setting") that it works out itself.
    """

    build: Callable[[Plan], None]
    reads: frozenset[str]
    works_out: tuple[str, ...] = ()


COMMON = frozenset({"workers", "tracker", "demonstrations", "sft", "collect", "eval"})
ROUNDS = ("rejection.rounds", "rejection.prompts")
"""What follows from `rounds` and `budget`."""
RECIPES = {
    "instructgpt": Recipe(
        instructgpt,
        frozenset(
            {
                "prompts",
                "ppo_prompts",
                "annotator",
                "hacking",
                "reward",
                "ppo",
                "dpo",
                "best_of_n",
                "unpenalised",
            }
        ),
    ),
    "llama2": Recipe(
        llama2, frozenset({"budget", "ppo_prompts", "rounds", "reward", "rejection", "ppo"}), ROUNDS
    ),
    "llama3": Recipe(
        llama3, frozenset({"budget", "annotator", "rounds", "reward", "rejection", "llama3_dpo"}), ROUNDS
    ),
    "mixtral": Recipe(mixtral, frozenset({"budget", "annotator", "dpo"})),
    "zephyr": Recipe(zephyr, frozenset({"budget", "teacher", "distil", "zephyr_dpo"})),
    "constitutional": Recipe(
        constitutional,
        frozenset(
            {
                "constitution",
                "critic",
                "red_team",
                "revise",
                "sl_cai",
                "labelled",
                "compared",
                "label",
                "reward",
                "ppo_prompts",
                "ppo",
                "dpo",
            }
        ),
    ),
    "tulu3": Recipe(tulu3, frozenset({"budget", "tulu3_dpo", "rlvr"})),
}


def check(recipe: str, settings: PipelineSettings, default: PipelineSettings) -> None:
    """Raise ConfigError for a setting that was changed and that this recipe would never read."""
    found = RECIPES[recipe]
    read = COMMON | found.reads
    for item in fields(PipelineSettings):
        if item.name not in read and getattr(settings, item.name) != getattr(default, item.name):
            users = ", ".join(name for name, other in RECIPES.items() if item.name in other.reads)
            raise ConfigError(
                f"the recipe {recipe} does not read {item.name!r}", remedy=f"leave it out; read by: {users}"
            )
    for name in found.works_out:
        value = attrgetter(name)
        if value(settings) != value(default):
            raise ConfigError(
                f"the recipe {recipe} does not read {name!r}: it follows from rounds and budget",
                remedy="--rounds, --budget",
            )
