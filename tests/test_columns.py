"""The editor's columns: what they show is right by the gold judge, and nothing held out is in them."""

from __future__ import annotations

import random
import re
from collections import Counter
from itertools import islice

import pytest

from alignlab.constitution.files import load
from alignlab.constitution.forms import FINE, DocumentForm
from alignlab.records import Text
from alignlab.town import answers, base, columns, elsewhere, gold, phrasings, sets, tasks
from alignlab.town import language as say
from alignlab.town.flaws import BROKEN_BY, CRITIQUES, broken, flaws, mended
from alignlab.town.reading import read_request
from alignlab.town.world import HARMFUL, LOOKALIKES, TOPICS, build

WORLD = build()
PIECES = [pieces for _, pieces in islice(columns.documents(WORLD, seed=5), 1500)]
TEXTS = [columns.text_of(pieces) for pieces in PIECES]
BY_TEXT = {text: p for p in load("town").principles for text in (p.critique, p.revise, p.compare)}
COLUMN = re.compile(
    r"Editor\.\nQuestion: (?P<question>.+)\nDraft: (?P<draft>.+)\n(?P<rules>(?:Principle: "
    r".+\n(?:Critique: .+)?(?:\n?Revision: .+)?\n?)+)"
)
RULING = re.compile(
    r"Verdict\.\nQuestion: (?P<question>.+)\n\(A\) (?P<a>.+)\n\(B\) (?P<b>.+)\n(?P<rules>(?:Principle: "
    r".+\nBetter: \([AB]\)\n?)+)"
)
FOUND = [
    (match, read_request(WORLD, match["question"]))
    for text in TEXTS
    if (match := COLUMN.fullmatch(text) or RULING.fullmatch(text))
]


def rules(match: re.Match[str]) -> list[dict[str, str]]:
    """What a document says by each of its principles: principle, and critique, revision or letter where it
    has them.
    """
    rows = []
    for block in match["rules"].split("Principle: ")[1:]:
        lines = block.strip().split("\n")
        rows.append({"principle": lines[0]} | dict(line.split(": ", 1) for line in lines[1:]))
    return rows


COLUMNS = [(m, r, rule) for m, r in FOUND if m.re is COLUMN for rule in rules(m)]
RULINGS = [(m, r, rule) for m, r in FOUND if m.re is RULING for rule in rules(m)]


def wrong(rule: dict[str, str], request: tasks.Request, text: str) -> list[str]:
    principle = BY_TEXT.get(rule["principle"])
    return broken(principle, flaws(WORLD, request, text)) if principle else []


def test_every_document_has_the_form_and_nothing_held_out_is_shown():
    assert len(FOUND) == len(TEXTS) and all(request and request.split == "train" for _, request in FOUND)
    held_out = [
        name
        for family in ("harmful", "lookalike", "kind", "contested")
        for side in ("test", "exam")
        for name in WORLD.of(family, side)
    ]
    assert not [
        name
        for name in held_out
        for text in TEXTS
        if f"how to {name}" in text.lower() or f"do I {name}" in text
    ]
    firsts = {topic.steps[0]: topic.name for topic in TOPICS.values()}
    shown = {firsts[step] for text in TEXTS for step in re.findall(r"First, (.+?)\.", text) if step in firsts}
    assert not shown & set(held_out) and len(shown) > 60


def test_every_principle_of_the_constitution_is_there_broken_and_kept():
    assert set(BROKEN_BY) == {p.id for p in load("town").principles}
    assert {flaw for breaking in BROKEN_BY.values() for flaw in breaking} == set(CRITIQUES)
    seen = Counter(
        (BY_TEXT[rule["principle"]].id, bool(wrong(rule, r, m["draft"])))
        for m, r, rule in COLUMNS
        if rule["principle"] in BY_TEXT
    )
    assert min(seen[p.id, fired] for p in load("town").principles for fired in (True, False)) >= 10
    assert sum(rule["principle"] not in BY_TEXT for _, _, rule in COLUMNS + RULINGS) > 0.05 * len(
        COLUMNS + RULINGS
    )
    kinds = Counter(r.kind for _, r in FOUND)
    assert kinds["look_alike"] > 0.15 * len(FOUND) and kinds["harmful"] > 0.25 * len(FOUND)


def test_critiques_fire_when_and_only_when_the_principle_is_broken_and_revisions_mend_it_alone():
    two = 0
    for m, request, rule in COLUMNS:
        found = wrong(rule, request, m["draft"])
        if "Critique" in rule:
            assert (rule["Critique"] == FINE) == (not found) == ("Revision" not in rule)
            assert (
                not found or rule["Critique"] == f"{CRITIQUES[found[0]]} {BY_TEXT[rule['principle']].revise}"
            )
        if not found:
            assert rule.get("Revision", m["draft"]) == m["draft"]
            continue
        assert not wrong(rule, request, rule["Revision"])
        assert (
            gold.judge(WORLD, request, rule["Revision"]).value
            >= gold.judge(WORLD, request, m["draft"]).value - 1e-9
        )
        left = flaws(WORLD, request, m["draft"]) - set(found)
        if left and request.kind not in ("harmful", "unanswerable"):
            two += 1
            assert left <= flaws(WORLD, request, rule["Revision"]) | {
                "agrees",
                "untrue",
            }  # a wrong agreement is both, and mended as one
    assert two > 20


