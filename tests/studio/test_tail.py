"""Files that grow, are cut back, are put in another's place, go away, and hold anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alignlab.studio import tail
from alignlab.studio.inside import Inside
from alignlab.studio.tail import Tail


class Lines:
    """What a tail has given."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, bytes | None]] = []

    def take(self, offset: int, line: bytes | None) -> None:
        self.rows.append((offset, line))

    def clear(self) -> None:
        self.rows.clear()

    @property
    def texts(self) -> list[bytes | None]:
        return [line for _, line in self.rows]


class Followed:
    def __init__(self, folder: Path) -> None:
        self.path, self.lines = folder / "x.jsonl", Lines()
        self.tail, self.inside = Tail(self.lines), Inside(folder)

    def after(self, data: bytes, how: str = "ab") -> list[bytes | None]:
        with open(self.path, how) as file:
            file.write(data)
        return self.now()

    def now(self) -> list[bytes | None]:
        self.tail.catch_up(self.inside, ["gone.jsonl", "x.jsonl"])
        return self.lines.texts


@pytest.fixture
def followed(tmp_path: Path) -> Followed:
    return Followed(tmp_path)


def test_a_line_is_taken_when_it_is_whole(followed: Followed) -> None:
    assert followed.now() == [] and followed.tail.generation == 0
    assert followed.after(b"one\ntw") == [b"one"]
    assert followed.after(b"o\n\nthree") == [b"one", b"two", b""]
    assert followed.after(b"\n") == [b"one", b"two", b"", b"three"]
    assert [offset for offset, _ in followed.lines.rows] == [0, 4, 8, 9]
    assert followed.tail.generation == 0


def test_a_file_that_was_cut_back_is_read_anew(followed: Followed) -> None:
    followed.after(b"one\ntwo\nthree\n")
    os.truncate(followed.path, 4)
    assert followed.now() == [b"one"] and followed.tail.generation == 1


def test_a_file_that_was_cut_back_and_has_grown_as_long_again_is_read_anew(followed: Followed) -> None:
    followed.after(b"one\ntwo\nthree\n")
    os.truncate(followed.path, 4)
    assert followed.after(b"TWO\nTHREE\nFOUR\n") == [b"one", b"TWO", b"THREE", b"FOUR"]
    assert followed.tail.generation == 1


def test_another_file_of_the_name_is_read_anew_and_one_that_is_gone_has_no_lines(followed: Followed) -> None:
    followed.after(b"one\n")
    other = followed.path.with_name("other")
    other.write_bytes(b"one\n")
    os.replace(other, followed.path)
    assert followed.now() == [b"one"] and followed.tail.generation == 1
    followed.path.unlink()
    assert followed.now() == [] and followed.tail.generation == 2
    assert followed.now() == [] and followed.tail.generation == 2
    assert followed.after(b"new\n") == [b"new"] and followed.tail.generation == 2


def test_lines_that_are_too_long_are_counted_and_not_read(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "MOST_LINE", 20)
    assert followed.after(b"a\n" + b"x" * 21) == [b"a"]
    assert followed.after(b"x" * 50) == [b"a"]
    assert followed.after(b"\nb\n" + b"y" * 20 + b"\n") == [b"a", None, b"b", b"y" * 20]
    assert [offset for offset, _ in followed.lines.rows] == [0, 2, 74, 76]
    followed.after(b"z" * 30)
    os.truncate(followed.path, 2)
    assert followed.now() == [b"a"]


def test_whatever_the_chunks_are_the_lines_are_the_same(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [bytes([97 + i % 26]) * (i * 7 % 19) for i in range(60)]
    data = b"".join(line + b"\n" for line in wanted)
    for size in range(18, 60):
        monkeypatch.setattr(tail, "MOST_LINE", size)
        one = Followed(followed.path.parent)
        for at in range(0, len(data), 23):
            one.after(data[at : at + 23], "wb" if not at else "ab")
        assert one.now() == wanted and one.tail.generation == 0


def test_what_is_no_file_of_the_folder_has_no_lines(followed: Followed, tmp_path: Path) -> None:
    secret = tmp_path.parent / "secret.jsonl"
    secret.write_bytes(b"secret\n")
    followed.path.symlink_to(secret)
    assert followed.now() == []
    followed.path.unlink()
    os.mkfifo(followed.path)
    assert followed.now() == []
    followed.path.unlink()
    followed.path.mkdir()
    assert followed.now() == []


def test_no_link_on_the_way_is_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x.jsonl").write_bytes(b"secret\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "run").symlink_to(tmp_path / "outside")
    inside = Inside(tmp_path / "folder")
    for path in ("run/x.jsonl", "../outside/x.jsonl/", "./run/x.jsonl"):
        with pytest.raises(OSError):
            inside.open(path)
