"""Whatever is asked: no answer of 5xx, and none that is not what the table says."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from alignlab.studio.endpoint import Endpoint
from alignlab.studio.scan import id_of
from alignlab.studio.table import TABLE

from .conftest import Studio

WORDS = [
    "",
    "0",
    "1",
    "-1",
    "14",
    "0,14,23",
    "10-20",
    "1e9",
    "nan",
    "inf",
    "null",
    "true",
    "[]",
    "{}",
    "a" * 500,
]
WORDS += ["proxy", "-gap", "row", "shown", "misleading,shown", "map", "done", "demo", "objective/kl", "ppo"]
OTHERS = [1, -1, 2**63, 0.5, True, None, [], {}, [""], {"": None}]
"""Values of every type of JSON that is no text."""
WORDS += ["../../etc/passwd", "%00", "\x00", "\ud7ff", "🎈", "<script>", "'; drop table", "\u202e", "0.12.3"]


def asked(row: Endpoint, draw: random.Random) -> str:
    """An address of a row, with some fields that it has and perhaps one that it has not."""
    runs = [id_of(name) for name in ("demo/ppo", "demo/sft", "demo/eval-ppo", "demo/report.html")]
    values = WORDS + 6 * runs + [",".join(draw.sample(runs[:3], 2))] * 6
    path, names = row.path, list(row.asks.model_fields)
    for name in names:
        if f"{{{name}}}" in path:
            path = path.replace(f"{{{name}}}", quote(draw.choice(values) or "x", safe=""))
    others = [name for name in names if f"{{{name}}}" not in row.path] + ["other"] * (draw.random() < 0.1)
    chosen = [name for name in others if draw.random() < 0.5 or name == "runs"]
    return path + "?" + "&".join(f"{name}={quote(draw.choice(values))}" for name in chosen)


ROWS = pytest.mark.parametrize(
    "row", [row for row in TABLE if row.form == "json"], ids=lambda row: f"{row.method} {row.path}"
)


@ROWS
def test_every_answer_is_one_of_the_table(studio: Studio, row: Endpoint) -> None:
    questions(studio, row, 60)


@pytest.mark.campaign
@ROWS
def test_so_are_the_answers_to_a_thousand_questions(studio: Studio, row: Endpoint) -> None:
    questions(studio, row, 1000)


def questions(studio: Studio, row: Endpoint, count: int) -> None:
    draw = random.Random(row.path + row.method)
    seen: dict[int, int] = {}
    for _ in range(count):
        if row.method == "GET":
            answer = studio.ask(asked(row, draw))
        elif row.takes == "file":
            sent = draw.choice(WORDS).encode("utf-8", "replace") * draw.choice([0, 1, 99])
            answer = studio.ask(asked(row, draw), method=row.method, file=sent)
        else:
            body: Any = {name: draw.choice([*WORDS, *OTHERS]) for name in row.asks.model_fields}
            path, _, _ = asked(row, draw).partition("?")
            answer = studio.ask(path, method=row.method, body=draw.choice([body, [], None, "x", {}]))
            if row.method == "DELETE":
                studio.desk.close()
                studio = Studio(studio.desk.inside.root)
        seen[answer.status] = seen.get(answer.status, 0) + 1
        if answer.status == 200 and row.path != "/api/openapi.json":
            row.answers.model_validate_json(answer.body)
        else:
            assert answer.status == 200 or answer.status < 500 and answer.json["error"]["what"]
    studio.desk.close()
    assert set(seen) <= {200, 400, 401, 404, 409, 413, 422, 429}


def test_questions_that_mean_something_are_among_them(studio: Studio, filled: Callable[[str], str]) -> None:
    assert all(studio.ask(filled(row.path)).status == 200 for row in TABLE if row.method == "GET")