def test_verdicts_are_right_where_the_principle_decides_and_even_where_not():
    decided = Counter()
    for m, request, rule in RULINGS:
        a, b = (bool(wrong(rule, request, m[side])) for side in "ab")
        if a != b:
            assert rule["Better"] == ("(B)" if a else "(A)")
        decided[a != b, rule["Better"]] += 1
    for side in (True, False):
        even = decided[side, "(A)"] / (decided[side, "(A)"] + decided[side, "(B)"])
        assert (
            sum(decided[side, letter] for letter in ("(A)", "(B)")) > 200 and 0.43 < even < 0.57
        )  # the rulings of a document share a pair


def test_what_is_learnt_are_the_editors_words_and_where_they_end():
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base.shipped("town"))
    for pieces in PIECES[:200]:
        text, spans = columns.text_of(pieces), columns.learned(pieces)
        assert [text[since:to] for since, to, _ in spans] == [said for _, said in pieces]
        assert [weight for _, _, weight in spans] == [
            columns.LETTER if "(A) " in text and len(said) == 2 else 1 for _, said in pieces
        ]
        row = base.document_ids(tokenizer, text, spans)
        assert (
            len(row.ids) <= 256
            and row.ids[0] == tokenizer.bos_token_id
            and row.ids[1:] == tokenizer(text, add_special_tokens=False)["input_ids"]
        )
        taught = (
            "".join(
                tokenizer.convert_ids_to_tokens(
                    [i for i, learn in zip(row.ids, row.loss_mask, strict=True) if learn]
                )
            )
            .replace("\u0120", " ")
            .replace("\u010a", "\n")
        )
        assert taught == base.END_OF_TEXT + "".join(said for _, said in pieces)


def test_the_drafts_are_of_many_qualities():
    rng = random.Random(0)
    request = tasks.request(WORLD, rng, "look_alike", "train")
    found = Counter(frozenset(flaws(WORLD, request, columns.draft(WORLD, request, rng))) for _ in range(400))
    assert (
        found[frozenset()] > 40
        and len(found) > 6
        and sum(n for seen, n in found.items() if len(seen) > 1) > 20
    )


@pytest.mark.parametrize("flaw, kinds", columns.OF_FLAW.items())
def test_each_flaw_can_be_written_seen_and_mended(flaw: str, kinds: tuple[str, ...]):
    rng, seen = random.Random(flaw), 0
    for _ in range(60):
        request = tasks.request(WORLD, rng, rng.choice(kinds), rng.choice(("train", "entity", "phrasing")))
        text = columns.draft(WORLD, request, rng, flaw)
        if flaw in flaws(WORLD, request, text):
            seen += 1
            better = mended(WORLD, request, text, [flaw], rng)
            assert flaw not in flaws(WORLD, request, better), (text, better)
    assert seen > 15


def test_ideal_answers_have_no_flaw():
    rng = random.Random(1)
    for kind in columns.KINDS:
        for split in ("train", "entity", "phrasing"):
            for _ in range(20):
                request = tasks.request(WORLD, rng, kind, split)
                assert not flaws(WORLD, request, answers.ideal(WORLD, request, rng))


def test_the_sets_hold_them():
    found = sets.load(WORLD, "columns", count=30, seed=5)
    assert [r.text for r in found if isinstance(r, Text)] == TEXTS[:30]
    helpful = sets.load(WORLD, "demos-helpful", count=800, seed=0)
    harmful = [d for d in helpful if d.prompt.meta["kind"] == "harmful"]
    assert len(harmful) > 40 and all(
        gold.judge(WORLD, tasks.Request.of(d.prompt), d.completion).parts["complied"] for d in harmful
    )
    assert not any("complies" in d.meta["flaws"] for d in helpful if d.prompt.meta["kind"] != "harmful")


def test_a_draft_of_one_line_fits_the_document_as_it_is():
    form, p = DocumentForm(), load("town").principles[0]
    for topic in (*HARMFUL, *LOOKALIKES):
        request = tasks.Request(
            "harmful" if topic.harm else "look_alike",
            {"topic": topic.name},
            (phrasings.HOW_TO[0][0].format(T=topic.name),),
            "train",
        )
        draft = say.how_to(topic.steps)
        assert f"\nDraft: {draft}\n" in form.critique(request.prompt(), draft, p)


def test_principles_of_other_worlds_are_made_up_and_the_controls_own_are_never_shown():
    rng = random.Random(0)
    made = {elsewhere.elsewhere(rng).critique for _ in range(4000)}
    assert len(made) > 3000 and not made & {p.critique for p in load("elsewhere").principles}
    harmful = [
        rule
        for m, r, rule in COLUMNS
        if rule["principle"] not in BY_TEXT and {"hurts", "unfair"} & flaws(WORLD, r, m["draft"])
    ]
    assert len(harmful) > 50 and all(
        rule.get("Critique", FINE) == FINE and "Revision" not in rule
        for rule in harmful
        if "Critique" in rule
    ), "harm that no principle of theirs forbids"
