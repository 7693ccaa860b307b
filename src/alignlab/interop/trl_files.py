"""TRL configs as people keep them: YAML or JSON, a command line, a shell script that holds one."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..text.documents import Malformed, from_yaml, read_text

TRAINERS = re.compile(r"(?<![a-z])(sft|reward|dpo|kto|orpo|cpo|simpo|ppo|rloo|grpo)(?![a-z])")
SCRIPT = re.compile(r"\S+\.py(?!\S)|(?<!\S)trl\s+\w+")


def read(file: str, args: str) -> tuple[dict[str, Any], str]:
    """The keys and values of a YAML or JSON file, of a file that holds a command line, or of a command line
    itself; and the method that its script or path names.
    """
    if bool(file) == bool(args):
        raise ConfigError(
            "name one TRL config",
            remedy='alignlab from-trl FILE.yaml, or --args "--learning_rate 3e-6 --kl_coef 0.1"',
        )
    if args:
        return of_command(args, "--args")
    path = Path(file)
    try:
        text = read_text(path)
    except OSError as error:
        raise ConfigError(
            f"cannot read the file: {error.strerror}", where=file, remedy="check the path"
        ) from None
    except Malformed as error:
        raise ConfigError(
            f"not a text file: {error}", where=file, remedy="name the YAML or JSON file of a TRL run"
        ) from None
    if path.suffix == ".sh" or (
        " --" in f" {text.lstrip()}"[:4096] and ":" not in text.lstrip().split("\n")[0]
    ):
        return of_command(re.sub(r"\\[ \t]*\n", " ", text), file)
    try:
        found = from_yaml(text)  # JSON is YAML
    except Malformed as error:
        raise ConfigError(
            f"not YAML or JSON: {error}", where=file, remedy="name the config of a TRL run"
        ) from None
    if not isinstance(found, dict) or not found or not all(isinstance(key, str) for key in found):
        raise ConfigError(
            "no table of settings",
            where=file,
            remedy="a TRL config is one table: learning_rate: 3.0e-6 and so on",
        )
    return found, _named("/".join(path.absolute().parts[-2:]))


def of_command(text: str, where: str) -> tuple[dict[str, Any], str]:
    """`--key value`, `--key=value` and bare `--flag` of a command line, and the method that its script names.

    What stands before the script (`accelerate launch` with flags of its own), or else before the first flag,
    is left out.
    """
    method, flags = "", text
    if script := SCRIPT.search(text):
        method, flags = _named(script[0]), text[script.end() :]
    try:
        parts = shlex.split(flags, comments=True)
    except ValueError as error:
        raise ConfigError(f"not a command line: {error}", where=where, remedy="close the quotation") from None
    values: dict[str, Any] = {}
    key = ""  # of which more values may come
    for part in parts:
        if part.startswith("--") and len(part) > 2:
            name, equals, value = part[2:].partition("=")
            name = name.replace("-", "_")
            if equals:
                values[name], key = value, ""
            else:
                values[name], key = True, name
        elif key:
            before = values[key]
            if before is True:
                values[key] = part
            elif isinstance(before, list):
                values[key] = [*before, part]
            else:
                values[key] = [before, part]
    if not values:
        raise ConfigError(
            "no --key value in it", where=where, remedy='for instance "--learning_rate 3e-6 --kl_coef 0.1"'
        )
    return values, method


def _named(text: str) -> str:
    """The trainer whose name stands last in a script's or file's path; none for those that are other trainers
    (online_dpo).
    """
    names: list[str] = TRAINERS.findall(text.lower())
    if "online" in text.lower() or not names:
        return ""
    return "simpo" if names[-1] == "cpo" else names[-1]
