"""Rejection sampling: in rounds, sample N, keep what the judge likes best, and learn it by SFT (Touvron et
al. 2023, section 3.2.3; RAFT, Dong et al. 2023).

In each round I sample N completions of each prompt from the policy as it is, keep of each prompt the one that
the judge likes best and that ended by itself, keep of these the top share, and take SFT steps on them; with
`keep_earlier` the best of all rounds so far compete. I leave out a penalty on leaving the start: rounds are
few and every target is something that the policy wrote; KL is measured, and not held.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from .. import rollouts
from ..errors import DataError
from ..feedback import Judge
from ..losses import sft_loss
from ..models.batch import by_length, chunks
from ..models.chat import Rendered, as_written
from ..models.forward import laid_out, token_logprobs_of
from ..models.optimizer import MasterAdamW
from ..models.policy import Policy
from ..models.state import Trained
from ..records import Completion, Prompt
from ..rollouts import Rollouts, mean
from ..rollouts.batch import cut
from ..run import RunDir, derive_seed, guard_finite
from ..settings import RejectionSettings


def train(
    run: RunDir,
    policy: Policy,
    reference: Policy | None,
    prompts: Sequence[Prompt],
    settings: RejectionSettings,
    *,
    judge: Judge,
    gold: Judge | None = None,
    seed: int,
) -> dict[str, Any]:
    """Train the policy in place, round by round; each round samples from what the one before has made.

    A completion that was cut is never learnt: it has no end. Special tokens inside one are learnt as what was
    sampled, special tokens or text that spells them. The picks of a round are kept in `rounds/`, so
    that a run that was interrupted goes on within the round.

    Args:
        reference: the model that it started from, for KL; None stands for the policy with its adapter off.
        gold: a judge that knows the truth, logged beside the proxy and never used to pick.

    Metrics of the first step of a round, of its samples: `round`, `round/proxy` and `round/gold` (mean of all
    samples), `round/proxy_best` and `round/gold_best` (of the picks), `round/tokens` (sampled), `round/kl`
    (k1 from the start, nats per completion), `round/distinct` (share of different texts among the N of a
    prompt), `round/learnt` (completions learnt from), `round/unfinished` (prompts none of whose completions
    ended). Of each step: `loss`, `grad_norm`, `learning_rate`, `num_tokens`.

    Returns:
        `rounds`: those figures of each round, `sampled_tokens` (in the rounds that taught), and `proxy_last`,
            `gold_last`, `kl_last`, `distinct_last` of a last sampling, after training.

    Raises:
        ConfigError: settings that cannot work. DataError: no prompt fits, or no completion ended. GuardStop:
            a score or loss that is not finite.
    """
    # 1. prompts that fit; the optimizer, where it was if the run goes on. Every round has as many steps as
    # its largest pool needs
    source = rollouts.Source(run, policy, prompts, settings, seed=seed)
    asked, steps = min(settings.prompts, len(source.prompts)), 0
    starts = []
    for number in range(settings.rounds):
        starts.append(steps)
        pool_size = asked
        if settings.keep_earlier:
            pool_size = min(len(source.prompts), asked * (number + 1))
        learnt_at_most = math.ceil(settings.top_share * pool_size)
        steps += max(1, math.ceil(settings.epochs * learnt_at_most / settings.batch))
    optimizer = MasterAdamW(policy.model.parameters(), settings.optim, steps)
    trained = Trained(run, {"tokens": 0}, model=(policy.model, optimizer))

    policy.model.eval()

    def sampled(number: int, step: int) -> dict[str, Any]:
        """What the policy of a round wrote, scored: figures, and of each prompt the best that ended. Written
        once.
        """

        def made() -> dict[str, Any]:
            completions = source.sample(asked, number, draws="rejection", at=step)
            scores = [score.value for score in rollouts.judged(judge, completions, step)]
            return pick(policy, reference, completions, scores, gold, settings)

        return run.kept(f"rounds/{number:03d}", made)

    def pool(number: int, step: int) -> list[dict[str, Any]]:
        """What is learnt in a round."""
        rounds = range(number + 1) if settings.keep_earlier else [number]
        return top(list(chain.from_iterable(sampled(i, step)["best"] for i in rounds)), settings.top_share)

    rows: list[Rendered] = []
    current_round, learnt = -1, list[dict[str, Any]]()
    for step in run.steps(steps, desc="rejection", save=trained.state):
        number = max(i for i, start in enumerate(starts) if start <= step)
        place = step - starts[number]
        metrics: dict[str, float] = {}

        # 2. at the start of a round: sample, score, keep the best, and of those the top share
        if number != current_round:
            current_round = number
            learnt = pool(number, step)
            if not learnt:
                raise DataError(
                    "no completion of this round ended by itself",
                    where=f"round {number}",
                    remedy="a larger sampling.max_new_tokens, or another model",
                )
            rows = [as_written(policy.tokenizer, sampled_in(row)) for row in learnt]
            if place == 0:
                metrics = of_round(float(number), sampled(number, step)["figures"]) | {
                    "round/learnt": len(learnt)
                }
                run.log_samples(step, [row | {"round": number} for row in (*learnt[:2], learnt[-1])])

        # 3. negative log-likelihood of a batch of them, over the count of all its tokens
        epoch, at = divmod(place, math.ceil(len(rows) / settings.batch))
        lengths = [len(row.ids) for row in rows]
        chosen = by_length(lengths, settings.batch, derive_seed(seed, "rejection", number), epoch)[at]
        count = float(sum(sum(rows[i].loss_mask) for i in chosen))
        size, total = settings.micro_batch or len(chosen), 0.0
        for start in range(0, len(chosen), size):
            layout = laid_out(policy.model, [rows[i] for i in chosen[start : start + size]], policy.pad_id)
            loss, _ = sft_loss(
                token_logprobs_of(policy.model, layout.batch), layout.batch.loss_mask_BT, denominator=count
            )
            loss.backward()
            total += loss.item()
        guard_finite(total, step=step, what="the loss", sample=learnt[chosen[0]]["completion"])
        metrics |= {"loss": total, "learning_rate": optimizer.lr, "grad_norm": optimizer.step()}
        worst = learnt[chosen[0]]["completion"]
        guard_finite(metrics["grad_norm"], step=step, what="the gradient norm", sample=worst)
        trained.numbers["tokens"] += int(count)
        run.log(step, metrics | {"num_tokens": trained.numbers["tokens"]})

    # 4. what came of the last round
    every = [sampled(number, steps)["figures"] for number in range(settings.rounds + 1)]
    run.log(steps, of_round(settings.rounds, every[-1]))
    source.close()
    last = {f"{name}_last": every[-1].get(name) for name in ("proxy", "gold", "kl", "distinct")}
    run.add_data("completions", [Completion.from_json(row) for row in pool(settings.rounds - 1, steps)])
    return {
        "rounds": every[:-1],
        "steps": steps,
        "num_tokens": trained.numbers["tokens"],
        "sampled_tokens": sum(row["tokens"] for row in every[:-1]),
        "proxy_first": every[0]["proxy"],
        "gold_first": every[0].get("gold"),
        **last,
        "dropped": source.dropped,
    }


def pick(
    policy: Policy,
    reference: Policy | None,
    completions: list[Completion],
    scores: Sequence[float],
    gold: Judge | None,
    settings: RejectionSettings,
) -> dict[str, Any]:
    """Of each prompt the best completion that ended (the first of equals), with its score; and figures of all
    that was sampled.
    """
    truth = [score.value for score in gold.score(completions)] if gold else []
    groups = cut(list(range(len(completions))), settings.per_prompt)
    best: list[int] = []
    distinct: list[float] = []
    for group in groups:
        ended = [i for i in group if completions[i].finished]
        if ended:
            best.append(max(ended, key=lambda i: scores[i]))
        distinct.append(len({completions[i].text for i in group}) / len(group))
    first = Rollouts.read(
        policy, completions[:: settings.per_prompt]
    )  # one sample per prompt is enough for KL
    ours, theirs = first.logprobs_under(
        [rollouts.current(policy), rollouts.frozen(policy, reference)],
        chunks(first.rows, 4096),
        temperature=settings.sampling.temperature,
    )
    figures = {
        "proxy": mean(scores),
        "kl": (ours - theirs).sum(1).mean().item(),
        "distinct": mean(distinct),
        "unfinished": len(groups) - len(best),
        "clipped_ratio": mean([not c.finished for c in completions]),
        "marks_ratio": rollouts.metrics.marks_ratio(policy.tokenizer, completions),
        "tokens": sum(len(c.ids) for c in completions),
    }
    if best:
        figures["proxy_best"] = mean([scores[i] for i in best])
    if truth:
        figures["gold"] = mean(truth)
    if truth and best:
        figures["gold_best"] = mean([truth[i] for i in best])
    picked = []
    for i in best:
        worth = {"id": completions[i].prompt.id, "proxy": scores[i], "gold": truth[i] if truth else None}
        picked.append(completions[i].to_json() | {"ids": completions[i].ids} | worth)
    return {"figures": figures, "best": picked}


def sampled_in(row: dict[str, Any]) -> Completion:
    """The completion of a pick, with the ids that were sampled."""
    return replace(Completion.from_json(row), ids=tuple(row["ids"]))


def of_round(number: float, figures: dict[str, float]) -> dict[str, float]:
    """A round's figures as metrics."""
    return {"round": number} | {f"round/{name}": value for name, value in figures.items()}


def top(rows: Sequence[dict[str, Any]], share: float) -> list[dict[str, Any]]:
    """The better one of each prompt (the newer of equals), and of those the share with the highest scores,
    highest first.
    """
    best: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["id"] not in best or row["proxy"] >= best[row["id"]]["proxy"]:
            best[row["id"]] = row
    return sorted(best.values(), key=lambda row: -row["proxy"])[: math.ceil(share * len(best))]
