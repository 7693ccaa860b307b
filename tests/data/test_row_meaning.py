"""What a row means: every part of the prompt is read, marks are heeded, and what nobody read is named."""

import csv
import json
from datetime import date
from decimal import Decimal

import pytest

from alignlab.data import load
from alignlab.data.formats import CUT_BACK, GUESSED, Useless, convert, shaped
from alignlab.data.read import survey
from alignlab.errors import DataError
from alignlab.records import Demonstration, Message, Prompt

USER, YES, NO = (
    {"role": "user", "content": "Hi?"},
    {"role": "assistant", "content": "Yes."},
    {"role": "assistant", "content": "No."},
)
HI = Prompt.user("Hi?")


def roles(prompt):
    return [(m.role, m.content) for m in prompt.messages]


def jsonl(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# --- columns that are part of the prompt
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "column", ["system", "system_prompt", "System Prompt", "SYSTEM_MESSAGE", "system-instruction"]
)
@pytest.mark.parametrize(
    ("row", "want"),
    [
        ({"question": "Hi?", "response": "Yes."}, "demonstration"),
        ({"messages": [USER, YES]}, "demonstration"),
        ({"prompt": "Hi?"}, "prompt"),
        ({"prompt": "Hi?", "chosen": "Yes.", "rejected": "No."}, "comparison"),
        ({"chosen": [USER, YES], "rejected": [USER, NO]}, "comparison"),
        ({"chosen": "Hi? Yes.", "rejected": "Hi? No."}, "comparison"),
        ({"prompt": "Hi?", "completions": ["a", "b"], "ranks": [1, 2]}, "ranking"),
        ({"question": "Hi?", "answer1": "a", "answer2": "b", "score1": 1, "score2": 2}, "ranking"),
        ({"prompt": "Hi?", "completion": "a", "label": 1}, "unpaired"),
    ],
)
def test_a_system_prompt_is_read_whatever_its_column_is_called(column, row, want):
    reading = shaped({column: "Answer in French only.", **row}).read(want)
    prompt = reading.records[0] if want == "prompt" else reading.records[0].prompt
    assert roles(prompt) == [("system", "Answer in French only."), ("user", "Hi?")] and not reading.not_read


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"question": "Who?", "context": "A passage.", "answer": "x"}, [("user", "Who?\nA passage.")]),
        (
            {"instruction": "Sum up.", "input": "", "context": "A passage.", "output": "x"},
            [("user", "Sum up.\nA passage.")],
        ),
        (
            {"prompt": "Who?", "chat_history": [["a", "b"]], "answer": "x"},
            [("user", "a"), ("assistant", "b"), ("user", "Who?")],
        ),
        (
            {"prompt": "Who?", "conversation_history": [USER, YES], "system": "S", "answer": "x"},
            [("system", "S"), ("user", "Hi?"), ("assistant", "Yes."), ("user", "Who?")],
        ),
        (
            {"prompt": "Who?", "history": '[["a", "b"]]', "answer": "x"},
            [("user", "a"), ("assistant", "b"), ("user", "Who?")],
        ),
        ({"input": "Who?", "output": "x"}, [("user", "Who?")]),
        ({"user": "Who?", "assistant": "x"}, [("user", "Who?")]),
        ({"Context": "Who?", "Response": "x"}, [("user", "Who?")]),
        ({"QUESTION": "Who?", "Answer": "x"}, [("user", "Who?")]),
    ],
)
def test_what_stands_around_a_question_is_read(row, expected):
    [shown] = convert(row, "demonstration")
    assert roles(shown.prompt) == expected and shown.completion == "x"


