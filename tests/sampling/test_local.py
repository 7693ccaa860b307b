"""The sampler against plain forward passes and transformers' own generate(), on tiny random models of several
architectures.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from alignlab.errors import ConfigError, DataError, GuardStop, ModelError
from alignlab.models.chat import prompt_ids
from alignlab.records import Message, Prompt
from alignlab.sampling import Sampling, local, slab
from alignlab.sampling.drawing import draw, nucleus
from alignlab.sampling.llama import LlamaReader
from alignlab.sampling.local import LocalSampler

VOCAB = 260  # 256 bytes, <end>, <pad>, <user>, <assistant>
END = 256
COMMON = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "bos_token_id": None,
    "eos_token_id": END,
    "pad_token_id": 257,
}


@cache
def tiny(name: str) -> Any:
    torch.manual_seed(0)
    if name == "gpt2":
        model = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=VOCAB,
                n_embd=32,
                n_layer=2,
                n_head=4,
                n_positions=128,
                initializer_range=0.3,
                bos_token_id=None,
                eos_token_id=END,
                pad_token_id=257,
            )
        )
    elif name == "mistral, window 6":
        model = MistralForCausalLM(MistralConfig(**COMMON, sliding_window=6))
    elif name == "qwen2, window 6 in layer 2":
        model = Qwen2ForCausalLM(
            Qwen2Config(**COMMON, use_sliding_window=True, sliding_window=6, max_window_layers=1)
        )
    else:
        model = llama()
    return model.eval()


def llama() -> Any:
    """A tiny model of its own, for tests that change it."""
    return LlamaForCausalLM(LlamaConfig(**COMMON))


ARCHITECTURES = ["llama", "gpt2", "mistral, window 6", "qwen2, window 6 in layer 2"]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of single bytes, so that one character of several bytes is several tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bare = Tokenizer(models.BPE(vocab={character: i for i, character in enumerate(alphabet)}, merges=[]))
    bare.pre_tokenizer, bare.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bare, pad_token="<pad>", eos_token="<end>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<user>", "<assistant>"]})
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    assert tokenizer.convert_tokens_to_ids(["<end>", "<pad>", "<assistant>"]) == [END, 257, 259]
    return tokenizer


def ids_of(lengths: list[int]) -> list[list[int]]:
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, size=length).tolist() for length in lengths]


def plain_logprobs(
    model: Any, prompt: list[int], ids: tuple[int, ...], temperature: float, top_p: float
) -> torch.Tensor:
    """Log-probabilities by one full forward pass without a cache, and top-p by sorting."""
    with torch.no_grad():
        logits = (
            model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1].double()
            / temperature
        )
    ordered, order = logits.softmax(-1).sort(-1, descending=True)
    outside = ordered.cumsum(-1) - ordered >= top_p
    logits = logits.scatter(-1, order, logits.gather(-1, order).masked_fill(outside, -torch.inf))
    return logits.log_softmax(-1).gather(-1, torch.tensor(ids)[:, None]).squeeze(-1)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_greedy_is_generate(name, tokenizer):
    model, prompts = tiny(name), ids_of([3, 17, 9, 1])
    groups = LocalSampler(model, tokenizer, slots=3, end_ids={END}).sample(
        prompts, max_new_tokens=20, temperature=0.0
    )
    for prompt, (completion,) in zip(prompts, groups, strict=True):
        expected = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=20,
            do_sample=False,
        )
        assert list(completion.ids) == expected[0, len(prompt) :].tolist()
        assert completion.logprobs == pytest.approx(
            plain_logprobs(model, prompt, completion.ids, 1.0, 1.0).tolist(), abs=1e-4
        )


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.6, 1.0), (1.0, 0.8), (1.7, 0.5)])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_logprobs_are_those_of_a_plain_forward(name, temperature, top_p, tokenizer):
    model, prompts = tiny(name), ids_of([12, 2, 7])
    groups = LocalSampler(model, tokenizer, slots=4, end_ids=set(range(30))).sample(
        prompts, n=3, max_new_tokens=16, temperature=temperature, top_p=top_p, seed=3
    )
    for prompt, group in zip(prompts, groups, strict=True):
        for completion in group:
            assert len(completion.ids) == len(completion.logprobs)
            expected = plain_logprobs(model, prompt, completion.ids, temperature, top_p)
            assert completion.logprobs == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.parametrize("name", ["llama", "mistral, window 6"])
def test_neither_slots_nor_company_change_what_is_drawn(name, tokenizer, monkeypatch):
    """One slot refills for every completion, eight refill in batches and compact, 64 hold all and only
    shrink.
    """
    compactions = []
    compact = slab.Slab.compact
    monkeypatch.setattr(slab.Slab, "compact", lambda self: compactions.append(1) or compact(self))
    prompts = ids_of([5, 14, 1, 8, 30, 5, 2, 11, 3, 3, 20, 6])
    drawn, compacted = {}, {}
    for slots in (1, 3, 8, 64):
        sampler = LocalSampler(tiny(name), tokenizer, slots=slots, end_ids=set(range(26)))
        drawn[slots] = sampler.sample(prompts, n=3, max_new_tokens=25, seed=11)
        compacted[slots] = len(compactions)
        compactions.clear()
    ids = {slots: [[c.ids for c in group] for group in groups] for slots, groups in drawn.items()}
    assert ids[1] == ids[3] == ids[8] == ids[64]
    assert compacted[3] > 0 and compacted[8] > 0 and compacted[64] == 0
    for mine, other in zip(drawn[3], drawn[64], strict=True):
        for a, b in zip(mine, other, strict=True):
            assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)
    alone = LocalSampler(tiny(name), tokenizer, end_ids=set(range(26))).sample(
        prompts[:1], n=2, max_new_tokens=25, seed=11
    )
    assert [c.ids for c in alone[0]] == ids[8][0][:2]


def test_rows_given_up_straight_after_the_prefill(tokenizer):
    """Half of the sequences end with their first token, before any decode step."""
    prompts = ids_of([12, 2, 7])
    groups = LocalSampler(tiny("llama"), tokenizer, end_ids=set(range(0, 256, 2))).sample(
        prompts, n=6, max_new_tokens=8, seed=1
    )
    assert len({len(c.ids) for group in groups for c in group}) > 3
    for prompt, group in zip(prompts, groups, strict=True):
        for completion in group:
            assert completion.logprobs == pytest.approx(
                plain_logprobs(tiny("llama"), prompt, completion.ids, 1.0, 1.0).tolist(), abs=1e-4
            )


def test_slab_is_kept_between_calls_and_grows_when_it_must(tokenizer):
    model = tiny("llama")
    sampler = LocalSampler(model, tokenizer, slots=2, end_ids=set(range(26)))
    short, long = ids_of([4, 6, 3, 5]), ids_of([60, 2, 40, 7])
    sampler.sample(short, max_new_tokens=8)
    small = sampler._slab
    sampler.sample(short[1:], max_new_tokens=6)
    assert sampler._slab is small
    grown = sampler.sample(long, max_new_tokens=30, seed=2)
    assert sampler._slab is not small
    after = sampler.sample(short, max_new_tokens=8, seed=9)  # in the large slab, among what was left in it
    sampler.close()
    assert sampler._slab is None
    fresh = LocalSampler(model, tokenizer, slots=64, end_ids=set(range(26)))
    assert _ids(grown) == _ids(fresh.sample(long, max_new_tokens=30, seed=2))
    assert _ids(after) == _ids(fresh.sample(short, max_new_tokens=8, seed=9))


def _ids(groups):
    return [[c.ids for c in group] for group in groups]


def test_a_group_shares_one_prefill_and_differs(tokenizer, monkeypatch):
    model, prefilled = tiny("llama"), []
    prefill = LlamaReader.prefill
    monkeypatch.setattr(
        LlamaReader,
        "prefill",
        lambda self, prompts: (prefilled.append([len(ids) for ids in prompts]), prefill(self, prompts))[1],
    )
    sampler = LocalSampler(model, tokenizer, slots=16, end_ids=set())
    (first, second) = sampler.sample(ids_of([9, 6]), n=8, max_new_tokens=5)
    assert prefilled == [[9, 6]]
    assert len({c.ids for c in first}) > 4 and len({c.ids for c in second}) > 4


def test_long_prompts_are_prefilled_in_parts(tokenizer, monkeypatch):
    prompts, model = ids_of([40, 3, 25, 38, 12]), tiny("mistral, window 6")
    whole = LocalSampler(model, tokenizer).sample(prompts, n=2, max_new_tokens=6)
    monkeypatch.setattr(local, "PREFILL_TOKENS", 45)
    assert _ids(LocalSampler(model, tokenizer).sample(prompts, n=2, max_new_tokens=6)) == _ids(whole)


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 0.9)])
def test_first_tokens_come_as_often_as_their_probability_says(temperature, top_p, tokenizer):
    model, prompt, draws = tiny("llama"), ids_of([6])[0], 3000
    (group,) = LocalSampler(model, tokenizer, slots=512).sample(
        [prompt], n=draws, max_new_tokens=1, temperature=temperature, top_p=top_p, seed=1
    )
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt])).logits[0, -1].double() / temperature
    probs = nucleus(logits.softmax(-1)[None], top_p)[0].numpy()
    probs /= probs.sum()
    counts = np.bincount([c.ids[0] for c in group], minlength=VOCAB)
    assert counts[probs == 0].sum() == 0
    frequent = probs * draws >= 5
    observed = [*counts[frequent], counts[~frequent].sum()]
    expected = [*(probs[frequent] * draws), probs[~frequent].sum() * draws]
    if expected[-1] < 5:
        observed, expected = [*observed[:-2], sum(observed[-2:])], [*expected[:-2], sum(expected[-2:])]
    assert len(expected) > 5
    assert chisquare(observed, expected).pvalue > 0.01


def test_seeds_prompts_and_completions_have_their_own_uniforms(tokenizer):
    sampler, prompt = LocalSampler(tiny("llama"), tokenizer, end_ids=set()), ids_of([4])[0]
    once = sampler.sample([prompt, prompt], n=2, max_new_tokens=6, seed=0)
    assert once == sampler.sample([prompt, prompt], n=2, max_new_tokens=6, seed=0)
    assert len({c.ids for group in once for c in group}) == 4
    assert once != sampler.sample([prompt, prompt], n=2, max_new_tokens=6, seed=1)
    longer = sampler.sample([prompt, prompt], n=2, max_new_tokens=12, seed=0)
    assert [[c.ids[:6] for c in group] for group in longer] == _ids(once)


def test_parts_of_a_list_are_what_the_whole_is(tokenizer):
    """Workers that share a list, in any order, or one that died and was asked again."""
    sampler = LocalSampler(tiny("llama"), tokenizer, slots=3)
    prompts = [[5 + i, 9, 4] for i in range(7)]
    sampling = Sampling(n=2, max_new_tokens=6)
    whole = sampler.sample(prompts, sampling, seed=3)
    parts = {
        first: sampler.sample(prompts[first : first + 3], sampling, seed=3, first=first)
        for first in (6, 3, 0)
    }
    again = [group for first in (0, 3, 6) for group in parts[first]]
    assert [[c.ids for c in group] for group in again] == [[c.ids for c in group] for group in whole]
    apart = sampler.sample(prompts[3:6], sampling, seed=3)
    assert [[c.ids for c in group] for group in apart] != [[c.ids for c in group] for group in whole[3:6]]


def test_finished_cut_and_several_ends(tokenizer):
    ends = {END, 7, 70, 170, *range(200, 220)}
    groups = LocalSampler(tiny("llama"), tokenizer, end_ids=ends, name="tiny").sample(
        ids_of([5, 9]), n=24, max_new_tokens=10, seed=4
    )
    completions = [c for group in groups for c in group]
    finished = [c for c in completions if c.finished]
    cut = [c for c in completions if not c.finished]
    assert finished and cut and len({c.ids[-1] for c in finished}) > 3
    for c in finished:
        assert c.ids[-1] in ends and not ends & set(c.ids[:-1]) and len(c.ids) <= 10
        assert c.text == tokenizer.decode(c.ids[:-1], skip_special_tokens=False)
    for c in cut:
        assert len(c.ids) == 10 and not ends & set(c.ids)
        assert c.text == tokenizer.decode(c.ids, skip_special_tokens=False)
    assert {c.source for c in completions} == {"tiny"}


def test_marks_in_an_answer_are_shown_and_streamed(tokenizer, monkeypatch):
    ids = [258, 258, *ids_in(tokenizer, "Yes"), 257, *ids_in(tokenizer, ", é."), 259, END]
    shown = "<user><user>Yes<pad>, é.<assistant>"
    for ended in (True, False):
        script = iter((ids if ended else ids[:-1]) * 2)
        monkeypatch.setattr(
            local, "draw", lambda logits, *_, s=script, **__: (torch.tensor([next(s)]), torch.zeros(1))
        )
        sampler, most = LocalSampler(tiny("llama"), tokenizer), len(ids) - (not ended)
        ((completion,),) = sampler.sample([[1, 2]], max_new_tokens=most)
        assert completion.text == shown and completion.finished == ended
        assert "".join(sampler.stream([1, 2], Sampling(max_new_tokens=most))) == shown


def ids_in(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def test_default_ends_are_those_of_the_template_and_the_model(tokenizer):
    assert LocalSampler(tiny("llama"), tokenizer).end_ids == {END}


def test_prompts_of_messages_and_progress(tokenizer):
    prompts = [
        Prompt((Message("user", text),), {"row": i})
        for i, text in enumerate(["hello", "a longer question?", "ä"])
    ]
    sampler = LocalSampler(tiny("llama"), tokenizer, slots=2)
    groups = sampler.sample(prompts, Sampling(n=2, max_new_tokens=5), seed=8)
    assert [
        [c.prompt is prompt for c in group] for group, prompt in zip(groups, prompts, strict=True)
    ] == 3 * [[True, True]]
    assert _ids(groups) == _ids(
        sampler.sample([prompt_ids(tokenizer, p) for p in prompts], n=2, max_new_tokens=5, seed=8)
    )
    assert sampler.sample([]) == []


def test_stream_gives_the_text_of_sample(tokenizer):
    sampler = LocalSampler(tiny("llama"), tokenizer, end_ids=set(range(5)))
    prompt, finished = ids_of([5])[0], set()
    for seed in range(8):
        said = list(sampler.stream(prompt, Sampling(max_new_tokens=30, top_p=0.95), seed=seed))
        ((completion,),) = sampler.sample([prompt], max_new_tokens=30, seed=seed, top_p=0.95)
        assert "".join(said) == completion.text
        assert all(said) and len(said) > len(completion.ids) / 10
        finished.add(completion.finished)
    assert finished == {True, False}


def test_stream_holds_back_characters_that_are_not_whole(tokenizer, monkeypatch):
    text = "aé€😀b"
    script = iter(tokenizer(text, add_special_tokens=False)["input_ids"] + [END])
    monkeypatch.setattr(
        local, "draw", lambda logits, *_, **__: (torch.tensor([next(script)]), torch.zeros(1))
    )
    assert list(LocalSampler(tiny("llama"), tokenizer).stream([1, 2], Sampling(max_new_tokens=40))) == [
        "a",
        "é",
        "€",
        "😀",
        "b",
    ]


def test_stream_leaves_the_caller_in_its_own_mode(tokenizer):
    model = llama().train()
    model.lm_head.eval()
    stream = LocalSampler(model, tokenizer, end_ids=set()).stream(
        [1, 2, 3], Sampling(max_new_tokens=8, temperature=0.0)
    )
    next(stream)
    assert not torch.is_inference_mode_enabled() and not model.training
    stream.close()
    assert model.training and model.model.layers[0].training and not model.lm_head.training


def test_training_in_place_needs_no_sync_and_another_model_does(tokenizer):
    torch.manual_seed(1)
    model, prompt = llama().train(), ids_of([7])[0]
    sampler = LocalSampler(model, tokenizer, end_ids=set())
    before = sampler.sample([prompt], max_new_tokens=12, temperature=0.0)
    model(
        input_ids=torch.tensor([prompt])
    ).logits.square().mean().backward()  # parameters are still ordinary tensors
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 10 * parameter.grad
    sampler.sync(model)
    after = sampler.sample([prompt], max_new_tokens=12, temperature=0.0)
    assert _ids(after) != _ids(before)
    assert (
        list(after[0][0].ids)
        == model.generate(
            torch.tensor([prompt]), max_new_tokens=12, min_new_tokens=12, do_sample=False, eos_token_id=None
        )[0, 7:].tolist()
    )
    sampler.sync(tiny("gpt2"))
    assert _ids(sampler.sample([prompt], max_new_tokens=12)) == _ids(
        LocalSampler(tiny("gpt2"), tokenizer, end_ids=set()).sample([prompt], max_new_tokens=12)
    )


def test_bf16_and_a_change_of_precision(tokenizer):
    model = llama()
    sampler = LocalSampler(model, tokenizer, slots=3, end_ids=set(range(20)))
    prompts = ids_of([5, 12, 3, 8, 2])
    sampler.sample(prompts, n=2, max_new_tokens=12)
    model.to(torch.bfloat16)
    for prompt, group in zip(prompts, sampler.sample(prompts, n=2, max_new_tokens=12), strict=True):
        for completion in group:
            expected = plain_logprobs(model, prompt, completion.ids, 1.0, 1.0)
            assert completion.logprobs == pytest.approx(expected.tolist(), abs=0.25)
            assert np.mean(np.abs(np.array(completion.logprobs) - expected.numpy())) < 0.05


def test_adapters_are_sampled_from(tokenizer):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(2)
    model = get_peft_model(llama(), LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    prompt = ids_of([6])[0]
    ((with_adapter,),) = LocalSampler(model, tokenizer, end_ids=set()).sample([prompt], max_new_tokens=8)
    assert with_adapter.logprobs == pytest.approx(
        plain_logprobs(model.eval(), prompt, with_adapter.ids, 1.0, 1.0).tolist(), abs=1e-4
    )
    with model.disable_adapter():
        ((without,),) = LocalSampler(model, tokenizer, end_ids=set()).sample([prompt], max_new_tokens=8)
    assert with_adapter.ids != without.ids


def test_errors_say_which_prompt(tokenizer):
    sampler = LocalSampler(tiny("gpt2"), tokenizer)
    assert len(sampler.sample(ids_of([118]), max_new_tokens=10)[0]) == 1
    with pytest.raises(DataError, match="119 tokens and 10 new ones.*128") as error:
        sampler.sample(ids_of([5, 119]), max_new_tokens=10)
    assert error.value.where == "prompt 1"
    with pytest.raises(DataError, match="no tokens"):
        sampler.sample([[]])
    wrongs: list[dict[str, Any]] = [
        {"temperature": -0.1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"max_new_tokens": 0},
        {"n": 0},
    ]
    for wrong in wrongs:
        with pytest.raises(ConfigError):
            sampler.sample([[1]], **wrong)
    with pytest.raises(ConfigError):
        LocalSampler(tiny("gpt2"), tokenizer, slots=-1)


def test_weights_that_are_not_finite_stop_the_sampler(tokenizer):
    model = llama()
    torch.nn.init.constant_(model.lm_head.weight, torch.nan)
    for temperature, top_p in ((0.0, 1.0), (1.0, 1.0), (1.0, 0.5)):
        with pytest.raises(GuardStop, match="not finite"):
            LocalSampler(model, tokenizer).sample([[1, 2]], temperature=temperature, top_p=top_p)


def test_recurrent_models_are_refused(tokenizer):
    model = MambaForCausalLM(MambaConfig(vocab_size=VOCAB, hidden_size=16, num_hidden_layers=1, state_size=4))
    with pytest.raises(ModelError, match="recurrent"):
        LocalSampler(model, tokenizer)


def test_draw_never_takes_a_token_without_probability():
    edge = torch.tensor([0.0, 1 - 2**-24, 0.5])
    logits = torch.full((3, 1000), -torch.inf)
    logits[:, 300:600] = torch.randn(3, 300, generator=torch.Generator().manual_seed(0)) * 3
    ids, logprobs = draw(logits, edge)
    assert ids[0] == 300 and ids[1] <= 599 and ((ids >= 300) & (ids < 600)).all()
    assert logprobs.tolist() == pytest.approx(logits.log_softmax(-1)[range(3), ids].tolist(), abs=1e-5)


def test_nucleus_is_the_smallest_set_and_keeps_ties():
    probs = torch.tensor([[0.05, 0.4, 0.2, 0.2, 0.15]])
    assert nucleus(probs, 0.4).tolist() == [[0, pytest.approx(0.4), 0, 0, 0]]
    assert (nucleus(probs, 0.5) > 0).tolist() == [[False, True, True, True, False]]
    assert (nucleus(probs, 1.0) > 0).all()
    flat = torch.full((1, 5000), 1 / 5000)  # the nucleus is wider than the tokens looked at first
    flat[0, 4000:] = 0.5 / 5000
    flat[0, 0] += 1 - flat.sum()
    assert (nucleus(flat, 0.8) > 0).sum() == 4000


def test_text_is_continued_as_a_document_opened_as_the_tokenizer_opens_one(tokenizer):
    model, abc = tiny("llama"), tokenizer("abc")["input_ids"]
    plain, ids = (
        LocalSampler(model, tokenizer, end_ids={END}).sample([asked], temperature=0.0)
        for asked in ("abc", abc)
    )
    assert plain == ids and plain[0][0].prompt == Prompt(())
    opened = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, eos_token="<end>", bos_token="<user>"
    )
    text, written = (
        LocalSampler(model, opened, end_ids={END}).sample([asked], temperature=0.0)
        for asked in ("abc", [258, *abc])
    )
    assert text == plain != written, "it has a begin token, and does not put it on"
    opened.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<user> $A", special_tokens=[("<user>", 258)]
    )
    assert LocalSampler(model, opened, end_ids={END}).sample(["abc"], temperature=0.0) == written


def test_it_says_beforehand_what_it_would_refuse() -> None:
    sampler = LocalSampler(tiny("llama"), None, end_ids={END})
    for length in (122, 123, 124):
        assert sampler.has_room([65] * length, 5) == (length <= 123)  # of a context of 128
    with pytest.raises(DataError, match="do not fit"):
        sampler.sample([[65] * 124], max_new_tokens=5)
