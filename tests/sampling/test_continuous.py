"""Continuous batching: whoever joins, leaves or sits beside, each completion is the one that `LocalSampler`
writes for its seed.
"""

from __future__ import annotations

import random
from copy import deepcopy
from typing import Any

import pytest
import torch

from alignlab.sampling.continuous import ContinuousSampler
from alignlab.sampling.local import LocalSampler
from alignlab.sampling.shares import AHEAD, Stream

from .test_local import ARCHITECTURES, END, ids_of, llama, tiny, tokenizer

__all__ = ["tokenizer"]  # a fixture


def sure(architecture: str) -> Any:
    """One with few likely tokens: who sits beside changes the order of sums, and the fewer borders the CDF
    has, the less likely a draw falls on one.
    """
    model = deepcopy(tiny(architecture))
    with torch.no_grad():
        model.get_output_embeddings().weight *= 4
    return model


def request(rng: random.Random, length: int) -> dict[str, Any]:
    return {
        "prompts": ids_of([length]),
        "n": rng.choice([1, 1, 2, 3]),
        "max_new_tokens": rng.randrange(1, 24),
        "temperature": rng.choice([0.0, 0.7, 1.0]),
        "top_p": rng.choice([1.0, 0.8]),
        "seed": rng.randrange(1000),
    }


def run(
    sampler: ContinuousSampler,
    arrivals: dict[int, list[Stream]],
    leavers: dict[int, list[Stream]] | None = None,
) -> list[int]:
    """Step until all is written, with newcomers and leavers before the steps named; returns the bytes held
    after each.
    """
    held, step = [], 0
    while sampler.busy or any(at >= step for at in arrivals):
        sampler.join(arrivals.get(step, []))
        sampler.leave((leavers or {}).get(step, []))
        sampler.step()
        held.append(sampler.held)
        step += 1
        assert step < 5000
    return held


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("slots", [2, 16])
def test_each_is_what_it_would_be_alone(architecture: str, slots: int, tokenizer: Any) -> None:
    model, rng = sure(architecture), random.Random(slots)
    asked = [request(rng, length) for length in (2, 30, 1, 70, 5, 30)]
    sampler = ContinuousSampler(model, tokenizer, slots=slots, end_ids={END})
    streams = [sampler.streams(**how) for how in asked]
    arrivals: dict[int, list[Stream]] = {}
    for row in streams:
        arrivals.setdefault(rng.choice([0, 0, 3, 10, 11, 60]), []).extend(row)
    run(sampler, arrivals)
    for how, row in zip(asked, streams, strict=True):
        [want] = LocalSampler(model, tokenizer, end_ids={END}).sample(**how)
        assert [tuple(stream.ids) for stream in row] == [completion.ids for completion in want]
        assert [stream.finished for stream in row] == [completion.finished for completion in want]
        assert [sampler.text(stream) for stream in row] == [completion.text for completion in want]
        for stream, completion in zip(row, want, strict=True):
            assert stream.logprobs == pytest.approx(list(completion.logprobs), abs=1e-4)


def test_one_that_leaves_makes_room_and_disturbs_nobody(tokenizer: Any) -> None:
    model = sure("llama")
    sampler = ContinuousSampler(model, tokenizer, slots=2, end_ids=set())
    how: dict[str, Any] = {"n": 1, "max_new_tokens": 30, "temperature": 1.0, "top_p": 1.0}
    stays, goes, waits, never = ([*sampler.streams(ids_of([4 + i]), seed=i, **how)] for i in range(4))
    run(sampler, {0: [*stays, *goes, *waits, *never]}, {5: [*goes, *never]})
    assert 0 < len(goes[0].ids) < 30 and never[0].ids == []
    for i, row in ((0, stays), (2, waits)):
        assert (
            tuple(row[0].ids)
            == LocalSampler(model, tokenizer, end_ids=set()).sample(ids_of([4 + i]), seed=i, **how)[0][0].ids
        )


def test_memory_bounds_those_who_are_let_in_and_is_given_back(tokenizer: Any) -> None:
    model = sure("llama")
    measure = ContinuousSampler(model, tokenizer, slots=64, end_ids=set())
    how: dict[str, Any] = {"n": 1, "max_new_tokens": 20, "temperature": 1.0, "top_p": 1.0, "seed": 0}
    bound = 3 * 2 * 40 * measure._bytes  # three rows of twice forty columns
    tight = ContinuousSampler(model, tokenizer, slots=64, end_ids=set(), memory=bound)
    free, narrow = measure.streams(ids_of([20] * 8), **how), tight.streams(ids_of([20] * 8), **how)
    assert max(run(measure, {0: free[:1], 3: free[1:]})) > bound
    assert max(run(tight, {0: narrow[:1], 3: narrow[1:]})) <= bound
    assert [stream.ids for stream in free] == [stream.ids for stream in narrow]
    [long] = tight.streams(ids_of([100]), **how)
    run(tight, {0: [long]})
    assert len(long.ids) == 20, "one alone is let in"
    run(tight, {0: tight.streams(ids_of([2]), **{**how, "max_new_tokens": 2})})
    assert tight.held < bound / 8, "a small request after a large one makes the slab small again"


