"""Rows as well-known sets have them: what is learnt of each, and that a clean set is not cried wolf at."""

import gzip
import json

import pytest

from alignlab.data import load
from alignlab.data.formats import NEGATIVE, REPEATED, TEMPLATED, Useless, convert, kind_of, shaped
from alignlab.data.read import kind_of as kind_of_source
from alignlab.errors import DataError
from alignlab.records import Comparison, Demonstration, Message, Prompt, Unpaired


def user(text):
    return {"role": "user", "content": text}


def said(text):
    return {"role": "assistant", "content": text}


Q, BLUE, RED = "Name a color.", "Blue is one.", "Red, of course."
ASKED = Prompt.user(Q)
EARLIER = Prompt((Message("user", "Hi there"), Message("assistant", "Hello you"), Message("user", Q)))
PAIR = {"chosen": BLUE, "rejected": RED}

PAIRS = {
    "ultrafeedback_binarized": (
        {
            "prompt": Q,
            "prompt_id": "f0e1",
            "chosen": [user(Q), said(BLUE)],
            "rejected": [user(Q), said(RED)],
            "messages": [user(Q), said(BLUE)],
            "score_chosen": 8.5,
            "score_rejected": 7.0,
        },
        ASKED,
    ),
    "orca_dpo_pairs": ({"system": "", "question": Q, **PAIR}, ASKED),
    "distilabel-orca": (
        {
            "system": "",
            "input": Q,
            **PAIR,
            "generations": [BLUE, RED],
            "order": ["chosen", "rejected"],
            "rating": [9.0, 7.0],
            "status": "unchanged",
            "original_chosen": BLUE,
            "original_rejected": RED,
            "chosen_score": 9.0,
        },
        ASKED,
    ),
    "distilabel": (
        {
            "instruction": Q,
            "generations": [BLUE, RED],
            "ratings": [5, None],
            "chosen": [user(Q), said(BLUE)],
            "rejected": [user(Q), said(RED)],
        },
        ASKED,
    ),
    "capybara-dpo": (
        {
            "prompt": Q,
            "conversation": [{"input": "Hi there", "output": "Hello you"}, {"input": Q, "output": None}],
            "chosen": [*map(user, ["Hi there"]), said("Hello you"), user(Q), said(BLUE)],
            "rejected": [user("Hi there"), said("Hello you"), user(Q), said(RED)],
        },
        EARLIER,
    ),
    "SHP": (
        {
            "history": Q,
            "human_ref_A": RED,
            "human_ref_B": BLUE,
            "score_A": 5,
            "score_B": 10,
            "labels": 0,
            "c_root_id_A": "hx",
            "score_ratio": 2.0,
        },
        ASKED,
    ),
    "HelpSteer2": ({"prompt": Q, "response_1": BLUE, "response_2": RED, "preference_strength": -2}, ASKED),
    "HelpSteer3": (
        {"context": [user(Q)], "response1": RED, "response2": BLUE, "overall_preference": "1"},
        ASKED,
    ),
    "full-hh-rlhf": ({"prompt": f"\n\nHuman: {Q}\n\nAssistant:", "response": BLUE, **PAIR}, ASKED),
    "rm-static, stripped": ({"prompt": f"Human: {Q}\n\nAssistant:", **PAIR}, ASKED),
    "hh, stripped": (
        {"chosen": f"Human: {Q}\n\nAssistant: {BLUE}", "rejected": f"Human: {Q}\n\nAssistant: {RED}"},
        ASKED,
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_of_known_sets(name):
    row, prompt = PAIRS[name]
    reading = shaped(row).read("comparison")
    [pair] = reading.records
    assert (pair.prompt.messages, pair.chosen, pair.rejected) == (prompt.messages, BLUE, RED)
    assert not reading.not_read and not reading.remarks
    assert convert(row, "demonstration") == [Demonstration(prompt, BLUE)]
    assert (
        convert(row, "unpaired") == [Unpaired(prompt, BLUE, True), Unpaired(prompt, RED, False)]
        or kind_of(row) == "ranking"
    )


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        (
            {
                "prompt": "Hi there",
                "prompt_id": "a0",
                "messages": [user("Hi there"), said("Hello you"), user(Q), said(BLUE)],
            },
            EARLIER,
        ),
        (
            {
                "source": "x",
                "conversation": [{"input": "Hi there", "output": "Hello you"}, {"input": Q, "output": BLUE}],
            },
            EARLIER,
        ),
        ({"problem": Q, "solution": BLUE, "messages": [user(Q), said(BLUE)]}, ASKED),
        ({"query": Q, "response": BLUE, "original_question": Q}, ASKED),
        (
            {
                "instruction": Q,
                "input": "",
                "output": BLUE,
                "text": f"Below is an instruction.\n\n### Instruction:\n{Q}\n\n### Response:\n{BLUE}",
            },
            ASKED,
        ),
        (
            {
                "conversations": [
                    {"from": "human", "value": Q, "weight": float("nan")},
                    {"from": "gpt", "value": BLUE, "weight": 1.0, "tool_calls": float("nan")},
                ],
                "tools": float("nan"),
            },
            ASKED,
        ),
        ({"messages": [{"role": "User", "content": Q}, {"role": "Chatbot", "content": BLUE}]}, ASKED),
    ],
)
def test_answers_of_known_sets(row, prompt):
    reading = shaped(row).read("demonstration")
    assert reading.records == [Demonstration(prompt, BLUE)] and not reading.not_read


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("messages", [user("Be kind, always."), said(BLUE)]),
        ("text", f"Be kind, always. {Q}"),
        ("original", "Name a smell, please."),
        ("generations", [BLUE, "Green, to me it is."]),
        ("hint", f"{Q} {BLUE} Be brief."),
        ("metadata", {"system_prompt": "Answer in French only, and always be polite."}),
    ],
)
def test_a_column_that_says_more_than_what_was_read_is_named(column, value):
    assert shaped({"prompt": Q, **PAIR, column: value}).read("comparison").not_read == {column: ""}


