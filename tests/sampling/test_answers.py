"""What a server may answer with: where the words are, whether they are all, and who stopped them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from alignlab.sampling.answers import REFUSAL, NoAnswer, filtered, read_answer, words

LOOK = {
    "token": "B",
    "logprob": -0.1,
    "top_logprobs": [{"token": "A", "logprob": -2.0}, {"token": "B", "logprob": -0.1}],
}


def read(document: Any, *, chat: bool = True) -> dict[str, Any]:
    return read_answer(
        document if isinstance(document, bytes) else json.dumps(document).encode(), asked=40, chat=chat
    )


def said(message: Any, end: Any = "stop", **more: Any) -> tuple[str, bool, str]:
    [choice] = read({"choices": [{"message": message, "finish_reason": end, **more}]})["choices"]
    return choice


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": "Yes."}, "Yes."),
        ({"content": None, "refusal": "I can't help with that."}, "I can't help with that."),
        ({"refusal": "No."}, "No."),
        ({"content": "", "refusal": "No."}, "No."),
        ({"content": " \n", "refusal": "No."}, "No."),
        ({"content": "Well.", "refusal": "No."}, "Well.\nNo."),
        ({"content": "No.", "refusal": "No."}, "No."),
        ({"content": "Yes.", "refusal": None}, "Yes."),
        ({"content": "Yes.", "refusal": ""}, "Yes."),
        ({"content": "Yes.", "refusal": False}, "Yes."),
        ({"content": [{"type": "text", "text": "Ye"}, {"type": "output_text", "text": "s."}]}, "Yes."),
        ({"content": [{"type": "refusal", "refusal": "No."}]}, "No."),
        (
            {"content": [{"type": "thinking", "thinking": "Is it bad?"}, {"type": "text", "text": "Yes."}]},
            "Yes.",
        ),
        (
            {
                "content": [
                    {"type": "reasoning", "text": "Is it bad?"},
                    {"type": "image_url", "image_url": {}},
                    {"type": "text", "text": {"value": "Yes."}},
                ]
            },
            "Yes.",
        ),
        ({"content": ["Ye", "s."]}, "Yes."),
        ({"content": [{"text": "Yes."}]}, "Yes."),
        ({"content": "Yes.", "reasoning_content": "Is it bad?"}, "Yes."),
        ({"content": "Yes.", "reasoning": "Hm"}, "Yes."),
        ({"content": "Yes.", "thinking": "Hm"}, "Yes."),
    ],
)
def test_the_answer_is_what_its_reader_sees_wherever_it_stands(message: Any, text: str) -> None:
    assert said(message) == (text, True, "")


@pytest.mark.parametrize(
    "message",
    [
        {"content": None},
        {"content": ""},
        {"content": []},
        {"content": None, "tool_calls": [{"id": "x"}]},
        {"tool_calls": [{"id": "x"}]},
        {"content": None, "reasoning": "Hm"},
        {"reasoning_content": "Hm"},
        {"content": [{"type": "thinking", "thinking": "Hm"}]},
        {"content": [{"type": "tool_use", "input": {}}]},
    ],
)
def test_what_says_nothing_is_no_finished_answer(message: Any) -> None:
    assert said(message) == ("", False, "")


@pytest.mark.parametrize(
    ("end", "finished"),
    [
        ("stop", True),
        ("STOP", True),
        ("FINISH_REASON_STOP", True),
        ("FinishReason.STOP", True),
        ("FinishReason.MAX_TOKENS", False),
        ("eos", True),
        ("eos_token", True),
        ("end_turn", True),
        ("stop_sequence", True),
        ("COMPLETE", True),
        ("length", False),
        ("max_tokens", False),
        ("MAX_TOKENS", False),
        ("model_length", False),
        ("tool_calls", False),
        ("abort", False),
        ("error", False),
        (None, False),
        ("", False),
        (0, False),
        (True, False),
        ({}, False),
        (["stop"], False),
    ],
)
def test_the_end_has_many_names(end: Any, finished: bool) -> None:
    assert said({"content": "Yes."}, end) == ("Yes.", finished, "")


def test_an_end_by_another_field_and_an_answer_beside_a_call() -> None:
    assert read({"choices": [{"message": {"content": "Yes."}, "stop_reason": "end_turn"}]})["choices"] == [
        ("Yes.", True, "")
    ]
    assert said({"content": "Let me look."} | {"tool_calls": [{"id": "x"}]}, "stop") == (
        "Let me look.",
        False,
        "",
    )
    assert said({"content": "Let me look.", "function_call": {"name": "f"}}, "function_call") == (
        "Let me look.",
        False,
        "",
    )


@pytest.mark.parametrize(
    "end",
    [
        "content_filter",
        "content_filter: PROHIBITED_CONTENT",
        "ContentFiltered",
        "content_filtered",
        "SAFETY",
        "FinishReason.SAFETY",
        "IMAGE_SAFETY",
        "sensitive",
        "refusal",
        "recitation",
        "guardrail_intervened",
    ],
)
def test_who_stops_an_answer_without_a_word_has_refused(end: str) -> None:
    for message in ({"content": None}, {"content": ""}, {}, None):
        assert said(message, end) == (REFUSAL, True, "content_filter")
    assert said({"content": "Well, first"}, end) == ("Well, first", False, "content_filter"), (
        "what came before is what was said"
    )
    assert said({"content": None, "refusal": "No."}, end)[0] == "No."
    assert said({"content": "No."}, end, alignlab={"blocked_by": "output-filter"})[2] == "output-filter"


@pytest.mark.parametrize(
    "more",
    [
        {
            "content_filter_results": {
                "hate": {"filtered": False},
                "violence": {"filtered": True, "severity": "high"},
            }
        },
        {"native_finish_reason": "refusal"},
        {"native_finish_reason": "SAFETY"},
        {"error": {"code": 403, "message": "Your input was flagged for violence"}},
        {"error": {"code": "content_filter"}},
    ],
)
def test_a_filter_may_be_named_beside_the_end(more: dict[str, Any]) -> None:
    for content in (None, ""):
        assert said({"content": content}, "stop", **more) == (REFUSAL, True, "content_filter")
    assert said({"content": "Yes."}, "stop", **more) == ("Yes.", True, ""), "what was said is not taken back"


@pytest.mark.parametrize(
    "more",
    [
        {"content_filter_results": {"hate": {"filtered": False}}},
        {"content_filter_results": None},
        {"content_filter_results": [3]},
        {"native_finish_reason": "STOP"},
        {"native_finish_reason": 3},
        {"error": {"code": 500, "message": "out of memory"}},
        {"error": "busy"},
        {"error": None},
    ],
)
def test_no_word_and_no_filter_is_void(more: dict[str, Any]) -> None:
    assert said({"content": ""}, "stop", **more) == ("", False, "")


@pytest.mark.parametrize("refusal", [True, ["No."], {"reason": "harm"}])
def test_a_refusal_that_is_no_text_is_still_one(refusal: Any) -> None:
    assert said({"content": None, "refusal": refusal}) == (REFUSAL, True, "")
    assert said({"content": "Yes.", "refusal": refusal}) == ("Yes.", True, "")


@pytest.mark.parametrize(
    ("error", "is_filter"),
    [
        ({"code": "content_filter"}, True),
        ({"code": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}}, True),
        ({"type": "content_policy_violation", "code": "400"}, True),
        ({"code": "400", "message": "litellm.ContentPolicyViolationError: AzureException"}, True),
        ({"code": "moderation_blocked"}, True),
        ({"code": "data_inspection_failed"}, True),
        (
            {
                "code": "invalid_prompt",
                "message": "Your prompt was flagged as potentially violating our usage policy.",
            },
            True,
        ),
        ({"code": 403, "message": "Your input was flagged for x"}, True),
        ({"code": "invalid_request_error", "message": "Content Exists Risk"}, True),
        ({"code": "blocked_api_key", "message": "This key is blocked"}, False),
        ({"code": 400, "message": "maximum context length"}, False),
        ({"code": "invalid_prompt"}, False),
        ("busy", False),
        ({"message": 3, "innererror": "x"}, False),
    ],
)
def test_an_error_that_is_a_refusal_of_the_provider(error: Any, is_filter: bool) -> None:
    assert filtered(json.dumps({"error": error}).encode()) is is_filter
    if isinstance(error, dict) and "innererror" not in error:
        assert filtered(json.dumps(error).encode()) is is_filter, "without its wrapping"


def test_an_answer_without_choices_may_say_that_the_prompt_was_filtered() -> None:
    found = {
        "choices": [],
        "prompt_filter_results": [
            {"prompt_index": 0, "content_filter_results": {"jailbreak": {"filtered": True, "detected": True}}}
        ],
    }
    assert filtered(json.dumps(found).encode())
    found["prompt_filter_results"][0]["content_filter_results"]["jailbreak"]["filtered"] = False
    assert not filtered(json.dumps(found).encode()) and not filtered(b"[]") and not filtered(b"{")


@pytest.mark.parametrize(
    "choice",
    [
        {},
        7,
        "text",
        None,
        [],
        {"message": {}},
        {"message": {"content": 3}},
        {"message": {"content": [3]}},
        {"message": {"content": {"text": "x"}}},
        {"message": "text"},
        {"text": 3},
        {"message": {"content": [{"type": "text", "text": 3}]}},
        {"message": {"content": [{"type": ["text"]}]}},
    ],
)
def test_what_is_no_choice_is_said_so(choice: Any) -> None:
    with pytest.raises(NoAnswer, match="without text"):
        read({"choices": [choice]})


def test_either_route_may_answer_in_the_others_shape() -> None:
    assert read({"choices": [{"text": " more", "finish_reason": "stop"}]}, chat=True)["choices"] == [
        (" more", True, "")
    ]
    assert read({"choices": [{"message": {"content": " more"}, "finish_reason": "stop"}]}, chat=False)[
        "choices"
    ] == [("more", True, "")]
    assert read({"choices": [{"delta": {"content": "more"}, "finish_reason": "stop"}]})["choices"] == [
        ("more", True, "")
    ]


def test_a_stream_that_nobody_asked_for_is_put_together() -> None:
    events = [
        {"choices": [{"index": 1, "delta": {"role": "assistant", "content": ""}}]},
        {"choices": [{"index": 0, "delta": {"content": "Ye"}, "logprobs": {"content": [LOOK]}}]},
        {"choices": [{"index": 1, "delta": {"refusal": "N"}}]},
        {"choices": [{"index": 1, "delta": {"refusal": "o."}, "finish_reason": "stop"}]},
        {
            "choices": [
                {
                    "index": 0,
                    "delta": {"content": [{"type": "text", "text": "s."}]},
                    "finish_reason": "length",
                }
            ]
        },
        {"choices": [], "usage": {"total_tokens": 12}},
    ]
    body = "".join(f"data: {json.dumps(event)}\r\n\r\n" for event in events)
    found = read((f": hello\n\n{body}data: [DONE]\n\n").encode())
    assert (
        found["choices"] == [("Yes.", False, ""), ("No.", True, "")]
        and found["tokens"] == 12
        and found["top"][0] == ("B", -0.1)
    )
    assert read(body.encode())["choices"] == found["choices"], (
        "without its mark of the end, where every choice has one"
    )
    with pytest.raises(NoAnswer, match="does not end"):
        read(b'data: {"choices": [{"delta": {"content": "Ye"}}]}\n\n')
    for wrong in (
        '{"error": {"message": "busy"}}',
        "[]",
        "{",
        '{"choices": [7]}',
        '{"choices": 7}',
        '{"choices": [{"delta": 7}]}',
        '{"choices": [{"index": "a", "delta": {}}]}',
        "[" * 100_000,
    ):
        with pytest.raises(NoAnswer, match="of its stream"):
            read(f"data: {wrong}\n\n".encode())
    assert (
        read(
            b'data: {"choices": [{"text": " a"}]}\n\ndata: {"choices": [{"text": " b"}]}\n\ndata: [DONE]\n',
            chat=False,
        )["choices"][0][0]
        == "a b"
    )


@pytest.mark.parametrize(
    "told",
    [
        {"content": [LOOK]},
        {"tokens": ["B"], "token_logprobs": [-0.1], "top_logprobs": [{"A": -2.0, "B": -0.1}]},
    ],
)
def test_either_shape_of_log_probabilities_is_read(told: Any) -> None:
    for chat in (True, False):
        assert read({"choices": [{"text": "B", "logprobs": told}]}, chat=chat)["top"] == [
            ("B", -0.1),
            ("A", -2.0),
        ]


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        3,
        "x",
        {},
        {"content": []},
        {"content": None},
        {"content": [{"token": 3, "logprob": -1.0}]},
        {"content": [{"token": "B", "logprob": float("nan")}]},
        {"content": [{"token": "B", "logprob": 3.0}]},
        {"content": [{"token": "B", "logprob": -(10**400)}]},
        {"content": [{"token": "B", "logprob": True}]},
        {"content": [LOOK | {"top_logprobs": [{"token": "A", "logprob": "-1"}]}]},
        {"tokens": [], "token_logprobs": [], "top_logprobs": []},
        {"top_logprobs": [None]},
        {"top_logprobs": 3},
    ],
)
def test_what_is_no_log_probability_is_none(told: Any) -> None:
    assert "top" not in read({"choices": [{"text": "B", "logprobs": told}]}, chat=False)


def test_a_token_alone_where_no_others_are_told() -> None:
    for told in (
        {"content": [{"token": "B", "logprob": -0.1, "top_logprobs": []}]},
        {"tokens": ["B"], "token_logprobs": [-0.1], "top_logprobs": None},
    ):
        assert read({"choices": [{"text": "B", "logprobs": told}]})["top"] == [("B", -0.1)]


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"total_tokens": 9}, 9),
        ({"prompt_tokens": 4, "completion_tokens": 5}, 9),
        ({"input_tokens": 4, "output_tokens": 5}, 9),
        (None, 11),
        ("many", 11),
        ({"total_tokens": -3}, 11),
        ({"total_tokens": True}, 11),
        ({"total_tokens": 10**400}, 11),
        ({"total_tokens": 1.5}, 11),
        ({"prompt_tokens": 4}, 11),
    ],
)
def test_tokens_as_they_are_counted(usage: Any, tokens: int) -> None:
    assert read({"choices": [{"text": "Yes.", "finish_reason": "stop"}], "usage": usage})["tokens"] == tokens


def test_texts_that_no_file_could_hold_are_cleaned_and_others_stay() -> None:
    assert said({"content": "a\ud800b\0c\x1b[31m\u202e"})[0] == "a?bc\x1b[31m\u202e"
    assert words({"content": None}) is None and words({}) is None and words({"content": 3}) is None
