"""Direct preference optimisation (Rafailov et al. 2023): the policy itself as the reward model."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..data.checks import fit
from ..data.split import by_prompt
from ..errors import DataError
from ..evals import statistics
from ..losses import dpo_loss
from ..models.batch import by_length, chunks
from ..models.chat import Rendered, example
from ..models.forward import laid_out, token_logprobs_of
from ..models.load import Policy, load_tensors, trainable_tensors
from ..models.optimizer import MasterAdamW
from ..records import Comparison, Ranking
from ..run import RunDir, derive_seed, guard_finite
from ..settings import DPOSettings


def train(run: RunDir, policy: Policy, preferences: Sequence[Ranking | Comparison], settings: DPOSettings, *, seed: int,
          held_out: Sequence[Ranking | Comparison] | None = None) -> dict[str, Any]:
    """Train the policy in place on comparisons, against the policy it was: what `policy` holds when this is called, also when a run goes on.

    Metrics a step: `loss`, `rewards/chosen`, `rewards/rejected`, `rewards/accuracies`, `rewards/margins`, `logps/chosen`, `logps/rejected`,
    `grad_norm`, `learning_rate`, `epoch`. Both log-probabilities may fall while the margin grows (likelihood displacement): they are logged apart.

    Args:
        preferences: comparisons, and rankings for all their pairs or `settings.pairs_per_prompt` of them; ties are left out.
        held_out: preferences kept for testing; None keeps the share `settings.held_out` of the prompts.

    Returns:
        On held-out comparisons: `accuracy` and `margin` of the implicit reward (0.5 and 0 before training, as the policy was the reference),
        `eval_rewards`, `reference_accuracy` (how often the reference finds the chosen one likelier) and whether displacement set in.

    Raises:
        DataError: nothing to learn, or nothing that fits. GuardStop: a loss that is not finite.
    """
    # 1. comparisons that fit, encoded once
    learn, report = fit(comparisons_of(preferences, settings.pairs_per_prompt, seed), policy.tokenizer, settings.max_length)
    run.note(f"dpo: {report}")
    if held_out is None:
        learn, test = by_prompt(learn, settings.held_out, seed)
    else:
        kept = comparisons_of(held_out, 0, seed)
        test = fit(kept, policy.tokenizer, settings.max_length)[0] if kept else []
    if not learn:
        raise DataError("every comparison was held out", remedy="more data, or a smaller held_out")
    rows = [row for c in learn for row in encode(policy, c)]  # chosen and rejected of comparison i at 2 i and 2 i + 1
    run.add_data("comparisons", learn)

    # 2. the batches, and the reference's log-probabilities, asked once, in the very batches of the first epoch: the first margin is exactly 0
    batches_an_epoch = math.ceil(len(learn) / settings.batch)
    total = max(1, math.ceil(settings.epochs * batches_an_epoch))
    lengths = [len(rows[2 * i].ids) + len(rows[2 * i + 1].ids) for i in range(len(learn))]
    batches = lru_cache(1)(lambda epoch: by_length(lengths, settings.batch, derive_seed(seed, "dpo"), epoch))
    size = settings.micro_batch or settings.batch
    first_epoch = [chosen[start : start + size] for chosen in batches(0) for start in range(0, len(chosen), size)]
    reference_N2 = logps(policy, rows, [[row for i in micro for row in (2 * i, 2 * i + 1)] for micro in first_epoch]).view(-1, 2)
    test_rows, test_places_N2 = distinct(encode(policy, c) for c in test)
    test_batches = chunks(test_rows, 4096)
    test_reference_N2 = logps(policy, test_rows, test_batches)[test_places_N2]

    # 3. the optimiser, where it was if the run goes on
    optimizer = MasterAdamW(policy.model.parameters(), settings.optim, total)
    if saved := run.load_state():
        load_tensors(policy.model, saved[1])
        optimizer.load_state_tensors(saved[1])

    def state() -> tuple[dict[str, Tensor], dict[str, Any]]:
        return trainable_tensors(policy.model) | optimizer.state_tensors(), {}

    policy.model.train()
    for step in run.steps(total, desc="dpo", save=state):
        # 4. chosen and rejected of a batch in one forward pass; the loss over all comparisons of the batch, so that micro-batches change nothing
        epoch, place = divmod(step, batches_an_epoch)
        chosen = batches(epoch)[place]
        torch.manual_seed(derive_seed(seed, "dpo", step))
        sums: dict[str, float] = {}
        for start in range(0, len(chosen), size):
            micro = chosen[start : start + size]
            layout = laid_out(policy.model, [rows[row] for i in micro for row in (2 * i, 2 * i + 1)], policy.pad_id)
            policy_N2 = layout.back(token_logprobs_of(policy.model, layout.batch)).sum(1).view(-1, 2)
            ref_N2 = reference_N2[micro].to(policy.device)
            losses, chosen_rewards, rejected_rewards = dpo_loss(policy_N2[:, 0], policy_N2[:, 1], ref_N2[:, 0], ref_N2[:, 1], beta=settings.beta,
                                                                loss_type=settings.loss_type, label_smoothing=settings.label_smoothing)
            loss = losses.sum() / len(chosen)
            worst = learn[micro[int(losses.argmax())]].prompt.text  # NaN counts as the largest
            guard_finite(loss.item(), step=step, what="the loss", sample=worst)
            loss.backward()
            margins = chosen_rewards - rejected_rewards
            for key, values in {"loss": losses, "rewards/chosen": chosen_rewards, "rewards/rejected": rejected_rewards, "rewards/margins": margins,
                                "rewards/accuracies": (margins > 0).float(), "logps/chosen": policy_N2[:, 0], "logps/rejected": policy_N2[:, 1]}.items():
                sums[key] = sums.get(key, 0.0) + values.detach().sum().item() / len(chosen)

        # 5. the update
        rate = optimizer.lr
        grad_norm = optimizer.step()
        guard_finite(grad_norm, step=step, what="the gradient norm", sample=learn[chosen[0]].prompt.text)
        run.log(step, {**sums, "grad_norm": grad_norm, "learning_rate": rate, "epoch": (step + 1) / batches_an_epoch})

    # 6. the implicit reward on prompts it never saw
    policy.model.eval()
    summary: dict[str, Any] = {"comparisons": len(learn), "held_out": len(test), "dropped": report.dropped, "steps": total}
    rewards_N2 = settings.beta * (logps(policy, test_rows, test_batches)[test_places_N2] - test_reference_N2)
    margins = rewards_N2[:, 0] - rewards_N2[:, 1]
    moved = {"chosen": rewards_N2[:, 0].mean().item(), "rejected": rewards_N2[:, 1].mean().item()} if test else {}
    return summary | {
        "accuracy": statistics.mean_ci(ahead(margins)), "margin": margins.mean().item() if test else None, "eval_rewards": moved,
        "reference_accuracy": statistics.mean_ci(ahead(test_reference_N2[:, 0] - test_reference_N2[:, 1])),
        "likelihood_displacement": bool(test and moved["chosen"] < 0 < margins.mean().item()),
    }


def comparisons_of(preferences: Sequence[Ranking | Comparison], per_prompt: int, seed: int) -> list[Comparison]:
    """Comparisons as they are, rankings as all their pairs (or `per_prompt` of them, drawn by the seed); ties left out."""
    found: list[Comparison] = []
    for i, item in enumerate(preferences):
        pairs = item.comparisons() if isinstance(item, Ranking) else [] if item.tie else [item]
        if per_prompt and len(pairs) > per_prompt:
            pairs = random.Random(derive_seed(seed, "pairs", i)).sample(pairs, per_prompt)
        found += pairs
    return found


def encode(policy: Policy, comparison: Comparison) -> tuple[Rendered, Rendered]:
    """Chosen and rejected; one that was cut at the limit has no end token."""
    c = comparison
    return (example(policy.tokenizer, c.prompt, c.chosen, finished=c.chosen_finished),
            example(policy.tokenizer, c.prompt, c.rejected, finished=c.rejected_finished))


def distinct(pairs: Iterable[tuple[Rendered, Rendered]]) -> tuple[list[Rendered], Tensor]:
    """Each row once, although a completion of a ranking stands in K - 1 pairs; and where the two of each pair are, (N, 2)."""
    places: dict[tuple[int, ...], int] = {}
    rows: list[Rendered] = []
    found: list[int] = []
    for pair in pairs:
        for row in pair:
            place = places.setdefault((len(row.ids) - sum(row.loss_mask), *row.ids), len(rows))
            if place == len(rows):
                rows.append(row)
            found.append(place)
    return rows, torch.tensor(found, dtype=torch.long).view(-1, 2)


@torch.no_grad()
def logps(policy: Policy, rows: Sequence[Rendered], batches: Sequence[Sequence[int]]) -> Tensor:
    """(N,) log-probability of each completion under the policy as it is, in nats; `batches` holds the rows that share a forward pass."""
    training = policy.model.training
    policy.model.eval()
    sums = torch.zeros(len(rows))
    for batch in batches:
        layout = laid_out(policy.model, [rows[i] for i in batch], policy.pad_id)
        sums[batch] = layout.back(token_logprobs_of(policy.model, layout.batch)).sum(1).float().cpu()
    policy.model.train(training)
    return sums


def ahead(margins: Tensor) -> list[float]:
    """1 where the margin is positive, 0.5 where it is 0."""
    return ((margins.sign() + 1) / 2).tolist()
