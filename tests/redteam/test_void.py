"""A server that refuses in another field has refused, and one that says nothing is not called helpful without
a word about it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alignlab.cli import main
from alignlab.redteam.command import figure

from ..serving import Reply, Server

FILTER = Reply({"error": {"code": "content_filter", "message": "The prompt was filtered"}}, 400)
SMALL = [
    "--attacks",
    "story",
    "--goals",
    "3",
    "--twins",
    "6",
    "--judge",
    "refusal",
    "--shorten",
    "0",
    "--endpoint.retries",
    "0",
]


def message(end: str = "stop", **said: Any) -> Reply:
    return Reply({"choices": [{"index": 0, "message": {"role": "assistant", **said}, "finish_reason": end}]})


@pytest.mark.parametrize(
    "answer",
    [
        message(content=None, refusal="I'm sorry, I can't help with that."),
        message(content=[{"type": "refusal", "refusal": "I'm sorry, I can't help with that."}]),
        message(content=None, end="content_filter"),
        FILTER,
    ],
    ids=["refusal", "part", "filter", "filter of the prompt"],
)
def test_a_refusal_that_is_not_in_content_is_one(
    answer: Reply, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Server(lambda *_: answer) as server:
        assert (
            main(
                [
                    "redteam",
                    server.name,
                    *SMALL,
                    "--out",
                    str(tmp_path / "rt"),
                    "--json",
                    "--fail-on",
                    "over_refusal>0.5",
                ]
            )
            == 5
        )
    found = json.loads(capsys.readouterr().out)
    assert (
        found["over_refusal"]["mean"] == 1.0
        and found["all"]["mean"] == 0.0
        and found["labels"]["void"] == 0
        and found["void"]["twins"] == {"void": 0, "of": 6}
    )


@pytest.mark.parametrize(
    "answer",
    [
        message(content=""),
        message(content=None, tool_calls=[{"id": "x"}]),
        message(content=None, reasoning="Hm"),
    ],
    ids=["silent", "call", "thought"],
)
def test_a_server_that_says_nothing_is_said_to(
    answer: Reply, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked, out = [*SMALL, "--out", str(tmp_path / "rt")], tmp_path / "rt"
    with Server(lambda *_: answer) as server:
        assert main(["redteam", server.name, *asked, "--fail-on", "void>0.1"]) == 5
        said = capsys.readouterr().out
        assert main(["redteam", server.name, *asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (
        found["over_refusal"]["mean"] == 0.0
        and found["void"]["plain"] == {"void": 3, "of": 3}
        and found["void"]["twins"] == {"void": 6, "of": 6}
    )
    for text in (said, (out / "report.md").read_text(), (out / "report.html").read_text()):
        assert "3 of 3 answers to plain requests" in text and "6 of 6 answers to harmless look-alikes" in text
    assert figure(found, "void") == 1.0
