"""Run folders that were made to harm, or that a killed process left: every address answers, with nothing of
outside and no fault of ours.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alignlab.studio import scan
from alignlab.studio.inside import Inside, clean, number, row_of, text
from alignlab.studio.scan import RECORDED, id_of
from alignlab.studio.table import TABLE
from alignlab.text.documents import Malformed

from .conftest import Studio, sample, write_log, write_run

OF_THE_STORE = ("/api/me", "/api/tasks")  # what it answers is in no run folder


def everything(studio: Studio) -> list[tuple[str, int, Any]]:
    """What every address answers about every run and page that is listed."""
    answers = []
    runs = studio.get("/api/runs?limit=200")["rows"]
    pages = studio.get("/api/pages")["rows"]
    for row in TABLE:
        if row.method != "GET" or row.form == "events" or row.path.startswith(OF_THE_STORE):
            continue
        paths = [row.path.replace("{name}", "town")]
        if "{id}" in row.path:
            ids = [one["id"] for one in (pages if row.form == "page" else runs)]
            paths = [row.path.replace("{id}", one).replace("{row}", "0") for one in ids]
        if row.path.endswith("/tokens"):
            paths = [f"{path}?step=0&place=0" for path in paths]
        if row.path.endswith("/samples"):
            paths += [f"{path}?sort=-gap&q=a&where=shown&steps=0-9" for path in paths]
        if row.path.endswith("/compare"):
            paths = ["/api/compare?runs=" + ",".join(one["id"] for one in runs[:6])] if runs else []
        if row.path.endswith("/mirror"):
            paths = [f"{row.path}?task={studio.task()}"]
        for path in paths:
            answer = studio.ask(path)
            assert answer.status in (200, 404), (path, answer.body)
            assert b"secret" not in answer.body, path
            answers.append((path, answer.status, answer.json if row.form == "json" else None))
    return answers


WRONG: dict[str, Callable[[Path], object]] = {
    "an empty run.json": lambda run: (run / "run.json").write_bytes(b""),
    "half a run.json": lambda run: (run / "run.json").write_bytes(b'{"stage": "pp'),
    "a run.json that is a list": lambda run: (run / "run.json").write_bytes(b"[1]"),
    "a run.json that is no UTF-8": lambda run: (run / "run.json").write_bytes(b'{"stage": "\xff"}'),
    "a run.json without end": lambda run: (run / "run.json").write_bytes(b"[" * 100_000),
    "a long run.json": lambda run: (run / "run.json").write_bytes(b" " * 2**23),
    "no config.json": lambda run: (run / "config.json").unlink(),
    "run.json is a folder": lambda run: (run / "run.json").unlink() or (run / "run.json").mkdir(),
    "run.json leads outside": lambda run: lead_outside(run / "run.json"),
    "the metrics lead outside": lambda run: lead_outside(run / "metrics.jsonl"),
    "the samples lead outside": lambda run: lead_outside(run / "samples.jsonl"),
    "the summary leads outside": lambda run: lead_outside(run / "summary.json"),
    "the run leads outside": lambda run: shutil.rmtree(run) or run.symlink_to(run.parents[2] / "outside"),
    "the samples are a pipe": lambda run: (
        (run / "samples.jsonl").unlink() or os.mkfifo(run / "samples.jsonl")
    ),
    "a file that cannot be read": lambda run: (run / "samples.jsonl").chmod(0),
    "the run is gone": shutil.rmtree,
    "all of it is of the wrong kind": lambda run: of_the_wrong_kind(run),
    "all of it is noise": lambda run: noise(run),
}


def lead_outside(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parents[3] / "outside" / path.name)


def of_the_wrong_kind(run: Path) -> None:
    values: list[Any] = [None, True, -1, 1.5, 10**400, "x", [], {}, [[]], {"mean": "x", "ci": [1], "n": {}}]
    values += [{"mean": 1, "ci": [1, "x"], "n": -1}, float("nan"), float("inf"), "\ud800", "\u202e<script>"]
    names = ("stage", "seed", "started", "seconds", "key", "parents", "versions", "machine", "data", "commit")
    for place, value in enumerate(values):
        kind = {name: value for name in names}
        config, summary = {"settings": value, "options": value}, {"gold": value, "kl_last": value}
        row = {name: value for name in sample(0, 0, 0.0)} | {"id": value, "decoding": value, "meta": value}
        rows: list[Any] = [row, value, "{\n", '{"a": 1}' + "\n"]
        logs = {name: rows for name in ("metrics", "samples", "health", "tokens", "probes")}
        write_run(run.parent / f"wrong-{place}", config=config, summary=summary, logs=logs, **kind)
        (run.parent / f"wrong-{place}" / "progress.json").write_text(json.dumps(value))


def noise(run: Path) -> None:
    draw = random.Random(0)
    for name in ("metrics", "samples", "health", "tokens", "probes"):
        (run / f"{name}.jsonl").write_bytes(draw.randbytes(100_000))
    (run.parent / "plan.json").write_bytes(draw.randbytes(1000))
    (run.parent / "noise.html").write_bytes(draw.randbytes(10_000))


@pytest.mark.parametrize("fault", WRONG)
def test_every_address_answers_whatever_a_folder_holds(studio: Studio, folder: Path, fault: str) -> None:
    outside = write_run(folder.parent / "outside", "secret", summary={"gold": 1, "secret": 1})
    write_log(outside / "metrics.jsonl", [{"step": 0, "secret": 1.0}])
    write_log(outside / "samples.jsonl", [sample(0, 0, 1.0, completion="secret")])
    WRONG[fault](folder / "demo" / "ppo")
    assert len(everything(studio)) > 10


def test_a_broken_run_says_what_is_broken(studio: Studio, folder: Path) -> None:
    (folder / "demo" / "ppo" / "run.json").write_bytes(b"{")
    row = studio.get("/api/runs?status=broken")["rows"][0]
    assert row["id"] == id_of("demo/ppo") and "run.json" in row["problem"]
    assert str(folder) not in row["problem"]


def test_files_change_under_a_list(studio: Studio, folder: Path) -> None:
    """Between two requests: rows are broken, cut off, gone, and there again."""
    run, path = f"/api/runs/{id_of('demo/ppo')}", folder / "demo" / "ppo" / "samples.jsonl"
    first = studio.get(f"{run}/samples?limit=5")
    assert first["of"] == 12 and first["next"]
    write_log(
        path, ['{"step": 3, "proxy": NaN}\n', "x" * 3_000_000 + "\n", "{\n", sample(4, 0, 1.0)], how="a"
    )
    found = studio.get(f"{run}/samples?limit=200")
    assert [row["row"] for row in found["rows"]] == [*range(13), 15] and found["of"] == 16
    assert found["rows"][12]["proxy"] is None
    assert studio.get(f"{run}/samples?q=answer%200%20of%204")["total"] == 1
    assert studio.ask(f"{run}/samples/13").status == 404 and studio.ask(f"{run}/samples/15").status == 200
    os.truncate(path, 700)
    stale = studio.ask(f"{run}/samples?cursor={first['next']}")
    assert stale.status == 409 and stale.json["error"]["code"] == "stale"
    assert studio.get(f"{run}/samples")["generation"] == 1
    path.unlink()
    assert studio.get(f"{run}/samples")["rows"] == []


def test_a_run_is_one_run_before_and_after_it_has_its_name(studio: Studio, folder: Path) -> None:
    run, partial = folder / "demo" / "ppo", folder / "demo" / "ppo.partial"
    os.rename(run, partial)
    (partial / ".lock").write_text(str(os.getpid()))
    (partial / "progress.json").write_text('{"done": 2, "total": 3, "seconds_left": 1.5}')
    row = studio.get(f"/api/runs/{id_of('demo/ppo')}")
    assert row["status"] == "running" and row["progress"] == {"done": 2, "total": 3, "seconds_left": 1.5}
    before = studio.get(f"/api/runs/{id_of('demo/ppo')}/samples?limit=5")
    write_log(partial / "samples.jsonl", [sample(3, 0, 9.0)], how="a")
    os.rename(partial, run)
    following = studio.get(f"/api/runs/{id_of('demo/ppo')}/samples?limit=5&cursor={before['next']}")
    assert following["generation"] == before["generation"] == 0 and following["of"] == 12
    studio.desk.shelf._at = -10.0
    assert studio.get(f"/api/runs/{id_of('demo/ppo')}")["status"] == "done"


def test_a_run_that_is_made_anew_is_shown_while_a_process_is_at_it(studio: Studio, folder: Path) -> None:
    partial = write_run(folder / "demo" / "ppo.partial", logs={"metrics": [{"step": 0, "new": 1.0}]})
    run = f"/api/runs/{id_of('demo/ppo')}"
    assert studio.get(run)["status"] == "done" and "objective/kl" in studio.get(run)["keys"]
    (partial / ".lock").write_text(str(os.getpid()))
    studio.desk.shelf._at = -10.0
    found = studio.get(run)
    assert (found["status"], found["keys"], found["generation"] > 0) == ("running", ["new"], True)


def test_the_scan_is_bounded_and_enters_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path
    for _ in range(30):
        deep = deep / "d"
    deep.mkdir(parents=True)
    write_run(deep)
    (tmp_path / "loop").symlink_to(tmp_path)
    for name in ("checkpoint", "data", "state-00000001", ".git"):
        write_run(tmp_path / "run" / name)
    write_run(tmp_path / "run")
    for name in ("name\nwith\x1b[31m", "\udcff", "ünï"):
        write_run(tmp_path / name)
    assert set(scan.scan(Inside(tmp_path)).runs) == {"run", "name\nwith\x1b[31m", "\udcff", "ünï"}
    monkeypatch.setattr(scan, "MOST_FOLDERS", 2)
    assert len(scan.scan(Inside(tmp_path)).runs) <= 2
    assert everything(Studio(tmp_path))


def test_a_folder_that_goes_away_has_no_runs_of_its_own(studio: Studio, folder: Path) -> None:
    shutil.rmtree(folder)
    assert all(row["recorded"] for row in studio.get("/api/runs")["rows"])
    assert studio.get("/api/map")["group"] == RECORDED
    health = studio.get("/api/health")
    assert health["there"] is False and health["runs"] == 0
    studio.desk.close()


def test_values_of_others_are_cleaned() -> None:
    assert [number(value) for value in (1, 2.5, True, "1", None, 10**400, math.nan, -math.inf)] == [
        1.0,
        2.5,
        *[None] * 6,
    ]
    assert text("a\ud800b") == "a?b" and text(1) == "" and text("abc", 2) == "ab"
    assert clean({"a\ud800": [math.nan, 1, 2**60, {"b": "\udfff"}]}) == {"a?": [None, 1, 2.0**60, {"b": "?"}]}
    for bad in (b"", b"\xff", b"[]", b"[" * 200 + b"]" * 200, b'{"a": 1', b"1" * 5000):
        with pytest.raises(Malformed):
            row_of(bad)
