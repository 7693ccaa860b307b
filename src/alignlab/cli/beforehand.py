"""What can be known of a command from its names, files and settings: checked before anything heavy is
imported, and listed by `--help`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from .. import plugins
from ..errors import UserError
from ..names import known
from ..recipes.settings import PipelineSettings
from ..run.places import check_folder, check_out
from ..settings import rules
from ..studies.settings import StudySettings
from ..text.lists import by_comma
from .commands import Command


def check_options(command: Command, values: dict[str, Any]) -> None:
    """Raise the error of the first option that cannot be: where the run goes, a count, a name.

    Args:
        values: what the command's function is called with.
    """
    if command.out:
        kind = command.settings or object
        holds_runs = bool(command.swept) or issubclass(kind, (PipelineSettings, StudySettings))
        check = check_folder if holds_runs else check_out
        check(values["out"])
    for option in command.options:
        value = values[option.argument]
        if option.names:
            for name in value if isinstance(value, list) else [value]:
                named(option.names, name, f"--{option.flag}" if not option.positional else option.flag)
        elif isinstance(value, int) and value < 0:
            raise UserError(f"--{option.flag} {value}", remedy="0 or more")


def check_settings(settings: Any) -> None:
    """Raise the error of the first setting that cannot be, a name among them that stands for nothing
    included.
    """
    rules.check(settings)
    for dotted, kind, name in names_in(settings):
        named(kind, name, dotted)


def names_in(settings: Any, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Every setting that is a name, tables inside included: where it stands, its kind, the name."""
    for item in fields(settings):
        value = getattr(settings, item.name)
        if is_dataclass(value):
            yield from names_in(value, f"{prefix}{item.name}.")
        elif kind := item.metadata.get("names"):
            yield prefix + item.name, kind, value


def named(kind: str, name: str, where: str) -> None:
    """Raise the error of a name that stands for nothing of its kind; an empty name is not given."""
    if not name:
        return
    try:
        (OURS.get(kind) or known.KINDS[kind])(name)
    except UserError as error:
        raise type(error)(error.what, where=error.where or where, remedy=error.remedy) from None
    except (OSError, ValueError) as error:  # a name that is too long, or with a NUL in it
        raise UserError(
            f"{name!r:.60} can be the name of nothing here: {getattr(error, 'strerror', None) or error}",
            where=where,
            remedy="check the name",
        ) from None


# --- kinds that only the upper layers know


def recipe(name: str) -> None:
    from ..recipes.catalogue import RECIPES

    known.one_of(name, RECIPES, "there is no recipe")


def attacks(name: str) -> None:
    from ..redteam.attacks import catalogue

    catalogue.attacks(name)


def defences(name: str) -> None:
    from ..defences.middleware import check

    check(by_comma(name.replace("+", ",")))


def stacks(name: str) -> None:
    for stack in name.split(";"):
        defences(",".join(part for part in stack.split("+") if part.strip() != "none"))


def served(name: str) -> None:
    """`NAME=M+DEFENCE+...`, as `alignlab serve` takes it."""
    model = name.partition("=")[2] if "=" in name and not Path(name).exists() else name
    stack = [] if Path(model).exists() else model.split("+")[1:]
    known.policy(model if not stack else model.partition("+")[0])
    defences(",".join(stack))


def task(name: str) -> None:
    from ..evals import by_name

    by_name.check(name)


def want(name: str) -> None:
    from ..data.formats import WANTS

    known.one_of(name, WANTS, "there is no kind")


OURS: dict[str, Callable[[str], None]] = {
    "recipe": recipe,
    "attacks": attacks,
    "defences": defences,
    "stacks": stacks,
    "served": served,
    "task": task,
    "want": want,
}


def listed(kind: str) -> list[str]:
    """The names of a kind that are known whatever lies on the disk, for `--help`; none where the option's own
    text says them.
    """
    match kind:
        case "annotator" | "annotators":
            from ..town.people import WORDS

            people = [f"town:{name}" for name in WORDS]
            return [*people, "pool:NAME*COUNT,NAME", "random", *known.JUDGES, *plugins.installed("judge")]
        case "writers":
            from ..town.people import PEOPLE_WHO_WRITE

            return [f"town:{name}" for name in PEOPLE_WHO_WRITE]
        case "judge":
            return [*known.JUDGES, *plugins.installed("judge")]
        case "verdicts":
            return ["town:gold", *known.VERDICTS, known.OWN, *plugins.installed("judge")]
        case "data":
            from ..town.sets import SIZES

            readers = [f"{reader}:PATH" for reader in plugins.installed("reader")]
            return [f"town:{name}" for name in SIZES] + readers
        case "recipe":
            from ..recipes.catalogue import RECIPES

            return list(RECIPES)
        case "attacks":
            from ..redteam.attacks import catalogue

            return catalogue.listed()
        case "defences" | "stacks":
            from ..defences.middleware import DEFENCES

            return list(DEFENCES)
        case "target":
            from ..sampling.bots import BOTS

            return [f"bot:{name}" for name in BOTS]
    return []