def test_columns_with_text_that_nobody_read_are_named_with_their_rows(tmp_path):
    rows = [
        {
            "prompt": f"Q{i}?",
            "completion": "A.",
            "persona": "You are a pirate.",
            "id": f"r-{i}",
            "source": "web",
            "score": 0.5,
            "url": "https://a.b/c",
        }
        for i in range(3)
    ]
    rows[0] |= {"hint": "Paris", "persona": ""}
    report = load(jsonl(tmp_path / "a.jsonl", *rows), "demonstration").report
    assert report.to_json()["not_read"] == {"hint": 1, "persona": 2}
    assert (
        "\n  not read: hint (1 row), persona (2 rows)\n  not read, and no text: id, source, score, url"
        in str(report)
    )
    assert survey(tmp_path / "a.jsonl", "demonstration").report.not_read == report.not_read
    whole = load(
        jsonl(
            tmp_path / "b.jsonl", {"prompt": "Q?", "completion": "A.", "meta": {"a": "b c"}, "finished": True}
        ),
        "demonstration",
    ).report
    assert not whole.not_read and not whole.others and "not read" not in str(whole)


@pytest.mark.parametrize(
    ("row", "not_read"),
    [
        ({"prompt": "P", "question": "Q", "completion": "a"}, {"question": "prompt"}),
        ({"prompt": "P", "response": "a", "output": "b"}, {"output": "response"}),
        (
            {"system": "S", "system_prompt": "T", "prompt": "P", "completion": "a"},
            {"system_prompt": "system"},
        ),
        (
            {"system": "other", "messages": [{"role": "system", "content": "S"}, USER, YES]},
            {"system": "the system turn of the messages"},
        ),
        ({"system": "S", "messages": [{"role": "system", "content": "S"}, USER, YES]}, {}),
        ({"prompt": "P", "completion": "a", "messages": [USER, YES]}, {"messages": ""}),
        ({"prompt": "P", "completion": "a", "history": "User: hello\nBot: hi"}, {"history": ""}),
        (
            {
                "prompt": "P",
                "completion": "a",
                "source": "The article said that the mayor had left the town.",
            },
            {"source": ""},
        ),
        (
            {
                "prompt": "P",
                "completions": [
                    {"response": "a", "score": 1, "critique": "too short"},
                    {"response": "b", "score": 2},
                ],
            },
            {"completions[].critique": ""},
        ),
        ({"question": "Q", "choices": ["Paris", "Rome"], "answer": "Rome"}, {"choices": ""}),
        ({"question": "Q", "options": {"A": "Paris", "B": "Rome"}, "answer": "B"}, {"options": ""}),
        ({"instruction": "Answer.", "question": "Q", "answer": "a"}, {"instruction": "question"}),
        (
            {"messages": [USER | {"name": "Bob"}, YES | {"mask": 0}]},
            {"messages[].mask": "", "messages[].name": ""},
        ),
        (
            {
                "prompt": "P",
                "completion": "a",
                "date": "2024-01-01",
                "lang": "en",
                "n": "1e5",
                "ok": "yes",
                "hash": "0badcafe9",
                "tags": ["a b"],
                "none": "  ",
                "spans": [[0, 1]],
            },
            {},
        ),
    ],
)
def test_what_was_taken_instead_is_said(row, not_read):
    want = "ranking" if "completions" in row else "demonstration"
    assert shaped(row).read(want).not_read == not_read


def test_a_pair_of_whole_conversations_may_have_its_system_prompt_in_a_column():
    [pair] = convert(
        {"system_prompt": "S", "prompt": "Hi?", "chosen": [USER, YES], "rejected": [USER, NO]}, "comparison"
    )
    assert roles(pair.prompt) == [("system", "S"), ("user", "Hi?")] and (pair.chosen, pair.rejected) == (
        "Yes.",
        "No.",
    )
    with pytest.raises(DataError, match="not the turns"):
        convert({"prompt": "Ho?", "chosen": [USER, YES], "rejected": [USER, NO]}, "comparison")


