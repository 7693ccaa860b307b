"""What lies beside a student's functions in exercise 5: findings, and labels of twenty answers."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from ....errors import DataError
from ....records import Prompt
from ....text.documents import Malformed, from_json, from_toml, read_text

FINDINGS, LABELS = "findings.jsonl", "labels.toml"
PARTS = ("target", "goal", "prompt", "digest", "access", "queries", "twin")
MOST = 20  # findings


def findings(folder: Path) -> list[dict[str, Any]]:
    """The student's findings, the prompt of each as one. Raises DataError: a line that is none."""
    try:
        lines = read_text(folder / FINDINGS).splitlines()
    except OSError:
        return []
    except Malformed as error:
        raise DataError(f"{FINDINGS}: {error}") from None
    found: list[dict[str, Any]] = []
    for number, line in enumerate(filter(str.strip, lines[:MOST]), 1):
        try:
            row = from_json(line)
            if missing := [name for name in PARTS if name not in row]:
                raise ValueError(f"no {missing[0]!r}")
            if not all(isinstance(row[name], str) for name in ("target", "goal", "digest", "access", "twin")):
                raise ValueError("target, goal, digest, access and twin are texts")
            found.append(row | {"prompt": Prompt.from_json(row), "id": str(number)})
        except (DataError, Malformed, ValueError, LookupError, TypeError, AttributeError) as error:
            raise DataError(f"{FINDINGS}, line {number}: {error!s:.100}") from None
    return found


@cache
def twenty() -> tuple[dict[str, str], ...]:
    """The twenty answers that everybody labels: `asked`, `said`, what it `is`, and of some the `trap`."""
    text = Path(__file__).with_name("twenty.toml").read_text(encoding="utf-8")
    return tuple(tomllib.loads(text)["answer"])


def labels(folder: Path) -> list[str]:
    """Of each of the twenty what the student says; "" where nothing. Raises DataError: no TOML."""
    try:
        table = from_toml(read_text(folder / LABELS))
    except OSError:
        table = {}
    except Malformed as error:
        raise DataError(f"{LABELS} is no TOML: {error}") from None
    return [str(table.get(f"a{n}", "")).strip() for n in range(1, 1 + len(twenty()))]
