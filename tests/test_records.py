"""Records: what is written is what is read, and a bad row is named."""

import hashlib
import json
import re
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.errors import DataError
from alignlab.records import (
    Comparison,
    Completion,
    Demonstration,
    Message,
    Prompt,
    Ranking,
    Score,
    Text,
    Unpaired,
    messages_from_json,
    question,
    ranks_from_scores,
    read_jsonl,
    role_of,
    write_jsonl,
)

CHAT = Prompt(
    (
        Message("system", "Be brief."),
        Message("user", 'Wer bist du?\n\u2028 "x"'),
        Message("assistant", "🙂"),
        Message("user", ""),
    ),
    {"topic": ["a", 1]},
)
BARE = Prompt.user("hello")
RECORDS = [
    [CHAT, BARE],
    [Text("a\nb", {"source": "book"}), Text("")],
    [Demonstration(CHAT, "an answer", {"author": "x"}), Demonstration(BARE, "")],
    [Completion(CHAT, "cut", finished=False, source="sft"), Completion(BARE, "whole")],
    [
        Comparison(CHAT, "good", "bad", 0.5, chosen_finished=False, meta={"annotator": "b"}),
        Comparison(BARE, "x", "y", margin=0.0, tie=True, rejected_finished=False),
        Comparison(BARE, "x", "y"),
    ],
    [
        Ranking(
            CHAT,
            (Completion(CHAT, "a", source="sft"), Completion(CHAT, "b", finished=False)),
            (2, 1),
            "fair",
            {"p": 0.7},
        ),
        Ranking(BARE, (Completion(BARE, "a"), Completion(BARE, "b"), Completion(BARE, "c")), (1, 2, 2)),
    ],
    [Unpaired(CHAT, "yes", True), Unpaired(BARE, "no", False)],
]


@pytest.mark.parametrize("records", RECORDS, ids=lambda records: type(records[0]).__name__)
def test_records_survive_a_file_and_its_hash_is_returned(tmp_path, records):
    file = tmp_path / "new" / "rows.jsonl"
    digest = write_jsonl(file, records)
    assert read_jsonl(file, type(records[0])) == records
    assert digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert [path.name for path in file.parent.iterdir()] == ["rows.jsonl"]


@given(st.text(), st.text())
def test_any_text_survives_json(question, answer):
    demonstration = Demonstration(Prompt.user(question), answer)
    assert Demonstration.from_json(json.loads(json.dumps(demonstration.to_json()))) == demonstration


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    def breaks_off():
        yield Text("new")
        raise RuntimeError("the source broke off")

    file = tmp_path / "rows.jsonl"
    write_jsonl(file, [Text("old")])
    with pytest.raises(RuntimeError):
        write_jsonl(file, breaks_off())
    assert read_jsonl(file, Text) == [Text("old")]


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        (Demonstration, '{"prompt": "a"}'),
        (Demonstration, "{"),
        (Demonstration, "[]"),
        (Demonstration, '{"prompt": "a", "completion": 3}'),
        (Prompt, '{"prompt": [{"role": "robot", "content": "x"}]}'),
        (Prompt, '{"prompt": 3}'),
        (Prompt, '{"prompt": [{"role": "user"}]}'),
        (Ranking, '{"prompt": "a", "completions": ["x", "y"], "ranks": [1]}'),
        (Ranking, '{"prompt": "a", "completions": ["x"], "ranks": ["first"]}'),
        (Ranking, '{"prompt": "a", "completions": ["x", "y"], "ranks": [1, 2], "finished": [true]}'),
    ],
)
def test_a_bad_row_is_named_with_its_file_and_number(tmp_path, kind, row):
    file = tmp_path / "rows.jsonl"
    good = {Prompt: BARE, Demonstration: Demonstration(BARE, "x"), Ranking: RECORDS[5][1]}[kind].to_json()
    file.write_text(f"{json.dumps(good)}\n{row}\n")
    with pytest.raises(DataError, match=f"not a ({kind.__name__}|line of JSON)") as caught:
        read_jsonl(file, kind)
    assert caught.value.where == f"{file}:2" and caught.value.exit_code == 4


def test_strings_and_messages_are_both_read():
    assert messages_from_json("hi") == (Message("user", "hi"),)
    row = {"prompt": "hi", "completion": [{"role": "assistant", "content": "yes"}]}
    assert Demonstration.from_json(row) == Demonstration(Prompt.user("hi"), "yes")
    with pytest.raises(DataError, match="one assistant message"):
        Demonstration.from_json({"prompt": "hi", "completion": [{"role": "user", "content": "yes"}]})


def test_a_prompts_id_is_that_of_its_messages():
    assert Prompt.user("a", topic=1).id == Prompt.user("a").id != Prompt.user("b").id
    ids = {
        Prompt(messages).id
        for messages in (
            (Message("user", "ab"),),
            (Message("user", "a"), Message("user", "b")),
            (Message("system", "ab"),),
            (Message("user", "a"), Message("system", "b")),
        )
    }
    assert len(ids) == 4 and all(re.fullmatch("[0-9a-f]{16}", name) for name in ids)
    assert CHAT.text == "" and BARE.text == "hello" and Prompt(()).text == ""


