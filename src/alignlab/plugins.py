"""What a user brings along: a judge, an attack, a reader of data, an evaluation task.

It is named on the command line in one of two ways, and nothing is imported that nobody named:

    module:function     a file module.py in this folder, or any installed module; `python:module:function`
                        where the module is called as one of our prefixes
    NAME                an entry point of an installed package:

                            [project.entry-points."alignlab.judges"]      # or attacks, readers, tasks
                            polite = "my_package.judges:polite"

Our own names come first: no plug-in takes the place of one of them. What a plug-in does wrong ends in a
`UserError` that names it, with the file and line where it was.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, Literal, get_args

from .errors import DataError, UserError
from .text.escapes import one_line
from .text.lists import by_comma

Kind = Literal["judge", "attack", "reader", "task"]
"""What can be plugged in; the group of its entry points is `alignlab.judges` and so on."""
KINDS: tuple[Kind, ...] = get_args(Kind)
NAME = re.compile(r"(?:python:)?([A-Za-z_][\w.]*):([A-Za-z_]\w*)")
OURS = (
    *("town", "reward", "ensemble", "gated", "ai", "pool", "bot", "columns", "mix"),
    *("refusal", "canary", "nonce", "strongreject", "harmbench", "llamaguard", "http", "https"),
)
"""Prefixes of our own names, of whatever kind: a module that is called so needs `python:` before it."""
HOW = "a function of yours as module:function, from a file module.py in this folder or an installed package"


def parse(name: str) -> tuple[str, str] | None:
    """Module and function of a name such as `my_rewards:right`; None for a name that is none."""
    match = NAME.fullmatch(name)
    if match is None or (match[1] in OURS and not name.startswith("python:")):
        return None
    return match[1], match[2]


def installed(kind: Kind) -> tuple[str, ...]:
    """The names of a kind that installed packages bring along, for the list that an option shows."""
    return tuple(sorted(_entry_points(kind)))


def is_one(kind: Kind, name: str) -> bool:
    """Whether a name that is none of ours has the form of a plug-in's, or is one that is installed."""
    return parse(name) is not None or name in _entry_points(kind)


def find(kind: Kind, name: str) -> ModuleSpec:
    """Where the module of a name lies; it is not run. Raises UserError if there is none."""
    module, _ = _place(kind, name)
    try:
        with _this_folder():
            spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):  # a package above it that is none
        spec = None
    if spec is None or not os.path.isfile(spec.origin or ""):  # built in, or frozen
        raise UserError(f"there is no module {module!r:.80} for the {kind} {name!r:.80}", remedy=HOW)
    return spec


def digest(kind: Kind, name: str) -> str:
    """SHA-256 of the module's file: a function that was changed makes another run."""
    return hashlib.sha256(Path(find(kind, name).origin or "").read_bytes()).hexdigest()


def digests(*named: str) -> dict[str, str]:
    """The digest of each plug-in among what options name, several by comma too."""
    by_name = {}
    for name in set(by_comma(",".join(named))):
        for kind in KINDS:
            if name not in by_name and is_one(kind, name) and _is_there(kind, name):
                by_name[name] = digest(kind, name)
    return by_name


def load(kind: Kind, name: str) -> Any:
    """The function or class behind a name.

    Raises:
        UserError: no such module or function, or a module that cannot be imported.
    """
    module, attribute = _place(kind, name)
    find(kind, name)
    try:
        with _this_folder():
            plugin = getattr(importlib.import_module(module), attribute, None)
    except Exception as error:
        raise UserError(
            f"the module of {name} cannot be imported: {what_happened(error)}",
            remedy="mend it: python -m " + module,
        ) from error
    if not callable(plugin):
        raise UserError(f"{module} has no function {attribute!r}", remedy=HOW)
    return plugin


class Function:
    """A plug-in that is a function. It gets, by name, those of the offered values that it asks for; all of
    them, if it takes `**anything`.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name, self.function = name, function
        parameters = inspect.signature(function).parameters.values()
        by_name = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        self.takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
        self.asks_for = [p.name for p in by_name]
        self.needs = [p.name for p in by_name if p.default is p.empty]

    def __call__(self, offered: Mapping[str, Any], *, where: str = "") -> Any:
        """What the function returns.

        Raises:
            DataError: it failed, or needs something that is not offered; with `where`.
        """
        if missing := [name for name in self.needs if name not in offered]:
            raise DataError(
                f"{self.name} asks for {', '.join(missing)}, and the row has no such column",
                where=where,
                remedy=f"it has {', '.join(offered)}; give the parameter a default, or add the column to the "
                "data",
            )
        if not self.takes_all:
            offered = {name: offered[name] for name in self.asks_for if name in offered}
        with blamed(self.name, where=where, remedy="mend the function, or take the row out"):
            return self.function(**offered)


@contextmanager
def blamed(name: str, *, where: str = "", remedy: str = "mend it") -> Iterator[None]:
    """Whatever a plug-in raises inside is a DataError that names it; our own errors pass as they are."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise DataError(f"{name} failed: {what_happened(error)}", where=where, remedy=remedy) from error


def what_happened(error: Exception) -> str:
    """The error with the file and line at which it was raised."""
    calls = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(calls[-1].filename).name}:{calls[-1].lineno})" if calls else ""
    return f"{type(error).__name__}: {one_line(str(error), 200)}{place}"


def _is_there(kind: Kind, name: str) -> bool:
    try:
        find(kind, name)
    except UserError:
        return False
    return True


def _place(kind: Kind, name: str) -> tuple[str, str]:
    """Module and attribute behind a name of either sort."""
    if place := parse(name):
        return place
    entry = _entry_points(kind).get(name)
    if entry is None:
        raise UserError(f"there is no {kind} {name!r:.80}", remedy=HOW)
    return entry.module, entry.attr


def _entry_points(kind: Kind) -> dict[str, importlib.metadata.EntryPoint]:
    return _entry_points_on(kind, tuple(sys.path))


@cache
def _entry_points_on(kind: Kind, path: tuple[str, ...]) -> dict[str, importlib.metadata.EntryPoint]:
    """By name; asked once for each state of the path, since every installed package is looked at."""
    return {entry.name: entry for entry in importlib.metadata.entry_points(group=f"alignlab.{kind}s")}


@contextmanager
def _this_folder() -> Iterator[None]:
    """Modules of the folder that the command is given in can be imported, as with `python -m`."""
    sys.path.insert(0, "")
    try:
        yield
    finally:
        sys.path.remove("")
