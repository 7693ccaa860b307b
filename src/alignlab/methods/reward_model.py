"""A reward model from rankings: Bradley-Terry on all pairs of each prompt (InstructGPT, section 3.5, equation
1), with margins, ties, people who err, and the sign term that makes it a cost model.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.checks import FitReport, enough, fit
from ..data.split import by_prompt
from ..errors import ConfigError, DataError
from ..evals import statistics
from ..feedback import Judge
from ..feedback.reward_model import RewardModelJudge
from ..health.history import FEWEST
from ..losses import preference_loss, safety_loss
from ..models.batch import by_length
from ..models.chat import example
from ..models.forward import laid_out, last_scores
from ..models.load import RewardModel, load_tensors, trainable_tensors
from ..models.optimizer import MasterAdamW
from ..records import Comparison, Completion, Ranking
from ..run import RunDir, derive_seed, guard_finite
from ..settings import OptimSettings, RewardSettings
from ..settings.rules import check

BIG = 0.5
"""Pairs whose gold scores differ by at least this have a big margin."""
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
        `measure` finds on the held-out rankings.

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
    run.note(
        enough(
            "reward",
            report,
            learn=len(learn),
            batch=settings.batch,
            epochs=settings.epochs,
            test=sum(len(r.comparisons()) for r in test),
            asked=settings.held_out if held_out is None else float(bool(held_out)),
            least=FEWEST,
            anyway=settings.anyway,
        )
    )
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

    # 2. the optimisers, where they were if the run goes on
    batches_an_epoch = math.ceil(len(rows) / settings.batch)
    total = max(1, math.ceil(settings.epochs * batches_an_epoch))
    optimizer = MasterAdamW(reward_model.model.parameters(), settings.optim, total)
    of_labels = OptimSettings(
        lr=settings.label_lr, schedule="constant", warmup=0.2, weight_decay=0.0
    )  # slow at first: scores that are noise say nothing of labels
    label_optimizer = MasterAdamW(labels.parameters(), of_labels, total) if labels.learnt else None
    if saved := run.load_state():
        load_tensors(reward_model.model, saved[1])
        optimizer.load_state_tensors(saved[1])
        if label_optimizer:
            load_tensors(labels, saved[1], "labels")
            label_optimizer.load_state_tensors(saved[1], "label_optim")

    def state() -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = trainable_tensors(reward_model.model) | optimizer.state_tensors()
        if label_optimizer:
            tensors |= trainable_tensors(labels, "labels") | label_optimizer.state_tensors("label_optim")
        return tensors, {}

    reward_model.model.train()
    batches = lru_cache(1)(lambda epoch: by_length(lengths, settings.batch, order_seed, epoch))
    for step in run.steps(total, desc="reward model", save=state):
        # 3. a batch of prompts, each read once with all its completions behind it
        epoch, place = divmod(step, batches_an_epoch)
        chosen = batches(epoch)[place]
        size = settings.micro_batch or len(chosen)
        torch.manual_seed(derive_seed(order_seed, step))
        losses, metrics, signs, raws = [], [], [], []
        for part in (chosen[i : i + size] for i in range(0, len(chosen), size)):
            batch = laid_out(reward_model.model, [row for i in part for row in rows[i]], reward_model.pad_id)
            scores = last_scores(reward_model.model, batch)

            # 4. all pairs of each prompt; the loss is the mean over a prompt's pairs, then over the batch's
            # prompts
            total_loss, start = scores.new_zeros(()), 0
            for i in part:
                own = scores[start : start + len(learn[i].ranks)]
                loss, found = labels.loss(own, learn[i], margins[i], center=settings.center)
                losses.append(loss.detach())
                metrics.append(found)
                total_loss = total_loss + loss
                if (
                    settings.safety
                ):  # both completions of a pair, in the equation: twice the mean over completions
                    sign = sign_term(own, learn[i])
                    signs.append(sign.detach())
                    total_loss = total_loss + settings.safety * 2 * sign
                start += len(own)
            raws.append(scores.detach())
            worst = learn[chosen[int(torch.stack(losses).argmax())]].prompt.text  # NaN counts as the largest
            guard_finite(total_loss.item(), step=step, what="the loss", sample=worst)
            (total_loss / len(chosen)).backward()

        # 5. the update
        rate = optimizer.lr
        grad_norm = optimizer.step()
        guard_finite(grad_norm, step=step, what="the gradient norm", sample=worst)
        decided = [m for m in metrics if m and not m["accuracy"].isnan()]
        means = {
            key: float(torch.stack([m[key] for m in decided]).mean())
            for key in ("accuracy", "margin")
            if decided
        }
        raw = torch.cat(raws)
        loss = torch.stack(losses).mean() + (
            settings.safety * 2 * torch.stack(signs).mean() if settings.safety else 0.0
        )
        row = {
            "loss": loss.item(),
            **means,
            "min_reward": raw.min().item(),
            "mean_reward": raw.mean().item(),
            "max_reward": raw.max().item(),
            "grad_norm": grad_norm,
            "learning_rate": rate,
            "epoch": (step + 1) / batches_an_epoch,
        }
        if settings.safety:
            row["loss/safety"] = torch.stack(signs).mean().item()
        if label_optimizer:
            label_optimizer.step()
            row |= labels.metrics()
        run.log(step, row)

    # 6. the scale that PPO, best-of-N and serving share
    reward_model.model.eval()
    judge = RewardModelJudge(reward_model, normalise=False)
    sample = learn[:: math.ceil(len(learn) / SCALED_ON)]
    scale = [value for values in scores_of(judge, sample) for value in values]
    reward_model.normalise(float(np.mean(scale)), max(float(np.std(scale)), 1e-6))
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
        summary["outcomes"] = measure_outcomes(judge, test, labels)
    reward_model.model.config.cost_model = settings.safety > 0  # its zero parts safe from unsafe
    if settings.safety:
        summary |= measure_signs(judge, test)
    return summary | measure(judge, test, annotator_ceiling=annotator_ceiling, gold=gold, probes=probes)


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
        return *by_prompt(fitting, settings.held_out, seed), report
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


def margins_of(ranking: Ranking, settings: RewardSettings) -> list[float] | None:
    """The margin of each decided pair, in the order of `pairs_of`; None where there are none.

    Raises:
        DataError: margins by score, and no scores. ConfigError: the data has margins, and ties are modelled.
    """
    kind, pairs = settings.margins, zip(*pairs_of(ranking.ranks), strict=True)
    if kind == "none" or (kind == "data" and "margin" not in ranking.meta):
        return None
    if kind == "data":
        if settings.ties != "drop":
            raise ConfigError(
                f"the data has margins, and ties = {settings.ties}",
                where=ranking.prompt.text[:80],
                remedy="--margins none or --ties drop: with a margin the three outcomes have no probabilities",
            )
        return [settings.margin_scale * float(ranking.meta["margin"]) for _ in pairs]
    if kind == "ranks":
        places = {rank: place for place, rank in enumerate(sorted(set(ranking.ranks)))}
        return [
            settings.margin_scale
            * (places[ranking.ranks[j]] - places[ranking.ranks[i]])
            / (len(ranking.ranks) - 1)
            for i, j in pairs
        ]
    if "scores" not in ranking.meta:
        raise DataError(
            "margins = scores, but the data was not ranked by scores",
            where=ranking.prompt.text[:80],
            remedy="--margins ranks, or data with a scores column",
        )
    return [settings.margin_scale * (ranking.meta["scores"][i] - ranking.meta["scores"][j]) for i, j in pairs]


class Labels(nn.Module):
    """What is assumed, or learnt along, of the labels: how often equals tie, how often a label is turned
    round and by whom.

    Each is a share, kept as its logit: the tie rate begins at the share of ties in the data; a flip rate at
    `label_smoothing`, or 0.1; a reliability at 0.9, for scores that are turned over with everybody's
    reliability fit the labels just as well, and this says which of the two is meant.
    """

    def __init__(self, settings: RewardSettings, rankings: Sequence[Ranking]) -> None:
        super().__init__()
        self.settings = settings
        self.people = (
            {name: i for i, name in enumerate(sorted({r.annotator for r in rankings}))}
            if settings.annotators == "reliability"
            else {}
        )
        if settings.annotators == "reliability" and len(self.people) < 2:
            raise DataError(
                (
                    "annotators = reliability, but all labels are by one annotator "
                    f"({next(iter(self.people))!r})"
                ),
                remedy="--noise learnt, which learns how reliable that one is",
            )
        self.tie = self.flip = None
        if settings.ties != "drop":
            pairs = [
                r.ranks[i] == r.ranks[j] for r in rankings for i in range(len(r.ranks)) for j in range(i)
            ]
            start = settings.tie_rate or min(max(sum(pairs) / len(pairs), 0.01), 0.9)
            self.tie = nn.Parameter(logit([start])[0], requires_grad=not settings.tie_rate)
        if self.people or settings.noise != "smoothing":
            start = 0.1 if self.people else settings.label_smoothing or 0.1
            self.flip = nn.Parameter(
                logit([start] * max(1, len(self.people))),
                requires_grad=bool(self.people) or settings.noise == "learnt",
            )

    @property
    def learnt(self) -> bool:
        return any(p.requires_grad for p in self.parameters())

    def loss(
        self, scores_K: Tensor, ranking: Ranking, margins: list[float] | None = None, *, center: float = 0.0
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean loss over a prompt's pairs, soft labels where it has them; of a prompt without any, 0 and
        no metrics.
        """
        s, first, second = self.settings, *pairs_of(ranking.ranks)
        tie_B = None
        if self.tie is not None:
            even = ties_of(ranking.ranks)
            tie_B = torch.tensor([False] * len(first) + [True] * len(even), device=scores_K.device)
            first, second = first + [i for i, _ in even], second + [j for _, j in even]
        if not first:
            return scores_K.sum() * 0.0, {}
        flip = (
            None
            if self.flip is None
            else self.flip[self.people.get(ranking.annotator, 0)].sigmoid().to(scores_K.device)
        )
        soft = [
            1.0 if (label := ranking.label(i, j)) is None else label
            for i, j in zip(first, second, strict=True)
        ]
        return preference_loss(
            scores_K[first],
            scores_K[second],
            tie_B=tie_B,
            ties="" if self.tie is None else s.ties,
            tie_rate=None if self.tie is None else self.tie.sigmoid().to(scores_K.device),
            margin_B=None
            if margins is None
            else torch.tensor(margins, dtype=scores_K.dtype, device=scores_K.device),
            center=center,
            label_smoothing=0.0 if flip is not None else s.label_smoothing,
            flip_B=flip,
            label_B=torch.tensor(soft, dtype=scores_K.dtype, device=scores_K.device)
            if "labels" in ranking.meta
            else None,
        )

    def metrics(self) -> dict[str, float]:
        """`labels/tie_rate`, `labels/flip_rate` or `labels/reliability/NAME`, as they stand."""
        found = {} if self.tie is None else {"labels/tie_rate": self.tie.sigmoid().item()}
        if self.flip is not None:
            names = [f"labels/reliability/{name}" for name in self.people] or ["labels/flip_rate"]
            rates = self.flip.sigmoid().tolist()
            found |= dict(zip(names, [1 - rate for rate in rates] if self.people else rates, strict=True))
        return found

    def summary(self, rankings: Sequence[Ranking]) -> dict[str, Any]:
        """Plain numbers for the summary and the model's config."""
        found: dict[str, Any] = (
            {}
            if self.tie is None
            else {
                "ties": self.settings.ties,
                "tie_rate": self.tie.sigmoid().item(),
                "tie_rate_learnt": self.tie.requires_grad,
            }
        )
        if self.flip is not None and not self.people:
            found |= {"flip_rate": self.flip.sigmoid().item(), "flip_rate_learnt": self.flip.requires_grad}
        if self.flip is not None and self.people:
            rates = self.flip.sigmoid().tolist()
            found["annotators"] = {
                name: {"reliability": 1 - rates[i], "rankings": sum(r.annotator == name for r in rankings)}
                for name, i in self.people.items()
            }
        return found


