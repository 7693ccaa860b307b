"""A solution of exercise 2, from which the wrong ones are made by putting another function in its place."""

import hashlib
import json

import torch
from torch.nn.functional import logsigmoid


def pairs(ranks):
    n = len(ranks)
    return [(i, j) for i in range(n) for j in range(n) if ranks[i] < ranks[j]]


def split(rankings, share, seed):
    train, test = [], []
    for row in rankings:
        asked = json.dumps([seed, row["kind"], row["params"]], sort_keys=True)
        drawn = int(hashlib.sha256(asked.encode()).hexdigest()[:8], 16) / 16**8
        (test if drawn < share else train).append(row)
    return train, test


def bt_loss(chosen_B, rejected_B):
    return -logsigmoid(chosen_B - rejected_B).mean()


def score_at(scores_BT, lengths_B, finished_B):
    last_B = torch.where(finished_B, lengths_B, lengths_B - 1)
    return scores_BT[torch.arange(len(last_B)), last_B]


def alpha(votes):
    together = {}
    for item in zip(*votes, strict=True):
        said = [vote for vote in item if vote is not None]
        for i, a in enumerate(said):
            for j, b in enumerate(said):
                if i != j:
                    together[a, b] = together.get((a, b), 0.0) + 1 / (len(said) - 1)
    labels = {a for a, _ in together}
    n_of = {a: sum(together.get((a, b), 0.0) for b in labels) for a in labels}
    n = sum(n_of.values())
    apart = sum(count for (a, b), count in together.items() if a != b)
    by_chance = sum(n_of[a] * n_of[b] for a in labels for b in labels if a != b) / (n - 1)
    return 1.0 if by_chance == 0 else 1 - apart / by_chance


def reliability(p, y, bins):
    rows, ece = [], 0.0
    for b in range(bins):
        inside = [i for i in range(len(p)) if min(int(p[i] * bins), bins - 1) == b]
        if not inside:
            rows.append([0.0, 0.0, 0])
            continue
        stated = sum(p[i] for i in inside) / len(inside)
        happened = sum(y[i] for i in inside) / len(inside)
        rows.append([stated, happened, len(inside)])
        ece += abs(stated - happened) * len(inside) / len(p)
    return rows, ece


def figures(learnt_N2, fresh_N2, bins):
    p, y = fresh_N2.unbind(1)
    accuracy = ((p > 0.5) == (y > 0.5)).double().mean()
    return float(accuracy), reliability(p.tolist(), y.long().tolist(), bins)[1]
