"""A run as `alignlab.run` makes it, seen while it works, when it goes on, and when it is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alignlab.run import RunDir
from alignlab.run.lock import release
from alignlab.studio.scan import id_of

from .conftest import Studio, sample

RUN = f"/api/runs/{id_of('walk')}"


def opened(folder: Path) -> RunDir:
    return RunDir.open(folder / "walk", stage="walk", config={"settings": {"steps": 4}}, seed=3)


def work(run: RunDir, steps: int, see: Any = None) -> None:
    for step in run.steps(4, desc="walk"):
        if step == steps:
            return
        run.log(step, {"distance": float(step)})
        run.log_samples(step, [sample(step, 0, 1.0)])
        run.log_samples(step, [{"place": 0, "pieces": ["a"], "logprob": [-1.0]}], into="tokens")
        run.log_samples(step, [{"probe": "0", "completion": "b"}], into="probes")
        if see:
            see(step)


def test_a_run_is_seen_as_it_is_made_and_made_again(tmp_path: Path) -> None:
    studio, counted = Studio(tmp_path), []

    def see(step: int) -> None:
        studio.desk.shelf._at = -10.0
        run = studio.get(RUN)
        assert run["status"] == "running" and run["generation"] == 0
        counted.append(run["rows"])
        columns = studio.get(f"{RUN}/metrics?keys=distance")
        assert columns["values"]["distance"] == [float(one) for one in range(step + 1)]
        assert studio.get(f"{RUN}/samples?sort=-row")["rows"][0]["step"] == step
        assert studio.get(f"{RUN}/tokens?step={step}&place=0")["pieces"] == ["a"]
        assert studio.get(f"{RUN}/probes")["steps"] == [float(one) for one in range(step + 1)]

    run = opened(tmp_path)
    work(run, 3, see)
    assert [rows["samples"] for rows in counted] == [1, 2, 3] == [rows["tokens"] for rows in counted]
    studio.desk.shelf._at = -10.0
    assert studio.get(RUN)["progress"]["done"] >= 1

    # killed without a state: the same command begins anew, in the same files
    release(run.path)
    run = opened(tmp_path)
    work(run, 1)
    studio.desk.shelf._at = -10.0
    again = studio.get(RUN)
    assert again["rows"]["metrics"] == 1 and again["generation"] > 0
    assert studio.get(f"{RUN}/metrics")["step"] == [0.0]

    run.finish({"score_last": 0.5})
    studio.desk.shelf._at = -10.0
    done = studio.get(RUN)
    assert (done["status"], done["progress"], done["id"]) == ("done", None, id_of("walk"))
    assert done["generation"] == again["generation"], "the files have another name, and are the same"
    assert done["figures"][0]["value"] == 0.5 and done["path"] == "walk"
