"""PPO: a value for each prompt and prefix, GAE, whitened advantages, two passes in two minibatches."""

import torch
import torch.nn.functional as F


def shaped_rewards(scores_B, logp_BT, ref_BT, mask_BT, beta):
    penalty = torch.where(mask_BT.bool(), beta * (logp_BT - ref_BT), torch.zeros_like(logp_BT))
    ends = mask_BT.bool() & ~F.pad(mask_BT[:, 1:].bool(), (0, 1))
    return ends * scores_B.unsqueeze(1) - penalty


def advantages(rewards_BT, mask_BT, group):
    out = torch.zeros_like(rewards_BT)
    for start in range(0, len(rewards_BT), group):
        total = (rewards_BT[start : start + group] * mask_BT[start : start + group]).sum(1)
        out[start : start + group] = ((total - total.mean()) * group / (group - 1))[:, None]
    return out * mask_BT


def policy_loss(logp_BT, old_BT, adv_BT, mask_BT, clip, tokens):
    live = mask_BT.bool()
    r, a = (logp_BT[live] - old_BT[live]).exp(), adv_BT[live]
    free, held = a * r, a * torch.clip(r, 1 - clip, 1 + clip)
    return -torch.where(free < held, free, held).sum() / tokens


def kl(logp_BT, ref_BT, mask_BT):
    log_r = torch.where(mask_BT.bool(), ref_BT - logp_BT, torch.zeros_like(ref_BT))
    return -log_r.sum(-1), (torch.expm1(log_r) - log_r).sum(-1)


def spoken(task, table, values, p, y):
    logp = F.log_softmax(task.logits(table, p, y)[:, :-1], -1).gather(2, y[..., None])[..., 0]
    place, states = torch.zeros_like(p), []
    offset = 0
    for t in range(task.length):
        states.append(offset + place)
        place, offset = place * task.vocabulary + y[:, t], offset + task.vocabulary**t
    return logp, values[p[:, None], torch.stack(states, 1)]


def train(task, settings):
    ref = task.reference()
    table = ref.clone().requires_grad_()
    values = torch.zeros(ref.shape[:2], dtype=ref.dtype, requires_grad=True)
    optimizer = torch.optim.Adam(
        [{"params": [table]}, {"params": [values]}], lr=settings.lr, betas=(0.9, 0.99)
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: 1 - n / settings.steps)
    each = settings.group * settings.groups
    for _ in range(settings.steps):
        p = torch.arange(task.prompts).repeat_interleave(each)
        with torch.no_grad():
            y = torch.empty(len(p), 0, dtype=torch.long)
            for _ in range(task.length):
                next_token = torch.distributions.Categorical(logits=task.logits(table, p, y)[:, -1]).sample()
                y = torch.cat([y, next_token[:, None]], 1)
            old, v = spoken(task, table, values, p, y)
            base, _ = spoken(task, ref, values, p, y)
            mask = torch.ones_like(old)
            r = shaped_rewards(task.score(p, y), old, base, mask, task.beta)
            adv, after = torch.zeros_like(r), torch.zeros_like(r[:, 0])
            for t in reversed(range(task.length)):
                ahead = v[:, t + 1] if t + 1 < task.length else torch.zeros_like(after)
                after = r[:, t] + ahead - v[:, t] + 0.95 * after
                adv[:, t] = after
            target = adv + v
            adv = (adv - adv.mean()) / (adv.std() + 1e-8)
        for rows in torch.randperm(len(p)).chunk(2):
            logp, now = spoken(task, table, values, p[rows], y[rows])
            loss = policy_loss(logp, old[rows], adv[rows], mask[rows], settings.clip, len(rows))
            loss = loss + 0.5 * (now - target[rows]).square().sum() / len(rows)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        schedule.step()
    return table.detach()
