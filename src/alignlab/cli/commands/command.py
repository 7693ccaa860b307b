"""What a command is, and an option of it. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from keyword import iskeyword
from typing import Any


@dataclass(frozen=True)
class Option:
    """One option; `names` is the kind of name that it takes (`alignlab.cli.beforehand`), if it takes one."""

    flag: str
    help: str
    default: Any = ""
    many: bool = False
    switch: bool = False
    positional: bool = False
    names: str = ""

    @property
    def argument(self) -> str:
        """What its function calls it: a word that Python has for itself gets a line behind it."""
        name = self.flag.replace("-", "_")
        return f"{name}_" if iskeyword(name) else name


@dataclass(frozen=True)
class Command:
    """One command: what it does, its options beside the shared ones, its settings, and the function in
    `alignlab.stages` or elsewhere.

    A command of several kinds is its first one; the others stand in `kinds`, each with options and settings
    of its own (`--kind NAME`, or where it is `spoken`, NAME as the first word).
    """

    help: str
    target: str
    options: tuple[Option, ...] = ()
    settings_at: str = ""  # the class of its settings, imported when it is asked for
    out: str = ""  # default run folder; empty = the command makes no run
    live: bool = False  # it prints lines while it runs, and is told (as_json) whether they are to be JSON
    kind: str = ""  # of a command of several kinds, the name of this one
    kinds: dict[str, Command] = field(default_factory=dict)
    spoken: bool = False
    # the command whose runs are made for every combination of the settings that are given several values
    swept: str = ""
    fast: str = ""  # the settings that `--fast` stands for
    given: dict[str, Any] = field(default_factory=dict)  # what its function gets beside the options
    in_parts: bool = False  # others may make parts of its long list (`--executor`, `--workers`)
    method: bool = False  # it trains by a method, whose settings `alignlab sweep` can vary

    @property
    def settings(self) -> type | None:
        return imported(self.settings_at) if self.settings_at else None


def imported(name: str) -> Any:
    """What `module:name` stands for, modules of this package."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(f"alignlab.{module}"), attribute)
