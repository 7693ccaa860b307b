"""`make figures`: units side by side, each on a core of its own; one that fails stops no other; what is done
is known the next time.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from alignlab.pipeline.processes import Processes, cores

from .scripts import script

TICK = """
import os, sys
from pathlib import Path
out, *seeds = sys.argv[1:]
with open(f"{out}/ran", "a") as file:
    file.write(f"{Path(out).name} {' '.join(seeds)} {len(os.sched_getaffinity(0))}\\n")
sys.exit(Path(out).name == "worse" and "2" in seeds)
"""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script with two small pages, the second of which fails on seed 2; `run` runs it."""
    figures = script("benchmarks/figures.py")
    tick = tmp_path / "tick.py"
    tick.write_text(TICK)
    pages = {}
    for name in ("good", "worse"):
        (tmp_path / name).mkdir()
        pages[name] = figures.Page((f"{tick} OUT/{name} SEEDS",), f"{tick} OUT/{name} page")
    known = tmp_path / "seconds.toml"
    known.write_text('[good]\nseconds = 7200\nfrom = "measured somewhere"\n')
    monkeypatch.setattr(figures, "PAGES", pages)
    monkeypatch.setattr(figures, "KNOWN", known)
    monkeypatch.setattr(figures, "ROOT", tmp_path)

    def run(*words: str) -> None:
        monkeypatch.setattr(sys, "argv", ["figures.py", "--out", str(tmp_path), "--seeds", "1", "2", *words])
        figures.main()

    figures.run, figures.out = run, tmp_path
    return figures


def ran(out: Path, page: str) -> list[str]:
    """Seeds that a page's command was called with, and the cores that it had."""
    return (out / page / "ran").read_text().splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="processes are bound to cores on Linux alone")
def test_units_run_to_their_end_beside_one_that_fails(made: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        made.run()
    said = capsys.readouterr().out
    assert stopped.value.code == 1
    assert sorted(ran(made.out, "good")[:2]) == ["good 1 1", "good 2 1"]
    assert ran(made.out, "good")[2:] == ["good 1 2 1", "good page 1"]
    assert sorted(ran(made.out, "worse")) == ["worse 1 1", "worse 2 1"]
    assert "2 seeds, 0 finished; a seed 120.0 minutes of a core (measured somewhere)" in said
    assert "and what worse take, which was never measured" in said
    assert f"worse, seed 2 failed: {made.out}/logs/worse-2.log" in said
    assert "worse, the page was not made" in said
    assert "6 of 6 units over" in said
    record = json.loads((made.out / "figures.json").read_text())
    assert record["good, seed 1"]["done"] and not record["worse, seed 2"]["done"]

    made.run("--only", "good", "--estimate")
    said = capsys.readouterr().out
    assert "2 seeds, 2 finished" in said and "measured in this folder" in said and "never" not in said
    assert len(ran(made.out, "good")) == 4


def test_pages_that_share_runs_are_measured_one_after_the_other(
    made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one seed: of two seeds they run side by side."""
    both = {name: made.Page((), "", "OUT/runs") for name in ("one", "other")}
    monkeypatch.setattr(made, "PAGES", both | {"alone": made.Page((), "")})
    units = [made.Unit(page, (seed,)) for page in ("one", "other", "alone") for seed in (1, 2)]
    record = made.Record(made.out)
    assert [unit.name for unit in made.ready(units, record)] == [
        "one, seed 1",
        "one, seed 2",
        "alone, seed 1",
        "alone, seed 2",
    ]
    units[0].state = "running"
    names = [unit.name for unit in made.ready(units, record)]
    assert "other, seed 1" not in names and "one, seed 2" in names
    units[0].state = "done"
    assert "other, seed 1" in [unit.name for unit in made.ready(units, record)]


def test_an_unknown_page_is_named(made: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        made.run("--only", "good,best")
    assert "no such page: best; there are good, worse" in capsys.readouterr().err


def test_every_command_of_a_page_is_there() -> None:
    """Scripts that exist, the seeds as each reads them, and nothing left unsaid."""
    figures = script("benchmarks/figures.py")
    for page in figures.PAGES:
        for unit in (figures.Unit(page, (20,)), figures.Unit(page, (20, 21), closing=True)):
            commands = unit.commands(Path("/figures"))
            assert commands[-1][1].startswith("docs/make_") == unit.closing
            for command in commands:
                if command[1] != "-m":
                    assert (figures.ROOT / command[1]).is_file()
                assert not {"OUT", "PART", "SEEDS"} & {word.split("/")[0] for word in command}
    one, both = (figures.Unit("studies", seeds).commands(Path("/f"))[0] for seeds in ((20,), (20, 21)))
    assert one[one.index("--seeds") + 1] == "20" and both[both.index("--seeds") + 1] == "20,21"
    assert "/f/studies/seed-20/" in one[-1]
    asked = [" ".join(command) for command in figures.Unit("studies", (20,)).commands(Path("/f"))]
    assert (
        sum("--test town:exam" in command for command in asked) == len(asked) - 1
    )  # closed-form has no data


@pytest.mark.skipif(sys.platform != "linux", reason="processes are bound to cores on Linux alone")
def test_a_pipeline_that_is_bound_to_one_core_lends_none(tmp_path: Path) -> None:
    bound = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(bound)})
        assert cores() == 1 and Processes().workers == 1
    finally:
        os.sched_setaffinity(0, bound)
