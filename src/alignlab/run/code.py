"""The code that a run follows from: the sources of its stage and of all that they import, so that an edited
loss makes another run.

What counts is what the sources do, with the tables of data beside them that they name: comments and
docstrings may change, and so may commands, pages and tests.
"""

from __future__ import annotations

import ast
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ..settings import PAIRS

_PACKAGE = Path(__file__).resolve().parents[1]
_GLUE = (
    "names.data",
    "names.judges",
    "names.models",
    "names.people",
    "names.known",
    "names.named",
    "names.weights",
    "cli",
    "stages",
    "recipes",
    "studies.command",
    "report",
    "pipeline.executor",
    "pipeline.on_ray",
    "pipeline.processes",
    "pipeline.runner",
    "pipeline.view",
    "pipeline.warm",
    "run",
    "settings",
    "errors",
    "run.trackers",
    "health",
    "text.disk",
    "text.documents",
    "text.escapes",
    "text.lines",
    "text.nearest",
    "text.streams",
    "redteam.pages",
    "redteam.exports",
    "redteam.command",
)
"""What only names, plans, shows or keeps: no part of any run's code, nor what is reached through it."""
_DATA = (".toml", ".json", ".jinja")
_REWARDS = ("feedback.reward_model", "feedback.ensemble", "feedback.gated")
_TOWN = ("town.gold", "town.people", "town.columns", "town.metrics")
STAGES: dict[str, tuple[str, ...]] = {
    "pretrain": ("methods.pretrain", "town.base", "town.measure.bare"),
    "sft": ("methods.sft",),
    "reward": ("methods.reward_model",),
    **dict.fromkeys(PAIRS, ("methods.direct",)),
    "kto": ("methods.kto",),
    "ppo": ("methods.ppo", *_REWARDS),
    "grpo": ("methods.group", *_REWARDS),
    "rloo": ("methods.group", *_REWARDS),
    "online-dpo": ("methods.online_dpo", *_REWARDS),
    "rejection": ("methods.rejection", *_REWARDS),
    "best-of-n": ("collecting.best_of_n", *_REWARDS),
    "collect": ("collecting.collect", "feedback.annotators"),
    "label": ("collecting.label",),
    "demonstrations": (
        "collecting.human",
        "collecting.crowd",
        "collecting.distil",
        "collecting.self_instruct",
        "collecting.demonstrations",
    ),
    "critic": ("methods.sft", "town.columns", "town.measure.critic"),
    "revise": ("collecting.revise",),
    "agreement": ("evals.judges", "evals.labels", "evals.injections"),
    "ablate": ("evals.judges", "evals.labels"),
    "diff": ("evals.judges", "evals.shift"),
    "eval": (
        "evals.answers",
        "evals.scored",
        "evals.gsm8k",
        "evals.ifeval",
        "evals.truthfulqa",
        "town.measure.task",
        *_REWARDS,
    ),
    "likelihood": ("evals.likelihood",),
    "reward-shift": ("evals.shift", *_REWARDS),
    "redteam": (
        "redteam.campaign",
        "redteam.attacks.catalogue",
        "redteam.judging",
        "redteam.steps",
        "redteam.fix",
    ),
    "redteam-frontier": ("redteam.frontier",),
    "redteam-attacker": ("redteam.train_attacker",),
    "study-closed-form": ("studies.closed_form",),
    **{f"study-{name}": ("studies.measuring", *_REWARDS) for name in ("held-out", "curve", "point")},
    **{f"study-{name}": ("studies.steps",) for name in ("share", "rerank", "join", "blend")},
    **{f"study-{name}": ("studies.mixtures",) for name in ("mixture", "personas", "framed")},
    **{f"study-{name}": ("studies.specification_gaming.listed",) for name in ("holes", "slips")},
    "study-lessons": ("studies.alignment_tax.lessons", "town.answers", "data.split"),
    "study-choices": ("studies.choices", "studies.choice_rows"),
    **{
        f"study-oversight-{name}": ("studies.oversight.supervised",)
        for name in ("supervised", "facts", "asked", "overseen")
    },
    **{f"study-{name}": ("studies.depth.lessons",) for name in ("begun", "examples", "answered")},
    "study-positions": ("studies.depth.positions",),
    "study-rungs": ("studies.depth.asking", "data.wrappers"),
    "study-relearn": ("studies.depth.asking", "methods.sft"),
    "study-topics": ("studies.choice_rows",),
    **{f"study-sycophancy-{name}": ("studies.sycophancy.asking",) for name in ("answers", "claims", "ask")},
    **{
        f"study-sycophancy-{name}": ("studies.sycophancy.rewarding", *_REWARDS)
        for name in ("pairs", "penalty")
    },
    "study-sycophancy-priced-rloo": ("studies.sycophancy.rewarding", "methods.group", *_REWARDS),
    "study-sycophancy-opinions": ("studies.sycophancy.opinions",),
    **{f"study-values-{name}": ("studies.whose_values.people",) for name in ("town", "ranked")},
    "study-values-pairs": ("studies.whose_values.real",),
    "study-rounded": ("studies.quantisation.rounding", "interop.gguf"),
    "study-codes": ("studies.quantisation.common",),
}
"""The modules that a stage's result is made by; what they import belongs to them."""


