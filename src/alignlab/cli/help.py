"""What `alignlab COMMAND --help` prints: the options with every name that they know, then the settings by
group, the common ones first.

`--help all` prints every setting.
"""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import get_type_hints

from ..recipes.settings import PipelineSettings
from ..settings import RedteamSettings
from ..settings.resolve import Setting, dotted
from ..studies.settings import StudySettings
from ..text.lines import first_paragraph
from . import beforehand
from .commands import COMMANDS, Command

COMMON = frozenset(
    (
        "epochs steps batch rollouts prompts per_prompt rounds beta kl_coef loss_type gamma advantage "
        "max_length micro_batch held_out lr rank max_new_tokens temperature precision device "
        "demonstrations annotator workers attacks goals tries queries tokens context size members "
        "margins from_others top_share labels ask tags sampled best_of budget host port api_key_env "
        "concurrency"
    ).split()
)
"""Settings by their last name that people turn first: what `--help` shows of a command with many."""
FEW = 14  # settings of its own up to which a command shows them all
SHORT = 26  # columns of a flag from which its text begins on the next line


def text(
    name: str,
    command: Command,
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] = (),
    *,
    whole: bool = False,
) -> str:
    """The help of one command.

    Args:
        arguments: what was typed beside: a recipe leaves out what it does not read.
        whole: every setting.
    """
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    named = {option.flag: option for option in command.options}
    positional = " ".join(
        f"[{option.flag}]" + (" ..." if option.many else "")
        for option in command.options
        if option.positional
    )
    lines = [
        f"usage: alignlab {name}{' ' + positional if positional else ''} [options]",
        "",
        *textwrap.wrap(command.help, width),
        *kinds(name, width),
        "",
        "options:",
    ]
    listed: dict[str, str] = {}  # lists of names, and where each was shown
    for action in parser._actions:
        if (
            action.dest.startswith("set:")
            or action.dest == "help"
            or action.dest not in named
            and action.dest == "kind"
        ):
            continue
        said = (action.help or "").replace("%%", "%")
        option = named.get(action.dest)
        if option and option.names and (known := beforehand.listed(option.names)):
            names = ", ".join(known)
            said += f"; names as for {listed[names]}" if names in listed else f"; known: {names}"
            listed.setdefault(names, f"--{option.flag}")
        lines += row(", ".join(action.option_strings) or action.dest, said, width)
    if command.settings:
        shown, left_out = settings(command, reads(command, arguments), width, whole=whole)
        lines += shown
        if left_out:
            typed = " ".join(("alignlab", name.partition(" ")[0], *arguments))
            lines.append(
                f"{typed} --help all lists them; --print-config shows each value and where it comes from"
            )
    return "\n".join(lines)


def kinds(name: str, width: int) -> Iterator[str]:
    """What a command of several kinds does otherwise; nothing once a kind was typed."""
    command = COMMANDS.get(name)
    if not command or not command.kinds:
        return
    spelled = "KIND" if command.spoken or name == "redteam" else "--kind KIND"
    yield from ("", f"kinds (alignlab {name} {spelled} --help shows the options of each):")
    if command.kind:
        yield from row(command.kind, "the one below, where none is named", width)
    for kind, other in command.kinds.items():
        yield from row(kind, other.help, width)


def reads(command: Command, arguments: Sequence[str]) -> frozenset[str] | None:
    """The settings that the recipe among the arguments reads; None where none is named: all."""
    if command.settings is PipelineSettings and "--recipe" in arguments[:-1]:
        from ..recipes.catalogue import COMMON as ALL
        from ..recipes.catalogue import RECIPES

        recipe = RECIPES.get(arguments[list(arguments).index("--recipe") + 1])
        return recipe.reads | ALL if recipe else None
    return None


def settings(
    command: Command, read: frozenset[str] | None, width: int, *, whole: bool
) -> tuple[list[str], int]:
    """The settings by group, and how many are left out: of a command that plans others all in tables, of any
    other what is rarely turned.
    """
    kind = command.settings
    assert kind is not None
    every = [
        setting for setting in dotted(kind).values() if read is None or setting.name.partition(".")[0] in read
    ]
    own = [setting for setting in every if "." not in setting.name]
    plans = issubclass(kind, (PipelineSettings, StudySettings, RedteamSettings))
    if whole:
        shown = every
    else:
        common = own if len(own) <= FEW else [setting for setting in own if setting.name in COMMON]
        shown = (
            common
            if plans
            else common
            + [
                setting
                for setting in every
                if "." in setting.name and setting.name.rpartition(".")[2] in COMMON
            ]
        )
    lines: list[str] = []
    group = None
    for setting in shown:
        table = setting.name.rpartition(".")[0]
        if table != group:
            group = table
            lines += [
                "",
                *textwrap.wrap(f"settings of {about(kind, table)}:" if table else "settings:", width),
            ]
        lines += row(f"--{setting.name}", described(setting), width)
    rest = len(every) - len(shown)
    if rest and plans:
        tables = list(
            dict.fromkeys(setting.name.partition(".")[0] for setting in every if "." in setting.name)
        )
        lines += [
            "",
            *textwrap.wrap(
                (
                    f"and {rest} more in tables, as --{tables[0]}.NAME or [{tables[0]}] in --config: "
                    f"{', '.join(tables)}"
                ),
                width,
            ),
        ]
    elif rest:
        lines += ["", f"and {rest} more"]
    return lines, rest


def about(kind: type, table: str) -> str:
    """A table's name and what the settings in it are about."""
    for part in table.split("."):
        kind = get_type_hints(kind)[part]
    doc = first_paragraph(kind)
    return table if doc.startswith(kind.__name__) or not doc else f"{table} ({doc.rstrip('.')})"


def described(setting: Setting) -> str:
    """What a setting means, what it may be and its default."""
    names = beforehand.listed(setting.names) if setting.names else []
    choices = ""
    if setting.expected.startswith("one of"):
        choices = f"; {setting.expected}"
    elif names:
        choices = "; known: " + ", ".join(names)
    elif setting.range:
        choices = f"; {setting.range}"
    default = setting.default if setting.default != "" else "empty"
    if isinstance(default, bool):
        default = str(default).lower()
    return f"{setting.help}{choices} (default {default})"


def row(flag: str, said: str, width: int) -> Iterator[str]:
    """A flag and its text beside it, or below it where the flag is long."""
    indent = " " * (SHORT + 4)
    body = textwrap.wrap(said, max(30, width - len(indent)), break_on_hyphens=False) or [""]
    if len(flag) > SHORT:
        yield f"  {flag}"
    else:
        yield f"  {flag:<{SHORT}}  {body.pop(0)}"
    yield from (indent + line for line in body)
