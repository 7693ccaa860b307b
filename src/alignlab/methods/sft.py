"""Supervised fine-tuning: learn to answer as the demonstrations do (InstructGPT, section 3.5, step 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..data.checks import fit
from ..data.split import by_prompt
from ..errors import DataError
from ..losses import sft_loss
from ..models.batch import Batch, by_length, pack, pad
from ..models.chat import Rendered, render
from ..models.forward import token_stats
from ..models.load import Policy, load_tensors, trainable_tensors
from ..models.optimizer import MasterAdamW
from ..records import Demonstration, Message
from ..run import RunDir, derive_seed, guard_finite
from ..settings import SFTSettings


def train(run: RunDir, policy: Policy, demonstrations: Sequence[Demonstration], settings: SFTSettings, *, seed: int,
          held_out: Sequence[Demonstration] | None = None) -> dict[str, Any]:
    """Fine-tune the policy in place.

    Metrics a step: `loss` (nats a trained token), `entropy`, `mean_token_accuracy`, `num_tokens` (so far), `grad_norm`, `learning_rate`, `epoch`.

    Returns:
        Held-out loss before and after, and what was trained on.

    Raises:
        DataError: nothing to learn, or nothing that fits. GuardStop: a loss that is not finite.
    """
    # 1. what fits, encoded once; prompts kept for the held-out loss
    fitting, report = fit(demonstrations, policy.tokenizer, settings.max_length)
    run.note(f"sft: {report}")
    learn, test = (fitting, list(held_out)) if held_out is not None else by_prompt(fitting, settings.held_out, seed)
    if not learn:
        raise DataError("every demonstration was held out", remedy="more demonstrations, or a smaller held_out")
    rows = [encode(policy.tokenizer, d, settings.train_on) for d in learn]
    test_rows = [encode(policy.tokenizer, d, settings.train_on) for d in test]
    run.add_data("demonstrations", learn)

    # 2. the optimiser, where it was if the run goes on
    batches_an_epoch = math.ceil(len(rows) / settings.batch)
    total = max(1, math.ceil(settings.epochs * batches_an_epoch))
    optimizer = MasterAdamW(policy.model.parameters(), settings.optim, total)
    eval_before, tokens = held_out_loss(policy, test_rows), 0
    if saved := run.load_state():
        _, tensors, extra = saved
        load_tensors(policy.model, tensors)
        optimizer.load_state_tensors(tensors)
        tokens, eval_before = extra["tokens"], extra["eval_before"]

    def state() -> tuple[dict[str, Tensor], dict[str, Any]]:
        return trainable_tensors(policy.model) | optimizer.state_tensors(), {"tokens": tokens, "eval_before": eval_before}

    policy.model.train()
    lengths = [len(row.ids) for row in rows]
    for step in run.steps(total, desc="sft", save=state):
        # 3. the batch of this step: its place follows from seed, epoch and step
        epoch, place = divmod(step, batches_an_epoch)
        chosen = by_length(lengths, settings.batch, derive_seed(seed, "sft"), epoch)[place]
        batch = (pack([rows[i] for i in chosen], settings.max_length, policy.pad_id) if settings.packing
                 else pad([rows[i] for i in chosen], policy.pad_id)).to(policy.device)
        torch.manual_seed(derive_seed(seed, "sft", step))  # dropout, where the model has it

        # 4. the loss over the whole batch's token count, so that micro-batches change nothing
        count = trained_tokens(batch)
        sums = {"loss": 0.0, "entropy": 0.0, "mean_token_accuracy": 0.0}
        for micro in micro_batches(batch, settings.micro_batch):
            stats = token_stats(policy.model, micro)
            loss, _ = sft_loss(stats.logprobs_BT, micro.loss_mask_BT, denominator=count)
            loss.backward()
            sums["loss"] += loss.item()
            sums["entropy"] += stats.entropy_BT.sum().item() / count
            sums["mean_token_accuracy"] += stats.correct_BT.sum().item() / count
        guard_finite(sums["loss"], step=step, what="the loss", sample=learn[chosen[0]].prompt.text)

        # 5. the update
        rate = optimizer.lr
        grad_norm = optimizer.step()
        guard_finite(grad_norm, step=step, what="the gradient norm", sample=learn[chosen[0]].prompt.text)
        tokens += int(count)
        run.log(step, {**sums, "num_tokens": tokens, "grad_norm": grad_norm, "learning_rate": rate, "epoch": (step + 1) / batches_an_epoch})

    policy.model.eval()
    return {"demonstrations": len(learn), "held_out": len(test), "dropped": report.dropped, "num_tokens": tokens, "steps": total,
            "eval_loss_before": eval_before, "eval_loss": held_out_loss(policy, test_rows)}


def encode(tokenizer: Any, demonstration: Demonstration, train_on: str) -> Rendered:
    """A demonstration as ids and loss mask."""
    messages = (*demonstration.prompt.messages, Message("assistant", demonstration.completion))
    return render(tokenizer, messages, train_on="all" if train_on == "all" else "last")


def trained_tokens(batch: Batch) -> float:
    """Tokens that carry the loss; the first of a row is never predicted."""
    return float(batch.loss_mask_BT[:, 1:].sum())


def micro_batches(batch: Batch, size: int) -> list[Batch]:
    rows = batch.ids_BT.shape[0]
    return [batch.rows(slice(i, i + size)) for i in range(0, rows, size)] if size else [batch]


@torch.no_grad()
def held_out_loss(policy: Policy, rows: Sequence[Rendered]) -> float | None:
    """Mean negative log-likelihood a trained token, in nats; None without rows."""
    if not rows:
        return None
    training = policy.model.training
    policy.model.eval()
    total = count = 0.0
    ordered = sorted(rows, key=lambda row: len(row.ids))
    for start in range(0, len(ordered), 16):
        batch = pad(ordered[start : start + 16], policy.pad_id).to(policy.device)
        total -= token_stats(policy.model, batch).logprobs_BT.sum().item()
        count += trained_tokens(batch)
    policy.model.train(training)
    return total / count
