"""Kahneman-Tversky optimization (Ethayarajh et al. 2024): from completions that were liked or not, each by
itself.

I weigh each completion's implicit reward against a baseline, how far the policy has moved in general: a liked
one is to lie above it and a disliked one below, and the further off it already is the less it pulls. The
baseline is measured on prompts with the completions of other prompts, of the same batch and without a
gradient. Batches are drawn from all data and not by length: completions of one length can be of one label. I
leave out completions that are labeled both ways, and pairs, which DPO is for.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, product
from typing import Any

import torch
from torch import Tensor

from ..data.checks import enough, fit
from ..data.split import by_question
from ..errors import DataError
from ..evals import statistics
from ..health.displacement import Watch
from ..health.history import FEWEST
from ..losses import kto_baseline, kto_loss
from ..models.batch import chunks
from ..models.chat import Rendered, example
from ..models.forward import completion_logprobs, laid_out, seed_dropout, token_logprobs_of
from ..models.optimizer import MasterAdamW
from ..models.policy import Policy
from ..models.state import Trained
from ..records import Unpaired
from ..run import RunDir, derive_seed, guard_finite
from ..settings import KTOSettings
from ..settings.rules import check

ADVISED = (1.0, 4 / 3)
"""Where (lambda_D liked) / (lambda_U disliked) should lie (Ethayarajh et al. 2024, section 4.2)."""


def train(
    run: RunDir,
    policy: Policy,
    labelled: Sequence[Unpaired],
    settings: KTOSettings,
    *,
    seed: int,
    held_out: Sequence[Unpaired] | None = None,
) -> dict[str, Any]:
    """Train the policy in place, against the policy it was: what `policy` holds when this is called, also
    when a run goes on.

    Metrics of a step: `loss`; `kl`, the baseline z0; `rewards/chosen` and `logps/chosen`, means over the
    liked completions of the batch, `rewards/rejected` and `logps/rejected` over the others, and
    `rewards/margins` between the two (each only where the batch has such); `grad_norm`, `learning_rate`,
    `epoch`.

    Args:
        held_out: completions kept for testing; None keeps the share `settings.held_out` of the prompts.

    Returns:
        `liked`, `disliked` and their weights; on held-out completions `accuracy`, how often a liked one has a
        higher implicit reward than a disliked one of the same prompt, `auc`, the same over all prompts,
        `margin` and `eval_rewards`; and `likelihood_displacement`, what `displacement.Watch` found while
        training.

    Raises:
        ConfigError: settings that make no sense. DataError: nothing to learn, labels that are all the same,
            completions of a single prompt.
        GuardStop: a loss that is not finite.
    """
    # 1. completions that fit, encoded once, of both labels
    check(settings)
    agreed = of_one_mind(labelled)
    fitting, report = fit(
        agreed, policy.tokenizer, settings.max_length, truncate=settings.truncate, anyway=settings.anyway
    )
    if len(agreed) < len(labelled):
        report.dropped["labelled both ways"] = len(labelled) - len(agreed)
    run.note(f"kto: {report}")
    learn, test = fitting, []
    if held_out is None:
        learn, test = by_question(fitting, settings.held_out, seed)
    elif held_out:
        asked = of_one_mind(held_out)
        test, _ = fit(asked, policy.tokenizer, settings.max_length, truncate=settings.truncate)
    if not learn:
        raise DataError("every completion was held out", remedy="more data, or a smaller held_out")
    liked = sum(u.label for u in learn)
    if liked in (0, len(learn)):
        raise DataError(
            f"all {len(learn)} completions that are learnt from are {'liked' if liked else 'disliked'}",
            remedy="KTO needs completions of both labels; liked ones alone are for `alignlab sft`",
        )
    measured = len({u.prompt.id for u in test})
    run.note(enough("kto", report, settings, held_out, learn=len(learn), test=measured, least=FEWEST))
    weights = weights_of(run, settings, liked, len(learn) - liked)
    rows = [example(policy.tokenizer, u.prompt, u.completion, finished=u.finished) for u in learn]
    run.add_data("unpaired", learn)

    # 2. the batches, the same in each epoch but for their order, and drawn from all data: of one length, they
    # could be of one label, and each baseline that of its length; and for each completion its prompt with
    # that of another prompt of the batch
    batches = cut(shuffled(len(rows), derive_seed(seed, "kto")), settings.batch)
    total = max(1, math.ceil(settings.epochs * len(batches)))
    size = settings.micro_batch or settings.batch
    order = lru_cache(1)(lambda epoch: shuffled(len(batches), derive_seed(seed, "kto", "order", epoch)))
    others = mismatched(rows, [u.prompt.id for u in learn], batches, settings.max_length)

    # 3. the reference's log-probabilities, asked once, in the very batches they are used in: the first
    # rewards and the first kl are exactly 0
    micros = list(chain.from_iterable(cut(batches[place], size) for place in order(0)[:total]))
    reference_N = completion_logprobs(policy.model, rows, micros, policy.pad_id)
    reference_others_N = completion_logprobs(policy.model, others, micros, policy.pad_id)
    test_rows = [example(policy.tokenizer, u.prompt, u.completion, finished=u.finished) for u in test]
    test_batches = chunks(test_rows, 4096)
    test_reference_N = completion_logprobs(policy.model, test_rows, test_batches, policy.pad_id)

    # 4. the optimizer, where it was if the run goes on
    optimizer = MasterAdamW(policy.model.parameters(), settings.optim, total)
    watch = Watch(total, "a larger beta", relative=True)
    trained = Trained(run, watch.state(), model=(policy.model, optimizer))
    watch.load(trained.numbers)

    policy.model.train()
    for step in run.steps(total, desc="kto", save=trained.state):
        # 5. the baseline of the whole batch, from mismatched pairs and without a gradient
        epoch, place = divmod(step, len(batches))
        batch = batches[order(epoch)[place]]
        mismatched_rows = [others[i] for i in batch]
        now_N = completion_logprobs(
            policy.model, mismatched_rows, cut(range(len(batch)), size), policy.pad_id
        )
        baseline = kto_baseline(now_N, reference_others_N[batch])

        # 6. the losses, over all completions of the batch, so that micro-batches change nothing
        seed_dropout(derive_seed(seed, "kto", step))
        label_N = torch.tensor([learn[i].label for i in batch])
        loss_sum, logps, rewards = 0.0, [], []
        for micro in cut(batch, size):
            layout = laid_out(policy.model, [rows[i] for i in micro], policy.pad_id)
            policy_N = layout.back(token_logprobs_of(policy.model, layout.batch)).sum(1)
            desirable_N = torch.tensor([learn[i].label for i in micro], device=policy.device)
            losses, gained = kto_loss(
                policy_N,
                reference_N[micro].to(policy.device),
                desirable_N,
                baseline=baseline.to(policy.device),
                beta=settings.beta,
                desirable_weight=weights[0],
                undesirable_weight=weights[1],
            )
            loss = losses.sum() / len(batch)
            worst = learn[micro[int(losses.argmax())]].prompt.text  # NaN counts as the largest
            guard_finite(loss.item(), step=step, what="the loss", sample=worst)
            loss.backward()
            loss_sum += loss.item()
            logps.append(policy_N.detach().cpu())
            rewards.append(gained.cpu())

        # 7. the update
        learning_rate, grad_norm = optimizer.lr, optimizer.step()
        guard_finite(grad_norm, step=step, what="the gradient norm", sample=learn[batch[0]].prompt.text)
        run.log(
            step,
            {
                "loss": loss_sum,
                "kl": baseline.item(),
                **by_label(torch.cat(rewards), torch.cat(logps), label_N),
                "grad_norm": grad_norm,
                "learning_rate": learning_rate,
                "epoch": (step + 1) / len(batches),
            },
        )
        if 0 < label_N.sum() < len(batch):
            gains_N = torch.cat(rewards) / settings.beta
            lengths_N = torch.tensor([sum(rows[i].loss_mask) for i in batch])
            chosen = (gains_N[label_N].sum() / lengths_N[label_N].sum()).item()
            rejected = (gains_N[~label_N].sum() / lengths_N[~label_N].sum()).item()
            if said := watch.see(step, chosen, rejected):
                run.note(f"kto: {said}")
            trained.numbers |= watch.state()

    # 8. the implicit reward on prompts it never saw
    policy.model.eval()
    if watch.verdict == "normal":
        run.note(f"kto: {watch.text}")
    rewards_N = settings.beta * (
        completion_logprobs(policy.model, test_rows, test_batches, policy.pad_id) - test_reference_N
    )
    return {
        "liked": liked,
        "disliked": len(learn) - liked,
        "held_out": len(test),
        "dropped": report.dropped,
        "cut": report.cut,
        "steps": total,
        "desirable_weight": weights[0],
        "undesirable_weight": weights[1],
        "likelihood_displacement": watch.summary(),
        **measure(test, rewards_N.tolist()),
    }


def of_one_mind(labelled: Sequence[Unpaired]) -> list[Unpaired]:
    """Without the completions of a prompt that are liked in one place and disliked in another."""
    labels: dict[tuple[str, str, bool], set[bool]] = {}
    for u in labelled:
        labels.setdefault((u.prompt.id, u.completion, u.finished), set()).add(u.label)
    return [u for u in labelled if len(labels[u.prompt.id, u.completion, u.finished]) == 1]


def weights_of(run: RunDir, settings: KTOSettings, liked: int, disliked: int) -> tuple[float, float]:
    """lambda_D and lambda_U; what lies outside the range that the paper advises is said."""
    low, high = (bound * settings.undesirable_weight * disliked / liked for bound in ADVISED)
    if not settings.desirable_weight:
        chosen = min(max(settings.undesirable_weight, low), high)
        run.note(
            f"kto: {liked} liked and {disliked} disliked completions: desirable_weight {chosen:.4g}, "
            f"undesirable_weight {settings.undesirable_weight:.4g}"
        )
        return chosen, settings.undesirable_weight
    if not low <= settings.desirable_weight <= high:
        run.note(
            f"kto: with {liked} liked and {disliked} disliked completions a desirable_weight from "
            f"{low:.4g} to {high:.4g} is advised (Ethayarajh et al. 2024), not "
            f"{settings.desirable_weight:.4g}; 0 chooses one"
        )
    return settings.desirable_weight, settings.undesirable_weight


def mismatched(
    rows: Sequence[Rendered], prompts: Sequence[str], batches: Sequence[Sequence[int]], max_length: int
) -> list[Rendered]:
    """Each row's prompt with a completion of another prompt: the next of its batch that fits, or of all if
    its batch has none, or if none fits at all the beginning of the next.

    Raises:
        DataError: there is no other prompt.
    """
    cuts = [row.loss_mask.index(1) for row in rows]
    everyone = list(chain.from_iterable(batches))
    made: dict[int, Rendered] = {}
    for batch in batches:
        for place, i in enumerate(batch):
            nearest_first = chain(batch[place + 1 :], batch[:place], everyone)
            of_others = [j for j in nearest_first if prompts[j] != prompts[i]]
            if not of_others:
                raise DataError(
                    (
                        "there is no completion of another prompt, so that KTO's KL baseline has nothing to "
                        "be estimated from"
                    ),
                    where=f"prompt {prompts[i]}",
                    remedy="completions of two prompts or more",
                )
            fits = (j for j in of_others if cuts[i] + len(rows[j].ids) - cuts[j] <= max_length)
            j = next(fits, of_others[0])
            own, other = rows[i], rows[j]
            end = cuts[j] + max_length - cuts[i]
            made[i] = Rendered(
                [*own.ids[: cuts[i]], *other.ids[cuts[j] : end]],
                [*own.loss_mask[: cuts[i]], *other.loss_mask[cuts[j] : end]],
            )
    return [made[i] for i in range(len(rows))]


def shuffled(n: int, seed: int) -> list[int]:
    return random.Random(seed).sample(range(n), n)


def cut(items: Sequence[int], size: int) -> list[list[int]]:
    return [list(items[start : start + size]) for start in range(0, len(items), size)]


def by_label(rewards_N: Tensor, logps_N: Tensor, label_N: Tensor) -> dict[str, float]:
    """Mean rewards and log-probabilities of the liked and of the disliked completions, where there are such,
    and the margin between the two.
    """
    means: dict[str, float] = {}
    for name, which_N in (("chosen", label_N), ("rejected", ~label_N)):
        if which_N.any():
            means[f"rewards/{name}"] = rewards_N[which_N].mean().item()
            means[f"logps/{name}"] = logps_N[which_N].mean().item()
    if len(means) == 4:
        means["rewards/margins"] = means["rewards/chosen"] - means["rewards/rejected"]
    return means


def measure(test: Sequence[Unpaired], rewards: Sequence[float]) -> dict[str, Any]:
    """What the implicit rewards of held-out completions say of their labels; rates are {"mean", "ci", "n"},
    means over prompts that have both a liked and a disliked completion, and a tie counts half.
    """
    groups: dict[str, tuple[list[float], list[float]]] = {}
    for u, reward in zip(test, rewards, strict=True):
        groups.setdefault(u.prompt.id, ([], []))[u.label].append(reward)
    pairs: list[tuple[float, float, str]] = []
    for prompt, (bad, good) in groups.items():
        pairs += product(good, bad, [prompt])
    label_N = torch.tensor([u.label for u in test], dtype=torch.bool)
    rewards_N = torch.tensor(rewards)
    liked, disliked = rewards_N[label_N], rewards_N[~label_N]
    both = len(liked) > 0 and len(disliked) > 0
    means = {}
    for name, side in (("chosen", liked), ("rejected", disliked)):
        if len(side):
            means[name] = side.mean().item()
    return {
        "accuracy": statistics.win_rate(
            [good for good, _, _ in pairs],
            [bad for _, bad, _ in pairs],
            prompts=[prompt for _, _, prompt in pairs],
        ),
        "auc": ((liked[:, None] - disliked).sign().mean().item() + 1) / 2 if both else None,
        "margin": (liked.mean() - disliked.mean()).item() if both else None,
        "eval_rewards": means,
    }
