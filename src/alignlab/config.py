"""Settings from defaults, presets, TOML files and flags, with the origin of each value; unknown names get the nearest known one."""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from .errors import ConfigError

T = TypeVar("T")


def resolve(kind: type[T], *, file: Path | None = None, section: str | None = None, flags: Mapping[str, Any] | None = None,
            preset: T | None = None) -> tuple[T, dict[str, str]]:
    """The settings of a dataclass and where each came from: flag over file over preset over default.

    Args:
        kind: a frozen dataclass of settings, possibly nested.
        file: TOML; keys are the dotted names of the settings, at the top or in a table called `section`.
        flags: dotted names to values as typed.
        preset: a whole value that stands in for the defaults.

    Returns:
        The settings and, for each dotted name that is not a default, "preset", "file PATH" or "flag".

    Raises:
        ConfigError: an unknown name or a value of the wrong type, with the file or flag it came from.
    """
    config: Any = kind() if preset is None else preset
    known = dotted(kind)
    origins: dict[str, str] = {}
    if preset is not None:
        default = kind()
        origins = {name: "preset" for name in known if _get(preset, name) != _get(default, name)}
    for name, value in _read(file, section, known) if file else ():
        config = _set(config, name, _parse(known, name, value, where=str(file)))
        origins[name] = f"file {file}"
    for raw, value in (flags or {}).items():
        name = raw.replace("-", "_")
        config = _set(config, name, _parse(known, name, value, where=f"--{raw}"))
        origins[name] = "flag"
    return config, origins


def dotted(kind: type, prefix: str = "") -> dict[str, Any]:
    """Every setting's dotted name with its type."""
    found: dict[str, Any] = {}
    hints = get_type_hints(kind)
    for item in fields(kind):
        hint = hints[item.name]
        if is_dataclass(hint):
            found |= dotted(hint, f"{prefix}{item.name}.")  # type: ignore[arg-type]
        else:
            found[prefix + item.name] = hint
    return found


def to_dict(config: Any) -> dict[str, Any]:
    """Settings as a plain nested dictionary."""
    return {item.name: to_dict(value) if is_dataclass(value := getattr(config, item.name)) else value for item in fields(config)}


def from_dict(kind: type[T], values: Mapping[str, Any]) -> T:
    """Settings from a nested dictionary, as strict as `resolve`."""
    known = dotted(kind)
    config: Any = kind()
    for name, value in _flatten(values):
        config = _set(config, name, _parse(known, name, value, where="config"))
    return config


def config_hash(values: Mapping[str, Any]) -> str:
    """Sixteen hex digits of a dictionary's canonical JSON."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _get(config: Any, name: str) -> Any:
    for part in name.split("."):
        config = getattr(config, part)
    return config


def _set(config: Any, name: str, value: Any) -> Any:
    head, _, rest = name.partition(".")
    return replace(config, **{head: _set(getattr(config, head), rest, value) if rest else value})


def _read(file: Path, section: str | None, known: Mapping[str, Any]) -> list[tuple[str, Any]]:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no settings file {file}", remedy="check the path given to --config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"not TOML: {error}", where=str(file)) from None
    if section and isinstance(table.get(section), dict) and not any(name.startswith(f"{section}.") for name in known):
        table = {key: value for key, value in table.items() if not isinstance(value, dict) or key in {n.split(".")[0] for n in known}} | table[section]
        table.pop(section, None)
    return _flatten(table)


def _flatten(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in table.items():
        name = prefix + key.replace("-", "_")
        rows += _flatten(value, name + ".") if isinstance(value, Mapping) else [(name, value)]
    return rows


def _parse(known: Mapping[str, Any], name: str, value: Any, *, where: str) -> Any:
    if name not in known:
        near = difflib.get_close_matches(name, known, 1) or [n for n in known if n.split(".")[-1] == name.split(".")[-1]]
        raise ConfigError(f"there is no setting {name!r}", where=where, remedy=f"did you mean {near[0]}?" if near else "--print-config lists them all")
    hint = known[name]
    try:
        return _convert(hint, value)
    except (TypeError, ValueError):
        wanted = "one of " + ", ".join(map(str, get_args(hint))) if get_origin(hint) is Literal else {
            "int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}[hint.__name__]
        raise ConfigError(f"{name} = {value!r} is not {wanted}", where=where) from None


def _convert(hint: Any, value: Any) -> Any:
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ValueError
        return value
    if hint is bool:
        if isinstance(value, bool):
            return value
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[str(value).lower()] if str(value).lower() in (
            "true", "yes", "1", "false", "no", "0") else _fail()
    if hint is str:
        return value if isinstance(value, str) else _fail()
    if isinstance(value, bool):
        raise TypeError
    if hint is int:
        number = float(value) if isinstance(value, str) and not value.lstrip("+-").replace("_", "").isdigit() else int(value) if isinstance(value, str) else value
        return int(number) if number == int(number) else _fail()
    number = float(value)
    return number if number == number and abs(number) != float("inf") else _fail()


def _fail() -> Any:
    raise ValueError
