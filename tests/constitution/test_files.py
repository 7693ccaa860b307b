"""Constitutions as files: what is read, what is written, and what is refused."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.constitution.files import SHIPPED, load, read, write
from alignlab.constitution.lint import errors, lint
from alignlab.constitution.principles import Constitution, Exemplar, Principle
from alignlab.errors import DataError, UserError

PRINCIPLE = (
    '[[principles]]\nid = "a"\ncritique = "Does it lie?"\nrevise = "Say what is so."\ncompare = "Prefer '
    'what is so."\n'
)


def small(count: int = 3) -> Constitution:
    return Constitution(
        "small",
        "1",
        tuple(
            Principle(
                f"p{i}", f"Look at number {i}.", f"Mend number {i}.", f"Prefer number {i}.", ("harmless",)
            )
            for i in range(count)
        ),
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_ones_are_large_enough_and_clean(name: str):
    found = load(name)
    assert found.name == name and len(found.principles) >= 16
    assert 2 * len(found.tagged("harmless")) >= len(found.principles)
    for scope in ("direct", "indirect", "contested", "helpful", "honest"):
        assert found.tagged(scope)
    assert [f for f in lint(found) if f.severity == "error"] == []
    if name != "elsewhere":  # that one says nothing on purpose
        assert lint(found) == [] and len(found.exemplars) >= 2


@pytest.mark.parametrize("ending", [".toml", ".yaml", ".json"])
@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_written_is_read_back(name: str, ending: str, tmp_path: Path):
    found = load(name)
    odd = replace(
        found.principles[0],
        id="odd",
        critique='A "quote", a \\ backslash, a tab-less caf\u00e9 and \U0001f600',
        exemplars=(Exemplar("one\ntwo", "d", "c", "r"),),
    )
    found = replace(found, principles=(*found.principles, odd))
    write(found, tmp_path / f"c{ending}")
    again = load(tmp_path / f"c{ending}")
    assert again == found and again.digest == found.digest


def test_it_is_not_written_in_other_formats(tmp_path: Path):
    with pytest.raises(DataError, match="not written as '.txt'"):
        write(small(), tmp_path / "c.txt")


def test_the_digest_is_of_what_it_says():
    found = small()
    assert len(found.digest) == 16 and found.digest == small().digest
    changed = replace(
        found, principles=(replace(found.principles[0], compare="Prefer number one."), *found.principles[1:])
    )
    assert (
        len({found.digest, changed.digest, replace(found, version="2").digest, found.without("p1").digest})
        == 4
    )


def test_principles_are_drawn_evenly_and_by_tag():
    found = small()
    found = replace(
        found, principles=(*found.principles, Principle("h", "Look.", "Mend.", "Prefer.", ("helpful",)))
    )
    rng = random.Random(0)
    drawn = Counter(found.sample(rng, ["harmless"]).id for _ in range(3000))
    assert set(drawn) == {"p0", "p1", "p2"} and min(drawn.values()) > 900
    assert {found.sample(rng).id for _ in range(100)} == {"p0", "p1", "p2", "h"}
    assert found.get("h").critique == "Look." and [p.id for p in found.without("p1").principles] == [
        "p0",
        "p2",
        "h",
    ]
    with pytest.raises(UserError, match="tagged honest"):
        found.sample(rng, ["honest"])
    with pytest.raises(UserError, match="did you mean p1"):
        found.get("p11")


def test_an_example_leaves_with_its_principle():
    found = replace(small(), exemplars=(Exemplar("q", "d", "c", "r", "p0"), Exemplar("q", "d", "c", "r")))
    assert len(found.without("p0").exemplars) == 1 and len(found.without("p1").exemplars) == 2


def test_the_papers_json_is_read(tmp_path: Path):
    rows = {
        "harmful 0": {
            "prompt": ["Critique Request: Say what is harmful here.\n\nCritique:"],
            "edit_request": "\n\nRevisionRequest: Take it out.\n\nRevision:",
        },
        "second": {"prompt": "Say more.", "edit_request": "Rewrite it."},
    }
    (tmp_path / "paper.json").write_text(json.dumps(rows))
    found = load(tmp_path / "paper.json")
    assert [(p.id, p.critique, p.revise) for p in found.principles] == [
        ("harmful-0", "Say what is harmful here.", "Take it out."),
        ("second", "Say more.", "Rewrite it."),
    ]
    assert (
        all("harmless" in p.tags and p.revise in p.compare for p in found.principles)
        and found.name == "paper"
    )


def test_llm_swarms_json_is_read_with_its_chats(tmp_path: Path):
    texts = ["How?", "So: and so.", "Say what is wrong.", "It is bad.", "Mend it.", "Not so."]
    document = {
        "constitutions": [{"critic": "Say what is wrong.", "revision": "Mend it."}],
        "system_chat": [
            [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
        ],
    }
    (tmp_path / "swarm.json").write_text(json.dumps(document))
    found = load(tmp_path / "swarm.json")
    assert found.exemplars == (
        Exemplar("How?", "So: and so.", "It is bad.", "Not so.", "critic-0"),
    )  # nothing is cut at ": "
    for broken in (
        {"constitutions": []},
        {"constitutions": [{"critic": "x"}]},
        document | {"system_chat": [[{"role": "user", "content": "x"}]]},
    ):
        (tmp_path / "swarm.json").write_text(json.dumps(broken))
        with pytest.raises(DataError):
            load(tmp_path / "swarm.json")


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "no principle"),
        ("name = 3\n" + PRINCIPLE, "name must be text"),
        ("principles = []", "no principle"),
        ("principles = 3", "no principle"),
        ("principles = [3]", "must be a table"),
        ("a = ", "no TOML"),
        ("[[principles]]\nid = 'a'\ncritique = 'b'\nrevise = 'c'\n", "lacks 'compare'"),
        (PRINCIPLE.replace('"Say what is so."', "7"), "revise must be text"),
        (PRINCIPLE + 'tags = "harmless"\n', "tags must be a list"),
        (PRINCIPLE + "critic = 'x'\n", "unknown field 'critic'"),
        ("verison = '1'\n" + PRINCIPLE, "unknown field 'verison'"),
        (PRINCIPLE + PRINCIPLE, "duplicate id"),
        (PRINCIPLE.replace("Does it lie?", "Does {it} lie?"), "'{'"),
        (PRINCIPLE.replace("Does it lie?", "Does\\nit lie?"), "line break"),
        (PRINCIPLE.replace("Does it lie?", "Does it\\u0007 lie?"), "U\\+0007"),
        (PRINCIPLE.replace("Does it lie?", "Does (A) lie?"), r"\(A\)"),
        (PRINCIPLE.replace("Does it lie?", "Better: it"), "a label of the frame"),
        (PRINCIPLE.replace("Does it lie?", "Is it <|end|> so?"), "a mark of a model"),
        (PRINCIPLE.replace("Does it lie?", "  "), "it is empty"),
        (PRINCIPLE.replace("Does it lie?", "Is \\u202eit so?"), "U\\+202E"),
        (PRINCIPLE.replace('"a"', '"a b"'), "an id is"),
        (
            PRINCIPLE
            + '[[exemplars]]\nprompt = "a"\ndraft = "b"\ncritique = "c"\nrevision = "d"\nprinciple = "z"\n',
            "not there",
        ),
        (PRINCIPLE + '[[exemplars]]\nprompt = "a"\n', "lacks 'draft'"),
        ("version = true\n" + PRINCIPLE, "version must be text"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(text: str, said: str, tmp_path: Path):
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(DataError, match=said) as caught:
        load(tmp_path / "c.toml")
    assert str(tmp_path / "c.toml") in caught.value.where


@pytest.mark.parametrize(
    "name, text",
    [
        ("c.json", "{"),
        ("c.json", "[" * 100_000),
        ("c.yaml", "a: [b"),
        ("c.yaml", "!!python/object/apply:os.system ['true']"),
        ("c.yml", "- 1\n- 2"),
        ("c.toml", "\ufeff" + PRINCIPLE),
        ("c.json", "null"),
        ("c.yaml", "principles: {a: 1}"),
    ],
)
def test_rubbish_is_a_data_error(name: str, text: str, tmp_path: Path):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError):
        load(tmp_path / name)


def test_what_is_no_file_is_a_data_error(tmp_path: Path):
    (tmp_path / "c.toml").write_bytes(b"\xff\xfe\x00")
    for name in (tmp_path / "c.toml", tmp_path, tmp_path / "none.toml", "a\0b"):
        with pytest.raises(DataError, match="cannot read"):
            load(name)


@given(st.text(max_size=60))
def test_any_text_is_written_and_read_or_named_in_an_error(text: str):
    import tempfile

    found = Constitution("any", "1", (Principle("a", text, text, text),))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.toml"
        if any("\ud800" <= c <= "\udfff" for c in text):
            return
        if errors(found):
            return
        write(found, path)
        assert load(path) == found


def test_ten_thousand_principles_are_read_and_linted(tmp_path: Path):
    """Quickly: nothing compares all with all. The test's own limit of time is what would tell."""
    rng = random.Random(0)
    words = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("nd", "rk", "lt", "ms", "pp")]

    def principle(i: int) -> Principle:
        text = " ".join(rng.sample(words, 8))
        return Principle(f"p{i}", f"Look for {text}.", f"Mend {text}.", f"Prefer {text}.", ("harmless",))

    found = Constitution("many", "1", tuple(principle(i) for i in range(10_000)))
    write(found, tmp_path / "many.toml")
    assert load(tmp_path / "many.toml").digest == found.digest
    assert [f for f in lint(read(tmp_path / "many.toml")) if f.kind in ("vacuous", "untagged")] == []
