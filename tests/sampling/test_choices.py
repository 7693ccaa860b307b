"""Probabilities of a few continuations: against the model's own logits, in any order, and from servers that
give much, little or nothing.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from alignlab.errors import DataError, ResourceError, UserError
from alignlab.models.load import load_policy
from alignlab.records import Prompt
from alignlab.sampling import choices as module
from alignlab.sampling.choices import choice_logprobs
from alignlab.sampling.endpoint import EndpointSampler
from alignlab.sampling.first_words import UNSAID
from alignlab.sampling.local import LocalSampler
from alignlab.settings import EndpointSettings, ModelSettings
from alignlab.town.base import shipped

from ..serving import Body, Reply, Server, chat_answer, text_answer

ASKED = [
    (
        f"Verdict.\nQuestion: What is {i} plus 1?\n(A) {i} plus 1 is {i + 1}.\n(B) I do not "
        "know.\nPrinciple: Be polite.\nBetter: ("
    )
    for i in range(5)
]


@pytest.fixture(scope="module")
def town() -> LocalSampler:
    policy = load_policy(str(shipped("town-s")), ModelSettings(precision="fp32"))
    return LocalSampler(policy.model, policy.tokenizer, name="town-s")


@torch.no_grad()
def test_they_are_the_models_own(town: LocalSampler):
    found = choice_logprobs(town, ASKED, ("A)", "B)"))
    for asked, row in zip(ASKED, found, strict=True):
        ids = [town.tokenizer.bos_token_id, *town.tokenizer(asked, add_special_tokens=False)["input_ids"]]
        logps = town.model(torch.tensor([ids])).logits[0, -1].double().log_softmax(-1)
        for letter, value in zip("AB", row, strict=True):
            full = town.tokenizer(asked + letter, add_special_tokens=False)["input_ids"]
            assert full[:-1] == ids[1:]
            after = town.model(torch.tensor([[*ids, full[-1]]])).logits[0, -1].double().log_softmax(-1)
            close = town.tokenizer(asked + letter + ")", add_special_tokens=False)["input_ids"][-1]
            assert value == pytest.approx(float(logps[full[-1]] + after[close]), abs=1e-4)


def test_neither_order_nor_company_changes_them(town: LocalSampler, monkeypatch: pytest.MonkeyPatch):
    asked = [*ASKED, "Verdict.\nBetter: (", ASKED[0] + "A) or ("]
    found = choice_logprobs(town, asked, ("A)", "B)"))
    monkeypatch.setattr(module, "TOKENS", 1)
    assert choice_logprobs(town, asked[::-1], ("A)", "B)"))[::-1] == [
        pytest.approx(row, abs=1e-4) for row in found
    ]
    assert choice_logprobs(town, asked, ("B)", "A)")) == [pytest.approx(row[::-1], abs=1e-4) for row in found]
    assert choice_logprobs(town, [], ("A)", "B)")) == []


def test_one_choice_alone_and_what_all_begin_with(town: LocalSampler):
    asked = "Editor.\nQuestion: What is 1 plus 1?\nDraft: 1 plus 1 is 2.\nCritique:"
    ((alone,),) = choice_logprobs(town, [asked], (" This is fine.",))
    ((fine, flatters),) = choice_logprobs(town, [asked], (" This is fine.", " This flatters."))
    ((begun,),) = choice_logprobs(town, [asked], (" This",))
    assert alone == pytest.approx(begun + fine, abs=1e-4) and alone < 0 and flatters < 0


def test_chats_are_asked_by_their_template(base_chat: LocalSampler):
    asked = [Prompt.user("A or B?"), Prompt.user("and now, A or B?")]
    found = choice_logprobs(base_chat, asked, ("A", "B"))
    for prompt, row in zip(asked, found, strict=True):
        ids = base_chat.tokenizer(f"<user>{prompt.text}<end><assistant>", add_special_tokens=False)[
            "input_ids"
        ]
        with torch.no_grad():
            logps = base_chat.model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        letters = base_chat.tokenizer.convert_tokens_to_ids(["A", "B"])
        assert row == pytest.approx(logps[letters].tolist(), abs=1e-4)


@pytest.fixture(scope="module")
def base_chat() -> LocalSampler:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from ..methods.conftest import tiny_llama

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={character: i for i, character in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer, inner.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", pad_token="<pad>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<user>", "<assistant>"]})
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}{% if add_generation_prompt "
        "%}<assistant>{% endif %}"
    )
    return LocalSampler(tiny_llama(), tokenizer)


def test_what_is_too_long_is_named(town: LocalSampler):
    with pytest.raises(DataError, match="does not fit") as caught:
        choice_logprobs(town, [ASKED[0], "Better " * 600], ("A)", "B)"))
    assert caught.value.where == "number 1"


def with_logprobs(**tokens: float) -> Body:
    top = [{"token": token, "logprob": math.log(p)} for token, p in tokens.items()]
    answer = chat_answer(top[0]["token"])
    answer["choices"][0]["logprobs"] = {
        "content": [{"token": top[0]["token"], "logprob": top[0]["logprob"], "top_logprobs": top}]
    }
    return answer


def reader(server: Server, **more: Any) -> EndpointSampler:
    return EndpointSampler(
        server.name,
        EndpointSettings(retries=1, concurrency=2, timeout=20, **more.pop("settings", {})),
        pause=0.01,
        **more,
    )


def test_a_server_is_asked_for_one_token_and_its_alternatives():
    with Server(
        lambda n, path, body: with_logprobs(**{"B": 0.5, "A": 0.2, " A": 0.1, "(A": 0.05, "Both": 0.1})
    ) as server:
        (row,) = reader(server).choice_logprobs([Prompt.user("A or B?")], ("A", "B"))
    assert [math.exp(x) for x in row] == pytest.approx([0.35, 0.5])
    path, body, _ = server.requests[0]
    assert path == "/v1/chat/completions" and (
        body["max_tokens"],
        body["logprobs"],
        body["top_logprobs"],
        body["temperature"],
    ) == (1, True, 20, 0)


def test_documents_are_asked_by_completions():
    def answer(n: int, path: str, body: Body) -> Body:
        found = text_answer("A")
        found["choices"][0]["logprobs"] = {
            "tokens": ["A"],
            "token_logprobs": [-0.1],
            "top_logprobs": [{"A": math.log(0.9), "B": math.log(0.06)}],
        }
        return found

    with Server(answer) as server:
        (row,) = choice_logprobs(reader(server), ["Better: ("], ("A)", "B)"))
    assert [math.exp(x) for x in row] == pytest.approx([0.9, 0.06])
    assert (
        server.requests[0][0] == "/v1/completions"
        and server.requests[0][1]["logprobs"] == 5
        and server.requests[0][1]["prompt"] == "Better: ("
    )


def test_what_is_not_listed_is_less_likely_than_what_is():
    with Server(lambda n, path, body: with_logprobs(**{"A": 0.90, "The": 0.04, "I": 0.01})) as server:
        (row,) = reader(server).choice_logprobs([Prompt.user("x")], ("A", "B"))
    assert math.exp(row[0]) == pytest.approx(0.9) and math.exp(row[1]) == pytest.approx(0.01)
    with Server(
        lambda n, path, body: with_logprobs(**{"I": 0.9, "Sorry": 0.1 - 1e-9})
    ) as server:  # it refuses: neither is likely, and they are alike
        (row,) = reader(server).choice_logprobs([Prompt.user("x")], ("A", "B"))
    assert row[0] == row[1] and math.exp(row[0]) < 0.001


@pytest.mark.parametrize(
    "said, row",
    [
        ("B", (UNSAID, 0.0)),
        ("(A).", (0.0, UNSAID)),
        ("A good reply is B", (UNSAID, UNSAID)),
        ("I cannot judge that", (UNSAID, UNSAID)),
        ("B) because", (UNSAID, 0.0)),
    ],
)
def test_a_server_without_log_probabilities_is_read_and_that_is_said(
    said: str, row: tuple[float, float], capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    with Server(lambda n, path, body: chat_answer(said)) as server:
        one = reader(server, cache=tmp_path / "answers.jsonl")
        assert (
            one.choice_logprobs([Prompt.user("x"), Prompt.user("y"), Prompt.user("z")], ("A", "B"))
            == [row] * 3
        )
        assert one.letters_only == 3 and capsys.readouterr().err.count("gives no log-probabilities") == 1
        sent = len(server.requests)
        again = reader(server, cache=tmp_path / "answers.jsonl")
        assert (
            again.choice_logprobs([Prompt.user("z")], ("A", "B")) == [row]
            and len(server.requests) <= sent + 1
        )


def test_a_server_that_refuses_the_wish_is_asked_without_it():
    def answer(n: int, path: str, body: Body) -> Reply | Body:
        return (
            Reply({"error": {"message": "logprobs are not supported"}}, 400)
            if "logprobs" in body
            else chat_answer("A")
        )

    with Server(answer) as server:
        assert (
            reader(server).choice_logprobs([Prompt.user(str(i)) for i in range(4)], ("A", "B"))
            == [(0.0, UNSAID)] * 4
        )
    with (
        Server(lambda n, path, body: Reply({"error": "no such model"}, 404)) as server,
        pytest.raises(UserError, match="refuses"),
    ):
        reader(server).choice_logprobs([Prompt.user("x")], ("A", "B"))


def test_answers_are_kept_and_the_budget_holds(tmp_path: Path):
    prompts = [Prompt.user(str(i)) for i in range(6)]
    with Server(lambda n, path, body: with_logprobs(A=0.7, B=0.2)) as server:
        with pytest.raises(ResourceError, match="budget is spent"):
            reader(server, cache=tmp_path / "kept.jsonl", settings={"max_requests": 4}).choice_logprobs(
                prompts, ("A", "B")
            )
        assert len(server.requests) == 4
        again = reader(server, cache=tmp_path / "kept.jsonl")
        found = again.choice_logprobs(prompts, ("A", "B"))
        assert len(server.requests) == 6 and found == [pytest.approx((math.log(0.7), math.log(0.2)))] * 6
        assert again.spent["requests"] == 6


@pytest.mark.parametrize(
    "top",
    [
        [],
        [{"token": "A"}],
        [{"token": "A", "logprob": float("nan")}],
        [{"token": 3, "logprob": -1}],
        [{"token": "A", "logprob": 5}],
        "A",
        None,
        [[]],
    ],
)
def test_rubbish_in_place_of_log_probabilities_is_none(top: Any):
    answer = chat_answer("A")
    answer["choices"][0]["logprobs"] = {"content": [{"top_logprobs": top}]}
    with Server(lambda n, path, body: answer) as server:
        assert reader(server).choice_logprobs([Prompt.user("x")], ("A", "B")) == [(0.0, UNSAID)]
