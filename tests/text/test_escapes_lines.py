"""Foreign text as it is shown, our own files of lines, which end at a line feed alone, and names that were
meant.
"""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.errors import DataError
from alignlab.text.escapes import one_line, visible
from alignlab.text.lines import read_lines
from alignlab.text.nearest import nearest, nearest_path


@given(st.text(st.characters()))
def test_nothing_that_moves_a_cursor_or_turns_the_writing_is_left(text: str) -> None:
    assert all(unicodedata.category(char)[0] != "C" and char not in "\u2028\u2029" for char in one_line(text))
    assert visible(text).count("\n") == text.count("\n")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_a_line_ends_at_a_line_feed_alone(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    file = tmp_path_factory.mktemp("lines") / "rows.jsonl"
    file.write_bytes(
        "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts).encode()
    )
    assert [row["text"] for _, row in read_lines(file)] == texts


def test_a_damaged_line_is_named_and_one_that_was_cut_off_is_passed_over_if_asked(tmp_path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'{"a": 1}\n\xff\n{"a": 2}\n')
    with pytest.raises(DataError, match="not a line of JSON") as caught:
        list(read_lines(file))
    assert caught.value.where == f"{file}:2"
    file.write_bytes(b'{"a": 1}\n{"a"')
    assert list(read_lines(file, cut=True)) == [(1, {"a": 1})]


def test_the_nearest_name_and_path_are_offered(tmp_path) -> None:
    assert nearest("gol", ["gold", "harmless"], prefix="town:") == "did you mean town:gold?"
    assert nearest("zzz", ["gold"]) == ""
    (tmp_path / "rows.jsonl").touch()
    assert nearest_path(tmp_path / "row.jsonl") == f"did you mean {tmp_path / 'rows.jsonl'}?"
    assert nearest_path(tmp_path / "none" / "row.jsonl") == ""
