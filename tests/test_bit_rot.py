"""A byte that changes on the disk is found, whichever file it is in, by everything that reads the run."""

import json
import random
import shutil
from pathlib import Path

import pytest

from alignlab import cli, names
from alignlab.errors import DataError, ModelError, UserError
from alignlab.models.load import load_policy
from alignlab.run import RunDir, faults_of, list_runs, read_run
from alignlab.run.manifest import MANIFEST, check_model, later, seal
from alignlab.run.states import LOGS
from alignlab.settings import ModelSettings
from alignlab.town.base import shipped

TINY = ["--optim.lr", "1e-3", "--batch", "4", "--held_out", "0.25"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of four kinds: weights, an adapter over them, comparisons, figures."""
    folder = tmp_path_factory.mktemp("runs")
    commands = (
        ["sft", "--model", "town-s", "--data", "town:demos", "--count", "16", "--epochs", "1", *TINY],
        ["dpo", "--model", "sft", "--data", "collect", "--epochs", "1", "--adapter.rank", "2", *TINY],
        [
            "collect",
            "--model",
            "sft",
            "--data",
            "town:prompts",
            "--count",
            "12",
            "--per_prompt",
            "2",
            "--sampling.max_new_tokens",
            "8",
        ],
        ["eval", "--model", "sft", "--data", "town:test", "--prompts", "6", "--sampling.max_new_tokens", "8"],
    )
    for name, command in sorted(
        zip(("sft", "dpo", "collect", "eval"), commands, strict=True),
        key=lambda each: ("sft", "collect", "dpo", "eval").index(each[0]),
    ):
        command = [
            str(folder / word) if word in ("sft", "collect") and i else word for i, word in enumerate(command)
        ]
        assert cli.main([*command, "--out", str(folder / name)]) == 0, name
    return folder


@pytest.fixture
def copy(runs, tmp_path):
    def copied(name):
        return Path(shutil.copytree(runs / name, tmp_path / name))

    return copied


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def flip(path, rng):
    """One bit of one byte of a file."""
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def campaign(folder, rng, count):
    """Flips bits one at a time; how many were not found, or not by the file's name."""
    files, silent = [path for path in files_of(folder) if path.stat().st_size], []
    for number in range(count):
        path = files[number % len(files)]
        before = path.read_bytes()
        flip(path, rng)
        found = faults_of(folder) or []
        if not any(
            fault.startswith((f"{path.relative_to(folder).as_posix()} ", MANIFEST)) for fault in found
        ):
            silent.append(f"{path.relative_to(folder)}: {found}")
        path.write_bytes(before)
    assert not faults_of(folder)
    return silent


@pytest.mark.parametrize("name", ["sft", "dpo", "collect", "eval"])
def test_a_flipped_bit_is_found_in_every_file_of_every_kind_of_run(copy, name):
    folder = copy(name)
    assert campaign(folder, random.Random(name), 2 * len(files_of(folder))) == []


@pytest.mark.campaign
def test_a_thousand_flips_are_a_thousand_found(copy):
    for seed, name in enumerate(("sft", "dpo", "collect", "eval")):
        assert campaign(copy(name), random.Random(seed), 250) == []


def broken(folder, how):
    """One file less, more, emptier or shorter than the run was written with; its name."""
    weights = next(folder.rglob("*.safetensors"))
    data = next(iter(folder.glob("data/*.jsonl")), folder / "metrics.jsonl")
    path = {
        "cut": weights,
        "emptied": data,
        "lost": folder / "summary.json",
        "a link": data,
        "a folder": data,
    }.get(how, folder)
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif how == "emptied":
        path.write_bytes(b"")
    elif how in ("lost", "a link", "a folder"):
        path.unlink()
        if how == "a link":
            path.symlink_to(folder / "gone")
        if how == "a folder":
            path.mkdir()
    elif how == "added to data":
        path = folder / "data" / "more.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}\n")
    elif how == "added to checkpoint":
        path = folder / "checkpoint" / "adapter_config.json.bak"
        path.write_text("{}")
    elif how == "added samples":
        path = folder / "samples.jsonl"
        path.write_text("{}\n")
    elif how == "no manifest":
        path = folder / MANIFEST
        path.unlink()
    elif how == "no run.json":
        path = folder / "run.json"
        path.unlink()
    return path.relative_to(folder).as_posix()


@pytest.mark.parametrize(
    "how",
    [
        "cut",
        "emptied",
        "lost",
        "a link",
        "a folder",
        "added to data",
        "added to checkpoint",
        "no manifest",
        "no run.json",
    ],
)
def test_what_is_cut_emptied_lost_or_added_is_named(copy, capsys, how):
    folder = copy("sft")
    name = broken(folder, how)
    assert cli.main(["runs", "verify", str(folder)]) == 5
    assert f"  {name} " in capsys.readouterr().out
    with pytest.raises(UserError) as caught:
        read_run(folder)
        load_policy(folder / "checkpoint", ModelSettings())
    assert name in str(caught.value) and caught.value.exit_code == 4 and caught.value.remedy


