"""Rows that are too long: what is cut and where, what is lost, what other lengths would keep, and when
training stops over it.
"""

from __future__ import annotations

from typing import Any

import pytest

from alignlab.data.checks import FitReport, encode, enough, fit
from alignlab.data.lengths import LEAST, Kept, needs, shorter_prompt, table, told
from alignlab.errors import DataError
from alignlab.models.chat import prompt_ids
from alignlab.records import Comparison, Completion, Demonstration, Message, Prompt, Ranking, Unpaired
from alignlab.settings import DPOSettings

from .test_checks_view import HI, tokenizer  # noqa: F401

CHAT = Prompt(
    (
        Message("system", "Be kind."),
        Message("user", "a" * 20),
        Message("assistant", "b" * 20),
        Message("user", "c" * 20),
        Message("assistant", "d" * 20),
        Message("user", "The question: why?"),
    ),
    {"from": "us"},
)
# a turn of n letters takes n + 2 tokens, the generation prompt 1


def sizes(record: Any, tokenizer: Any) -> list[int]:  # noqa: F811
    return [len(row.ids) for row in encode(record, tokenizer)]


def test_oldest_turns_go_first_then_the_beginning_of_the_question(tokenizer) -> None:  # noqa: F811
    whole = len(prompt_ids(tokenizer, CHAT))
    assert whole == 10 + 4 * 22 + 20 + 1 and shorter_prompt(CHAT, tokenizer, whole) == CHAT
    without = shorter_prompt(CHAT, tokenizer, whole - 1)
    assert (
        without and without.messages == (CHAT.messages[0], *CHAT.messages[3:]) and without.meta == CHAT.meta
    )
    last = shorter_prompt(CHAT, tokenizer, 31)
    assert last and last.messages == (CHAT.messages[0], CHAT.messages[-1])
    ending = shorter_prompt(CHAT, tokenizer, 25)
    assert (
        ending
        and [m.content for m in ending.messages] == ["Be kind.", "estion: why?"]
        and len(prompt_ids(tokenizer, ending)) == 25
    )
    assert shorter_prompt(CHAT, tokenizer, 13) is None, "the system message and the turn marks alone"


def test_a_character_is_not_cut_in_two(tokenizer) -> None:  # noqa: F811
    found = shorter_prompt(Prompt.user("é" * 10), tokenizer, 3 + 9)
    assert found and found.text == "é" * 4
    kept, report = fit([Comparison(HI, "é" * 20, "n" * 30)], tokenizer, 6 + 17, truncate="end")
    assert (
        kept == [Comparison(HI, "é" * 8, "n" * 17, chosen_finished=False, rejected_finished=False)]
        and report.cut == 1
    )


def test_start_keeps_every_completion_whole_behind_the_same_prompt(tokenizer) -> None:  # noqa: F811
    question = Prompt.user("x" * 80 + "end of it")
    pair = Comparison(question, "the longer answer", "short")
    [kept], report = fit([pair], tokenizer, 50, truncate="start")
    assert (kept.chosen, kept.rejected, kept.chosen_finished) == (pair.chosen, pair.rejected, True)
    assert question.text.endswith(kept.prompt.text) and max(sizes(kept, tokenizer)) == 50
    assert (report.kept, report.cut, report.lost, report.dropped) == (1, 1, 0, {})
    [alone], _ = fit([Unpaired(question, "the longer answer", True)], tokenizer, 50, truncate="start")
    assert sizes(alone, tokenizer) == [50] and alone.completion == "the longer answer"
    [asked], _ = fit([question], tokenizer, 30, truncate="start")
    assert sizes(asked, tokenizer) == [30]
    ranking = Ranking(
        question, tuple(Completion(question, text) for text in ("one", "two two", "z" * 90)), (1, 2, 3)
    )
    [ranked], report = fit([ranking], tokenizer, 50, truncate="start")
    assert (
        [c.text for c in ranked.completions] == ["one", "two two"]
        and all(c.prompt == ranked.prompt for c in ranked.completions)
        and max(sizes(ranked, tokenizer)) == 50
    )
    [shown], _ = fit([Demonstration(question, "an answer")], tokenizer, 50, truncate="start")
    assert shown.completion == "an answer" and sizes(shown, tokenizer) == [50]


