"""Constitutions: read, linted with field and line, written whole, and by one writer at a time."""

from __future__ import annotations

import shlex
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from alignlab import cli
from alignlab.constitution import files
from alignlab.constitution.lint import lint
from alignlab.studio.app import application
from alignlab.studio.schema import MOST_TEXT

from .conftest import Answer, Studio

MINE = '''# mine
name = "mine"
version = "2"

[[principles]]
id = "no-harm"
critique = "Does the reply help to hurt somebody? Say how."
revise = "Rewrite it so that it helps to hurt nobody."
compare = "Prefer the reply that helps less to hurt somebody."
tags = ["harmless"]

[[principles]]
id = "plain"
critique = """
Two lines.
"""
revise = "Be good."
compare = "Prefer the shorter reply."
'''


def put(studio: Studio, name: str, text: str, match: str = "") -> Answer:
    more = [("If-Match", f'"{match}"')] if match else []
    path = f"/api/constitutions/{quote(name, safe='')}"
    return studio.ask(path, method="PUT", body={"text": text}, more=more)


def linted(studio: Studio, text: str) -> Any:
    answer = studio.ask("/api/constitutions/lint", method="POST", body={"text": text})
    assert answer.status == 200, answer.body
    return answer.json


def test_shipped_ones_are_read_and_stay_as_they_are(studio: Studio) -> None:
    rows = {row["name"]: row for row in studio.get("/api/constitutions")["rows"]}
    assert set(rows) == set(files.SHIPPED) and not any(row["problem"] for row in rows.values())
    town = studio.get("/api/constitutions/town")
    assert town["digest"] == rows["town"]["digest"] == files.load("town").digest
    assert town["shipped"] and town["principles"][0]["lines"]["id"] == [8, 8]
    assert put(studio, "town", MINE, town["etag"]).status == 422
    assert not (studio.desk.inside.root / "studio").exists(), "a folder that is only looked at stays so"


def test_one_is_written_whole_and_read_by_the_commands(studio: Studio) -> None:
    text = MINE.replace('"""\nTwo lines.\n"""', '"It says two things."')
    made = put(studio, "mine", text)
    assert made.status == 200 and made.json["text"] == text and made.json["title"] == "mine"
    file = studio.desk.inside.root / "studio" / "constitutions" / "mine.toml"
    assert file.read_text() == text and [path.name for path in file.parent.iterdir()] == ["mine.toml"]
    assert studio.get("/api/constitutions/mine") == made.json
    assert files.load(file).digest == made.json["digest"]
    argv = shlex.split(made.json["command"])
    assert argv[:5] == ["alignlab", "run", "--recipe", "constitutional", "--constitution"]
    assert argv[5] == str(file)
    assert cli.main([*argv[1:], "--print-config"]) == 0
    assert [row["name"] for row in studio.get("/api/constitutions")["rows"]][-1] == "mine"


def test_whoever_edits_an_older_text_is_told_which_stands_there(studio: Studio) -> None:
    first = put(studio, "mine", MINE).json["etag"]
    assert put(studio, "mine", MINE).status == 409, "without a tag it is a new one, and there is one"
    second = put(studio, "mine", MINE + "# more\n", first)
    assert second.status == 200
    stale = put(studio, "mine", MINE + "# other\n", first)
    assert stale.status == 409 and stale.json["error"]["code"] == "stale"
    assert stale.json["error"]["now"] == MINE + "# more\n"
    (studio.desk.inside.root / "studio" / "constitutions" / "mine.toml").write_text("# by an editor\n")
    assert put(studio, "mine", MINE, second.json["etag"]).json["error"]["now"] == "# by an editor\n"
    (studio.desk.inside.root / "studio" / "constitutions" / "mine.toml").unlink()
    gone = put(studio, "mine", MINE, second.json["etag"])
    assert gone.status == 409 and gone.json["error"]["now"] == ""


def test_of_two_writers_one_is_told_to_join(studio: Studio) -> None:
    etag = put(studio, "mine", MINE).json["etag"]
    answers: list[Answer] = []

    def write(number: int) -> None:
        other = Studio.__new__(Studio)
        other.desk, other.app, other.cookie = studio.desk, application(studio.desk), studio.cookie
        answers.append(put(other, "mine", f"{MINE}# {number}\n", etag))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status for answer in answers) == [200, 409, 409, 409]
    [saved] = [answer.json["text"] for answer in answers if answer.status == 200]
    assert {answer.json["error"]["now"] for answer in answers if answer.status == 409} == {saved}


