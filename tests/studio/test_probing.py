"""Kinds of jobs that probe: each command is one of the command line's own, and no field is a path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from alignlab.cli.parser import build, of_kind
from alignlab.studio.desk import Desk
from alignlab.studio.jobs.kind import Kind
from alignlab.studio.jobs.probing import KINDS
from alignlab.studio.problems import Refused
from alignlab.studio.scan import id_of

from .conftest import write_campaign, write_run

BY_NAME = {kind.name: kind for kind in KINDS}
RUNS = {name: id_of(name) for name in ("sft", "critic", "label", "campaign")}
FIELDS: dict[str, dict[str, Any]] = {
    "walk": {"constitution": "town", "author": RUNS["sft"], "critic": RUNS["critic"]},
    "ablate": {"constitution": "town", "critic": RUNS["critic"], "data": RUNS["label"]},
    "attack": {"model": RUNS["sft"], "attacks": "jailbreak", "defences": ["self-reminder"], "goals": 20},
    "repro": {"campaign": RUNS["campaign"], "finding": "F-002"},
}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    for stage in ("sft", "critic", "label"):
        write_run(tmp_path / stage, stage)
    write_campaign(tmp_path / "campaign")
    return Desk(tmp_path, port=1)


def command(desk: Desk, kind: Kind, fields: dict[str, Any]) -> list[str]:
    return kind.command(desk, kind.fields.model_validate(fields), desk.inside.root / "studio" / "out")


@pytest.mark.parametrize("name", BY_NAME)
def test_each_command_is_one_that_the_command_line_knows(desk: Desk, name: str) -> None:
    argv = command(desk, BY_NAME[name], FIELDS[name])
    known, rest, _ = of_kind(argv[0], argv[1:])
    values = vars(build(argv[0], known).parse_args(rest))
    paths = [value for value in values.values() if str(value).startswith("/")]
    assert paths and all(Path(path).is_relative_to(desk.inside.root) for path in paths)
    if name != "repro":
        assert any(Path(path).is_relative_to(desk.inside.root / "studio" / "out") for path in paths)


@pytest.mark.parametrize("name", BY_NAME)
def test_fields_are_ids_and_closed_lists(desk: Desk, name: str) -> None:
    kind, fields = BY_NAME[name], FIELDS[name]
    for field in fields:
        for value in ("/etc/passwd", "../x", "http://a.b/v1#m", "--out", "F-1;x", "module:function", ["x"]):
            with pytest.raises(ValidationError):
                kind.fields.model_validate(fields | {field: value})
    with pytest.raises(ValidationError):
        kind.fields.model_validate(fields | {"argv": ["x"]})
    for field, value in fields.items():
        if value in RUNS.values():
            with pytest.raises(Refused):
                command(desk, kind, fields | {field: "0" * 12})
            other = RUNS["label" if field != "data" else "sft"]
            with pytest.raises(Refused):
                command(desk, kind, fields | {field: other})


def test_what_cannot_be_used_is_refused_before_anything_starts(desk: Desk) -> None:
    with pytest.raises(ValidationError):
        command(desk, BY_NAME["attack"], FIELDS["attack"] | {"goals": 21})
    with pytest.raises(Refused, match="F-009"):
        command(desk, BY_NAME["repro"], FIELDS["repro"] | {"finding": "F-009"})
    with pytest.raises(Refused, match="there is no constitution"):
        command(desk, BY_NAME["walk"], FIELDS["walk"] | {"constitution": "mine"})
    folder = desk.inside.own("studio/constitutions")
    (folder / "mine.toml").write_text('[[principles]]\nid = "a b"\ncritique="x"\nrevise="y"\ncompare="z"')
    with pytest.raises(Refused, match="cannot be used"):
        command(desk, BY_NAME["walk"], FIELDS["walk"] | {"constitution": "mine"})