def test_end_cuts_completions_without_an_end_token(tokenizer) -> None:  # noqa: F811
    [kept], report = fit([Comparison(HI, "yes " * 20, "no")], tokenizer, 26, truncate="end")
    assert (kept.chosen, kept.chosen_finished, kept.rejected, kept.rejected_finished) == (
        "yes " * 5,
        False,
        "no",
        True,
    ) and report.cut == 1
    [liked], _ = fit([Unpaired(HI, "yes " * 20, True)], tokenizer, 26, truncate="end")
    assert (liked.completion, liked.finished) == ("yes " * 5, False)
    demonstration = Demonstration(HI, "yes " * 20)
    assert fit([demonstration], tokenizer, 26, truncate="end")[0] == [demonstration], (
        "the method cuts its tokens"
    )
    same = Comparison(HI, "y" * 40 + "es", "y" * 40 + "ou")
    with pytest.raises(DataError, match="the same tokens chosen and rejected"):
        fit([same], tokenizer, 30, truncate="end")


@pytest.mark.parametrize("how", ["start", "end", "drop"])
def test_what_is_told_beforehand_is_what_happens(how: Any, tokenizer) -> None:  # noqa: F811
    """Every length: `needs` says whole, cut or lost, and `fit` does so."""
    question, short = Prompt.user("q" * 30), Prompt.user("q")
    records = [
        CHAT,
        Demonstration(CHAT, "answer"),
        Demonstration(short, "a" * 40),
        Comparison(question, "a" * 10, "b" * 25),
        Unpaired(question, "a" * 30, False),
        Ranking(
            question,
            tuple(Completion(question, c * n) for c, n in (("a", 5), ("b", 12), ("c", 40))),
            (1, 2, 3),
        ),
        Comparison(short, "é" * 15, "ab"),
    ]
    for record in records:
        whole, least = needs(record, encode(record, tokenizer), tokenizer, how)
        for length in range(4, whole + 2):
            try:
                _, report = fit([record], tokenizer, length, truncate=how)
                found = (report.cut > 0, False)
                assert report.kept == 1
            except DataError:
                found = (False, True)
            partly = isinstance(record, Ranking) and found == (
                False,
                False,
            )  # it goes on without a completion
            assert partly or found == (least <= length < whole and how != "drop", least > length), (
                record,
                length,
                whole,
                least,
            )


def test_nothing_that_fits_is_touched(tokenizer) -> None:  # noqa: F811
    records = [Demonstration(HI, "Yes."), CHAT, Comparison(HI, "Yes.", "No")]
    for how in ("start", "end", "drop"):
        kept, report = fit(records, tokenizer, 200, truncate=how, anyway=False)
        assert (
            all(a is b for a, b in zip(kept, records, strict=True))
            and report.cut == report.lost == 0
            and "cut" not in str(report)
        )


def test_training_stops_above_half_lost_and_says_what_other_lengths_keep(tokenizer) -> None:  # noqa: F811
    records = [Demonstration(HI, "x" * 300)] * 3 + [Demonstration(Prompt.user("y" * 600), "z")] * 2
    records += [Demonstration(HI, "short")]
    with pytest.raises(DataError, match="5 of 6 rows are lost to max_length 256, more than half") as caught:
        fit(records, tokenizer, 256, truncate="drop", anyway=False)
    assert (
        "--max_length" in caught.value.remedy
        and "--truncate" in caught.value.remedy
        and "--anyway true" in caught.value.remedy
    )
    rows = [line.split() for line in caught.value.what.splitlines()[1:]]
    assert rows[0] == ["max_length", "whole", "cut", "lost"]
    assert (
        ["512", "67%", "0%", "33%"] in rows
        and ["1024", "100%", "0%", "0%"] in rows
        and rows[2][-2:] == ["<-", "here"]
    )
    kept, report = fit(records, tokenizer, 256, truncate="drop", anyway=True)
    assert (report.lost, report.kept, len(kept)) == (5, 1, 1)
    assert fit(records, tokenizer, 256, truncate="end", anyway=False)[1].cut == 3


