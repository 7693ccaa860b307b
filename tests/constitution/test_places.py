"""Where principles and their fields stand in a text."""

from __future__ import annotations

from pathlib import Path

import pytest

from alignlab.constitution import files
from alignlab.constitution.places import FIELDS, places

TEXT = '''name = "mine" # [[principles]]

  [[ principles ]]
id = "one" # id = "two"
"critique" = """
[[principles]]
id = "no" \\
"""
revise = '[[x]]'
tags = [ "a", # ]
  "b" ]
compare = "x"

[[principles.exemplars]]
prompt = "id"
critique = "not this"

[[principles]]
id = 'two'
'''


def test_fields_are_found_whatever_strings_and_remarks_hold() -> None:
    one, two = places(TEXT)
    assert one.line == 3 and two.line == 18
    assert one.fields == {
        "id": (4, 4),
        "critique": (5, 8),
        "revise": (9, 9),
        "tags": (10, 11),
        "compare": (12, 12),
    }
    assert two.fields == {"id": (19, 19)}


@pytest.mark.parametrize("name", files.SHIPPED)
def test_all_fields_of_those_that_are_shipped_are_found(name: str) -> None:
    text = (Path(files.__file__).parent / "defaults" / f"{name}.toml").read_text(encoding="utf-8")
    found = places(text)
    assert len(found) == len(files.load(name).principles)
    assert all(set(place.fields) == set(FIELDS) for place in found)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no toml",
        'principles = [{id = "a"}]',
        "[principles]\nid = 1",
        '[[principles]]\nid = """',
        '[[principles]]\nx.y = 1\nid = "a"\n[[principles]]\nid = 3\nid.x = 4',
        '"""' * 5000,
        "[" * 50_000,
        '"""\\' * 10_000,
        "'''" + "x\n" * 20_000,
    ],
)
def test_what_is_written_otherwise_has_no_places(text: str) -> None:
    assert places(text) == []
