"""A command's long list that workers make in parts: what comes of it is what one process makes."""

from __future__ import annotations

import hashlib
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from alignlab import cli
from alignlab.errors import UserError
from alignlab.pipeline import parts
from alignlab.pipeline.executor import Heard, Work
from alignlab.run import elsewhere, read_run

SUMMING = """
import os, signal, time
from pathlib import Path
from alignlab.errors import UserError
from alignlab.run import RunDir

def summing(*, to, out, seed=0, resume=True, dies=(), pause=0.0, wrong=-1, watched=""):
    run = RunDir.open(out, stage="summing", config={"to": to}, seed=seed, resume=resume)
    if run.done:
        return
    if watched:
        Path(watched, str(os.getpid())).touch()
    def one(number, items):
        if number == wrong:
            raise UserError("cannot be summed", where=str(number))
        if number in dies:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(pause)
        return {"sum": sum(items), "by": os.getpid()}
    made = list(run.in_chunks(range(to), one, size=2, desc="sums"))
    run.finish({"sum": sum(row["sum"] for row in made), "by": [row["by"] for row in made]})
"""
"""A command that sums numbers, two a chunk, and says which process summed them."""


@pytest.fixture
def summing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "summing_command.py").write_text(SUMMING)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    yield importlib.import_module("summing_command").summing
    sys.modules.pop("summing_command")


def shared(command: Callable[..., None], workers: int, **values: Any) -> dict[str, Any]:
    """The summary of a command whose parts so many local workers make."""
    with parts.shared_out("local", workers, command, values):
        command(**values)
    return read_run(values["out"]).summary


def test_workers_make_all_and_the_process_that_was_started_keeps_it(summing: Any, tmp_path: Path) -> None:
    summary = shared(summing, 2, to=11, out=tmp_path / "sum", pause=0.3)
    assert summary["sum"] == 55 and os.getpid() not in summary["by"] and len(set(summary["by"])) == 2
    assert elsewhere.others() is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["modules", "sum"]


def test_what_a_dead_worker_had_not_made_is_left_to_the_others(
    summing: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="nobody is left who works on sums: 1 of 6 parts"):
        shared(summing, 2, to=11, out=tmp_path / "sum", dies=[2])
    assert capsys.readouterr().err.count("was killed (exit code -9); what it had not made") == 2
    # the same command, on a machine that kills nobody, makes that one part alone
    summary = shared(summing, 2, to=11, out=tmp_path / "sum")
    assert summary["sum"] == 55 and summary["by"].count(summary["by"][2]) == 1


def test_a_workers_error_is_the_commands(summing: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be summed"):
        shared(summing, 2, to=11, out=tmp_path / "sum", wrong=3)


@pytest.mark.campaign
@pytest.mark.skipif(sys.platform != "linux", reason="/proc says which processes are there")
def test_workers_end_with_the_process_that_was_started(summing: Any, tmp_path: Path) -> None:
    (tmp_path / "pids").mkdir()
    values = {"to": 99, "out": str(tmp_path / "sum"), "pause": 60, "watched": str(tmp_path / "pids")}
    code = (
        "from alignlab.pipeline import parts; import summing_command as c; from pathlib import Path\n"
        f"values = {values}; values['out'] = Path(values['out'])\n"
        "with parts.shared_out('local', 2, c.summing, values): c.summing(**values)\n"
    )
    env = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    started = subprocess.Popen([sys.executable, "-c", code], env=env)
    deadline = time.monotonic() + 60
    while len(pids := [path.name for path in (tmp_path / "pids").iterdir()]) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    started.send_signal(signal.SIGKILL)
    started.wait()
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Scripted:
    """An executor that was told what will be heard."""

    def __init__(self, workers: int, heard: list[list[Heard]]) -> None:
        self.workers, self.answers, self.started = workers, heard, list[Work]()

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None: ...

    def start(self, work: Work) -> None:
        self.started.append(work)

    def heard(self, timeout: float) -> list[Heard]:
        return self.answers.pop(0)


def test_what_two_made_counts_once_and_nobody_waits_for_the_rest() -> None:
    heard = [
        [("x 1 of 2", "made", (4, "a"))],
        [("x 2 of 2", "made", (4, "a")), ("x 1 of 2", "made", (7, "b"))],
    ]
    executor = Scripted(5, heard)
    assert list(parts.made(executor, print, {}, "x", [4, 7])) == [(4, "a"), (7, "b")]
    assert [work.arguments["numbers"] for work in executor.started] == [[4, 7], [7, 4]]
    assert [work.name for work in executor.started] == ["x 1 of 2", "x 2 of 2"]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_each_worker_comes_to_every_part_and_begins_with_its_own(count: int) -> None:
    turns = [parts.in_turn(range(7), place, count) for place in range(count)]
    assert all(sorted(turn) == list(range(7)) for turn in turns)
    assert sorted(turn[0] for turn in turns) == list(range(count))
    assert len({turn[-1] for turn in turns}) == count  # nor do they end with the same one


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("collect --executor slurm", "ray=HOST:PORT"),
        ("collect --workers -1", "--workers -1"),
        ("collect --executor local --annotator ai:http://127.0.0.1:9/v1#m", "behind a server"),
        ("sft --executor local", "--executor is not an option"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_begun(
    words: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*words.split(), "--out", str(tmp_path / "run")]) in (2, 3)
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())


WHEN = ("run.json", "manifest.json")
"""Files that say when a run was made and how long it took, and one with their digests."""


def digests(run: Path) -> dict[str, str]:
    files = [path for path in sorted(run.rglob("*")) if path.is_file() and path.name not in WHEN]
    return {path.relative_to(run).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


TOY = {
    "eval": "eval --model town --prompts 40 --sampled true --sampling.max_new_tokens 4",
    "collect": "collect --model town --count 520 --per_prompt 2 --sampling.max_new_tokens 4",
    "label": "constitution label --model town --judge-model town --count 24 --chunk 8 --principles 2 "
    "--sampling.max_new_tokens 8 --gold town:harmless",
}


@pytest.mark.parametrize("words", TOY.values(), ids=TOY)
def test_two_workers_make_the_files_of_one_process(words: str, tmp_path: Path) -> None:
    for name, more in (("one", []), ("two", ["--workers", "2"])):
        assert cli.main([*words.split(), "--out", str(tmp_path / name), *more]) == 0
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert any(name.startswith(("data/", "samples", "summary")) for name in digests(tmp_path / "one"))
