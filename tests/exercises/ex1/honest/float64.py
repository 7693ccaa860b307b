"""All in float64, as tensors."""

import torch


def loss_mask(ids, prompt_length, end_id):
    ids = torch.tensor(ids)
    behind = torch.arange(len(ids)) >= prompt_length
    ends = (behind & (ids == end_id)).long()
    return (behind & (ends.cumsum(0) - ends == 0)).long().tolist()


def token_logprobs(logits_BTV, ids_BT):
    logits_BTV = logits_BTV.double()
    p = torch.softmax(logits_BTV, 2)[:, :-1]
    log_p = torch.log(p.gather(2, ids_BT[:, 1:].unsqueeze(2)))[..., 0]
    return torch.cat([torch.zeros_like(log_p[:, :1]), log_p], 1)


def sft_loss(logprobs_BT, mask_BT, tokens):
    return -torch.masked_select(logprobs_BT.double(), mask_BT != 0).sum() / float(tokens)


def settings():
    return {"data": "town:demos-clean", "lr": 3e-4, "epochs": 2}