def test_other_columns_travel_with_a_prompt_for_a_scorer():
    row = {
        "question": "Hi?",
        "answer": "Yes.",
        "reference": "Oui.",
        "day": date(2024, 1, 2),
        "price": Decimal("1.5"),
        "kind": "greeting",
        "meta": {"n": 1},
    }
    [prompt] = convert(row, "prompt")
    assert prompt.meta == {
        "n": 1,
        "columns": {
            "answer": "Yes.",
            "reference": "Oui.",
            "day": "2024-01-02",
            "price": "1.5",
            "kind": "greeting",
        },
    }
    assert convert(prompt.to_json(), "prompt") == [prompt]
    assert convert(row, "demonstration") == [Demonstration(Prompt.user("Hi?", n=1), "Yes.")]
    for reference in (42, ["Paris", "paris"], {"value": "Paris"}):
        assert convert({"question": "Hi?", "answer": reference}, "prompt")[0].meta["columns"] == {
            "answer": reference
        }, "whatever a scorer can use"


@pytest.mark.parametrize("column", ["images", "image", "tools", "audio", "videos"])
def test_a_prompt_with_parts_that_are_not_rendered_is_refused(column):
    with pytest.raises(DataError, match=f"{column} is a part of the prompt") as error:
        convert({"prompt": "Hi?", "completion": "Yes.", column: ["x"]}, "demonstration")
    assert f"--columns {column}=" in error.value.remedy
    assert convert({"prompt": "Hi?", "completion": "Yes.", column: []}, "demonstration") == [
        Demonstration(HI, "Yes.")
    ]


# --- prompts that are made up
# -------------------------------------------------------------------------------------------------------

PAIR = {"chosen": "A week has seven days.", "rejected": "A week has six days."}


@pytest.mark.parametrize(
    "column",
    [
        "input",
        "prompt",
        "Prompt",
        "PROMPT",
        "question",
        "query",
        "instruction",
        "user",
        "post",
        "context",
        "history",
    ],
)
def test_the_prompt_of_a_pair_is_read_where_it_stands(column):
    [pair] = convert({column: "How long is a week?", **PAIR}, "comparison")
    assert (pair.prompt.text, pair.chosen, pair.rejected) == ("How long is a week?", *PAIR.values())


@pytest.mark.parametrize("column", ["messages", "conversation", "conversations"])
def test_the_turns_before_a_pair_are_read_where_they_stand(column):
    [pair] = convert({column: [USER], "chosen": "Yes.", "rejected": NO}, "comparison")
    assert (pair.prompt, pair.chosen, pair.rejected) == (HI, "Yes.", "No.")


@pytest.mark.parametrize(
    "row",
    [
        PAIR | {"inquiry": "How long is a week?"},
        PAIR | {"facts": ["a week is long"]},
        {"chosen": [YES], "rejected": [NO], "inquiry": "How long?"},
    ],
)
def test_no_prompt_is_guessed_beside_a_column_with_text(row):
    with pytest.raises(DataError, match="holds text") as error:
        convert(row, "comparison")
    assert "--columns prompt=" in error.value.remedy


def test_guesses_are_counted(tmp_path):
    report = load(
        jsonl(
            tmp_path / "a.jsonl",
            PAIR | {"id": "a-1", "score": 2},
            {"chosen": "So it is.", "rejected": "So it was."},
        ),
        "comparison",
    ).report
    assert report.remarks == {GUESSED: 2} and f"2 {GUESSED}" in str(report)


# --- JSON in a cell
# ------------------------------------------------------------------------------------------------------------

CELLS = [json.dumps, str, lambda value: json.dumps(value, indent=1), lambda value: f" {value} "]
TWICE = [
    ({"prompt": "Hi?", "completion": json.dumps(json.dumps([YES]))}),
    {"messages": json.dumps(json.dumps([USER, YES]))},
    {"messages": json.dumps([{"role": "prompter", "text": "Hi?"}, {"role": "assistant", "text": "Yes."}])},
]


@pytest.mark.parametrize("row", TWICE)
def test_json_in_json_and_other_names_for_what_is_said_are_read(row):
    assert convert(row, "demonstration") == [Demonstration(HI, "Yes.")]


