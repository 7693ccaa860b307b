"""The parser of one command: its options, its settings as flags, and what a mistyped one may have meant."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from ..errors import UserError
from ..settings.resolve import dotted, renamed
from ..text.nearest import nearest
from .commands import COMMANDS, Command
from .devices import TOGETHER

ALSO = {"model": ["--from"], "chat-template": ["--model.chat_template", "--model.chat-template"]}
"""Other spellings of an option: a template is named as in the stages, whose settings have it."""

ROWS = (
    "prompts",
    "rows",
    "records",
    "examples",
    "samples",
    "limit",
    "max_samples",
    "max_train_samples",
    "num_samples",
)
"""What `--count` is called elsewhere, or in our commands that have a setting for it."""


class Parser(argparse.ArgumentParser):
    """argparse with nearest-name help for a mistyped flag or command, and usage errors as our own."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message, remedy=f"{self.prog} --help")


def of_kind(name: str, arguments: list[str]) -> tuple[Command, list[str], dict[str, str]]:
    """The command, of the kind that `--kind` or the first word names where it has several, and the arguments
    without that word; and, for errors, the settings and flags of its other kinds and whose they are.
    """
    command = COMMANDS[name]
    kinds = {command.kind: command, **command.kinds}
    if command.kind and arguments and arguments[0] in kinds:
        arguments = ["--kind", arguments[0], *arguments[1:]] if command.kinds else arguments[1:]
    if not command.kinds:
        return command, arguments, {}
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    finder.add_argument("--kind", nargs="?", default=command.kind)
    asked = finder.parse_known_args(list(arguments))[0].kind
    if asked not in kinds:
        raise UserError(
            f"alignlab {name} knows no {asked or 'kind without a name'}",
            remedy=nearest(str(asked), kinds) or "one of: " + ", ".join(filter(None, kinds)),
        )
    spelled = "" if command.spoken else "--kind "
    others: dict[str, list[str]] = {}
    for kind, other in kinds.items():
        words = [option.flag for option in other.options]
        if other.settings:
            words += dotted(other.settings)
        for word in words:
            others.setdefault(word, []).append(kind)
    return (
        kinds[asked],
        arguments,
        {
            word: f"alignlab {name} {spelled}{' and '.join(theirs)}, not to {spelled}{asked}"
            for word, theirs in others.items()
            if asked not in theirs
        },
    )


def build(name: str, command: Command) -> Parser:
    """The parser of one command."""
    parser = Parser(
        prog=f"alignlab {name}",
        description=command.help,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    if COMMANDS[name].kinds:
        parser.add_argument("--kind")
    for option in command.options:
        text = option.help + (f" (default {option.default})" if option.default not in ("", False) else "")
        if option.positional:
            parser.add_argument(option.flag, nargs="*" if option.many else "?", help=text)
        elif option.switch:
            parser.add_argument(f"--{option.flag}", dest=option.flag, action="store_true", help=text)
        else:
            parser.add_argument(
                f"--{option.flag}",
                *ALSO.get(option.flag, ()),
                dest=option.flag,
                help=text,
                type=type(option.default) if option.default != "" else str,
            )
    if any(option.flag == "data" for option in command.options):
        parser.add_argument(
            "--columns",
            metavar="OURS=THEIRS,...",
            help=(
                "what the columns of --data are, as prompt=q,completion=a; label= if its label is something "
                "else"
            ),
        )
    if command.out:
        parser.add_argument("--out", help=f"the run folder (default {command.out.format(name='NAME')})")
        parser.add_argument("--seed", type=int, help="everything random follows from it (default 0)")
        parser.add_argument(
            "--resume",
            action=argparse.BooleanOptionalAction,
            help="go on with an unfinished run of the same command (the default); --no-resume begins it anew",
        )
        parser.add_argument(
            "--again",
            action="store_true",
            help="make a finished run anew, as after a change of the code; it stays until the new one is "
            "whole. Of a pipeline, the stages that other code or other parents made",
        )
    if name in TOGETHER:
        parser.add_argument(
            "--devices",
            type=int,
            metavar="N",
            help="share each step among N processes: a GPU each, or a core (default 1)",
        )
    if command.in_parts:
        parser.add_argument(
            "--executor",
            metavar="WHO",
            help="who makes parts of the work side by side: local (processes of this machine), ray (a "
            "cluster that RAY_ADDRESS names or that is begun here), or ray=HOST:PORT (default nobody)",
        )
        parser.add_argument(
            "--workers",
            type=int,
            metavar="N",
            help="how many, one thread each; 0 = one for each core, 2 at most on this machine (default 0)",
        )
    if command.settings:
        parser.add_argument(
            "--config", metavar="FILE.toml", help="settings from a TOML file; flags win over it"
        )
        parser.add_argument(
            "--print-config",
            action="store_true",
            help="print every setting, its value and where it came from, and stop",
        )
        group = parser.add_argument_group("settings")
        for setting in dotted(command.settings):
            spellings = dict.fromkeys((f"--{setting}", f"--{setting.replace('_', '-')}"))
            group.add_argument(*spellings, dest=f"set:{setting}", metavar="X")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def meant(name: str, asked: str, unknown: Sequence[str], options: Sequence[str]) -> str:
    """What may have been meant by an option that is none: a setting of that last name, the same thing by
    TRL's name, or the nearest.
    """
    from ..interop.from_trl import counterpart

    last = asked.lstrip("-").replace("-", "_")
    if now := renamed(last, [option.lstrip("-") for option in options]):
        return f"it is called --{now} now"
    if within := [o for o in options if o.endswith(f".{last}")]:
        return f"did you mean {within[0]}?"
    value = unknown[0].partition("=")[2] or next(
        (word for word in unknown[1:2] if not word.startswith("--")), ""
    )
    if (trl := counterpart(name, last, value)) and (flag := trl.partition("--")[2].split(" ")[0]):
        here = next((o for o in options if o == f"--{flag}" or o.endswith(f".{flag}")), "")
        trl = trl.replace(f"--{flag}", here) if here else ""
    return trl or (
        "did you mean --count?" if last in ROWS and "--count" in options else nearest(asked, options)
    )
