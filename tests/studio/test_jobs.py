"""Jobs: one runs and four wait, each ends as it should, and nothing is started that was not asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from alignlab.studio.desk import Desk
from alignlab.studio.jobs import records, slot
from alignlab.studio.jobs.catalogue import KINDS
from alignlab.studio.jobs.kind import Kind
from alignlab.studio.jobs.runner import Jobs
from alignlab.studio.scan import id_of
from alignlab.studio.schema.parts import Id, Part

from .conftest import Studio, write_run

PATIENCE = 20.0
PROGRAM = [sys.executable, "-c"]
"""What is given a command's words here: a line of Python, then what it reads as its arguments."""


class Nap(Part):
    seconds: float = Field(0, ge=0, le=60)
    run: Id | None = None


def napping(desk: Desk, asked: Nap, out: Path) -> list[str]:
    if asked.run is not None:
        desk.shelf.look().find(asked.run)
    return [f"import time; print('napping', flush=True); time.sleep({asked.seconds})", str(out)]


def failing(desk: Desk, asked: Nap, out: Path) -> list[str]:
    return ["import sys; sys.exit('a \\x1b[31m reason ' + 'x' * 100_000)"]


def never(desk: Desk, asked: Nap, out: Path) -> list[list[str]]:
    return [["print('never')"]]


def stubborn(desk: Desk, asked: Nap, out: Path) -> list[str]:
    line = "import signal, time; signal.signal(15, lambda *_: print('asked', flush=True) or exit(3))"
    return [f"{line}; print('up', flush=True); time.sleep(60)"]


FAKE = (
    Kind("nap", Nap, napping, 60, "sleeps"),
    Kind("short", Nap, napping, 0),
    Kind("fail", Nap, failing, 60, "", never),
    Kind("stubborn", Nap, stubborn, 60),
)


def hired(studio: Studio, *, on: bool = True, kinds: Sequence[Kind] = FAKE) -> Jobs:
    studio.desk.jobs = jobs = Jobs(studio.desk, kinds, on=on, program=PROGRAM)
    return jobs


@pytest.fixture
def jobs(studio: Studio) -> Iterator[Jobs]:
    jobs = hired(studio)
    yield jobs
    for record in records.all_of(studio.desk.inside):
        jobs.stop(record.id)
    jobs.close()


def post(studio: Studio, kind: str, status: int = 200, **fields: Any) -> Any:
    answer = studio.ask("/api/jobs", method="POST", body={"kind": kind, "fields": fields})
    assert answer.status == status, answer.body
    return answer.json


def row(studio: Studio, id: str) -> Any:
    return next(row for row in studio.get("/api/jobs")["rows"] if row["id"] == id)


def until(happened: Callable[[], Any]) -> Any:
    """What it gives, once that is something."""
    ends = time.monotonic() + PATIENCE
    while not (found := happened()):
        assert time.monotonic() < ends, "it never happened"
        time.sleep(0.02)
    return found


def ended(studio: Studio, id: str) -> Any:
    return until(lambda: (job := row(studio, id))["state"] not in ("waiting", "running") and job)


def running(studio: Studio, id: str) -> Any:
    return until(lambda: (job := row(studio, id))["said"] and job)


def test_a_command_runs_and_is_told_of(studio: Studio, jobs: Jobs) -> None:
    job = post(studio, "nap")
    assert (job["name"], job["state"] in ("waiting", "running")) == ("nap-1", True)
    done = ended(studio, job["id"])
    assert (done["state"], done["exit"], done["why"], done["said"]) == ("done", 0, "", "napping\n")
    assert done["seconds"] > 0 and done["commands"][0].endswith("/studio/runs/nap-1")
    assert studio.ask("/api/jobs", method="POST", body={"kind": "nap"}).json["name"] == "nap-2"


def test_one_that_fails_says_why_and_nothing_follows_it(studio: Studio, jobs: Jobs) -> None:
    job = ended(studio, post(studio, "fail")["id"])
    assert (job["state"], job["exit"], job["why"]) == ("failed", 1, "exit code 1")
    assert len(job["commands"]) == 2 and "never" not in job["said"]
    assert len(job["said"]) == 4000, "the end of what was said"
    kept = studio.desk.inside.root / records.FOLDER / job["id"] / "said.txt"
    assert kept.stat().st_size <= 64_000