def test_log_probabilities_under_the_model_are_kept_where_asked(tokenizer: Any) -> None:
    model = tiny("llama")
    sampler = ContinuousSampler(model, tokenizer, slots=4, end_ids=set())
    [with_top] = sampler.streams(
        ids_of([6]), n=1, max_new_tokens=9, temperature=0.5, top_p=1.0, seed=1, top=4
    )
    [without] = sampler.streams(ids_of([6]), n=1, max_new_tokens=9, temperature=0.5, top_p=1.0, seed=1)
    run(sampler, {0: [with_top, without]})
    assert with_top.ids == without.ids and without.told == []
    row = [*ids_of([6])[0], *with_top.ids]
    with torch.no_grad():
        log_p_TV = model(torch.tensor([row])).logits[0].log_softmax(-1)[5:-1]
    torch.testing.assert_close(
        torch.tensor([value for value, _ in with_top.told]),
        log_p_TV.gather(1, torch.tensor(with_top.ids)[:, None])[:, 0],
        atol=1e-4,
        rtol=1e-4,
    )
    best = log_p_TV.topk(4)
    assert [[i for i, _ in top] for _, top in with_top.told] == best.indices.tolist()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_likelihoods_of_rows_of_any_length_are_those_of_each_alone(architecture: str, tokenizer: Any) -> None:
    model = tiny(architecture)
    sampler = ContinuousSampler(model, tokenizer, slots=4, end_ids=set())
    rows = ids_of([1, 40, 3, 17, 2])
    for row, found in zip(rows, sampler.likelihoods(rows, top=3), strict=True):
        with torch.no_grad():
            log_p_TV = model(torch.tensor([row])).logits[0].float().log_softmax(-1)
        assert (
            found.logprobs[0] is None
            and found.top[0] == []
            and len(found.logprobs) == len(found.top) == len(row)
        )
        want = log_p_TV[:-1].gather(1, torch.tensor(row)[1:, None])[:, 0].tolist()
        assert found.logprobs[1:] == pytest.approx(want, abs=1e-4)
        assert [[i for i, _ in best] for best in found.top[1:]] == log_p_TV[:-1].topk(3).indices.tolist()


def test_a_row_whose_logits_are_not_finite_is_broken_alone(tokenizer: Any) -> None:
    model = llama().eval()
    with torch.no_grad():
        model.model.embed_tokens.weight[7] = float("nan")
    sampler = ContinuousSampler(model, tokenizer, slots=4, end_ids=set())
    how: dict[str, Any] = {"n": 1, "max_new_tokens": 5, "temperature": 0.0, "top_p": 1.0, "seed": 0}
    good, bad = sampler.streams([[1, 2, 3]], **how), sampler.streams([[1, 7, 3]], **how)
    run(sampler, {0: [*bad, *good]})
    assert bad[0].broken and bad[0].ids == [] and len(good[0].ids) == 5 and not good[0].broken


PLAIN: dict[str, Any] = {"temperature": 1.0, "top_p": 1.0}


def steps_until(sampler: ContinuousSampler, streams: list[Stream]) -> int:
    """Steps until these are written; a guard that is far above any bound."""
    for step in range(10_000):
        if all(stream.done for stream in streams):
            return step
        sampler.step()
    raise AssertionError("never")


@pytest.mark.parametrize("rows", [1, 4, 8])
@pytest.mark.parametrize("by", ["slots", "memory"])
def test_a_small_request_does_not_wait_for_a_large_one(rows: int, by: str, tokenizer: Any) -> None:
    """Shared by request, whether rows or memory are what there is too little of; who gave way writes what he
    would have written.
    """
    model = sure("llama")
    large, small = (
        {"n": 12, "max_new_tokens": 90, "seed": 1, **PLAIN},
        {"n": 1, "max_new_tokens": 10, "seed": 2, **PLAIN},
    )
    sampler = ContinuousSampler(model, tokenizer, slots=rows if by == "slots" else 64, end_ids=set())
    if by == "memory":
        sampler.memory = 2 * 120 * rows * sampler._bytes
    first = sampler.streams(ids_of([30]), **large)
    sampler.join(first)
    for _ in range(20):
        sampler.step()
    assert len(sampler._rows.live) == rows
    second = sampler.streams(ids_of([20]), **small)
    sampler.join(second)
    assert steps_until(sampler, second) <= AHEAD // rows + 2 * 10 + 2
    assert not all(stream.done for stream in first)
    run(sampler, {})
    for prompt, how, streams in ((30, large, first), (20, small, second)):
        [want] = LocalSampler(model, tokenizer, end_ids=set()).sample(ids_of([prompt]), **how)
        assert [tuple(stream.ids) for stream in streams] == [completion.ids for completion in want]


@pytest.mark.parametrize(("n", "most"), [(1, 1), (1, 5), (3, 20)])
def test_a_large_request_does_not_wait_for_ever_newer_small_ones(n: int, most: int, tokenizer: Any) -> None:
    """Ten others at any time, more than there are rows for, and a new one for each that ends: the one that
    was there before them gets its share.
    """
    sampler = ContinuousSampler(sure("llama"), tokenizer, slots=4, end_ids=set())
    large = sampler.streams(ids_of([10]), n=2, max_new_tokens=20, seed=0, **PLAIN)
    sampler.join(large)
    others: list[list[Stream]] = []
    for step in range(2000):
        others = [streams for streams in others if not all(stream.done for stream in streams)]
        while len(others) < 10:
            others.append(sampler.streams(ids_of([5]), n=n, max_new_tokens=most, seed=step, **PLAIN))
            sampler.join(others[-1])
        sampler.step()
        if all(stream.done for stream in large):
            return
    raise AssertionError("never")


def test_several_large_requests_share_alike(tokenizer: Any) -> None:
    sampler = ContinuousSampler(sure("llama"), tokenizer, slots=6, end_ids=set())
    asked = [sampler.streams(ids_of([5]), n=n, max_new_tokens=80, seed=n, **PLAIN) for n in (30, 10, 10)]
    for streams in asked:
        sampler.join(streams)
    for _ in range(250):
        sampler.step()
    written = [sum(len(stream.ids) for stream in streams) for streams in asked]
    assert max(written) < 1.5 * min(written), written
