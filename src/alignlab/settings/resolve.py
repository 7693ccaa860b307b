"""Settings from defaults, presets, TOML files and flags, with the origin of each value; unknown names get the
nearest known one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import Field, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from ..errors import ConfigError
from ..text.documents import Malformed, from_toml, read_text
from ..text.nearest import nearest

T = TypeVar("T")
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
EXPECTED = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@dataclass(frozen=True)
class Setting:
    """One setting: its dotted name, type, default, help text, and the kind of name that it is, if it is one."""

    name: str
    type: Any
    default: Any
    help: str
    names: str = ""

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        return (
            "one of " + ", ".join(map(str, get_args(self.type)))
            if get_origin(self.type) is Literal
            else EXPECTED[self.type]
        )


def resolve(
    kind: type[T],
    *,
    file: Path | None = None,
    section: str | None = None,
    flags: Mapping[str, str] | None = None,
    preset: T | None = None,
    sections: Collection[str] | None = None,
    elsewhere: Mapping[str, str] | None = None,
    following: Callable[[T], Mapping[str, tuple[Any, str]]] | None = None,
) -> tuple[T, dict[str, str]]:
    """The settings of a dataclass and where each came from: flag over file over what follows the model over
    preset over default.

    Args:
        kind: a frozen dataclass of settings, possibly nested.
        file: TOML. Tables follow the nesting (`[optim]`, `lr = 1e-4`); a table called `section` holds this
            command's own settings and wins over the same names at the top.
        flags: names as typed, with dots and with dashes or underscores, to values as typed.
        preset: a whole value that stands in for the defaults.
        sections: tables of other commands that may stand in the same file. Without it any other table is
            taken for one of these as soon as the file has the table `section`.
        elsewhere: names that mean something, but not here, and where they do: for the error.
        following: given the settings as far as they are known, the defaults that follow the model and where
            each comes from (`defaults.following`).

    Returns:
        The settings, and for each dotted name "default", "default for ...", "preset", "file PATH" or "flag".

    Raises:
        ConfigError: an unknown name or a value of the wrong type, with the file or flag it came from.
    """
    known = dotted(kind)
    config: Any = kind() if preset is None else preset
    origins = {
        name: "default" if _get(config, name) == setting.default else "preset"
        for name, setting in known.items()
    }
    for name, value in _read(file, section, known, sections) if file else ():
        config = with_value(config, name, _parse(known, name, value, where=str(file), elsewhere=elsewhere))
        origins[name] = f"file {file}"
    for typed, value in (flags or {}).items():
        name = typed.replace("-", "_")
        config = with_value(config, name, _parse(known, name, value, where=f"--{typed}"))
        origins[name] = "flag"
    for name, (value, origin) in following(config).items() if following else ():
        if origins[name] in ("default", "preset"):
            config, origins[name] = with_value(config, name, value), origin
    return config, origins


def dotted(kind: type) -> dict[str, Setting]:
    """Every setting of a dataclass by its dotted name, nested ones included, in the order of definition."""
    return {setting.name: setting for setting in _walk(kind, kind(), "")}


def to_dict(config: Any) -> dict[str, Any]:
    """Settings as a plain nested dictionary."""
    return {
        item.name: to_dict(value) if is_dataclass(value := getattr(config, item.name)) else value
        for item in fields(config)
    }


def from_dict(kind: type[T], values: Mapping[str, Any]) -> T:
    """Settings from a nested dictionary; what is not named keeps its default. As strict as `resolve`."""
    known = dotted(kind)
    config: Any = kind()
    for name, value in _flatten(values):
        config = with_value(config, name, _parse(known, name, value, where="config"))
    return config


def config_hash(values: Mapping[str, Any]) -> str:
    """Sixteen hex digits of a dictionary's canonical JSON."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _walk(kind: type, example: Any, prefix: str) -> Iterable[Setting]:
    hints = get_type_hints(kind)
    item: Field[Any]
    for item in fields(kind):
        value, hint = getattr(example, item.name), hints[item.name]
        if is_dataclass(value):
            yield from _walk(type(value), value, f"{prefix}{item.name}.")
        else:
            yield Setting(
                prefix + item.name, hint, value, item.metadata.get("help", ""), item.metadata.get("names", "")
            )


def _get(config: Any, name: str) -> Any:
    for part in name.split("."):
        config = getattr(config, part)
    return config


def with_value(config: Any, name: str, value: Any) -> Any:
    head, _, rest = name.partition(".")
    return replace(config, **{head: with_value(getattr(config, head), rest, value) if rest else value})


def _read(
    file: Path, section: str | None, known: Mapping[str, Setting], sections: Collection[str] | None
) -> list[tuple[str, Any]]:
    """Dotted names and values of a TOML file: those at the top, then those of the table `section`, which win."""
    try:
        table = from_toml(read_text(file))
    except OSError as error:
        raise ConfigError(
            f"cannot read the settings file: {error.strerror}",
            where=str(file),
            remedy="check the path given to --config",
        ) from None
    except Malformed as error:
        raise ConfigError(f"not TOML: {error}", where=str(file)) from None
    table = {key.replace("-", "_"): value for key, value in table.items()}
    own = table.pop(section.replace("-", "_"), None) if section else None
    groups = {name.partition(".")[0] for name in known}
    elsewhere = (
        {name.replace("-", "_") for name in sections}
        if sections is not None
        else set(table)
        if own is not None
        else set()
    )
    table = {
        key: value
        for key, value in table.items()
        if key in groups or key not in elsewhere or not isinstance(value, dict)
    }
    if own is not None and not isinstance(own, dict):
        raise ConfigError(
            f"{section} = {own!r} is not a table",
            where=str(file),
            remedy=f"write [{section}] and its settings below",
        )
    return _flatten(table) + _flatten(own or {})


def _flatten(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in table.items():
        name = prefix + key.replace("-", "_")
        rows += _flatten(value, name + ".") if isinstance(value, Mapping) else [(name, value)]
    return rows


def _parse(
    known: Mapping[str, Setting],
    name: str,
    value: Any,
    *,
    where: str,
    elsewhere: Mapping[str, str] | None = None,
) -> Any:
    if name not in known and name in (elsewhere or {}):
        raise ConfigError(
            f"{name} means nothing here: it belongs to {(elsewhere or {})[name]}",
            where=where,
            remedy="take it out",
        )
    if name not in known:
        last = [other for other in known if other.rpartition(".")[2] == name.rpartition(".")[2]]
        raise ConfigError(
            f"there is no setting {name!r}",
            where=where,
            remedy=(f"did you mean {last[0]}?" if last else nearest(name, known))
            or "--print-config lists them all",
        )
    try:
        return _convert(known[name].type, value)
    except (TypeError, ValueError, LookupError, OverflowError):
        raise ConfigError(f"{name} = {value!r} is not {known[name].expected}", where=where) from None


def _convert(hint: Any, value: Any) -> Any:
    """A value from TOML or from text as the type of its setting. Raises TypeError, ValueError, LookupError or
    OverflowError.
    """
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        return choices[[str(choice) for choice in choices].index(str(value))]
    if hint is bool:
        return TRUTH[str(value).lower()]
    if isinstance(value, bool) or (hint is str and not isinstance(value, str)):
        raise TypeError
    if hint is str:
        return value
    if hint is int and isinstance(value, str) and value.strip().lstrip("+-").isdecimal():
        return int(value)
    number = float(value)
    if not math.isfinite(number) or (hint is int and not number.is_integer()):
        raise ValueError
    return number if hint is float else int(number)
