"""One command from its arguments to its result: options, settings, checks, what is behind it and printed."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..errors import ConfigError, UserError
from ..recipes.settings import PipelineSettings
from ..run import ranks
from ..settings.defaults import following
from ..settings.resolve import resolve, walk
from ..text.escapes import one_line, visible
from . import beforehand, devices
from .commands import COMMANDS, Command, imported
from .parser import build, meant, of_kind

SCHEMA = 1


def run(name: str, arguments: list[str]) -> int:
    """Run the command of that name; returns the exit code."""
    command, arguments, elsewhere = of_kind(name, arguments)
    parser = build(name, command)
    known, unknown = parser.parse_known_args(arguments)
    if unknown:
        options = [s for action in parser._actions for s in action.option_strings]
        asked = unknown[0].split("=")[0]
        if (word := asked.lstrip("-").replace("-", "_")) in elsewhere:
            raise ConfigError(
                f"{asked} means nothing here: it belongs to {elsewhere[word]}", remedy="take it out"
            )
        if word == "devices":
            raise devices.alone(name)
        raise UserError(
            f"{asked} is not an option of alignlab {name}",
            remedy=meant(name, asked, unknown, options) or f"alignlab {name} --help",
        )
    given = vars(known)

    if given.get("devices", 1) != 1 and ranks.size() == 1 and "print_config" not in given:
        return devices.start([name, *arguments], given["devices"])

    values: dict[str, Any] = {
        option.argument: given.get(option.flag, option.default) for option in command.options
    }
    values |= command.given
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
    if "print_config" not in given:
        beforehand.check_options(command, values)
    if command.settings:
        if command.swept:
            from ..pipeline import sweep

        flags = {key.removeprefix("set:"): value for key, value in given.items() if key.startswith("set:")}
        file = Path(given["config"]) if "config" in given else None
        preset = imported(command.fast) if values.get("fast") else None
        # a file may hold tables of other commands too
        tables = {*COMMANDS, *(item.name for item in fields(PipelineSettings))}
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
    target = imported(command.target)
    with devices.in_touch(), _shared_out(command, given, target, values):
        result = target(**values)
    code, lines, styled = 0, (), False
    if isinstance(result, dict):
        code = result.pop(
            "exit_code", 0
        )  # of a check that did not pass, whose document is printed all the same
        lines = result.pop("lines", ())  # of a command that prints rows
        styled = result.pop("styled", False)  # it colored its text, and showed what is foreign in it
    if "json" in given and result is not None:
        document = {"schema": SCHEMA, **result} if isinstance(result, dict) else result
        print(json.dumps(document, indent=2, default=str))
    elif lines:
        for line in lines:
            print(visible(line))
    elif isinstance(result, dict) and "text" in result:
        print(result["text"] if styled else visible(result["text"]))
    return code


def _shared_out(
    command: Command, given: dict[str, Any], target: Any, values: dict[str, Any]
) -> AbstractContextManager[None]:
    """Who makes parts of the command's work, where `--executor` or `--workers` says that others do."""
    if not command.in_parts or not given.keys() & {"executor", "workers"}:
        return nullcontext()
    if (workers := given.get("workers", 0)) < 0:
        raise UserError(f"--workers {workers}", remedy="0 or more")
    from ..pipeline.parts import shared_out

    return shared_out(given.get("executor", "local"), workers, target, values)


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
