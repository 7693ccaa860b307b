"""A copy of the process beside it: what it is asked, what it may not do, and when it ends."""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alignlab.errors import UserError
from alignlab.run import RunDir, beside
from alignlab.run.beside import Beside

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are not copied here")


@pytest.fixture(autouse=True)
def lent() -> Iterator[None]:
    beside.lend(lambda: True)
    yield
    beside.lend(None)


def test_an_error_there_is_raised_here_and_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    def work(part: int) -> int:
        print("a copy speaks")
        if part < 0:
            raise UserError("below 0")
        return os.getpid()

    with Beside(work) as copy:
        assert copy.begin(1) and copy.result(1) != os.getpid()
        assert copy.begin(-1)
        with pytest.raises(UserError, match="below 0"):
            copy.result(-1)
        assert copy.begin(2) and copy.result(2) != os.getpid()
    assert not copy.begin(3)
    assert "speaks" not in "".join(capfd.readouterr())


def test_nobody_is_asked_where_nothing_is_lent() -> None:
    beside.lend(None)
    with Beside(os.getpid) as copy:  # type: ignore[arg-type]
        assert not copy.begin(None)


def hold(pipe: Any) -> None:
    beside.lend(lambda: True)
    with Beside(lambda _: os.getpid()) as copy:
        copy.begin(None)
        pipe.send(copy.result(None))
        time.sleep(60)


def test_it_ends_with_the_process_that_it_is_a_copy_of() -> None:
    ours, theirs = mp.Pipe()
    process = mp.get_context("fork").Process(target=hold, args=(theirs,))
    process.start()
    copy = ours.recv()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{copy}/stat").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{copy}/stat").read_text().split()[2] == "Z":
            break
        time.sleep(0.01)
    else:
        assert not Path(f"/proc/{copy}").exists()


@pytest.mark.parametrize("lent_for", [0, 1, 100])
def test_chunks_are_the_same_whoever_makes_them(lent_for: int, tmp_path: Path) -> None:
    lends = iter(range(1000))
    beside.lend(lambda: next(lends) < lent_for)
    run = RunDir.open(tmp_path / "run", stage="any", config={}, seed=0)
    makers: list[int] = []

    def make(number: int, items: Any) -> dict[str, Any]:
        return {"number": number, "items": list(items), "by": os.getpid()}

    for chunk in run.in_chunks(range(11), make, size=3, desc="some", in_copies=True):
        makers.append(chunk.pop("by"))
        number = chunk["number"]
        assert chunk == {"number": number, "items": list(range(3 * number, min(11, 3 * number + 3)))}
    assert [maker == os.getpid() for maker in makers] == {
        0: [True] * 4,
        1: [True, False, True, True],
        100: [True, False, True, False],
    }[lent_for]
    run.finish({})
