"""The command line. A thin layer: names become arguments of a stage, settings come from flags and TOML,
errors become exit codes.

Nothing heavy is imported until a command has been chosen, so `alignlab --help` and `--version` load no torch.
"""

from __future__ import annotations

import argparse
import errno
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from .. import __version__
from ..errors import ConfigError, ResourceError, Terminated, UserError
from ..recipes.settings import PipelineSettings
from ..settings.resolve import dotted, renamed, resolve, walk
from ..text.escapes import one_line, visible
from ..text.nearest import nearest
from ..text.streams import guarded, say, speak_utf_8
from .commands import COMMANDS, Command

SCHEMA = 1
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
            f"alignlab {name} knows no kind {asked or 'without a name'}",
            remedy=nearest(str(asked), kinds) or "one of: " + ", ".join(kinds),
        )
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
            word: f"alignlab {name} --kind {' and '.join(theirs)}, not to --kind {asked}"
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
            parser.add_argument(f"--{option.flag}", action="store_true", help=text)
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
            help="make a finished run anew, as after a change of the code; it stays until the new one is whole. "
            "Of a pipeline, the stages that other code or other parents made",
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


def overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.help}" for name, command in COMMANDS.items()]
    return "\n".join(
        (
            "usage: alignlab COMMAND [options]",
            "",
            "From a base language model to an aligned assistant, measured at every step.",
            "",
            "commands:",
            *lines,
            "",
            "alignlab COMMAND --help shows a command's options and every setting.",
            "alignlab run is the place to begin.",
        )
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the return value is the exit code (see `alignlab.errors`)."""
    if argv is None:
        speak_utf_8()
    arguments = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _told(arguments))


def _told(arguments: list[str]) -> int:
    try:
        return _main(arguments)
    except UserError as error:
        return _failed(error, "--json" in arguments)
    except KeyboardInterrupt as stop:
        say(
            "alignlab: stopped; the same command goes on where it was"
            if _makes_a_run(arguments)
            else "alignlab: stopped"
        )
        return 143 if isinstance(stop, Terminated) else 130
    except MemoryError:
        return _failed(
            ResourceError("out of memory", remedy="a smaller batch, micro_batch or slots"),
            "--json" in arguments,
        )
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return _failed(
            UserError(
                "a name is longer than the system allows",
                where=str(error.filename or ""),
                remedy="check the path",
            ),
            "--json" in arguments,
        )


def _makes_a_run(arguments: Sequence[str]) -> bool:
    """Whether the command, of the kind that is named among its arguments if it has several, keeps what it has
    done in a run folder.
    """
    command = COMMANDS.get(arguments[0]) if arguments else None
    if command is None:
        return False
    named = [kind for name, kind in command.kinds.items() if name in arguments]
    return bool((named[0] if named else command).out)


def _failed(error: UserError, as_json: bool) -> int:
    if as_json:
        print(
            json.dumps(
                {
                    "schema": SCHEMA,
                    "error": type(error).__name__,
                    "what": error.what,
                    "where": error.where,
                    "remedy": error.remedy,
                }
            )
        )
    say(said(error))
    return error.exit_code


def said(error: UserError) -> str:
    """An error as a terminal may show it: names and texts of others cannot move the cursor, nor look like a
    line of ours, nor fill the screen.
    """
    parts = (("alignlab: ", error.what), ("  where:  ", one_line(error.where)), ("  remedy: ", error.remedy))
    return "\n".join(head + visible(shortened(text)).replace("\n", "\n    ") for head, text in parts if text)


def shortened(text: str, most: int = 2000) -> str:
    """A long text without its middle: its end says the row."""
    return (
        text
        if len(text) <= most
        else f"{text[: most // 2]} [... {len(text) - most:,} letters ...] {text[-most // 2 :]}"
    )


def _main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"alignlab {__version__}")
        return 0
    name = arguments[0]
    if name not in COMMANDS:
        raise UserError(
            f"there is no command {name!r}", remedy=nearest(name, COMMANDS, cutoff=0.5) or "alignlab --help"
        )
    if COMMANDS[name].spoken and arguments[1:] and not arguments[1].startswith("-"):
        arguments[1:2] = ["--kind", arguments[1]]
    if asked := next((i for i, word in enumerate(arguments) if word in ("-h", "--help")), 0):
        from . import help

        whole = arguments[asked + 1 : asked + 2] == ["all"]
        command, others, _ = of_kind(name, arguments[1:asked] + arguments[asked + 1 + whole :])
        print(
            help.text(
                " ".join([name, *others[1:2]]) if others[:1] == ["--kind"] else name,
                command,
                build(name, command),
                others,
                whole=whole,
            )
        )
        return 0
    command, arguments, elsewhere = of_kind(name, arguments[1:])
    parser = build(name, command)
    known, unknown = parser.parse_known_args(arguments)
    if unknown:
        options = [s for action in parser._actions for s in action.option_strings]
        asked = unknown[0].split("=")[0]
        if (word := asked.lstrip("-").replace("-", "_")) in elsewhere:
            raise ConfigError(
                f"{asked} means nothing here: it belongs to {elsewhere[word]}", remedy="take it out"
            )
        raise UserError(
            f"{asked} is not an option of alignlab {name}",
            remedy=meant(name, asked, unknown, options) or f"alignlab {name} --help",
        )
    given = vars(known)

    values: dict[str, Any] = {
        option.flag.replace("-", "_"): given.get(option.flag, option.default) for option in command.options
    }
    if "columns" in given:
        if not values["data"]:
            raise UserError(
                "--columns says what the columns of --data are, and no data is named", remedy="--data FILE"
            )
        values["data"] = f"columns:{given['columns']}:{values['data']}"
    if command.out:
        if not (out := given.get("out", command.out.format(**values))):
            raise UserError("--out is empty", remedy="--out runs/NAME")
        values |= {
            "out": Path(out),
            "seed": given.get("seed", 0),
            "resume": "again" if "again" in given else given.get("resume", True),
        }
    from . import beforehand

    if "print_config" not in given:
        beforehand.check_options(command, values)
    if command.settings:
        from ..settings.defaults import following

        if command.swept:
            from ..pipeline import sweep

        flags = {key.removeprefix("set:"): value for key, value in given.items() if key.startswith("set:")}
        file = Path(given["config"]) if "config" in given else None
        preset = command.fast if values.get("fast") else None
        tables = {
            *COMMANDS,
            *(item.name for item in fields(PipelineSettings)),
        }  # a file may hold those of other commands too
        grid, varied = sweep.points(command.settings, flags) if command.swept else ([flags], [])
        trained = next(
            (str(values[option]) for option in ("start", "target", "model") if values.get(option)), ""
        )
        resolved = [
            resolve(
                command.settings,
                file=file,
                section=(command.swept or name).replace("-", "_"),
                flags=point,
                preset=preset,
                sections=tables,
                elsewhere=elsewhere,
                following=following(trained),
            )
            for point in grid
        ]
        config, origins = resolved[0]
        if "print_config" in given:
            _print_config(config, origins, as_json="json" in given)
            return 0
        for config, _ in resolved:
            beforehand.check_settings(config)
        if command.swept:
            values |= {
                "method": command.swept,
                "grid": [
                    ({flag: point[flag] for flag in varied}, config)
                    for point, (config, _) in zip(grid, resolved, strict=True)
                ],
            }
        else:
            values["settings"] = config
    if command.live:
        values["as_json"] = "json" in given
    target = _load(command.target)
    result = target(**values)
    code = (
        result.pop("exit_code", 0) if isinstance(result, dict) else 0
    )  # of a check that did not pass, whose document is printed all the same
    lines = result.pop("lines", ()) if isinstance(result, dict) else ()  # of a command that prints rows
    styled = (
        result.pop("styled", False) if isinstance(result, dict) else False
    )  # of a command that colored its text, and showed what is foreign in it
    if "json" in given and result is not None:
        print(
            json.dumps(
                {"schema": SCHEMA, **result} if isinstance(result, dict) else result, indent=2, default=str
            )
        )
    elif lines:
        for line in lines:
            print(visible(line))
    elif isinstance(result, dict) and "text" in result:
        print(result["text"] if styled else visible(result["text"]))
    return code


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


def _print_config(config: Any, origins: dict[str, str], *, as_json: bool) -> None:
    rows = list(walk(config))
    if as_json:
        document: dict[str, Any] = {}
        for setting, value in rows:
            document[setting.name] = {"value": value, "from": origins[setting.name]}
            if setting.range:
                document[setting.name]["range"] = str(setting.range)
        print(json.dumps({"schema": SCHEMA, "settings": document}, indent=2))
        return
    width = max(len(setting.name) for setting, _ in rows)
    for setting, value in rows:
        print(f"{setting.name:<{width}}  {json.dumps(value):<12}  {one_line(origins[setting.name])}")


def _load(target: str) -> Callable[..., Any]:
    from importlib import import_module

    module, function = target.split(":")
    return getattr(import_module(f"alignlab.{module}"), function)
