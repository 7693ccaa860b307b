"""RLOO with the penalty in the loss, as k2 of the whole completion: its gradient is that of the reward's."""

import torch


def shaped_rewards(scores_B, logp_BT, ref_BT, mask_BT, beta):
    at = mask_BT.shape[1] - 1 - mask_BT.flip(1).argmax(1)
    return (-beta * (logp_BT - ref_BT) * mask_BT).scatter_add(1, at[:, None], scores_B[:, None])


def advantages(rewards_BT, mask_BT, group):
    x = (rewards_BT * mask_BT).sum(1, keepdim=True).view(-1, group, 1)
    away = torch.stack([x[:, i] - torch.cat([x[:, :i], x[:, i + 1 :]], 1).mean(1) for i in range(group)], 1)
    return away.view(-1, 1) * mask_BT


def policy_loss(logp_BT, old_BT, adv_BT, mask_BT, clip, tokens):
    log_ratio = (logp_BT - old_BT).masked_fill(mask_BT == 0, 0)
    ratio = log_ratio.exp()
    pair = torch.stack([adv_BT * ratio, adv_BT * ratio.clamp(1 - clip, 1 + clip)])
    return (-pair.amin(0) * mask_BT).sum() / tokens


def kl(logp_BT, ref_BT, mask_BT):
    d = logp_BT.sub(ref_BT).mul(mask_BT)
    return d.sum(dim=1), (torch.expm1(-d) + d).sum(dim=1)


def train(task, settings):
    start = task.reference()
    table = start.clone().requires_grad_()
    draws = torch.Generator().manual_seed(settings.seed + 1)
    optimizer = torch.optim.Adam([table], lr=settings.lr, betas=(0.9, 0.99))
    who = torch.arange(task.prompts).repeat_interleave(settings.group * settings.groups)
    for step in range(settings.steps):
        ids = torch.zeros(len(who), 0, dtype=torch.long)
        with torch.no_grad():
            for _ in range(task.length):
                p = task.logits(table, who, ids)[:, -1].softmax(1)
                ids = torch.cat([ids, torch.multinomial(p, 1, generator=draws)], 1)
        here, there = (
            task.logits(t, who, ids)[:, : task.length].log_softmax(2).gather(2, ids[:, :, None]).squeeze(2)
            for t in (table, start)
        )
        mask = torch.ones_like(there)
        rewards = shaped_rewards(task.score(who, ids), here.detach(), there, mask, 0.0)
        a = advantages(rewards, mask, settings.group)
        loss = policy_loss(here, here.detach(), a, mask, settings.clip, len(who))
        loss = loss + task.beta * (here.sum(1) - there.sum(1)).square().mean() / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["lr"] = settings.lr * (1 - step / settings.steps)
        optimizer.step()
    return table.detach()
