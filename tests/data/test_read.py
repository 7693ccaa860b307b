"""Files, folders, runs and the hub: what is read, what is dropped and counted, and what every broken file is
told.
"""

import gzip
import json
import random
import re
import sys
import types

import pyarrow
import pyarrow.parquet
import pytest

from alignlab.data import load
from alignlab.errors import DataError
from alignlab.records import (
    Comparison,
    Completion,
    Demonstration,
    Prompt,
    Ranking,
    Text,
    Unpaired,
    read_jsonl,
    write_jsonl,
)

PAIRS = [{"prompt": f"Q{i}?", "chosen": f"yes {i}", "rejected": f"no {i}"} for i in range(5)]
SHOWN = [{"prompt": f"Q{i}?", "completion": f"A{i}."} for i in range(5)]
HI = Prompt.user("Hi?", difficulty=2)


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def broken(path, want="comparison", **options):
    """The error that loading gives, as the user sees it."""
    with pytest.raises(DataError) as caught:
        load(path, want, **options)
    assert caught.value.where and caught.value.remedy
    return caught.value


# --- what is read
# ------------------------------------------------------------------------------------------------------------


def spellings(folder):
    text = "".join(json.dumps(row) + "\n" for row in SHOWN)
    (folder / "a.jsonl").write_text(text)
    (folder / "lines.json").write_text("\n" + text.rstrip("\n"))
    (folder / "bom.jsonl").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n\r\n").encode())
    (folder / "list.json").write_text("\n " + json.dumps(SHOWN, indent=2))
    (folder / "wrapped.json").write_text(json.dumps({"data": SHOWN}))
    (folder / "pretty.json").write_text(json.dumps({"data": SHOWN}, indent=1))
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    (folder / "packed.json").write_bytes(gzip.compress(json.dumps(SHOWN).encode()))
    (folder / "a.csv").write_text(
        "id, prompt,completion\r\n" + "".join(f'{i},"Q{i}?",A{i}.\r\n' for i in range(5)) + "\r\n"
    )
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(SHOWN), folder / "a.parquet")
    return sorted(folder.iterdir())


def test_every_container_gives_the_same_records(tmp_path):
    files = spellings(tmp_path)
    assert len(files) == 10
    for file in files:
        loaded = load(file, "demonstration")
        assert loaded.records == [Demonstration(Prompt.user(f"Q{i}?"), f"A{i}.") for i in range(5)], file
        assert (loaded.report.read, loaded.report.kept, loaded.report.formats) == (
            5,
            5,
            {"prompt-completion": 5},
        )
    together = load(tmp_path, "demonstration")
    assert (together.report.read, together.report.kept, together.report.dropped) == (50, 5, {"duplicate": 45})


def test_long_and_quoted_csv_cells(tmp_path):
    long = 'word, "word"\n' * 20_000
    (tmp_path / "a.csv").write_text('prompt,completion\nQ?,"' + long.replace('"', '""') + '"\nR?,s\n')
    first, second = load(tmp_path / "a.csv", "demonstration").records
    assert (first.completion, second.completion) == (long, "s")


def test_limit_and_report(tmp_path):
    file = jsonl(
        tmp_path / "a.jsonl",
        [PAIRS[0], PAIRS[0], {**PAIRS[1], "rejected": "yes 1"}, {**PAIRS[1], "chosen": ""}, *PAIRS[2:]],
    )
    loaded = load(file, "comparison")
    assert loaded.report.dropped == {
        "duplicate": 1,
        "chosen and rejected are the same": 1,
        "empty completion": 1,
    }
    assert loaded.report.examples["chosen and rejected are the same"] == f"{file}:3"
    assert loaded.report.read == 7 == loaded.report.kept + 3
    assert str(loaded.report).splitlines()[0] == f"{file}: 7 rows (preference) -> 4 comparisons"
    assert f"1 duplicate (first: {file}:2)" in str(loaded.report)
    assert len(load(file, "comparison", limit=2).records) == 2
    assert json.loads(json.dumps(loaded.report.to_json()))["kept"] == 4


def test_prompts_of_demonstrations_are_not_repeated(tmp_path):
    file = jsonl(
        tmp_path / "a.jsonl", [SHOWN[0], {**SHOWN[0], "completion": "other"}, {**SHOWN[1], "completion": ""}]
    )
    loaded = load(file, "prompt")
    assert [prompt.text for prompt in loaded.records] == ["Q0?", "Q1?"]
    assert loaded.report.dropped == {"duplicate": 1}


RECORDS = {
    "text": [Text("A document.", {"n": 1})],
    "prompt": [HI],
    "demonstration": [Demonstration(HI, "Yes.", {"by": "x"})],
    "comparison": [Comparison(HI, "Yes.", "No.", 0.5, False, True, False, {"annotator": "a"})],
    "ranking": [
        Ranking(
            HI,
            (Completion(HI, "No.", finished=False, source="m"), Completion(HI, "Yes."), Completion(HI, "")),
            (2, 1, 2),
            "a",
            {"k": 1},
        )
    ],
    "unpaired": [Unpaired(HI, "Yes.", False)],
}
NAMES = {
    "text": "texts",
    "prompt": "prompts",
    "demonstration": "demonstrations",
    "comparison": "comparisons",
    "ranking": "rankings",
    "unpaired": "unpaired",
}


