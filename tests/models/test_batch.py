"""Padding, packing, layouts that read a prompt once, and batches of similar length."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.models import batch as batch_module
from alignlab.models.attention import use_plain_attention
from alignlab.models.batch import TOGETHER, by_length, chunks, lay_out, pack, pad
from alignlab.models.chat import Rendered
from alignlab.models.forward import laid_out, last_scores, token_logprobs_of, token_stats, value_BT

from .conftest import EOS, PAD, gpt_neo, last_token_scores, lfm2, llama, llama_with_head, mistral


def rows_of(*lengths: int, seed: int = 0) -> list[Rendered]:
    random = torch.Generator().manual_seed(seed)
    return [
        Rendered(torch.randint(6, 300, (n,), generator=random).tolist(), [0] * (n // 2) + [1] * (n - n // 2))
        for n in lengths
    ]


@pytest.mark.parametrize("side", ["left", "right"])
def test_pad(side):
    batch = pad([Rendered([7, 8, EOS], [0, 1, 1]), Rendered([9], [1])], EOS, side=side)
    assert batch.ids_BT.tolist() == (
        [[7, 8, EOS], [EOS, EOS, 9]] if side == "left" else [[7, 8, EOS], [9, EOS, EOS]]
    )
    assert batch.attention_mask_BT.tolist() == (
        [[1, 1, 1], [0, 0, 1]] if side == "left" else [[1, 1, 1], [1, 0, 0]]
    )
    assert batch.loss_mask_BT.tolist() == (
        [[0, 1, 1], [0, 0, 1]] if side == "left" else [[0, 1, 1], [1, 0, 0]]
    )
    assert batch.position_ids_BT.tolist() == (
        [[0, 1, 2], [0, 0, 0]] if side == "left" else [[0, 1, 2], [0, 0, 0]]
    )


def test_padding_changes_nothing(model):
    """Either side, any pad id, the end token among them."""
    rows = rows_of(9, 4, 6)
    alone = [token_logprobs_of(model, pad([row], PAD))[0] for row in rows]
    for pad_id in (PAD, EOS):
        for side in ("left", "right"):
            together = token_logprobs_of(model, pad(rows, pad_id, side=side))
            for row, one, other in zip(rows, alone, together, strict=True):
                n = len(row.ids)
                torch.testing.assert_close(
                    other[-n:] if side == "left" else other[:n], one, atol=1e-5, rtol=0
                )


@pytest.mark.parametrize("attention", ["plain", "sdpa", "eager"])
def test_packed_rows_do_not_see_each_other(model, attention):
    """Log-probabilities and gradients of a packed batch are those of the rows by themselves."""
    if attention == "plain":
        use_plain_attention(model)
    else:
        model.set_attn_implementation(attention)
    rows = rows_of(9, 4, 6, 11, 3)
    packed = pack(rows, 16, PAD)
    assert packed.ids_BT.shape == (3, 15)  # 11 + 4, 9 + 6, 3: first fit, longest first
    found = token_stats(model, packed)
    found.logprobs_BT.sum().backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    alone = [token_stats(model, pad([row], PAD)) for row in (rows[3], rows[1], rows[0], rows[2], rows[4])]
    torch.cat([one.logprobs_BT[0] for one in alone]).sum().backward()
    torch.testing.assert_close(
        found.logprobs_BT[packed.attention_mask_BT.bool()],
        torch.cat([one.logprobs_BT[0] for one in alone]),
        atol=1e-5,
        rtol=0,
    )
    torch.testing.assert_close(
        found.entropy_BT[packed.attention_mask_BT.bool()],
        torch.cat([one.entropy_BT[0] for one in alone]),
        atol=1e-5,
        rtol=0,
    )
    for p, gradient in zip(model.parameters(), gradients, strict=True):
        torch.testing.assert_close(gradient, p.grad, atol=1e-5, rtol=1e-4)


def test_a_packed_piece_is_blind_to_its_neighbour():
    """The same second piece behind two different first ones; the sharpest form of the test above."""
    model = llama()
    second = rows_of(5, seed=1)[0]
    logits = []
    for seed in (2, 3):
        batch = pack([rows_of(8, seed=seed)[0], second], 16, PAD)
        logits.append(model(**batch.model_inputs(model.dtype)).logits[0, 8:13])
    torch.testing.assert_close(logits[0], logits[1], atol=1e-6, rtol=0)


def test_packed_in_bf16():
    model = llama().to(torch.bfloat16)
    use_plain_attention(model)
    assert token_logprobs_of(model, pack(rows_of(9, 4), 16, PAD)).isfinite().all()


def test_pack_first_token_carries_no_loss_and_long_rows_are_refused():
    batch = pack([Rendered([7, 8], [1, 1]), Rendered([9, 10], [1, 1])], 4, PAD)
    assert batch.loss_mask_BT.tolist() == [[0, 1, 0, 1]] and batch.position_ids_BT.tolist() == [[0, 1, 0, 1]]
    with pytest.raises(AssertionError, match="cannot be packed"):
        pack(rows_of(5), 4, PAD)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=20))
def test_pack_keeps_every_token(lengths):
    rows = rows_of(*lengths)
    batch = pack(rows, 12, PAD)
    assert int(batch.attention_mask_BT.sum()) == sum(lengths) and batch.attention_mask_BT.any(1).all()
    assert sorted(batch.ids_BT[batch.attention_mask_BT.bool()].tolist()) == sorted(
        i for row in rows for i in row.ids
    )
    assert int(batch.loss_mask_BT.sum()) == sum(sum(row.loss_mask[1:]) for row in rows)
    assert len(batch.ids_BT) <= 2 * -(-sum(lengths) // 12)  # first fit leaves at most one row half empty
    assert (
        batch.attention_B1TT is not None and batch.attention_B1TT.any(-1).all()
    )  # no query without a key: no NaN


def completions_of(*lengths: int, prompt: int, seed: int = 0) -> list[Rendered]:
    """Completions of one prompt, each of so many tokens."""
    generator = torch.Generator().manual_seed(seed)
    before, *after = (torch.randint(5, 300, (n,), generator=generator).tolist() for n in (prompt, *lengths))
    return [Rendered(before + ids, [0] * prompt + [1] * len(ids)) for ids in after]


@pytest.mark.parametrize(("key_cost", "saved"), [(0.0, 0), (1.0, 0), (1e9, 2 * 8 + 5)])
def test_a_layout_changes_nothing_but_the_work(key_cost, saved, model):
    """Log-probabilities, scores, values and gradients of shared and packed rows are those of the rows by
    themselves.
    """
    rows = [
        *completions_of(4, 7, 2, prompt=9),
        *completions_of(5, prompt=3, seed=1),
        *completions_of(6, 6, prompt=1, seed=2),
        *completions_of(3, 2, prompt=6, seed=3),
    ]
    scorer = llama_with_head()
    layout = lay_out(rows, PAD, key_cost=key_cost)
    whole = pad(rows, PAD)
    found = layout.back(token_logprobs_of(model, layout.batch))
    found.sum().backward()
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    expected = token_logprobs_of(model, whole)
    expected.sum().backward()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    for p, gradient in zip((p for p in model.parameters() if p.grad is not None), gradients, strict=True):
        torch.testing.assert_close(gradient, p.grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        last_scores(scorer, layout), last_token_scores(scorer, whole), atol=1e-5, rtol=0
    )
    values = layout.back(value_BT(scorer, layout.batch)) * whole.loss_mask_BT
    torch.testing.assert_close(values, value_BT(scorer, whole) * whole.loss_mask_BT, atol=1e-5, rtol=0)
    assert layout.back(layout.batch.ids_BT.float()).equal(
        whole.ids_BT.masked_fill(whole.attention_mask_BT == 0, 0).float()
    )
    assert int(layout.batch.attention_mask_BT.sum()) == sum(len(row.ids) for row in rows) - saved
    assert layout.batch.ids_BT.numel() < whole.ids_BT.numel() or not key_cost


def test_neighbours_in_a_layout_are_blind_to_each_other():
    """The same last piece behind other ones, and behind the same prompt with another sister."""
    model = llama()
    kept = completions_of(4, 6, prompt=8)
    found = []
    for seed, length in ((1, 5), (2, 5), (3, 9)):
        rows = [
            *completions_of(7, length, prompt=5, seed=seed),
            kept[0],
            Rendered(kept[0].ids[:8] + list(range(seed, seed + length)), [0] * 8 + [1] * length),
        ]
        layout = lay_out(rows, PAD, key_cost=1e9)
        found.append(layout.back(token_logprobs_of(model, layout.batch))[2, :12])
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=0)
    torch.testing.assert_close(found[0], found[2], atol=1e-5, rtol=0)


def test_a_prompt_is_shared_only_where_that_is_less_work():
    long = completions_of(200, 200, 200, prompt=10)
    short = completions_of(10, 10, 10, prompt=40)
    assert (
        lay_out(long, PAD, key_cost=100.0).batch.attention_B1TT is None
    )  # 20 tokens saved, attention twice as wide
    shared = lay_out(short, PAD, key_cost=100.0).batch
    assert shared.attention_B1TT is not None and shared.ids_BT.shape == (1, 39 + 3 * 11)
    assert lay_out(short, PAD, key_cost=0.0).batch.attention_B1TT is None
    alike = lay_out(rows_of(9, 9, 9), PAD, key_cost=1e9).batch
    assert alike.attention_B1TT is None and alike.ids_BT.equal(
        pad(rows_of(9, 9, 9), PAD).ids_BT
    )  # nothing to gain from a mask


def test_a_long_prompt_with_many_completions_stays_within_bounds(monkeypatch):
    monkeypatch.setattr(batch_module, "WIDEST", 60)
    rows = completions_of(15, 15, 15, 15, 15, prompt=20)
    shared = lay_out(rows, PAD, key_cost=1e9)
    assert shared.batch.ids_BT.shape == (3, 19 + 2 * 16)  # two at a time
    torch.testing.assert_close(shared.back(shared.batch.ids_BT.float()), pad(rows, PAD).ids_BT.float())


def test_one_shared_prompt_does_not_make_everything_wide():
    """A piece of nine long completions would set the width for rows that share nothing."""
    rows = [
        *completions_of(*[50] * 9, prompt=25),
        *(row for seed in range(60) for row in completions_of(50, prompt=20, seed=seed)),
    ]
    batch = lay_out(rows, PAD, key_cost=100.0).batch
    padded = pad(rows, PAD).ids_BT
    assert batch.ids_BT.numel() * (100 + batch.ids_BT.shape[1]) <= padded.numel() * (100 + padded.shape[1])


@pytest.mark.parametrize("kind", [lfm2, gpt_neo], ids=["short convolutions", "a window of its own"])
def test_a_model_that_cannot_be_told_what_to_look_at_gets_plain_rows(kind):
    rows = [*completions_of(4, 7, prompt=9), *completions_of(2, prompt=3, seed=1)]
    model = kind()
    layout = laid_out(model, rows, PAD)
    assert layout.batch.attention_B1TT is None
    alone = [token_logprobs_of(model, pad([row], PAD))[0].sum() for row in rows]
    torch.testing.assert_close(
        layout.back(token_logprobs_of(model, layout.batch)).sum(1), torch.stack(alone), atol=1e-4, rtol=0
    )


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 6), st.lists(st.integers(1, 9), min_size=1, max_size=4)),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from([0.0, 5.0, 1e9]),
)
def test_a_layout_keeps_every_token(groups, key_cost):
    rows = [
        row
        for seed, (prompt, lengths) in enumerate(groups)
        for row in completions_of(*lengths, prompt=prompt, seed=seed)
    ]
    layout = lay_out(rows, PAD, key_cost=key_cost)
    batch, flat = layout.batch, layout.batch.ids_BT.flatten()
    for row, places, end in zip(rows, layout.places_NL, layout.ends_N, strict=True):
        places = places[places >= 0]
        assert flat[places].tolist() == row.ids and batch.position_ids_BT.flatten()[places].tolist() == list(
            range(len(row.ids))
        )
        assert batch.loss_mask_BT.flatten()[places].tolist() == row.loss_mask and places[-1] == end
    assert int(batch.loss_mask_BT.sum()) == sum(sum(row.loss_mask) for row in rows)
    assert (
        batch.attention_B1TT is None or batch.attention_B1TT.any(-1).all()
    )  # no query without a key: no NaN


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(2, 6), st.lists(st.integers(1, 9), min_size=1, max_size=12)),
        min_size=1,
        max_size=9,
    ),
    st.integers(1, 300),
)
def test_chunks_hold_every_row_once_and_keep_a_prompts_rows_side_by_side(groups, most):
    rows = [
        row
        for seed, (prompt, lengths) in enumerate(groups)
        for row in completions_of(*lengths, prompt=prompt, seed=seed)
    ]
    found = chunks(rows, most)
    assert sorted(i for chunk in found for i in chunk) == list(range(len(rows)))
    assert all(sum(len(rows[i].ids) for i in chunk) <= most or len(chunk) == 1 for chunk in found)
    starts = [sum(len(lengths) for _, lengths in groups[:g]) for g in range(len(groups))]
    for start, (_, lengths) in zip(starts, groups, strict=True):
        together = range(start, start + min(len(lengths), TOGETHER))
        if sum(len(rows[i].ids) for i in together) > most:
            continue
        at = [(c, chunk.index(i)) for i in together for c, chunk in enumerate(found) if i in chunk]
        assert at == [(at[0][0], at[0][1] + k) for k in range(len(at))]


@pytest.mark.parametrize("config", [{"sliding_window": 8}, {}], ids=["window", "no window"])
def test_a_model_with_a_window_is_told_nothing_that_its_window_would_forbid(config):
    rows = [*completions_of(4, 7, prompt=9), *completions_of(2, prompt=3, seed=1)]
    model = mistral(**config)
    layout = laid_out(model, rows, PAD)
    assert (layout.batch.attention_B1TT is None) == bool(config)
    torch.testing.assert_close(
        layout.back(token_logprobs_of(model, layout.batch)),
        token_logprobs_of(model, pad(rows, PAD)),
        atol=1e-5,
        rtol=0,
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 500), min_size=1, max_size=200), st.integers(1, 9), st.integers(0, 3))
def test_by_length_takes_every_row_once(lengths, batch, epoch):
    batches = by_length(lengths, batch, 1, epoch)
    assert sorted(i for b in batches for i in b) == list(range(len(lengths)))
    assert len(batches) == -(-len(lengths) // batch) and max(map(len, batches)) <= batch


def test_by_length_pads_little_and_repeats():
    lengths = torch.randint(10, 200, (1000,), generator=torch.Generator().manual_seed(0)).tolist()

    def padding(batches: list[list[int]]) -> float:
        return sum(len(b) * max(lengths[i] for i in b) for b in batches) / sum(lengths) - 1

    first = by_length(lengths, 8, 5)
    assert (
        first == by_length(lengths, 8, 5)
        and first != by_length(lengths, 8, 6)
        and first != by_length(lengths, 8, 5, epoch=1)
    )
    assert padding(first) < 0.1 < 0.5 < padding([list(range(i, i + 8)) for i in range(0, 1000, 8)])
    assert sorted(lengths[b[0]] for b in first) != [
        lengths[b[0]] for b in first
    ]  # batches come in random order
