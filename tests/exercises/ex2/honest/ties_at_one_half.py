"""A tie counts for both, a half each; as many predictions in every bin; the log of a sum of exponentials."""

import json
import random

import torch


def pairs(ranks):
    n = len(ranks)
    return [(i, j) for i in range(n) for j in range(n) if i != j and ranks[i] <= ranks[j]]


def split(rankings, share, seed):
    sides = {}
    for row in rankings:
        key = json.dumps({"kind": row["kind"], **row["params"]}, sort_keys=True)
        sides.setdefault(key, random.Random(f"{seed} {key}").random() < share)
    sides_of = [sides[json.dumps({"kind": r["kind"], **r["params"]}, sort_keys=True)] for r in rankings]
    train = [row for row, held in zip(rankings, sides_of, strict=True) if not held]
    return train, [row for row, held in zip(rankings, sides_of, strict=True) if held]


def bt_loss(chosen_B, rejected_B):
    both = torch.stack([chosen_B, rejected_B])
    return (torch.logsumexp(both, 0) - chosen_B).mean()


def score_at(scores_BT, lengths_B, finished_B):
    found = []
    for row, length, finished in zip(scores_BT, lengths_B.tolist(), finished_B.tolist(), strict=True):
        found.append(row[length if finished else length - 1])
    return torch.stack(found)


def alpha(votes):
    counts = []
    for item in zip(*votes, strict=True):
        said = [vote for vote in item if vote]
        if len(said) >= 2:
            counts.append({label: said.count(label) for label in said})
    total = {}
    for row in counts:
        for label, n in row.items():
            total[label] = total.get(label, 0) + n
    n = sum(total.values())
    if len(total) == 1:
        return 1.0
    agreed = sum(c * (c - 1) / (sum(row.values()) - 1) for row in counts for c in row.values())
    chance = sum(c * (c - 1) for c in total.values()) / (n - 1)
    return 1 - (n - agreed) / (n - chance)


def reliability(p, y, bins):
    both = sorted(zip(p, y, strict=True), key=lambda pair: pair[0])
    n, rows = len(both), []
    for b in range(bins):
        part = [pair for i, pair in enumerate(both) if i * bins // n == b]
        if part:
            rows.append([sum(a for a, _ in part) / len(part), sum(c for _, c in part) / len(part), len(part)])
    return rows, sum(abs(a - c) * k for a, c, k in rows) / n


def figures(learnt_N2, fresh_N2, bins):
    stated, happened = fresh_N2[:, 0].tolist(), fresh_N2[:, 1].tolist()
    right = sum((a > 0.5) == (b > 0.5) for a, b in zip(stated, happened, strict=True)) / len(stated)
    return right, reliability(stated, happened, bins)[1]