@pytest.mark.parametrize("want", RECORDS)
def test_a_run_gives_back_what_was_written(tmp_path, want):
    (tmp_path / "run.json").write_text("{}")
    write_jsonl(tmp_path / "data" / f"{NAMES[want]}.jsonl", RECORDS[want])
    assert load(tmp_path, want).records == RECORDS[want]


def test_a_run_gives_what_can_be_made_of_its_data(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    write_jsonl(tmp_path / "data" / "rankings.jsonl", RECORDS["ranking"])
    assert [(c.chosen, c.rejected) for c in load(tmp_path, "comparison").records] == [
        ("Yes.", "No."),
        ("Yes.", ""),
    ]
    assert load(tmp_path, "demonstration").records == [Demonstration(HI, "Yes.")]
    error = broken(tmp_path, "text")
    assert "it holds rankings" in error.remedy
    assert "split 'test'" in broken(tmp_path, "ranking", split="test").what


def test_a_folder_named_by_split(tmp_path):
    jsonl(tmp_path / "train-00000.jsonl", SHOWN[:2])
    jsonl(tmp_path / "test-00000.jsonl", SHOWN[2:])
    (tmp_path / "README.md").write_text("# card")
    assert len(load(tmp_path, "demonstration").records) == 2
    assert len(load(tmp_path, "demonstration", split="test").records) == 3
    assert "test, train" in broken(tmp_path, "demonstration", split="dev").remedy


def test_hub_names_go_through_datasets(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    calls = []
    monkeypatch.setitem(
        sys.modules,
        "datasets",
        types.SimpleNamespace(load_dataset=lambda name, split: calls.append((name, split)) or SHOWN),
    )
    assert len(load("someone/some-set", "demonstration", split="test").records) == 5
    assert calls == [("someone/some-set", "test")]

    def offline(name, split):
        raise ConnectionError("Couldn't reach the hub\nsecond line")

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=offline))
    error = broken("someone/some-set", "demonstration")
    assert error.what.endswith("Couldn't reach the hub") and "network" in error.remedy


# --- what is broken
# ------------------------------------------------------------------------------------------------------------


def test_nothing_there(tmp_path):
    jsonl(tmp_path / "pairs.jsonl", PAIRS)
    assert "did you mean" in broken(tmp_path / "pair.jsonl").remedy
    assert "no such file" in broken("data/nowhere.jsonl").what
    assert "no such file" in broken("not a name").what
    (tmp_path / "a.txt").write_text("x")
    assert "files ending in .txt" in broken(tmp_path / "a.txt").what
    (tmp_path / "empty").mkdir()
    assert "no data files" in broken(tmp_path / "empty").what


@pytest.mark.parametrize(
    ("name", "content", "what", "row"),
    [
        ("a.jsonl", b"", "the file is empty", None),
        ("a.jsonl", b"\n \n", "no rows", None),
        ("a.json", b"[]", "no rows", None),
        ("a.csv", b"prompt,chosen,rejected\n", "no rows", None),
        ("a.jsonl.gz", gzip.compress(b"", mtime=0), "no rows", None),
        (
            "a.jsonl",
            b'{"prompt": "a", "chosen": "b", "rejected": "c"}\n{"prompt": "a", "cho',
            "ends in the middle of a row",
            2,
        ),
        ("a.jsonl", b'{"prompt": "a", "chosen": "b", "rejected": "c"}\n\n{"prompt": "a",}\n', "not JSON", 3),
        (
            "a.json",
            b'[{"prompt": "a", "chosen": "b", "rejected": "c"},\n{"prompt": "a',
            "ends before the list is closed",
            2,
        ),
        ("a.json", b'[{"prompt": "a", "chosen": "b", "rejected": "c"}', "ends before the list is closed", 1),
        ("a.json", b'[{"prompt": "a", "chosen": "b", "rejected": "c"}, {prompt: "a"}]', "not JSON", 2),
        ("a.json", b'[{"prompt": "a", "chosen": "b", "rejected": "c"} {}]', "comma is missing", 1),
        ("a.json", b'[{"prompt": "a", "chosen": "b", "rejected": "c"}][]', "goes on after", 1),
        ("a.json", b'{\n"data": [', "not JSON", None),
        ("a.json", b"[" * 100_000, "not JSON", 1),
        (
            "a.jsonl",
            b'{"prompt": "caf\xe9", "chosen": "b", "rejected": "c"}\n',
            r"byte 15 \(0xe9\) is not UTF-8",
            1,
        ),
        (
            "a.json",
            b'[{"prompt": "a", "chosen": "b",\n "rejected": "caf\xe9"}]',
            r"byte 49 \(0xe9\) is not UTF-8",
            2,
        ),
        ("a.csv", b"prompt,chosen,rejected\na,b,\x93c\x94\n", r"byte 27 \(0x93\)", 2),
        ("a.jsonl", '{"prompt": "a"}\n'.encode("utf-16"), "UTF-16", None),
        ("a.csv", "prompt,completion\n".encode("utf-16"), "UTF-16", None),
        (
            "a.jsonl",
            b'{"prompt": "a", "chosen": "b", "rejected": "c"}\n{"pro\0mpt": "a"}\n',
            "NUL byte at byte 53",
            2,
        ),
        ("a.jsonl", b'{"prompt": "a\\u0000", "chosen": "b", "rejected": "c"}\n', "NUL character", 1),
        ("a.jsonl", b'{"prompt": "a\\ud800", "chosen": "b", "rejected": "c"}\n', "surrogate", 1),
        ("a.jsonl", b"1\n", "must be an object", 1),
        ("a.jsonl", b'{"question": "a"}\n', "cannot be read as a comparison", 1),
        ("a.jsonl.gz", b'{"prompt": "a"}\n', "not gzipped", None),
        ("a.csv", b"How are you?,Fine.\nAnd you?,Well.\n", "no known format has the columns 'How are you", 2),
        ("a.csv", b"prompt,prompt,completion\na,b,c\n", "two columns are named 'prompt'", 1),
        ("a.csv", b"prompt,chosen,rejected\na,b,c\na,b,c,d\n", "4 cells, the header 3", 3),
        ("a.csv", b'prompt,chosen,rejected\na,"b,c\n', "never closed", 2),
        ("a.parquet", b"PAR1 but not really", "Parquet file is cut off or damaged", None),
    ],
)
def test_broken_files_say_where_and_what_mends_them(tmp_path, name, content, what, row):
    file = tmp_path / name
    file.write_bytes(content)
    error = broken(file)
    assert error.exit_code == 4
    assert re.search(what, error.what), error.what
    assert error.where == (f"{file}:{row}" if row else str(file)), error.where