def test_one_runs_four_wait_and_no_more(studio: Studio, jobs: Jobs) -> None:
    first = post(studio, "nap", seconds=60)
    running(studio, first["id"])
    waiting = [post(studio, "nap") for _ in range(4)]
    assert [job["state"] for job in waiting] == ["waiting"] * 4
    refused = studio.ask("/api/jobs", method="POST", body={"kind": "nap"})
    assert (
        refused.status == 429
        and refused.headers["retry-after"]
        and "4 jobs wait" in refused.json["error"]["what"]
    )
    event = jobs.told()
    assert (event.running, event.waiting) == ("nap-1", 4)
    gone = studio.ask(f"/api/jobs/{waiting[1]['id']}", method="DELETE", body={}).json
    assert (gone["state"], gone["why"]) == ("stopped", "it was stopped before it began")
    studio.ask(f"/api/jobs/{first['id']}", method="DELETE", body={})
    states = [ended(studio, job["id"]) for job in (first, waiting[0], waiting[2], waiting[3])]
    assert [job["state"] for job in states] == ["stopped", "done", "done", "done"]
    begun = [job["started"] for job in states]
    assert begun == sorted(begun), "in the order in which they were asked"
    assert row(studio, waiting[1]["id"])["state"] == "stopped"


def test_one_that_is_stopped_is_asked_to_and_may_save(studio: Studio, jobs: Jobs) -> None:
    id = post(studio, "stubborn")["id"]
    running(studio, id)
    assert studio.ask(f"/api/jobs/{id}", method="DELETE", body={}).status == 200
    job = ended(studio, id)
    assert (job["state"], job["exit"], job["said"]) == ("stopped", 3, "up\nasked\n")
    again = studio.ask(f"/api/jobs/{id}", method="DELETE", body={}).json
    assert again["ended" if "ended" in again else "state"] == "stopped"


def test_its_time_is_over(studio: Studio, jobs: Jobs) -> None:
    job = ended(studio, post(studio, "short", seconds=60)["id"])
    assert (job["state"], job["why"]) == ("late", "its time was over")


def test_a_job_outlives_the_studio_and_what_waited_does_not(studio: Studio, jobs: Jobs) -> None:
    first, second = post(studio, "nap", seconds=60)["id"], post(studio, "nap")["id"]
    running(studio, first)
    jobs.close()
    later = Studio(studio.desk.inside.root)
    hired(later)
    assert row(later, first)["state"] == "running" and later.get("/api/jobs")["rows"][0]["id"] == second
    assert row(later, second)["state"] == "stopped", "a folder that is opened starts nothing"
    third = post(later, "nap")
    assert third["state"] == "waiting" and third["name"] == "nap-3"
    later.ask(f"/api/jobs/{first}", method="DELETE", body={})
    assert ended(later, first)["state"] == "stopped"
    assert ended(later, third["id"])["state"] == "done"


def test_a_process_that_was_killed_is_not_running_and_another_with_its_number_is_not_signaled(
    studio: Studio, jobs: Jobs
) -> None:
    id = post(studio, "nap", seconds=60)["id"]
    running(studio, id)
    number, job = until(lambda: slot.holder(jobs.folder))
    assert job == id
    child = subprocess.run(["ps", "-o", "pid=", "--ppid", str(number)], capture_output=True, text=True)
    os.kill(number, 9)
    for left in child.stdout.split():
        os.kill(int(left), 9)
    until(lambda: slot.holder(jobs.folder) is None)
    killed = ended(studio, id)
    assert (killed["state"], killed["why"]) == ("stopped", "its process was killed")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        (jobs.folder / slot.LOCK).write_text(f"{other.pid} {id}")
        assert not slot.end(jobs.folder, id)
        assert studio.ask(f"/api/jobs/{id}", method="DELETE", body={}).status == 200
        assert other.poll() is None
        other.kill()


