"""Trains a reward model by a student's functions, in his process: split, pairs, score, loss.

It says what it saw, and judges nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification

EVERY = 8  # steps from one digest to the next


def model_of(given: dict[str, Any]) -> Any:
    config = AutoConfig.for_model(**given["config"])
    model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    model.load_state_dict(given["weights"])
    return model


class Rankings:
    """Rankings as rows of ids, each row an answer behind its prompt."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.rows = [ids.tolist() for ids in given["ids_N"].split(given["lengths"])]
        self.finished, self.ranks, self.pad = given["finished"], given["ranks"], given["pad_id"]
        self.first = [0]
        for ranks in self.ranks:
            self.first.append(self.first[-1] + len(ranks))

    def scores(self, student: ModuleType, model: Any, part: list[int]) -> list[Tensor]:
        """Of each of these rankings the scores of its answers, read where the student reads them."""
        places = [place for i in part for place in range(self.first[i], self.first[i + 1])]
        rows = [self.rows[place] for place in places]
        longest = 1 + max(map(len, rows))  # a place of padding behind the longest, too
        ids_BT = torch.tensor([[*row, *[self.pad] * (longest - len(row))] for row in rows])
        there_BT = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        finished_B = torch.tensor([self.finished[place] for place in places])
        hidden_BTH = model.model(input_ids=ids_BT, attention_mask=there_BT).last_hidden_state
        scores_BT = model.score(hidden_BTH).squeeze(2)
        lengths_B = there_BT.sum(1) - finished_B.long()
        scores_B = student.score_at(scores_BT, lengths_B, finished_B)
        return list(scores_B.split([len(self.ranks[i]) for i in part]))


def drive(student: ModuleType, given: dict[str, Any]) -> dict[str, Any]:
    """{"weights", "losses", "held_out", "said", "digests"} of a training with a student's functions."""
    g = torch.Generator().manual_seed(given["seed"])
    model, rankings = model_of(given), Rankings(given)
    train, test = student.split(given["asked"], given["share"], given["seed"])
    learn, fresh = ([row["place"] for row in part] for part in (train, test))
    learn = [i for i in learn if student.pairs(rankings.ranks[i])]
    weights = list(model.parameters())
    optimizer = torch.optim.AdamW(weights, lr=given["lr"], betas=(0.9, 0.98), weight_decay=0.01)
    size = given["batch"]
    a_pass = math.ceil(len(learn) / size)
    steps = given["epochs"] * a_pass
    losses: list[float] = []
    digests: list[str] = []
    model.train()
    for step in range(steps):
        if step % a_pass == 0:
            order = [learn[i] for i in torch.randperm(len(learn), generator=g).tolist()]
        part = order[(step % a_pass) * size : (step % a_pass + 1) * size]
        chosen: list[Tensor] = []
        rejected: list[Tensor] = []
        for i, scores_K in zip(part, rankings.scores(student, model, part), strict=True):
            for better, worse in student.pairs(rankings.ranks[i]):
                chosen.append(scores_K[better])
                rejected.append(scores_K[worse])
        loss = student.bt_loss(torch.stack(chosen), torch.stack(rejected))
        optimizer.param_groups[0]["lr"] = given["lr"] * rate(step, steps)
        optimizer.zero_grad()
        loss.backward()
        losses.append(float(loss.detach()))
        nn.utils.clip_grad_norm_(weights, 1.0)
        if step % EVERY == 0:
            digests.append(digest(weights))
        optimizer.step()
    model.eval()
    stated = [stated_of(student, model, rankings, part) for part in (learn, fresh)]
    said = student.figures(*stated, given["bins"])
    found = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    held_out = [given["asked"][i]["question"] for i in fresh]
    return {"weights": found, "losses": losses, "held_out": held_out, "said": list(said), "digests": digests}


@torch.no_grad()
def stated_of(student: ModuleType, model: Any, rankings: Rankings, part: list[int]) -> Tensor:
    """(N, 2): of each pair of different rank, as it comes, the probability that the first is preferred, and
    whether it was.
    """
    found: list[list[float]] = []
    for start in range(0, len(part), 16):
        some = part[start : start + 16]
        for i, scores_K in zip(some, rankings.scores(student, model, some), strict=True):
            ranks = rankings.ranks[i]
            for a in range(len(ranks)):
                for b in range(a + 1, len(ranks)):
                    if ranks[a] != ranks[b]:
                        p = torch.sigmoid(scores_K[a] - scores_K[b])
                        found.append([float(p), float(ranks[a] < ranks[b])])
    return torch.tensor(found, dtype=torch.float64).reshape(-1, 2)


def rate(step: int, steps: int) -> float:
    """A twentieth of the steps to warm up, then a cosine to 0."""
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def digest(weights: Sequence[Tensor]) -> str:
    found = hashlib.sha256()
    for weight in weights:
        found.update(weight.detach().contiguous().numpy().tobytes())
    return found.hexdigest()[:12]
