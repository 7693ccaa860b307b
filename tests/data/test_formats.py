"""Every format of the field: detected by its columns, converted to what a stage wants."""

import json
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.data import formats
from alignlab.data.formats import WANTS, Useless, convert, detect, shaped
from alignlab.data.formats.readers import BEGUN
from alignlab.errors import DataError
from alignlab.records import Comparison, Demonstration, Message, Prompt, Text, Unpaired

USER, ANSWER = {"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Yes."}
OTHER = {"role": "assistant", "content": "No."}
HI = Prompt.user("Hi?")
HH = "\n\nHuman: Hi?\n\nAssistant: "

ROWS = {  # format -> rows that all say the same
    "text": [{"text": "A document."}],
    "string": ["A document."],
    "prompt": [
        {"prompt": "Hi?"},
        {"prompt": [USER]},
        {"prompt": HH},
        {"question": "Hi?"},
        {"instruction": "Hi?", "input": ""},
        {"prompt": "Hi?", "completion": None},
    ],
    "prompt-completion": [
        {"prompt": "Hi?", "completion": "Yes."},
        {"prompt": [USER], "completion": [ANSWER]},
        {"question": "Hi?", "answer": "Yes."},
        {"user": "Hi?", "assistant": "Yes."},
        Demonstration(HI, "Yes.").to_json(),
    ],
    "alpaca": [
        {"instruction": "Hi?", "input": "", "output": "Yes."},
        {"instruction": "Hi?", "context": "", "response": "Yes."},
    ],
    "self-instruct": [{"instruction": "Hi?", "instances": [{"input": "", "output": "Yes."}]}],
    "messages": [
        {"messages": [USER, ANSWER]},
        {"prompt": "Hi?", "messages": [USER, ANSWER, USER]},
        {"messages": [USER, {"role": "assistant", "content": [{"type": "text", "text": "Yes."}]}]},
    ],
    "sharegpt": [
        {"conversations": [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "Yes."}]},
        {"conversations": [USER, ANSWER]},
    ],
    "preference": [
        {"prompt": "Hi?", "chosen": "Yes.", "rejected": "No."},
        {"prompt": [USER], "chosen": [ANSWER], "rejected": [OTHER]},
        {"prompt": "Hi?", "chosen": [USER, ANSWER], "rejected": [USER, OTHER], "messages": [USER, ANSWER]},
        {"instruction": "Hi?", "input": "", "chosen": "Yes.", "rejected": "No."},
        {"prompt": HH, "chosen": HH + "Yes.", "rejected": "No."},
        Comparison(HI, "Yes.", "No.").to_json(),
    ],
    "preference-implicit": [
        {"chosen": [USER, ANSWER], "rejected": [USER, OTHER]},
        {"chosen": "Hi? Yes.", "rejected": "Hi? No."},
    ],
    "hh": [{"chosen": HH + "Yes.", "rejected": HH + "No."}],
    "sharegpt-preference": [
        {
            "conversations": [{"from": "human", "value": "Hi?"}],
            "chosen": {"from": "gpt", "value": "Yes."},
            "rejected": {"from": "gpt", "value": "No."},
        }
    ],
    "unpaired": [
        {"prompt": "Hi?", "completion": "Yes.", "label": True},
        {"prompt": "Hi?", "completion": "Yes.", "label": "True"},
        {"instruction": "Hi?", "input": "", "output": "Yes.", "kto_tag": 1},
        Unpaired(HI, "Yes.", True).to_json(),
    ],
    "unpaired-messages": [{"messages": [USER, ANSWER], "label": True}],
    "ranking": [
        {"prompt": "Hi?", "completions": ["No.", "Yes."], "ranks": [2, 1]},
        {"prompt": "Hi?", "responses": ["No.", "Yes."], "scores": [-1, 0.5]},
        {
            "instruction": "Hi?",
            "completions": [
                {"response": "No.", "overall_score": 2.0},
                {"response": "Yes.", "overall_score": 7.5},
            ],
        },
        {
            "instruction": "Hi?",
            "completions": [
                {"response": "No.", "annotations": {"truth": {"Rating": "2"}, "help": {"Rating": "N/A"}}},
                {"response": "Yes.", "annotations": {"truth": {"Rating": "3"}, "help": {"Rating": "4"}}},
            ],
        },
        {"prompt": HH, "answers": [{"answer": "No.", "rank": 2.0}, {"answer": "Yes.", "rank": 1.0}]},
    ],
    "label-studio": [
        {
            "data": {"prompt": "Hi?", "text1": "No.", "text2": "Yes."},
            "annotations": [{"result": [{"type": "pairwise", "value": {"selected": "right"}}]}],
        },
        {
            "data": {"prompt": "Hi?", "items": [{"id": "a", "body": "No."}, {"id": "b", "title": "Yes."}]},
            "annotations": [
                {"was_cancelled": True, "result": []},
                {"completed_by": 7, "result": [{"type": "ranker", "value": {"ranker": ["b", "a"]}}]},
            ],
        },
    ],
    "argilla": [
        {
            "id": "1",
            "fields": {"prompt": "Hi?", "first": "No.", "second": "Yes."},
            "responses": {
                "why": [{"value": "because"}],
                "ranking": [{"value": [{"value": "second", "rank": 1}, {"value": "first", "rank": 2}]}],
            },
        }
    ],
    "llamafactory-ranking": [{"instruction": "Hi?", "input": "", "output": ["Yes.", "No."]}],
    "numbered-answers": [
        {"question": "Hi?", "answer1": "No.", "answer2": "Yes.", "gpt4_score1": 3.0, "gpt4_score2": 8.0},
        {"question": "Hi?", "answer_0": "No.", "answer_1": "Yes.", "score_0": -1, "score_1": 1},
        {"prompt": "Hi?", "response_0": "No.", "response_1": "Yes.", "better_response_id": 1},
    ],
}
EVERY = [(name, row) for name, rows in ROWS.items() for row in rows]
PREFERENCES = {
    "preference",
    "preference-implicit",
    "hh",
    "sharegpt-preference",
    "ranking",
    "label-studio",
    "argilla",
    "llamafactory-ranking",
    "numbered-answers",
}


