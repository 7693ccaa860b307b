"""No dead settings: what can be set is read, as an attribute, where an instance of its class can stand."""

import ast
import re
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from pathlib import Path

from alignlab import settings
from alignlab.recipes import settings as recipes_settings
from alignlab.settings.shared import Range

from .scripts import studies_settings

PACKAGE = Path(settings.__file__).parents[1]
HOMES = {
    *(PACKAGE / "settings").glob("*.py"),
    *PACKAGE.glob("*/settings.py"),
    *(PACKAGE / "studies").rglob("*settings.py"),
}

CARRIED = {
    "Plan": {"PipelineSettings"},
    "judged_by": {"PPOSettings", "GroupSettings", "OnlineDPOSettings", "RejectionSettings"},
    "train_policy": {"SFTSettings", "PairSettings", "KTOSettings"},
    "Server": {"ServeSettings"},
}
"""Names that bring settings with them, without the name of their class: the recipes' plan, the stages of all
who learn on policy and of all who train a policy, and the server."""


def classes() -> list[type]:
    rooms = [vars(room).values() for room in (settings, recipes_settings, *studies_settings())]
    found = {kind for room in rooms for kind in room if isinstance(kind, type) and is_dataclass(kind)}
    return sorted(found - {Range}, key=lambda kind: kind.__name__)


def standing(kind: type, kinds: Iterable[type]) -> set[str]:
    """The classes, by name, through which an instance of one is reached: itself, those that inherit from it,
    and all that have one of these as a table.
    """
    reached = {other for other in kinds if issubclass(other, kind)} | {kind}
    while True:
        holders = {
            other
            for other in kinds
            if any(type(getattr(other(), item.name)) in reached for item in fields(other))
        }
        if holders <= reached:
            return {other.__name__ for other in reached}
        reached |= holders


def reads(source: str) -> tuple[set[str], set[str]]:
    """Every name in a module, and every one that it reads as an attribute (or by `getattr`): one that is only
    assigned to, or only a keyword, is not read.
    """
    read = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr=name, ctx=ast.Load()):
                read.add(name)
            case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=name), *_]):
                read.add(name)
    words = set(re.findall(r"\w+", source))
    names = words.union(*(kinds for name, kinds in CARRIED.items() if name in words))
    return names, read


def unread(kinds: list[type], sources: Iterable[str]) -> list[str]:
    """Settings that no module reads which names a class that they can be reached through."""
    modules = [reads(source) for source in sources]
    dead = []
    for kind in kinds:
        through = standing(kind, kinds)
        read = set().union(*(attributes for names, attributes in modules if names & through))
        own = [item.name for item in fields(kind) if item.name in kind.__annotations__]
        dead += [f"{kind.__name__}.{name}" for name in own if name not in read]
    return dead


def test_every_setting_is_read():
    others = [file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py") if file not in HOMES]
    kinds = classes()
    assert sum(len(fields(kind)) for kind in kinds) > 400
    assert unread(kinds, others) == [], "settings that nothing in src/alignlab reads"


def test_a_setting_that_nobody_reads_is_found():
    read = "def f(s: SFTSettings):\n    return s.epochs"
    assert "KTOSettings.epochs" in unread([settings.SFTSettings, settings.KTOSettings], [read])
    assert "SFTSettings.epochs" not in unread([settings.SFTSettings, settings.KTOSettings], [read])
    for no_read in ("def f(s: SFTSettings):\n    s.epochs = 1", "SFTSettings(epochs=epochs)"):
        assert "SFTSettings.epochs" in unread([settings.SFTSettings], [no_read])
