"""Learning from comparisons directly, the policy itself as the reward model: DPO (Rafailov et al. 2023) and
its family against a reference, ORPO (Hong et al. 2024) and SimPO (Meng et al. 2024) without one.

I read chosen and rejected of each comparison side by side, sum the log-probabilities of either completion,
and hand the two sums to a loss: the methods differ in that loss alone (`PAIR_LOSSES`), and in whether a
reference is asked. The reference is the policy before the first step. I ask it once for all epochs, in the
batches that the policy is read in, so that the first margin is exactly 0. I leave out a likelihood term of my
own beside the pairs; that chosen completions grow less likely too is watched and said, and not mended.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..data.checks import enough, fit
from ..data.split import by_prompt
from ..errors import ConfigError, DataError
from ..evals import statistics
from ..health.displacement import Watch
from ..health.history import FEWEST
from ..losses import dpo_loss, orpo_loss, simpo_loss
from ..models.batch import by_length, chunks
from ..models.forward import completion_logprobs, laid_out, token_logprobs_of
from ..models.optimizer import MasterAdamW
from ..models.pairs import comparisons_of, completion_lengths, distinct, encode
from ..models.policy import Policy
from ..models.state import Trained
from ..records import Comparison, Ranking
from ..run import RunDir, derive_seed, guard_finite
from ..settings import DPOSettings, ORPOSettings, SimPOSettings
from ..settings.rules import check

Settings = DPOSettings | ORPOSettings | SimPOSettings
Losses = tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]
"""Losses and the rewards of chosen and rejected, (N,) each, and figures of the method's own."""


def dpo_losses(
    s: DPOSettings, policy_N2: Tensor, lengths_N2: Tensor, ref_N2: Tensor | None, label_N: Tensor | None
) -> Losses:
    assert ref_N2 is not None
    lengths = lengths_N2.unbind(1) if s.loss_type == "sigmoid_norm" else (None, None)
    return *dpo_loss(
        *policy_N2.unbind(1),
        *ref_N2.unbind(1),
        beta=s.beta,
        loss_type=s.loss_type,
        label_smoothing=s.label_smoothing,
        chosen_lengths=lengths[0],
        rejected_lengths=lengths[1],
        label_B=label_N,
    ), {}


def orpo_losses(s: ORPOSettings, policy_N2: Tensor, lengths_N2: Tensor, *_: Tensor | None) -> Losses:
    return orpo_loss(*policy_N2.unbind(1), *lengths_N2.unbind(1), beta=s.beta)


def simpo_losses(s: SimPOSettings, policy_N2: Tensor, lengths_N2: Tensor, *_: Tensor | None) -> Losses:
    return *simpo_loss(*policy_N2.unbind(1), *lengths_N2.unbind(1), beta=s.beta, gamma=s.gamma), {}


@dataclass(frozen=True)
class PairLoss:
    """A loss on pairs, as this loop uses it.

    Attributes:
        losses: from the settings, the log-probabilities of chosen and rejected (N, 2), their lengths (N, 2),
            and, None where it has none of them, the reference's log-probabilities (N, 2) and soft labels (N,).
        turn: the one setting to turn when likelihood displacement has gone too far.
        reference: whether a reference is asked; without one, a reward is one per token.
        soft: whether it learns from soft labels.
    """

    name: str
    losses: Callable[..., Losses]
    turn: str
    reference: bool = False
    soft: bool = False


PAIR_LOSSES: dict[type, PairLoss] = {
    DPOSettings: PairLoss("dpo", dpo_losses, "a larger beta", reference=True, soft=True),
    ORPOSettings: PairLoss("orpo", orpo_losses, "a smaller optim.lr"),
    SimPOSettings: PairLoss("simpo", simpo_losses, "a smaller optim.lr"),
}
"""Every loss on pairs, by the settings that ask for it."""