def test_every_format_has_an_example():
    assert set(ROWS) == {form.name for form in formats.FORMATS} | {"string"}


@pytest.mark.parametrize(("name", "row"), EVERY)
def test_detected_and_its_prompt_read(name, row):
    assert detect(row) == name
    if name == "text":
        with pytest.raises(DataError, match="text cannot be read as a prompt"):
            convert(row, "prompt")
    else:
        [prompt] = convert(row, "prompt")
        expected = [USER, ANSWER, USER] if name == "messages" and len(row["messages"]) == 3 else [USER]
        assert [m.to_json() for m in prompt.messages] == (
            expected if name != "string" else [{"role": "user", "content": "A document."}]
        )


@pytest.mark.parametrize(
    ("name", "row"), [(name, row) for name, row in EVERY if name not in ("text", "string", "prompt")]
)
def test_everything_with_an_answer_gives_its_demonstration(name, row):
    assert convert(row, "demonstration") == [Demonstration(HI, "Yes.")]


@pytest.mark.parametrize(("name", "row"), [(name, row) for name, row in EVERY if name in PREFERENCES])
def test_every_preference_gives_the_same_pair_and_ranking(name, row):
    [pair] = convert(row, "comparison")
    assert (pair.prompt, pair.chosen, pair.rejected, pair.margin, pair.tie) == (
        HI,
        "Yes.",
        "No.",
        None,
        False,
    )
    [ranking] = convert(row, "ranking")
    assert {c.text: rank for c, rank in zip(ranking.completions, ranking.ranks, strict=True)} == {
        "Yes.": 1,
        "No.": 2,
    }