def test_a_command_whose_keeper_was_killed_stops_too(studio: Studio, tmp_path: Path) -> None:
    def serving(desk: Desk, asked: Nap, out: Path) -> list[str]:
        return ["studio", str(tmp_path / "other"), "--port", "0", "--no-open", "--json"]

    studio.desk.jobs = jobs = Jobs(studio.desk, [Kind("serve", Nap, serving, 60)])
    id = post(studio, "serve")["id"]
    command = json.loads(running(studio, id)["said"].splitlines()[0])["pid"]
    keeper, _ = until(lambda: slot.holder(jobs.folder))
    assert alive(command) and not gone(command)
    os.kill(keeper, 9)
    assert until(lambda: gone(command))
    jobs.close()


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return not alive(pid)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_a_job_makes_is_a_run_like_any_other(studio: Studio, jobs: Jobs) -> None:
    job = ended(studio, post(studio, "nap")["id"])
    out = studio.desk.inside.root / "studio" / "runs" / "nap-1"
    write_run(out / "votes", "collect")
    write_run(out / "reward", "reward", started=1001.0)
    write_run(out / "reward" / "folds" / "0", "reward")
    studio.desk.shelf._at = -9
    assert [run["name"] for run in row(studio, job["id"])["runs"]] == ["votes", "reward"]
    assert studio.get("/api/map?group=studio/runs/nap-1")["nodes"]


def test_how_far_a_job_is_is_how_far_its_run_or_its_pipeline_is(studio: Studio, jobs: Jobs) -> None:
    id = post(studio, "nap", seconds=60)["id"]
    running(studio, id)
    out = studio.desk.inside.root / "studio" / "runs" / "nap-1"
    run = write_run(out / "ppo.partial", status="running")
    (run / ".lock").write_text(str(os.getpid()))
    (run / "progress.json").write_text('{"done": 3, "total": 12, "seconds_left": 9.5}')
    studio.desk.shelf._at = -9
    job = row(studio, id)
    assert job["progress"] == {"done": 3, "total": 12, "seconds_left": 9.5}
    assert [(run["name"], run["status"]) for run in job["runs"]] == [("ppo", "running")]
    assert jobs.told().progress is not None
    stages = [
        {"name": name, "stage": "sft", "needs": [], "state": state}
        for name, state in (("a", "done"), ("b", ""))
    ]
    (out / "plan.json").write_text(json.dumps({"stages": stages}))
    studio.desk.shelf._at = -9
    assert row(studio, id)["progress"] == {"done": 1, "total": 2, "seconds_left": None}


def test_news_of_jobs_are_told_as_they_happen(studio: Studio, jobs: Jobs) -> None:
    first = studio.desk.hub.source.now(["jobs"])
    assert [(topic, event.running) for topic, event in first] == [("jobs", None)]  # type: ignore[union-attr]
    assert studio.desk.hub.source.new(["jobs"], fresh=9) == []
    id = post(studio, "nap", seconds=60)["id"]
    running(studio, id)
    [(_, event)] = studio.desk.hub.source.new(["jobs"], fresh=9)
    assert event.event == "jobs" and event.running == "nap-1"
    assert studio.ask("/api/events?topics=jobs,map").status == 200
    assert studio.ask("/api/events?topics=job").status == 422


def test_nothing_is_asked_for_but_what_a_kind_names(studio: Studio, jobs: Jobs) -> None:
    run = id_of("demo/ppo")
    assert post(studio, "nap", run=run)["fields"] == {"seconds": 0.0, "run": run}
    assert post(studio, "nap", 404, run="0" * 12)["error"]["code"] == "not_found"
    assert "nap" in post(studio, "rm -rf", 404)["error"]["remedy"]
    for wrong in (
        {"run": "../../etc"},
        {"run": "gpt2"},
        {"argv": ["x"]},
        {"seconds": -1},
        {"seconds": "; ls"},
    ):
        assert post(studio, "nap", 422, **wrong)["error"]["field"].startswith("fields."), wrong
    assert len(studio.get("/api/jobs")["rows"]) == 1
    shown = studio.ask("/api/commands", method="POST", body={"kind": "nap"}).json
    assert shown["commands"][0].startswith("alignlab ") and len(studio.get("/api/jobs")["rows"]) == 1
    for id in ("0" * 12, "..%2f..%2fetc", "x", "0" * 5000):
        assert studio.ask(f"/api/jobs/{id}", method="DELETE", body={}).status in (404, 422)


def test_a_studio_that_starts_none_shows_the_command(studio: Studio) -> None:
    hired(studio, on=False)
    assert studio.get("/api/jobs")["on"] is False
    refused = post(studio, "nap", 403)["error"]
    assert refused["code"] == "jobs_off" and "copy" in refused["remedy"]
    assert studio.ask("/api/commands", method="POST", body={"kind": "nap"}).json["commands"]
    assert not (studio.desk.inside.root / "studio").exists()


