"""The recorded run: what is in the archive, what a folder without runs is shown, and twenty pairs of it."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from sqlalchemy import select

from alignlab.records import Ranking
from alignlab.run.manifest import faults
from alignlab.studio.answers import demo
from alignlab.studio.recorded import ARCHIVE, CARD, WEIGHTS, Recorded
from alignlab.studio.scan import RECORDED, id_of
from alignlab.votes import schema as store
from alignlab.votes.assignment import ask
from alignlab.votes.voting import Ballot, vote_on

from ..scripts import script
from .conftest import Studio, write_run

MOST = 6_000_000  # bytes of it in the wheel
PPO = f"/api/runs/{id_of(f'{RECORDED}/ppo')}"
TOLD = json.loads(CARD.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def unpacked() -> Iterator[Path]:
    """The recorded run, in the folder into which a studio unpacks it."""
    studio = Studio(Path("/nowhere"))
    studio.desk.shelf.recorded.open(whole=True)
    yield studio.desk.inside.others[RECORDED]
    studio.desk.close()


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def document(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


# --- the archive


def test_the_archive_is_small_and_holds_plain_files_alone() -> None:
    with tarfile.open(ARCHIVE) as archive:
        members = archive.getmembers()
    names = [member.name for member in members]
    assert names == sorted(names, key=lambda name: (name.endswith(WEIGHTS), name)), "weights come last"
    assert len(set(names)) == len(names)
    for member in members:
        assert member.isreg() and not member.name.startswith("/") and ".." not in member.name.split("/")
        assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
        assert member.mode == 0o644 and not member.pax_headers
    assert ARCHIVE.stat().st_size + CARD.stat().st_size <= MOST
    assert [name for name in names if name.endswith(WEIGHTS)] == [
        f"{model}/checkpoint/model{WEIGHTS}" for model in ("ppo", "sft")
    ]


def test_the_card_says_what_it_is() -> None:
    assert TOLD["sha256"] == hashlib.sha256(ARCHIVE.read_bytes()).hexdigest()
    assert TOLD["bytes"]["archive"] == ARCHIVE.stat().st_size and TOLD["seed"] == 0
    assert all(re.fullmatch("[0-9a-f]{40}", commit) for commit in TOLD["commit"])
    assert TOLD["command"] == "alignlab " + " ".join(script("docs/make_demo.py").command(fast=False))


def test_nothing_in_it_names_a_place_of_a_machine(unpacked: Path) -> None:
    make = script("docs/make_demo.py")
    files = {
        path.relative_to(unpacked).as_posix(): path.read_bytes()
        for path in sorted(unpacked.rglob("*"))
        if path.is_file()
    }
    assert len(files) == TOLD["bytes"]["count"] and sum(map(len, files.values())) == TOLD["bytes"]["files"]
    make.check({**files, CARD.name: CARD.read_bytes()})
    for place in (str(Path("/", "root", "runs")), str(Path.home() / "x"), '"/tmp/a"', "(/home/ada/runs)"):
        with pytest.raises(SystemExit):
            make.check({"a": f"made in {place}".encode()})


def test_the_same_files_are_the_same_archive() -> None:
    make = script("docs/make_demo.py")
    files = {"b/run.json": b"{}", f"a/model{WEIGHTS}": b"weights", "a/run.json": b"[]"}
    assert make.packed(files) == make.packed(dict(reversed(files.items())))


def test_it_is_whole_and_keeps_what_pages_show(unpacked: Path) -> None:
    for name in TOLD["runs"]:
        assert faults(unpacked / name) == [], name
    for name in ("ppo", "ppo-unpenalised"):
        run, settings = unpacked / name, document(unpacked / name / "config.json")["settings"]
        steps, batch = settings["steps"], settings["rollouts"]
        samples, probes = rows(run / "samples.jsonl"), rows(run / "probes.jsonl")
        assert Counter(row["step"] for row in samples) == dict.fromkeys(range(steps), batch)
        shown = {(row["step"], row["place"]) for row in samples if row["shown"]}
        assert {(row["step"], row["place"]) for row in rows(run / "tokens.jsonl")} == shown
        asked = [*range(0, steps, 2), steps]
        assert Counter(row["step"] for row in probes) == dict.fromkeys(asked, 16)


def test_its_figures_are_those_of_its_own_logs(unpacked: Path) -> None:
    told = document(unpacked / "summary.json")["models"]
    assert TOLD["gold"] == {name: row["gold"]["mean"] for name, row in told.items()}
    for name, row in told.items():
        run = unpacked / f"eval-{name.replace('_', '-')}"
        wanted = "picked" if name == "best_of_n" else "greedy"
        gold = [sample["gold"] for sample in rows(run / "samples.jsonl") if sample.get("decoding") == wanted]
        assert fmean(gold) == pytest.approx(row["gold"]["mean"]) and len(gold) == row["gold"]["n"]
        assert document(run / "summary.json")["gold"]["mean"] == row["gold"]["mean"]
    for name in ("ppo", "ppo-unpenalised"):
        summary, metrics = document(unpacked / name / "summary.json"), rows(unpacked / name / "metrics.jsonl")
        few = max(1, len(metrics) // 10)
        for figure, key in (("gold", "objective/gold"), ("score", "objective/scores")):
            values = [row[key] for row in metrics]
            assert summary[f"{figure}_first"] == pytest.approx(fmean(values[:few]))
            assert summary[f"{figure}_last"] == pytest.approx(fmean(values[-few:]))


def test_its_figures_are_what_the_page_tells(unpacked: Path) -> None:
    with_it, without = (
        {name: document(unpacked / run / f"{name}.json") for name in ("config", "summary")}
        for run in ("ppo", "ppo-unpenalised")
    )
    settings = [run["config"]["settings"] for run in (with_it, without)]
    changed = {key for key in settings[0] if settings[0][key] != settings[1][key]}
    assert changed == {"kl_coef", "steps", "rollouts", "optim"} and settings[1]["kl_coef"] == 0
    assert with_it["config"]["models"] == without["config"]["models"]
    held, let_go = with_it["summary"], without["summary"]
    assert held["gold_last"] > held["gold_first"]
    assert let_go["gold_last"] < let_go["gold_first"] and let_go["score_last"] > let_go["score_first"]
    gold = TOLD["gold"]
    assert gold["base"] < gold["unpenalised"] < gold["sft"] < min(gold["ppo"], gold["dpo"])


# --- in a studio


def test_a_folder_without_runs_shows_the_recorded_one_and_stays_as_it_was(tmp_path: Path) -> None:
    studio = Studio(tmp_path / "runs")
    found = studio.get("/api/map")
    assert found["group"] == RECORDED and [group["recorded"] for group in found["groups"]] == [True]
    assert {node["name"] for node in found["nodes"]} == set(TOLD["runs"])
    assert not [node["name"] for node in found["nodes"] if node["stale"] or node["status"] != "done"]
    run = studio.get(PPO)
    assert run["recorded"] and run["kept"] == "all" and run["missing"] == []
    assert [parent["id"] is not None for parent in run["parents"]] == [True, True]
    first = next(row for row in studio.get(f"{PPO}/samples?where=shown")["rows"])
    assert studio.get(f"{PPO}/tokens?step={first['step']}&place={first['place']}")["pieces"]
    ids = ",".join(id_of(f"{RECORDED}/{name}") for name in ("eval-base", "sft", "dpo", "ppo"))
    assert len(studio.get(f"/api/compare?runs={ids}")["answers"]["rows"][0]["answers"]) == 4
    folder = studio.desk.inside.at(RECORDED)
    assert studio.desk.folder_of(studio.desk.shelf.look().find(id_of(f"{RECORDED}/sft"))) == folder / "sft"
    assert (folder / "sft" / "checkpoint" / f"model{WEIGHTS}").exists()
    studio.desk.close()
    assert not folder.exists() and not (tmp_path / "runs").exists()


def test_beside_runs_of_ones_own_it_is_unpacked_when_it_is_asked_for(studio: Studio) -> None:
    own = studio.get("/api/map")
    assert own["group"] == "demo" and [group["name"] for group in own["groups"]] == ["demo"]
    assert not studio.desk.shelf.recorded.is_open and not studio.get("/api/runs")["rows"][0]["recorded"]
    found = studio.get(f"/api/map?group={RECORDED}")
    assert found["group"] == RECORDED and len(found["nodes"]) == len(TOLD["runs"])
    assert [group["name"] for group in studio.get("/api/map")["groups"]] == ["demo", RECORDED], "it is last"
    assert studio.get("/api/map")["group"] == "demo"
    studio.desk.close()


def test_a_link_to_one_of_its_runs_holds_after_a_restart(studio: Studio) -> None:
    assert studio.get(PPO)["name"] == "ppo" and studio.desk.shelf.recorded.is_open
    studio.desk.close()


def test_no_run_of_somebody_else_is_taken_for_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "recorded" / "sft", "sft")
    studio = Studio(tmp_path)
    parents = {parent["name"]: parent["id"] for parent in studio.get(PPO)["parents"]}
    assert parents["sft"] == id_of(f"{RECORDED}/sft") != id_of("recorded/sft")
    studio.desk.close()


def test_an_archive_that_cannot_be_unpacked_is_said_once_and_keeps_nobody_waiting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    studio = Studio(tmp_path)
    broken = tmp_path / "run.tar.xz"
    broken.write_bytes(ARCHIVE.read_bytes()[:5000])
    studio.desk.shelf.recorded = Recorded(studio.desk.inside, broken)
    for _ in range(2):
        assert studio.get("/api/map")["nodes"] == []
        studio.desk.shelf._at = -10.0
    assert capsys.readouterr().err.count("cannot be unpacked") == 1
    studio.desk.close()


def test_it_can_be_closed_before_it_is_open_and_while_it_is_unpacked(tmp_path: Path) -> None:
    never, soon = Studio(tmp_path), Studio(tmp_path)
    never.desk.close()
    never.desk.shelf.recorded.open()
    assert not never.desk.shelf.recorded.is_open
    soon.desk.shelf.recorded.open()
    folder = soon.desk.inside.others[RECORDED]
    soon.desk.close()
    assert not folder.exists()


# --- twenty pairs


def test_twenty_pairs_are_sixteen_by_chance_two_of_gold_and_two_again(tmp_path: Path) -> None:
    studio = Studio(tmp_path / "runs")
    made = studio.ask("/api/demo/task", method="POST", body={})
    assert made.status == 200, made.body
    assert studio.ask("/api/demo/task", method="POST", body={}).json == made.json, "the same task again"
    task, votes = made.json["task"], studio.desk.store
    with votes.reading() as connection:
        items = {row["id"]: row for row in demo.rows_of(connection, task)}
    asked, sides = [], dict[str, tuple[str, ...]]()
    for number in range(30):
        given = votes.do(ask, task, "instructor", want=1)
        if not given.items:
            break
        seen = given.items[0]
        row = items[item_of(studio, seen.lease)]
        asked.append(row["why"])
        sides[row["id"]] = seen.texts
        ballot = Ballot(id=f"ballot-{number:03}", lease=seen.lease, strength=1)
        votes.do(vote_on, "instructor", ballot)
    assert Counter(asked) == {"random": 16, "gold": 2, "repeat": 2} and given.state == "done"
    for row in items.values():
        if row["why"] == "repeat":
            assert sides[row["id"]] == sides[row["repeat_of"]][::-1]
    for content in (json.loads(row["content"]) for row in items.values()):
        pair = demo.told_apart(Ranking.from_json(content))
        assert pair and list(pair.ranking.ranks) == content["ranks"], "the truth of each is known"
    mirror = studio.get(f"/api/me/mirror?task={task}")
    assert mirror["n"] == 20 and mirror["gold"]["n"] == 18, "each of the pairs once"
    assert mirror["repeats"]["n"] == 2 and mirror["left"]["n"] == 16
    studio.desk.close()


def item_of(studio: Studio, lease: str) -> str:
    with studio.desk.store.reading() as connection:
        return connection.execute(select(store.lease.c.item).where(store.lease.c.id == lease)).scalar_one()


def test_pairs_turn_on_what_anybody_can_see(unpacked: Path) -> None:
    rankings = [Ranking.from_json(row) for row in rows(unpacked / demo.RANKINGS)]
    pairs = list(demo.telling(rankings))[:18]
    assert len({pair.ranking.prompt.messages[-1].content for pair in pairs}) == 18, "each question once"
    assert len({pair.ranking.prompt.meta["kind"] for pair in pairs}) >= 8
    assert all(pair.gap >= demo.LEAST and sorted(pair.ranking.ranks) == [1, 2] for pair in pairs)
