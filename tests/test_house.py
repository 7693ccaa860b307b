"""The house stays in order: no circle of files or rooms, and no file that takes more than one sitting.

Every import counts: at the top, in a function, or for types. The width of lines is ruff's to say.
"""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import alignlab

ROOT = Path(alignlab.__file__).parent
FILES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in ROOT.rglob("*.py")}


def file_of(module: str) -> str:
    return module if module in FILES else f"{module}.__init__".lstrip(".")


@cache
def imports(name: str) -> set[str]:
    """The files that a file imports. A name that is a module below a package counts as that module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        above = name.split(".")[: -node.level]
        base = ".".join([*above, *filter(None, [node.module])])
        for alias in node.names:
            below = file_of(f"{base}.{alias.name}".lstrip("."))
            found.add(below if below in FILES else file_of(base))
    return found & FILES.keys() - {name}


def circle(arrows: dict[str, set[str]]) -> list[str]:
    try:
        list(TopologicalSorter(arrows).static_order())
    except CycleError as error:
        return error.args[1]
    return []


def test_no_circle_of_files() -> None:
    assert circle({name: imports(name) for name in FILES}) == []


def test_no_circle_of_rooms() -> None:
    arrows: dict[str, set[str]] = {}
    for name in FILES:
        room = name.partition(".")[0]
        arrows.setdefault(room, set()).update(other.partition(".")[0] for other in imports(name))
    assert circle({room: others - {room, "__init__"} for room, others in arrows.items()}) == []


TABLES = {"town/tasks.py", "town/world.py"}
"""What the town is made of: longer than a page, as a list of facts may be."""


def test_no_file_but_a_table_is_longer_than_350_lines() -> None:
    long = {}
    for path in FILES.values():
        count = len(path.read_text(encoding="utf-8").splitlines())
        if count > 350 and path.relative_to(ROOT).as_posix() not in TABLES:
            long[path.relative_to(ROOT).as_posix()] = count
    assert long == {}, "split by idea, or name it a table here"
