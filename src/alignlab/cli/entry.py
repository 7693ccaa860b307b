"""The command line. A thin layer: names become arguments of a stage, settings come from flags and TOML,
errors become exit codes.

Nothing heavy is imported until a command has been chosen, so `alignlab --help` and `--version` load no torch.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

from .. import __version__
from ..errors import ResourceError, Terminated, UserError
from ..text.escapes import one_line, visible
from ..text.streams import guarded, say, speak_utf_8
from .commands import COMMANDS

SCHEMA = 1


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
        goes_on = "; the same command goes on where it was" if _makes_a_run(arguments) else ""
        say(f"alignlab: stopped{goes_on}")
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
        import json

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
        from ..text.nearest import nearest

        raise UserError(
            f"there is no command {name!r}", remedy=nearest(name, COMMANDS, cutoff=0.5) or "alignlab --help"
        )
    if COMMANDS[name].spoken and arguments[1:] and not arguments[1].startswith("-"):
        arguments[1:2] = ["--kind", arguments[1]]
    if asked := next((i for i, word in enumerate(arguments) if word in ("-h", "--help")), 0):
        from . import help
        from .parser import build, of_kind

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
    if "WORLD_SIZE" in os.environ:
        from . import devices

        devices.join(name)
    from .running import run

    return run(name, arguments[1:])
