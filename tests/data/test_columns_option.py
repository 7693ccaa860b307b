"""--columns: what the user says a file's columns are, in every command that takes data."""

import csv
import json

import pytest

from alignlab import cli, names
from alignlab.cli.commands import COMMANDS
from alignlab.data import load_records
from alignlab.data.read import survey
from alignlab.errors import ConfigError, DataError
from alignlab.records import Demonstration, Prompt
from alignlab.settings import EvalSettings
from alignlab.stages.rankings import preferences
from alignlab.stages.stage import open_run

ROWS = [{"q": f"Where is house {i}?", "a": "By the well.", "label": "cs"} for i in range(3)]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(*words, capsys):
    code = cli.main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def test_a_file_is_read_by_the_names_that_the_user_gives(tmp_path):
    expected = [Demonstration(Prompt.user(row["q"]), row["a"]) for row in ROWS]
    file = jsonl(tmp_path / "a.jsonl", ROWS)
    with open(tmp_path / "a.csv", "w", newline="") as out:
        writer = csv.DictWriter(out, ["q", "a", "label"])
        writer.writeheader()
        writer.writerows(ROWS)
    for source in (file, tmp_path / "a.csv"):
        name = f"columns: prompt = q , completion=a,label=:{source}"
        found = load_records(name, "demonstration")
        assert (
            found.records == expected == survey(name, "demonstration").records
            and names.data.kind(name) == "demonstration"
        )
        assert "no text: (label)" in str(found.report), "what was set aside is named"
        assert names.data.read_data(name, "prompt").records[0].meta["columns"] == {
            "completion": "By the well.",
            "(label)": "cs",
        }
    with pytest.raises(DataError, match="no known format has the columns 'q'"):
        load_records(tmp_path / "a.csv", "demonstration")


def test_a_column_in_the_way_is_set_aside_and_named(tmp_path):
    file = jsonl(
        tmp_path / "a.jsonl", [{"prompt": "ignored here", "q": "Hi?", "chosen": "a b", "rejected": "a c"}]
    )
    report = load_records(f"columns:prompt=q:{file}", "comparison").report
    assert report.not_read == {"(prompt)": 1}
    swapped = jsonl(tmp_path / "b.jsonl", [{"prompt": "Yes.", "completion": "Hi?"}])
    assert load_records(
        f"columns:prompt=completion,completion=prompt:{swapped}", "demonstration"
    ).records == [Demonstration(Prompt.user("Hi?"), "Yes.")]


def test_a_pair_without_a_prompt_column_may_be_said_to_be_one(tmp_path):
    file = jsonl(
        tmp_path / "a.jsonl", [{"chosen": "It is so.", "rejected": "It is not.", "reason": "because it is"}]
    )
    with pytest.raises(DataError, match="'reason' holds text"):
        load_records(file, "comparison")
    report = load_records(f"columns:prompt=:{file}", "comparison").report
    assert report.not_read == {"reason": 1} and sum(report.remarks.values()) == 1


@pytest.mark.parametrize(
    ("listed", "kind", "what", "remedy"),
    [
        ("promt=q", ConfigError, "no reader knows a column 'promt'", "prompt"),
        ("prompt=question", DataError, "no column 'question'", "it has: q, a"),
        ("completion=aa,prompt=q", DataError, "no column 'aa'", "did you mean a?"),
        ("prompt", ConfigError, "names no column", "--columns"),
        ("prompt=q,prompt=a", ConfigError, "twice", "--columns"),
        ("prompt=q,completion=q", ConfigError, "twice", "--columns"),
        ("=q", ConfigError, "names no column", "--columns"),
        ("", ConfigError, "names no column", "--columns"),
        ("prompt=q,system=persona,completion=a,label=", DataError, "no column 'persona'", "it has"),
    ],
)
def test_unknown_names_on_either_side_are_errors_with_the_nearest(tmp_path, listed, kind, what, remedy):
    file = jsonl(tmp_path / "a.jsonl", ROWS)
    with pytest.raises(kind, match=what) as error:
        names.data.read_data(f"columns:{listed}:{file}", "demonstration")
    assert remedy in error.value.remedy
    if kind is DataError:
        assert str(file) in error.value.where and survey(f"columns:{listed}:{file}", "demonstration").broken


