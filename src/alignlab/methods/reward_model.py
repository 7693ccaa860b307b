"""A reward model from rankings: Bradley-Terry on all pairs of each prompt (InstructGPT, section 3.5, equation 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.checks import fit
from ..data.split import by_prompt
from ..errors import DataError
from ..evals import statistics
from ..feedback import Judge
from ..feedback.reward_model import RewardModelJudge
from ..losses import bradley_terry_loss
from ..models.batch import by_length
from ..models.chat import example
from ..models.forward import laid_out, last_scores
from ..models.load import RewardModel, load_tensors, trainable_tensors
from ..models.optimizer import MasterAdamW
from ..records import Comparison, Completion, Ranking
from ..run import RunDir, derive_seed, guard_finite
from ..settings import RewardSettings

BIG = 0.5
"""Pairs whose gold scores differ by at least this have a big margin."""
SCALED_ON = 500
"""Rankings, spread evenly over the training data, whose scores give the mean and the deviation."""


def train(run: RunDir, reward_model: RewardModel, rankings: Sequence[Ranking], settings: RewardSettings, *, seed: int,
          held_out: Sequence[Ranking] | None = None, annotator_ceiling: float | None = None, gold: Judge | None = None,
          probes: Sequence[Comparison] | None = None) -> dict[str, Any]:
    """Train the reward model in place and measure it.

    Each completion is read once; all K(K-1)/2 pairs of a prompt are made of those K scores and stay in one batch element.
    Ties are left out of the loss. The scores' mean and deviation over training completions go into the model.

    Metrics a step: `loss`, `accuracy` and `margin` (over a prompt's pairs, then over prompts), `min_reward`, `mean_reward`, `max_reward` (of the batch's
    completions, raw scores), `grad_norm`, `learning_rate`, `epoch`.

    Args:
        held_out: rankings kept for testing; None keeps the share `settings.held_out` of the prompts.
        annotator_ceiling: the accuracy nobody can beat on this annotator's labels, if known.
        gold: a judge that knows the truth, to measure against; never trained on.
        probes: pairs that differ in one flaw, which the rejected one has, named by `meta["probe"]`.

    Returns:
        What was trained on, `score_mean` and `score_std`, and what `measure` finds on the held-out rankings.

    Raises:
        DataError: nothing to learn, or nothing that fits. GuardStop: a loss that is not finite.
    """
    # 1. what fits, encoded once
    telling = [r for r in rankings if len(set(r.ranks)) > 1]
    if not telling:
        raise DataError("no ranking prefers one completion to another", remedy="data with preferences, not ties alone")
    fitting, report = fit(telling, reward_model.tokenizer, settings.max_length)
    if tied := len(rankings) - len(telling):
        report.dropped["rankings of equal ranks alone"] = tied
    run.note(f"reward: {report}")
    if held_out is None:
        learn, test = by_prompt(fitting, settings.held_out, seed)
    else:
        learn, test = fitting, fit(held_out, reward_model.tokenizer, settings.max_length)[0] if held_out else []
    if not learn:
        raise DataError("every ranking was held out", remedy="more data, or a smaller held_out")
    rows = [[example(reward_model.tokenizer, r.prompt, c.text, finished=c.finished) for c in r.completions] for r in learn]
    lengths = [sum(len(row.ids) for row in group) for group in rows]
    run.add_data("rankings", learn)

    # 2. the optimiser, where it was if the run goes on
    batches_an_epoch = math.ceil(len(rows) / settings.batch)
    total = max(1, math.ceil(settings.epochs * batches_an_epoch))
    optimizer = MasterAdamW(reward_model.model.parameters(), settings.optim, total)
    if saved := run.load_state():
        load_tensors(reward_model.model, saved[1])
        optimizer.load_state_tensors(saved[1])

    def state() -> tuple[dict[str, Tensor], dict[str, Any]]:
        return trainable_tensors(reward_model.model) | optimizer.state_tensors(), {}

    reward_model.model.train()
    batches = lru_cache(1)(lambda epoch: by_length(lengths, settings.batch, derive_seed(seed, "reward"), epoch))
    for step in run.steps(total, desc="reward model", save=state):
        # 3. a batch of prompts, each read once with all its completions behind it
        epoch, place = divmod(step, batches_an_epoch)
        chosen = batches(epoch)[place]
        batch = laid_out(reward_model.model, [row for i in chosen for row in rows[i]], reward_model.pad_id)
        torch.manual_seed(derive_seed(seed, "reward", step))
        scores = last_scores(reward_model.model, batch)

        # 4. all pairs of each prompt; the loss is the mean over a prompt's pairs, then over prompts
        losses, metrics, start = [], [], 0
        for i in chosen:
            ranks = learn[i].ranks
            better, worse = pairs_of(ranks)
            own = scores[start : start + len(ranks)]
            loss, found = bradley_terry_loss(own[better], own[worse], center=settings.center, label_smoothing=settings.label_smoothing)
            losses.append(loss)
            metrics.append(found)
            start += len(ranks)
        loss = torch.stack(losses).mean()
        worst = learn[chosen[int(torch.stack(losses).argmax())]].prompt.text  # NaN counts as the largest
        guard_finite(loss.item(), step=step, what="the loss", sample=worst)
        loss.backward()

        # 5. the update
        rate = optimizer.lr
        grad_norm = optimizer.step()
        guard_finite(grad_norm, step=step, what="the gradient norm", sample=worst)
        means = {key: float(torch.stack([m[key] for m in metrics]).mean()) for key in ("accuracy", "margin")}
        raw = scores.detach()
        run.log(step, {"loss": loss.item(), **means, "min_reward": raw.min().item(), "mean_reward": raw.mean().item(), "max_reward": raw.max().item(),
                       "grad_norm": grad_norm, "learning_rate": rate, "epoch": (step + 1) / batches_an_epoch})

    # 6. the scale that PPO, best-of-N and serving share
    reward_model.model.eval()
    judge = RewardModelJudge(reward_model, normalise=False)
    sample = learn[:: math.ceil(len(learn) / SCALED_ON)]
    scale = [value for values in scores_of(judge, sample) for value in values]
    reward_model.normalise(float(np.mean(scale)), max(float(np.std(scale)), 1e-6))
    summary = {"rankings": len(learn), "held_out": len(test), "dropped": report.dropped, "steps": total, "score_mean": reward_model.mean,
               "score_std": reward_model.std}
    return summary | measure(judge, test, annotator_ceiling=annotator_ceiling, gold=gold, probes=probes)


def pairs_of(ranks: Sequence[int]) -> tuple[list[int], list[int]]:
    """Indices (better, worse) of all pairs whose ranks differ."""
    pairs = [(i, j) for i in range(len(ranks)) for j in range(len(ranks)) if ranks[i] < ranks[j]]
    return [i for i, _ in pairs], [j for _, j in pairs]


def scores_of(judge: Judge, rankings: Sequence[Ranking]) -> list[list[float]]:
    """A judge's scores of all completions of each ranking, each read once."""
    values = iter(score.value for score in judge.score([c for r in rankings for c in r.completions]))
    return [[next(values) for _ in r.completions] for r in rankings]


