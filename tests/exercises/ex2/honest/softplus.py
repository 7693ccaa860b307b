"""softplus of the difference turned round; shuffled questions; alpha from pairwise disagreements."""

import random
from itertools import combinations

import torch
from torch.nn.functional import softplus


def pairs(ranks):
    found = []
    for i, j in combinations(range(len(ranks)), 2):
        if ranks[i] != ranks[j]:
            found.append((i, j) if ranks[i] < ranks[j] else (j, i))
    return found


def what(row):
    return row["kind"] + repr(sorted(row["params"].items(), key=repr))


def split(rankings, share, seed):
    questions = sorted({what(row) for row in rankings})
    random.Random(seed).shuffle(questions)
    held_out = set(questions[: round(share * len(questions))])
    return [r for r in rankings if what(r) not in held_out], [r for r in rankings if what(r) in held_out]


def bt_loss(chosen_B, rejected_B):
    return softplus(rejected_B - chosen_B).sum() / len(chosen_B)


def score_at(scores_BT, lengths_B, finished_B):
    last_B = lengths_B + finished_B.long() - 1
    return scores_BT.gather(1, last_B.unsqueeze(1))[:, 0]


def alpha(votes):
    observed, weight, everybody = 0.0, 0.0, []
    for item in zip(*votes, strict=True):
        said = [v for v in item if v is not None]
        if len(said) < 2:
            continue
        everybody.extend(said)
        differ = sum(a != b for a, b in combinations(said, 2))
        observed += 2 * differ / (len(said) - 1)
        weight += len(said)
    differ = sum(a != b for a, b in combinations(everybody, 2))
    if differ == 0:
        return 1.0
    expected = differ / (len(everybody) * (len(everybody) - 1) / 2)
    return 1 - (observed / weight) / expected


def reliability(p, y, bins):
    p, y = torch.tensor(p, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)
    where = (p * bins).long().clamp(max=bins - 1)
    rows = []
    for b in range(bins):
        inside = where == b
        if inside.any():
            rows.append((p[inside].mean().item(), y[inside].mean().item(), int(inside.sum())))
    return rows, sum(n * abs(a - b) for a, b, n in rows) / len(p)


def figures(learnt_N2, fresh_N2, bins):
    right = [float((p > 0.5) == (y == 1)) for p, y in fresh_N2.tolist()]
    p, y = [row[0] for row in fresh_N2.tolist()], [int(row[1]) for row in fresh_N2.tolist()]
    return sum(right) / len(right), reliability(p, y, bins)[1]
