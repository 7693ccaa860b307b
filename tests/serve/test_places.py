"""`text_offset` and names of tokens: a harness that adds up from the end of its context adds up the
continuation, whatever the tokenizer does to blanks and bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from alignlab import names
from alignlab.models.chat import text_ids
from alignlab.models.chat_template import text_of
from alignlab.models.load import load_policy
from alignlab.models.policy import Policy
from alignlab.serve.places import Names, Places
from alignlab.settings import ModelSettings

from .conftest import Running

CORPUS = [
    "The capital of France is Paris, and the river is the Seine.",
    "Wie hei\u00dft die Stra\u00dfe? Das wei\u00df ich nicht.",
    "def main():\n    return 42\n\n",
    "na\u00efve caf\u00e9 \u2013 d\u00e9j\u00e0 vu",
]


def byte_level(*, begin: bool = False, space: bool = False) -> PreTrainedTokenizerFast:
    """As GPT-2's and SmolLM2's: blanks belong to the word behind them, characters may be cut into bytes."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer, inner.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=space),
        decoders.ByteLevel(),
    )
    inner.train_from_iterator(
        CORPUS * 3,
        trainers.BpeTrainer(
            vocab_size=330,
            special_tokens=["<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    inner.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),
            *([processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])] if begin else []),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>" if begin else None, eos_token="</s>"
    )


def sentencepiece(*, lower: bool = False) -> PreTrainedTokenizerFast:
    """As Llama 2's: a blank before the text, which decoding drops, bytes of what it does not know by name, a
    begin token.
    """
    pieces = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        "\u2581",
        *"abcdefghijklmnopqrstuvwxyzTFPSWDI,.?:()\n",
        "\u2581T",
        "th",
        "he",
        "\u2581th",
        "\u2581the",
        "in",
        "is",
        "\u2581is",
        "\u2581P",
        "ar",
        "\u2581Par",
        "\u2581Paris",
        "ris",
        "\u2581\u2581",
        "er",
    ]
    merges = [
        ("\u2581", "T"),
        ("t", "h"),
        ("h", "e"),
        ("\u2581", "th"),
        ("\u2581t", "he"),
        ("i", "n"),
        ("i", "s"),
        ("\u2581", "is"),
        ("\u2581", "P"),
        ("a", "r"),
        ("\u2581P", "ar"),
        ("r", "is"),
        ("\u2581Pa", "ris"),
        ("\u2581", "\u2581"),
        ("e", "r"),
    ]
    merges = [
        pair for pair in merges if pair[0] in pieces and pair[1] in pieces and pair[0] + pair[1] in pieces
    ]
    inner = Tokenizer(
        models.BPE(
            vocab={piece: i for i, piece in enumerate(dict.fromkeys(pieces))},
            merges=merges,
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    inner.normalizer = normalizers.Sequence(
        [
            *([normalizers.Lowercase()] if lower else []),
            normalizers.Prepend("\u2581"),
            normalizers.Replace(" ", "\u2581"),
        ]
    )
    inner.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def policy_of(tokenizer: Any) -> Policy:
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=1,
            num_attention_heads=4,
            num_key_value_heads=2,
            initializer_range=0.3,
            max_position_embeddings=384,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        )
    ).eval()
    with torch.no_grad():  # words, and no bytes that are no character
        letters = [i for i in range(len(tokenizer)) if text_of(tokenizer, [i]).strip().isalpha()]
        model.lm_head.weight[[i for i in range(len(tokenizer)) if i not in letters]] = 0.0
        model.lm_head.weight[letters] *= 3
    return Policy(model, tokenizer, "tiny", torch.device("cpu"))


MAKERS = {
    "byte-level": byte_level,
    "byte-level with a begin token": lambda: byte_level(begin=True),
    "byte-level with a blank before": lambda: byte_level(space=True),
    "sentencepiece": sentencepiece,
    "sentencepiece in lower case": lambda: sentencepiece(lower=True),
    "town": lambda: load_policy(names.models.model("town-s").path, ModelSettings()),
}


@pytest.fixture(scope="module", params=MAKERS)
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Running, Policy]]:
    made = MAKERS[request.param]()
    policy = made if isinstance(made, Policy) else policy_of(made)
    running = Running(policy)
    yield running, policy
    running.close()


PAIRS = [
    ("The capital of France is", " Paris"),
    ("The capital of France is", " Paris, and the river is the Seine."),
    ("Stra", "\u00dfe"),
    ("The river is", " caf\u00e9 \u2013 d\u00e9j\u00e0 vu"),
    ("na", "\u00efve"),
    ("The ", "river"),
    (" The", " river"),
    ("The", "  river"),
    ("a\n\n", "b"),
    ("\u4e2d", "\u6587\U0001f600"),
    ("a", "\U0001f600"),
    ("a\ufffd", "b\ufffd"),
    ("", "The river"),
    ("the river", "."),
    ("", " the"),
]


def told(running: Running, prompt: Any, **more: Any) -> tuple[str, dict[str, list[Any]]]:
    status, found = running.complete(
        prompt, echo=True, logprobs=3, temperature=0, **({"max_tokens": 0} | more)
    )
    assert status == 200, found
    choice = found["choices"][0]
    return choice["text"], choice["logprobs"]


