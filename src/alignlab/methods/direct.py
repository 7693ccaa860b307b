"""Learning from comparisons directly, the policy itself as the reward model: DPO (Rafailov et al. 2023) and
its family against a reference, ORPO (Hong et al. 2024) and SimPO (Meng et al. 2024) without one.

I read chosen and rejected of each comparison side by side, sum the log-probabilities of either completion,
and hand the two sums to a loss: the methods differ in that loss alone (`PAIR_LOSSES`), and in whether a
reference is asked. The reference is the policy before the first step. I ask it once for all epochs, in the
batches that the policy is read in, so that the first margin is exactly 0. That chosen completions grow less
likely too is watched and said, and not mended; DPO's `nll_coef` adds their likelihood to the loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from ..data.checks import enough, fit
from ..data.split import by_question
from ..errors import ConfigError, DataError
from ..evals import statistics
from ..health.displacement import Watch
from ..health.history import FEWEST
from ..losses import better_nll, dpo_loss, orpo_loss, simpo_loss
from ..models import shards
from ..models.batch import by_length, chunks
from ..models.forward import completion_logprobs, laid_out, seed_dropout, token_logprobs_of
from ..models.optimizer import MasterAdamW
from ..models.pairs import comparisons_of, completion_lengths, distinct, encode
from ..models.policy import Policy
from ..models.state import Trained
from ..records import Comparison, Ranking
from ..run import RunDir, derive_seed, guard_finite, ranks
from ..settings import DPOSettings, ORPOSettings, PairSettings, SimPOSettings
from ..settings.rules import check

Losses = tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]
"""Losses and the rewards of chosen and rejected, (N,) each, and figures of the method's own."""


def dpo_losses(
    s: DPOSettings, policy_N2: Tensor, lengths_N2: Tensor, ref_N2: Tensor | None, label_N: Tensor | None
) -> Losses:
    assert ref_N2 is not None
    lengths = lengths_N2.unbind(1) if s.loss_type == "sigmoid_norm" else (None, None)
    losses, chosen, rejected = dpo_loss(
        *policy_N2.unbind(1),
        *ref_N2.unbind(1),
        beta=s.beta,
        loss_type=s.loss_type,
        label_smoothing=s.label_smoothing,
        chosen_lengths=lengths[0],
        rejected_lengths=lengths[1],
        label_B=label_N,
    )
    if not s.nll_coef:
        return losses, chosen, rejected, {}
    nll = better_nll(*policy_N2.unbind(1), *lengths_N2.unbind(1), label_B=label_N)
    return losses + s.nll_coef * nll, chosen, rejected, {"nll_loss": nll}


def orpo_losses(s: ORPOSettings, policy_N2: Tensor, lengths_N2: Tensor, *_: Tensor | None) -> Losses:
    return orpo_loss(*policy_N2.unbind(1), *lengths_N2.unbind(1), beta=s.beta)


def simpo_losses(s: SimPOSettings, policy_N2: Tensor, lengths_N2: Tensor, *_: Tensor | None) -> Losses:
    return *simpo_loss(*policy_N2.unbind(1), *lengths_N2.unbind(1), beta=s.beta, gamma=s.gamma), {}


PAIR_LOSSES: dict[type[PairSettings], Callable[..., Losses]] = {
    DPOSettings: dpo_losses,
    ORPOSettings: orpo_losses,
    SimPOSettings: simpo_losses,
}
"""Every loss on pairs, by the settings that ask for it: from these, the log-probabilities of chosen and
rejected (N, 2), their lengths (N, 2), and, None where it has none of them, the reference's log-probabilities
(N, 2) and soft labels (N,).
"""


