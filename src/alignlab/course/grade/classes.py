"""The hand-ins of a class: graded two at a time, kept line by line, shown as a table and a page."""

from __future__ import annotations

import ast
import csv
import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from threading import Lock
from typing import Any

from ...errors import UserError
from ...report.page import write_page
from ...run.outputs import check_file, is_page, whole_file
from ...text.lines import append_lines, take_up
from ...text.streams import say
from ..exercises import catalogue
from .folder import REPORT, digest
from .handin import unpacked

WORKERS = 2
HEAD = "student,points,passed"
ALIKE = 0.9  # share of pieces of code in common from which two files are to be looked at together
PIECE = 6  # words of code in a piece


def grade_class(folder: Path, salt: str, table: Path) -> dict[str, Any]:
    """Points of every hand-in below a folder, a table of them as CSV, and a page beside it that says which
    mistakes the class makes. A hand-in that was graded before with this salt is not run again.

    Raises:
        UserError: nothing is handed in there, or the table is somebody else's file.
    """
    files = sorted(p for p in folder.iterdir() if p.suffix == ".zip" or (p / "exercise.json").is_file())
    if not files:
        raise UserError(f"{folder} holds no hand-ins", remedy="zips of `alignlab exercise pack`, or folders")
    page, kept = table.with_suffix(".html"), table.with_name(f"{table.name}.jsonl")
    check_file(table, ours=lambda content: content.startswith(HEAD.encode()), option="--csv")
    check_file(page, ours=is_page, option="--csv")
    done = {row["key"]: row for row in (take_up(kept, _row) if kept.exists() else [])}
    lock, rows = Lock(), [dict[str, Any]()] * len(files)

    def one(at: int) -> None:
        row = _graded(files[at], salt, done)
        rows[at] = row
        with lock:
            if row["key"] not in done:
                append_lines(kept, [row])
                done[row["key"]] = row
            say(
                f"{row['file']}: {row['points']:g} points"
                if not row["error"]
                else f"{row['file']}: {row['error']}"
            )

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(one, range(len(files))))
    with whole_file(table) as staging:
        staging.write_text(as_csv(rows), encoding="utf-8")
    write_page(content(rows, folder), page, template="class.html.j2")
    passed = sum(row["passed"] for row in rows)
    text = f"{len(rows)} hand-ins, {passed} passed: {table}, {page}"
    return {"hand_ins": len(rows), "passed": passed, "csv": str(table), "page": str(page), "text": text}


def _row(value: Any) -> dict[str, Any]:
    """A line that an earlier process kept. Raises TypeError and LookupError for what is none."""
    if not isinstance(value["key"], str) or not isinstance(value["points"], (int, float)):
        raise TypeError("no line of a class")
    return value


def _graded(file: Path, salt: str, done: dict[str, dict[str, Any]]) -> dict[str, Any]:
    from .receipts import graded_work

    row: dict[str, Any] = {"file": file.name, "key": file.name, "student": file.stem, "points": 0.0}
    row |= {
        "passed": False,
        "mistakes": [],
        "unknown": [],
        "wrong": [],
        "hints": 0,
        "pieces": [],
        "error": "",
    }
    try:
        with unpacked(file) as work:
            exercise = catalogue.exercise(work.exercise)
            code, report = work.folder / exercise.file, work.folder / REPORT
            beside = [work.folder / name for name in exercise.beside]
            marks = [digest(path) for path in (code, report, *beside) if path.is_file()]
            row |= {"key": " ".join([work.exercise, work.student, salt, *marks]), "student": work.student}
            if row["key"] in done:
                return done[row["key"]]
            grade, _ = graded_work(work, salt)
            row |= {
                "points": grade.points,
                "passed": grade.passed,
                "mistakes": grade.mistakes(),
                "unknown": sorted({v.finding.fingerprint for v in grade.verdicts if v.finding} - {""}),
                "wrong": [v.what.id for v in grade.verdicts if v.finding],
                "hints": sum(level - 1 for level in work.levels.values()),
                "pieces": sorted(pieces(code.read_text(encoding="utf-8", errors="replace"))),
                "error": grade.broken,
            }
    except UserError as error:
        row["error"] = error.what
    return row


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*HEAD.split(","), "wrong", "mistakes", "unknown", "hints", "error", "file"])
    for row in rows:
        lists = [" ".join(row[name]) for name in ("wrong", "mistakes", "unknown")]
        cells = [
            row["student"],
            row["points"],
            row["passed"],
            *lists,
            row["hints"],
            row["error"],
            row["file"],
        ]
        writer.writerow([_cell(cell) for cell in cells])
    return out.getvalue()


def _cell(value: Any) -> str:
    """A cell that no table program takes for a formula: a student chooses his name."""
    text = str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def content(rows: Sequence[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """What the page shows: points, mistake by student, unknown ones by id, files to be looked at together."""
    counted = Counter(name for row in rows for name in row["mistakes"])
    return {
        "title": f"Hand-ins of {folder.name}",
        "rows": rows,
        "mistakes": counted.most_common(),
        "unknown": Counter(name for row in rows for name in row["unknown"]).most_common(),
        "together": together(rows),
    }


# --- near-identical files


def pieces(text: str) -> set[str]:
    """Runs of six words of code, without names, comments and docstrings; empty for what is no Python."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    words = [
        f"{type(node).__name__}{getattr(node, 'attr', '')}"
        for node in ast.walk(tree)
        if not isinstance(node, (ast.Name, ast.arg, ast.expr_context, ast.Import, ast.ImportFrom))
        and not (isinstance(node, ast.Constant) and isinstance(node.value, str))
    ]
    runs = (" ".join(words[i : i + PIECE]) for i in range(max(0, len(words) - PIECE + 1)))
    return {hashlib.sha256(run.encode()).hexdigest()[:8] for run in runs}


def together(rows: Sequence[dict[str, Any]]) -> list[tuple[str, str, float]]:
    """Pairs of students whose code is nearly the same, whatever things are called in it."""
    found: list[tuple[str, str, float]] = []
    for one, other in combinations([row for row in rows if row["pieces"]], 2):
        a, b = set(one["pieces"]), set(other["pieces"])
        share = len(a & b) / len(a | b)
        if share >= ALIKE:
            found.append((one["student"], other["student"], share))
    return sorted(found, key=lambda row: -row[2])
