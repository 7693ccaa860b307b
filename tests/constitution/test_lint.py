"""The linter finds what was planted, and is silent about what is fine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from alignlab import cli
from alignlab.constitution.files import load, write
from alignlab.constitution.lint import firing, lint
from alignlab.constitution.principles import Constitution, Principle

FINE = load("general")


def with_(*principles: Principle) -> Constitution:
    return replace(FINE, principles=(*FINE.principles, *principles))


def kinds(constitution: Constitution, **more) -> list[tuple[str, tuple[str, ...]]]:
    return [(f.kind, f.ids) for f in lint(constitution, **more)]


def principle(
    id: str, revise: str, *, critique: str = "", compare: str = "", tags: tuple[str, ...] = ("harmless",)
) -> Principle:
    return Principle(
        id,
        critique or f"Does the reply need this: {revise}",
        revise,
        compare or f"Prefer the reply that needs this less: {revise}",
        tags,
    )


def test_nothing_is_said_of_what_is_fine():
    assert kinds(FINE) == []


@pytest.mark.parametrize(
    "one, other",
    [
        ("Always name the sources of every figure.", "Never name the sources of every figure."),
        ("Keep the reply short.", "Keep the reply long."),
        ("Refuse questions about locks.", "Help with questions about locks."),
        ("Mention the weather.", "Do not mention the weather."),
    ],
)
def test_conflicts_are_found(one: str, other: str):
    assert ("conflicting", ("x", "y")) in kinds(with_(principle("x", one), principle("y", other)))


@pytest.mark.parametrize(
    "one, other",
    [
        ("Do not mention the weather.", "Never mention the weather."),
        ("Mention the weather.", "Do not mention the neighbours."),
        ("Keep the reply short.", "Keep the reply brief."),
        ("Refuse questions about locks.", "Do not help with questions about locks."),
    ],
)
def test_what_agrees_is_no_conflict(one: str, other: str):
    assert "conflicting" not in {kind for kind, _ in kinds(with_(principle("x", one), principle("y", other)))}


def test_duplicates_are_found_also_with_other_punctuation():
    copy = FINE.principles[3]
    found = kinds(with_(replace(copy, id="copy", critique=copy.critique.replace("?", " ?").upper())))
    assert found == [("duplicate", (copy.id, "copy"))]


@pytest.mark.parametrize(
    "text",
    [
        "Be good.",
        "Make the reply better.",
        "Always give the best and most appropriate answer possible.",
        "Is the response harmful? Say so.",
    ],
)
def test_what_says_nothing_is_vacuous(text: str):
    assert kinds(
        with_(Principle("v", text, "Rewrite it to be good.", "Prefer the better one.", ("helpful",)))
    ) == [("vacuous", ("v",))]


def test_untagged_principles_are_named():
    assert kinds(with_(principle("x", "Name the river.", tags=("direct",)))) == [("untagged", ("x",))]


def test_all_errors_are_listed_not_only_the_first():
    broken = with_(
        principle("a b", "Fine words about rivers."),
        principle("x", "Say {it} of bridges."),
        principle("x", "Say (B) of towers."),
    )
    found = lint(broken)
    assert [f.kind for f in found if f.severity == "error"] == [
        "id",
        *["breaks the template"] * 3,
        "duplicate id",
        *["breaks the template"] * 3,
    ]


def test_what_never_fires_is_told_from_chains():
    ids = [p.id for p in FINE.principles]
    chains = [
        {"rounds": [{"principle": id, "fired": id != ids[1]}]} for id in ids[:-1] for _ in range(20)
    ] + [{"rounds": None}, {}, {"rounds": [3, {"principle": None}]}]
    counted = firing(chains)
    assert counted[ids[0]] == (20, 20) and counted[ids[1]] == (20, 0)
    assert kinds(FINE, fired=counted) == [("never firing", (ids[1],)), ("never asked", (ids[-1],))]
    assert kinds(FINE, fired=firing(chains[:40] + chains[40:-3:20])) == [
        ("never firing", (ids[1],)),
        ("never asked", (ids[-1],)),
    ]  # asked once is no evidence


def test_the_command_prints_findings_and_fails_on_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "c.toml"
    write(with_(principle("x", "Mention the weather."), principle("y", "Do not mention the weather.")), path)
    assert cli.main(["constitution", "lint", str(path)]) == 0
    assert "warning  conflicting: x, y" in capsys.readouterr().out
    path.write_text(path.read_text().replace('id = "y"', 'id = "x"'))
    assert cli.main(["constitution", "lint", str(path), "--json"]) == 5
    document = json.loads(capsys.readouterr().out)
    assert document["findings"][0] == {
        "kind": "duplicate id",
        "severity": "error",
        "ids": ["x"],
        "text": "principles 21 and 22 have the same id",
        "field": "id",
    }
    chains = tmp_path / "chains.jsonl"
    chains.write_text(json.dumps({"rounds": [{"principle": "violence", "fired": False}]}) + "\n")
    assert cli.main(["constitution", "lint", "general", "--chains", str(chains), "--json"]) == 0
    assert {f["kind"] for f in json.loads(capsys.readouterr().out)["findings"]} == {"never asked"}
    chains.write_text("{\n")
    assert cli.main(["constitution", "lint", "general", "--chains", str(chains)]) == 4
    assert cli.main(["constitution", "lint", "general", "--chains", str(tmp_path / "none")]) == 4


def test_the_command_shows_a_constitution_and_knows_its_kinds(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["constitution", "show", "town"]) == 0
    text = capsys.readouterr().out
    assert load("town").digest in text and all(p.compare in text for p in load("town").principles)
    assert cli.main(["constitution", "--kind", "show", "town", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == load("town").digest
    assert cli.main(["constitution", "lnt", "town"]) == 2
    assert "did you mean lint" in capsys.readouterr().err
    assert cli.main(["constitution", "show", "town", "--chains", "x"]) == 3
    assert "it belongs to alignlab constitution lint" in capsys.readouterr().err