def logit(shares: Sequence[float]) -> Tensor:
    return torch.tensor(shares, dtype=torch.float32).logit()


def sign_term(scores_K: Tensor, ranking: Ranking) -> Tensor:
    """`safety_loss` over the completions of a prompt that have a label."""
    known = [i for i, label in enumerate(ranking.meta["safe"]) if label is not None]
    safe = torch.tensor([bool(ranking.meta["safe"][i]) for i in known], device=scores_K.device)
    return safety_loss(scores_K[known], safe)


def measure_signs(judge: Judge, test: Sequence[Ranking]) -> dict[str, Any]:
    """Of a cost model on held-out labels: `sign_accuracy`, and the shares of safe and of unsafe completions
    it calls so.
    """
    found = [
        (score > 0, bool(label))
        for r, scores in zip(test, scores_of(judge, test), strict=True)
        for score, label in zip(scores, r.meta.get("safe", ()), strict=False)
        if label is not None
    ]
    return {
        "sign_accuracy": statistics.mean_ci([float(said == safe) for said, safe in found]),
        "safe_called_safe": statistics.mean_ci([float(said) for said, safe in found if safe]),
        "unsafe_called_unsafe": statistics.mean_ci([float(not said) for said, safe in found if not safe]),
    }


def pairs_of(ranks: Sequence[int]) -> tuple[list[int], list[int]]:
    """Indices (better, worse) of all pairs whose ranks differ."""
    pairs = [(i, j) for i in range(len(ranks)) for j in range(len(ranks)) if ranks[i] < ranks[j]]
    return [i for i, _ in pairs], [j for _, j in pairs]


