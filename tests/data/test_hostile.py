"""Readers under mutated files and bombs: rows or an error with file and row, in bounded time and memory,
whatever the bytes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from alignlab.data.read import kind_of_source, load_records
from alignlab.errors import DataError

from .bombs import BOMBS, table

HERE = Path(__file__).parent
SLOW = {
    title
    for title in BOMBS
    if title.startswith(
        (
            "four gigabytes",
            "one value",
            "ten million",
            "empty lines",
            "quotes over",
            "a quote",
            "a page of zeros",
            "one megabyte",
            "prefixes",
            "a document",
            "sixty thousand columns, Parquet",
            "a million lists",
        )
    )
}


def ran(script: str, *words: object) -> Any:
    """What a script of this folder prints as JSON; a process that dies fails the test with the last thing it
    did.
    """
    done = subprocess.run(
        [sys.executable, str(HERE / script), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, f"ended with {done.returncode} after {done.stderr[-500:]}"
    return json.loads(done.stdout) if done.stdout else None


def check_mutants(folder: Path, first: int, count: int) -> None:
    found = ran("mutants.py", folder, first, count)
    assert not found["wrong"], found["wrong"][:20]
    assert found["read"] + found["refused"] == count and min(found["read"], found["refused"]) > count // 10
    assert found["mib"] < 800


def check_bombs(folder: Path, titles: list[str]) -> None:
    ran("bombs.py", "make", folder, *titles)
    found = ran("bombs.py", "read", folder, *titles)
    for title in titles:
        for said in found["said"][title]:
            assert "  where:  " + str(folder / title) in said and "  remedy: " in said, (title, said[:300])
            assert len(said) < 2000
    assert found["mib"] < 900


def test_some_mutated_files(tmp_path: Path) -> None:
    check_mutants(tmp_path, 0, 400)


@pytest.mark.campaign
@pytest.mark.parametrize("first", [10_000, 20_000, 30_000])
def test_many_mutated_files(first: int, tmp_path: Path) -> None:
    check_mutants(tmp_path, first, 6000)


def test_small_bombs(tmp_path: Path) -> None:
    check_bombs(tmp_path, [title for title in BOMBS if title not in SLOW])


@pytest.mark.campaign
def test_large_bombs(tmp_path: Path) -> None:
    check_bombs(tmp_path, sorted(SLOW))


def test_a_valid_table_with_values_that_python_has_no_type_for_is_read(tmp_path: Path) -> None:
    import pyarrow

    whole = pyarrow.array([2**62], pyarrow.int64())
    days = pyarrow.array([2**31 - 1], pyarrow.int32()).view(pyarrow.date32())
    odd = {
        "time": whole.view(pyarrow.timestamp("us")),
        "zone": pyarrow.array([1], pyarrow.int64()).view(pyarrow.timestamp("us", "Mars/Base")),
        "day": days,
        "span": whole.view(pyarrow.duration("s")),
        "clock": whole.view(pyarrow.time64("us")),
        "in": pyarrow.StructArray.from_arrays([days], ["day"]),
    }
    (tmp_path / "a.parquet").write_bytes(table({"prompt": ["a"], "completion": ["b"], **odd}))
    assert [
        record.completion for record in load_records(tmp_path / "a.parquet", "demonstration").records
    ] == ["b"]


def test_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(
        pyarrow.Table.from_arrays([pyarrow.array(["a"])] * 3, ["prompt", "completion", "prompt"]),
        tmp_path / "a.parquet",
    )
    with pytest.raises(DataError, match="two columns are named 'prompt'"):
        load_records(tmp_path / "a.parquet", "demonstration")
    twins = pyarrow.StructArray.from_arrays([pyarrow.array([1]), pyarrow.array([2])], ["x", "x"])
    (tmp_path / "b.parquet").write_bytes(table({"prompt": ["a"], "completion": ["b"], "twins": twins}))
    with pytest.raises(DataError, match="the column 'twins'"):
        load_records(tmp_path / "b.parquet", "demonstration")


@pytest.mark.parametrize(
    "name",
    [
        "x" * 300 + ".jsonl",
        "x" * 10_000,
        "/".join(["y" * 200] * 60),
        "a\0b.jsonl",
        "~nobody-of-this-name/a.jsonl",
    ],
    ids=lambda name: name[:8],
)
def test_names_that_can_be_no_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for read in (lambda: load_records(name, "demonstration"), lambda: kind_of_source(name)):
        with pytest.raises(DataError) as caught:
            read()
        assert caught.value.remedy


def test_what_never_ends_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "zeros.jsonl").symlink_to("/dev/zero")
    for name in ("pipe.jsonl", "zeros.jsonl"):
        with pytest.raises(DataError, match="a pipe, a socket or a device"):
            load_records(tmp_path / name, "demonstration")


def test_long_columns_are_cut_where_they_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        json.dumps({f"{letter}" * 10_000: "x" for letter in "abcdefghijkl"}) + "\n"
    )
    with pytest.raises(DataError) as caught:
        load_records(tmp_path / "a.jsonl", "demonstration")
    assert len(caught.value.what) < 2000