def test_other_conversions():
    assert convert({"text": "A."}, "text") == convert("A.", "text") == [Text("A.")]
    pair = {"prompt": "Hi?", "chosen": "Yes.", "rejected": "No.", "margin": "0.5"}
    assert convert(pair, "comparison")[0].margin == 0.5
    assert convert(pair, "unpaired") == [Unpaired(HI, "Yes.", True), Unpaired(HI, "No.", False)]
    assert convert(pair | {"rejected_finished": False}, "unpaired")[1] == Unpaired(
        HI, "No.", False, finished=False
    )
    ranked = {
        "prompt": "Hi?",
        "completions": ["a", "b", "c", "d", "e"],
        "ranks": [1, 2, 3, 4, 5],
        "finished": [True, True, True, True, False],
    }
    assert convert(ranked, "unpaired") == [
        Unpaired(HI, "a", True),
        Unpaired(HI, "b", True),
        Unpaired(HI, "d", False),
        Unpaired(HI, "e", False, finished=False),
    ]
    assert [u.label for u in convert(ranked | {"ranks": [1, 1, 1, 1, 2]}, "unpaired")] == [True] * 4 + [False]
    assert convert(Unpaired(HI, "Yes", True, finished=False).to_json(), "unpaired") == [
        Unpaired(HI, "Yes", True, finished=False)
    ]
    with pytest.raises(Useless, match="unfinished"):
        convert(Unpaired(HI, "Yes", True, finished=False).to_json(), "demonstration")
    assert convert({"messages": [USER, OTHER], "label": False}, "unpaired") == [Unpaired(HI, "No.", False)]
    three = {"prompt": "Hi?", "completions": ["a", "b", "c"], "scores": [1, 3, 1]}
    assert [(c.chosen, c.rejected) for c in convert(three, "comparison")] == [("b", "a"), ("b", "c")]
    assert convert(three, "ranking")[0].ranks == (2, 1, 2)
    [first, second] = convert(
        {
            "instruction": "Add.",
            "instances": [{"input": "1 1", "output": "2"}, {"input": "2 2", "output": "4"}],
        },
        "demonstration",
    )
    assert (first.prompt.text, second.prompt.text, second.completion) == ("Add.\n1 1", "Add.\n2 2", "4")


def test_turns_around_the_last_question():
    [shown] = convert(
        {"messages": [{"role": "system", "content": "S"}, USER, OTHER, USER, ANSWER]}, "demonstration"
    )
    assert [m.role for m in shown.prompt.messages] == ["system", "user", "assistant", "user"]
    [shown] = convert(
        {
            "conversations": [
                {"from": "gpt", "value": "Hello."},
                {"from": "human", "value": "Hi?"},
                {"from": "gpt", "value": "Yes."},
            ],
            "system": "S",
        },
        "demonstration",
    )
    assert [m.content for m in shown.prompt.messages] == ["S", "Hello.", "Hi?"]
    [shown] = convert({"instruction": "Hi?", "output": "Yes.", "history": [["Q", "A"]]}, "demonstration")
    assert [m.content for m in shown.prompt.messages] == ["Q", "A", "Hi?"]
    assert convert({"messages": [USER, USER, ANSWER]}, "demonstration")[0].prompt.messages == HI.messages * 2


def test_hh_strings():
    two = "\n\nHuman: a\n\nb\n\nAssistant: c\n\nHuman: d\n\nAssistant: e\n\nAssistant: f"
    assert formats.hh_messages(two) == (
        Message("user", "a\n\nb"),
        Message("assistant", "c"),
        Message("user", "d"),
        Message("assistant", "e\n\nf"),
    )
    with pytest.raises(Useless, match="different prompts"):
        convert({"chosen": HH + "Yes.", "rejected": "\n\nHuman: Other?\n\nAssistant: No."}, "comparison")


def test_strings_are_cut_between_words():
    [pair] = convert({"chosen": "The sky is blue.", "rejected": "The sky is black."}, "comparison")
    assert (pair.prompt.text, pair.chosen, pair.rejected) == ("The sky is", "blue.", "black.")
    with pytest.raises(Useless, match="share no prompt"):
        convert({"chosen": "Yes.", "rejected": "No."}, "comparison")


