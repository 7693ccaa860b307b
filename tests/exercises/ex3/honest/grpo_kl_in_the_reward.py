"""GRPO with the KL in the reward: the division by the group's deviation divides zero at the optimum."""

import torch


def shaped_rewards(scores_B, logp_BT, ref_BT, mask_BT, beta):
    lengths = mask_BT.cumsum(1)
    last = (lengths == lengths[:, -1:]) & (mask_BT == 1)
    return (scores_B[:, None] * last) - beta * mask_BT * (logp_BT - ref_BT)


def advantages(rewards_BT, mask_BT, group):
    r = (rewards_BT * mask_BT).sum(1).reshape(-1, group)
    a = (r - r.mean(1, keepdim=True)) / (r.std(1, keepdim=True) + 1e-8)
    return a.reshape(-1, 1).expand(-1, mask_BT.shape[1]) * mask_BT


def policy_loss(logp_BT, old_BT, adv_BT, mask_BT, clip, tokens):
    ratio = torch.exp((logp_BT - old_BT) * mask_BT)
    up = adv_BT * torch.minimum(ratio, torch.full_like(ratio, 1 + clip))
    down = adv_BT * torch.maximum(ratio, torch.full_like(ratio, 1 - clip))
    return -(torch.where(adv_BT >= 0, up, down) * mask_BT).sum() / tokens


def kl(logp_BT, ref_BT, mask_BT):
    k1, k3 = [], []
    for lp, ref, m in zip(logp_BT, ref_BT, mask_BT, strict=True):
        d = (lp - ref)[m == 1]
        k1.append(d.sum())
        k3.append((1 / d.exp() - 1 + d).sum())
    return torch.stack(k1), torch.stack(k3)


def train(task, settings):
    torch.manual_seed(settings.seed)
    ref, table = task.reference(), task.reference().requires_grad_(True)
    adam = torch.optim.Adam([table], settings.lr, (0.9, 0.99))
    p = torch.arange(task.prompts).repeat_interleave(settings.group * settings.groups)
    rows = torch.arange(len(p))[:, None]
    places = torch.arange(task.length)[None]
    for step in range(settings.steps):
        with torch.no_grad():
            y = torch.zeros((len(p), 0), dtype=torch.int64)
            while y.shape[1] < task.length:
                gumbel = -(-torch.rand(len(p), task.vocabulary, dtype=torch.float64).log()).log()
                y = torch.cat((y, (task.logits(table, p, y)[:, -1] + gumbel).argmax(1)[:, None]), dim=1)
            old = task.logits(table, p, y).log_softmax(2)[rows, places, y]
            base = task.logits(ref, p, y).log_softmax(2)[rows, places, y]
            ones = torch.ones_like(old)
            a = advantages(shaped_rewards(task.score(p, y), old, base, ones, task.beta), ones, settings.group)
        new = task.logits(table, p, y).log_softmax(2)[rows, places, y]
        policy_loss(new, old, a, ones, settings.clip, len(p)).backward()
        adam.param_groups[0]["lr"] = settings.lr * (1 - step / settings.steps)
        adam.step()
        adam.zero_grad()
    return table
