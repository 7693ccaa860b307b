"""A solution of exercise 3, from which the wrong ones are made by replacing a function."""

import torch


def shaped_rewards(scores_B, logp_BT, ref_BT, mask_BT, beta):
    rewards_BT = -beta * (logp_BT - ref_BT) * mask_BT
    places_T = torch.arange(mask_BT.shape[1])
    last_B = (mask_BT * places_T).argmax(1)
    rewards_BT[torch.arange(len(scores_B)), last_B] += scores_B
    return rewards_BT


def advantages(rewards_BT, mask_BT, group):
    returns_PG = (rewards_BT * mask_BT).sum(1).view(-1, group)
    others_PG = (returns_PG.sum(1, keepdim=True) - returns_PG) / (group - 1)
    return (returns_PG - others_PG).view(-1, 1) * mask_BT


def policy_loss(logp_BT, old_BT, adv_BT, mask_BT, clip, tokens):
    ratio_BT = torch.exp((logp_BT - old_BT) * mask_BT)
    gain_BT = torch.min(ratio_BT * adv_BT, ratio_BT.clamp(1 - clip, 1 + clip) * adv_BT)
    return -(gain_BT * mask_BT).sum() / tokens


def kl(logp_BT, ref_BT, mask_BT):
    d_BT = (logp_BT - ref_BT) * mask_BT
    return d_BT.sum(1), ((-d_BT).exp() - 1 + d_BT).sum(1)


def write(task, table, prompts_B, generator):
    ids_Bt = torch.zeros(len(prompts_B), 0, dtype=torch.long)
    for _ in range(task.length):
        p_BV = task.logits(table, prompts_B, ids_Bt)[:, -1].softmax(-1)
        ids_Bt = torch.cat([ids_Bt, torch.multinomial(p_BV, 1, generator=generator)], 1)
    return ids_Bt


def logprobs(task, table, prompts_B, ids_BT):
    logits_BTV = task.logits(table, prompts_B, ids_BT)[:, :-1]
    return logits_BTV.log_softmax(-1).gather(2, ids_BT[:, :, None]).squeeze(2)


def train(task, settings):
    ref = task.reference()
    table = ref.clone().requires_grad_()
    generator = torch.Generator().manual_seed(settings.seed)
    optimizer = torch.optim.Adam([table], lr=settings.lr, betas=(0.9, 0.99))
    prompts_B = torch.arange(task.prompts).repeat_interleave(settings.group * settings.groups)
    for step in range(settings.steps):
        for knob in optimizer.param_groups:
            knob["lr"] = settings.lr * (1 - step / settings.steps)
        with torch.no_grad():
            ids_BT = write(task, table, prompts_B, generator)
            old_BT, ref_BT = (logprobs(task, t, prompts_B, ids_BT) for t in (table, ref))
            mask_BT = torch.ones_like(old_BT)
            scores_B = task.score(prompts_B, ids_BT)
            rewards_BT = shaped_rewards(scores_B, old_BT, ref_BT, mask_BT, task.beta)
            adv_BT = advantages(rewards_BT, mask_BT, settings.group)
        logp_BT = logprobs(task, table, prompts_B, ids_BT)
        loss = policy_loss(logp_BT, old_BT, adv_BT, mask_BT, settings.clip, len(prompts_B))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return table.detach()
