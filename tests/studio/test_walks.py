"""What constitutions did, as files of the folder say it: whatever they hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from alignlab.records import Chain, Prompt, Round, Score
from alignlab.report.walk import walked
from alignlab.run import write_document
from alignlab.stages.walk import TABLE
from alignlab.studio.scan import id_of
from alignlab.studio.walks import BEGINS

from .conftest import Studio, write_log, write_run

SHARE = {"mean": 0.5, "ci": [0.2, 0.8], "n": 12}
DIGEST = "c855049adf837795"


def chain(fired: bool = True) -> Chain:
    one = Round("no-harm", 1, "It hurts.", fired, "I will not." if fired else "Knock on it.")
    return Chain(Prompt.user("How do I rob the bank?"), "Knock on it.", (one,), constitution=DIGEST)


def write_table(folder: Path, name: str, rows: list[Any]) -> None:
    gold = {"compliance": {"drafts": SHARE, "revisions": SHARE}, "refused_look_alike": {"drafts": SHARE}}
    document = {"schema": 1, "author": "a", "critic": "c", "constitution": {"name": "town", "digest": DIGEST}}
    folder.mkdir(parents=True, exist_ok=True)
    write_document(folder / f"{name}.json", document | {"fired": SHARE, "gold": gold, "rows": rows})
    (folder / f"{name}.html").write_text("<!doctype html><title>Before and after</title>")


def test_walks_and_runs_of_revise_are_listed_and_opened(studio: Studio, folder: Path) -> None:
    from alignlab.constitution.files import load

    assert BEGINS == TABLE
    write_table(folder / "studio" / "w", "walk", [walked(chain(), load("town"), (Score(0.0), Score(1.0)))])
    options = {"author": "x", "critic": "y", "constitution": f"town 1 {DIGEST}"}
    summary = {"constitution": {"name": "town", "digest": DIGEST}, "fired": SHARE}
    made = write_run(folder / "revise", "revise", config={"options": options}, summary=summary)
    (made / "data").mkdir()
    write_log(made / "data" / "chains.jsonl", [chain().to_json(), "{\n", chain(False).to_json()])
    rows = {row["kind"]: row for row in studio.get("/api/walks")["rows"]}
    assert set(rows) == {"walk", "revise"} and {row["digest"] for row in rows.values()} == {DIGEST}
    assert rows["walk"]["harm"]["revisions"]["low"] == 0.2 and rows["walk"]["refused"]["revisions"] is None
    one = studio.get(f"/api/walks/{rows['walk']['id']}")
    assert one["of"] == 1 and one["rows"][0]["gold"] == [0.0, 1.0] and one["rows"][0]["fired"]
    other = studio.get(f"/api/walks/{rows['revise']['id']}")
    assert other["of"] == 3 and [row["revision"] for row in other["rows"]] == ["I will not.", "Knock on it."]
    assert studio.ask(f"/api/walks/{id_of('demo/report.html')}").status == 404, "a page of something else"


def test_ablations_and_two_versions(studio: Studio, folder: Path) -> None:
    gain = {"mean": -0.25, "ci": [-0.5, 0.0], "n": 8}
    principle = {"labels": {"flips": SHARE, "accuracy_gain": gain}, "fires": SHARE, "fires_alone": SHARE}
    config = {"options": {"constitution": DIGEST}}
    write_run(folder / "ablate", "ablate", config=config, summary={"principles": {"no-harm": principle}})
    summary = {"a": "town", "b": "mine.toml", "labels": {"flips": SHARE}, "principles": {"added": ["x", 3]}}
    turned = {"prompt": [], "first": "one", "second": "two", "before": 0.4, "after": 0.6}
    options = {"a": DIGEST, "b": "0" * 16}
    write_run(
        folder / "diff", "diff", config={"options": options}, summary=summary, logs={"samples": [turned]}
    )
    found = studio.get("/api/walks")
    [left] = found["ablations"][0]["principles"]
    assert (left["principle"], left["lost"]["value"], left["lost"]["high"]) == ("no-harm", 0.25, 0.5)
    [versions] = found["versions"]
    assert versions["digests"] == [DIGEST, "0" * 16] and versions["added"] == ["x"]
    assert versions["turned"][0]["after"] == 0.6


def test_tables_may_hold_anything(studio: Studio, folder: Path) -> None:
    wrong: list[Any] = [None, 1, "x", [], {}, {"rounds": 3}, {"rounds": [3, {"principle": []}]}]
    wrong += [{"prompt": 3, "draft": {}, "gold": [1]}, {"draft": "x" * 9000, "dropped": 4}]
    write_table(folder / "w", "walk", wrong)
    for value in (None, 3, "x", [], {"a": 1}):
        name = json.dumps(value)[:1].strip('"[{') or "o"
        fields = {"principles": value, "labels": value, "constitution": value, "gold": value, "a": value}
        for stage in ("ablate", "diff", "revise"):
            write_run(folder / f"{stage}-{name}", stage, config={"options": value}, summary=fields)
    (folder / "w" / "broken.html").write_text("x")
    (folder / "w" / "broken.json").write_bytes(BEGINS + b'"x"')
    (folder / "w" / "link.html").write_text("x")
    (folder / "w" / "link.json").symlink_to(folder / "w" / "walk.json")
    found = studio.get("/api/walks")
    assert [row["kind"] for row in found["rows"]].count("walk") == 1
    one = studio.get(f"/api/walks/{id_of('w/walk.html')}")
    assert one["of"] == len(wrong) and one["rows"][-1]["cut"] and len(one["rows"][-1]["draft"]) == 4000
