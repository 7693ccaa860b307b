"""A reward model from rankings: Bradley-Terry on all pairs of each prompt (InstructGPT, section 3.5, equation 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
from ..models.batch import by_length, pad
from ..models.chat import example
from ..models.forward import last_token_scores
from ..models.load import RewardModel, load_tensors, trainable_tensors
from ..models.optimizer import MasterAdamW
from ..records import Comparison, Completion, Ranking
from ..run import RunDir, derive_seed, guard_finite
from ..settings import RewardSettings

BIG = 0.5
"""Pairs whose gold scores differ by at least this have a big margin."""


def train(run: RunDir, reward_model: RewardModel, rankings: Sequence[Ranking], settings: RewardSettings, *, seed: int,
          held_out: Sequence[Ranking] | None = None, annotator_ceiling: float | None = None, gold: Judge | None = None,
          probes: Sequence[Comparison] | None = None) -> dict[str, Any]:
    """Train the reward model in place and measure it.

    Each completion is read once; all K(K-1)/2 pairs of a prompt are made of those K scores and stay in one batch element.
    Ties are left out of the loss. The scores' mean and deviation over the training completions go into the model.

    Metrics a step: `loss`, `accuracy`, `margin`, `min_reward`, `mean_reward`, `max_reward`, `grad_norm`, `learning_rate`, `epoch`.

    Args:
        held_out: rankings kept for testing; None holds some prompts out.
        annotator_ceiling: the accuracy nobody can beat on this annotator's labels, if known.
        gold: a judge that knows the truth, to measure against; never trained on.
        probes: pairs that differ in one flaw, named by `meta["probe"]`.
    """
    # 1. what fits, encoded once
    fitting, report = fit([r for r in rankings if len(set(r.ranks)) > 1], reward_model.tokenizer, settings.max_length)
    run.note(f"reward: {report}")
    learn, test = (fitting, list(held_out)) if held_out is not None else by_prompt(fitting, settings.held_out, seed)
    if not learn:
        raise DataError("every ranking was held out", remedy="more data, or a smaller held_out")
    rows = [[example(reward_model.tokenizer, r.prompt, c.text, finished=c.finished) for c in r.completions] for r in learn]
    lengths = [max(len(row.ids) for row in group) for group in rows]
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
    for step in run.steps(total, desc="reward model", save=state):
        # 3. a batch of prompts, each with all its completions
        epoch, place = divmod(step, batches_an_epoch)
        chosen = by_length(lengths, settings.batch, derive_seed(seed, "reward"), epoch)[place]
        batch = pad([row for i in chosen for row in rows[i]], reward_model.pad_id).to(reward_model.device)
        torch.manual_seed(derive_seed(seed, "reward", step))
        scores = last_token_scores(reward_model.model, batch)

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
        guard_finite(loss.item(), step=step, what="the loss", sample=learn[chosen[0]].prompt.text)
        loss.backward()

        # 5. the update
        rate = optimizer.lr
        grad_norm = optimizer.step()
        guard_finite(grad_norm, step=step, what="the gradient norm", sample=learn[chosen[0]].prompt.text)
        run.log(step, {"loss": loss.item(), **{key: float(torch.stack([m[key] for m in metrics]).mean()) for key in metrics[0]}, "grad_norm": grad_norm,
                       "learning_rate": rate, "epoch": (step + 1) / batches_an_epoch})

    # 6. the scale that PPO, best-of-N and serving share
    reward_model.model.eval()
    raw = [s.value for s in RewardModelJudge(reward_model, normalise=False).score([c for r in learn[:1000] for c in r.completions])]
    reward_model.normalise(float(np.mean(raw)), max(float(np.std(raw)), 1e-6))
    summary = {"rankings": len(learn), "held_out": len(test), "dropped": report.dropped, "steps": total, "score_mean": reward_model.mean,
               "score_std": reward_model.std}
    return summary | measure(RewardModelJudge(reward_model, normalise=False), test, annotator_ceiling=annotator_ceiling, gold=gold, probes=probes)


def pairs_of(ranks: Sequence[int]) -> tuple[list[int], list[int]]:
    """Indices (better, worse) of all pairs whose ranks differ."""
    pairs = [(i, j) for i in range(len(ranks)) for j in range(len(ranks)) if ranks[i] < ranks[j]]
    return [i for i, _ in pairs], [j for _, j in pairs]


def measure(judge: RewardModelJudge, test: Sequence[Ranking], *, annotator_ceiling: float | None, gold: Judge | None,
            probes: Sequence[Comparison] | None) -> dict[str, Any]:
    """Held-out accuracy beside its ceiling and its floor, calibration, margins, and what the model prefers on probe pairs."""
    comparisons = [pair for ranking in test for pair in ranking.comparisons()]
    if not comparisons:
        return {"accuracy": statistics.mean_ci([]), "ci": None, "n": 0, "ceiling": annotator_ceiling, "ece": None, "length_floor": statistics.mean_ci([])}
    chosen = [Completion(c.prompt, c.chosen, finished=c.chosen_finished) for c in comparisons]
    rejected = [Completion(c.prompt, c.rejected, finished=c.rejected_finished) for c in comparisons]
    margins = np.array([a.value - b.value for a, b in zip(judge.score(chosen), judge.score(rejected), strict=True)])
    accuracy = statistics.mean_ci(right(margins))
    lengths = np.array([float(len(a.text) - len(b.text)) for a, b in zip(chosen, rejected, strict=True)])

    # each pair read once in a random order: P(first better) against whether it was
    flips = np.random.Generator(np.random.Philox(key=[len(margins), 0])).random(len(margins)) < 0.5
    stated = 1 / (1 + np.exp(-np.clip(np.where(flips, -margins, margins), -60, 60)))
    happened = (~flips).astype(float)
    counts, edges = np.histogram(np.clip(margins, -8, 8), bins=32)
    summary: dict[str, Any] = {
        "accuracy": accuracy, "ci": accuracy["ci"], "n": accuracy["n"], "ceiling": annotator_ceiling, "length_floor": statistics.mean_ci(right(lengths)),
        "ece": statistics.ece(list(stated), list(happened)), "reliability": statistics.reliability_curve(list(stated), list(happened)),
        "margins": {"counts": counts.tolist(), "edges": edges.tolist()},
    }
    if gold:
        everything = [c for r in test for c in r.completions]
        proxy, truth = (iter([s.value for s in j.score(everything)]) for j in (judge, gold))
        small, big = [], []
        for ranking in test:
            p, g = [next(proxy) for _ in ranking.completions], [next(truth) for _ in ranking.completions]
            for i in range(len(p)):
                for j in range(i + 1, len(p)):
                    if abs(g[i] - g[j]) > 1e-9:
                        hit = 1.0 if (p[i] - p[j]) * (g[i] - g[j]) > 0 else 0.0
                        (big if abs(g[i] - g[j]) >= BIG else small).append(hit)
        summary |= {"gold_accuracy": statistics.mean_ci(small + big), "gold_accuracy_big": statistics.mean_ci(big)}
    if probes:
        good = judge.score([Completion(p.prompt, p.chosen) for p in probes])
        bad = judge.score([Completion(p.prompt, p.rejected) for p in probes])
        found: dict[str, list[float]] = {}
        for probe, a, b in zip(probes, good, bad, strict=True):
            found.setdefault(str(probe.meta["probe"]), []).append(float(a.value > b.value))
        summary["probes"] = {name: statistics.mean_ci(values) for name, values in found.items()}
    return summary


def right(margins: np.ndarray) -> list[float]:
    """1 where the preferred one is ahead, 0.5 at a tie."""
    return list(np.where(margins > 0, 1.0, np.where(margins == 0, 0.5, 0.0)))
