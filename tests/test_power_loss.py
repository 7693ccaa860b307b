"""A power failure at any moment: what was said to be kept is on the disk, and the run goes on from it to the
same end.

The disk here is the strictest that POSIX allows: a file holds what it held when it was last synced, nothing
if it never was, and a folder the names that it had when it was last synced. Every call that syncs or renames
is a moment at which the power may go.
"""

import json
import os
import stat
from pathlib import Path

import pytest
import torch

from alignlab.records import Prompt
from alignlab.run import RunDir, derive_seed, faults_of, read_run, whole_file
from alignlab.text.disk import write_whole

STEPS, CHUNKS = 3, 2
LOGS = (
    *("metrics.jsonl", "samples.jsonl", "summary.json", "config.json", "data/prompts.jsonl"),
    *("checkpoint/model.json", "report.html"),
)


class PowerCut(BaseException):
    """Nothing after this happens."""


class Disk:
    """What of a folder would be there after a power failure."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.calls, self.cut_at = root, 0, 0
        self.files: dict[int, bytes] = {}
        self.folders: dict[int, dict[str, tuple[int, bool]]] = {}
        self.open: list[int] = []  # so that no number of an inode is used again
        for path in (root, *root.rglob("*")):  # what is there already is on the disk
            self._keep(handle := os.open(path, os.O_RDONLY))
            os.close(handle)
        for name in ("fsync", "rename", "replace"):
            monkeypatch.setattr(os, name, self._around(name, getattr(os, name)))

    def _around(self, name, real):
        def call(*arguments):
            self.calls += 1
            if self.calls == self.cut_at:
                raise PowerCut
            real(*arguments)
            if name == "fsync":
                self._keep(arguments[0])

        return call

    def _keep(self, handle: int) -> None:
        at = os.fstat(handle)
        self.open.append(os.dup(handle))
        if stat.S_ISDIR(at.st_mode):
            with os.scandir(f"/proc/self/fd/{handle}") as entries:
                self.folders[at.st_ino] = {entry.name: (entry.inode(), entry.is_dir()) for entry in entries}
        else:
            self.files[at.st_ino] = Path(f"/proc/self/fd/{handle}").read_bytes()

    def after(self, target: Path) -> Path:
        """The folder as the next start finds it."""

        def make(inode: int, at: Path) -> None:
            at.mkdir()
            for name, (child, is_folder) in self.folders.get(inode, {}).items():
                make(child, at / name) if is_folder else (at / name).write_bytes(self.files.get(child, b""))

        make(self.root.stat().st_ino, target)
        for handle in self.open:
            os.close(handle)
        return target


def walk(out, said):
    """Steps with states, chunks of long work, a model and a page: all that writes; `said` is told what it may
    rely on.
    """
    run = RunDir.open(out, stage="walk", config={}, seed=3)
    if run.done:
        write_page(run.path)
        return
    position = torch.zeros(4)
    if saved := run.load_state():
        position = saved[1]["position"]
    for number in range(CHUNKS):

        def make(number=number):
            said("made", number)
            return [Prompt.user(f"where to, {number}?")]

        prompts = run.kept(f"chunks/{number}", make, Prompt)
        said("kept", number)
        run.add_data("prompts", prompts)
    for step in run.steps(STEPS, desc="walk", save=lambda: ({"position": position}, {})):
        said("step", step)
        position = position + torch.randn(
            4, generator=torch.Generator().manual_seed(derive_seed(run.seed, "walk", step))
        )
        run.log(step, {"distance": float(position.norm())})
        run.log_samples(step, [{"text": f"dérive {step}"}])
    with write_whole(run.path / "checkpoint") as folder:
        folder.mkdir()
        (folder / "model.json").write_text(json.dumps(position.tolist()))
    run.finish({"position": position.tolist()})
    said("finished", 0)
    write_page(run.path)


def write_page(out):
    """A page of a finished run, written again at every start."""
    with whole_file(out / "report.html") as staging:
        staging.write_text("<p>where to")


@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.campaign)])
def test_a_power_failure_at_any_moment_loses_nothing_that_was_kept(tmp_path, monkeypatch, stride):
    monkeypatch.setenv("ALIGNLAB_SAVE_EVERY_STEPS", "1")
    walk(tmp_path / "whole", lambda *_: None)
    whole = {name: (tmp_path / "whole" / name).read_bytes() for name in LOGS}
    cut_at, outcomes = 0, set()
    while True:
        cut_at += stride
        root = tmp_path / f"{cut_at}-before"
        (root / "runs").mkdir(parents=True)
        before: list[tuple[str, int]] = []
        with monkeypatch.context() as patch:
            disk = Disk(root, patch)
            disk.cut_at = cut_at
            try:
                walk(root / "runs" / "a", lambda *what: before.append(what))
            except PowerCut:
                pass
            else:
                disk.cut_at = 0
                assert disk.calls < cut_at
        found = disk.after(tmp_path / f"{cut_at}-after")
        if ("finished", 0) in before:
            break
        after: list[tuple[str, int]] = []
        walk(found / "runs" / "a", lambda *what: after.append(what))
        assert {name: (found / "runs" / "a" / name).read_bytes() for name in LOGS} == whole, (
            f"power lost at {cut_at}"
        )
        assert faults_of(found / "runs" / "a") == []
        remade = {number for what, number in after if what == "made"} & {
            number for what, number in before if what == "kept"
        }
        assert not remade, f"power lost at {cut_at}: chunks {remade} were kept, and are made again"
        steps = [number for what, number in before if what == "step"]
        again = [number for what, number in after if what == "step"]
        assert not steps or not again or again[0] >= steps[-1], (
            f"power lost at {cut_at} in step {steps[-1]}: begun again at {again[0]}"
        )
        outcomes.add("done" if not after else "in steps" if steps else "in chunks")
    assert outcomes == {"done", "in steps", "in chunks"} and cut_at > 40
    assert read_run(found / "runs" / "a").status == "done" and faults_of(found / "runs" / "a") == []
