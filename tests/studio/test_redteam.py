"""Campaigns: what is listed of them, labels in the store, the queue that `redteam judge --human` reads."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from alignlab.redteam.judging import judge_command, read_queue
from alignlab.studio.scan import id_of
from alignlab.votes.store import audit, read_store, studio_folder

from .conftest import Studio, write_campaign, write_run

ID = id_of("campaign")
FINDINGS, ATTEMPTS = f"/api/campaigns/{ID}/findings", f"/api/campaigns/{ID}/attempts"


@pytest.fixture
def studio(folder: Path) -> Studio:
    write_campaign(folder / "campaign")
    return Studio(folder)


def say(studio: Studio, subject: str, label: str | None, note: str = "", *, status: int = 200) -> Any:
    body = {"subject": subject, "label": label, "note": note}
    answer = studio.ask("/api/labels", method="POST", body=body)
    assert answer.status == status, answer.body
    return answer.json


def test_a_campaign_is_listed_with_its_figures(studio: Studio) -> None:
    [row] = studio.get("/api/campaigns")["rows"]
    assert row["run"]["id"] == ID and row["target"] == "bot:all" and row["defences"] == ["self-reminder"]
    assert row["findings"] == {"high": 1, "medium": 0, "low": 1} and row["goals"] == 9
    assert row["best"]["name"] == "story" and row["over_refusal"]["low"] == 0.2


def test_findings_are_sorted_filtered_paged_and_stand_beside_their_twin(studio: Studio) -> None:
    found = studio.get(FINDINGS)
    assert [row["id"] for row in found["rows"]] == ["F-002", "F-001"], "worst first"
    worst = found["rows"][0]
    assert worst["rate"]["value"] == pytest.approx(8 / 9) and worst["rate"]["n"] == 9
    assert 0.5 < worst["rate"]["low"] < 8 / 9 < worst["rate"]["high"] <= 1
    assert worst["refuses"] == 0.25 and worst["queries"] == 3 and worst["seed"] == str(2**62)
    assert worst["twin"]["completion"].startswith("To rob the bees"), "the topic's own twin"
    argv = shlex.split(worst["repro"])
    assert argv[:4] == ["alignlab", "redteam", "repro", "F-002"]
    assert Path(argv[5]) == studio.desk.inside.root / "campaign"
    assert studio.get(f"{FINDINGS}?sort=id")["rows"][0]["id"] == "F-001"
    assert [row["id"] for row in studio.get(f"{FINDINGS}?severity=high")["rows"]] == ["F-002"]
    assert [row["id"] for row in studio.get(f"{FINDINGS}?q=HIDE+your")["rows"]] == ["F-001"]
    first = studio.get(f"{FINDINGS}?limit=1")
    assert studio.get(f"{FINDINGS}?limit=1&cursor={first['next']}")["rows"][0]["id"] == "F-001"


def test_nothing_is_written_into_a_folder_that_is_only_looked_at(studio: Studio) -> None:
    found = studio.get(FINDINGS)
    assert found["head"] == "" and found["agreement"]["labeled"] == 0
    studio.get(ATTEMPTS)
    assert not (studio.desk.inside.root / "studio").exists()


def test_labels_are_kept_in_the_store_and_held_against_the_judge(studio: Studio) -> None:
    run = studio.desk.inside.root / "campaign"
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    worst, other = studio.get(FINDINGS)["rows"]
    first = say(studio, worst["subject"], "comply", "both steps are right")
    assert say(studio, worst["subject"], "comply", "both steps are right") == first
    say(studio, other["subject"], "partial")
    for row in studio.get(ATTEMPTS)["rows"]:
        say(studio, row["subject"], row["label"] or "void")
    found = studio.get(FINDINGS)
    assert found["rows"][0]["human"] == {
        "label": "comply",
        "note": "both steps are right",
        "at": found["rows"][0]["human"]["at"],
    }
    agreement = found["agreement"]
    assert agreement["labeled"] == 6 and agreement["differ"] == 1, "what the judge failed on is no pair"
    assert agreement["kappa"]["low"] <= agreement["kappa"]["value"] < 1 == agreement["kappa"]["high"]
    assert agreement["confirmed"]["value"] == 1.0 and agreement["confirmed"]["n"] == 2
    assert [row["id"] for row in studio.get(f"{FINDINGS}?human=differs")["rows"]] == ["F-001"]
    assert studio.get(f"{FINDINGS}?human=none")["total"] == 0
    assert studio.get(f"{ATTEMPTS}?label=void&human=labeled")["total"] == 1
    say(studio, other["subject"], None)
    assert studio.get(FINDINGS)["agreement"]["differ"] == 0
    with read_store(studio_folder(studio.desk.inside.root)) as connection:
        verdict = audit(connection)
    assert verdict.whole and studio.get(FINDINGS)["head"] == str(verdict.head)
    assert {path: path.read_bytes() for path in before} == before, "the run stays as it is"


def test_where_the_judge_says_one_thing_alone_there_is_no_kappa(studio: Studio) -> None:
    for row in studio.get(FINDINGS)["rows"]:
        say(studio, row["subject"], "comply")
    assert studio.get(FINDINGS)["agreement"]["kappa"] is None


def test_a_label_of_nothing_that_is_there_is_refused(studio: Studio) -> None:
    say(studio, "0" * 16, "comply", status=404)
    say(studio, "../../etc/passwd", "comply", status=422)
    say(studio, studio.get(FINDINGS)["rows"][0]["subject"], "yes", status=422)
    assert not (studio.desk.inside.root / "studio").exists()


def test_the_queue_is_read_by_redteam_judge(studio: Studio, capsys: pytest.CaptureFixture[str]) -> None:
    worst, _ = studio.get(FINDINGS)["rows"]
    say(studio, worst["subject"], "refuse")
    attempt = studio.get(f"{ATTEMPTS}?label=refuse")["rows"][0]
    say(studio, attempt["subject"], "partial")
    written = studio.ask(f"/api/campaigns/{ID}/queue", method="POST", body={}).json
    file = studio.desk.inside.root / written["file"]
    assert written["rows"] == 3, "two findings, one of them to be filled in, and an answer"
    assert read_queue(file) == {worst["subject"]: "refusal", attempt["subject"]: "partial"}
    for command, human in zip(written["commands"], ("refusal", "partial"), strict=True):
        argv = shlex.split(command)
        assert argv[:3] == ["alignlab", "redteam", "judge"] and argv[4:7:2] == ["--judge", "--human"]
        judged = judge_command(argv[3], argv[5], "", argv[7])
        assert judged["human"] == 1
        assert [row["label"] for row in judged["rows"] if row["reason"] == "a human says so"] == [human]
    assert studio.ask(f"/api/campaigns/{ID}/queue", method="POST", body={}).status == 200, "and again"


def test_a_queue_is_not_written_through_a_link(studio: Studio, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (studio.desk.inside.root / "studio").mkdir()
    (studio.desk.inside.root / "studio" / "labels").symlink_to(outside)
    assert studio.ask(f"/api/campaigns/{ID}/queue", method="POST", body={}).status == 503
    assert not list(outside.iterdir())


def test_what_is_no_campaign_and_lines_that_are_no_findings(studio: Studio, folder: Path) -> None:
    wrong: list[Any] = [None, 3, "x", [], {}, {"id": "F-001"}, '{"a": 1']
    row = json.loads((folder / "campaign" / "data" / "findings.jsonl").read_text().splitlines()[0])
    for name in row:
        if name not in ("notes", "human", "p_refusal", "queries", "reason", "finished", "meta"):
            wrong.append(row | {name: {"a": [1]}})
    wrong += [row | {"id": "--help"}, row | {"severity": "worst"}]
    fine = [row | {"p_refusal": "x", "queries": -1, "goals": 10**30}, row | {"completion": "x" * 9000}]
    made = write_run(folder / "hostile", "redteam", config={"options": 3}, summary={"attacks": 1, "best": []})
    (made / "data").mkdir()
    lines = [line if isinstance(line, str) else json.dumps(line) for line in [*wrong, *fine]]
    (made / "data" / "findings.jsonl").write_text("\n".join(lines) + "\n")
    (made / "data" / "twins.jsonl").write_text("\n".join(lines) + "\n")
    (made / "data" / "attempts.jsonl").write_text("\n".join(lines) + "\n")
    found = studio.get(f"/api/campaigns/{id_of('hostile')}/findings")
    assert found["of"] >= 2 and found["of"] + found["unread"] == len(lines)
    assert any(case["cut"] and len(case["completion"]) == 4000 for case in found["rows"])
    assert studio.get(f"/api/campaigns/{id_of('hostile')}/attempts")["total"] == 0
    assert len(studio.get("/api/campaigns")["rows"]) == 2
    assert studio.ask(f"/api/campaigns/{id_of('demo/ppo')}/findings").status == 404


def test_a_fix_shows_what_is_left_after_it(studio: Studio, folder: Path) -> None:
    share = {"mean": 0.5, "ci": None, "n": 2}
    summary = {"before": {"goals": 7, "plain": share}, "after": {}, "rounds": [{}, {}]}
    made = write_campaign(folder / "fix")
    (made / "summary.json").write_text(json.dumps(summary))
    rows = (made / "data" / "findings.jsonl").read_text().splitlines()
    (made / "data" / "findings-after-1.jsonl").write_text(rows[0] + "\n")
    path = f"/api/campaigns/{id_of('fix')}/findings"
    assert studio.get(path)["of"] == 2 and studio.get(path)["campaign"]["after"]
    after = studio.get(f"{path}?after=true")
    assert after["of"] == 1 and after["rows"][0]["repro"] == "", "the command reads those before the fix"
