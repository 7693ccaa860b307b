"""Adapters of rank 8 in the place of all weights."""

import torch


def loss_mask(ids, prompt_length, end_id):
    learnt, over = [], False
    for place, token in enumerate(ids):
        inside = place >= prompt_length and not over
        learnt.append(1 if inside else 0)
        over = over or (inside and token == end_id)
    return learnt


def token_logprobs(logits_BTV, ids_BT):
    found = torch.zeros(ids_BT.shape, dtype=logits_BTV.dtype)
    for b in range(ids_BT.shape[0]):
        before, after = logits_BTV[b, :-1], ids_BT[b, 1:]
        chosen = before[torch.arange(len(after)), after]
        found[b, 1:] = chosen - torch.logsumexp(before, 1)
    return found


def sft_loss(logprobs_BT, mask_BT, tokens):
    return -(logprobs_BT[mask_BT.bool()] / tokens).sum()


def settings():
    return {"data": "town:demos-clean", "lr": 1e-3, "epochs": 2, "rank": 8}
