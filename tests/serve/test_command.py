"""`alignlab serve` as a command: the line that says where, the errors before that, and how it ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from alignlab import cli
from alignlab.defences.middleware import DEFENCES
from alignlab.serve.command import named
from alignlab.serve.running import load
from alignlab.settings import ServeSettings

from ..scripts import without_torch


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_says_where_it_listens_answers_and_ends_with_the_signal(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "alignlab.cli",
        "serve",
        "small=town-s+self-reminder",
        "--port",
        "0",
        "--json",
        "--audit",
        str(tmp_path / "a" / "audit.jsonl"),
    ]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout and process.stderr
        where = json.loads(process.stdout.readline())
        assert (
            where["schema"] == 1
            and where["host"] == "127.0.0.1"
            and where["url"] == f"http://127.0.0.1:{where['port']}/v1"
            and where["models"] == ["small"]
        )
        connection = http.client.HTTPConnection("127.0.0.1", where["port"], timeout=60)
        body = {
            "model": "small",
            "messages": [{"role": "user", "content": "Who is the baker?"}],
            "max_tokens": 8,
        }
        connection.request(
            "POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        assert answer.status == 200 and json.loads(answer.read())["alignlab"]["defences"] == ["self-reminder"]
        process.send_signal(number)
        rest, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code, said
    assert rest == "" and "Traceback" not in said
    assert json.loads((tmp_path / "a" / "audit.jsonl").read_text())["status"] == 200


def test_what_cannot_be_served_is_said_before_anything_heavy_is_imported() -> None:
    wrong = [
        (["--queue", "0"], 3, "queue = 0 is not a whole number from 1"),
        (["--port", "70000"], 3, "port = 70000 is not a whole number from 0 to 65535"),
        (["--timeout", "0"], 3, "above 0"),
        (["--stop", "x"], 3, "JSON list"),
        (["--stop", '[""]'], 3, "JSON list"),
        (["--audit_bodies", "true"], 3, "--audit"),
        (["--api-key-env", "NO_SUCH_KEY"], 3, "holds no key"),
        (["--host", "no.such.host.invalid"], 3, "host"),
        (["--host", "0.0.0.0"], 3, "--api-key-env"),
        (["town-xl"], 4, "there is no shipped model"),
        (["town-s+self-remind"], 2, "did you mean self-reminder"),
        (["a=town-s", "a=town-s"], 2, "given twice"),
        (["=town-s"], 2, "names no model"),
        (["town-s", "--slots", "many"], 3, "whole number"),
    ]
    for (arguments, code, says), (ended, _, said, tried) in zip(
        wrong, without_torch([["serve", "--port", "0", *arguments] for arguments, _, _ in wrong]), strict=True
    ):
        assert ended == code and says in said and not tried, (arguments, ended, said, tried)


def test_a_port_that_is_taken_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert cli.main(["serve", "town-s", "--port", str(taken.getsockname()[1])]) == 8
    assert "--port 0" in capsys.readouterr().err


def test_one_model_under_several_names_is_loaded_once() -> None:
    served = load(named(["town-s", "guarded=town-s+self-reminder"]), ServeSettings(slots=2))
    try:
        assert set(served) == {"town-s", "guarded"} and served["town-s"].engine is served["guarded"].engine
        assert served["guarded"].stack == ("self-reminder",) and served["town-s"].stack == ()
        assert all(name in DEFENCES for name in served["guarded"].stack)
    finally:
        served["town-s"].engine.close()


@pytest.mark.parametrize(
    ("number", "code", "reads"), [(signal.SIGTERM, 143, True), (signal.SIGINT, 130, False)]
)
def test_a_signal_in_mid_stream_ends_it_with_an_error_and_no_traceback(
    number: signal.Signals, code: int, reads: bool, tmp_path: Path
) -> None:
    """Answers get their time (here a fraction of the ten seconds), then an error; a client that does not take
    it is left.
    """
    program = (
        "import sys; from alignlab import cli; from alignlab.serve import running; running.LAST_SECONDS = "
        "running.PARTING_SECONDS = 0.3; sys.exit(cli.main(sys.argv[1:]))"
    )
    command = [
        sys.executable,
        "-c",
        program,
        "serve",
        "town-s",
        "--port",
        "0",
        "--json",
        "--audit",
        str(tmp_path / "audit.jsonl"),
        "--slots",
        "2",
    ]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    client = socket.socket()
    try:
        assert process.stdout and process.stderr
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", json.loads(process.stdout.readline())["port"]))
        body = json.dumps(
            {"model": "town-s", "prompt": "The", "n": 128, "max_tokens": 100, "logprobs": 20, "stream": True}
        ).encode()
        client.sendall(
            b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
            b"application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        process.send_signal(number)
        taken = b""
        while reads and (part := client.recv(65536)):
            taken += part
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        client.close()
    assert process.returncode == code, said
    assert "Traceback" not in said and "Error" not in said, said
    assert not reads or (
        "shutting down" in taken.decode().rpartition("data: ")[2] and taken.endswith(b"0\r\n\r\n")
    )
    [row] = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert row["status"] == 503 or (row["status"] == 499 and not reads)
