"""The demos of the lecture at toy sizes, as files and as a notebook; and the models that they begin with,
whose making survives a kill.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from html import unescape
from pathlib import Path

import pytest

from alignlab import lab
from alignlab.course import demo
from alignlab.course.prepare import Sizes, prepare, prepared
from alignlab.errors import UserError
from alignlab.lab.watching import spark
from alignlab.run import examine_run, read_run
from alignlab.settings import CriticSettings, RewardSettings

TOY = {
    "sft": {"DEMONSTRATIONS": 48, "TESTED": 4, "EPOCHS": [1]},
    "reward": {"PROMPTS": 40},
    "rlhf": {"STEPS": 1, "TESTED": 4},
    "critique": {"HARMFUL": 4, "LOOK_ALIKES": 4, "ROUNDS": 1},
}
SIZES = Sizes(
    demonstrations=48,
    ranked=12,
    reward=RewardSettings(epochs=1.0, held_out=0.2),
    critic=CriticSettings(tokens=4000, cases=0),
)
TELL = "from tests.course.test_demos import SIZES, prepare\nif __name__ == '__main__': prepare(sizes=SIZES)"


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which everything was prepared, by a command that was killed once and given again."""
    home = tmp_path_factory.mktemp("laptop")
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    told = home / "tell.py"
    told.write_text(TELL)
    killed = subprocess.Popen(
        [sys.executable, str(told)], cwd=home, env=os.environ | {"PYTHONPATH": path}, stderr=subprocess.PIPE
    )
    while not (home / "runs/lecture/sft").exists():
        assert killed.poll() is None, killed.stderr.read() if killed.stderr else ""
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    return home


@pytest.fixture
def at_it(laptop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(laptop)
    return laptop


def test_a_killed_prepare_goes_on_where_it_was(at_it: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (at_it / "runs/lecture/sft/run.json").stat().st_mtime_ns
    made = prepare(sizes=SIZES)
    assert "prepare: " in capsys.readouterr().err, "how long it takes is said first"
    assert set(made["runs"]) == {"sft", "rankings", "reward", "helpful", "critic"}
    assert all(read_run(run).status == "done" for run in made["runs"].values())
    assert (at_it / "runs/lecture/sft/run.json").stat().st_mtime_ns == before
    assert prepared("reward") == Path("runs/lecture/reward")
    with pytest.raises(UserError, match="nothing is prepared"):
        prepared("rewards")


@pytest.mark.parametrize("name", TOY)
def test_each_demo_runs_and_leaves_a_run_with_a_page(at_it: Path, name: str) -> None:
    text = demo.source(name, SEED=3, **TOY[name])
    if name == "sft":  # as a notebook, cell by cell
        document = json.loads(json.dumps(demo.as_notebook(text)))
        assert document["nbformat"] == 4
        text = "\n".join("".join(c["source"]) for c in document["cells"] if c["cell_type"] == "code")
    watch = demo.run(text, name)["watch"]
    assert watch.verdicts and all(row["contrary"] and row["n"] for row in watch.verdicts)
    info = read_run(watch.path)
    assert (info.status, info.seed, info.stage) == ("done", 3, f"demo-{name}")
    assert info.summary["verdicts"] == watch.verdicts
    page = unescape((watch.path / "page.html").read_text())
    assert "<script" not in page and watch.verdicts[0]["claim"] in page
    examine_run(info)


def test_a_demo_sets_what_it_is_told_and_nothing_else(at_it: Path) -> None:
    assert demo.names() == sorted(TOY)
    assert "\nSEED = 7\n" in demo.source("sft", SEED=7)
    with pytest.raises(UserError, match="sets no STEPS"):
        demo.source("sft", STEPS=1)
    with pytest.raises(UserError, match="there is no demo"):
        demo.source("stf")
    written = demo.demo(name="sft", full=True, notebook="sft.ipynb")
    cells = json.loads(Path(written["notebook"]).read_text())["cells"]
    assert cells[0]["cell_type"] == "markdown" and "\nFULL = True" in "".join(cells[2]["source"])


def test_a_verdict_is_the_mean_within_its_bar(tmp_path: Path) -> None:
    watch = lab.watch("mine", folder=tmp_path, seed=1, size=2)
    watch.log(0, loss=2.0)
    watch.log(1, loss=1.0)
    assert watch.verdict("up", [1, 1, 0, 1], at_least=0.7, contrary="down")
    assert not watch.verdict("down", [1, 1, 0, 1], at_most=0.7, contrary="up")
    assert not watch.verdict("of nothing", [], at_least=0.0, contrary="something")
    assert watch.done() == tmp_path / "mine-1"
    assert [row["held"] for row in read_run(tmp_path / "mine-1").summary["verdicts"]] == [True, False, False]
    assert lab.watch("mine", folder=tmp_path).path == tmp_path / "mine-2"
    assert spark([0, 1, 2], 0, 2) == "▁▅█"
