"""Who works the stages of a pipeline: what is lost is given again, and Ray's machines make what one makes.

The campaigns need Ray (`pip install 'alignlab[ray]'`): a cluster of three nodes on the loopback.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from alignlab import cli
from alignlab.errors import ConfigError, ResourceError, UserError
from alignlab.pipeline import on_ray
from alignlab.pipeline.executor import Work
from alignlab.pipeline.runner import Pipeline, executor_named

with_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'alignlab[ray]'"
)
COUNTING = """
import time
from alignlab.run import RunDir

def counting(*, to, out, resume, pause=0.0, data=""):
    run = RunDir.open(out, stage="counting", config={"to": to}, seed=0, resume=resume)
    if not run.done:
        def one(number, items):
            print(f"at {number}", flush=True)
            time.sleep(pause)
            return list(items)
        run.finish({"sum": sum(sum(part) for part in run.in_chunks(range(to), one, size=1, desc="n"))})
    return {"text": f"counted to {to}"}
"""
"""A stage that keeps each number as it has it."""


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A stage of a module that other processes can import."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "counting_stage.py").write_text(COUNTING)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    yield importlib.import_module("counting_stage").counting
    sys.modules.pop("counting_stage")


def test_other_names_are_refused_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("slurm", "ray=", "rays", "local=2", ""):
        with pytest.raises(ConfigError, match="executor"):
            executor_named(name, 0)
    words = ["study", "closed-form", "--executor", "slurm", "--out", str(tmp_path / "s")]
    assert cli.main(words) == 3 and "ray=HOST:PORT" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"alignlab\[ray\]"):
        executor_named("ray", 0)


def test_an_address_where_nothing_answers_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", false_ray([]))
    for address in ("127.0.0.1:1", "127.0.0.1", "127.0.0.1:many", "127.0.0.1:99999999"):
        with pytest.raises(ResourceError, match="no Ray cluster answers"):
            executor_named(f"ray={address}", 0)


def test_a_machine_says_what_a_stage_says_until_it_ends(
    counting: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # it goes there
    work = Work("count", counting, {"to": 2, "out": tmp_path / "count", "resume": True})
    said = list(on_ray.worked(work, str(tmp_path), on_ray.versions()))
    assert said == [("said", "at 0"), ("said", "at 1"), ("done", "counted to 2")]


def test_a_machine_unlike_the_others_is_refused(counting: Any, tmp_path: Path) -> None:
    work = Work("count", counting, {"to": 2, "out": tmp_path / "count", "resume": True})
    mine = on_ray.versions()
    other = mine | {"torch": "1.0", "alignlab's source": "0"}
    ((outcome, error),) = on_ray.worked(work, str(tmp_path), other)
    assert outcome == "error" and isinstance(error, ConfigError)
    assert f"torch {mine['torch']}, not 1.0" in str(error) and "source" in str(error)
    ((outcome, error),) = on_ray.worked(work, str(tmp_path / "elsewhere"), mine)
    assert outcome == "error" and isinstance(error, ResourceError) and "file system" in str(error)
    assert not (tmp_path / "count").exists()


class Lost(Exception):
    """What the false Ray raises of a stage whose worker died."""


def false_ray(answers: list[Any]) -> ModuleType:
    """A cluster of four cores that answers one after the other; whether an answer is an exception decides
    whether it is raised.
    """
    ray: Any = ModuleType("ray")
    ray.given = []

    class Stream:
        def __next__(self) -> Any:
            return answers.pop(0)

        def completed(self) -> None: ...

    def remote(*words: Any) -> Stream:
        ray.given.append(words[0].name)
        return Stream()

    def get(answer: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    ray.init = lambda **how: None
    ray.shutdown = lambda: None
    ray.cancel = lambda stream: None
    ray.cluster_resources = lambda: {"CPU": 4.0}
    ray.wait = lambda streams, **how: (streams, [])
    ray.get = get
    ray.remote = lambda **how: (
        lambda target: SimpleNamespace(options=lambda name: SimpleNamespace(remote=remote))
    )
    ray.exceptions = SimpleNamespace(RayError=Lost, RayTaskError=KeyError)
    return ray


@pytest.mark.parametrize("lost", [3, 4])
def test_what_was_lost_is_given_again_three_times(
    lost: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ray = false_ray([*[Lost()] * lost, ("error", UserError("its own error"))])
    monkeypatch.setitem(sys.modules, "ray", ray)
    pipeline = Pipeline(tmp_path, executor="ray")
    pipeline.stage("one", print)
    wanted = "its own error" if lost == 3 else "was lost with what worked it .* 4 times"
    with pytest.raises(UserError, match=wanted):
        pipeline.run()
    assert pipeline.executor.workers == 4 and ray.given == ["one"] * 4
    assert capsys.readouterr().err.count("who go on where it was") == 3


# with Ray


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, counting: Any) -> Iterator[Any]:
    """Three nodes of one core each."""
    utilities = pytest.importorskip("ray.cluster_utils")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    size = {"num_cpus": 1, "object_store_memory": 10**8, "node_ip_address": on_ray.LOOPBACK}
    cluster = utilities.Cluster(initialize_head=True, head_node_args=size | {"include_dashboard": False})
    cluster.nodes = [cluster.add_node(**size) for _ in range(2)]
    yield cluster
    cluster.shutdown()


TOLD = ("run.json", "manifest.json", "plan.json", "progress.json")
"""Files of a run that say when it was made and how long it took, and one with their digests."""


def made(folder: Path) -> dict[str, str]:
    """Digests of what the runs below a folder hold, but for when it was made and how long it took."""
    found = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.name not in TOLD:
            found[str(file.relative_to(folder))] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


@pytest.mark.campaign
@with_ray
def test_three_seeds_of_a_study_are_the_same_files_as_on_one_machine(cluster: Any, tmp_path: Path) -> None:
    words = "study closed-form --seeds 1,2,3 --closed-form.steps 20 --closed-form.prompts 2".split()
    for runs, executor in (("ours", "local"), ("theirs", f"ray={cluster.address}")):
        more = ["--runs", str(tmp_path / runs), "--out", str(tmp_path / f"{runs}-study")]
        assert cli.main([*words, *more, "--executor", executor]) == 0
    ours, theirs = made(tmp_path / "ours"), made(tmp_path / "theirs")
    assert ours == theirs and len([name for name in ours if name.endswith("summary.json")]) == 3


@pytest.mark.campaign
@with_ray
def test_a_node_that_dies_in_mid_work_loses_nothing(
    cluster: Any, counting: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = Pipeline(tmp_path / "runs", executor=f"ray={cluster.address}")
    stages = [pipeline.stage(f"count-{i}", counting, to=12, pause=1.0) for i in range(3)]

    def kill() -> None:
        while len(list((tmp_path / "runs").rglob("kept/*/*.json"))) < 6:
            time.sleep(0.1)
        cluster.remove_node(cluster.nodes[0], allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    pipeline.run()
    killer.join()
    assert [stage.text for stage in stages] == ["counted to 12"] * 3
    assert "who go on where it was" in capsys.readouterr().err
