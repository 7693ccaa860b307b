"""A solution of exercise 1, from which the wrong ones are made by putting another function in its place."""

import torch


def loss_mask(ids, prompt_length, end_id):
    mask = [0] * len(ids)
    for place in range(prompt_length, len(ids)):
        mask[place] = 1
        if ids[place] == end_id:
            break
    return mask


def token_logprobs(logits_BTV, ids_BT):
    log_p = logits_BTV[:, :-1].log_softmax(-1).gather(2, ids_BT[:, 1:, None]).squeeze(2)
    return torch.nn.functional.pad(log_p, (1, 0))


def sft_loss(logprobs_BT, mask_BT, tokens):
    return -logprobs_BT.masked_fill(mask_BT == 0, 0.0).sum() / tokens


def settings():
    return {"data": "town:demos-clean", "lr": 3e-4, "epochs": 2}