def sources(stage: str, config: Mapping[str, Any]) -> dict[str, str]:
    """Digests of the sources that a run of this stage is made by, by file; of a stage that this package does
    not know, none.

    Args:
        config: its options say whether the town judges.
    """
    if stage not in STAGES:
        return {}
    judged = any(
        str(value).startswith(("town:", "pool:")) for value in (config.get("options") or {}).values()
    )
    modules = _reached((*STAGES[stage], *(_TOWN if judged else ())))
    if "models.policy" in modules:  # it was loaded by somebody, whom no method knows
        modules |= _reached(("models.load",))
    return {_file(module).relative_to(_PACKAGE).as_posix(): _digest(module) for module in sorted(modules)}


def changed(was: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The files that two runs have of different code."""
    return sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name))


def _reached(roots: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    todo = list(roots)
    while todo:
        module = todo.pop()
        if module not in found and not _is_glue(module):
            found.add(module)
            todo += _imports(module)
    return found


def _is_glue(module: str) -> bool:
    """Settings of a study are in its runs' configuration."""
    return (module.startswith("studies.") and module.endswith("settings")) or any(
        module == glue or module.startswith(f"{glue}.") for glue in _GLUE
    )


def _file(module: str) -> Path:
    path = _PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(_file(module).read_bytes())


@cache
def _imports(module: str) -> frozenset[str]:
    """Modules of this package that one imports, anywhere in it; a name that a room only passes on counts as
    the module it comes from, and of a room that is imported whole count the names that are used.
    """
    parts = module.split(".") if module else []
    imports: list[ast.ImportFrom] = []
    used: dict[str, set[str]] = defaultdict(set)
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and node.level:
            imports.append(node)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used[node.value.id].add(node.attr)
    found = set()
    for node in imports:
        above = parts[: len(parts) + _file(module).name.count("__init__") - node.level]
        base = ".".join([*above, *([node.module] if node.module else [])])
        for alias in node.names:
            origin, names = _origin(base, alias.name), used[alias.asname or alias.name]
            if _file(origin).name == "__init__.py" and names:
                found |= {_origin(origin, name) for name in names}
            else:
                found.add(origin)
    return frozenset(found - {""})


def _origin(base: str, name: str) -> str:
    """The module that a name of a module is: a module below it, where a room passes it on from, or the module
    itself.
    """
    below = f"{base}.{name}".lstrip(".")
    if _file(below).exists():
        return below
    if base and _file(base).name == "__init__.py":
        for node in _tree(base).body:
            if (
                isinstance(node, ast.ImportFrom)
                and node.level == 1
                and name in {alias.asname or alias.name for alias in node.names}
            ):
                return f"{base}.{node.module}"
    return base


@cache
def _digest(module: str) -> str:
    digest = hashlib.sha256()
    for part in _canonical(_tree(module)):
        digest.update(part.encode())
    for table in _tables(module):
        digest.update(table.read_bytes())
    return digest.hexdigest()[:16]


def _tables(module: str) -> list[Path]:
    """The files of data beside a module that it names."""
    beside = {path.name: path for path in _file(module).parent.glob("*.*") if path.suffix in _DATA}
    named = {node.value for node in ast.walk(_tree(module)) if isinstance(node, ast.Constant)}
    return [beside[name] for name in sorted(beside) if name in named]


def _canonical(node: Any) -> Iterator[str]:
    """A syntax tree as text: without places, docstrings and what is empty, so that Python versions agree on
    it.
    """
    if isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for name, value in ast.iter_fields(node):
            if name == "body" and isinstance(value, list) and value and _is_docstring(value[0]):
                value = value[1:]
            if value not in (None, []) and name not in ("ctx", "kind", "type_comment"):
                yield f" {name}="
                yield from _canonical(value)
        yield ")"
    elif isinstance(node, list):
        for each in node:
            yield from _canonical(each)
    else:
        yield repr(node)


def _is_docstring(node: Any) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
