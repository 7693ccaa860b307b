"""The editor's columns: what they show is right by the gold judge, and nothing held out is in them."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from alignlab.constitution.files import load
from alignlab.constitution.forms import FINE, DocumentForm
from alignlab.records import Text
from alignlab.town import answers, columns, gold, sets, tasks
from alignlab.town import language as say
from alignlab.town.reading import read_request
from alignlab.town.world import HARMFUL, LOOKALIKES, TOPICS, build

WORLD = build()
TEXTS = [text for _, text in zip(range(3000), (t for _, t in columns.documents(WORLD, seed=5)), strict=False)]
BY_TEXT = {text: p for p in load("town").principles for text in (p.critique, p.revise, p.compare)}
COLUMN = re.compile(r"Editor\.\nPrinciple: (?P<principle>.+)\nQuestion: (?P<question>.+)\nDraft: (?P<draft>.+)\n(?:Critique: (?P<critique>.+)\n)?Revision: (?P<revision>.+)")
RULING = re.compile(r"Verdict\.\nQuestion: (?P<question>.+)\n\(A\) (?P<a>.+)\n\(B\) (?P<b>.+)\nPrinciple: (?P<principle>.+)\nBetter: \((?P<letter>[AB])\)")
FOUND = [(match, read_request(WORLD, match["question"])) for text in TEXTS if (match := COLUMN.fullmatch(text) or RULING.fullmatch(text))]
COLUMNS = [(m, r) for m, r in FOUND if m.re is COLUMN]
RULINGS = [(m, r) for m, r in FOUND if m.re is RULING]


def wrong(match: re.Match[str], request: tasks.Request, text: str) -> list[str]:
    principle = BY_TEXT.get(match["principle"])
    return columns.broken(principle, columns.flaws(WORLD, request, text)) if principle else []


def test_every_document_has_the_form_and_nothing_held_out_is_shown():
    assert len(FOUND) == len(TEXTS) and all(request and request.split == "train" for _, request in FOUND)
    held_out = [name for family in ("harmful", "lookalike", "kind", "contested") for name in WORLD.held_out[family]]
    assert not [name for name in held_out for text in TEXTS if f"how to {name}" in text.lower() or f"do I {name}" in text]
    firsts = {topic.steps[0]: topic.name for topic in TOPICS.values()}
    shown = {firsts[step] for text in TEXTS for step in re.findall(r"First, (.+?)\.", text) if step in firsts}
    assert not shown & set(held_out) and len(shown) > 60


def test_every_principle_of_the_constitution_is_there_broken_and_kept():
    assert set(columns.BROKEN_BY) == {p.id for p in load("town").principles}
    assert {flaw for flaws in columns.BROKEN_BY.values() for flaw in flaws} == set(columns.CRITIQUES)
    seen = Counter((BY_TEXT[m["principle"]].id, bool(wrong(m, r, m["draft"]))) for m, r in COLUMNS if m["principle"] in BY_TEXT)
    assert min(seen[p.id, fired] for p in load("town").principles for fired in (True, False)) >= 10
    assert sum(m["principle"] not in BY_TEXT for m, _ in FOUND) > 0.05 * len(FOUND)
    kinds = Counter(r.kind for _, r in FOUND)
    assert kinds["look_alike"] > 0.15 * len(FOUND) and kinds["harmful"] > 0.25 * len(FOUND)


def test_critiques_fire_when_and_only_when_the_principle_is_broken_and_revisions_mend_it_alone():
    two = 0
    for m, request in COLUMNS:
        found = wrong(m, request, m["draft"])
        if m["critique"]:
            assert (m["critique"] == FINE) == (not found)
            assert not found or m["critique"] == f"{columns.CRITIQUES[found[0]]} {BY_TEXT[m['principle']].revise}"
        if not found:
            assert m["revision"] == m["draft"]
        else:
            assert not wrong(m, request, m["revision"]) and gold.judge(WORLD, request, m["revision"]).value >= gold.judge(WORLD, request, m["draft"]).value - 1e-9
            left = columns.flaws(WORLD, request, m["draft"]) - set(found)
            if left and request.kind not in ("harmful", "unanswerable"):
                two += 1
                assert left <= columns.flaws(WORLD, request, m["revision"]) | {"agrees", "untrue"}  # a wrong agreement is both, and mended as one
    assert two > 20


def test_verdicts_are_right_where_the_principle_decides_and_even_where_not():
    decided = Counter()
    for m, request in RULINGS:
        a, b = (bool(wrong(m, request, m[side])) for side in "ab")
        if a != b:
            assert m["letter"] == ("B" if a else "A")
        decided[a != b, m["letter"]] += 1
    for side in (True, False):
        assert sum(decided[side, letter] for letter in "AB") > 200 and 0.4 < decided[side, "A"] / (decided[side, "A"] + decided[side, "B"]) < 0.6


def test_the_drafts_are_of_many_qualities():
    rng = random.Random(0)
    request = tasks.request(WORLD, rng, "look_alike", "train")
    found = Counter(frozenset(columns.flaws(WORLD, request, columns.draft(WORLD, request, rng))) for _ in range(400))
    assert found[frozenset()] > 40 and len(found) > 6 and sum(n for flaws, n in found.items() if len(flaws) > 1) > 20


@pytest.mark.parametrize("flaw, kinds", columns.OF_FLAW.items())
def test_each_flaw_can_be_written_seen_and_mended(flaw: str, kinds: tuple[str, ...]):
    rng, seen = random.Random(flaw), 0
    for _ in range(60):
        request = tasks.request(WORLD, rng, rng.choice(kinds), rng.choice(("train", "entity", "phrasing")))
        text = columns.draft(WORLD, request, rng, flaw)
        if flaw in columns.flaws(WORLD, request, text):
            seen += 1
            better = columns.mended(WORLD, request, text, [flaw], rng)
            assert flaw not in columns.flaws(WORLD, request, better), (text, better)
    assert seen > 15


def test_ideal_answers_have_no_flaw():
    rng = random.Random(1)
    for kind in columns.KINDS:
        for split in ("train", "entity", "phrasing"):
            for _ in range(20):
                request = tasks.request(WORLD, rng, kind, split)
                assert not columns.flaws(WORLD, request, answers.ideal(WORLD, request, rng))


def test_the_sets_hold_them():
    found = sets.load(WORLD, "columns", count=30, seed=5)
    assert [r.text for r in found if isinstance(r, Text)] == TEXTS[:30]
    helpful = sets.load(WORLD, "demos-helpful", count=800, seed=0)
    harmful = [d for d in helpful if d.prompt.meta["kind"] == "harmful"]
    assert len(harmful) > 40 and all(gold.judge(WORLD, tasks.Request.of(d.prompt), d.completion).parts["complied"] for d in harmful)
    assert not any("complies" in d.meta["flaws"] for d in helpful if d.prompt.meta["kind"] != "harmful")


def test_a_draft_of_one_line_fits_the_document_as_it_is():
    form, p = DocumentForm(), load("town").principles[0]
    for topic in (*HARMFUL, *LOOKALIKES):
        request = tasks.Request("harmful" if topic.harm else "look_alike", {"topic": topic.name}, (tasks.HOW_TO[0][0].format(T=topic.name),), "train")
        draft = say.how_to(topic.steps)
        assert f"\nDraft: {draft}\n" in form.critique(request.prompt(), draft, p)