def train(
    run: RunDir,
    policy: Policy,
    preferences: Sequence[Ranking | Comparison],
    settings: PairSettings,
    *,
    seed: int,
    held_out: Sequence[Ranking | Comparison] | None = None,
) -> dict[str, Any]:
    """Train the policy in place on comparisons. The settings say by which method.

    DPO's reference is the policy it was: what `policy` holds when this is called, also when a run goes on.
    ORPO and SimPO ask no reference.

    Metrics of a step: `loss`, `rewards/chosen`, `rewards/rejected`, `rewards/accuracies`, `rewards/margins`,
    `logps/chosen`, `logps/rejected` (sums over the completion, whatever the loss makes of them), `grad_norm`,
    `learning_rate`, `epoch`; ORPO and DPO with `nll_coef` also `nll_loss`, ORPO `log_odds_chosen` and
    `log_odds_ratio`. Both
    log-probabilities may fall while the margin grows (likelihood displacement): they are logged apart. With
    soft labels, which DPO alone learns from, an accuracy is the share of labels drawn from them that the
    rewards agree with, at most the summary's `ceiling`.

    Args:
        preferences: comparisons, and rankings for all their pairs, or those that `settings.best_only` and
            `settings.pairs_per_prompt` leave; ties are left out.
        held_out: preferences kept for testing; None keeps the share `settings.held_out` of the prompts.

    Returns:
        On held-out comparisons: `accuracy` (S, mean over prompts of the share of a prompt's comparisons; n
            counts prompts) and `margin` of the reward, `eval_rewards`, `reference_accuracy`
        (how often the policy it started from finds the chosen one likelier, per token where the method's
        reward is one per token), `eval_logps`, by how many nats per completion each has moved; and
        `likelihood_displacement`, what `displacement.Watch` found while training.

    Raises:
        ConfigError: settings that make no sense together. DataError: nothing to learn, or nothing that fits.
            GuardStop: a loss that is not finite.
    """
    # 1. comparisons that fit, encoded once
    check(settings)
    losses_of, name = PAIR_LOSSES[type(settings)], settings.method
    say_odd(settings, run)
    pairs = comparisons_of(preferences, settings.pairs_per_prompt, seed, best_only=settings.best_only)
    usable, said = usable_labels(pairs, settings)
    run.note(said)
    learn, report = fit(
        usable, policy.tokenizer, settings.max_length, truncate=settings.truncate, anyway=settings.anyway
    )
    run.note(f"{name}: {report}")
    if held_out is None:
        learn, test = by_question(learn, settings.held_out, seed)
    else:
        kept, _ = usable_labels(comparisons_of(held_out, 0, seed), settings)
        test = fit(kept, policy.tokenizer, settings.max_length, truncate=settings.truncate)[0] if kept else []
    if not learn:
        raise DataError("every comparison was held out", remedy="more data, or a smaller held_out")
    test_prompts = [c.prompt.id for c in test]
    measured = len(set(test_prompts))
    run.note(enough(name, report, settings, held_out, learn=len(learn), test=measured, least=FEWEST))
    rows = list(chain.from_iterable(encode(policy, c) for c in learn))  # those of comparison i: `pair_rows`
    lengths_N2 = completion_lengths(rows).view(-1, 2)
    labels_N = test_labels_N = None
    if settings.soft_labels:
        labels_N, test_labels_N = labels_of(learn), labels_of(test)
    run.add_data("comparisons", learn)

    # 2. the batches, and for DPO the reference's log-probabilities, asked once, in the very batches of the
    # first epoch: the first margin is exactly 0
    batches_per_epoch = math.ceil(len(learn) / settings.batch)
    total = max(1, math.ceil(settings.epochs * batches_per_epoch))
    lengths = [len(rows[2 * i].ids) + len(rows[2 * i + 1].ids) for i in range(len(learn))]
    batches = lru_cache(1)(lambda epoch: by_length(lengths, settings.batch, derive_seed(seed, name), epoch))
    size = settings.micro_batch or settings.batch
    reference_N2 = None
    if settings.reference:
        pieces: list[list[int]] = []
        theirs: list[int] = []  # comparisons that another process tells
        for chosen in batches(0)[:total]:
            for start in range(0, len(chosen), size):
                part, counts = shards.share(policy.model, chosen[start : start + size])
                pieces += [pair_rows(part)] if part else []
                theirs += [] if counts else part
        reference_N2 = completion_logprobs(policy.model, rows, pieces, policy.pad_id).view(-1, 2)
        reference_N2[theirs] = 0
        ranks.add_up([reference_N2])
    test_rows, test_places_N2 = distinct(encode(policy, c) for c in test)
    test_batches, test_lengths_N2 = chunks(test_rows, 4096), completion_lengths(test_rows)[test_places_N2]
    test_start_N2 = completion_logprobs(policy.model, test_rows, test_batches, policy.pad_id)[test_places_N2]

    # 3. the optimizer, where it was if the run goes on
    optimizer = MasterAdamW(policy.model.parameters(), settings.optim, total)
    watch = Watch(total, settings.turn, relative=settings.reference)
    trained = Trained(run, watch.state(), model=(policy.model, optimizer))
    watch.load(trained.numbers)

    policy.model.train()
    for step in run.steps(total, desc=name, save=trained.state):
        # 4. chosen and rejected of a batch in one forward pass; the loss over all comparisons of the batch,
        # so that micro-batches change nothing
        epoch, place = divmod(step, batches_per_epoch)
        chosen = batches(epoch)[place]
        seed_dropout(derive_seed(seed, name, step))
        sums: dict[str, float] = {}
        seen_2 = torch.zeros(
            2
        )  # for `watch`: log-probabilities of chosen and rejected, against the reference
        for start in range(0, len(chosen), size):
            micro, counts = shards.share(policy.model, chosen[start : start + size])
            if not micro:
                continue
            layout = laid_out(policy.model, [rows[row] for row in pair_rows(micro)], policy.pad_id)
            policy_N2 = layout.back(token_logprobs_of(policy.model, layout.batch)).sum(1).view(-1, 2)
            if not counts:
                (0 * policy_N2).sum().backward()
                continue
            ref_N2 = None if reference_N2 is None else reference_N2[micro].to(policy.device)
            label_N = None if labels_N is None else labels_N[micro].to(policy.device)
            losses, chosen_rewards, rejected_rewards, more = losses_of(
                settings, policy_N2, lengths_N2[micro].to(policy.device), ref_N2, label_N
            )
            loss = losses.sum() / len(chosen)
            worst = learn[micro[int(losses.argmax())]].prompt.text  # NaN counts as the largest
            guard_finite(loss.item(), step=step, what="the loss", sample=worst)
            loss.backward()
            gained_N2 = policy_N2.detach() if ref_N2 is None else policy_N2.detach() - ref_N2
            seen_2 += gained_N2.sum(0).cpu()
            margins = chosen_rewards - rejected_rewards
            ahead = (margins > 0).float()
            if label_N is not None:
                ahead = label_N * (margins > 0) + (1 - label_N) * (margins < 0)
            figures = {
                "loss": losses,
                "rewards/chosen": chosen_rewards,
                "rewards/rejected": rejected_rewards,
                "rewards/margins": margins,
                "rewards/accuracies": ahead,
                "logps/chosen": policy_N2[:, 0],
                "logps/rejected": policy_N2[:, 1],
                **more,
            }
            for key, values in figures.items():
                sums[key] = sums.get(key, 0.0) + values.detach().sum().item() / len(chosen)

        sums = ranks.added(sums)
        ranks.add_up([seen_2])

        # 5. the update
        learning_rate, grad_norm = optimizer.lr, optimizer.step()
        guard_finite(grad_norm, step=step, what="the gradient norm", sample=learn[chosen[0]].prompt.text)
        epochs = (step + 1) / batches_per_epoch
        run.log(step, {**sums, "grad_norm": grad_norm, "learning_rate": learning_rate, "epoch": epochs})
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
    _, chosen_rewards, rejected_rewards, _ = losses_of(
        settings, test_now_N2, test_lengths_N2, test_start_N2, None
    )
    likelier_N2 = test_start_N2 if settings.reference else test_start_N2 / test_lengths_N2
    moved_N2 = test_now_N2 - test_start_N2
    soft = ceiling = None
    if test_labels_N is not None:
        soft = test_labels_N.tolist()
        ceiling = statistics.mean_by_prompt([max(p, 1 - p) for p in soft], test_prompts)["mean"]
    if labels_N is not None:
        summary |= {"soft_labels": int((labels_N < 1).sum()), "ceiling": ceiling}
    return summary | {
        "accuracy": statistics.win_rate(
            chosen_rewards.tolist(), rejected_rewards.tolist(), soft, prompts=test_prompts
        ),
        "margin": (chosen_rewards - rejected_rewards).mean().item() if test else None,
        "eval_rewards": sides(torch.stack((chosen_rewards, rejected_rewards), 1)),
        "eval_logps": sides(moved_N2),
        "reference_accuracy": statistics.win_rate(
            likelier_N2[:, 0].tolist(), likelier_N2[:, 1].tolist(), soft, prompts=test_prompts
        ),
        "likelihood_displacement": watch.summary(),
    }