def check(text: str, lists: dict[str, list[Any]]) -> None:
    """What holds of every answer."""
    offsets, tokens = lists["text_offset"], lists["tokens"]
    assert offsets == sorted(offsets) and 0 <= offsets[0] and offsets[-1] <= len(text)
    for i, (token, at, best) in enumerate(zip(tokens, offsets, lists["top_logprobs"], strict=True)):
        end = offsets[i + 1] if i + 1 < len(offsets) else len(text)
        if not token.startswith("bytes:") and token not in ("</s>", "<s>", "<|endoftext|>"):
            assert text[at:end] == token, (tokens, offsets)
        assert best is None or best[token] >= lists["token_logprobs"][i], (
            "more, where another token reads the same"
        )


@pytest.mark.parametrize(("context", "continuation"), PAIRS)
def test_what_begins_behind_the_context_is_the_continuation(
    served: tuple[Running, Policy], context: str, continuation: str
) -> None:
    running, policy = served
    ids, plain = (
        text_ids(policy.tokenizer, context + continuation),
        policy.tokenizer(context, add_special_tokens=False)["input_ids"],
    )
    whole = policy.tokenizer(context + continuation, add_special_tokens=False)["input_ids"]
    begin = len(ids) - len(whole)
    border = whole[: len(plain)] == plain and (
        context != "" or not continuation.startswith(" ")
    )  # else a token stands on both sides, and no sum is the continuation's alone
    with torch.no_grad():
        log_p_TV = policy.model(torch.tensor([ids])).logits[0].log_softmax(-1)
    want = sum(float(log_p_TV[i - 1, ids[i]]) for i in range(max(1, begin + len(plain)), len(ids)))
    for most in (0, 2):
        text, lists = told(running, context + continuation, max_tokens=most)
        assert (
            text.startswith(context + continuation)
            and len(ids) + min(1, most) <= len(lists["tokens"]) <= len(ids) + most
        )
        check(text, lists)
        places = [
            i
            for i, at in enumerate(lists["text_offset"][: len(ids)])
            if at >= len(context) and lists["token_logprobs"][i] is not None and lists["tokens"][i] != ""
        ]
        assert not border or sum(lists["token_logprobs"][i] for i in places) == pytest.approx(
            want, abs=1e-3
        ), (lists["tokens"], lists["text_offset"])
        assert lists["tokens"][:begin] == [""] * begin and lists["text_offset"][:begin] == [0] * begin, (
            "a begin token that was put there is no part of the text"
        )
        assert all(at >= len(context + continuation) for at in lists["text_offset"][len(ids) :])


def test_token_ids_are_placed_in_the_text_that_they_are_given_back_as(served: tuple[Running, Policy]) -> None:
    running, policy = served
    for prompt in ("The river is the Seine", "caf\u00e9 \u4e2d"):
        ids = text_ids(policy.tokenizer, prompt)
        text, lists = told(running, ids, max_tokens=3)
        check(text, lists)
        assert len(ids) < len(lists["tokens"]) <= len(ids) + 3 and text.startswith(
            text_of(policy.tokenizer, ids)
        )
        assert lists["text_offset"][len(ids)] == len(text_of(policy.tokenizer, ids))


def test_offsets_run_on_over_a_stream(served: tuple[Running, Policy]) -> None:
    running, _ = served
    asked = {"prompt": "The river", "max_tokens": 24, "temperature": 0.9, "seed": 7, "logprobs": 2}
    _, found = running.complete(**asked)
    whole = found["choices"][0]
    events = [event["choices"][0] for event in running.stream("/v1/completions", asked)]
    for name in ("tokens", "text_offset"):
        assert (
            sum((event["logprobs"][name] for event in events if event["logprobs"]), [])
            == whole["logprobs"][name]
        )
    check(whole["text"], whole["logprobs"])


def test_names_of_parts_of_characters_are_their_bytes() -> None:
    for tokenizer in (byte_level(), sentencepiece()):
        known = Names(tokenizer)
        ids = tokenizer("\u4e2d\ufffd", add_special_tokens=False)["input_ids"]
        ids = ids[1:] if tokenizer.convert_ids_to_tokens(ids[0]) == "\u2581" else ids
        assert [known[i].text for i in ids[:3]] == ["bytes:\\xe4", "bytes:\\xb8", "bytes:\\xad"] and b"".join(
            known[i].raw for i in ids
        ) == "\u4e2d\ufffd".encode()
        assert known[tokenizer.eos_token_id].text == "</s>"
    assert Names(sentencepiece())[sentencepiece().convert_tokens_to_ids("\u2581the")].text == " the"


def test_every_cut_of_a_text_into_tokens_is_placed_alike() -> None:
    """Pieces together are the text, also where characters were cut badly or never end."""
    tokenizer = byte_level()
    alphabet = tokenizer.get_vocab()
    for text in ("a\u4e2db", "\U0001f600\U0001f600", "\ufffd\ufffd a", "\u00e9\u00e9 \u2013"):
        ids = [
            alphabet[tokenizer.convert_ids_to_tokens(i)]
            for char in text
            for i in tokenizer(char, add_special_tokens=False)["input_ids"]
        ]
        places = Places(tokenizer)
        starts = [places.next(i, text)[0] for i in ids]
        assert starts == sorted(starts) and set(starts) == set(range(len(text))) and places.at == len(text)
    broken = tokenizer("\u4e2d", add_special_tokens=False)["input_ids"][1:] * 40
    places, text = Places(tokenizer), text_of(tokenizer, broken)
    assert all(places.next(i, text)[0] <= len(text) for i in broken)
