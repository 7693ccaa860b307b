"""Dr. GRPO: what came from a token on, less the mean of the group; the clip as a maximum of losses."""

import torch


def shaped_rewards(s, lp, ref, m, beta):
    out = torch.zeros_like(lp)
    for i, row in enumerate(m.bool()):
        where = row.nonzero()[:, 0]
        out[i, where] = -beta * (lp[i, where] - ref[i, where])
        out[i, where[-1]] += s[i]
    return out


def advantages(r, m, group):
    r = r * m
    to_go = r.flip(1).cumsum(1).flip(1).view(-1, group, r.shape[1])
    return (to_go - to_go.mean(1, keepdim=True)).reshape(r.shape) * m


def policy_loss(lp, old, a, m, clip, tokens):
    ratio = torch.exp(torch.where(m > 0, lp - old, 0.0))
    loss = torch.maximum(-a * ratio, -a * torch.clamp(ratio, min=1 - clip, max=1 + clip))
    return torch.where(m > 0, loss, 0.0).sum() / tokens


def kl(lp, ref, m):
    d = torch.where(m > 0, lp - ref, 0.0)
    return d.sum(1), (torch.exp(-d) - 1 + d).sum(1)


def train(task, settings):
    ref = task.reference()
    table = torch.nn.Parameter(ref.clone())
    optimizer = torch.optim.Adam([table], lr=settings.lr, betas=(0.9, 0.99))
    G = torch.Generator().manual_seed(settings.seed)
    p = torch.arange(task.prompts).repeat_interleave(settings.group * settings.groups)

    def says(knobs, y):
        everything = task.logits(knobs, p, y)
        columns = [everything[:, t].log_softmax(-1).gather(1, y[:, t : t + 1]) for t in range(task.length)]
        return torch.cat(columns, 1)

    for step in range(settings.steps):
        optimizer.param_groups[0]["lr"] = settings.lr * (settings.steps - step) / settings.steps
        y = torch.zeros(len(p), 0, dtype=torch.long)
        for t in range(task.length):
            chances = task.logits(table.detach(), p, y)[:, t].softmax(-1)
            y = torch.hstack([y, chances.multinomial(1, generator=G)])
        new = says(table, y)
        old = new.detach()
        ones = torch.ones_like(old)
        rewards = shaped_whole(task, y, p, old, says(ref, y), ones)
        loss = policy_loss(new, old, advantages(rewards, ones, settings.group), ones, settings.clip, len(p))
        table.grad = None
        loss.backward()
        optimizer.step()
    return table.data


def shaped_whole(task, y, p, old, ref, ones):
    """The same as rows of a loop, at once."""
    rewards = -task.beta * (old - ref)
    rewards[:, -1] += task.score(p, y)
    return rewards