@given(st.lists(st.integers(1, 4), min_size=2, max_size=7))
def test_a_ranking_expands_to_all_its_pairs_better_one_first(ranks):
    texts = [f"answer {i}" for i in range(len(ranks))]
    ranking = Ranking(
        BARE,
        tuple(Completion(BARE, text, finished=i % 2 == 0, source=str(i)) for i, text in enumerate(texts)),
        tuple(ranks),
        "fair",
    )
    pairs = ranking.comparisons(ties=True)
    assert len(pairs) == len(ranks) * (len(ranks) - 1) // 2
    assert {frozenset((pair.chosen, pair.rejected)) for pair in pairs} == {
        frozenset(pair) for pair in combinations(texts, 2)
    }
    for pair in pairs:
        chosen, rejected = texts.index(pair.chosen), texts.index(pair.rejected)
        assert ranks[chosen] <= ranks[rejected] and pair.tie == (ranks[chosen] == ranks[rejected])
        assert (pair.chosen_finished, pair.rejected_finished) == (chosen % 2 == 0, rejected % 2 == 0)
        assert pair.meta == {"annotator": "fair", "sources": [str(chosen), str(rejected)]}
    assert ranking.comparisons() == [pair for pair in pairs if not pair.tie]


def test_equal_texts_make_no_pair_and_unequal_numbers_no_ranking():
    same = Ranking(BARE, (Completion(BARE, "a"), Completion(BARE, "a"), Completion(BARE, "b")), (1, 2, 3))
    assert [(pair.chosen, pair.rejected) for pair in same.comparisons()] == [("a", "b"), ("a", "b")]
    with pytest.raises(DataError, match="2 completions has 1 ranks"):
        Ranking(BARE, (Completion(BARE, "a"), Completion(BARE, "b")), (1,))


def test_ranks_from_scores_share_a_rank_where_scores_are_equal():
    assert ranks_from_scores([0.5, 2.0, 0.5, -1.0]) == [2, 1, 2, 4] and ranks_from_scores([]) == []
    row = {"prompt": "a", "completions": ["x", "y"], "scores": [1.0, 3.0]}
    assert Ranking.from_json(row).ranks == (2, 1)
    assert Score(0.5, {"gold": 1.0}, "why").to_json() == {
        "value": 0.5,
        "parts": {"gold": 1.0},
        "reason": "why",
    }


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("system", "system"),
        ("developer", "system"),
        ("human", "user"),
        ("Human", "user"),
        ("USER", "user"),
        ("prompter", "user"),
        ("gpt", "assistant"),
        ("Assistant", "assistant"),
        ("model", "assistant"),
        ("ai", "assistant"),
    ],
)
def test_roles_by_the_names_that_others_give_them(name, role):
    assert role_of(name) == role
    assert messages_from_json([{"role": name, "content": "x"}])[0].role == role


@pytest.mark.parametrize(
    "name",
    [
        "tool",
        "function",
        "observation",
        "ipython",
        "Tool",
        "function_call",
        "narrator",
        "",
        None,
        5,
        ["user"],
        {},
    ],
)
def test_roles_of_tools_and_of_nobody_are_refused(name):
    with pytest.raises(DataError, match="a turn of") as error:
        role_of(name)
    assert error.value.remedy


@pytest.mark.parametrize("ranks", ["[1e999, 1]", "[NaN, 1]", f"[{'9' * 5000}, 1]", "[null, 1]", '["one", 2]'])
def test_a_number_that_is_none_is_an_error_with_its_row(tmp_path, ranks):
    row = '{"prompt": "a", "completions": ["b", "c"], "ranks": [1, 2]}\n'
    (tmp_path / "r.jsonl").write_text(row + row.replace("[1, 2]", ranks))
    with pytest.raises(DataError) as error:
        read_jsonl(tmp_path / "r.jsonl", Ranking)
    assert error.value.where.endswith(":2")


def test_a_question_is_its_kind_and_parameters_or_else_its_letters():
    sums = {"kind": "sum", "params": {"a": 3, "b": 4}}
    asked = question(Prompt.user("What is 3 + 4?", **sums))
    other_order = {"params": {"b": 4, "a": 3}, "kind": "sum", "split": "phrasing"}
    assert question(Prompt.user("Please add 3 and 4.", **other_order)) == asked
    assert question(Prompt.user("What is 3 + 4?", kind="sum", params={"a": 4, "b": 3})) != asked
    by_letters = question(Prompt.user("What is Tom's pet?"))
    assert question(Prompt.user("what is  tom’s pet\n", kind="a kind alone")) == by_letters
    assert question(Prompt.user("What is Tim's pet?")) != by_letters
    assert question(Prompt.user("2 + 3")) == question(Prompt.user("2+3."))
    assert question(Prompt.user("2 + 3")) != question(Prompt.user("2 - 3"))
    assert question(Prompt.user("?!")) != question(Prompt.user("!?"))  # nothing else to tell them by
    said = [(Message("user", text), Message("assistant", "Yes."), Message("user", "Go on.")) for text in "ab"]
    assert question(Prompt(said[0])) != question(Prompt(said[1]))
