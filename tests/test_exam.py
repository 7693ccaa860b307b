"""The exam is for pages: only benchmarks that write one name it, and a page says at its head what its figures
are of.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from alignlab.town.exam import measured, with_head

from .scripts import ROOT, script

WRITE_A_PAGE = set(
    "constitutional critic figures methods people recipes redteam reward_models town_bars".split()
)
"""Benchmarks whose figures stand on a page; the studies' stand there too, by their own command."""
NAMED = re.compile(r"\bexam\b")


def texts(source: str) -> Iterator[str]:
    """What a program can use: its strings without docstrings, the names that it imports and reads."""
    tree = ast.parse(source)
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.value
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name.lower() for alias in node.names)


def naming(files: list[Path]) -> set[str]:
    """The files that name a set of the exam, or its side."""
    found = set()
    for file in files:
        source = file.read_text(encoding="utf-8")
        if "exam" not in source.lower():
            continue  # spares the reading of its tree
        said = texts(source) if file.suffix == ".py" else [source]
        if any(NAMED.search(text) for text in said):
            found.add(str(file.relative_to(ROOT)))
    return found


def test_only_what_writes_a_page_names_the_exam() -> None:
    """No setting, recipe, stage or command has the exam as its default: none can be chosen on it."""
    package = ROOT / "src/alignlab"
    files = [file for kind in ("*.py", "*.toml") for file in package.rglob(kind)]
    others = [file for file in files if package / "town" not in file.parents]
    assert naming(others) == set()
    benchmarks = naming(list((ROOT / "benchmarks").glob("*.py")))
    assert benchmarks <= {f"benchmarks/{name}.py" for name in WRITE_A_PAGE}
    assert {"benchmarks/constitutional.py", "benchmarks/redteam.py"} <= benchmarks


@pytest.mark.parametrize(
    ("source", "names_it"),
    [
        ('DATA = "town:exam"', True),
        ('data = f"mix:0.5={x}+0.5=town:risky-exam"', True),
        ('Plan(pipeline, side="exam")', True),
        ("from alignlab.town.exam import EXAM", True),
        ('"""About town:exam."""\nDATA = "town:test"', False),
        ('DATA = "an example to examine"', False),
    ],
)
def test_a_default_of_the_exam_would_be_found(
    source: str, names_it: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "settings.py").write_text(source)
    assert bool(naming([tmp_path / "settings.py"])) == names_it


def test_a_page_says_what_its_figures_are_of() -> None:
    found = measured([20, 21, 22], {"town:exam": 2000, "town:risky-exam": 1232})
    page = "# Title\n\n> Figures of the town's version 1: being measured anew.\n\nWhat it is about.\n"
    once = with_head(page, found)
    assert once.startswith(
        "# Title\n\n> Figures of the town's version 2: base model `town`, seeds 20, 21, 22,"
    )
    assert "on `town:exam` (n = 2,000), `town:risky-exam` (n = 1,232)" in once
    assert "Settings were chosen on seed 10 and `town:test`." in once
    assert once.endswith("\n\nWhat it is about.\n") and "version 1" not in once
    assert with_head(once, found) == once


def test_every_page_of_figures_says_at_its_head_which_town_it_is_of() -> None:
    """Those that `make figures` writes, and README's table."""
    for name in script("benchmarks/figures.py").PAGES:
        lines = (ROOT / f"docs/{name}.md").read_text(encoding="utf-8").splitlines()
        assert lines[2].startswith("> Figures of the town's version "), name
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    body = readme[readme.index("<!-- results -->") : readme.index("<!-- /results -->")]
    assert re.search(r"\bversion \d", body.replace("\n", " "))


def test_figures_before_and_now_are_found_by_section_row_and_column() -> None:
    maker = script("docs/make_changes.py")
    before = (
        "## Models\n\n| | gold, greedy | KL |\n|---|---|---|\n| PPO | 0.89 ± 0.03 | 1.1 |\n| SFT | 0.7 | |\n"
    )
    now = "## Models\n\n| | gold (n = 2,000) | KL |\n|---|---|---|\n| PPO | 0.80 ± 0.02 / 0.7 ± 0.1 | 1.1 |\n"
    assert maker.changes("results", before, now) == [
        "| results: Models, PPO, gold | 0.89 ± 0.03 | 0.80 ± 0.02 | |"
    ]