def test_a_folder_made_to_harm_starts_nothing_and_breaks_nothing(studio: Studio, tmp_path: Path) -> None:
    place = studio.desk.inside.root / records.FOLDER
    good = {
        "id": "x",
        "kind": "nap",
        "name": "nap-1",
        "fields": {},
        "made": 1.0,
        "limit": 9,
        "commands": [["x"]],
    }
    planted: dict[str, Any] = {
        "0" * 12: good,
        "1" * 12: good | {"commands": {"a": 1}, "fields": [1]},
        "2" * 12: good | {"name": "../../up"},
        "3" * 12: good | {"made": float("inf")},
        "4" * 12: ["no object"],
        "not-an-id": good,
    }
    for name, document in planted.items():
        (place / name).mkdir(parents=True)
        (place / name / "job.json").write_text(json.dumps(document))
        (place / name / "state.json").write_text('{"started": "x", "ended": [], "exit": 1e99, "why": {}}')
    (place / ("5" * 12)).symlink_to(tmp_path)
    os.mkfifo(place / ("0" * 12) / "said.txt")
    hired(studio)
    rows = studio.get("/api/jobs")["rows"]
    assert [(job["id"][0], job["state"]) for job in rows] == [("0", "stopped"), ("1", "stopped")]
    assert studio.ask(f"/api/jobs/{'0' * 12}", method="DELETE", body={}).json["state"] == "stopped"


def test_nothing_is_written_through_a_link(studio: Studio, tmp_path: Path) -> None:
    hired(studio)
    (studio.desk.inside.root / "studio").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere").mkdir()
    answer = studio.ask("/api/jobs", method="POST", body={"kind": "nap"})
    assert answer.status == 503 and "link" in answer.json["error"]["what"]
    assert not list((tmp_path / "elsewhere").iterdir())


# --- the kinds that there are


@pytest.fixture
def trained(folder: Path) -> Path:
    write_run(folder / "demo" / "reward", "reward")
    write_run(folder / "demo" / "collect", "collect")
    return folder


def command_of(studio: Studio, kind: str, status: int = 200, **fields: Any) -> Any:
    answer = studio.ask("/api/commands", method="POST", body={"kind": kind, "fields": fields})
    assert answer.status == status, answer.body
    return answer.json["commands"] if status == 200 else answer.json["error"]


def test_every_kind_is_a_command_that_the_command_line_takes(trained: Path) -> None:
    """Its options and settings are those that there are."""
    from alignlab import cli

    studio = Studio(trained)
    sft, reward = id_of("demo/sft"), id_of("demo/reward")
    asked: dict[str, dict[str, Any]] = {
        "demo": {"seed": 3},
        "sample": {"model": sft},
        "align": {"model": sft, "reward": reward, "steps": 24},
        "measure": {"model": sft, "baseline": id_of("demo/eval-ppo")},
    }
    lines = [line for kind, fields in asked.items() for line in command_of(studio, kind, **fields)]
    lines += command_of(studio, "align", method="dpo", model=sft, rankings=id_of("demo/collect"))
    assert len(lines) == 7 and {kind.name for kind in KINDS} >= {*asked, "learn"}
    for line in lines:
        words = line.split()
        assert words[0] == "alignlab" and cli.main([*words[1:], "--print-config"]) == 0, line


def test_models_are_those_of_the_list(trained: Path) -> None:
    studio = Studio(trained)
    sft, reward = id_of("demo/sft"), id_of("demo/reward")
    for model in ("gpt2", "http://127.0.0.1/v1#x", "../sft", ""):
        assert command_of(studio, "sample", 422, model=model)["field"] == "fields.model"
    assert command_of(studio, "sample", 404, model="0" * 12)
    assert "a finished run of" in command_of(studio, "sample", 422, model=reward)["what"]
    assert command_of(studio, "align", 422, model=sft)["field"] == "fields.reward"
    assert command_of(studio, "align", 422, model=sft, reward=reward, steps=25)["field"] == "fields.steps"
    assert command_of(studio, "learn", 404, model=sft, task="x" * 8)["remedy"]
    (trained / "demo" / "sft").rename(trained / "demo" / "sft.partial")
    studio.desk.shelf._at = -9
    assert "stopped" in command_of(studio, "measure", 422, model=sft)["where"]
