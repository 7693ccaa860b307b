"""Every command: what it does, its options and settings, and what is behind it. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import replace

from .command import Command, Option, imported
from .exercises import EXERCISE
from .lecture import LECTURE
from .look import LOOK
from .measure import MEASURE, STUDY
from .principles import PRINCIPLED
from .red_team import RED_TEAM
from .serve import SERVE
from .studio import STUDIO
from .train import TRAIN

__all__ = ["COMMANDS", "Command", "Option", "imported"]

COMMANDS: dict[str, Command] = (
    TRAIN | PRINCIPLED | MEASURE | RED_TEAM | STUDY | SERVE | STUDIO | EXERCISE | LECTURE | LOOK
)
"""In the order in which `alignlab --help` shows them."""
SWEEP = (
    Option("seeds", "comma separated, as 0,1,2: every combination is run for each; empty = --seed", ""),
    Option(
        "eval-data",
        "prompts that every model answers; empty = town:test for models of the town, none for others",
        "",
        names="data",
    ),
    Option("eval-judge", "who scores these answers", "town:gold", names="judge"),
    Option("eval-prompts", "how many of them", 400),
    Option("workers", "runs side by side, one thread each; 0 = one for each core, 2 at most", 0),
    Option("executor", "who works the runs: local, ray, or ray=HOST:PORT", "local"),
)


def _swept(name: str) -> Command:
    command = COMMANDS[name]
    return Command(
        f"runs of alignlab {name}: {command.help}",
        "pipeline.sweep:sweep",
        command.options + SWEEP,
        command.settings_at,
        f"runs/sweep-{name}",
        swept=name,
    )


_METHODS = {name: _swept(name) for name, command in COMMANDS.items() if command.method}
COMMANDS["sweep"] = replace(
    _METHODS.pop("sft"),
    help=(
        "a run for every combination of values (--beta 0.03,0.1,0.3) and every seed, an evaluation of each, "
        "one table and one picture"
    ),
    kind="sft",
    kinds=_METHODS,
    spoken=True,
)
