"""Run folders: nothing that is killed, filled up or opened twice may change what a run ends in."""

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from alignlab.errors import GuardStop, ResourceError, ResumeRefused, UserError
from alignlab.records import Prompt, read_jsonl
from alignlab.run import RunDir, derive_seed, guard_finite, identity, list_runs, read_run
from alignlab.run.progress import eta

STEPS = 6
LOGS = ("metrics.jsonl", "samples.jsonl", "tokens.jsonl", "probes.jsonl") + (
    "summary.json",
    "config.json",
    "data/prompts.jsonl",
)


def open_walk(out, seed=3, **settings):
    return RunDir.open(out, stage="walk", config={"steps": STEPS, "threads": 1} | settings, seed=seed)


def walk(out, at_step=None):
    """A random walk, logged: the smallest loop that shows a draw, a step or a line lost or made twice."""
    run = open_walk(out)
    if run.done:
        return run
    position, travelled = torch.zeros(4), 0.0
    if saved := run.load_state():
        _, tensors, extra = saved
        position, travelled = tensors["position"], extra["travelled"]
    run.add_data("prompts", [Prompt.user("where to?")])
    for step in run.steps(
        STEPS, desc="walk", save=lambda: ({"position": position}, {"travelled": travelled})
    ):
        move = torch.randn(4, generator=torch.Generator().manual_seed(derive_seed(run.seed, "walk", step)))
        position, travelled = position + move, travelled + float(move.norm())
        run.log(step, {"distance": float(position.norm())})
        for kept in ("samples", "tokens", "probes"):
            run.log_samples(step, [{"text": f"dérive {step}"}], into=kept)
        if at_step:
            at_step(step)
    run.finish({"position": position.tolist(), "travelled": travelled})
    return run


def test_how_far_it_is_stands_in_its_folder_while_it_works(tmp_path):
    seen = []

    def look(step):
        file = tmp_path / "run.partial" / "progress.json"
        seen.append(json.loads(file.read_text()) if file.exists() else None)

    walk(tmp_path / "run", look)
    assert seen[0] is None and (seen[1]["done"], seen[1]["total"]) == (1, STEPS)
    assert seen[1]["seconds_left"] >= 0 and not (tmp_path / "run" / "progress.json").exists()


