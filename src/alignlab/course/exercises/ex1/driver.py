"""Fine-tunes a model by a student's functions, in his process: rows, masks, loss, two micro-batches a step.

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
from torch.nn.utils import parametrize
from transformers import AutoConfig, AutoModelForCausalLM

EVERY = 8  # steps from one digest to the next


class LowRank(nn.Module):
    """A weight with B A added (Hu et al. 2021), at the scale of alpha / rank = 2."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(rank, weight.shape[1]) / math.sqrt(weight.shape[1]))
        self.b = nn.Parameter(torch.zeros(weight.shape[0], rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + 2 * self.b @ self.a


def model_of(given: dict[str, Any]) -> nn.Module:
    config = AutoConfig.for_model(**given["config"])
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(given["weights"], strict=False)
    model.tie_weights()
    return model


def adapted(model: nn.Module, rank: int) -> list[nn.Linear]:
    """The linear layers of the blocks under adapters, which alone train from now on, beside the embeddings:
    the marks of a chat are new to a base model.
    """
    for name, weight in model.named_parameters():
        weight.requires_grad_("embed" in name)
    inner = [m for name, m in model.named_modules() if isinstance(m, nn.Linear) and "layers" in name]
    for layer in inner:
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank))
    return inner


def drive(student: ModuleType, given: dict[str, Any]) -> dict[str, Any]:
    """{"weights", "losses", "learnt", "digests"} of a fine-tuning with a student's functions."""
    g = torch.Generator().manual_seed(given["seed"])
    torch.manual_seed(given["seed"])
    model, end = model_of(given), given["end_id"]
    layers = adapted(model, given["rank"]) if given["rank"] else []
    rows = [ids.tolist() for ids in given["ids_N"].split(given["lengths"])]
    masks = [
        [int(one) for one in student.loss_mask(ids, n, end)]
        for ids, n in zip(rows, given["prompts"], strict=True)
    ]
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=given["lr"], betas=(0.9, 0.98), weight_decay=0.01)
    size = given["batch"]
    a_pass = math.ceil(len(rows) / size)
    steps = round(given["epochs"] * a_pass)
    losses: list[float] = []
    digests: list[str] = []
    model.train()
    for step in range(steps):
        if step % a_pass == 0:
            order = torch.randperm(len(rows), generator=g).tolist()
        part = order[(step % a_pass) * size : (step % a_pass + 1) * size]
        part.sort(key=lambda i: len(rows[i]))
        halves = [half for half in (part[: len(part) // 2], part[len(part) // 2 :]) if half]
        tokens = float(sum(sum(masks[i]) for i in part))
        optimizer.param_groups[0]["lr"] = given["lr"] * rate(step, steps)
        optimizer.zero_grad()
        losses.append(0.0)
        for half in halves:
            ids_BT, attention_BT = padded([rows[i] for i in half], given["pad_id"])
            mask_BT, _ = padded([masks[i] for i in half], 0)
            logits_BTV = model(input_ids=ids_BT, attention_mask=attention_BT).logits
            logprobs_BT = student.token_logprobs(logits_BTV, ids_BT)
            loss = student.sft_loss(logprobs_BT, mask_BT.to(logprobs_BT.dtype), tokens)
            loss.backward()
            losses[-1] += float(loss.detach())
        nn.utils.clip_grad_norm_(weights, 1.0)
        if step % EVERY == 0:
            digests.append(digest(weights))
        optimizer.step()
    for layer in layers:
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    found = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    learnt = [sum(mask) for mask in masks[:100]]
    return {"weights": found, "losses": losses, "learnt": learnt, "digests": digests}


def rate(step: int, steps: int) -> float:
    """A twentieth of the steps to warm up, then a cosine to 0."""
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def padded(rows: list[list[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Rows side by side, and 1 where they are."""
    longest = max(map(len, rows))
    ids_BT = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows])
    there_BT = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return ids_BT, there_BT


def digest(weights: Sequence[Tensor]) -> str:
    found = hashlib.sha256()
    for weight in weights:
        found.update(weight.detach().contiguous().numpy().tobytes())
    return found.hexdigest()[:12]
