"""What the settings of a TRL trainer are here: `alignlab from-trl FILE`.

TRL's names and defaults are recorded from TRL itself in `trl_fields.json` (docs/record_trl_fields.py), so
that a key that TRL does not have is told apart from one that needs nothing. A setting left at TRL's default
counts as much as one that was given: where our default is another, it is written too, and where ours does
otherwise whatever is set, it is said. `trl_keys.toml` holds what becomes of keys that are no setting here,
and older names.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..run import check_file, whole_file
from ..settings.resolve import from_dict
from ..text.nearest import nearest
from . import trl_shared
from .trl_conversion import Conversion, Row
from .trl_files import read
from .trl_methods import SPECIAL
from .trl_shared import ADAPTER
from .trl_table import KINDS, fates, guess, keys_of, table, typed


def from_trl(*, file: str, args: str, method: str, write: str) -> dict[str, Any]:
    """The command `alignlab from-trl`: each key of a TRL config, what it is here, and a TOML file for
    `--config`.
    """
    given, named = read(file, args)
    method = method or guess(given, named)
    if method not in KINDS:
        raise ConfigError(
            f"there is no method {method!r} to convert to", remedy="--method " + ", ".join(KINDS)
        )
    rows, values, options = convert(method, given)
    config = toml(method, values)
    if write:
        check_file(Path(write), ours=lambda content: content.startswith(b"# alignlab "), option="--write")
        with whole_file(Path(write)) as staging:
            staging.write_text(config, encoding="utf-8")
    command = " ".join(
        [
            "alignlab",
            method,
            *(part for flag, value in options.items() for part in (flag, shlex.quote(str(value)))),
            "--config",
            write or "FILE.toml",
        ]
    )
    return {
        "method": method,
        "settings": values,
        "options": options,
        "command": command,
        "toml": config,
        "rows": [vars(row) for row in rows],
        "text": page(rows, config, command, fates()["notes"].get(method, "")),
    }


def convert(method: str, given: Mapping[str, Any]) -> tuple[list[Row], dict[str, Any], dict[str, Any]]:
    """Each key as a row, and the settings (dotted names) and options of ours that make the same run.

    A key that TRL does not have is "unsupported": other projects put keys of their own beside TRL's.

    Raises:
        ConfigError: a key that looks like a misspelt one of TRL's, a value that is not of its kind.
    """
    book, others = table()[method], fates()["others"]
    known, renamed = keys_of(method)
    given = {
        key[3:] if _switched_off(key, known) else key: False if _switched_off(key, known) else value
        for key, value in given.items()
    }
    older = {renamed[key]: key for key in given if key in renamed and key not in book["fields"]}
    given = {renamed[key] if key in older.values() else key: value for key, value in given.items()}
    strange = [key for key in given if key not in known and key != "env"]
    for key in strange:
        if key not in others and (near := nearest(key, [*known, *renamed], cutoff=0.8)):
            raise ConfigError(f"{book['config']} of TRL {book['trl']} has no {key!r}", where=key, remedy=near)
    trl = {**known, **{key: typed(key, value, known[key]) for key, value in given.items() if key in known}}
    c = Conversion(method, trl, known, given)
    c.rows = {
        key: Row(
            key,
            given[key],
            True,
            "not needed" if others.get(key) == "" else "unsupported",
            "",
            others.get(key)
            or ("how another project runs" if key in others else f"no key of {book['config']}: not read"),
        )
        for key in strange
    }
    trl_shared.plain(c)
    trl_shared.lengths(c)
    trl_shared.sizes(c)
    trl_shared.schedule(c)
    if method in SPECIAL:
        SPECIAL[method](c)
    trl_shared.rest(c)
    from_dict(
        KINDS[method], nested(c.values)
    )  # a value that ours cannot take is an error here, not when the run starts
    for key, name in older.items():
        c.rows[key] = replace(
            c.rows[key], key=name, says="; ".join(filter(None, (f"today {key}", c.rows[key].says)))
        )
    return [*c.rows.values()], c.values, c.options


def _switched_off(key: str, known: Mapping[str, Any]) -> bool:
    """Whether it is the flag that turns off what TRL has on: --no_remove_unused_columns."""
    return key.startswith("no_") and key not in known and isinstance(known.get(key[3:]), bool)


def counterpart(method: str, key: str, value: str = "") -> str:
    """What a key of TRL's (or of transformers' or PEFT's) that was typed as a flag is here; empty where TRL
    has no such key.

    Args:
        method: whose settings are meant; of a command that TRL has none like, those that all trainers share.
    """
    method = method if method in KINDS else "sft"
    known, renamed = keys_of(method)
    if key not in known and key not in renamed:
        return ""
    number = isinstance(known.get(key), (int, float)) and not isinstance(known.get(key), bool)
    given = ({key: value or True} if value or not number else {}) | (
        {"use_peft": True} if key in ADAPTER else {}
    )
    try:
        rows, _, _ = convert(method, given)
    except ConfigError as error:
        return f"TRL's {key}: {error.what}"
    row = next((row for row in rows if row.key in (key, renamed.get(key))), None)
    if row is None:
        return f"TRL's {key} needs nothing here"
    name, equals, found = row.here.partition(" = ")
    flag = (
        f"--{name} {json.loads(found)}"
        if equals and (value or not number)
        else f"--{name}"
        if equals
        else row.here
    )
    return (
        f"TRL's {key} is {flag} here{f' ({row.says})' if row.says else ''}"
        if flag
        else f"TRL's {key}: {row.says}"
    )


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        *groups, last = name.split(".")
        inner = found
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = value
    return found


def toml(method: str, values: Mapping[str, Any]) -> str:
    """The settings as a TOML file that `--config` takes."""
    groups: dict[str, list[str]] = {"": []}
    for name, value in values.items():
        group, _, last = name.rpartition(".")
        groups.setdefault(group, []).append(f"{last} = {json.dumps(value)}")
    lines = [f"# alignlab {method}, from a TRL config", *groups.pop("")]
    for group, held in groups.items():
        lines += ["", f"[{group}]", *held]
    return "\n".join(lines) + "\n"


def page(rows: list[Row], config: str, command: str, note: str) -> str:
    """All of it for people: what needs a hand first."""
    order = ["unsupported", "differs", "set", "same", "not needed"]
    lines = []
    for row in sorted(
        (row for row in rows if row.given or row.fate in ("set", "unsupported", "differs")),
        key=lambda row: order.index(row.fate),
    ):
        value = json.dumps(row.value, default=str) + ("" if row.given else " (TRL's default)")
        lines.append(
            f"{row.fate:<12} {row.key} = {value}"
            + (f"  ->  {row.here}" if row.here else "")
            + (f"   {row.says}" if row.says else "")
        )
    return "\n".join([*lines, *([note] if note else []), "", config, command])