@pytest.mark.parametrize(
    "row",
    [
        {"conversation": "User: Hi?\nBot: Yes."},
        {"messages": "Hi?"},
        {"conversations": '[["human", "Hi?"], ["gpt", "Yes."]]'},
        {"messages": "Hi?", "chosen": "Yes.", "rejected": "No."},
    ],
)
def test_a_transcript_is_no_question(row):
    with pytest.raises(DataError, match="must be a list of messages"):
        convert(row, "prompt")


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    ("row", "want"),
    [
        ({"prompt": "Hi?", "chosen": [YES], "rejected": [NO]}, "comparison"),
        ({"chosen": [USER, YES], "rejected": [USER, NO]}, "comparison"),
        ({"prompt": [USER], "chosen": YES, "rejected": NO}, "comparison"),
        ({"prompt": [USER], "completion": [YES]}, "demonstration"),
        ({"messages": [USER, YES]}, "demonstration"),
        (
            {"conversations": [{"from": "human", "value": "It's?"}, {"from": "gpt", "value": 'A "yes".'}]},
            "demonstration",
        ),
        ({"question": [USER], "answer": YES}, "demonstration"),
        ({"instruction": [USER], "output": [YES]}, "demonstration"),
        ({"prompt": [USER], "completion": [YES], "label": "True"}, "unpaired"),
        ({"messages": [USER, NO], "label": "0"}, "unpaired"),
        ({"prompt": "Hi?", "completions": ["a", "b"], "ranks": [2, 1], "finished": [True, False]}, "ranking"),
        ({"prompt": [USER], "completions": [[YES], [NO]], "scores": [2, 1.5]}, "ranking"),
        (
            {
                "prompt": "Hi?",
                "responses": [{"response": "a", "overall_score": 1}, {"response": "b", "overall_score": 2}],
            },
            "ranking",
        ),
        ({"question": "Hi?", "answer1": [YES], "answer2": [NO], "score1": "1", "score2": "2"}, "ranking"),
        ({"instruction": "Hi?", "instances": [{"input": "", "output": "x"}]}, "demonstration"),
    ],
)
def test_a_cell_that_spells_messages_is_read_as_them(tmp_path, cell, row, want):
    plain = convert(row, want)
    flat = {name: value if isinstance(value, str) else cell(value) for name, value in row.items()}
    assert convert(flat, want) == plain
    with open(tmp_path / "a.csv", "w", newline="") as file:
        csv.writer(file).writerows([list(flat), list(flat.values())])
    assert load(tmp_path / "a.csv", want).records == plain


@pytest.mark.parametrize(
    "cell",
    [
        json.dumps([USER, YES])[:-3],
        str([YES])[:-4],
        "[{'role': 'assistant', 'content': 'a'}\n {'role': 'user', 'content': 'b'}]",
        "array([{'from': 'gpt', 'value': 'a'}], dtype=object)",
        '[{"content": "The answer is lo',
        json.dumps([{"role": "user", "parts": [{"text": "Hi?"}]}])[:-2],
    ],
)
@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Hi?", "completion": "CELL"},
        {"messages": "CELL"},
        {"prompt": "Hi?", "chosen": "CELL", "rejected": "No."},
        {"prompt": "CELL", "completion": "a"},
        {"chosen": "CELL", "rejected": "CELL b"},
    ],
)
def test_a_cell_with_broken_messages_is_refused(cell, row):
    with pytest.raises(DataError, match="messages as text that cannot be read"):
        convert({name: value.replace("CELL", cell) for name, value in row.items()}, "demonstration")


@pytest.mark.parametrize(
    "answer",
    [
        '[{"city": "Paris"}]',
        '{"value": 5}',
        '{"content": "x"}',
        "[1, 2]",
        "[]",
        '{"role": "admin", "rights": ["read"]}',
        '[{"from": "Rome", "to": "Paris"}]',
        '[{"from": "Rome", "text": x}]',
        '{"role": "admin", "content": "all"}',
        '{"text": "a", "from": "user data',
        '{"a": 1}\n{"b": 2}',
        "[see] below",
    ],
)
def test_an_answer_that_is_json_of_another_shape_stays_what_it_is(answer):
    assert convert({"prompt": "Hi?", "completion": answer}, "demonstration") == [Demonstration(HI, answer)]
    assert convert({"prompt": "Hi?", "chosen": answer, "rejected": "No."}, "comparison")[0].chosen == answer