@pytest.mark.parametrize(
    ("row", "want", "reason"),
    [
        ({"prompt": "Hi?", "completion": " \n"}, "demonstration", "empty completion"),
        ({"prompt": " ", "completion": "Yes."}, "demonstration", "empty prompt"),
        ({"prompt": "Hi?", "completion": "Ye", "finished": False}, "demonstration", "unfinished completion"),
        ({"prompt": "Hi?", "chosen": "Yes.", "rejected": ""}, "comparison", "empty completion"),
        (
            {"prompt": "Hi?", "chosen": "Yes.", "rejected": "Yes. "},
            "comparison",
            "chosen and rejected are the same",
        ),
        (
            {"chosen": [USER, ANSWER], "rejected": [USER, ANSWER]},
            "comparison",
            "chosen and rejected are the same",
        ),
        ({"prompt": "Hi?", "chosen": "Yes.", "rejected": "No.", "tie": True}, "comparison", "tie"),
        (
            {"prompt": "Hi?", "chosen": "Ye", "rejected": "No.", "chosen_finished": False},
            "demonstration",
            "unfinished completion",
        ),
        (
            {"prompt": "Hi?", "completions": ["a", "b"], "scores": [1, 1]},
            "comparison",
            "all completions tied",
        ),
        (
            {"prompt": "Hi?", "completions": ["a", "a"], "ranks": [1, 2]},
            "ranking",
            "fewer than two different completions",
        ),
        (
            {"prompt": "Hi?", "completions": ["a", "b"], "scores": [1, None]},
            "ranking",
            "a completion without a score",
        ),
        ({"prompt": "Hi?", "completions": ["", "b"], "ranks": [1, 2]}, "demonstration", "empty completion"),
        ({"prompt": "Hi?", "completion": "No.", "label": False}, "demonstration", "disliked completion"),
        ({"text": "\n"}, "text", "empty text"),
    ],
)
def test_rows_that_teach_nothing(row, want, reason):
    with pytest.raises(Useless, match=reason):
        convert(row, want)


def test_ties_are_kept_for_who_learns_from_rankings():
    [pair] = convert({"prompt": "Hi?", "chosen": "Yes.", "rejected": "No.", "tie": True}, "ranking")
    assert pair.ranks == (1, 1)
    [same] = convert({"prompt": "Hi?", "completions": ["a", "b"], "scores": [1, 1]}, "ranking")
    assert same.ranks == (1, 1) and same.meta["scores"] == [1, 1]


def test_what_labels_say_beside_the_order_is_kept():
    [pair] = convert({"prompt": "Hi?", "chosen": "Yes.", "rejected": "No.", "margin": 2}, "ranking")
    assert pair.meta["margin"] == 2
    [pku] = convert(
        {
            "prompt": "Hi?",
            "response_0": "a",
            "response_1": "b",
            "better_response_id": 0,
            "safer_response_id": 1,
            "is_response_0_safe": False,
            "is_response_1_safe": True,
        },
        "ranking",
    )
    assert pku.ranks == (1, 2) and pku.meta == {"safe": [False, True], "safer": [2, 1]}


def test_an_answer_may_go_on_from_words_that_its_prompt_ends_with():
    """As TRL continues a prompt whose last turn is the assistant's."""
    begun = {"role": "assistant", "content": "First you"}
    rest = {"completion": " go in."}
    (shown,) = shaped({"prompt": [USER, begun], **rest}).read("demonstration").records
    assert shown == Demonstration(
        Prompt((Message(**USER), Message(**begun))), " go in."
    )  # with the blank that its tokens begin with
    lesson = {"kind": "recover", "prompt": [USER, begun], "chosen": " No.", "rejected": " go in."}
    assert shaped(lesson).read("comparison").remarks == [BEGUN]
    assert convert(lesson, "demonstration")[0].completion == " No."
    with pytest.raises(DataError, match="must end with the user's turn"):
        convert({"prompt": [USER, begun], **rest}, "prompt")


def test_what_is_preferred_to_nothing_is_a_demonstration_and_no_pair():
    lesson = {"kind": "help", "prompt": "Hi?", "chosen": "Hello.", "rejected": ""}
    assert convert(lesson, "demonstration") == [Demonstration(Prompt.user("Hi?"), "Hello.")]
    with pytest.raises(Useless):
        convert(lesson, "comparison")


def test_an_empty_completion_may_be_ranked_last():
    assert (
        convert({"prompt": "Hi?", "completions": ["", "Yes."], "ranks": [2, 1]}, "comparison")[0].rejected
        == ""
    )


