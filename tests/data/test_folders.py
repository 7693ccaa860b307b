"""Which files of a folder are read for a split: as the `datasets` library finds them, and no row of a test
among those of training.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import datasets
import pytest
from datasets.data_files import DataFilesDict, get_data_patterns

from alignlab.data.folders import folder_files
from alignlab.data.read import kind_of_source, load_records, survey
from alignlab.errors import DataError

ROWS = [{"prompt": f"Q{i}?", "completion": f"A{i}."} for i in range(8)]


def lay(folder: Path, *names: str) -> Path:
    """Files of these names, each with a row of its own."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps({"prompt": f"{name}?", "completion": f"{number}."}) + "\n")
    return folder


def ours(folder: Path, split: str) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder_files(folder, split)}


def theirs(folder: Path) -> dict[str, set[str]]:
    files = DataFilesDict.from_patterns(get_data_patterns(str(folder)), str(folder))
    return {
        str(split): {str(Path(file).relative_to(folder)) for file in found} for split, found in files.items()
    }


ALIKE = [
    ("data/train/a.jsonl", "data/train/b.jsonl", "data/test/a.jsonl", "data/test/b.jsonl"),
    ("train.jsonl", "test.jsonl"),
    ("train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl", "validation-00000-of-00001.jsonl"),
    ("data/train-00000-of-00001.jsonl", "data/test-00000-of-00001.jsonl"),
    (
        "data/train_sft-00000-of-00001.jsonl",
        "data/test_sft-00000-of-00001.jsonl",
        "data/train_gen-00000-of-00001.jsonl",
    ),
    ("data/train-00000-of-00001.jsonl", "data/random-00000-of-00001.jsonl"),
    ("my-train-00000-of-00002.jsonl", "my-train-00001-of-00002.jsonl", "my-eval.jsonl"),
    ("en_test.csv", "en_train.csv"),
    ("train_en/part.jsonl", "test_en/part.jsonl", "dev_en/part.jsonl"),
    ("en/train/a.jsonl", "fr/train/a.jsonl", "fr/valid/a.jsonl"),
    ("training.jsonl", "testing.jsonl", "dev.jsonl"),
    ("train.jsonl", "evaluation.jsonl", "val.jsonl"),
    ("train.jsonl.gz", "test.parquet", "validation.csv"),
    ("1.train.jsonl", "2 test 3.jsonl", "v0.val0.jsonl"),
    ("rows-train2024.jsonl", "rows-test2024.jsonl"),
    ("latest/contest.jsonl", "trained.jsonl", "attest.jsonl", "evals/retrain.jsonl", "develop.jsonl"),
    ("a.jsonl", "b/c.jsonl"),
    ("train.jsonl", ".hidden/test.jsonl", "__cache__/test.jsonl"),
    ("train/a.jsonl", "train/dataset_infos.json", "test/a.jsonl"),
    ("data/train/train-00000-of-00001.jsonl", "data/test/test-00000-of-00001.jsonl"),
    ("deep/er/still/dev/x.jsonl", "deep/er/still/train/x.jsonl"),
]


@pytest.mark.parametrize("names", ALIKE, ids=lambda names: names[0])
def test_splits_are_those_of_datasets(names: tuple[str, ...], tmp_path: Path) -> None:
    found = theirs(lay(tmp_path, *names))
    assert {split: ours(tmp_path, split) for split in found} == found
    for split in {"train", "test", "validation"} - set(found):
        if not any(split in name for name in found):
            with pytest.raises(DataError, match=f"no split '{split}'"):
                folder_files(tmp_path, split)


@pytest.mark.parametrize(
    ("names", "what", "where"),
    [
        (("train/a.jsonl", "test/a.jsonl", "more.jsonl"), "of no split", "more.jsonl"),
        (("train.jsonl", "test.jsonl", "extra/rows.csv"), "of no split", "extra/rows.csv"),
        (("train/test.jsonl",), "two splits by its path: test and train", "train/test.jsonl"),
        (("evaluation/train.jsonl", "evaluation/test.jsonl"), "two splits", "evaluation/train.jsonl"),
        (("train_test.jsonl",), "two splits", "train_test.jsonl"),
        (("Test/a.jsonl",), "no split 'train'", ""),
        (
            ("data/train_sft-00000-of-00001.jsonl", "data/train_gen-00000-of-00001.jsonl"),
            "several splits for 'train': train_gen, train_sft",
            "",
        ),
        (("trainData.jsonl", "testData.jsonl"), "held out by its name", "testData.jsonl"),
        (("trainset.jsonl", "testset.jsonl"), "held out by its name", "testset.jsonl"),
        (("a.jsonl", "held-out/b.jsonl"), "held out by its name", "held-out/b.jsonl"),
        (("a.jsonl", "b.jsonl.zst"), "ending in .zst are not read", "b.jsonl.zst"),
        (("train.jsonl", "more/train.tsv"), "ending in .tsv are not read", "more/train.tsv"),
    ],
)
def test_a_file_of_no_split_or_of_two_is_named(
    names: tuple[str, ...], what: str, where: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=what) as caught:
        load_records(lay(tmp_path, *names), "demonstration")
    assert caught.value.where == str(tmp_path / where) and caught.value.remedy