def train(
    run: RunDir,
    policy: Policy,
    preferences: Sequence[Ranking | Comparison],
    settings: Settings,
    *,
    seed: int,
    held_out: Sequence[Ranking | Comparison] | None = None,
) -> dict[str, Any]:
    """Train the policy in place on comparisons. The settings say by which method.

    DPO's reference is the policy it was: what `policy` holds when this is called, also when a run goes on.
    ORPO and SimPO ask no reference.

    Metrics of a step: `loss`, `rewards/chosen`, `rewards/rejected`, `rewards/accuracies`, `rewards/margins`,
    `logps/chosen`, `logps/rejected` (sums over the completion, whatever the loss makes of them), `grad_norm`,
    `learning_rate`, `epoch`; ORPO also `nll_loss`, `log_odds_chosen`, `log_odds_ratio`. Both
    log-probabilities may fall while the margin grows (likelihood displacement): they are logged apart. With
    soft labels, which DPO alone learns from, an accuracy is the share of labels drawn from them that the
    rewards agree with, at most the summary's `ceiling`.

    Args:
        preferences: comparisons, and rankings for all their pairs or `settings.pairs_per_prompt` of them;
            ties are left out.
        held_out: preferences kept for testing; None keeps the share `settings.held_out` of the prompts.

    Returns:
        On held-out comparisons: `accuracy` and `margin` of the reward, `eval_rewards`, `reference_accuracy`
        (how often the policy it started from finds the chosen one likelier, per token where the method's reward
        is one per token), `eval_logps`, by how many nats per completion each has moved; and
        `likelihood_displacement`, what `displacement.Watch` found while training.

    Raises:
        ConfigError: settings that make no sense together. DataError: nothing to learn, or nothing that fits.
            GuardStop: a loss that is not finite.
    """
    # 1. comparisons that fit, encoded once
    check(settings)
    kind = PAIR_LOSSES[type(settings)]
    name = kind.name
    say_odd(settings, run)
    usable, said = usable_labels(comparisons_of(preferences, settings.pairs_per_prompt, seed), settings)
    run.note(said)
    learn, report = fit(
        usable, policy.tokenizer, settings.max_length, truncate=settings.truncate, anyway=settings.anyway
    )
    run.note(f"{name}: {report}")
    if held_out is None:
        learn, test = by_prompt(learn, settings.held_out, seed)
    else:
        kept, _ = usable_labels(comparisons_of(held_out, 0, seed), settings)
        test = fit(kept, policy.tokenizer, settings.max_length, truncate=settings.truncate)[0] if kept else []
    if not learn:
        raise DataError("every comparison was held out", remedy="more data, or a smaller held_out")
    run.note(
        enough(
            name,
            report,
            learn=len(learn),
            batch=settings.batch,
            epochs=settings.epochs,
            test=len(test),
            asked=settings.held_out if held_out is None else float(bool(held_out)),
            least=FEWEST,
            anyway=settings.anyway,
        )
    )
    rows = [
        row for c in learn for row in encode(policy, c)
    ]  # chosen and rejected of comparison i at 2 i and 2 i + 1
    lengths_N2 = completion_lengths(rows).view(-1, 2)
    labels_N, test_labels_N = (labels_of(part) if kind.soft else None for part in (learn, test))
    run.add_data("comparisons", learn)

    # 2. the batches, and for DPO the reference's log-probabilities, asked once, in the very batches of the
    # first epoch: the first margin is exactly 0
    batches_an_epoch = math.ceil(len(learn) / settings.batch)
    total = max(1, math.ceil(settings.epochs * batches_an_epoch))
    lengths = [len(rows[2 * i].ids) + len(rows[2 * i + 1].ids) for i in range(len(learn))]
    batches = lru_cache(1)(lambda epoch: by_length(lengths, settings.batch, derive_seed(seed, name), epoch))
    size = settings.micro_batch or settings.batch
    reference_N2 = None
    if kind.reference:
        first_epoch = [
            chosen[start : start + size]
            for chosen in batches(0)[:total]
            for start in range(0, len(chosen), size)
        ]
        asked = [[row for i in micro for row in (2 * i, 2 * i + 1)] for micro in first_epoch]
        reference_N2 = completion_logprobs(policy.model, rows, asked, policy.pad_id).view(-1, 2)
    test_rows, test_places_N2 = distinct(encode(policy, c) for c in test)
    test_batches, test_lengths_N2 = chunks(test_rows, 4096), completion_lengths(test_rows)[test_places_N2]
    test_start_N2 = completion_logprobs(policy.model, test_rows, test_batches, policy.pad_id)[test_places_N2]

    # 3. the optimizer, where it was if the run goes on
    optimizer = MasterAdamW(policy.model.parameters(), settings.optim, total)
    watch = Watch(total, kind.turn, relative=kind.reference)
    trained = Trained(run, watch.state(), model=(policy.model, optimizer))
    watch.load(trained.numbers)

    policy.model.train()
    for step in run.steps(total, desc=name, save=trained.state):
        # 4. chosen and rejected of a batch in one forward pass; the loss over all comparisons of the batch,
        # so that micro-batches change nothing
        epoch, place = divmod(step, batches_an_epoch)
        chosen = batches(epoch)[place]
        torch.manual_seed(derive_seed(seed, name, step))
        sums: dict[str, float] = {}
        seen_2 = torch.zeros(
            2
        )  # what displacement is told by: log-probabilities of chosen and rejected, of DPO against the reference
        for start in range(0, len(chosen), size):
            micro = chosen[start : start + size]
            layout = laid_out(
                policy.model, [rows[row] for i in micro for row in (2 * i, 2 * i + 1)], policy.pad_id
            )
            policy_N2 = layout.back(token_logprobs_of(policy.model, layout.batch)).sum(1).view(-1, 2)
            ref_N2 = None if reference_N2 is None else reference_N2[micro].to(policy.device)
            label_N = None if labels_N is None else labels_N[micro].to(policy.device)
            losses, chosen_rewards, rejected_rewards, more = kind.losses(
                settings, policy_N2, lengths_N2[micro].to(policy.device), ref_N2, label_N
            )
            loss = losses.sum() / len(chosen)
            worst = learn[micro[int(losses.argmax())]].prompt.text  # NaN counts as the largest
            guard_finite(loss.item(), step=step, what="the loss", sample=worst)
            loss.backward()
            seen_2 += (policy_N2.detach() if ref_N2 is None else policy_N2.detach() - ref_N2).sum(0).cpu()
            margins = chosen_rewards - rejected_rewards
            ahead = (
                (margins > 0).float()
                if label_N is None
                else label_N * (margins > 0) + (1 - label_N) * (margins < 0)
            )
            for key, values in {
                "loss": losses,
                "rewards/chosen": chosen_rewards,
                "rewards/rejected": rejected_rewards,
                "rewards/margins": margins,
                "rewards/accuracies": ahead,
                "logps/chosen": policy_N2[:, 0],
                "logps/rejected": policy_N2[:, 1],
                **more,
            }.items():
                sums[key] = sums.get(key, 0.0) + values.detach().sum().item() / len(chosen)

        # 5. the update
        rate = optimizer.lr
        grad_norm = optimizer.step()
        guard_finite(grad_norm, step=step, what="the gradient norm", sample=learn[chosen[0]].prompt.text)
        run.log(
            step,
            {**sums, "grad_norm": grad_norm, "learning_rate": rate, "epoch": (step + 1) / batches_an_epoch},
        )
        if said := watch.see(step, *(seen_2 / lengths_N2[chosen].sum(0)).tolist()):
            run.note(f"{name}: {said}")
        trained.numbers |= watch.state()

    # 6. the reward on prompts it never saw
    policy.model.eval()
    if watch.verdict == "normal":
        run.note(f"{name}: {watch.text}")
    summary: dict[str, Any] = {
        "comparisons": len(learn),
        "held_out": len(test),
        "dropped": report.dropped,
        "cut": report.cut,
        "steps": total,
    }
    test_now_N2 = completion_logprobs(policy.model, test_rows, test_batches, policy.pad_id)[test_places_N2]
    _, chosen_rewards, rejected_rewards, _ = kind.losses(
        settings, test_now_N2, test_lengths_N2, test_start_N2, None
    )
    likelier_N2 = test_start_N2 if kind.reference else test_start_N2 / test_lengths_N2
    moved_N2 = test_now_N2 - test_start_N2
    soft = None if test_labels_N is None else test_labels_N.tolist()
    if labels_N is not None:
        summary |= {
            "soft_labels": int((labels_N < 1).sum()),
            "ceiling": None
            if test_labels_N is None
            else test_labels_N.maximum(1 - test_labels_N).mean().item(),
        }
    return summary | {
        "accuracy": statistics.win_rate(chosen_rewards.tolist(), rejected_rewards.tolist(), soft),
        "margin": (chosen_rewards - rejected_rewards).mean().item() if test else None,
        "eval_rewards": sides(torch.stack((chosen_rewards, rejected_rewards), 1)),
        "eval_logps": sides(moved_N2),
        "reference_accuracy": statistics.win_rate(
            likelier_N2[:, 0].tolist(), likelier_N2[:, 1].tolist(), soft
        ),
        "likelihood_displacement": watch.summary(),
    }


