"""`alignlab export`: any data name into a file that others read."""

import json

import pytest

from alignlab import cli
from alignlab.data import load


def run(*words, capsys):
    code = cli.main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def test_town_demonstrations_into_every_ending(tmp_path, capsys):
    for ending, format in ((".jsonl", "trl"), (".json", "sharegpt"), (".csv", "alpaca"), (".parquet", "messages")):
        code, out, err = run("export", "--data", "town:demos", "--count", 20, "--format", format, "--out", tmp_path / f"a{ending}", capsys=capsys)
        rows = 18 if ending == ".csv" else 20  # two go on over several turns
        assert code == 0 and f"20 records -> {rows} rows" in out and f"notes of {rows}" in out, err
        assert load(tmp_path / f"a{ending}", "demonstration").report.kept == rows
    assert "2 with a list, which CSV cannot hold" in run("export", "--data", "town:demos", "--count", 20, "--format", "alpaca", "--out", tmp_path / "b.csv", capsys=capsys)[1]


def test_a_document_of_what_was_done_and_no_overwriting(tmp_path, capsys):
    rows = [{"prompt": "Q?", "completions": ["a", "b", "c"], "ranks": [1, 2, 2]}, {"prompt": "P?", "completions": ["a", "b"], "scores": [0, 1]}]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("export", "--data", tmp_path / "r.jsonl", "--format", "hh", "--out", tmp_path / "hh.jsonl", "--json")
    code, out, _ = run(*words, capsys=capsys)
    document = json.loads(out)
    assert code == 0 and (document["schema"], document["kind"], document["read"], document["written"], document["left_out"]) == (1, "ranking", 2, 3, {"a tie": 1})
    code, _, err = run(*words, capsys=capsys)
    assert code == 2 and "there already" in err and "--overwrite" in err
    assert run(*words, "--overwrite", capsys=capsys)[0] == 0


@pytest.mark.parametrize(("words", "code", "says"), [
    (("--data", "town:demos", "--format", "hh", "--out", "x.jsonl"), 4, "demonstration cannot be read as a comparison"),
    (("--data", "town:demos", "--out", "x.txt"), 2, "ending in .txt"), (("--data", "town:demos"), 2, "a file"),
    (("--data", "nowhere.jsonl", "--out", "x.jsonl"), 4, "no such file"), (("--data", "town:demos", "--format", "trll", "--out", "x.jsonl"), 2, "did you mean trl"),
])
def test_mistakes(tmp_path, monkeypatch, capsys, words, code, says):
    monkeypatch.chdir(tmp_path)
    found, _, err = run("export", "--count", 5, *words, capsys=capsys)
    assert found == code and says in err, err
    assert not list(tmp_path.iterdir())