@pytest.mark.parametrize("data", ["town:demos", "mix:1=town:demos+1=FILE", "RUN"])
def test_data_with_names_of_ours_takes_none(tmp_path, data):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    name = data.replace("FILE", str(jsonl(tmp_path / "a.jsonl", ROWS))).replace("RUN", str(tmp_path / "run"))
    for asked in (
        lambda: names.data.read_data(f"columns:prompt=q:{name}", "demonstration"),
        lambda: names.data.kind(f"columns:prompt=q:{name}"),
    ):
        with pytest.raises(ConfigError, match="--columns") as error:
            asked()
        assert error.value.remedy


def test_mixtures_and_lists_say_it_of_each_file(tmp_path):
    a, b = (
        jsonl(tmp_path / f"{name}.jsonl", [row | {"q": f"{name}: {row['q']}"} for row in ROWS])
        for name in "ab"
    )
    mixed = names.data.read_data(
        f"mix:1=columns:prompt=q,completion=a,label=:{a}+1=columns:prompt=q,completion=a,label=:{b}",
        "demonstration",
    )
    assert len(mixed.records) == 6
    pairs = [
        jsonl(tmp_path / f"{name}.jsonl", [{"q": f"{name}?", "chosen": "yes", "rejected": "no"}])
        for name in "cd"
    ]
    parts, train, _, _ = preferences(f"columns:prompt=q:{pairs[0]},{pairs[1]}", 0, 0, 0.5)
    assert [r.prompt.text for r in train] == ["c?", "d?"] and [part.name for part in parts] == [
        f"columns:prompt=q:{pair}" for pair in pairs
    ]


@pytest.mark.parametrize(
    "command",
    [name for name, command in COMMANDS.items() if any(option.flag == "data" for option in command.options)],
)
def test_every_command_that_takes_data_takes_columns(command, capsys):
    assert cli.main([command, "--help", "all"]) == 0
    assert "--columns" in capsys.readouterr().out


def test_the_commands(tmp_path, capsys):
    file, listed = jsonl(tmp_path / "a.jsonl", ROWS), "prompt=q,completion=a,label="
    code, out, err = run(
        "export", "--data", file, "--columns", listed, "--out", tmp_path / "b.jsonl", "--plain", capsys=capsys
    )
    assert code == 0 and json.loads((tmp_path / "b.jsonl").read_text().splitlines()[0]) == {
        "prompt": ROWS[0]["q"],
        "completion": ROWS[0]["a"],
    }, err
    code, out, err = run("doctor", file, "--columns", listed, "--model", "town-s", "--json", capsys=capsys)
    assert (
        code == 0
        and json.loads(out)["kind"] == "demonstration"
        and json.loads(out)["load"]["others"] == {"(label)": 3}
    ), err
    code, out, err = run(
        "view", "--data", file, "--columns", listed, "--model", "town-s", "--count", 1, capsys=capsys
    )
    assert code == 0 and "By the well." in out, err
    code, out, err = run("doctor", file, "--columns", "promt=q", "--model", "town-s", capsys=capsys)
    assert code == 3 and "did you mean prompt?" in err
    code, out, err = run("dpo", "--columns", listed, "--model", "town-s", capsys=capsys)
    assert code == 2 and "no data is named" in err


def test_every_stage_says_what_became_of_its_rows(tmp_path, capsys):
    file = jsonl(tmp_path / "a.jsonl", [{"prompt": "Hi?", "completion": "Yes.", "persona": "a pirate"}])
    data = [names.data.read_data(str(file), "prompt")]
    run = open_run("eval", tmp_path / "run", EvalSettings(), 0, True, uses=data)
    assert "not read: persona (1 row)" in capsys.readouterr().err
    run.finish({})
    open_run("eval", tmp_path / "run", EvalSettings(), 0, True, uses=data)
    assert "persona" not in capsys.readouterr().err, "nothing to do, nothing to say"


def test_it_is_part_of_the_runs_key(tmp_path, capsys):
    file = jsonl(
        tmp_path / "a.jsonl",
        [{"q": f"Where is house {i}?", "p": f"Where is tree {i}?", "a": "By the well."} for i in range(8)],
    )
    words = (
        "sft",
        "--model",
        "town-s",
        "--data",
        file,
        "--epochs",
        1,
        "--out",
        tmp_path / "run",
        "--columns",
    )
    code, _, err = run(*words, "prompt=q,completion=a", capsys=capsys)
    assert code == 0 and "not read: p (8 rows)" in err, err
    assert run(*words, "prompt=q,completion=a", capsys=capsys)[0] == 0
    assert run(*words, "prompt=p,completion=a", capsys=capsys)[0] == 7
