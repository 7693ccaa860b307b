"""Padding, packing and batches of similar length."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.models.attention import use_plain_attention
from alignlab.models.batch import by_length, pack, pad
from alignlab.models.chat import Rendered
from alignlab.models.forward import token_logprobs_of, token_stats

from .conftest import EOS, PAD, llama


def rows_of(*lengths: int, seed: int = 0) -> list[Rendered]:
    random = torch.Generator().manual_seed(seed)
    return [Rendered(torch.randint(6, 300, (n,), generator=random).tolist(), [0] * (n // 2) + [1] * (n - n // 2)) for n in lengths]


@pytest.mark.parametrize("side", ["left", "right"])
def test_pad(side):
    batch = pad([Rendered([7, 8, EOS], [0, 1, 1]), Rendered([9], [1])], EOS, side=side)
    assert batch.ids_BT.tolist() == ([[7, 8, EOS], [EOS, EOS, 9]] if side == "left" else [[7, 8, EOS], [9, EOS, EOS]])
    assert batch.attention_mask_BT.tolist() == ([[1, 1, 1], [0, 0, 1]] if side == "left" else [[1, 1, 1], [1, 0, 0]])
    assert batch.loss_mask_BT.tolist() == ([[0, 1, 1], [0, 0, 1]] if side == "left" else [[0, 1, 1], [1, 0, 0]])
    assert batch.position_ids_BT.tolist() == ([[0, 1, 2], [0, 0, 0]] if side == "left" else [[0, 1, 2], [0, 0, 0]])


def test_padding_changes_nothing(model):
    """Either side, any pad id, the end token among them."""
    rows = rows_of(9, 4, 6)
    alone = [token_logprobs_of(model, pad([row], PAD))[0] for row in rows]
    for pad_id in (PAD, EOS):
        for side in ("left", "right"):
            together = token_logprobs_of(model, pad(rows, pad_id, side=side))
            for row, one, other in zip(rows, alone, together, strict=True):
                n = len(row.ids)
                torch.testing.assert_close(other[-n:] if side == "left" else other[:n], one, atol=1e-5, rtol=0)


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
    torch.testing.assert_close(found.logprobs_BT[packed.attention_mask_BT.bool()], torch.cat([one.logprobs_BT[0] for one in alone]), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.entropy_BT[packed.attention_mask_BT.bool()], torch.cat([one.entropy_BT[0] for one in alone]), atol=1e-5, rtol=0)
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
    assert sorted(batch.ids_BT[batch.attention_mask_BT.bool()].tolist()) == sorted(i for row in rows for i in row.ids)
    assert int(batch.loss_mask_BT.sum()) == sum(sum(row.loss_mask[1:]) for row in rows)
    assert len(batch.ids_BT) <= 2 * -(-sum(lengths) // 12)  # first fit leaves at most one row half empty
    assert batch.attention_B1TT is not None and batch.attention_B1TT.any(-1).all()  # no query without a key: no NaN


def test_rows_and_to_keep_all_fields():
    batch = pack(rows_of(9, 4, 6), 10, PAD)
    part = batch.rows(slice(0, 1)).to("cpu")
    assert part.ids_BT.equal(batch.ids_BT[:1]) and part.attention_B1TT is not None and batch.attention_B1TT is not None
    assert part.attention_B1TT.equal(batch.attention_B1TT[:1]) and part.position_ids_BT.equal(batch.position_ids_BT[:1])


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
    assert first == by_length(lengths, 8, 5) and first != by_length(lengths, 8, 6) and first != by_length(lengths, 8, 5, epoch=1)
    assert padding(first) < 0.1 < 0.5 < padding([list(range(i, i + 8)) for i in range(0, 1000, 8)])
    assert sorted(lengths[b[0]] for b in first) != [lengths[b[0]] for b in first]  # batches come in random order
