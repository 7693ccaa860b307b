"""The command: it answers without torch, says where once, and ends when it is told to."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from alignlab import cli
from alignlab.studio import command

from .conftest import write_campaign, write_run

HEAVY = ("torch", "transformers", "matplotlib", "datasets", "accelerate", "peft", "pyarrow")


def test_the_first_answers_are_given_without_torch(folder: Path) -> None:
    """Every row of the table is asked, in a process of its own."""
    write_campaign(folder / "campaign")
    write_run(folder / "revise", "revise")
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
from studio.conftest import Studio, filling
from alignlab.cli.commands import COMMANDS, imported
from alignlab.studio.table import TABLE
imported(COMMANDS["studio"].target)
assert "scipy" not in sys.modules, "a start waits for it"
studio = Studio(Path({str(folder)!r}))
fill = filling(studio)
for row in TABLE:
    if row.method == "GET":
        assert studio.ask(fill(row.path)).status == 200, row.path
print(sorted(name for name in {HEAVY!r} if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.replace("'", '"')) == []


def begun(folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "alignlab.cli", "studio", str(folder), "--port", "0", "--no-open", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_it_answers_on_this_machine_until_it_is_told_to_stop(folder: Path) -> None:
    process = begun(folder, "--json")
    try:
        said = json.loads(process.stdout.readline())  # type: ignore[union-attr]
        assert said["schema"] == 1 and said["pid"] == process.pid
        assert f"http://127.0.0.1:{said['port']}/#token=" in said["url"]
        head = f"Host: 127.0.0.1:{said['port']}\r\n"
        assert b" 401 " in raw(said["port"], f"GET /api/map HTTP/1.1\r\n{head}\r\n")
        assert b" 421 " in raw(said["port"], "GET /api/map HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert b" 421 " in raw(
            said["port"], "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"
        )
        assert b" 404 " in raw(said["port"], f"GET http://evil.example/ HTTP/1.1\r\n{head}\r\n")
        assert b" 400 " in raw(said["port"], f"GET / HTTP/1.1\r\n{head}{head}\r\n")
        assert b" 400 " in raw(said["port"], "GET / HTTP/1.1\r\n\r\n")
        assert b" 400 " in raw(said["port"], f"GET / HTTP/1.1\r\n{head}Bad Header: x\r\n\r\n")
        another = cli.main(["studio", "link", str(folder)])
        assert another == 0
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    assert not (folder / "studio" / "link.json").exists()
    assert "stopped" in process.stderr.read()  # type: ignore[union-attr]


def raw(port: int, request: str) -> bytes:
    """The first line of what a server says to these very bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request.encode())
        return connection.recv(4096).partition(b"\r\n")[0]


def test_what_gives_a_link_is_for_its_owner_alone_and_no_argument_holds_a_token(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The arguments of a browser stand in `ps`: it is given a file that leads to the link."""
    given, found = list[str](), dict[str, object]()
    monkeypatch.setattr(command.webbrowser, "open", given.append)

    def look(studio: command.Studio, sockets: object) -> None:
        files = [folder / "studio" / name for name in ("link.json", ".open.html")]
        found["modes"] = [stat.S_IMODE(file.stat().st_mode) for file in files]
        found["link"] = studio.line.partition("at ")[2].partition(" ")[0]
        found["page"] = files[1].read_text()

    monkeypatch.setattr(command.Studio, "run", look)
    with pytest.raises(SystemExit):
        command.studio(folder=str(folder), port=0, no_open=False, as_json=False)
    assert found["modes"] == [0o600, 0o600] and str(found["link"]) in str(found["page"])
    assert given == [(folder / "studio" / ".open.html").as_uri()]
    assert not (folder / "studio").exists(), "nothing of it is left"


def test_what_cannot_be_ends_in_an_error_that_says_what_mends_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert cli.main(["studio", str(tmp_path / "file"), "--no-open"]) == 2
    assert "is no folder" in capsys.readouterr().err
    assert cli.main(["studio", "link", str(tmp_path / "nowhere")]) == 2
    assert "alignlab run makes one" in capsys.readouterr().err
    assert cli.main(["studio", str(folder), str(folder)]) == 2
    assert cli.main(["studio", "link", str(folder)]) == 2
    assert "no studio of" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert cli.main(["studio", str(folder), "--port", port, "--no-open"]) == 8
    assert "--port 0" in capsys.readouterr().err
    assert cli.main(["studio", str(folder), "--jobs", "some", "--no-open"]) == 2
    assert "all or none" in capsys.readouterr().err
    for port in ("65536", "99999"):
        assert cli.main(["studio", str(folder), f"--port={port}", "--no-open"]) == 3
        assert "0 to 65535" in capsys.readouterr().err


def test_in_a_folder_that_is_not_there_it_shows_the_recorded_run_says_so_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    process = begun(tmp_path / "first" / "runs")
    try:
        assert "studio of" in process.stdout.readline()  # type: ignore[union-attr]
        said = process.stderr.readline()  # type: ignore[union-attr]
        assert "so the recorded one is shown" in said and "alignlab run" in said
        assert cli.main(["studio", "link", str(tmp_path / "first" / "runs")]) == 0
    finally:
        process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_looked_at_all_the_same(folder: Path) -> None:
    (folder / "studio").write_text("a file where the key would be")
    process = begun(folder)
    try:
        assert "studio of" in process.stdout.readline()  # type: ignore[union-attr]
    finally:
        process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert os.path.isfile(folder / "studio")
