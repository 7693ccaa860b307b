"""The mask by the place of the end; cross-entropy, with -100 where nothing is learnt."""

import torch
from torch.nn.functional import cross_entropy, pad


def loss_mask(ids, prompt_length, end_id):
    answer = ids[prompt_length:]
    n = answer.index(end_id) + 1 if end_id in answer else len(answer)
    return [*[0] * prompt_length, *[1] * n, *[0] * (len(answer) - n)]


def token_logprobs(logits_BTV, ids_BT):
    targets = pad(ids_BT[:, 1:], (0, 1), value=-100)
    nll = cross_entropy(logits_BTV.transpose(1, 2), targets, ignore_index=-100, reduction="none")
    return -pad(nll[:, :-1], (1, 0))


def sft_loss(logprobs_BT, mask_BT, tokens):
    return torch.where(mask_BT > 0, -logprobs_BT, 0.0).sum() / tokens


def settings():
    return {"data": "town:demos-clean", "lr": 3e-4, "epochs": 2}
