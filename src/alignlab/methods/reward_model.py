"""A reward model from rankings: Bradley-Terry on all pairs of each prompt (InstructGPT, section 3.5, equation
1), with margins, ties, people who err, and the sign term that makes it a cost model.

I read each completion once, with the prompt before it once for all of them, make all pairs of a prompt from
those scores, and push the better one of each pair up and the worse one down. A prompt is one element of the
batch, however many pairs it has: they share completions, and pairs spread over batches would be learnt by
heart (InstructGPT, section 3.5). A batch is read in two halves, whose gradients are added (`models.halves`):
a core that has nothing else to do takes one of them. At the end I measure the mean and deviation of the
scores over training completions and keep them with the model, so that whoever uses it has one scale. I leave
out a language-model loss beside the pairs, and early stopping.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.checks import FitReport, enough, fit
from ..data.split import by_question
from ..errors import DataError
from ..evals import preference
from ..feedback import Judge
from ..feedback.reward_model import RewardModelJudge
from ..health.history import FEWEST
from ..losses import safety_loss
from ..models import shards
from ..models.batch import by_length
from ..models.chat import example
from ..models.forward import laid_out, last_scores, seed_dropout
from ..models.halves import Halves
from ..models.label_noise import Labels, margins_of
from ..models.optimizer import MasterAdamW
from ..models.policy import RewardModel
from ..models.state import Trained
from ..records import Comparison, Ranking
from ..run import RunDir, derive_seed, guard_finite, ranks
from ..settings import OptimSettings, RewardSettings
from ..settings.rules import check

SCALED_ON = 500
"""Rankings, spread evenly over the training data, whose scores give the mean and the deviation."""


def train(
    run: RunDir,
    reward_model: RewardModel,
    rankings: Sequence[Ranking],
    settings: RewardSettings,
    *,
    seed: int,
    member: int = 0,
    held_out: Sequence[Ranking] | None = None,
    annotator_ceiling: float | None = None,
    gold: Judge | None = None,
    probes: Sequence[Comparison] | None = None,
) -> dict[str, Any]:
    """Train the reward model in place and measure it.

    Each completion is read once; all K(K-1)/2 pairs of a prompt are made of those K scores and stay in one
    batch element. Ties are left out of the loss unless `settings.ties` names a model of them. The scores'
    mean and deviation over training completions go into the model.

    Metrics a step: `loss`, `accuracy` and `margin` (over a prompt's decided pairs, then over prompts),
    `min_reward`, `mean_reward`, `max_reward` (of the batch's completions, raw scores), `grad_norm`,
    `learning_rate`, `epoch`; of a cost model `loss/safety`; what is learnt of the labels as `labels/*`.

    Args:
        member: of an ensemble: members see the data in another order, the split into learnt and held out
            stays.
        held_out: rankings kept for testing; None keeps the share `settings.held_out` of the prompts.
        annotator_ceiling: the accuracy nobody can beat on this annotator's labels, if known.
        gold: a judge that knows the truth, to measure against; never trained on.
        probes: pairs that differ in one flaw, which the rejected one has, named by `meta["probe"]`.

    Returns:
        What was trained on, `score_mean` and `score_std`, what was learnt of the labels (`labels`), and what
        `evals.preference.measure` finds on the held-out rankings.

    Raises:
        ConfigError: settings that contradict one another. DataError: nothing to learn, or nothing that fits.
            GuardStop: a loss that is not finite.
    """
    # 1. what fits and teaches, encoded once
    check(settings)
    order_seed = derive_seed(seed, "reward", *([member] if member else []))
    learn, test, report = prepared(rankings, held_out, reward_model.tokenizer, settings, seed)
    run.note(f"reward: {report}")
    if not learn:
        raise DataError("every ranking was held out", remedy="more data, or a smaller held_out")
    measured = len({r.prompt.id for r in test if r.comparisons()})
    run.note(enough("reward", report, settings, held_out, learn=len(learn), test=measured, least=FEWEST))
    if settings.bootstrap:
        learn = random.Random(derive_seed(order_seed, "bootstrap")).choices(learn, k=len(learn))
    labels = Labels(settings, learn)
    margins = [margins_of(r, settings) for r in learn]
    rows = [
        [example(reward_model.tokenizer, r.prompt, c.text, finished=c.finished) for c in r.completions]
        for r in learn
    ]
    lengths = [sum(len(row.ids) for row in group) for group in rows]
    run.add_data("rankings", learn)

    # 2. the optimizers, where they were if the run goes on
    batches_per_epoch = math.ceil(len(rows) / settings.batch)
    total = max(1, math.ceil(settings.epochs * batches_per_epoch))
    optimizer = MasterAdamW(reward_model.model.parameters(), settings.optim, total)
    # slow at first: scores that are noise say nothing of labels
    of_labels = OptimSettings(lr=settings.label_lr, schedule="constant", warmup=0.2, weight_decay=0.0)
    label_optimizer = MasterAdamW(labels.parameters(), of_labels, total) if labels.learnt else None
    along = {"labels": (labels, label_optimizer)} if label_optimizer else {}
    trained = Trained(run, {}, model=(reward_model.model, optimizer), **along)

    order = lru_cache(1)(lambda epoch: by_length(lengths, settings.batch, order_seed, epoch))

    def batch_of(step: int) -> Sequence[int]:
        epoch, place = divmod(step, batches_per_epoch)
        return order(epoch)[place]

    def learn_from(step: int, half: int, chosen: Sequence[int]) -> Read:
        # 3. prompts read once each, with all their completions behind them
        seed_dropout(derive_seed(order_seed, step, *([half] if half else [])))
        found, size, whole = Read(), settings.micro_batch or len(chosen), len(batch_of(step))
        read: list[int] = []  # of this process
        for begun in range(0, len(chosen), size):
            part, counts = shards.share(reward_model.model, chosen[begun : begun + size])
            if not part:
                continue
            batch = laid_out(reward_model.model, [row for i in part for row in rows[i]], reward_model.pad_id)
            scores = last_scores(reward_model.model, batch)
            if not counts:
                (0 * scores).sum().backward()
                continue

            # 4. all pairs of each prompt; the loss is the mean over a prompt's pairs, then over the batch's
            # prompts
            total_loss, start = scores.new_zeros(()), 0
            for i in part:
                own = scores[start : start + len(learn[i].ranks)]
                loss, metrics = labels.loss(own, learn[i], margins[i], center=settings.center)
                found.losses.append(loss.item())
                found.metrics.append({name: value.item() for name, value in metrics.items()})
                total_loss = total_loss + loss
                if settings.safety:
                    # both completions of a pair, in the equation: twice the mean over completions
                    sign = sign_term(own, learn[i])
                    found.signs.append(sign.item())
                    total_loss = total_loss + settings.safety * 2 * sign
                start += len(own)
            found.scores += scores.tolist()
            read += part
            worst = int(torch.tensor(found.losses).argmax())  # NaN counts as the largest
            found.worst = learn[read[worst]].prompt.text
            guard_finite(total_loss.item(), step=step, what="the loss", sample=found.worst)
            (total_loss / whole).backward()
        return found

    reward_model.model.train()
    optimizers = [optimizer, label_optimizer] if label_optimizer else [optimizer]
    with Halves(learn_from, optimizers) as halves:
        for step in run.steps(total, desc="reward model", save=trained.state):
            parts = ranks.gathered([vars(part) for part in halves.step(step, batch_of(step))])
            found = Read.together([Read(**part) for theirs in parts for part in theirs if part["losses"]])

            # 5. the update
            rate = optimizer.lr
            grad_norm = optimizer.step()
            guard_finite(grad_norm, step=step, what="the gradient norm", sample=found.worst)
            row = found.row(settings.safety) | {
                "grad_norm": grad_norm,
                "learning_rate": rate,
                "epoch": (step + 1) / batches_per_epoch,
            }
            if label_optimizer:
                label_optimizer.step()
                row |= labels.metrics()
            run.log(step, row)

    # 6. the scale that PPO, best-of-N and serving share
    reward_model.model.eval()
    judge = RewardModelJudge(reward_model, normalize=False)
    sample = learn[:: math.ceil(len(learn) / SCALED_ON)]
    scale = [value for values in preference.scores_of(judge, sample) for value in values]
    reward_model.normalize(float(np.mean(scale)), max(float(np.std(scale)), 1e-6))
    summary = {
        "rankings": len(learn),
        "held_out": len(test),
        "dropped": report.dropped,
        "cut": report.cut,
        "steps": total,
        "score_mean": reward_model.mean,
        "score_std": reward_model.std,
    }
    if settings.ties != "drop" or settings.noise != "smoothing" or settings.annotators == "reliability":
        summary["labels"] = reward_model.model.config.labels = labels.summary(
            learn
        )  # plain numbers, beside mean and deviation
    if settings.ties != "drop":
        summary["outcomes"] = preference.measure_outcomes(judge, test, labels)
    reward_model.model.config.cost_model = settings.safety > 0  # its zero parts safe from unsafe
    if settings.safety:
        summary |= preference.measure_signs(judge, test)
    return summary | preference.measure(
        judge, test, labels=labels, annotator_ceiling=annotator_ceiling, gold=gold, probes=probes
    )


@dataclass
class Read:
    """What was found in the prompts of a step, one after the other: plain numbers, as another process may
    have read some of them.
    """

    losses: list[float] = field(default_factory=list)
    signs: list[float] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    worst: str = ""

    @staticmethod
    def together(parts: Sequence[Read]) -> Read:
        found = Read(worst=max(parts, key=lambda part: max(part.losses)).worst)
        for part in parts:
            found.losses += part.losses
            found.signs += part.signs
            found.metrics += part.metrics
            found.scores += part.scores
        return found

    def row(self, safety: float) -> dict[str, float]:
        """The metrics of the step; accuracy and margin over prompts that have a decided pair."""
        row = {"loss": _mean(self.losses)}
        decided = [m for m in self.metrics if m and not math.isnan(m["accuracy"])]
        if decided:
            row |= {name: _mean([m[name] for m in decided]) for name in ("accuracy", "margin")}
        row |= {
            "min_reward": min(self.scores),
            "mean_reward": _mean(self.scores),
            "max_reward": max(self.scores),
        }
        if safety:
            row["loss/safety"] = _mean(self.signs)
            row["loss"] += safety * 2 * row["loss/safety"]
        return row


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def prepared(
    rankings: Sequence[Ranking],
    held_out: Sequence[Ranking] | None,
    tokenizer: Any,
    settings: RewardSettings,
    seed: int,
) -> tuple[list[Ranking], list[Ranking], FitReport]:
    """Rankings to learn from and to test on, as far as they fit and teach, and the report on the former.

    Raises:
        DataError: no ranking teaches anything, or none fits.
    """
    if settings.safety:
        rankings, held_out = (
            [by_harm(r) for r in rankings],
            None if held_out is None else [by_harm(r) for r in held_out],
        )
    telling = [r for r in rankings if teaches(r, settings)]
    if not telling:
        raise DataError(
            "no ranking has a safe or unsafe label"
            if settings.safety
            else "no ranking prefers one completion to another",
            remedy="labels in ranking_meta.safe, as --annotator town:harm-only gives them"
            if settings.safety
            else "data with preferences, not ties alone",
        )
    ties = settings.ties != "drop" or settings.safety > 0
    fitting, report = fit(
        telling, tokenizer, settings.max_length, truncate=settings.truncate, anyway=settings.anyway, ties=ties
    )
    if tied := len(rankings) - len(telling):
        report.dropped[
            "rankings without a safe or unsafe label" if settings.safety else "rankings of equal ranks alone"
        ] = tied
    if held_out is None:
        return *by_question(fitting, settings.held_out, seed), report
    test = [r for r in held_out if teaches(r, settings)]
    return (
        fitting,
        fit(test, tokenizer, settings.max_length, truncate=settings.truncate, ties=ties)[0] if test else [],
        report,
    )


def by_harm(ranking: Ranking) -> Ranking:
    """The ranking with its order by harm, where its ranks (and soft labels) are by something else (PKU's
    `safer_response_id`).
    """
    if "safer" not in ranking.meta:
        return ranking
    return replace(
        ranking,
        ranks=tuple(ranking.meta["safer"]),
        meta={name: value for name, value in ranking.meta.items() if name != "labels"},
    )


def teaches(ranking: Ranking, settings: RewardSettings) -> bool:
    """Whether a ranking has anything to learn under these settings."""
    if settings.safety:
        return any(label is not None for label in ranking.meta.get("safe", ()))
    return len(ranking.ranks) > 1 if settings.ties != "drop" else len(set(ranking.ranks)) > 1


def sign_term(scores_K: Tensor, ranking: Ranking) -> Tensor:
    """`safety_loss` over the completions of a prompt that have a label."""
    known = [i for i, label in enumerate(ranking.meta["safe"]) if label is not None]
    safe = torch.tensor([bool(ranking.meta["safe"][i]) for i in known], device=scores_K.device)
    return safety_loss(scores_K[known], safe)
