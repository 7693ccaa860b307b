"""A constitution by itself: shown, and linted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..constitution import files
from ..constitution.lint import firing, lint
from ..errors import DataError
from ..text.lines import read_lines


def show_constitution(*, file: str) -> dict[str, Any]:
    """The principles of a constitution, with their tags."""
    found = files.load(file or "town")
    lines = [
        (
            f"{found.name}, version {found.version or '-'}, {found.digest}: {len(found.principles)} "
            f"principles, {len(found.exemplars)} examples for all"
        )
    ]
    for p in found.principles:
        lines += [
            "",
            f"{p.id}  [{', '.join(p.tags)}]" + (f"  {len(p.exemplars)} examples" if p.exemplars else ""),
            f"  critique: {p.critique}",
            f"  revise:   {p.revise}",
            f"  compare:  {p.compare}",
        ]
    return {**found.to_json(), "digest": found.digest, "text": "\n".join(lines)}


def lint_constitution(*, file: str, chains: str) -> dict[str, Any]:
    """What is wrong with a constitution; exit code 5 if a principle cannot be used. Chains are a run of
    `alignlab constitution revise`, or its file of chains.
    """
    found = files.read(file or "town")
    findings = lint(found, firing(_rows(Path(chains))) if chains else None)
    errors = sum(f.severity == "error" for f in findings)
    lines = [
        (
            f"{f.severity}  {f.kind}: "
            f"{', '.join(f.ids[:5])}{f' and {len(f.ids) - 5} more' if len(f.ids) > 5 else ''}: {f.text}"
        )
        for f in findings[:200]
    ]
    lines += [f"and {len(findings) - 200} more; --json prints all"] if len(findings) > 200 else []
    lines.append(
        (
            f"{found.name}: {len(found.principles)} principles, {errors} errors, {len(findings) - errors} "
            "warnings"
        )
        if findings
        else f"{found.name}: {len(found.principles)} principles, nothing to say"
    )
    return {
        "constitution": found.name,
        "digest": found.digest,
        "principles": len(found.principles),
        "findings": [f.to_json() for f in findings],
        "text": "\n".join(lines),
        "exit_code": 5 if errors else 0,
    }


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a chains file, or of the one in a run."""
    inside = path / "data" / "chains.jsonl"
    file = inside if inside.is_file() else path
    try:
        yield from (row for _, row in read_lines(file) if isinstance(row, dict))
    except OSError as error:
        raise DataError(
            f"cannot read the chains: {error}",
            where=str(file),
            remedy="a run of `alignlab constitution revise`, or its chains.jsonl",
        ) from None