def test_the_pair_that_somebody_chose_stands_before_rated_generations():
    row = {"prompt": Q, **PAIR, "generations": [BLUE, RED, "Green, to me it is."], "ratings": [1, 2, 3]}
    assert convert(row, "comparison") == [Comparison(ASKED, BLUE, RED)]
    assert (
        len(
            convert({name: value for name, value in row.items() if name not in PAIR}, "ranking")[
                0
            ].completions
        )
        == 3
    )


@pytest.mark.parametrize(
    ("row", "error", "words"),
    [
        (
            {"messages": [user(Q), said(BLUE)], "functions": [{"name": "f", "description": "Look it up."}]},
            DataError,
            "functions is a part of the prompt",
        ),
        ({"conversations": []}, Useless, "empty conversation"),
        (
            {
                "prompt": Q,
                "chosen": [user("Ho there"), said(BLUE)],
                "rejected": [user("Ho there"), said(RED)],
            },
            DataError,
            "not the turns",
        ),
        ({"prompt": Q, "completion": "nan"}, Useless, "empty completion"),
        ({"prompt": float("nan"), "completion": BLUE}, Useless, "empty prompt"),
        ({"role": "user", "content": Q}, DataError, "one message"),
        ({"question": {"full_text": Q}, "answer": BLUE}, DataError, "which is not a message"),
        ({"question": Q, "win": BLUE, "lose": RED}, DataError, "cannot be read as a demonstration"),
        ({"question_id": 1, "score_ratio": 2.0, "extra": "a"}, DataError, "no known format"),
    ],
)
def test_what_known_sets_hold_and_cannot_be_learnt(row, error, words):
    with pytest.raises(error, match=words) as caught:
        convert(row, "demonstration")
    assert "rename" not in getattr(caught.value, "remedy", ""), (
        "a name that is only a little alike is no guess"
    )


@pytest.mark.parametrize("empty", [float("nan"), "nan", "NaN", "<NA>", None, ""])
def test_an_empty_cell_of_pandas_is_no_text(empty):
    assert convert({"system": empty, "instruction": Q, "input": empty, "output": BLUE}, "demonstration") == [
        Demonstration(ASKED, BLUE)
    ]


@pytest.mark.parametrize(("strength", "ranks"), [(-3, (1, 2)), (0, (1, 1)), (1.0, (2, 1)), ("2", (2, 1))])
def test_a_preference_between_two_is_below_zero_for_the_first(strength, ranks):
    assert (
        convert(
            {"prompt": Q, "response_1": BLUE, "response_2": RED, "preference_strength": strength}, "ranking"
        )[0].ranks
        == ranks
    )


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [user(Q), said(BLUE) | {"weight": 0}]},
        {"conversations": []},
        {"messages": [user(Q), said(BLUE)], "train": False},
    ],
)
def test_a_first_row_that_teaches_nothing_says_its_kind_all_the_same(tmp_path, row):
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps(one) + "\n" for one in (row, {next(iter(row)): [user(Q), said(RED)]}))
    )
    assert kind_of_source(tmp_path / "a.jsonl") == kind_of(row) == "demonstration"
    loaded = load(tmp_path / "a.jsonl", "demonstration")
    assert loaded.records == [Demonstration(ASKED, RED)] and sum(loaded.report.dropped.values()) == 1