def test_the_only_split_with_the_word_in_its_name_is_taken(tmp_path: Path) -> None:
    lay(tmp_path, "data/train_sft-00000-of-00001.jsonl", "data/test_sft-00000-of-00001.jsonl")
    assert ours(tmp_path, "train") == {"data/train_sft-00000-of-00001.jsonl"} and ours(tmp_path, "eval") == {
        "data/test_sft-00000-of-00001.jsonl"
    }


def test_a_test_row_is_in_no_record_of_training(tmp_path: Path) -> None:
    lay(tmp_path, "data/train/a.jsonl", "data/train/b.jsonl", "data/test/a.jsonl", "data/test/b.jsonl")
    for records in (
        load_records(tmp_path, "demonstration").records,
        survey(tmp_path, "demonstration").records,
    ):
        assert sorted(record.prompt.text for record in records) == [
            "data/train/a.jsonl?",
            "data/train/b.jsonl?",
        ]
    assert [r.completion for r in load_records(tmp_path, "demonstration", split="test").records] == [
        "2.",
        "3.",
    ]


# --- folders that `datasets` saved
# ------------------------------------------------------------------------------------------------------


def test_a_saved_set_gives_its_rows(tmp_path: Path) -> None:
    saved = datasets.Dataset.from_list(ROWS)
    saved.save_to_disk(tmp_path / "one")
    saved.select([6, 2, 2]).save_to_disk(tmp_path / "picked")
    saved.shuffle(seed=0).save_to_disk(tmp_path / "shards", num_shards=3)
    assert [r.completion for r in load_records(tmp_path / "one", "demonstration").records] == [
        row["completion"] for row in ROWS
    ]
    assert [r.completion for r in load_records(tmp_path / "picked", "demonstration").records] == [
        "A6.",
        "A2.",
    ]
    assert len(load_records(tmp_path / "shards", "demonstration").records) == 8
    assert kind_of_source(tmp_path / "one") == "demonstration"
    with pytest.raises(DataError, match="'test' is asked for"):
        load_records(tmp_path / "one", "demonstration", split="test")
    with pytest.raises(DataError, match="each by itself"):
        load_records(tmp_path, "demonstration")


def test_a_saved_dictionary_gives_the_split(tmp_path: Path) -> None:
    parts = datasets.DatasetDict(
        {"train": datasets.Dataset.from_list(ROWS[:5]), "test": datasets.Dataset.from_list(ROWS[5:])}
    )
    parts.save_to_disk(tmp_path / "both")
    assert [
        len(load_records(tmp_path / "both", "demonstration", split=split).records)
        for split in ("train", "test")
    ] == [5, 3]
    with pytest.raises(DataError, match="no split 'validation'") as caught:
        load_records(tmp_path / "both", "demonstration", split="dev")
    assert caught.value.remedy == "it has: test, train"
    datasets.DatasetDict({"test": parts["test"]}).save_to_disk(tmp_path / "held-out")
    with pytest.raises(DataError, match="no split 'train'"):
        load_records(tmp_path / "held-out", "demonstration")


def test_what_a_saved_set_cannot_decode_is_not_opened(tmp_path: Path) -> None:
    """A picture's path is never followed, not even to the network."""
    row = {"prompt": "a", "completion": "b", "picture": {"bytes": b"", "path": "http://127.0.0.1:9/x.png"}}
    datasets.Dataset.from_list([row]).save_to_disk(tmp_path / "set")
    info = json.loads((tmp_path / "set" / "dataset_info.json").read_text())
    info["features"]["picture"] = {"_type": "Image"}
    (tmp_path / "set" / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(Exception, match="http|PIL|Pillow|image"):
        datasets.load_from_disk(str(tmp_path / "set"))[0]
    assert [r.completion for r in load_records(tmp_path / "set", "demonstration").records] == ["b"]


@pytest.mark.parametrize(
    "harm",
    ["no arrow", "cut arrow", "flipped arrow", "state", "info", "outside", "missing split", "not json"],
)
def test_a_damaged_saved_set_is_a_data_error(harm: str, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    datasets.Dataset.from_list(ROWS).save_to_disk(folder)
    [arrow] = folder.glob("*.arrow")
    match harm:
        case "no arrow":
            arrow.unlink()
        case "cut arrow":
            arrow.write_bytes(arrow.read_bytes()[:300])
        case "flipped arrow":
            data = bytearray(arrow.read_bytes())
            place = data.rindex(b"A0.") - 40  # offsets of the texts
            data[place : place + 40] = b"\xff" * 40
            arrow.write_bytes(bytes(data))
        case "state":
            (folder / "state.json").write_text("{}")
        case "info":
            (folder / "dataset_info.json").write_text('{"features": {"a": {"_type": "Nothing"}}}')
        case "not json":
            (folder / "state.json").write_bytes(b"[" * 100_000)
        case "outside":
            shutil.move(arrow, tmp_path / "elsewhere.arrow")
            state = json.loads((folder / "state.json").read_text())
            state["_data_files"] = [{"filename": "../elsewhere.arrow"}]
            (folder / "state.json").write_text(json.dumps(state))
        case "missing split":
            (folder / "dataset_dict.json").write_text('{"splits": ["../set", "train"]}')
    with pytest.raises(DataError) as caught:
        load_records(folder, "demonstration")
    assert str(tmp_path) in caught.value.where and caught.value.remedy
