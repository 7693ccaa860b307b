"""Trackers look on and can do no harm: named, missing, down, slow, raising, and handed everything when a run
goes on.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alignlab import settings
from alignlab.errors import ConfigError
from alignlab.pipeline.runner import Pipeline
from alignlab.run import RunDir, read_run, trackers


class Fake:
    """A tracker that remembers; `fail` says where it breaks."""

    def __init__(self, fail: str = "") -> None:
        self.fail, self.rows, self.finished = fail, [], False

    def log(self, values: dict[str, float], step: int) -> None:
        if self.fail == "log" and step >= 2:
            raise ConnectionError("the server is down")
        if self.fail == "exit":
            sys.exit("give me a key")
        self.rows.append((step, values))

    def finish(self) -> None:
        if self.fail == "finish":
            raise OSError("no space")
        self.finished = True


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch):
    """Names of trackers that stand for fakes; returns those that were opened."""
    opened: list[Fake] = []

    def maker(fail: str) -> Any:
        def make() -> Fake:
            if fail == "start":
                raise RuntimeError("cannot log in\nsecond line")
            opened.append(Fake(fail))
            return opened[-1]

        return lambda folder, run, key, config: make

    for name in ("good", "start", "log", "finish", "exit"):
        monkeypatch.setitem(trackers.MAKERS, name, maker("" if name == "good" else name))
        monkeypatch.setitem(trackers.PACKAGES, name, ("json",))
    return opened


def make_run(out: Path, names: tuple[str, ...], *, steps: int = 5, die_at: int | None = None) -> RunDir:
    run = RunDir.open(out, stage="test", config={"settings": {"optim": {"lr": 0.1}}}, seed=0, tracker=names)
    run.load_state()
    for step in run.steps(steps, desc="test", save=lambda: ({}, {})):
        run.log(step, {"loss": 5.0 - step, "odd": float("nan") if step == 1 else 0.0})
        if step == die_at:
            raise KeyboardInterrupt
    run.finish({"steps": steps})
    return run


def test_each_row_reaches_the_tracker_and_the_record(tmp_path: Path, fake: list[Fake]) -> None:
    make_run(tmp_path / "run", ("good",))
    (tracker,) = fake
    assert [step for step, _ in tracker.rows] == [0, 1, 2, 3, 4] and tracker.finished
    assert tracker.rows[0][1] == {"loss": 5.0, "odd": 0.0}
    assert tracker.rows[1][1] == {"loss": 4.0}, (
        "what is not finite stays in the record and out of the trackers"
    )
    assert len(read_run(tmp_path / "run").metrics) == 5


@pytest.mark.parametrize("broken", ["start", "log", "finish", "exit"])
def test_a_broken_tracker_is_said_once_and_training_goes_on(
    tmp_path: Path, fake: list[Fake], broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "run", (broken, "good"))
    said = capsys.readouterr().err
    assert said.count(f"the tracker {broken} is given up") == 1
    assert "training goes on" in said and "second line" not in said
    info = read_run(tmp_path / "run")
    assert info.status == "done" and [row["step"] for row in info.metrics] == [0, 1, 2, 3, 4]
    assert next(t for t in fake if not t.fail).finished, "the other tracker is none the worse"


def test_a_tracker_that_hangs_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    forever = threading.Event()
    monkeypatch.setitem(trackers.MAKERS, "slow", lambda *a: forever.wait)
    monkeypatch.setattr(trackers, "PATIENCE", 0.05)
    monkeypatch.setattr(trackers, "BEHIND", 3)
    try:
        make_run(tmp_path / "run", ("slow",))
    finally:
        forever.set()
    assert capsys.readouterr().err.count("the tracker slow is given up") == 1
    assert read_run(tmp_path / "run").status == "done"


def test_a_run_that_goes_on_hands_over_all_rows_even_to_a_tracker_named_later(
    tmp_path: Path, fake: list[Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALIGNLAB_SAVE_EVERY_STEPS", "2")
    with pytest.raises(KeyboardInterrupt):
        make_run(tmp_path / "run", (), die_at=2)
    make_run(tmp_path / "run", ("good",))
    (tracker,) = fake
    assert [step for step, _ in tracker.rows] == [0, 1, 2, 3, 4]


def test_an_unknown_or_missing_tracker_is_an_error_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trackers.parse_trackers("") == () and trackers.parse_trackers(" , ") == ()
    with pytest.raises(ConfigError, match="no tracker 'tensorbord'"):
        trackers.parse_trackers("tensorbord")
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"wandb is not installed[\s\S]*alignlab\[trackers\]"):
        trackers.parse_trackers("wandb")
    monkeypatch.setattr(trackers, "find_spec", lambda name: object())
    assert trackers.parse_trackers("wandb, tensorboard,wandb") == ("wandb", "tensorboard")


def test_trackers_are_off_by_default_and_no_part_of_the_key(tmp_path: Path, fake: list[Fake]) -> None:
    trained = [
        kind
        for kind in vars(settings).values()
        if isinstance(kind, type) and issubclass(kind, settings.Training)
    ]
    assert len(trained) >= 5 and all(kind().tracker == "" for kind in trained)
    keys = [
        RunDir.open(tmp_path / name, stage="test", config={"settings": {"tracker": name}}, seed=0).key
        for name in ("", "good")
    ]
    assert keys[0] == keys[1]


def test_a_pipeline_hands_its_tracker_to_stages_that_name_none(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, tracker="good")
    handed = [
        pipeline.stage(str(i), print, settings=s).arguments["settings"]
        for i, s in enumerate(
            (settings.SFTSettings(), settings.SFTSettings(tracker="other"), settings.EvalSettings())
        )
    ]
    assert [getattr(s, "tracker", None) for s in handed] == ["good", "other", None]


def test_wandb_is_offline_unless_the_environment_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, Any]] = []
    pytest.importorskip(
        "accelerate.tracking"
    )  # before the stand-in: it looks for the package's specification
    run = SimpleNamespace(log=lambda *a, **k: None, finish=lambda: None)
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=lambda **k: calls.append(k) or run))
    for mode in (None, "online"):
        monkeypatch.delenv("WANDB_MODE", raising=False) if mode is None else monkeypatch.setenv(
            "WANDB_MODE", mode
        )
        trackers.MAKERS["wandb"](tmp_path, "sft", "abc", {"settings": {"optim": {"lr": 0.1}}})()
    assert [(c["project"], c["mode"], c["id"], c["dir"]) for c in calls] == [
        ("alignlab", "offline", "abc", str(tmp_path)),
        ("alignlab", "online", "abc", str(tmp_path)),
    ]
    assert calls[0]["config"] == {"settings.optim.lr": 0.1}


def test_tensorboard_holds_what_the_record_holds(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    make_run(tmp_path / "run", ("tensorboard",))
    found = events.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    found.Reload()
    assert [(e.step, e.value) for e in found.Scalars("loss")] == [
        (0, 5.0),
        (1, 4.0),
        (2, 3.0),
        (3, 2.0),
        (4, 1.0),
    ]
    assert json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[4])["loss"] == 1.0


def test_trackio_and_wandb_write_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("trackio")
    pytest.importorskip("wandb")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    make_run(tmp_path / "run", ("trackio", "wandb"))
    assert "given up" not in capsys.readouterr().err
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*"))