# --- marks and parts of messages
# ----------------------------------------------------------------------------------------------------

MARKS = [
    {"weight": 0},
    {"weight": 0.0},
    {"train": False},
    {"training": False},
    {"trainable": "false"},
    {"loss": False},
    {"loss": 0},
]


@pytest.mark.parametrize("mark", MARKS)
def test_an_answer_marked_as_not_to_be_learnt_is_not_learnt(tmp_path, mark):
    cut, dropped, kept = (
        {"messages": [USER, YES, USER, NO | mark]},
        {"messages": [USER, NO | mark]},
        {"messages": [USER, NO | mark, USER, YES]},
    )
    loaded = load(jsonl(tmp_path / "a.jsonl", cut, dropped, kept), "demonstration")
    assert loaded.records == [
        Demonstration(HI, "Yes."),
        Demonstration(Prompt((*HI.messages, Message("assistant", "No."), *HI.messages)), "Yes."),
    ]
    assert loaded.report.dropped == {"marked as not to be learnt": 1} and loaded.report.remarks == {
        CUT_BACK: 1
    }
    for row in (
        {"conversations": [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "No."} | mark]},
        {"prompt": "Hi?", "completion": [NO | mark]},
        {"prompt": "Hi?", "completion": [NO | mark], "label": True},
        {"messages": [USER, NO | mark], "label": True},
        {"prompt": "Hi?", "chosen": [YES | mark], "rejected": [NO]},
        {"chosen": [USER, YES], "rejected": [USER, NO | mark]},
        {"prompt": "Hi?", "completions": [[YES], [NO | mark]], "ranks": [1, 2]},
    ):
        with pytest.raises(Useless, match="marked as not to be learnt"):
            convert(row, "ranking" if "completions" in row else "demonstration")
        assert convert(row, "prompt") == [HI] or convert(row, "prompt")[0].messages == HI.messages


@pytest.mark.parametrize(
    "mark",
    [
        {"weight": 1},
        {"weight": None},
        {"train": True},
        {"loss": "yes"},
        {"train_detail": None},
        {"weight": ""},
    ],
)
def test_an_answer_that_is_to_be_learnt_is_learnt(mark):
    assert convert({"messages": [USER | {"weight": 0}, YES | mark]}, "demonstration") == [
        Demonstration(HI, "Yes.")
    ]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"weight": 0.5}, "the weight 0.5"),
        ({"train": "some"}, "the train 'some'"),
        ({"weight": 10**400}, "the weight 1000"),
        ({"loss": [1]}, "the loss"),
        ({"train_detail": [{"begin_offset": 0, "end_offset": 1, "train": False}]}, "parts of itself"),
        ({"tool_calls": [{"id": "1", "function": {"name": "f"}}]}, "tool_calls"),
        ({"function_call": {"name": "f"}}, "function_call"),
        ({"audio": {"id": "x"}}, "audio"),
        ({"images": ["x.png"]}, "images"),
        ({"reasoning_content": "Hm."}, "a thought apart"),
        ({"thinking": "Hm."}, "a thought apart"),
        ({"refusal": "I cannot."}, "both content and refusal"),
        ({"content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": "x"}]}, "not text"),
        ({"content": None}, "must be text"),
        ({"role": "tool"}, "a turn of 'tool'"),
        ({"role": "ipython"}, "calls of tools"),
        ({"role": "narrator"}, "a turn of 'narrator'"),
    ],
)
@pytest.mark.parametrize("row", ["messages", "completion", "chosen"])
def test_parts_of_a_message_that_are_not_rendered_are_refused(part, words, row):
    said = YES | part
    whole = {
        "messages": {"messages": [USER, said]},
        "completion": {"prompt": "Hi?", "completion": [said]},
        "chosen": {"prompt": "Hi?", "chosen": [said], "rejected": [NO]},
    }
    with pytest.raises(DataError, match=words) as error:
        convert(whole[row], "demonstration")
    assert error.value.remedy or part == {"content": None}


