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
from typing import Any

from .. import rollouts
from ..errors import DataError
from ..feedback import Judge
from ..losses import sft_loss
from ..models.batch import by_length, chunks
from ..models.chat import Rendered, example
from ..models.forward import laid_out, token_logprobs_of
from ..models.optimizer import MasterAdamW
from ..models.policy import Policy
from ..models.state import Trained
from ..records import Completion, Prompt
from ..rollouts import Rollouts, mean
from ..run import RunDir, derive_seed, guard_finite
from ..sampling import Sampling
from ..sampling.local import LocalSampler
from ..settings import RejectionSettings
from ..settings.rules import check


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

    A completion that was cut is never learnt: it has no end. The picks of a round are kept in `rounds/`, so
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
    check(settings)
    prompts, report = rollouts.prompts_that_fit(run, policy, prompts, settings)
    asked = min(settings.prompts, len(prompts))
    pools = [
        min(len(prompts), asked * (number + 1) if settings.keep_earlier else asked)
        for number in range(settings.rounds)
    ]
    lengths = [
        max(1, math.ceil(settings.epochs * math.ceil(settings.top_share * pool) / settings.batch))
        for pool in pools
    ]
    starts = [sum(lengths[:number]) for number in range(settings.rounds)]
    optimizer = MasterAdamW(policy.model.parameters(), settings.optim, sum(lengths))
    trained = Trained(run, {"tokens": 0}, model=(policy.model, optimizer))

    policy.model.eval()
    sampler = LocalSampler.of(policy, slots=settings.sampling.slots, name="policy")
    sampling = Sampling.of(settings.sampling, settings.per_prompt)

    def sampled(number: int, step: int) -> dict[str, Any]:
        """What the policy of a round wrote, scored: figures, and of each prompt the best that ended. Written
        once.
        """

        def made() -> dict[str, Any]:
            questions = rollouts.prompts_of_step(prompts, asked, number, seed)
            draws = derive_seed(seed, "rejection", number)
            completions = rollouts.sample(sampler, policy, questions, sampling, step=step, seed=draws)
            scores = [score.value for score in rollouts.judged(judge, completions, step)]
            return pick(policy, reference, completions, scores, gold, settings)

        return run.kept(f"rounds/{number:03d}", made)

    def pool(number: int, step: int) -> list[dict[str, Any]]:
        """What is learnt in a round."""
        rounds = range(number + 1) if settings.keep_earlier else [number]
        return top([row for i in rounds for row in sampled(i, step)["best"]], settings.top_share)

    rows: list[Rendered] = []
    current_round, learnt = -1, list[dict[str, Any]]()
    for step in run.steps(sum(lengths), desc="rejection", save=trained.state):
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
            rows = [example(policy.tokenizer, c.prompt, c.text) for c in map(Completion.from_json, learnt)]
            if place == 0:
                metrics = (
                    {"round": float(number)}
                    | {f"round/{name}": value for name, value in sampled(number, step)["figures"].items()}
                    | {"round/learnt": len(learnt)}
                )
                run.log_samples(step, [row | {"round": number} for row in (*learnt[:2], learnt[-1])])

        # 3. negative log-likelihood of a batch of them, over the count of all its tokens
        epoch, at = divmod(place, math.ceil(len(rows) / settings.batch))
        chosen = by_length(
            [len(row.ids) for row in rows], settings.batch, derive_seed(seed, "rejection", number), epoch
        )[at]
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
        rate = optimizer.lr
        grad_norm = optimizer.step()
        guard_finite(grad_norm, step=step, what="the gradient norm", sample=learnt[chosen[0]]["completion"])
        trained.numbers["tokens"] += int(count)
        run.log(
            step,
            metrics
            | {
                "loss": total,
                "grad_norm": grad_norm,
                "learning_rate": rate,
                "num_tokens": trained.numbers["tokens"],
            },
        )

    # 4. what came of the last round
    every = [sampled(number, sum(lengths))["figures"] for number in range(settings.rounds + 1)]
    run.log(
        sum(lengths),
        {"round": settings.rounds} | {f"round/{name}": value for name, value in every[-1].items()},
    )
    sampler.close()
    last = {f"{name}_last": every[-1].get(name) for name in ("proxy", "gold", "kl", "distinct")}
    run.add_data(
        "completions", [Completion.from_json(row) for row in pool(settings.rounds - 1, sum(lengths))]
    )
    return {
        "rounds": every[:-1],
        "steps": sum(lengths),
        "num_tokens": trained.numbers["tokens"],
        "sampled_tokens": sum(row["tokens"] for row in every[:-1]),
        "proxy_first": every[0]["proxy"],
        "gold_first": every[0].get("gold"),
        **last,
        "dropped": report.dropped,
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
    starts = range(0, len(completions), settings.per_prompt)
    groups = [completions[at : at + settings.per_prompt] for at in starts]
    best: list[int] = []
    for at in starts:
        ended = [i for i in range(at, at + settings.per_prompt) if completions[i].finished]
        if ended:
            best.append(max(ended, key=lambda i: scores[i]))
    first = Rollouts.read(policy, [group[0] for group in groups])  # one sample per prompt is enough for KL
    ours, theirs = first.logprobs_under(
        [rollouts.current(policy), rollouts.frozen(policy, reference)],
        chunks(first.rows, 4096),
        temperature=settings.sampling.temperature,
    )
    figures = {
        "proxy": mean(scores),
        "kl": (ours - theirs).sum(1).mean().item(),
        "distinct": mean([len({c.text for c in g}) / len(g) for g in groups]),
        "unfinished": len(groups) - len(best),
        "clipped_ratio": mean([not c.finished for c in completions]),
        "tokens": sum(len(c.ids) for c in completions),
    }
    if best:
        figures["proxy_best"] = mean([scores[i] for i in best])
    if truth:
        figures |= {"gold": mean(truth)} | ({"gold_best": mean([truth[i] for i in best])} if best else {})
    return {
        "figures": figures,
        "best": [
            completions[i].to_json()
            | {"id": completions[i].prompt.id, "proxy": scores[i], "gold": truth[i] if truth else None}
            for i in best
        ],
    }


def top(rows: Sequence[dict[str, Any]], share: float) -> list[dict[str, Any]]:
    """The better one of each prompt (the newer of equals), and of those the share with the highest scores,
    highest first.
    """
    kept: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["id"] not in kept or row["proxy"] >= kept[row["id"]]["proxy"]:
            kept[row["id"]] = row
    return sorted(kept.values(), key=lambda row: -row["proxy"])[: math.ceil(share * len(kept))]