def in_child(function):
    """Runs a function in a process of its own; its exit code, negative for the signal that killed it."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            function()
            code = 0
        except SystemExit as stop:
            code = stop.code
        except UserError as error:
            code = error.exit_code
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def contents(out):
    return {name: (out / name).read_bytes() for name in LOGS}


def kill_self(*_):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(autouse=True)
def save_every_two_steps(monkeypatch):
    monkeypatch.setenv("ALIGNLAB_SAVE_EVERY_STEPS", "2")


@pytest.fixture
def undisturbed(tmp_path):
    return contents(walk(tmp_path / "undisturbed").out)


def test_a_finished_run_is_whole_and_reused(tmp_path):
    run = walk(tmp_path / "a")
    info = read_run(run.out)
    assert run.done and not (tmp_path / "a.partial").exists()
    assert (info.status, info.stage, info.seed, info.parents, info.key) == ("done", "walk", 3, [], run.key)
    assert [row["step"] for row in info.metrics] == list(range(STEPS)) and info.samples[2][
        "text"
    ] == "dérive 2"
    assert (
        info.versions["torch"] == torch.__version__
        and info.machine["cores"] == os.cpu_count()
        and info.seconds > 0
        and info.cpu_seconds > 0
    )
    assert sorted(file.name for file in run.out.iterdir()) == [
        "config.json",
        "data",
        "health.jsonl",
        "manifest.json",
        "metrics.jsonl",
        "probes.jsonl",
        "run.json",
        "samples.jsonl",
        "summary.json",
        "tokens.jsonl",
    ]
    record = json.loads((run.out / "run.json").read_text())
    assert (
        record["wrote"]["prompts"]
        == hashlib.sha256((run.out / "data/prompts.jsonl").read_bytes()).hexdigest()
    )
    assert read_jsonl(run.out / "data/prompts.jsonl", Prompt) == [Prompt.user("where to?")]
    before = contents(run.out)
    assert walk(run.out).done and contents(run.out) == before


@pytest.mark.parametrize("last", range(STEPS))
def test_killed_in_a_step_and_gone_on_with_equals_undisturbed(tmp_path, undisturbed, last):
    out = tmp_path / "killed"
    assert in_child(lambda: walk(out, lambda step: kill_self() if step == last else None)) == -signal.SIGKILL
    assert not out.exists() and read_run(tmp_path / "killed.partial").status == "stopped"
    first = []
    walk(out, first.append)
    assert first[0] == last // 2 * 2  # the newest state is that of the last even number of steps
    assert contents(out) == undisturbed


def test_killed_at_any_write_and_gone_on_with_equals_undisturbed(tmp_path, undisturbed, monkeypatch):
    sync, calls = os.fsync, 0

    def counted(handle, die_at):
        nonlocal calls
        calls += 1
        if calls == die_at:
            kill_self()
        sync(handle)

    monkeypatch.setattr(os, "fsync", lambda handle: counted(handle, 0))
    walk(tmp_path / "counting")
    total, died_done = calls, 0
    assert total > 20
    for die_at in range(1, total + 1):
        out = tmp_path / f"killed-{die_at}"
        calls = 0
        monkeypatch.setattr(os, "fsync", lambda handle, die_at=die_at: counted(handle, die_at))
        assert in_child(lambda out=out: walk(out)) == -signal.SIGKILL
        monkeypatch.setattr(os, "fsync", sync)
        partial = tmp_path / f"killed-{die_at}.partial" / "run.json"
        was_done = partial.exists() and json.loads(partial.read_text())["status"] == "done"
        died_done += was_done
        steps = []
        assert contents(walk(out, steps.append).out) == undisturbed, f"killed at write {die_at} of {total}"
        assert not (was_done and steps)  # work that is finished is not done again
        assert not partial.parent.exists() and read_run(out).status == "done"
    assert died_done  # one of them fell between the last write and the rename


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_saves_after_the_step_and_leaves(tmp_path, undisturbed, number, code):
    out = tmp_path / "interrupted"
    assert (
        in_child(lambda: walk(out, lambda step: os.kill(os.getpid(), number) if step == 2 else None)) == code
    )
    first = []
    walk(out, first.append)
    assert first[0] == 3  # step 2 was finished and kept although it was not time to save
    assert contents(out) == undisturbed


def test_signal_handlers_are_put_back(tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def fail(step):
        assert signal.getsignal(signal.SIGTERM) is not before[1]
        raise ValueError("a bug in a loop")

    with pytest.raises(ValueError, match="a bug"):
        walk(tmp_path / "a", fail)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_state_that_is_not_whole_is_passed_over(tmp_path, undisturbed):
    out, partial, kept = tmp_path / "a", tmp_path / "a.partial", tmp_path / "kept"

    def keep_the_first_state(step):
        if step == 2:
            shutil.copytree(partial / "state-00000002", kept)
        if step == 4:
            kill_self()

    assert in_child(lambda: walk(out, keep_the_first_state)) == -signal.SIGKILL
    shutil.copytree(kept, partial / "state-00000002")
    tensors = partial / "state-00000004" / "tensors.safetensors"
    os.truncate(tensors, tensors.stat().st_size - 1)
    (partial / ".4321.0.tmp").mkdir()
    run = open_walk(out)
    saved = run.load_state()
    assert saved is not None and saved[0] == 2
    assert [row["step"] for row in read_run(partial).metrics] == [0, 1]
    assert contents(walk(out).out) == undisturbed


def test_states_hold_tied_and_strided_tensors_of_any_type_bit_for_bit(tmp_path):
    run = open_walk(tmp_path / "a")
    weight = torch.randn(3, 4)
    tensors = {
        "embed": weight,
        "head": weight,
        "turned": weight.T,
        "half": weight.bfloat16(),
        "count": torch.tensor(7),
        "part": weight[1:],
    }
    run.save_state(4, tensors, {"losses": [0.1, 1 / 3]})
    saved = run.load_state()
    assert saved is not None
    step, loaded, extra = saved
    assert step == 5 and extra == {"losses": [0.1, 1 / 3]} and loaded.keys() == tensors.keys()
    assert all(
        torch.equal(loaded[name], value) and loaded[name].dtype == value.dtype
        for name, value in tensors.items()
    )


def no_space(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def no_space_in_safetensors(*_, **__):
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("target", "failure"),
    [
        ("safetensors.torch.save_file", no_space_in_safetensors),
        ("safetensors.torch.save_file", no_space),
        ("os.fsync", no_space),
        ("os.write", no_space),
    ],
)
def test_a_full_disk_keeps_the_last_state(tmp_path, undisturbed, monkeypatch, target, failure):
    out = tmp_path / "full"
    with monkeypatch.context() as patch, pytest.raises(ResourceError) as caught:
        walk(out, lambda step: patch.setattr(target, failure) if step == 2 else None)
    assert caught.value.exit_code == 8 and str(tmp_path / "full.partial") in str(caught.value)
    assert [state.name for state in (tmp_path / "full.partial").glob("state-*")] == ["state-00000002"]
    first = []
    walk(out, first.append)
    assert first[0] == 2 and contents(out) == undisturbed


def test_a_full_disk_while_finishing_leaves_a_run_to_go_on_with(tmp_path, undisturbed, monkeypatch):
    out = tmp_path / "full"
    with monkeypatch.context() as patch, pytest.raises(ResourceError):
        walk(out, lambda step: patch.setattr("os.replace", no_space) if step == STEPS - 1 else None)
    assert not out.exists()
    assert contents(walk(out).out) == undisturbed


def test_other_settings_are_refused_and_named(tmp_path):
    out = tmp_path / "a"
    unfinished = open_walk(out, optim={"lr": 0.1, "warmup": 0.0})
    unfinished.log(0, {"loss": 1.0})
    with pytest.raises(ResumeRefused, match=r"optim\.lr: 0\.1 then, 0\.2 now") as caught:
        open_walk(out, optim={"lr": 0.2, "warmup": 0.0})
    assert caught.value.exit_code == 7 and "--out" in caught.value.remedy
    with pytest.raises(ResumeRefused, match="seed: 3 then, 4 now"):
        open_walk(out, seed=4, optim={"lr": 0.1, "warmup": 0.0})
    unfinished = open_walk(out, optim={"lr": 0.1, "warmup": 0.0})
    unfinished.finish({})
    with pytest.raises(ResumeRefused, match="delete"):
        open_walk(out, optim={"lr": 0.2, "warmup": 0.0})
    assert read_run(out).config["optim"]["lr"] == 0.1


def test_a_run_that_has_made_nothing_gives_its_folder_up(tmp_path):
    """So that a command which failed at once (a model that is not there) can be corrected and given again."""
    out = tmp_path / "a"
    open_walk(out, optim={"lr": 0.1, "warmup": 0.0})
    run = open_walk(out, optim={"lr": 0.2, "warmup": 0.0})
    assert read_run(run.path).config["optim"]["lr"] == 0.2
    run.finish({})
    assert read_run(out).config["optim"]["lr"] == 0.2


def test_where_it_works_is_no_part_of_the_key_but_everything_else_is(tmp_path):
    def key(name, *, stage="walk", seed=0, data=None, parents=(), **config):
        return RunDir.open(
            tmp_path / name, stage=stage, config=config, seed=seed, data=data, parents=parents
        ).key

    plain = key("a", model={"threads": 1, "device": "cpu", "precision": "fp32"})
    assert key("b", model={"threads": 8, "device": "cuda", "precision": "fp32"}) == plain
    others = [
        key("c", model={"precision": "bf16"}),
        key("d", model={"precision": "fp32"}, seed=1),
        key("e", model={"precision": "fp32"}, stage="s"),
        key("f", model={"precision": "fp32"}, data={"rows.jsonl": "sha"}),
        key("g", model={"precision": "fp32"}, data={"rows.jsonl": "other"}),
    ]
    assert len({plain, *others}) == 6


def test_the_key_follows_the_parents_and_not_their_folders(tmp_path):
    def pipeline(folder, seed):
        first = RunDir.open(folder / "sft", stage="sft", config={}, seed=seed)
        if not first.done:
            first.finish({})
        return RunDir.open(
            folder / "ppo",
            stage="ppo",
            config={"model": str(first.out)},
            seed=0,
            parents=[first.out],
            data={str(first.out): "x"},
        )

    here = pipeline(tmp_path / "here", seed=0)
    here.finish({})
    assert pipeline(tmp_path / "there", seed=0).key == here.key
    assert pipeline(tmp_path / "elsewhere", seed=1).key != here.key
    (tmp_path / "here").rename(tmp_path / "moved")
    assert pipeline(tmp_path / "moved", seed=0).done
    assert read_run(tmp_path / "moved/ppo").parents == [str(tmp_path / "here/sft")]
    shutil.rmtree(tmp_path / "moved/sft")
    with pytest.raises(ResumeRefused, match="a parent was made anew|model"):
        pipeline(tmp_path / "moved", seed=1)


def test_a_parent_must_be_finished(tmp_path):
    open_walk(tmp_path / "parent")
    for parent in (tmp_path / "parent", tmp_path / "parent.partial"):
        with pytest.raises(UserError, match=r"not finished|not a run folder"):
            RunDir.open(tmp_path / "child", stage="ppo", config={}, seed=0, parents=[parent])


def test_no_resume_begins_anew(tmp_path):
    out = tmp_path / "a"
    assert in_child(lambda: walk(out, lambda step: kill_self() if step == 4 else None)) == -signal.SIGKILL
    run = RunDir.open(out, stage="walk", config={"steps": 2}, seed=9, resume=False)
    assert run.load_state() is None and read_run(run.path).metrics == [] and run.seed == 9


def test_an_empty_folder_is_filled_and_another_folder_is_left_alone(tmp_path):
    (tmp_path / "empty").mkdir()
    assert walk(tmp_path / "empty").done
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with pytest.raises(ResumeRefused, match="is not a run"):
        open_walk(tmp_path / "photos")
    assert [file.name for file in (tmp_path / "photos").iterdir()] == ["cat.jpg"] and not (
        tmp_path / "photos.partial"
    ).exists()


def test_two_processes_cannot_write_to_one_run(tmp_path):
    run = open_walk(tmp_path / "a")
    assert read_run(run.path).status == "running"
    assert in_child(lambda: open_walk(tmp_path / "a")) == UserError.exit_code
    assert open_walk(tmp_path / "a").key == run.key  # the same process may drop a run and open it again
    assert in_child(lambda: open_walk(tmp_path / "a")) == UserError.exit_code


def test_runs_are_listed_newest_first_unfinished_ones_too(tmp_path, monkeypatch):
    clock = iter(range(1000, 2000))
    monkeypatch.setattr("time.time", lambda: next(clock))
    walk(tmp_path / "old")
    assert (
        in_child(lambda: walk(tmp_path / "group" / "killed", lambda step: kill_self() if step == 3 else None))
        == -signal.SIGKILL
    )
    next(clock)
    walk(tmp_path / "new")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    found = list_runs(tmp_path)
    assert {info.path.name: info.status for info in found} == {
        "new": "done",
        "old": "done",
        "killed.partial": "stopped",
    }
    assert [info.started for info in found] == sorted((info.started for info in found), reverse=True)
    assert (
        next(info for info in found if info.status == "stopped").cpu_seconds > 0
    )  # what the newest state says
    with pytest.raises(UserError, match="not a run folder"):
        read_run(tmp_path / "broken")


def test_saving_waits_for_20_s_and_for_20_times_the_last_save(tmp_path, monkeypatch):
    monkeypatch.delenv("ALIGNLAB_SAVE_EVERY_STEPS")
    now = 0.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    run = open_walk(tmp_path / "a")
    now = 19.9
    assert not run.should_save(0)
    now = 20.1
    assert run.should_save(0)

    def slow(*_, **__):
        nonlocal now
        now += 3.0

    save_file = "safetensors.torch.save_file"
    monkeypatch.setattr(save_file, lambda tensors, path: (slow(), path.write_bytes(b"\2\0\0\0\0\0\0\0{}")))
    run.save_state(0, {}, {})
    now += 59.0
    assert not run.should_save(1)
    now += 1.1
    assert run.should_save(1)


def test_progress_goes_to_stderr_in_lines_where_there_is_no_terminal(tmp_path, monkeypatch, capsys):
    now = 0.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    run = open_walk(tmp_path / "a")
    seen = []
    for item in run.track((n * n for n in range(10)), 10, desc="scoring"):
        seen.append(item)
        now += 4.0
    assert seen == [n * n for n in range(10)] and list(run.track("abc", desc="letters")) == ["a", "b", "c"]
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.splitlines() == [
        "scoring: 4/10, about 24 s left",
        "scoring: 8/10, about 8 s left",
        "scoring: 10/10",
        "letters: 3/3",
    ]


def test_the_time_left_follows_the_pace(monkeypatch):
    now = 0.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    left, estimates = eta(200, 100), []
    for done in range(101, 201):
        now += 1.0 if done <= 150 else 5.0
        estimates.append(left(done))
    assert estimates[0] == 99.0 and estimates[-1] == 0.0
    assert estimates[49] == pytest.approx(50.0) and estimates[69] == pytest.approx(30 * 5.0, rel=0.15)


def test_progress_on_a_terminal_is_a_bar_on_stderr(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    walk(tmp_path / "a")
    printed = capsys.readouterr()
    assert printed.out == "" and "walk: 6/6" not in printed.err and read_run(tmp_path / "a").status == "done"


def test_what_is_not_finite_stops_the_run_with_its_step_and_sample():
    guard_finite(1e30, step=1, what="loss")
    for value in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(GuardStop, match="loss is .* at step 7") as caught:
            guard_finite(value, step=7, what="loss", sample="a long row " * 100)
        assert (
            caught.value.exit_code == 6
            and "a long row" in caught.value.where
            and len(caught.value.where) <= 300
        )


def test_seeds_are_63_bits_of_sha256_and_differ_by_purpose():
    expected = int(hashlib.sha256(b"7\x1fppo\x1f3").hexdigest()[:16], 16) >> 1
    assert derive_seed(7, "ppo", 3) == expected
    seeds = {
        derive_seed(seed, *names)
        for seed in range(20)
        for names in (("ab",), ("a", "b"), ("b", "a"), ("a", 1), (1, "a"), ())
    }
    assert len(seeds) == 120 and all(0 <= seed < 2**63 for seed in seeds)
    torch.Generator().manual_seed(max(seeds))


def test_the_commit_is_that_of_the_packages_own_checkout_only(tmp_path, monkeypatch):
    def git(*arguments):
        return subprocess.run(
            ["git", "-C", tmp_path, "-c", "user.name=t", "-c", "user.email=t@t", *arguments],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message", "first")
    for folder, expected in (
        ("src/alignlab", git("rev-parse", "HEAD")),
        ("venv/lib/site-packages/alignlab", ""),
    ):
        (tmp_path / folder).mkdir(parents=True)
        monkeypatch.setattr(identity, "__file__", str(tmp_path / folder / "run/identity.py"))
        assert identity.commit() == expected


def test_settings_and_runs_import_no_torch():
    code = (
        "import sys, alignlab.cli, alignlab.settings.resolve, alignlab.run, alignlab.settings; "
        "sys.exit('torch' in "
        "sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(identity.__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0