def say_odd(settings: Settings, run: RunDir) -> None:
    """What the settings amount to, where that is not what one may have meant."""
    if not isinstance(settings, DPOSettings):
        return
    if settings.loss_type == "robust" and not settings.label_smoothing:
        run.note(
            "dpo: loss_type robust with label_smoothing 0 is sigmoid; give label_smoothing the share of "
            "labels that are wrong"
        )
    if settings.loss_type == "sigmoid_norm" and settings.beta < 1:
        run.note(
            f"dpo: sigmoid_norm's reward is one a token, and beta {settings.beta} makes it small; Tulu "
            "3 uses 5"
        )


def usable_labels(comparisons: Sequence[Comparison], settings: Settings) -> tuple[list[Comparison], str]:
    """The comparisons with the labels that the method can learn from, and what to tell the user where it
    cannot learn from soft ones.

    Raises:
        ConfigError: soft labels with DPO's hinge loss.
    """
    soft, kind = sum(c.label is not None for c in comparisons), PAIR_LOSSES[type(settings)]
    if not soft:
        return list(comparisons), ""
    if isinstance(settings, DPOSettings) and settings.loss_type == "hinge":
        raise ConfigError(
            f"{soft} comparisons have soft labels, which mean nothing to loss_type hinge",
            remedy="loss_type sigmoid, sigmoid_norm, ipo or robust",
        )
    if kind.soft:
        return list(comparisons), ""
    sure = [pair for c in comparisons if not (pair := c.favoured).tie]
    return sure, (
        f"{kind.name}: {soft} comparisons have soft labels, and {kind.name} knows none: the completion that a "
        "label favours is taken to be the better one for certain; "
        f"{len(comparisons) - len(sure)} labels of one half are left out. dpo and reward learn from "
        "soft labels"
    )


def labels_of(comparisons: Sequence[Comparison]) -> Tensor | None:
    """(N,) soft labels, 1 where a comparison has none; None if no comparison has one."""
    if all(c.label is None for c in comparisons):
        return None
    return torch.tensor([1.0 if c.label is None else c.label for c in comparisons])


def sides(x_N2: Tensor) -> dict[str, float]:
    """Means of chosen and rejected; empty if there are none."""
    return dict(zip(("chosen", "rejected"), x_N2.mean(0).tolist(), strict=True)) if len(x_N2) else {}