def ties_of(ranks: Sequence[int]) -> list[tuple[int, int]]:
    """Indices of all pairs whose ranks are equal."""
    return [(i, j) for i in range(len(ranks)) for j in range(i + 1, len(ranks)) if ranks[i] == ranks[j]]


def scores_of(judge: Judge, rankings: Sequence[Ranking]) -> list[list[float]]:
    """A judge's scores of all completions of each ranking, each read once."""
    values = iter(score.value for score in judge.score([c for r in rankings for c in r.completions]))
    return [[next(values) for _ in r.completions] for r in rankings]


def measure(
    judge: Judge,
    test: Sequence[Ranking],
    *,
    annotator_ceiling: float | None = None,
    gold: Judge | None = None,
    probes: Sequence[Comparison] | None = None,
) -> dict[str, Any]:
    """How well a judge's scores predict held-out rankings; rates are {"mean", "ci", "n"}.

    Returns:
        `accuracy` on all pairs of different rank (a tie counts half) with its `ci` and `n`, beside the
        annotator's `ceiling` and `length_floor` (always the longer one); `ece` and `reliability` of
        sigmoid(margin), each pair read in one random order; `margins`, a histogram clipped to plus and minus
        8. Soft labels count by their probability in all of these, and their `ceiling` is the mean of max(l, 1
        - l). With `gold`, `gold_accuracy` on all pairs that differ in gold score and `gold_accuracy_big` on
        those that differ by `BIG`. With `probes`, for each name the share in which the chosen one scores
        higher.
    """
    proxy = scores_of(judge, test)
    pairs = [
        (r, p, i, j)
        for r, p in zip(test, proxy, strict=True)
        for i, j in zip(*pairs_of(r.ranks), strict=True)
    ]
    margins = np.array([p[i] - p[j] for _, p, i, j in pairs])
    lengths = np.array([len(r.completions[i].text) - len(r.completions[j].text) for r, _, i, j in pairs])
    soft = np.array([1.0 if (label := r.label(i, j)) is None else label for r, _, i, j in pairs])
    accuracy = statistics.mean_ci(agreed(margins, soft))
    if annotator_ceiling is None and any("labels" in r.meta for r in test):
        annotator_ceiling = float(np.maximum(soft, 1 - soft).mean())

    # every margin favours the better one when it is right: half the pairs are turned round, so that P(first
    # preferred) has both outcomes
    turned = np.random.Generator(np.random.Philox(key=[len(margins), 0])).random(len(margins)) < 0.5
    stated = list(1 / (1 + np.exp(-np.clip(np.where(turned, -margins, margins), -60, 60))))
    happened = list(np.where(turned, 1 - soft, soft))
    counts, edges = np.histogram(np.clip(margins, -8, 8), bins=32, range=(-8, 8))
    summary: dict[str, Any] = {
        "accuracy": accuracy,
        "ci": accuracy["ci"],
        "n": accuracy["n"],
        "ceiling": annotator_ceiling,
        "length_floor": statistics.mean_ci(agreed(lengths, soft)),
        "ece": statistics.ece(stated, happened) if pairs else None,
        "reliability": statistics.reliability_curve(stated, happened),
        "margins": {"counts": counts.tolist(), "edges": edges.tolist()},
    }
    if gold:
        both = [
            (p[i] - p[j], g[i] - g[j])
            for p, g in zip(proxy, scores_of(gold, test), strict=True)
            for i in range(len(p))
            for j in range(i)
        ]
        true = np.array([ours * np.sign(truth) for ours, truth in both if abs(truth) > 1e-9])
        true_big = np.array([ours * np.sign(truth) for ours, truth in both if abs(truth) >= BIG])
        summary |= {
            "gold_accuracy": statistics.mean_ci(agreed(true)),
            "gold_accuracy_big": statistics.mean_ci(agreed(true_big)),
        }
    if probes:
        good = judge.score([Completion(p.prompt, p.chosen, finished=p.chosen_finished) for p in probes])
        bad = judge.score([Completion(p.prompt, p.rejected, finished=p.rejected_finished) for p in probes])
        found: dict[str, list[float]] = {}
        for probe, a, b in zip(probes, good, bad, strict=True):
            found.setdefault(str(probe.meta["probe"]), []).append(float(a.value > b.value))
        summary["probes"] = {name: statistics.mean_ci(values) for name, values in found.items()}
    return summary


