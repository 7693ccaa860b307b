"""A loss that was edited makes another run: what was made by other code is said, and --again makes it anew
without losing it first.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import alignlab
from alignlab.cli.commands import COMMANDS
from alignlab.errors import ResumeRefused
from alignlab.pipeline.runner import Pipeline
from alignlab.run import Resume, RunDir, faults_of, read_run
from alignlab.run import code as code_of
from alignlab.run.code import STAGES, sources

SFT = ["sft", "--model", "town-s", "--data", "town:demos", "--count", "8", "--epochs", "1"]


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """Edits files of a copy of the package; the digests are those of the copy."""
    package = Path(
        shutil.copytree(
            Path(alignlab.__file__).parent,
            tmp_path / "package",
            ignore=shutil.ignore_patterns("models", "__pycache__"),
        )
    )
    shutil.copytree(
        Path(alignlab.__file__).parent / "models",
        package / "models",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    monkeypatch.setattr(code_of, "_PACKAGE", package)

    def forget():
        for cached in (code_of._tree, code_of._imports, code_of._digest):
            cached.cache_clear()

    def edit(name, old, new):
        text = (package / name).read_text(encoding="utf-8")
        assert old in text
        (package / name).write_text(text.replace(old, new, 1), encoding="utf-8")
        forget()

    forget()
    yield edit
    forget()


def made(out, stage="sft", resume: Resume = True, **config):
    run = RunDir.open(out, stage=stage, config=config, seed=0, resume=resume)
    if run.done:
        return False
    run.log(0, {"loss": 1.0})
    run.finish({})
    return True


def test_every_stage_says_what_it_is_made_by():
    opened = {
        stage
        for file in Path(alignlab.__file__).parent.rglob("*.py")
        for stage in re.findall(r'open_run\(\s*"([\w-]+)"', file.read_text(encoding="utf-8"))
    }
    assert (
        opened <= STAGES.keys()
        and {"dpo", "orpo", "simpo", "kto", "grpo", "rloo", "online-dpo", "rejection"} <= STAGES.keys()
    )
    assert {name for name in STAGES if name in COMMANDS} >= {"sft", "reward", "dpo", "ppo", "collect", "eval"}
    for stage in STAGES:
        assert sources(stage, {}), stage


@pytest.mark.parametrize(
    ("stage", "counted", "passed_over"),
    [
        (
            "sft",
            {"losses/sft.py", "methods/sft.py", "models/load.py"},
            {"losses/dpo.py", "losses/ppo.py", "methods/ppo.py", "town/gold.py", "cli.py"},
        ),
        ("dpo", {"losses/dpo.py", "methods/direct.py"}, {"losses/ppo.py", "methods/sft.py"}),
        (
            "ppo",
            {"losses/ppo.py", "losses/kl.py", "sampling/local.py", "feedback/reward_model.py"},
            {"losses/dpo.py", "data/doctor.py", "report/page.py"},
        ),
        ("kto", {"losses/kto.py", "methods/kto.py"}, {"losses/dpo.py", "methods/direct.py"}),
    ],
)
def test_what_a_stage_uses_counts_and_nothing_else(stage, counted, passed_over):
    found = set(sources(stage, {}))
    assert counted <= found and not passed_over & found


def test_the_towns_judge_counts_where_it_judges():
    assert "town/gold.py" in sources(
        "ppo", {"options": {"judge": "town:gold"}}
    ) and "town/gold.py" not in sources("ppo", {"options": {"judge": "reward:run"}})


def test_an_edited_loss_is_another_run_and_is_named(tmp_path, edited):
    out = tmp_path / "run"
    assert made(out) and not made(out)
    edited("losses/sft.py", "return", "return -0.0 +")
    for resume in (True, False):
        with pytest.raises(
            ResumeRefused, match=r"made by other code: losses/sft\.py changed since"
        ) as caught:
            made(out, resume=resume)
        assert caught.value.exit_code == 7 and "--again" in caught.value.remedy
    before = read_run(out).started
    assert made(out, resume="again") and read_run(out).started > before and not made(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["package", "run"] and faults_of(out) == []


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("losses/ppo.py", "return", "return 2 *"),
        ("report/page.py", "def ", "def other():\n    pass\n\n\ndef "),
        ("methods/ppo.py", "import", "import json\nimport"),
        ("losses/sft.py", '"""', '"""Other words. '),
        ("losses/sft.py", "\n\n\n", "\n\n\n# a remark\n"),
        ("methods/sft.py", "\n\n\n", "\n\n\n\n\n"),
    ],
)
def test_edits_of_other_commands_comments_and_docstrings_change_no_run(tmp_path, edited, name, old, new):
    assert made(tmp_path / "run")
    edited(name, old, new)
    assert not made(tmp_path / "run")


def test_an_unfinished_run_of_other_code_goes_on_and_says_so(tmp_path, edited, capsys):
    out = tmp_path / "run"
    run = RunDir.open(out, stage="sft", config={}, seed=0)
    run.log(0, {"loss": 1.0})
    edited("losses/masked.py", "return", "return 1.0 *")
    run = RunDir.open(out, stage="sft", config={}, seed=0)
    assert "was begun by other code: losses/masked.py changed since" in capsys.readouterr().err
    run.finish({})
    assert not made(out) and list(run.info["begun_by"]) == ["losses/masked.py"]


def test_runs_made_before_the_code_was_kept_are_done(tmp_path, monkeypatch):
    monkeypatch.setattr(code_of, "sources", lambda *_: {})
    assert made(tmp_path / "run")
    info = (tmp_path / "run" / "run.json").read_text()
    monkeypatch.undo()
    (tmp_path / "run" / "run.json").write_text(
        info.replace('"code": {}', '"old": {}').replace('"manifest": true', '"manifest": false')
    )
    (tmp_path / "run" / "manifest.json").unlink()
    assert not made(tmp_path / "run")


def test_again_takes_no_run_of_other_settings_and_nothing_that_is_no_run(tmp_path):
    assert made(tmp_path / "run", lr=1)
    with pytest.raises(ResumeRefused, match="lr: 1 then, 2 now"):
        made(tmp_path / "run", resume="again", lr=2)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with pytest.raises(ResumeRefused, match="is not a run"):
        made(tmp_path / "photos", resume="again")


def test_the_old_run_stays_until_the_new_one_is_whole_wherever_it_is_killed(tmp_path, monkeypatch):
    """Killed at every write and rename of a run that is made again: one of the two is always there, whole."""
    out, calls = tmp_path / "run", 0
    real = {name: getattr(os, name) for name in ("fsync", "rename", "replace")}

    def counting(die_at):
        def counted(name, *arguments):
            nonlocal calls
            calls += 1
            if calls == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return real[name](*arguments)

        for name in real:
            monkeypatch.setattr(os, name, lambda *arguments, name=name: counted(name, *arguments))

    assert made(out)
    counting(0)
    assert made(out, resume="again")
    total = calls
    assert total > 10
    for die_at in range(1, total + 1):
        calls = 0
        counting(die_at)
        child = os.fork()
        if child == 0:
            try:
                made(out, resume="again")
            finally:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        for name, function in real.items():
            monkeypatch.setattr(os, name, function)
        kept = [
            folder
            for folder in (out, tmp_path / "run.replaced", tmp_path / "run.partial")
            if (folder / "manifest.json").exists()
        ]
        assert kept and all(faults_of(folder) == [] for folder in kept), f"killed at {die_at} of {total}"
        made(out, resume="again")
        assert [path.name for path in tmp_path.iterdir()] == ["run"] and faults_of(out) == []


def stage(*, out, resume, settings=None, fed="", **_):
    run = RunDir.open(
        out, stage="sft", config={"fed": str(fed)}, seed=0, parents=[fed] if fed else [], resume=resume
    )
    if run.done:
        return {"text": f"{out}: done already, nothing to do"}
    run.log(0, {"loss": 1.0})
    run.finish({})
    return {"text": "made"}


def pipeline(folder, resume):
    """Two stages, one fed by the other, in this process; what each said."""
    plan = Pipeline(folder, resume=resume)
    first = plan.stage("first", stage)
    second = plan.stage("second", stage, fed=first)
    return [each.target(**{**each.arguments})["text"].rpartition(" ")[2] for each in (first, second)]


def test_a_pipeline_makes_anew_what_other_code_made_and_what_came_of_it(tmp_path, edited):
    folder = tmp_path / "all"
    assert pipeline(folder, True) == ["made", "made"] and pipeline(folder, True) == ["do", "do"] == pipeline(
        folder, "again"
    )
    edited("losses/sft.py", "return", "return -0.0 +")
    with pytest.raises(ResumeRefused, match="made by other code"):
        pipeline(folder, True)
    assert pipeline(folder, "again") == ["made", "made"] and pipeline(folder, "again") == ["do", "do"]


def test_the_command_line_says_it_and_makes_it_anew(tmp_path, capsys):
    """With a copy of the package whose loss is edited, as a researcher would."""
    package = tmp_path / "src" / "alignlab"
    shutil.copytree(Path(alignlab.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))

    def run(*words):
        done = subprocess.run(
            [sys.executable, "-m", "alignlab.cli", *SFT, "--out", str(tmp_path / "run"), *words],
            capture_output=True,
            text=True,
            timeout=200,
            env={**os.environ, "PYTHONPATH": str(package.parent), "OMP_NUM_THREADS": "1"},
        )
        return done.returncode, done.stdout + done.stderr

    assert run()[0] == 0
    file = package / "losses" / "masked.py"
    file.write_text(
        re.sub(
            r"\n    return ([^\n]+)\n",
            r"\n    return 2.0 * (\1)\n",
            file.read_text(encoding="utf-8"),
            count=1,
        ),
        encoding="utf-8",
    )
    code, said = run()
    assert code == 7 and "made by other code: losses/masked.py changed since" in said and "--again" in said
    assert run("--again")[0] == 0