HOSTILE = ["..", "../x", "..%2fx", "a/b", ".", "A", "x.toml", "-x", "x" * 49, "a\x00b", "ä", "a b", "%2e%2e"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_lead_nowhere_else(studio: Studio, name: str) -> None:
    for path in (f"/api/constitutions/{name}", f"/api/constitutions/{quote(name, safe='')}"):
        assert studio.ask(path).status in (404, 422)
        assert studio.ask(path, method="PUT", body={"text": MINE}).status in (404, 405, 422)
    assert not (studio.desk.inside.root / "studio").exists()


def test_links_are_neither_read_nor_written_through(studio: Studio, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.toml").write_text(MINE)
    ours = studio.desk.inside.root / "studio" / "constitutions"
    ours.mkdir(parents=True)
    (ours / "secret.toml").symlink_to(outside / "secret.toml")
    (ours / "folder.toml").mkdir()
    assert len(studio.get("/api/constitutions")["rows"]) == len(files.SHIPPED)
    assert studio.ask("/api/constitutions/secret").status == 404
    assert put(studio, "secret", "name = 'ours'").status == 200
    assert (outside / "secret.toml").read_text() == MINE, "the link went, and not what it led to"
    assert put(studio, "folder", MINE).status == 503
    ours.rename(outside / "moved")
    ours.symlink_to(outside / "moved")
    assert studio.ask("/api/constitutions/secret").status == 404
    assert put(studio, "other", MINE).status == 503
    assert not (outside / "moved" / "other.toml").exists()


def test_lint_says_field_and_line_as_the_command_has_them(studio: Studio) -> None:
    said = linted(studio, MINE)
    assert [row["lines"].get("critique") for row in said["principles"]] == [[7, 7], [14, 16]]
    first = said["findings"][0]
    assert first["text"] == "critique: it has a line break" and first["severity"] == "error"
    assert (first["principle"], first["field"], first["line"]) == (1, "critique", 14)
    by_command = [one.to_json() for one in lint(files.parsed(MINE, Path("x.toml")))]
    assert [(one["kind"], one["text"]) for one in said["findings"]] == [
        (one["kind"], one["text"]) for one in by_command
    ]
    twice = MINE.replace('id = "plain"', 'id = "no-harm"')
    found = next(one for one in linted(studio, twice)["findings"] if one["kind"] == "duplicate id")
    assert (found["principle"], found["line"]) == (1, 13)


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        ("", None, ""),
        ("x = ", 1, ""),
        ('[[principles]]\nid = "a"\nid = "b"', 3, ""),
        ('[[principles]]\nid = "a"\ncritique = 3\n', 3, "critique"),
        ('[[principles]]\nid = "a"\nlooks = "x"\n', 1, ""),
        ("principles = 3", None, ""),
        ('constitutions = [3]\n[[principles]]\nid = "a"', None, ""),
        ("a" + ".a" * 20_000 + " = 1", None, ""),
        ("a = " + "[" * 40_000, None, ""),
        ('"""' * 10_000, None, ""),
        ("x = 1e999999999\ny = " + "9" * 5000, None, ""),
        ('name = "\x00"', None, ""),
        ("\u202e[[principles]]", None, ""),
    ],
)
def test_a_hostile_text_ends_in_a_sentence(studio: Studio, text: str, line: int | None, field: str) -> None:
    [found] = linted(studio, text)["findings"]
    assert found["kind"] == "cannot be read" and 0 < len(found["text"]) <= 300, found
    if line:
        assert (found["line"], found["field"]) == (line, field), found


def test_texts_are_bounded_and_what_is_no_text_is_said(studio: Studio) -> None:
    assert put(studio, "long", "#" * (MOST_TEXT + 1)).status == 422
    assert put(studio, "long", "#" * MOST_TEXT).status == 200
    assert studio.raw(
        "PUT",
        "/api/constitutions/x",
        [("Host", "127.0.0.1:8710"), ("Cookie", studio.cookie), ("Content-Type", "application/json")],
        b'{"text": "\\ud800"}',
    ).status in (400, 422)
    ours = studio.desk.inside.root / "studio" / "constitutions"
    (ours / "bytes.toml").write_bytes(b"\xff\xfe")
    (ours / "huge.toml").write_bytes(b"#" * 2**20)
    (ours / "draft.toml").write_text("[[principles")
    rows = {row["name"]: row["problem"] for row in studio.get("/api/constitutions")["rows"]}
    assert "UTF-8" in rows["bytes"] and "longer" in rows["huge"] and rows["draft"] and rows["long"]
    assert studio.ask("/api/constitutions/huge").status == 413
    assert studio.get("/api/constitutions/draft")["text"] == "[[principles", "a draft is not lost"
