"""Language modelling on rows of text: how a base model is made.

I read every row once, in the order it is given, predict each token from those before it, and take a step of
AdamW per batch, the rate warmed up and then let down to a twentieth. Rows are full, so that nothing is padded
and nothing laid out. I leave out fp32 masters, the layouts and the heads in pieces of the other loops (a new
model is small, in fp32, and its rows are alike), and a second pass: the corpus is longer than one can read
twice.
"""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from ..errors import DataError
from ..models.devices import wants_bf16
from ..run import RunDir, guard_finite
from ..settings import CriticSettings, PretrainSettings
from ..settings.rules import check

HELD_OUT_ROWS = 256


def pretrain(
    run: RunDir,
    model: PreTrainedModel,
    rows_NT: Tensor,
    settings: PretrainSettings | CriticSettings,
    weights_NT: Tensor | None = None,
) -> dict[str, Any]:
    """Train on every row once, in order.

    Args:
        model: any causal model, new, or one that reads on.
        rows_NT: (N, context + 1) token ids; the last 256 rows, or a tenth of them if that is less, are kept
            for the held-out loss.
        weights_NT: of the same shape, how much each token counts in the loss, 0 for one that is only read;
            all alike if it is not given. The first of a row is predicted by nothing.

    Metrics every 50 steps and after the last: `loss` (nats per learnt token, mean since the line before),
    `grad_norm`, `learning_rate`, `num_tokens` (so far), `time/tokens_per_second`.

    Returns:
        `parameters`, `num_tokens`, `eval_loss` (nats per learnt token), `seconds`.

    Raises:
        DataError: no batch is left beside the held-out rows. GuardStop: a loss that is not finite.
    """
    check(settings)
    kept = HELD_OUT_ROWS if weights_NT is None else min(HELD_OUT_ROWS, len(rows_NT) // 10)
    total = (len(rows_NT) - kept) // settings.batch
    if total <= 0:
        raise DataError(
            f"{len(rows_NT)} rows are too few: {kept} are held out and a step takes {settings.batch}",
            remedy="raise tokens",
        )
    optim = settings.optim
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": optim.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=optim.lr,
        betas=(optim.beta1, optim.beta2),
        fused=True,
    )
    model.set_attn_implementation("eager")  # the fastest at this length on a CPU
    autocast = (
        torch.autocast("cpu", torch.bfloat16)
        if wants_bf16(settings.model, torch.device("cpu"))
        else nullcontext()
    )

    def loss_of(rows: slice) -> tuple[Tensor, float]:
        """The mean loss, and the weight it is the mean over."""
        with autocast:
            logits = model(input_ids=rows_NT[rows, :-1], use_cache=False).logits
        logits_NV, targets_N = logits.float().flatten(0, 1), rows_NT[rows, 1:].flatten()
        if weights_NT is None:
            return cross_entropy(logits_NV, targets_N), len(targets_N)
        weights_N = weights_NT[rows, 1:].flatten().float()
        total = max(1.0, float(weights_N.sum()))
        return (cross_entropy(logits_NV, targets_N, reduction="none") * weights_N).sum() / total, total

    def state() -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors: dict[str, Tensor] = {f"model.{name}": p for name, p in model.named_parameters()}
        for i, p in enumerate(p for group in optimizer.param_groups for p in group["params"]):
            tensors |= {f"adam.{i}.{key}": value for key, value in optimizer.state[p].items()}
        return tensors, {"running": running, "since": since}

    saved, running, since = run.load_state(), 0.0, 0
    if saved:
        _, tensors, extra = saved
        running, since = extra["running"], extra["since"]
        with torch.no_grad():
            for name, p in model.named_parameters():
                p.copy_(tensors[f"model.{name}"])
        for i, p in enumerate(p for group in optimizer.param_groups for p in group["params"]):
            optimizer.state[p] = {
                key: tensors[f"adam.{i}.{key}"] for key in ("step", "exp_avg", "exp_avg_sq")
            }

    model.train()
    clock, timed = time.perf_counter(), 0
    for step in run.steps(total, desc="pretrain", save=state):
        decay = {
            "constant": 1.0,
            "linear": 1 - step / total,
            "cosine": 0.5 * (1 + math.cos(math.pi * step / total)),
        }[optim.schedule]
        lr = optim.lr * min(1.0, (step + 1) / max(1, optim.warmup * total)) * (0.05 + 0.95 * decay)
        for group in optimizer.param_groups:
            group["lr"] = lr
        loss, _ = loss_of(slice(step * settings.batch, (step + 1) * settings.batch))
        loss.backward()
        grad_norm = torch.nn.utils.clip_grad_norm_(model.parameters(), optim.max_grad_norm or math.inf)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        running, since, timed = running + loss.item(), since + 1, timed + 1
        guard_finite(running, step=step, what="the loss")
        if (step + 1) % 50 == 0 or step + 1 == total:
            rate = timed * settings.batch * settings.context / (time.perf_counter() - clock)
            run.log(
                step,
                {
                    "loss": running / since,
                    "grad_norm": float(grad_norm),
                    "learning_rate": lr,
                    "num_tokens": (step + 1) * settings.batch * settings.context,
                    "time/tokens_per_second": rate,
                },
            )
            clock, timed, since, running = time.perf_counter(), 0, 0, 0.0
    if saved is None or saved[0] < total:
        run.save_state(total - 1, *state())

    model.eval()
    with torch.inference_mode():
        found = [loss_of(slice(start, start + 32)) for start in range(len(rows_NT) - kept, len(rows_NT), 32)]
    eval_loss = sum(loss.item() * weight for loss, weight in found) / max(
        1.0, sum(weight for _, weight in found)
    )
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "num_tokens": total * settings.batch * settings.context,
        "eval_loss": eval_loss,
        "seconds": run.info["seconds"],
    }