@pytest.mark.parametrize(
    ("row", "want", "words"),
    [
        ({"promt": "Hi?", "completion": "Yes."}, "demonstration", "rename 'promt' to 'prompt'"),
        (
            {"prompt": 5, "completion": "Yes."},
            "demonstration",
            "prompt must be text or a list of messages, not 5",
        ),
        ({"prompt": "Hi?", "completion": 5}, "demonstration", "completion must be text or a list"),
        ({"prompt": "Hi?"}, "demonstration", "a prompt cannot be read as a demonstration"),
        ({"messages": [USER]}, "demonstration", "a prompt cannot be read as a demonstration"),
        (
            {"messages": [USER, ANSWER, ANSWER]},
            "demonstration",
            "must end with the user's turn, not the assistant's",
        ),
        ({"messages": [ANSWER]}, "demonstration", "nothing stands before the answer"),
        ({"prompt": [USER, ANSWER]}, "prompt", "must end with the user's turn"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "prompt", "a turn of 'tool'"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
            "prompt",
            "parts that are not text",
        ),
        ({"prompt": []}, "prompt", "list of messages"),
        (
            {"prompt": "Hi?", "chosen": "Yes.", "rejected": "No.", "margin": float("nan")},
            "comparison",
            "margin must be a finite number",
        ),
        ({"prompt": "Hi?", "completions": ["a", "b"]}, "ranking", "needs `ranks` or `scores`"),
        ({"prompt": "Hi?", "completions": ["a", "b"], "ranks": [1]}, "ranking", "2 completions have 1 ranks"),
        ({"prompt": "Hi?", "completions": ["a", "b"], "ranks": [1.5, 2]}, "ranking", "whole numbers"),
        ({"prompt": "Hi?", "completions": "a", "ranks": [1]}, "ranking", "must be a list"),
        ({"prompt": "a\0b"}, "prompt", "NUL"),
        ({"prompt": "a\ud800b"}, "prompt", "surrogate"),
        ([1, 2], "prompt", "must be an object"),
        (
            {"prompt": "Hi?", "completion": "Yes.", "label": "safe"},
            "unpaired",
            "label is 'safe', and says neither liked nor disliked",
        ),
    ],
)
def test_broken_rows_say_what_is_wrong(row, want, words):
    with pytest.raises(DataError, match=words):
        convert(row, want)


COLUMNS = [*sorted(formats.KNOWN_COLUMNS), "Prompt", "answer1", "answer2", "score1", "score2", "note"]
ODD = [
    10**400,
    -(10**400),
    "1e999",
    "9" * 400,
    Decimal("NaN"),
    Decimal("sNaN"),
    Decimal("1e999"),
    datetime(2020, 1, 1),
    b"x",
    float("nan"),
    "\ud800",
]
CELLS = [
    str([USER, ANSWER]),
    str([USER])[:-2],
    '["a", "b"]',
    "[1, 2",
    "{'role': 'user', 'content': 5}",
    "[" * 5000,
]
LEAF = (
    st.none()
    | st.booleans()
    | st.integers(0, 3)
    | st.floats()
    | st.sampled_from(["", "a", "b c", HH + "x", "1", *ODD, *CELLS])
)
FIELDS = (
    "role",
    "content",
    "from",
    "value",
    "text",
    "score",
    "rank",
    "input",
    "weight",
    "refusal",
    "tool_calls",
    "name",
    "scores",
    "margin",
    "sources",
)
ITEM = LEAF | st.fixed_dictionaries({}, optional={name: LEAF for name in FIELDS})
VALUE = ITEM | st.lists(ITEM | st.lists(LEAF, max_size=2) | st.just(USER) | st.just(ANSWER), max_size=3)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(COLUMNS), VALUE, max_size=6), st.sampled_from(WANTS))
def test_no_row_crashes_the_reader(row, want):
    try:
        records = convert(row, want)
    except (DataError, Useless):
        return
    assert all(isinstance(record, formats.KINDS[want]) for record in records)
    assert json.dumps([record.to_json() for record in records], sort_keys=True, ensure_ascii=False).encode()
    assert all(
        not prompt.messages or prompt.messages[-1].role == "user"
        for r in records
        if isinstance(prompt := getattr(r, "prompt", r), Prompt)
    )
