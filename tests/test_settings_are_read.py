"""No dead settings: what can be set is read somewhere."""

import ast
from collections.abc import Iterable
from pathlib import Path

from alignlab import settings

PACKAGE = Path(settings.__file__).parents[1]


def fields_of(source: str) -> list[str]:
    """Every field of every dataclass in a module, as Class.field."""
    classes = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(d) for d in node.decorator_list)
    ]
    return [
        f"{node.name}.{item.target.id}"
        for node in classes
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    ]


def attributes_read(sources: Iterable[str]) -> set[str]:
    """Every name that is read as an attribute; one that is only assigned to, or only a keyword, is not."""
    nodes = (node for source in sources for node in ast.walk(ast.parse(source)))
    return {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}


def unread(settings_source: str, sources: Iterable[str]) -> list[str]:
    read = attributes_read(sources)
    return [name for name in fields_of(settings_source) if name.partition(".")[2] not in read]


def test_every_setting_is_read():
    homes = {*(PACKAGE / "settings").glob("*.py"), *PACKAGE.glob("*/settings.py")}
    homes -= {PACKAGE / "settings" / name for name in ("resolve.py", "rules.py", "defaults.py")}
    source = "\n".join(file.read_text(encoding="utf-8") for file in sorted(homes))
    others = [file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py") if file not in homes]
    source = source.replace("@dataclass(frozen=True, slots=True)\nclass Range", "class Range")
    assert len(fields_of(source)) > 80
    assert unread(source, others) == [], "settings that nothing in src/alignlab reads"


def test_a_setting_that_nobody_reads_is_found():
    source = (
        "@dataclass(frozen=True)\nclass A:\n    used: int = 1\n    assigned: int = 2\n    passed: int = "
        "3\n\nclass Plain:\n    other: int = 4\n"
    )
    assert unread(source, ["def f(c):\n    c.assigned = 1\n    return A(passed=c.used)"]) == [
        "A.assigned",
        "A.passed",
    ]
