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
        ConfigError: a key that looks like a misspelled one of TRL's, a value that is not of its kind.
    """
    book, others = table()[method], fates()["others"]
    known, renamed = keys_of(method)
    given = dict(_switched(key, value, known) for key, value in given.items())
    older = {renamed[key]: key for key in given if key in renamed and key not in book["fields"]}
    given = {renamed[key] if key in older.values() else key: value for key, value in given.items()}
    strange = [key for key in given if key not in known and key != "env"]
    for key in strange:
        if key not in others and (near := nearest(key, [*known, *renamed], cutoff=0.8)):
            raise ConfigError(f"{book['config']} of TRL {book['trl']} has no {key!r}", where=key, remedy=near)
    trl = {**known, **{key: typed(key, value, known[key]) for key, value in given.items() if key in known}}
    c = Conversion(method, trl, known, given)
    for key in strange:
        fate, says = "unsupported", others.get(key, f"no key of {book['config']}: not read")
        if says == "":
            fate, says = "not needed", "how another project runs"
        c.rows[key] = Row(key, given[key], True, fate, "", says)
    trl_shared.plain(c)
    trl_shared.lengths(c)
    trl_shared.sizes(c)
    trl_shared.schedule(c)
    if method in SPECIAL:
        SPECIAL[method](c)
    trl_shared.rest(c)
    # a value that ours cannot take is an error here, not when the run starts
    from_dict(KINDS[method], nested(c.values))
    for key, name in older.items():
        c.rows[key] = replace(
            c.rows[key], key=name, says="; ".join(filter(None, (f"today {key}", c.rows[key].says)))
        )
    return [*c.rows.values()], c.values, c.options


def _switched(key: str, value: Any, known: Mapping[str, Any]) -> tuple[str, Any]:
    """The key that a flag turns off (--no_remove_unused_columns), or the flag as it is."""
    if key.startswith("no_") and key not in known and isinstance(known.get(key[3:]), bool):
        return key[3:], False
    return key, value


def counterpart(method: str, key: str, value: str = "") -> str:
    """What a key of TRL's (or of transformers' or PEFT's) that was typed as a flag is here; empty where TRL
    has no such key.

    Args:
        method: whose settings are meant; of a command that TRL has none like, those that all trainers share.
    """
    if method not in KINDS:
        method = "sft"
    known, renamed = keys_of(method)
    if key not in known and key not in renamed:
        return ""
    number = isinstance(known.get(key), (int, float)) and not isinstance(known.get(key), bool)
    given: dict[str, Any] = {}
    if value or not number:
        given[key] = value or True
    if key in ADAPTER:
        given["use_peft"] = True
    try:
        rows, _, _ = convert(method, given)
    except ConfigError as error:
        return f"TRL's {key}: {error.what}"
    row = next((row for row in rows if row.key in (key, renamed.get(key))), None)
    if row is None:
        return f"TRL's {key} needs nothing here"
    if not row.here:
        return f"TRL's {key}: {row.says}"
    flag = row.here
    name, equals, here = row.here.partition(" = ")
    if equals:
        flag = f"--{name} {json.loads(here)}" if value or not number else f"--{name}"
    says = f" ({row.says})" if row.says else ""
    return f"TRL's {key} is {flag} here{says}"


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for name, value in values.items():
        *groups, last = name.split(".")
        inner = tables
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = value
    return tables


def toml(method: str, values: Mapping[str, Any]) -> str:
    """The settings as a TOML file that `--config` takes."""
    groups: dict[str, list[str]] = {"": []}
    for name, value in values.items():
        group, _, last = name.rpartition(".")
        groups.setdefault(group, []).append(f"{last} = {json.dumps(value)}")
    lines = [f"# alignlab {method}, from a TRL config", *groups.pop("")]
    for group, settings in groups.items():
        lines += ["", f"[{group}]", *settings]
    return "\n".join(lines) + "\n"


def page(rows: list[Row], config: str, command: str, note: str) -> str:
    """All of it for people: what needs a hand first."""
    order = ["unsupported", "differs", "set", "same", "not needed"]
    shown = [row for row in rows if row.given or row.fate in ("set", "unsupported", "differs")]
    lines = []
    for row in sorted(shown, key=lambda row: order.index(row.fate)):
        line = f"{row.fate:<12} {row.key} = {json.dumps(row.value, default=str)}"
        if not row.given:
            line += " (TRL's default)"
        if row.here:
            line += f"  ->  {row.here}"
        if row.says:
            line += f"   {row.says}"
        lines.append(line)
    if note:
        lines.append(note)
    return "\n".join([*lines, "", config, command])
