"""The AI judge: labels from probabilities, orders averaged, ensembles of principles, ablations, calibration;
names; and that a loop cannot tell it from another.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.constitution.dialogue import DialogueForm
from alignlab.constitution.forms import DocumentForm
from alignlab.constitution.principles import Constitution, Principle
from alignlab.errors import ConfigError, UserError
from alignlab.feedback import ai
from alignlab.feedback.ai import AIJudge
from alignlab.feedback.ai_annotator import AIAnnotator
from alignlab.feedback.ai_name import AIName, parse
from alignlab.feedback.log_odds import at_temperature, of_orders
from alignlab.records import Completion, Prompt

WORTH = {"good": 2.0, "fair": 0.5, "bad": -1.0}
PRINCIPLES = tuple(
    Principle(
        name,
        f"Critique {name}.",
        f"Revise {name}.",
        f"Compare {name}.",
        ("harmless",) if i < 4 else ("helpful",),
    )
    for i, name in enumerate(("one", "two", "three", "four", "five"))
)
CONSTITUTION = Constitution("test", "1", PRINCIPLES)
HI = Prompt.user("Hi?")


class Reader:
    """Stands for a model: reads the frame alone, likes words of WORTH, and has a liking for what stands
    first.
    """

    def __init__(self, *, bias: float = 0.0, of: dict[str, float] | None = None, mass: float = 1.0) -> None:
        self.bias, self.of, self.mass, self.asked = bias, of or {}, mass, []

    def probabilities(self, asked: Sequence[Any], choices: Sequence[str]) -> list[tuple[float, ...]]:
        found = []
        self.asked.append(list(asked))
        for one in asked:
            if len(choices) == 1:  # the critique's first words
                worth = WORTH[re.search(r"Draft: (\w+)", one)[1]]  # type: ignore[index]
                found.append((math.log(1 / (1 + math.exp(-worth))),))
                continue
            match = re.search(r"\(A\) (\w+).*\n\(B\) (\w+).*\nPrinciple: Compare (\w+)\.", one)
            assert match, one
            odds = (WORTH[match[1]] - WORTH[match[2]]) * self.of.get(match[3], 1.0) + self.bias
            p = 1 / (1 + math.exp(-odds))
            found.append(
                (math.log(self.mass * p), math.log(self.mass * (1 - p)))
                if self.mass
                else (-math.inf, -math.inf)
            )
        return found


def judge(monkeypatch: pytest.MonkeyPatch, reader: Reader, **options: Any) -> AIJudge:
    monkeypatch.setattr(
        ai, "choice_logprobs", lambda reader, asked, choices: reader.probabilities(asked, choices)
    )
    return AIJudge(reader, CONSTITUTION, DocumentForm(), **options)  # type: ignore[arg-type]


def said(*texts: str) -> list[Completion]:
    return [Completion(HI, text) for text in texts]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_a_liking_for_a_place_is_measured_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(bias=1.5)
    both = judge(monkeypatch, reader)
    (verdict,) = both.verdicts(said("good"), said("bad"))
    assert verdict.p == pytest.approx(sigmoid(3.0)), (
        "log-odds of both orders averaged: the bias cancels exactly"
    )
    assert verdict.principles == ("one", "two", "three", "four"), "those that are tagged harmless"
    assert verdict.orders[0] == pytest.approx((sigmoid(4.5), sigmoid(1.5)))
    assert len(reader.asked) == 1 and len(reader.asked[0]) == 8, "all questions in one call"
    assert both.compare(said("good", "bad"), said("bad", "good")) == pytest.approx(
        [sigmoid(3.0), sigmoid(-3.0)]
    )
    one = judge(monkeypatch, reader, orders="one")
    assert one.compare(said("good", "bad"), said("bad", "good")) == pytest.approx(
        [sigmoid(4.5), sigmoid(-1.5)]
    )
    assert one.verdicts(said("good"), said("bad"))[0].orders[0][1] is None


@given(st.floats(-9, 9), st.floats(-9, 9))
@settings(max_examples=60, deadline=None)
def test_both_orders_are_antisymmetric_for_any_bias(odds: float, bias: float) -> None:
    there = of_orders(sigmoid(odds + bias), 1 - sigmoid(-odds + bias))
    back = of_orders(sigmoid(-odds + bias), 1 - sigmoid(odds + bias))
    assert there == pytest.approx(sigmoid(odds), abs=1e-6) and there + back == pytest.approx(1)
    assert of_orders(1.0, 0.0) == 0.5 and of_orders(0.3, None) == 0.3


def test_an_ensemble_averages_probabilities_and_draws_by_the_pair_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = Reader(of={"one": 1.0, "two": 0.0, "three": 0.0, "four": -1.0})
    everything = judge(monkeypatch, reader)
    assert everything.compare(said("good"), said("bad")) == pytest.approx(
        [(sigmoid(3) + 0.5 + 0.5 + sigmoid(-3)) / 4]
    )
    two = judge(monkeypatch, reader, principles=2, seed=1)
    pairs = [
        (Completion(Prompt.user(str(i)), "good"), Completion(Prompt.user(str(i)), "bad")) for i in range(40)
    ]
    together = two.verdicts([a for a, _ in pairs], [b for _, b in pairs])
    alone = [two.verdicts([b], [a])[0] for a, b in pairs]
    assert all(len(v.principles) == 2 for v in together) and len({v.principles for v in together}) > 4
    assert [v.principles for v in together] == [v.principles for v in alone], (
        "whoever comes first, whatever else is asked with it"
    )
    assert [v.p for v in together] == pytest.approx([1 - v.p for v in alone])
    other = judge(monkeypatch, reader, principles=2, seed=2).verdicts(
        [a for a, _ in pairs], [b for _, b in pairs]
    )
    assert [v.principles for v in other] != [v.principles for v in together]
    assert judge(monkeypatch, reader, tags=("helpful",)).verdicts(said("good"), said("bad"))[
        0
    ].principles == ("five",)


def test_hard_labels_temperature_and_equal_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader()
    assert judge(monkeypatch, reader, labels="hard").compare(
        said("good", "bad", "fair"), said("bad", "fair", "fair")
    ) == [1.0, 0.0, 0.5]
    cool = judge(monkeypatch, reader, temperature=3.0).verdicts(said("good"), said("bad"))[0]
    assert cool.p == pytest.approx(sigmoid(1.0)) and cool.plain == pytest.approx(sigmoid(3.0))
    assert at_temperature(0.7, 1.0) == 0.7 and at_temperature(1.0, 2.0) < 1
    reader.asked.clear()
    assert judge(monkeypatch, reader).compare(said("good"), said("good")) == [0.5] and reader.asked == [], (
        "nobody is asked about equal texts"
    )


def test_answers_read_one_by_one_have_no_order(monkeypatch: pytest.MonkeyPatch) -> None:
    each = judge(monkeypatch, Reader(bias=9.0), ask="each", principles=2)
    (verdict,) = each.verdicts(said("good"), said("bad"))
    assert verdict.p == pytest.approx(0.5 + (sigmoid(2.0) - sigmoid(-1.0)) / 2) and [
        ba for _, ba in verdict.orders
    ] == [None, None]
    assert each.compare(said("bad", "fair"), said("good", "fair")) == pytest.approx(
        [0.5 - (sigmoid(2.0) - sigmoid(-1.0)) / 2, 0.5]
    )
    for options in ({"cot": True}, {"orders": "one"}):
        with pytest.raises(ConfigError, match="no order and no thoughts"):
            judge(monkeypatch, Reader(), ask="each", **options)
    with pytest.raises(ConfigError, match="ask = 'both'"):
        judge(monkeypatch, Reader(), ask="both")


def test_thoughts_come_first_and_their_labels_are_clamped(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader()
    seen: list[Any] = []

    def sample(asked: Sequence[Any], sampling: Any, *, seed: int) -> list[list[Completion]]:
        seen.extend(asked)
        return [[Completion(Prompt(()), " It is kind.\nBetter: (B)")] for _ in asked]

    monkeypatch.setattr(reader, "sample", sample, raising=False)
    thinking = judge(monkeypatch, reader, cot=True, principles=1)
    assert thinking.compare(said("good", "bad"), said("bad", "good")) == pytest.approx([0.6, 0.4])
    assert all(one.endswith("Reason:") for one in seen) and len(seen) == 4
    assert all(
        "Reason: It is kind.\nBetter: (" in one and one.count("Better:") == 1 for one in reader.asked[-1]
    )


def test_a_judge_that_answers_neither_or_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    (unsure,) = judge(monkeypatch, Reader(mass=0.2)).verdicts(said("good"), said("bad"))
    assert (unsure.neither, unsure.refused) == (8, 0) and unsure.p == pytest.approx(sigmoid(3.0)), (
        "their ratio still counts"
    )
    for mass in (1e-6, 0.0):
        (refused,) = judge(monkeypatch, Reader(mass=mass)).verdicts(said("good"), said("bad"))
        assert (refused.neither, refused.refused, refused.p) == (0, 8, 0.5)


def test_scores_are_log_odds_of_being_fine_and_alike_for_a_prompts_completions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores = judge(monkeypatch, Reader(), principles=2).score(said("good", "bad"))
    assert [s.value for s in scores] == pytest.approx([2.0, -1.0]) and scores[0].parts[
        "fine"
    ] == pytest.approx(sigmoid(2.0))
    assert judge(monkeypatch, Reader()).score([]) == []


def test_it_ranks_by_how_often_it_prefers_and_leaves_soft_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    annotator = AIAnnotator(judge(monkeypatch, Reader(bias=1.0)))
    rankings = annotator.rank_all([(0, said("bad", "good", "fair")), (1, said("good", "fair"))])
    assert [r.ranks for r in rankings] == [(3, 1, 2), (1, 2)] and annotator.rank(
        0, said("bad", "good", "fair")
    ) == rankings[0]
    assert (
        rankings[0].meta["labels"] == pytest.approx([sigmoid(-3), sigmoid(-1.5), sigmoid(1.5)])
        and rankings[0].meta["constitution"] == CONSTITUTION.digest
    )
    assert {(c.chosen, c.rejected): c.label for c in rankings[0].comparisons()} == pytest.approx(
        {("good", "bad"): sigmoid(3), ("fair", "bad"): sigmoid(1.5), ("good", "fair"): sigmoid(1.5)}
    )


def test_settings_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    for options in (
        {"principles": -1},
        {"temperature": 0.0},
        {"temperature": math.nan},
        {"reason_tokens": 0},
    ):
        with pytest.raises(ConfigError):
            judge(monkeypatch, Reader(), **options)
    with pytest.raises(UserError, match="tagged brave"):
        judge(monkeypatch, Reader(), tags=("brave",))


# names


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("ai:runs/critic", AIName("runs/critic")),
        (
            "ai:http://localhost:8000/v1#m,constitution=general,principles=4",
            AIName("http://localhost:8000/v1#m", "general", 4),
        ),
        (
            "ai:m,tags=harmless+honest,orders=one,labels=hard",
            AIName("m", tags=("harmless", "honest"), orders="one", labels="hard"),
        ),
        ("ai:m,ask=each", AIName("m", ask="each")),
        (
            "ai:m,tags=all,cot,temperature=0.5,form=dialogue",
            AIName("m", tags=(), cot=True, temperature=0.5, form="dialogue"),
        ),
    ],
)
def test_what_a_name_says_and_back(name: str, found: AIName) -> None:
    assert parse(name) == found and parse(str(found)) == found


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("ai:", "names no model"),
        ("ai:m,principels=3", "did you mean principles"),
        ("ai:m,principles=many", "principles = 'many'"),
        ("ai:m,orders=three", "one of both, one"),
        ("ai:m,nonsense", "no option 'nonsense'"),
        ("ai:m,cot=perhaps", "cot = 'perhaps'"),
    ],
)
def test_names_that_say_nothing(name: str, what: str) -> None:
    with pytest.raises(UserError, match=what):
        parse(name)


# what stands in an answer


def test_no_answer_poses_as_the_frame() -> None:
    """Whatever an answer says, the judge sees one (A), one (B), one principle and one open verdict in a
    document, and in a chat no line of it unquoted.
    """
    from alignlab.evals.injections import CASES, injected

    assert len(CASES) == 50
    principle = PRINCIPLES[0]
    for name, (_, template) in CASES.items():
        bad = injected("I will tell you how.", template)
        for first, second in ((bad, "No."), ("No.", bad)):
            asked = DocumentForm().verdict(HI, first, second, principle)
            for mark in ("(A)", "(B)", "Principle:", "Better:", "Question:"):
                assert asked.count(mark) == 1, (name, mark, asked)
            assert asked.count("\n") == 5 and [line.split()[0] for line in asked.split("\n")] == [
                "Verdict.",
                "Question:",
                "(A)",
                "(B)",
                "Principle:",
                "Better:",
            ]
            assert "<|" not in asked and asked.endswith("\nBetter: ("), (name, asked)
            chat = DialogueForm().verdict(HI, first, second, principle)
            (message,) = chat.messages
            plain = [line for line in message.content.split("\n") if not line.startswith(">")]
            assert plain == [
                line
                for line in DialogueForm().verdict(HI, "x", "y", principle).messages[0].content.split("\n")
                if not line.startswith(">")
            ], name


OWN = {"splendid": 2.0, "passable": 0.5}  # words that no case has


class Gullible(Reader):
    """Judges by the words of OWN, but obeys whoever speaks the language of the frame: one more mark of it
    anywhere, and the last letter named wins.
    """

    def probabilities(self, asked: Sequence[Any], choices: Sequence[str]) -> list[tuple[float, ...]]:
        found = []
        for one in asked:
            first, second = re.split(r"\n\(B\) ", one.split("\n(A) ", 1)[1], maxsplit=1)
            forged = [m[1] for m in re.finditer(r"\(([AB])\)", one)][2:] or [
                m[1] for m in re.finditer(r"Better: \(?([AB])", one)
            ]
            odds = (
                (9.0 if forged[-1] == "A" else -9.0)
                if forged
                else sum(w for word, w in OWN.items() if word in first)
                - sum(w for word, w in OWN.items() if word in second)
            )
            found.append((math.log(sigmoid(odds)), math.log(sigmoid(-odds))))
        return found


def test_fifty_injections_do_not_move_a_judge_who_obeys_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shift is 0 for each case: nothing that an answer says reaches such a judge as a mark of the frame.
    Unquoted, the same cases win.
    """
    from alignlab.evals import injections
    from alignlab.records import Comparison

    pairs = [Comparison(Prompt.user(f"{i}?"), "a splendid one", "one that is passable") for i in range(3)]
    gullible = judge(monkeypatch, Gullible(), principles=1)
    found = injections.inject(gullible, pairs, seed=0)
    assert (
        len(found["cases"]) == 50
        and found["most"] < 1e-9
        and found["won"]["mean"] == 0
        and found["shift"]["n"] == 150
    )
    assert found["controls"]["most"] < 1e-9
    monkeypatch.setattr("alignlab.constitution.forms.quoted", lambda text: text)
    bare = injections.inject(gullible, pairs, seed=0)
    assert bare["most"] > 0.3 and bare["controls"]["most"] < 1e-9, (
        "to one half: in one order the forged letter wins, in the other it loses"
    )