def pair_rows(comparisons: Sequence[int]) -> list[int]:
    """Where chosen and rejected of these comparisons stand among the rows."""
    return list(chain.from_iterable((2 * i, 2 * i + 1) for i in comparisons))


def say_odd(settings: PairSettings, run: RunDir) -> None:
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
            f"dpo: sigmoid_norm's reward is one per token, and beta {settings.beta} makes it small; Tulu "
            "3 uses 5"
        )


def usable_labels(comparisons: Sequence[Comparison], settings: PairSettings) -> tuple[list[Comparison], str]:
    """The comparisons with the labels that the method can learn from, and what to tell the user where it
    cannot learn from soft ones.

    Raises:
        ConfigError: soft labels with DPO's hinge loss.
    """
    soft, name = sum(c.label is not None for c in comparisons), settings.method
    if not soft:
        return list(comparisons), ""
    if isinstance(settings, DPOSettings) and settings.loss_type == "hinge":
        raise ConfigError(
            f"{soft} comparisons have soft labels, which mean nothing to loss_type hinge",
            remedy="loss_type sigmoid, sigmoid_norm, ipo or robust",
        )
    if settings.soft_labels:
        return list(comparisons), ""
    favored = [c.favoured for c in comparisons]
    sure = [pair for pair in favored if not pair.tie]
    return sure, (
        f"{name}: {soft} comparisons have soft labels, and {name} knows none: the completion that a label "
        "favours is taken to be the better one for certain; "
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