def test_samples_that_the_run_never_wrote_are_named(copy):
    folder = copy("sft")
    if (folder / "samples.jsonl").exists():
        (folder / "samples.jsonl").unlink()
        seal(folder, wrote={})
    assert broken(folder, "added samples") == "samples.jsonl" and faults_of(folder) == [
        "samples.jsonl is not one of the run's files"
    ]


READERS = (
    ["eval", "--model", "{sft}", "--data", "town:test", "--out", "{new}"],
    ["sft", "--model", "{sft}", "--data", "town:demos", "--out", "{new}"],
    ["ppo", "--model", "town-s", "--reward", "{sft}", "--out", "{new}"],
    ["report", "{sft}", "--page", "{new}.html"],
    ["runs", "doctor", "{sft}"],
    ["sft", "--model", "town-s", "--data", "{sft}", "--out", "{new}"],
    ["doctor", "{sft}"],
    ["export", "--data", "{sft}", "--out", "{new}.jsonl"],
    ["chat", "--model", "{sft}", "--once", "hello"],
    ["eval", "--model", "town-s", "--data", "town:test", "--baseline", "{sft}", "--out", "{new}"],
)


@pytest.mark.parametrize("command", READERS, ids=lambda command: " ".join(command[:3]))
def test_every_reader_of_a_run_names_the_damage(copy, tmp_path, capsys, command):
    folder = copy("sft")
    flip(folder / "summary.json", random.Random(0))
    assert cli.main([word.format(sft=folder, new=tmp_path / "new") for word in command]) == 4
    said = capsys.readouterr().err
    assert "summary.json was changed" in said and "--again" in said and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "command",
    [
        ["eval", "--model", "{sft}"],
        ["eval", "--model", "{sft}/checkpoint"],
        ["collect", "--model", "{sft}/checkpoint"],
        ["dpo", "--model", "{dpo}/checkpoint", "--data", "town:test-pairs"],
    ],
    ids=" ".join,
)
def test_weights_are_read_against_the_manifest_before_they_are_used(copy, tmp_path, capsys, command):
    folders = {"sft": copy("sft"), "dpo": copy("dpo")}
    for folder in folders.values():
        flip(next(folder.glob("checkpoint/*.safetensors")), random.Random(1))
    assert cli.main([word.format(**folders) for word in command] + ["--out", str(tmp_path / "new")]) == 4
    assert ".safetensors was changed" in capsys.readouterr().err


def test_a_finished_stage_that_is_damaged_is_not_done_already(copy, runs, tmp_path, capsys):
    """As a pipeline sees it that is given again."""
    folder = copy("sft")
    again = [
        "sft",
        "--model",
        "town-s",
        "--data",
        "town:demos",
        "--count",
        "16",
        "--epochs",
        "1",
        *TINY,
        "--out",
        str(folder),
    ]
    assert cli.main(again) == 0 and "done already" in capsys.readouterr().out
    weights = next(folder.glob("checkpoint/*.safetensors"))
    flip(weights, random.Random(2))
    assert cli.main(again) == 4 and weights.name in capsys.readouterr().err
    assert cli.main([*again, "--again"]) == 0
    assert (
        faults_of(folder) == []
        and weights.read_bytes() == (runs / "sft/checkpoint" / weights.name).read_bytes()
    )


def test_runs_made_before_there_were_manifests_go_on_and_their_data_is_compared(copy, capsys):
    folder = copy("collect")
    (folder / MANIFEST).unlink()
    info = json.loads((folder / "run.json").read_text())
    del info["manifest"]
    (folder / "run.json").write_text(json.dumps(info))
    assert read_run(folder).status == "done" and names.data.read_data(str(folder), "ranking").records
    assert (
        cli.main(["runs", "verify", str(folder)]) == 0
        and "made by an older version" in capsys.readouterr().out
    )
    flip(folder / "data" / "rankings.jsonl", random.Random(3))
    with pytest.raises(DataError, match=r"data/rankings\.jsonl was changed"):
        read_run(folder)


