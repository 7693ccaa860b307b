"""What is answered about runs that are whole."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from alignlab.studio.curves import Curves
from alignlab.studio.scan import id_of
from alignlab.studio.schema import MetricsAsked

from .conftest import Studio, sample, write_log, write_run

PPO = f"/api/runs/{id_of('demo/ppo')}"


def test_the_map_has_runs_with_what_they_are_made_from_and_what_is_planned(
    studio: Studio, folder: Path
) -> None:
    stages = [
        {"name": "sft", "stage": "sft", "needs": [], "state": "done", "text": ""},
        {"name": "ppo", "stage": "ppo", "needs": ["sft"], "state": "done", "text": ""},
        {"name": "dpo", "stage": "dpo", "needs": ["sft", "who"], "state": "waiting", "text": ""},
    ]
    (folder / "demo" / "plan.json").write_text(json.dumps({"schema": 1, "stages": stages}))
    write_run(folder / "older" / "sft", "sft", started=10.0)
    found = studio.get("/api/map")
    assert (found["group"], [group["name"] for group in found["groups"]]) == ("demo", ["demo", "older"])
    group = {"name": "demo", "runs": 3, "running": 0, "started": 1002.0, "planned": True, "recorded": False}
    assert found["groups"][0] == group
    nodes = {node["id"]: node for node in found["nodes"]}
    names = {node["name"]: (node["stage"], node["status"]) for node in found["nodes"]}
    done = {"sft": ("sft", "done"), "ppo": ("ppo", "done"), "eval-ppo": ("eval", "done")}
    assert names == done | {"dpo": ("dpo", "waiting")}
    edges = {(nodes[edge["parent"]]["name"], nodes[edge["child"]]["name"]) for edge in found["edges"]}
    assert edges == {("sft", "ppo"), ("ppo", "eval-ppo"), ("sft", "dpo")} and len(found["edges"]) == 3
    figure = next(node["figure"] for node in found["nodes"] if node["name"] == "ppo")
    assert (figure["name"], figure["value"]) == ("gold", 0.75)
    assert studio.get("/api/map?group=older")["nodes"][0]["name"] == "sft"
    assert studio.get("/api/map?group=nowhere")["nodes"] == []


def test_a_stage_that_failed_says_why(studio: Studio, folder: Path) -> None:
    (folder / "demo" / "ppo").rename(folder / "demo" / "ppo.partial")
    stages = [{"name": "ppo", "stage": "ppo", "needs": [], "state": "failed", "text": "KL ran away"}]
    (folder / "demo" / "plan.json").write_text(json.dumps({"schema": 1, "stages": stages}))
    run = studio.get(PPO)
    assert (run["status"], run["problem"]) == ("failed", "KL ran away")


def test_a_run_whose_parent_was_made_anew_is_stale(tmp_path: Path) -> None:
    from alignlab.run import key_of
    from alignlab.run.identity import run_key

    config, parent = {"settings": {"lr": 1.0}}, tmp_path / "a"
    identity = {"stage": "sft", "seed": 0, "data": {}}
    lineage = {str(parent): "key of a"}
    key = run_key(config, identity, lineage, {"x.py": "1"}, "0.1.0")
    write_run(parent, "pretrain", key="key of a")
    child = {"key": key, "parents": [str(parent)], "code": {"x.py": "1"}, "config": config}
    write_run(tmp_path / "b", "sft", **child)
    info = json.loads((tmp_path / "b" / "run.json").read_text())
    assert key_of(info, config, lineage) == key != key_of(info, config, {str(parent): "another"})
    studio = Studio(tmp_path)
    assert studio.get(f"/api/runs/{id_of('b')}")["stale"] is False
    write_run(parent, "pretrain", key="key of another a")
    studio.desk.shelf._at = -10.0
    run = studio.get(f"/api/runs/{id_of('b')}")
    assert run["stale"] and run["parents"] == [{"id": id_of("a"), "name": "a", "stage": "pretrain"}]


def test_a_folder_that_was_moved_keeps_its_families(tmp_path: Path) -> None:
    write_run(tmp_path / "moved" / "sft", "sft")
    write_run(tmp_path / "moved" / "ppo", parents=["/was/elsewhere/sft", "/was/elsewhere/gone"])
    studio = Studio(tmp_path)
    run = studio.get(f"/api/runs/{id_of('moved/ppo')}")
    assert [parent["id"] for parent in run["parents"]] == [id_of("moved/sft"), None]
    child = {"id": id_of("moved/ppo"), "name": "ppo", "stage": "ppo"}
    assert studio.get(f"/api/runs/{id_of('moved/sft')}")["children"] == [child]


def test_one_run_says_what_it_has_and_what_would_have_kept_the_rest(studio: Studio, folder: Path) -> None:
    run = studio.get(PPO)
    assert run["rows"] == {"metrics": 3, "samples": 12, "health": 0, "tokens": 1, "probes": 2}
    assert (run["kept"], run["kept_until"], run["keys"]) == ("all", None, ["objective/kl", "time/s"])
    assert [one["panel"] for one in run["missing"]] == ["gold"]
    write_log(folder / "demo" / "ppo" / "samples.jsonl", [sample(3, 0, 1.0)], how="a")
    remark = {"name": "x", "verdict": "broken", "evidence": "e", "steps": [0, 1], "why": "w", "cause": "c"}
    write_log(folder / "demo" / "ppo" / "health.jsonl", [remark | {"turn": "t"}, remark])
    run = studio.get(PPO)
    assert run["kept_until"] == 2 and [one["name"] for one in run["health"]] == ["x"]
    old = write_run(folder / "demo" / "old", logs={"samples": [{"step": 0, "completion": "x", "proxy": 1}]})
    studio.desk.shelf._at = -10.0
    found = studio.get(f"/api/runs/{id_of('demo/old')}")
    assert found["kept"] == "few" and {one["panel"] for one in found["missing"]} >= {"samples", "probes"}
    assert studio.get(f"/api/runs/{id_of('demo/old')}/samples")["rows"][0]["shown"] and old.exists()


def test_curves_keep_the_ends_of_each_bucket_and_say_what_was_not_finite(
    studio: Studio, folder: Path
) -> None:
    rows = [{"step": step, "a": float(step % 10), "late": 1.0} for step in range(1000)]
    rows[17]["a"], rows[18]["a"], rows[900]["a"] = math.nan, math.inf, -5.0
    for row in rows[:100]:
        del row["late"]
    write_log(folder / "demo" / "ppo" / "metrics.jsonl", rows)
    path = f"{PPO}/metrics?keys=a,late,none"
    found = studio.get(f"{path}&most=100")
    assert (found["rows"], found["stride"], len(found["step"])) == (1000, 16, 63)
    assert found["step"][1] == 16.0 and found["low"]["a"][56] == -5.0 and found["high"]["a"][2] == 9.0
    assert found["values"]["late"][0] is None and set(found["values"]) == {"a", "late"}
    whole = studio.get(f"{path}&start=10&end=20")
    assert whole["stride"] == 1 and whole["low"] == {} and whole["first"] == 10
    assert whole["values"]["a"][6:10] == [6.0, None, None, 9.0]
    wrong = [(one["row"], one["value"]) for one in whole["broken"]]
    assert wrong == [(17, "nan"), (18, "inf")] and whole["broken"][0]["step"] == 17.0
    assert studio.get(f"{path}&after=990")["step"] == [float(step) for step in range(990, 1000)]
    assert studio.get(f"{path}&start=5000")["step"] == []


def test_a_curve_that_grows_keeps_its_buckets() -> None:
    """Whatever there is, a bucket that is full is as it was, until all buckets double."""
    curves, last = Curves(), None
    for step in range(500):
        curves.take(0, json.dumps({"step": step, "a": step % 7}).encode())
        found = curves.asked(MetricsAsked(id="0" * 12, most=20), 0)
        assert len(found.step) <= 20
        if last and last.stride == found.stride:
            full = (last.rows // last.stride) or 0
            assert found.values["a"][:full] == last.values["a"][:full]
        last = found


@pytest.mark.parametrize("stride_of", [(None, None), (30.0, 77.0)])
def test_the_tail_of_a_curve_is_the_end_of_the_whole(stride_of: tuple[float | None, float | None]) -> None:
    curves = Curves()
    for step in range(100):
        curves.take(0, json.dumps({"step": step, "a": step * 0.5}).encode())
    start, end = stride_of
    asked = {"id": "0" * 12, "most": 16, "start": start, "end": end}
    whole = curves.asked(MetricsAsked(**asked), 0)
    for after in range(100):
        part = curves.asked(MetricsAsked(**asked, after=after), 0)
        assert part.stride == whole.stride and part.first % part.stride == 0
        if part.step:
            assert whole.values["a"][-len(part.step) :] == part.values["a"]


def test_samples_by_step_by_token_and_on_the_same_prompts(studio: Studio) -> None:
    bins = studio.get(f"{PPO}/histogram?key=proxy&bins=5")
    assert bins["steps"] == [0.0, 1.0, 2.0] and [sum(row) for row in bins["counts"]] == [4, 4, 4]
    tokens = studio.get(f"{PPO}/tokens?step=1&place=0")
    assert (tokens["pieces"], tokens["logprob"], tokens["value"]) == (["ans", "wer"], [-0.5, -1.0], [])
    assert studio.ask(f"{PPO}/tokens?step=1&place=1").status == 404
    probes = studio.get(f"{PPO}/probes")
    assert (probes["steps"], [one["id"] for one in probes["prompts"]]) == ([0.0, 2.0], ["p1"])
    assert [cell["completion"] for cell in probes["cells"][0]] == ["at 0", "at 2"]
    whole = studio.get(f"{PPO}/samples/5")
    assert (whole["step"], whole["place"], whole["length"], whole["tokens"]) == (1.0, 1, 2, True)


def test_texts_are_cut_in_lists_and_whole_by_themselves(studio: Studio, folder: Path) -> None:
    long = sample(
        0, 0, 1.0, completion="x" * 9000, reason="r" * 9000, prompt=[{"role": "u", "content": "p" * 9000}]
    )
    write_log(
        folder / "demo" / "ppo" / "samples.jsonl", [long | {"others": {"a": ["b"] * 5000}, "n": "n" * 9000}]
    )
    row = studio.get(f"{PPO}/samples")["rows"][0]
    assert len(row["completion"]) == len(row["reason"]) == len(row["prompt"][0]["content"]) == 4000
    assert row["cut"] and "others" not in row["others"] and len(row["others"]["n"]) == 200
    whole = studio.get(f"{PPO}/samples/0")
    assert (
        len(whole["completion"]) == 9000 and not whole["cut"] and len(whole["others"]["others"]["a"]) == 5000
    )


def test_runs_beside_each_other_by_their_evaluations(studio: Studio, folder: Path) -> None:
    answers = [
        {"step": 0, "id": f"q{i}", "decoding": "greedy", "gold": 1, "completion": "y", "prompt": []}
        for i in (4, 3, 2, 7)
    ]
    dpo = write_run(folder / "demo" / "dpo", "dpo", config={"settings": {"steps": 4, "beta": 0.1}})
    write_run(folder / "demo" / "eval-dpo", "eval", parents=[str(dpo)], logs={"samples": answers})
    runs = f"{id_of('demo/ppo')},{id_of('demo/dpo')}"
    found = studio.get(f"/api/compare?runs={runs}&sort=-change")
    assert [column["measured"]["name"] for column in found["columns"]] == ["eval-ppo", "eval-dpo"]
    settings = {row["key"]: row["values"] for row in found["settings"]}
    assert settings == {"steps": [3, 4], "beta": [None, 0.1], "stage": ["ppo", "dpo"]} and found["same"] == 1
    assert found["warnings"] == [] and found["paired"][0]["differences"][1]["n"] == 3
    assert [row["change"] for row in found["answers"]["rows"]] == [1.0, 1.0, 0.0]
    write_run(folder / "demo" / "eval-dpo", "eval", parents=[str(dpo)], data={"x": "y"}, seed=1)
    studio.desk.shelf._at = -10.0
    other = studio.get(f"/api/compare?runs={runs}")
    assert other["warnings"] == ["the evaluations are of other prompts"] and other["paired"] == []
    steps = studio.get(f"/api/compare?runs={id_of('demo/ppo')}&steps=0,2")
    assert [column["step"] for column in steps["columns"]] == [0.0, 2.0]
    assert [answer["completion"] for answer in steps["answers"]["rows"][0]["answers"]] == ["at 0", "at 2"]
    many = ",".join([id_of("demo/ppo")] * 7)
    assert studio.ask(f"/api/compare?runs={many}").status == 200, "the same run is one column"
    assert studio.ask(f"/api/compare?runs={runs}&steps=0").status == 422


def test_figures_are_called_by_whoever_judged(tmp_path: Path) -> None:
    summary = {"gold": {"mean": 0.5, "ci": [0.4, 0.6], "n": 10}, "gold_sampled": 0.25}
    judges = {"by-gold": "town:gold", "by-other": "rule:length", "by-nobody": {"a": 1}}
    for name, judge in judges.items():
        write_run(tmp_path / name, "eval", summary=summary, config={"options": {"judge": judge}})
    rows = {row["name"]: row["figures"] for row in Studio(tmp_path).get("/api/runs")["rows"]}
    assert [figure["name"] for figure in rows["by-gold"]] == ["gold", "gold at T = 1"]
    assert [figure["name"] for figure in rows["by-other"]] == ["rule:length", "rule:length at T = 1"]
    assert rows["by-nobody"][0] == {"name": "gold", "value": 0.5, "low": 0.4, "high": 0.6, "n": 10}


def test_pages_are_listed_by_their_titles_and_sandboxed(studio: Studio, folder: Path) -> None:
    (folder / "demo" / "linked.html").symlink_to("/etc/hostname")
    rows = studio.get("/api/pages")["rows"]
    assert [(row["title"], row["path"]) for row in rows] == [("A report", "demo/report.html")]
    page = studio.ask(f"/api/pages/{rows[0]['id']}")
    assert page.body.startswith(b"<!doctype") and page.headers["content-security-policy"].startswith(
        "sandbox;"
    )