@pytest.mark.parametrize(
    "said",
    [
        {"role": "assistant", "content": None, "refusal": "I cannot."},
        {"role": "assistant", "content": "", "refusal": "I cannot."},
        {"role": "assistant", "refusal": "I cannot."},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "I cannot."}]},
        {
            "role": "model",
            "content": [{"type": "output_text", "text": "I "}, {"type": "text", "text": "cannot."}],
        },
        {
            "role": "assistant",
            "content": "I cannot.",
            "tool_calls": None,
            "function_call": None,
            "audio": None,
            "refusal": None,
            "weight": None,
            "name": None,
        },
        {"role": "assistant", "content": "I cannot.", "tool_calls": []},
    ],
)
def test_a_refusal_is_an_answer_and_what_is_empty_is_nothing(said):
    assert convert({"messages": [USER, said]}, "demonstration") == [Demonstration(HI, "I cannot.")]


def test_a_developer_is_the_system():
    [shown] = convert({"messages": [{"role": "developer", "content": "S"}, USER, YES]}, "demonstration")
    assert roles(shown.prompt) == [("system", "S"), ("user", "Hi?")]


# --- labels and numbers
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["label", "kto_tag", "Label"])
@pytest.mark.parametrize(
    ("word", "liked"),
    [
        (True, True),
        (1, True),
        (1.0, True),
        ("1", True),
        ("TRUE", True),
        ("yes", True),
        ("good", True),
        ("Desirable", True),
        ("chosen", True),
        ("thumbs up", True),
        ("thumbs_up", True),
        (Decimal("1"), True),
        (False, False),
        (0, False),
        (-1, False),
        ("-1", False),
        ("False", False),
        ("no", False),
        ("Bad", False),
        ("undesirable", False),
        ("rejected", False),
        ("thumbs-down", False),
        ("\U0001f44e", False),
    ],
)
def test_labels_are_the_same_words_for_kto_sft_and_doctor(column, word, liked):
    for row in (
        {"prompt": "Hi?", "completion": "Yes.", column: word},
        {"messages": [USER, YES], column: word},
    ):
        assert convert(row, "unpaired")[0].label is liked
        if liked:
            assert convert(row, "demonstration") == [Demonstration(HI, "Yes.")]
        else:
            with pytest.raises(Useless, match="disliked"):
                convert(row, "demonstration")


@pytest.mark.parametrize("word", ["safe", "meh", "", 0.5, 2, 10**400, [], "nan"])
def test_a_label_that_nobody_knows_is_refused_by_all(tmp_path, word):
    for row in (
        {"prompt": "Hi?", "completion": "Yes.", "label": word},
        {"messages": [USER, YES], "label": word},
    ):
        for want in ("unpaired", "demonstration"):
            with pytest.raises(DataError, match="neither liked nor disliked") as error:
                convert(row, want)
            assert "desirable" in error.value.remedy and "--columns label=" in error.value.remedy
        assert len(survey(jsonl(tmp_path / "a.jsonl", row), "demonstration").broken) == 1
        assert convert(row, "prompt")[0].messages == HI.messages, (
            "whose prompts are good for sampling all the same"
        )


NUMBERS = [
    10**400,
    -(10**400),
    "9" * 400,
    "1e999",
    "nan",
    float("inf"),
    float("nan"),
    True,
    "five",
    Decimal("NaN"),
    Decimal("1e999"),
    date(2024, 1, 1),
    [1],
    {},
]


