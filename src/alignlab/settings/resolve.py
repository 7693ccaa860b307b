"""Settings from defaults, presets, TOML files and flags, with the origin of each value; unknown names get the
nearest known one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from ..errors import ConfigError
from ..text.documents import Malformed, from_toml, read_text
from ..text.nearest import nearest
from .shared import Range

T = TypeVar("T")
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
EXPECTED = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
RENAMED = {
    "kl_target": "adaptive_kl",
    "target_kl": "stop_at_kl",
    "epsilon": "cliprange",
    "epsilon_high": "cliprange_high",
    "n": "per_prompt",
    "samples": "per_prompt",
}
"""Settings by the last name that they had before, and by the one that they have now: for the error alone."""


@dataclass(frozen=True)
class Setting:
    """One setting: its dotted name, type, default, help text, the kind of name that it is, if it is one, and
    the numbers that it may be.
    """

    name: str
    type: Any
    default: Any
    help: str
    names: str = ""
    range: Range = Range()

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        if get_origin(self.type) is Literal:
            return "one of " + ", ".join(map(str, get_args(self.type)))
        return f"{EXPECTED[self.type]} {self.range}".rstrip()

    def parsed(self, value: Any, where: str) -> Any:
        """A value from TOML, from text or from Python as the type of this setting.

        Raises:
            ConfigError: it is of another type, or out of range.
        """
        remedy = f"{self.name} is: {self.help}" if self.range else ""
        try:
            parsed = _convert(self.type, value)
        except (TypeError, ValueError, LookupError, OverflowError):
            what = f"{self.name} = {value!r} is not {self.expected}"
            raise ConfigError(what, where=where, remedy=remedy) from None
        if self.range and parsed not in self.range:
            what = f"{self.name} = {parsed} is not {self.expected}"
            raise ConfigError(what, where=where, remedy=remedy)
        return parsed


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
    origins: dict[str, str] = {}
    for name, setting in known.items():
        origins[name] = "default" if value_of(config, name) == setting.default else "preset"
    if file:
        for name, value in _read(file, section, known, sections):
            setting = _named(known, name, where=str(file), elsewhere=elsewhere or {})
            config = with_value(config, name, setting.parsed(value, str(file)))
            origins[name] = f"file {file}"
    for typed, value in (flags or {}).items():
        name = typed.replace("-", "_")
        setting = _named(known, name, where=f"--{typed}")
        config = with_value(config, name, setting.parsed(value, f"--{typed}"))
        origins[name] = "flag"
    if following:
        for name, (value, origin) in following(config).items():
            if origins[name] in ("default", "preset"):
                config, origins[name] = with_value(config, name, value), origin
    return config, origins


_hints = cache(get_type_hints)


def dotted(kind: type) -> dict[str, Setting]:
    """Every setting of a dataclass by its dotted name, nested ones included, in the order of definition."""
    return {setting.name: setting for setting, _ in walk(kind())}


def walk(config: Any, prefix: str = "") -> Iterator[tuple[Setting, Any]]:
    """Every setting of some settings, nested ones included, in the order of definition, each with its value.

    The default of a nested one is that of the whole.
    """
    hints, usual = _hints(type(config)), type(config)()
    for item in fields(config):
        name, value, default = prefix + item.name, getattr(config, item.name), getattr(usual, item.name)
        if is_dataclass(value):
            for setting, inner in walk(value, f"{name}."):
                own = value_of(default, setting.name.removeprefix(f"{name}."))
                yield replace(setting, default=own), inner
        else:
            yield Setting(name, hints[item.name], default, **item.metadata), value


def to_dict(config: Any) -> dict[str, Any]:
    """Settings as a plain nested dictionary."""
    plain: dict[str, Any] = {}
    for item in fields(config):
        value = getattr(config, item.name)
        plain[item.name] = to_dict(value) if is_dataclass(value) else value
    return plain


def from_dict(kind: type[T], values: Mapping[str, Any]) -> T:
    """Settings from a nested dictionary; what is not named keeps its default. As strict as `resolve`."""
    known = dotted(kind)
    config: Any = kind()
    for name, value in _flatten(values):
        config = with_value(config, name, _named(known, name, where="config").parsed(value, "config"))
    return config


def by_new_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run that may be older than their names."""
    new: dict[str, Any] = {}
    for name, value in values.items():
        new[RENAMED.get(name, name)] = by_new_names(value) if isinstance(value, Mapping) else value
    return new


def config_hash(values: Mapping[str, Any]) -> str:
    """Sixteen hex digits of a dictionary's canonical JSON."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]


def value_of(config: Any, name: str) -> Any:
    """The value of a dotted name."""
    for part in name.split("."):
        config = getattr(config, part)
    return config


def with_value(config: Any, name: str, value: Any) -> Any:
    """The settings with another value of a dotted name."""
    head, _, rest = name.partition(".")
    return replace(config, **{head: with_value(getattr(config, head), rest, value) if rest else value})


def _read(
    file: Path, section: str | None, known: Mapping[str, Setting], sections: Collection[str] | None
) -> list[tuple[str, Any]]:
    """Dotted names and values of a TOML file: those at the top, then those of the table `section`, which
    win.
    """
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
    if sections is not None:
        elsewhere = {name.replace("-", "_") for name in sections}
    else:
        elsewhere = set() if own is None else set(table)
    for key in elsewhere - groups:
        if isinstance(table.get(key), dict):
            del table[key]
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


def _named(
    known: Mapping[str, Setting], name: str, *, where: str, elsewhere: Mapping[str, str] | None = None
) -> Setting:
    """The setting of that name. Raises ConfigError where there is none, with the one that may be meant."""
    if name in known:
        return known[name]
    if elsewhere and name in elsewhere:
        raise ConfigError(
            f"{name} means nothing here: it belongs to {elsewhere[name]}", where=where, remedy="take it out"
        )
    if now := renamed(name, known):
        raise ConfigError(f"{name} is called {now} now", where=where, remedy=f"write {now}")
    last = name.rpartition(".")[2]
    same = [other for other in known if other.rpartition(".")[2] == last]
    meant = f"did you mean {same[0]}?" if same else nearest(name, known)
    raise ConfigError(
        f"there is no setting {name!r}", where=where, remedy=meant or "--print-config lists them all"
    )


def renamed(name: str, known: Collection[str]) -> str:
    """What a setting that had this dotted name before is called now; empty if none had it."""
    table, dot, last = name.rpartition(".")
    now = f"{table}{dot}{RENAMED.get(last, last)}"
    return now if now != name and now in known else ""


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
