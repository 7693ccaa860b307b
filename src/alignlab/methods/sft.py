"""Supervised fine-tuning: learn to answer as the demonstrations do (InstructGPT, section 3.5, step 1).

I render each demonstration by the model's own chat template, and learn to predict the tokens of the answer
and the end of the turn; what the user said is read and not learnt, unless `train_on` says so. The loss of a
batch is the mean over all of its trained tokens, so that a long answer weighs more than a short one, and
micro-batches change nothing. Batches hold rows of similar length, in an order that follows from the seed. I
leave out evaluation while training, but for the loss on held-out prompts after each epoch, and picking a best
checkpoint: the last one is the result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch

from ..data.checks import enough, fit
from ..data.split import by_question
from ..errors import ConfigError, DataError
from ..losses import sft_loss
from ..models import shards
from ..models.batch import Batch, by_length, pack
from ..models.chat import Rendered, render
from ..models.forward import laid_out, seed_dropout, takes_a_mask, token_logprobs_of, token_stats
from ..models.optimizer import MasterAdamW
from ..models.policy import Policy
from ..models.state import Trained
from ..records import Demonstration, Message
from ..run import RunDir, derive_seed, guard_finite, ranks
from ..settings import SFTSettings
from ..settings.rules import check


def train(
    run: RunDir,
    policy: Policy,
    demonstrations: Sequence[Demonstration],
    settings: SFTSettings,
    *,
    seed: int,
    held_out: Sequence[Demonstration] | None = None,
) -> dict[str, Any]:
    """Fine-tune the policy in place.

    Metrics of a step: `loss` (nats per trained token), `entropy`, `mean_token_accuracy`, `num_tokens` (so
    far), `grad_norm`, `learning_rate`, `epoch`; after each epoch `eval_loss`, on held-out prompts.

    Args:
        held_out: demonstrations for the held-out loss; None keeps the share `settings.held_out` of the
            prompts.

    Returns:
        `eval_loss_before` and `eval_loss` (nats per trained token; None without held-out demonstrations), and
        what was trained on.

    Raises:
        ConfigError: packing, with a model that cannot keep rows apart. DataError: nothing to learn, or
            nothing that fits.
        GuardStop: a loss that is not finite.
    """
    check(settings)

    # 1. what fits, encoded once; prompts kept for the held-out loss
    def reads(d: Demonstration, tokenizer: Any) -> list[Rendered]:
        return [encode(tokenizer, d, settings.train_on)]

    fitting, report = fit(
        demonstrations,
        policy.tokenizer,
        settings.max_length,
        truncate=settings.truncate,
        anyway=settings.anyway,
        encode=reads,
    )
    run.note(f"sft: {report}")
    if held_out is None:
        learn, test = by_question(fitting, settings.held_out, seed)
    else:
        learn, test = (
            fitting,
            fit(held_out, policy.tokenizer, settings.max_length, truncate=settings.truncate, encode=reads)[0]
            if held_out
            else [],
        )
    if not learn:
        raise DataError(
            "every demonstration was held out", remedy="more demonstrations, or a smaller held_out"
        )
    run.note(enough("sft", report, settings, held_out, learn=len(learn), test=len(test), least=1))
    rows = [cut(encode(policy.tokenizer, d, settings.train_on), settings.max_length) for d in learn]
    if settings.packing and not takes_a_mask(policy.model, max(len(row.ids) for row in rows)):
        raise ConfigError(
            f"packing = True, and {type(policy.model).__name__} cannot keep packed rows of this length apart",
            remedy="packing = False",
        )
    test_rows = [cut(encode(policy.tokenizer, d, settings.train_on), settings.max_length) for d in test]
    run.add_data("demonstrations", learn)

    # 2. the optimizer, where it was if the run goes on
    batches_an_epoch = math.ceil(len(rows) / settings.batch)
    total = max(1, math.ceil(settings.epochs * batches_an_epoch))
    optimizer = MasterAdamW(policy.model.parameters(), settings.optim, total)
    trained = Trained(run, {"tokens": 0}, model=(policy.model, optimizer))
    numbers = trained.numbers
    if not trained.resumed:
        numbers["eval_before"] = numbers["eval_loss"] = held_out_loss(policy, test_rows)

    policy.model.train()
    lengths = [len(row.ids) for row in rows]
    batches = lru_cache(1)(lambda epoch: by_length(lengths, settings.batch, derive_seed(seed, "sft"), epoch))
    for step in run.steps(total, desc="sft", save=trained.state):
        # 3. the batch of this step: its place follows from seed, epoch and step
        epoch, place = divmod(step, batches_an_epoch)
        chosen = batches(epoch)[place]
        size = settings.micro_batch or len(chosen)
        micros = [
            collate([rows[i] if counts else unlearnt(rows[i]) for i in part], policy, settings)
            for start in range(0, len(chosen), size)
            for part, counts in [shards.share(policy.model, chosen[start : start + size])]
            if part
        ]
        seed_dropout(derive_seed(seed, "sft", step))  # dropout, where the model has it

        # 4. the loss over the whole batch's token count, so that micro-batches and processes change nothing
        (count,) = ranks.added({"tokens": sum(trained_tokens(micro) for micro in micros)}).values()
        sums = {"loss": 0.0, "entropy": 0.0, "mean_token_accuracy": 0.0}
        for micro in micros:
            stats = token_stats(policy.model, micro)
            loss, _ = sft_loss(stats.logprobs_BT, micro.loss_mask_BT, denominator=count)
            value = loss.item()
            if not math.isfinite(value):
                worst = stats.logprobs_BT.detach().sum(1).neg().argmax()  # NaN counts as the largest
                guard_finite(
                    value, step=step, what="the loss", sample=policy.tokenizer.decode(micro.ids_BT[worst])
                )
            loss.backward()
            sums["loss"] += value
            sums["entropy"] += stats.entropy_BT.sum().item() / count
            sums["mean_token_accuracy"] += stats.correct_BT.sum().item() / count

        sums = ranks.added(sums)

        # 5. the update
        rate = optimizer.lr
        grad_norm = optimizer.step()
        guard_finite(grad_norm, step=step, what="the gradient norm", sample=learn[chosen[0]].prompt.text)
        numbers["tokens"] += int(count)
        metrics = {
            **sums,
            "num_tokens": numbers["tokens"],
            "grad_norm": grad_norm,
            "learning_rate": rate,
            "epoch": (step + 1) / batches_an_epoch,
        }

        # 6. after each epoch the loss on prompts it never saw
        if test_rows and (place + 1 == batches_an_epoch or step + 1 == total):
            metrics["eval_loss"] = numbers["eval_loss"] = held_out_loss(policy, test_rows)
        run.log(step, metrics)

    policy.model.eval()
    return {
        "demonstrations": len(learn),
        "held_out": len(test),
        "dropped": report.dropped,
        "cut": report.cut,
        "num_tokens": numbers["tokens"],
        "steps": total,
        "eval_loss_before": numbers["eval_before"],
        "eval_loss": numbers["eval_loss"],
    }


def encode(tokenizer: Any, demonstration: Demonstration, train_on: str) -> Rendered:
    """A demonstration as ids and loss mask."""
    messages = (*demonstration.prompt.messages, Message("assistant", demonstration.completion))
    return render(tokenizer, messages, train_on="all" if train_on == "all" else "last")


def cut(row: Rendered, max_length: int) -> Rendered:
    """The beginning of a row that is too long, without an end token: `fit` lets such a row through only if
    its end is to be cut.
    """
    return Rendered(row.ids[:max_length], row.loss_mask[:max_length])


def unlearnt(row: Rendered) -> Rendered:
    """The row with nothing to learn in it."""
    return Rendered(row.ids, [0] * len(row.ids))


def trained_tokens(batch: Batch) -> float:
    """Tokens that carry the loss; the first of a row is never predicted."""
    return float(batch.loss_mask_BT[:, 1:].sum())


def collate(rows: Sequence[Rendered], policy: Policy, settings: SFTSettings) -> Batch:
    """Rows as they are read with the least work, or with `packing` in rows of `max_length`."""
    if settings.packing:
        return pack(rows, max(settings.max_length, *(len(row.ids) for row in rows)), policy.pad_id).to(
            policy.device
        )
    return laid_out(policy.model, rows, policy.pad_id).batch


@torch.no_grad()
def held_out_loss(policy: Policy, rows: Sequence[Rendered]) -> float | None:
    """Mean negative log-likelihood per trained token, in nats; None without rows."""
    if not rows:
        return None
    training = policy.model.training
    policy.model.eval()
    total = count = 0.0
    ordered = sorted(rows, key=lambda row: len(row.ids))
    for start in range(0, len(ordered), 16):
        batch = laid_out(policy.model, ordered[start : start + 16], policy.pad_id).batch
        total -= token_logprobs_of(policy.model, batch).sum().item()
        count += trained_tokens(batch)
    policy.model.train(training)
    return total / count
