"""Direct preference optimisation (Rafailov et al. 2023): the policy itself as the reward model."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..data.checks import fit
from ..data.split import by_prompt
from ..errors import DataError
from ..evals import statistics
from ..losses import dpo_loss
from ..models.batch import by_length, pad
from ..models.chat import Rendered, example
from ..models.forward import token_logprobs_of
from ..models.load import Policy, load_tensors, trainable_tensors
from ..models.optimizer import MasterAdamW
from ..records import Comparison, Ranking
from ..run import RunDir, derive_seed, guard_finite
from ..settings import DPOSettings

Pair = tuple[Rendered, Rendered]


def train(run: RunDir, policy: Policy, preferences: Sequence[Ranking | Comparison], settings: DPOSettings, *, seed: int,
          held_out: Sequence[Ranking | Comparison] | None = None) -> dict[str, Any]:
    """Train the policy in place on comparisons, against the policy it was.

    Metrics a step: `loss`, `rewards/chosen`, `rewards/rejected`, `rewards/accuracies`, `rewards/margins`, `logps/chosen`, `logps/rejected`,
    `grad_norm`, `learning_rate`, `epoch`. Both log-probabilities may fall while the margin grows (likelihood displacement): they are logged apart.

    Returns:
        Held-out accuracy and margin of the implicit reward, and whether displacement set in.
    """
    # 1. comparisons that fit, encoded once
    learn = comparisons_of(preferences, settings.pairs_per_prompt, seed)
    test = comparisons_of(held_out, 0, seed) if held_out is not None else []
    learn, report = fit(learn, policy.tokenizer, settings.max_length)
    if held_out is None:
        learn, test = by_prompt(learn, settings.held_out, seed)
    run.note(f"dpo: {report}")
    if not learn:
        raise DataError("every comparison was held out", remedy="more data, or a smaller held_out")
    rows, test_rows = [encode(policy, c) for c in learn], [encode(policy, c) for c in test]
    run.add_data("comparisons", learn)

    # 2. the reference: the policy as it is now, asked once
    reference = logps(policy, [r for pair in rows for r in pair]).view(-1, 2)
    test_reference = logps(policy, [r for pair in test_rows for r in pair]).view(-1, 2)

    # 3. the optimiser, where it was if the run goes on
    batches_an_epoch = math.ceil(len(rows) / settings.batch)
    total = max(1, math.ceil(settings.epochs * batches_an_epoch))
    optimizer = MasterAdamW(policy.model.parameters(), settings.optim, total)
    if saved := run.load_state():
        load_tensors(policy.model, saved[1])
        optimizer.load_state_tensors(saved[1])

    def state() -> tuple[dict[str, Tensor], dict[str, Any]]:
        return trainable_tensors(policy.model) | optimizer.state_tensors(), {}

    policy.model.train()
    lengths = [max(len(a.ids), len(b.ids)) for a, b in rows]
    last: dict[str, float] = {}
    for step in run.steps(total, desc="dpo", save=state):
        # 4. chosen and rejected of a batch in one forward pass
        epoch, place = divmod(step, batches_an_epoch)
        chosen = by_length(lengths, settings.batch, derive_seed(seed, "dpo"), epoch)[place]
        torch.manual_seed(derive_seed(seed, "dpo", step))
        size = settings.micro_batch or len(chosen)
        sums: dict[str, float] = {}
        for start in range(0, len(chosen), size):
            micro = chosen[start : start + size]
            batch = pad([r for i in micro for r in rows[i]], policy.pad_id).to(policy.device)
            policy_logps = token_logprobs_of(policy.model, batch).sum(1).view(-1, 2)
            ref = reference[micro].to(policy.device)
            losses, chosen_rewards, rejected_rewards = dpo_loss(policy_logps[:, 0], policy_logps[:, 1], ref[:, 0], ref[:, 1], beta=settings.beta,
                                                                loss_type=settings.loss_type, label_smoothing=settings.label_smoothing)
            (losses.sum() / len(chosen)).backward()
            margins = chosen_rewards - rejected_rewards
            for key, values in {"loss": losses, "rewards/chosen": chosen_rewards, "rewards/rejected": rejected_rewards, "rewards/margins": margins,
                                "rewards/accuracies": (margins > 0).float(), "logps/chosen": policy_logps[:, 0], "logps/rejected": policy_logps[:, 1]}.items():
                sums[key] = sums.get(key, 0.0) + values.detach().sum().item() / len(chosen)
        guard_finite(sums["loss"], step=step, what="the loss", sample=learn[chosen[0]].prompt.text)

        # 5. the update
        rate = optimizer.lr
        grad_norm = optimizer.step()
        guard_finite(grad_norm, step=step, what="the gradient norm", sample=learn[chosen[0]].prompt.text)
        last = sums
        run.log(step, {**sums, "grad_norm": grad_norm, "learning_rate": rate, "epoch": (step + 1) / batches_an_epoch})

    # 6. the implicit reward on prompts it never saw
    policy.model.eval()
    after = logps(policy, [r for pair in test_rows for r in pair]).view(-1, 2)
    gain = settings.beta * (after - test_reference)
    margins = gain[:, 0] - gain[:, 1]
    moved = {"chosen": float(gain[:, 0].mean()), "rejected": float(gain[:, 1].mean())} if len(margins) else {}
    return {"comparisons": len(learn), "held_out": len(test), "dropped": report.dropped, "steps": total,
            "accuracy": statistics.mean_ci([1.0 if m > 0 else 0.5 if m == 0 else 0.0 for m in margins.tolist()]),
            "margin": float(margins.mean()) if len(margins) else None, "eval_rewards": moved,
            "likelihood_displacement": bool(moved and moved["chosen"] < 0 < margins.mean()), "train_margin_last": last.get("rewards/margins")}


def comparisons_of(preferences: Sequence[Ranking | Comparison], per_prompt: int, seed: int) -> list[Comparison]:
    """Comparisons as they are, rankings as all their pairs (or `per_prompt` of them, drawn by the seed); ties left out."""
    found: list[Comparison] = []
    for i, item in enumerate(preferences):
        pairs = item.comparisons() if isinstance(item, Ranking) else [] if item.tie else [item]
        if per_prompt and len(pairs) > per_prompt:
            pairs = random.Random(derive_seed(seed, "pairs", i)).sample(pairs, per_prompt)
        found += pairs
    return found


def encode(policy: Policy, comparison: Comparison) -> Pair:
    c = comparison
    return (example(policy.tokenizer, c.prompt, c.chosen, finished=c.chosen_finished),
            example(policy.tokenizer, c.prompt, c.rejected, finished=c.rejected_finished))


@torch.no_grad()
def logps(policy: Policy, rows: Sequence[Rendered], *, batch: int = 32) -> Tensor:
    """(N,) log-probability of each completion under the policy as it is."""
    training = policy.model.training
    policy.model.eval()
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))
    sums = torch.zeros(len(rows))
    for start in range(0, len(order), batch):
        chunk = order[start : start + batch]
        sums[chunk] = token_logprobs_of(policy.model, pad([rows[i] for i in chunk], policy.pad_id).to(policy.device)).sum(1).float().cpu()
    policy.model.train(training)
    return sums