def test_what_people_and_pages_put_beside_a_run_is_no_damage(copy, capsys):
    folder = copy("sft")
    (folder / "notes.txt").write_text("mine")
    assert cli.main(["report", str(folder)]) == 0
    with later(folder / "data" / "prompts.jsonl"):
        (folder / "data").mkdir(exist_ok=True)
        (folder / "data" / "prompts.jsonl").write_text("{}\n")
    (folder / ".lock").touch()
    inner = RunDir.open(folder / "more", stage="walk", config={}, seed=0)
    inner.finish({})
    assert faults_of(folder) == []
    flip(folder / "report.html", random.Random(4))
    flip(folder / "data" / "prompts.jsonl", random.Random(4))
    assert [fault.split()[0] for fault in faults_of(folder) or []] == ["report.html", "data/prompts.jsonl"]


def test_a_damaged_run_among_others_is_passed_over_and_named(copy, tmp_path, capsys):
    copy("collect")
    flip(copy("sft") / "run.json", random.Random(5))
    assert [info.stage for info in list_runs(tmp_path)] == ["collect"]
    assert "passed over" in (said := capsys.readouterr().err) and "run.json was changed" in said
    assert cli.main(["runs", "verify", str(tmp_path)]) == 5
    assert "whole" in (said := capsys.readouterr().out) and "damaged" in said


def test_the_shipped_models_are_as_they_were_shipped(tmp_path):
    for name in ("town-s", "town-m", "town-l"):
        assert faults_of(shipped(name)) == []
    folder = Path(shutil.copytree(shipped("town-s"), tmp_path / "town-s"))
    flip(folder / "model.safetensors", random.Random(6))
    with pytest.raises(ModelError, match=r"model\.safetensors was changed"):
        check_model(folder, error=ModelError)


# a run that is not finished


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A run that was stopped in its third step and goes on from its second."""
    import torch

    monkeypatch.setenv("ALIGNLAB_SAVE_EVERY_STEPS", "2")
    run = RunDir.open(tmp_path / "a", stage="walk", config={"settings": {}}, seed=3)
    for step in run.steps(4, desc="walk", save=lambda: ({"weight": torch.arange(64.0)}, {"seen": [1, 2, 3]})):
        run.log(step, {"loss": 1.0})
        for kept in ("samples", "tokens", "probes"):
            run.log_samples(step, [{"text": "dérive"}], into=kept)
        if step == 2:
            break
    return run.path


def reopened(path):
    return RunDir.open(path.with_name("a"), stage="walk", config={"settings": {}}, seed=3)


@pytest.mark.parametrize(
    "name",
    [
        "state-00000002/tensors.safetensors",
        "state-00000002/extra.json",
        "metrics.jsonl",
        "samples.jsonl",
        "run.json",
        "config.json",
    ],
)
def test_a_flipped_bit_in_an_unfinished_run_is_refused_or_does_no_harm(stopped, capsys, name):
    whole = {path: path.read_bytes() for path in files_of(stopped)}
    sizes = json.loads(whole[stopped / "state-00000002" / "extra.json"])["logs"]
    seen, rng = set(), random.Random(name)
    for _ in range(40):
        for path, data in whole.items():
            path.write_bytes(data)
        data = bytearray(whole[stopped / name])
        data[rng.randrange(sizes[name][0] if name in sizes else len(data))] ^= 1 << rng.randrange(8)
        (stopped / name).write_bytes(data)
        try:
            run = reopened(stopped)
        except UserError as error:
            seen.add("refused")
            assert name.rpartition("/")[2] in str(error) or name in ("run.json", "config.json")
            continue
        seen.add("harmless")  # what is not taken from the file: it is written again
        assert json.loads((stopped / "config.json").read_bytes()) == {"settings": {}} and run.seed == 3
        assert {log: (stopped / log).read_bytes() for log in LOGS} == {
            log: whole[stopped / log][: sizes[log][0]] for log in LOGS
        }
        saved = run.load_state()
        assert saved is not None
        step, tensors, extra = saved
        assert step == 2 and extra == {"seen": [1, 2, 3]} and tensors["weight"].tolist() == list(range(64))
    assert seen == {"refused"} or name in ("run.json", "config.json")


def test_verify_reads_an_unfinished_run_too(stopped, capsys):
    assert cli.main(["runs", "verify", str(stopped.with_name("a"))]) == 0
    flip(stopped / "state-00000002" / "tensors.safetensors", random.Random(7))
    assert cli.main(["runs", "verify", str(stopped)]) == 5
    assert "tensors.safetensors" in capsys.readouterr().out


@pytest.mark.parametrize("line", [b'{"step": 0, "loss": \xff}\n', b'{"step": 0, "loss"\n', b"5\n"])
def test_a_log_that_cannot_be_read_is_named_by_file_and_row(stopped, capsys, line):
    (stopped / "metrics.jsonl").write_bytes(line)
    assert cli.main(["runs", "doctor", str(stopped)]) == 4
    assert f"{stopped / 'metrics.jsonl'}:1" in capsys.readouterr().err
