"""Pages of a list never shift, whatever is written between them, and hold each row once."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from alignlab.studio import watched
from alignlab.studio.samples import Index
from alignlab.studio.scan import id_of

from .conftest import Studio, sample, write_log, write_run

RUN = f"/api/runs/{id_of('long')}/samples"
ASKED = [
    ("", lambda row: True, lambda row: row["row"]),
    ("&sort=-row", lambda row: True, lambda row: -row["row"]),
    ("&sort=proxy", lambda row: True, lambda row: (row["proxy"] is None, row["proxy"] or 0.0, row["row"])),
    (
        "&sort=-proxy",
        lambda row: True,
        lambda row: (row["proxy"] is None, -(row["proxy"] or 0.0), row["row"]),
    ),
    (
        "&sort=-gap&where=shown",
        lambda row: row["shown"],
        lambda row: (
            row["proxy"] is None,
            row["gold"] - row["proxy"] if row["proxy"] is not None else 0.0,
            row["row"],
        ),
    ),
    (
        "&steps=3,7-9&sort=length",
        lambda row: row["step"] in (3, 7, 8, 9),
        lambda row: (row["length"], row["row"]),
    ),
    ("&q=ANSWER%201%20OF&sort=-kl", lambda row: row["place"] == 1, lambda row: row["row"]),
    (
        "&where=misleading,unfinished",
        lambda row: row["misleading"] and not row["finished"],
        lambda row: row["row"],
    ),
]


def rows(step: int) -> list[dict[str, object]]:
    draw = random.Random(step)
    return [
        sample(
            step,
            place,
            draw.choice([1.0, 2.0, draw.random(), float("nan")]),
            draw.random(),
            misleading=draw.random() < 0.5,
            finished=draw.random() < 0.5,
        )
        for place in range(8)
    ]


@pytest.mark.parametrize(("query", "matches", "order"), ASKED, ids=[query for query, _, _ in ASKED])
def test_pages_are_those_of_the_list_as_it_was_at_the_first(
    tmp_path: Path, query: str, matches, order
) -> None:
    log = write_run(tmp_path / "long") / "samples.jsonl"
    for step in range(12):
        write_log(log, rows(step), how="a")
    studio = Studio(tmp_path)
    everything = studio.get(f"{RUN}?limit=200")["rows"]
    wanted = sorted((row for row in everything if matches(row)), key=order)
    cursor, found, step = "", [], 12
    while cursor is not None:
        page = studio.get(f"{RUN}?limit=7&cursor={cursor}{query}")
        assert page["total"] == len(wanted) and page["of"] == 96 and page["ready"]
        found += page["rows"]
        cursor = page["next"]
        write_log(log, rows(step), how="a")
        step += 1
    assert found == wanted and len(wanted) > 7
    assert studio.get(f"{RUN}?limit=7{query}")["of"] > 96


def test_the_first_page_comes_before_the_index_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index is held up after 30 of 50 rows: plain pages are answered, others wait for all of it."""
    write_run(tmp_path / "long", logs={"samples": [sample(0, place, 1.0) for place in range(50)]})
    go_on, take = threading.Event(), Index.take

    def slowly(index: Index, offset: int, line: bytes | None) -> None:
        if index.rows == 30:
            assert go_on.wait(20)
        take(index, offset, line)

    monkeypatch.setattr(Index, "take", slowly)
    studio = Studio(tmp_path)
    first = studio.get(f"{RUN}?limit=20")
    assert not first["ready"] and first["of"] == 30 and len(first["rows"]) == 20
    monkeypatch.setattr(watched, "PATIENCE", 0.1)
    late = studio.ask(f"{RUN}?limit=20&sort=-proxy")
    assert late.status == 503 and late.headers["retry-after"]
    go_on.set()
    monkeypatch.undo()
    second = studio.get(f"{RUN}?limit=40&cursor={first['next']}")
    assert second["ready"] and second["of"] == 50
    assert [row["row"] for row in first["rows"] + second["rows"]] == list(range(50))


def test_a_cursor_of_somewhere_else_is_refused(studio: Studio) -> None:
    path = f"/api/runs/{id_of('demo/ppo')}/samples"
    for cursor in ("x", "1.2", "-1.0.0", "0.0.0.0", "٣.0.0", "9" * 40 + ".0.0"):
        assert studio.ask(f"{path}?cursor={cursor}").status == 400, cursor
    assert studio.ask(f"{path}?cursor=7.0.0").status == 409
    for wrong in ("where=best", "steps=a", "steps=1-", "sort=secret", "limit=0", "limit=1e9"):
        assert studio.ask(f"{path}?{wrong}").status == 422, wrong
    assert studio.get(f"{path}?cursor=0.12.999")["rows"] == []


def test_runs_that_begin_later_shift_no_page(tmp_path: Path) -> None:
    for count in range(25):
        write_run(tmp_path / f"run-{count}", started=1000.0 + count % 5)
    studio = Studio(tmp_path)
    cursor, names, count = "", [], 25
    while cursor is not None:
        page = studio.get(f"/api/runs?limit=4&cursor={cursor}")
        assert page["total"] == page["of"] == 25
        names += [row["name"] for row in page["rows"]]
        cursor = page["next"]
        write_run(tmp_path / f"run-{count}", started=2000.0 + count)
        studio.desk.shelf._at, count = -10.0, count + 1
    assert sorted(names) == sorted(f"run-{i}" for i in range(25))
    assert studio.get("/api/runs?q=RUN-20")["total"] == 1