def test_the_table_of_lengths_ends_where_all_is_kept_and_at_the_context() -> None:
    rows = [(100, 50), (300, 200), (900, 150)]
    assert table(rows) == [Kept(128, 1, 0, 2), Kept(256, 1, 2, 0), Kept(512, 2, 1, 0), Kept(1024, 3, 0, 0)]
    assert [row.max_length for row in table(rows, here=300, context=700)] == [
        128,
        256,
        300,
        512,
        700,
    ] and table(rows, here=2000)[-1] == Kept(2000, 3, 0, 0)
    assert [row.max_length for row in table(rows, context=700)] == [128, 256, 512, 700]
    assert [row.max_length for row in table(rows, context=100)] == [100] and table(
        rows, context=2**63 - 1
    ) == table(rows)
    assert [row.max_length for row in table([(20, 20)], context=2048)] == [128] and table(
        [], context=512
    ) == [Kept(128, 0, 0, 0)]
    assert told(table(rows), here=256).splitlines()[2].split() == ["256", "33%", "67%", "0%", "<-", "here"]
    assert LEAST < 128


def few_left(lost: int, anyway: bool, learn: int, test: int, asked: float, epochs: float = 2) -> str:
    report = FitReport(256, read=learn + test + lost, kept=learn + test, lost=lost)
    settings = DPOSettings(batch=16, epochs=epochs, held_out=asked, anyway=anyway)
    return enough("dpo", report, settings, None, learn=learn, test=test, least=5)


@pytest.mark.parametrize(
    ("learn", "test", "asked", "few"),
    [
        (7, 5, 0.1, "fill one batch of 16, and 2 passes make 2 steps"),
        (16, 4, 0.1, "4 held-out prompts"),
        (16, 0, 0.1, "0 held-out prompts"),
        (7, 0, 0.0, "fill one batch"),
        (16, 0, 0.0, ""),
        (16, 5, 0.3, ""),
    ],
)
def test_where_length_leaves_too_few_rows_training_stops_unless_told_to_go_on(
    learn: int, test: int, asked: float, few: str
) -> None:
    if not few:
        assert few_left(60, False, learn, test, asked) == few_left(0, True, learn, test, asked) == ""
        return
    with pytest.raises(DataError, match=few) as caught:
        few_left(60, False, learn, test, asked)
    assert (
        f"60 of {learn + test + 60} rows are lost to max_length 256" in caught.value.what
        and "--max_length" in caught.value.remedy
    )
    assert (
        ("--batch" in caught.value.remedy) == (learn < 16)
        and ("--held_out" in caught.value.remedy) == (asked > 0 and test < 5)
        and "--anyway true" in caught.value.remedy
    )
    assert few in few_left(60, True, learn, test, asked), "and says so"
    assert few in few_left(0, False, learn, test, asked), (
        "a small file is somebody's wish: it is said, and training goes on"
    )


def test_one_long_row_among_few_is_not_what_left_too_few() -> None:
    assert "12 rows to learn from do not fill one batch" in few_left(1, False, learn=12, test=1, asked=0.05)
    with pytest.raises(DataError, match="1 of 16 rows are lost"):
        few_left(1, False, learn=15, test=0, asked=0.0)


def test_a_handful_of_rows_that_is_read_many_times_is_enough() -> None:
    assert few_left(60, False, learn=7, test=0, asked=0.0, epochs=10) == ""
    with pytest.raises(DataError, match="1 pass makes 1 step\n"):
        few_left(60, False, learn=7, test=0, asked=0.0, epochs=1)