@pytest.mark.parametrize("value", NUMBERS, ids=lambda value: f"{type(value).__name__}-{str(value)[:8]}")
def test_numbers_that_are_none_are_refused_with_their_place(value):
    ranked = {"prompt": "Hi?", "completions": ["a", "b"]}
    rows = [
        ranked | {"scores": [value, 1]},
        ranked | {"ranks": [value, 1]},
        ranked | {"ranks": [1, 2], "ranking_meta": {"margin": value}},
        ranked | {"ranks": [1, 2], "ranking_meta": {"scores": [1, value]}},
        {"prompt": "Hi?", "answers": [{"answer": "a", "rank": value}, {"answer": "b", "rank": 1}]},
        {
            "prompt": "Hi?",
            "responses": [{"response": "a", "overall_score": value}, {"response": "b", "overall_score": 1}],
        },
        {"question": "Hi?", "answer1": "a", "answer2": "b", "score1": value, "score2": 1},
        {
            "prompt": "Hi?",
            "chosen": "a",
            "rejected": "b",
            "comparison_meta": {"safe": [value if value is not True else "five", True]},
        },
    ]
    rows += [
        {"prompt": "Hi?", "chosen": "a", "rejected": "b", name: value}
        for name in ("margin", "label")
        if value not in ([], {}) or name == "margin"
    ]
    for row in rows:
        if row.get("margin") == {}:
            continue  # an empty cell of Parquet
        with pytest.raises(DataError) as error:
            convert(row, "ranking")
        assert len(str(error.value)) < 500


def test_notes_come_back_as_they_were_written():
    row = {
        "prompt": "Hi?",
        "completions": ["a", "b"],
        "ranks": [1, 2],
        "ranking_meta": {"safer": [2, 1], "margin": 3, "safe": [True, None], "utilities": [0.5, 1]},
    }
    assert json.dumps(convert(row, "ranking")[0].to_json()["ranking_meta"]) == json.dumps(row["ranking_meta"])


def test_numbers_that_others_spell_are_read():
    assert convert({"prompt": "Hi?", "completions": ["a", "b"], "scores": ["1.5", Decimal("2")]}, "ranking")[
        0
    ].ranks == (2, 1)
    assert (
        convert(
            {
                "prompt": "Hi?",
                "chosen": "a",
                "rejected": "b",
                "margin": Decimal("0.5"),
                "label": Decimal("0.75"),
            },
            "comparison",
        )[0].label
        == 0.75
    )


def test_a_number_of_many_digits_is_an_error_with_a_row_from_every_reader(tmp_path):
    for digits in (400, 5000):
        file = tmp_path / "a.jsonl"
        file.write_text(
            (
                '{"prompt": "Hi?", "completions": ["a", "b"], "scores": [1, 2]}\n{"prompt": "Ho?", '
                '"completions": ["a", "b"], "scores": [%s, 2]}\n'
            )
            % ("9" * digits)
        )
        with pytest.raises(DataError) as error:
            load(file, "ranking")
        assert error.value.where.endswith(":2")
        assert len(survey(file, "ranking").broken) == 1


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"prompt": "Hi?", "completion": "a", "finished": "perhaps"}, "finished must be true or false"),
        ({"prompt": "Hi?", "chosen": "a", "rejected": "b", "tie": "x"}, "tie must be"),
        (
            {"prompt": "Hi?", "completions": ["a", "b"], "ranks": [1, 2], "finished": ["x", True]},
            "finished must be",
        ),
    ],
)
def test_flags_that_are_none_are_refused(row, words):
    with pytest.raises(DataError, match=words):
        convert(row, "ranking" if "completions" in row else "demonstration")
    assert (
        convert(
            {"prompt": "Hi?", "chosen": "a", "rejected": "b", "tie": "False", "rejected_finished": "false"},
            "comparison",
        )[0].rejected_finished
        is False
    )


def test_notes_nested_beyond_reason_are_refused():
    deep = []
    for _ in range(500):
        deep = [deep]
    with pytest.raises(DataError, match="deep"):
        convert({"prompt": "Hi?", "meta": {"a": deep}}, "prompt")