@pytest.mark.parametrize("mark", [{"weight": 0}, {"train": False}, {"trainable": "no"}, {"training": 0.0}])
def test_a_row_marked_as_not_to_be_learnt_is_not_learnt(mark):
    for row in (
        {"messages": [user(Q), said(BLUE)]},
        {"prompt": Q, "completion": BLUE},
        {"prompt": Q, **PAIR},
    ):
        with pytest.raises(Useless, match="marked as not to be learnt"):
            convert(row | mark, "demonstration")
        assert convert(row | mark, "prompt")[0].messages == ASKED.messages
        assert convert(row | {name: 1 for name in mark}, "demonstration") == [Demonstration(ASKED, BLUE)]


def test_what_a_pair_is_suspected_of_is_counted(tmp_path):
    rows = [
        {"prompt": Q, **PAIR, "margin": -1},
        {"prompt": "Hi", **PAIR, "margin": 1},
        {
            "prompt": "What do you name a color?",
            "chosen": "What do you name a color? Blue.",
            "rejected": "What do you name a color? Red.",
        },
        {
            "prompt": "What do you name a color?",
            "chosen": "What do you name a color? Blue.",
            "rejected": "Red.",
        },
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = load(tmp_path / "a.jsonl", "comparison").report
    assert report.remarks == {NEGATIVE: 1, REPEATED: 1} and REPEATED in str(report)


@pytest.mark.parametrize(
    "prompt",
    [
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
        "<s>[INST] Hi [/INST]",
        "### Human: Hi ### Assistant:",
        "<|start_header_id|>user",
        "Below is an instruction that describes a task.\n\n### Instruction:\nHi\n\n### Response:\n",
    ],
)
def test_prompts_that_are_written_in_a_template_are_counted(prompt):
    for row, want in (
        ({"prompt": prompt, **PAIR}, "comparison"),
        ({"prompt": prompt, "completion": BLUE}, "demonstration"),
        ({"prompt": prompt}, "prompt"),
    ):
        assert shaped(row).read(want).remarks == [TEMPLATED]
    assert shaped(prompt).read("prompt").remarks == [TEMPLATED]
    assert not shaped({"prompt": "What does [INST] mean in a prompt?", **PAIR}).read("comparison").remarks


# --- files
# ------------------------------------------------------------------------------------------------------------

ONE, TWO = '{"prompt": "Hi", "completion": "Yo"}', '{"prompt": "Ho", "completion": "Ye"}'


@pytest.mark.parametrize(
    ("name", "content", "words", "remedy"),
    [
        ("a.csv", "prompt;completion\nHi;Yo\n", "between ';'", "with commas"),
        ("a.csv", "prompt\tcompletion\nHi\tYo\n", "between", "with commas"),
        (
            "a.csv",
            "prompt,completion\nHi,Yo\nprompt,completion\nHo,Ye\n",
            "first line stands here again",
            "sed -i 3d",
        ),
        ("a.jsonl", f"{ONE},\n{TWO},\n", "a comma stands behind", "s/,"),
        ("a.jsonl", "{'prompt': 'Hi', 'completion': None}\n", "as Python prints it", "json.dumps"),
        ("a.jsonl", f"{ONE}\n# more\n", "not JSON", "sed -i 2d"),
        (
            "a.jsonl",
            '{"turns": [{"text": "a b"}]}\n{"turns": [{"text": "c d"}]}\n',
            "no known format has the columns 'turns'",
            "",
        ),
    ],
)
def test_files_that_are_nearly_right(tmp_path, name, content, words, remedy):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=words) as caught:
        load(tmp_path / name, "text" if "turns" in content else "demonstration")
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    "content",
    [
        f"\ufeff{ONE}\n\ufeff{TWO}\n",
        f"{ONE}\r\n\r\n{TWO}\r\n\r\n",
        f'{{"data": [{ONE}, {TWO}]}}\n',
        f'{{"data": [{ONE}, {TWO}]}}\n\n',
        f"[{ONE}, {TWO},]",
    ],
)
def test_files_that_are_read_whole(tmp_path, content):
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(content.encode()))
    assert [record.completion for record in load(tmp_path / "a.json.gz", "demonstration").records] == [
        "Yo",
        "Ye",
    ]


def test_columns_without_a_name_are_named_by_their_place(tmp_path):
    (tmp_path / "a.csv").write_text(",,prompt,completion\n0,as a pirate,Hi,Yo\n")
    report = load(tmp_path / "a.csv", "demonstration").report
    assert report.not_read == {"column 2": 1} and list(report.others) == ["column 1"]