def measure_spread(judge: Judge, test: Sequence[Ranking]) -> dict[str, Any]:
    """The deviation among an ensemble's members over the completions of rankings; and how much more they
    disagree where together they are wrong.

    Returns:
        `mean` (S), and `of_wrong` and `of_right` (S): the members' spread, mean of both completions, over
        pairs that the ensemble orders wrong and right.
    """
    found = [judge.score(r.completions) for r in test]
    pairs = [
        (scores[i], scores[j])
        for r, scores in zip(test, found, strict=True)
        for i, j in zip(*pairs_of(r.ranks), strict=True)
    ]
    spread = [((a.parts["spread"] + b.parts["spread"]) / 2, a.value > b.value) for a, b in pairs]
    return {
        "mean": statistics.mean_ci([score.parts["spread"] for scores in found for score in scores]),
        "of_right": statistics.mean_ci([value for value, agreed in spread if agreed]),
        "of_wrong": statistics.mean_ci([value for value, agreed in spread if not agreed]),
    }


def measure_outcomes(judge: Judge, test: Sequence[Ranking], labels: Labels) -> dict[str, Any]:
    """Held-out pairs, ties among them, under the learnt model of ties: `nll` (S, nats a pair) beside
    `nll_constant`, that of their own share of ties and a coin, which a model has to beat; `tie_share`.
    """
    losses = []
    for ranking, scores in zip(test, scores_of(judge, test), strict=True):
        for i, j in [*zip(*pairs_of(ranking.ranks), strict=True), *ties_of(ranking.ranks)]:
            pair = ranking.only([i, j])
            losses.append(
                (labels.loss(torch.tensor([scores[i], scores[j]]), pair)[0].item(), len(set(pair.ranks)) == 1)
            )
    share = sum(tie for _, tie in losses) / len(losses) if losses else 0.0
    constant = -sum(p * math.log(p) for p in (share, (1 - share) / 2, (1 - share) / 2) if p > 0)
    return {
        "nll": statistics.mean_ci([loss for loss, _ in losses]),
        "nll_constant": constant,
        "tie_share": share,
    }


def agreed(margins: np.ndarray, soft: np.ndarray | None = None) -> list[float]:
    """1 where the preferred one is ahead, 0.5 at a tie; with soft labels, the probability that a label drawn
    from them has it so.
    """
    right = (np.sign(margins) + 1) / 2
    return (right if soft is None else soft * right + (1 - soft) * (1 - right)).tolist()