def test_cut_archives(tmp_path):
    noise = random.Random(0)
    rows = "".join(
        json.dumps({**pair, "chosen": str(noise.random())}) + "\n" for pair in PAIRS for _ in range(200)
    )
    whole = gzip.compress(rows.encode())
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    assert "compressed file is cut off after row" in broken(tmp_path / "a.jsonl.gz").what
    (tmp_path / "b.jsonl.gz").write_bytes(whole[:-8] + bytes(8))
    assert "compressed file is damaged after row 1000" in broken(tmp_path / "b.jsonl.gz").what
    (tmp_path / "c d.jsonl.gz").write_bytes(gzip.compress(b'{"prompt": \xe9}\n'))
    assert broken(tmp_path / "c d.jsonl.gz").remedy.endswith(
        f"gunzip '{tmp_path}/c d.jsonl.gz'; iconv -f WINDOWS-1252 -t UTF-8 '{tmp_path}/c d.jsonl' > "
        "fixed.jsonl"
    )
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(PAIRS), tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(data[:-40])
    assert "Parquet file is cut off" in broken(tmp_path / "a.parquet").what


def test_mixed_formats_name_the_rows(tmp_path):
    rows = [PAIRS[0], PAIRS[1], SHOWN[0], PAIRS[2], SHOWN[1], SHOWN[2], {"x": 1}]
    error = broken(jsonl(tmp_path / "a.jsonl", rows))
    assert "preference (3 rows" in error.what
    assert "prompt-completion (row 3, 5-6)" in error.what and "no known format (row 7)" in error.what
    assert error.where.endswith("a.jsonl:3")


def test_a_missing_column_is_named(tmp_path):
    rows = [*PAIRS[:3], {"prompt": "Q?", "chosen": "a"}, PAIRS[3]]
    error = broken(jsonl(tmp_path / "a.jsonl", rows))
    assert "row 4 has no rejected" in error.what and error.where.endswith("a.jsonl:4")
    rows[3] = {"prompt": "Q?", "chosen": "a", "rejected": None}
    assert "row 4 has no rejected" in broken(jsonl(tmp_path / "a.jsonl", rows)).what
    rows = [{"chosen": "a", "rejected": "b", "prompt": "Q?"}, {"chosen": "a", "prompts": "Q?"}]
    assert "preference (1 rows" in broken(jsonl(tmp_path / "a.jsonl", rows)).what


def test_nothing_left_says_why(tmp_path):
    error = broken(
        jsonl(tmp_path / "a.jsonl", [{**PAIRS[0], "rejected": "yes 0"}, {**PAIRS[1], "rejected": " "}])
    )
    assert error.what.startswith("nothing left of 2 rows: dropped 1 chosen and rejected are the same")


# --- written
# ------------------------------------------------------------------------------------------------------------


def test_our_own_reader_agrees(tmp_path):
    write_jsonl(tmp_path / "r.jsonl", RECORDS["ranking"])
    assert load(tmp_path / "r.jsonl", "ranking").records == read_jsonl(tmp_path / "r.jsonl", Ranking)