def measure(judge: Judge, test: Sequence[Ranking], *, annotator_ceiling: float | None = None, gold: Judge | None = None,
            probes: Sequence[Comparison] | None = None) -> dict[str, Any]:
    """How well a judge's scores predict held-out rankings; rates are {"mean", "ci", "n"}.

    Returns:
        `accuracy` on all pairs of different rank (a tie counts half) with its `ci` and `n`, beside the annotator's `ceiling` and `length_floor` (always
        the longer one); `ece` and `reliability` of sigmoid(margin), each pair read in one random order; `margins`, a histogram clipped to plus and
        minus 8. With `gold`, `gold_accuracy` on all pairs that differ in gold score and `gold_accuracy_big` on those that differ by `BIG`. With
        `probes`, for each name the share in which the chosen one scores higher.
    """
    proxy = scores_of(judge, test)
    pairs = [(r, p, i, j) for r, p in zip(test, proxy, strict=True) for i, j in zip(*pairs_of(r.ranks), strict=True)]
    margins = np.array([p[i] - p[j] for _, p, i, j in pairs])
    lengths = np.array([len(r.completions[i].text) - len(r.completions[j].text) for r, _, i, j in pairs])
    accuracy = statistics.mean_ci(right(margins))

    # every margin favours the better one when it is right: half the pairs are turned round, so that P(first preferred) has both outcomes
    turned = np.random.Generator(np.random.Philox(key=[len(margins), 0])).random(len(margins)) < 0.5
    stated = list(1 / (1 + np.exp(-np.clip(np.where(turned, -margins, margins), -60, 60))))
    happened = list((~turned).astype(float))
    counts, edges = np.histogram(np.clip(margins, -8, 8), bins=32, range=(-8, 8))
    summary: dict[str, Any] = {
        "accuracy": accuracy, "ci": accuracy["ci"], "n": accuracy["n"], "ceiling": annotator_ceiling, "length_floor": statistics.mean_ci(right(lengths)),
        "ece": statistics.ece(stated, happened) if pairs else None, "reliability": statistics.reliability_curve(stated, happened),
        "margins": {"counts": counts.tolist(), "edges": edges.tolist()},
    }
    if gold:
        both = [(p[i] - p[j], g[i] - g[j]) for p, g in zip(proxy, scores_of(gold, test), strict=True) for i in range(len(p)) for j in range(i)]
        agreed = np.array([ours * np.sign(truth) for ours, truth in both if abs(truth) > 1e-9])
        agreed_big = np.array([ours * np.sign(truth) for ours, truth in both if abs(truth) >= BIG])
        summary |= {"gold_accuracy": statistics.mean_ci(right(agreed)), "gold_accuracy_big": statistics.mean_ci(right(agreed_big))}
    if probes:
        good = judge.score([Completion(p.prompt, p.chosen, finished=p.chosen_finished) for p in probes])
        bad = judge.score([Completion(p.prompt, p.rejected, finished=p.rejected_finished) for p in probes])
        found: dict[str, list[float]] = {}
        for probe, a, b in zip(probes, good, bad, strict=True):
            found.setdefault(str(probe.meta["probe"]), []).append(float(a.value > b.value))
        summary["probes"] = {name: statistics.mean_ci(values) for name, values in found.items()}
    return summary


def right(margins: np.ndarray) -> list[float]:
    """1 where the preferred one is ahead, 0.5 at a tie."""
    return ((np.sign(margins) + 1) / 2).tolist()
