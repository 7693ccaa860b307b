"""How the house stands: what a reader meets, counted in any checkout.

    python benchmarks/house.py [TREE ...]       a tree is src/alignlab, of this checkout or another

Per tree: comprehensions and conditional expressions per 1,000 lines of code (blank lines, comments and
docstrings left out), lines wider than 110, files of more than 350 lines, and the characters of PPO end to end
(stage, loop, rollouts, its losses). Nothing is imported or run. Circles are tests/test_house.py's to find.
"""

from __future__ import annotations

import argparse
import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

WIDTH, LENGTH = 110, 350
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# those that a tree has
PPO = (
    "stages/ppo.py",
    "stages/on_policy.py",
    "methods/ppo.py",
    "rollouts.py",
    "rollouts/sample.py",
    "rollouts/batch.py",
    "rollouts/log.py",
    "losses/ppo.py",
    "losses/advantages.py",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trees", nargs="*", type=Path, default=[Path("src/alignlab")])
    heads = ("tree", "lines of code", "comprehensions", "conditionals", "wide lines", "long files", "PPO")
    print(f"| {' | '.join(heads)} |")
    print("|---" * len(heads) + "|")
    for tree in parser.parse_args().trees:
        print(row(tree))


def row(tree: Path) -> str:
    """One tree as a row of the table."""
    lines = comprehensions = conditionals = wide = 0
    long: list[str] = []
    for path in sorted(tree.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        nodes = list(ast.walk(ast.parse(text)))
        lines += len(lines_of_code(text, nodes))
        comprehensions += sum(isinstance(node, COMPREHENSIONS) for node in nodes)
        conditionals += sum(isinstance(node, ast.IfExp) for node in nodes)
        wide += sum(len(line) > WIDTH for line in text.splitlines())
        if text.count("\n") > LENGTH:
            long.append(path.relative_to(tree).as_posix())
    figures = [
        f"{lines:,}",
        f"{1000 * comprehensions / lines:.0f} per 1,000",
        f"{1000 * conditionals / lines:.0f} per 1,000",
        f"{wide:,}",
        f"{len(long)}" + (f" ({', '.join(long)})" if 0 < len(long) < 5 else ""),
        f"{characters_of_ppo(tree):,} characters",
    ]
    return f"| {tree} | {' | '.join(figures)} |"


def lines_of_code(text: str, nodes: list[ast.AST]) -> set[int]:
    """The numbers of lines that hold code."""
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in LAYOUT:
            code |= set(range(token.start[0], token.end[0] + 1))
    for docstring in docstrings(nodes):
        code -= set(range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1))
    return code


def docstrings(nodes: list[ast.AST]) -> Iterator[ast.Expr]:
    """Texts that stand by themselves."""
    for node in nodes:
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for statement in node.body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                yield statement


def characters_of_ppo(tree: Path) -> int:
    """Of the files that a reader of PPO opens."""
    files = [tree / name for name in PPO if (tree / name).is_file()]
    return sum(len(file.read_text(encoding="utf-8")) for file in files)


if __name__ == "__main__":
    main()
