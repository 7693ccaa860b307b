"""Online DPO: the policy writes the pairs, a judge compares them, DPO learns from them, step by step (Guo et
al. 2024; Calandriello et al. 2024).

I sample two completions of each prompt (or more, of which I set the best against the worst), ask a judge
which is better, and take one DPO step on the pairs that it could tell apart. The reference stays the model
that I started from. I leave out dropout, since a pair has to be the policy's own; and a second pass over the
pairs, since they would then be another policy's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .. import rollouts
from ..feedback import Judge
from ..losses import dpo_loss
from ..models.forward import laid_out, token_logprobs_of
from ..models.optimizer import MasterAdamW
from ..models.policy import Policy
from ..models.state import Trained
from ..records import Completion, Prompt
from ..rollouts import Rollouts, mean
from ..run import RunDir, derive_seed, guard_finite
from ..sampling import Sampling
from ..sampling.local import LocalSampler
from ..settings import OnlineDPOSettings
from ..settings.rules import check

Pair = tuple[int, int]
"""Places of the chosen and the rejected completion of one prompt."""


def train(
    run: RunDir,
    policy: Policy,
    reference: Policy | None,
    prompts: Sequence[Prompt],
    settings: OnlineDPOSettings,
    *,
    judge: Judge,
    gold: Judge | None = None,
    seed: int,
) -> dict[str, Any]:
    """Train the policy in place.

    Args:
        reference: the frozen model of the implicit reward; None stands for the policy with its adapter off.
        judge: scores each completion, or compares the two of a prompt (`ask`).
        gold: a judge that knows the truth, logged beside the proxy and never optimized.

    Metrics of a step: those of DPO (`loss`, `rewards/*`, `logps/*`, over the pairs); `pairs/tied`, the share
    of prompts whose completions the judge cannot tell apart, which are left out; `objective/kl` (k1, nats a
    completion, over the pairs' completions: with two a prompt, the policy's own samples); `objective/scores`
    where the judge scores, `judge/certainty` (mean |2 p - 1|) where it compares; `objective/gold`, of all
    completions.

    Returns:
        Score, KL and gold (None where unknown) over the first and the last tenth of the steps.

    Raises:
        ConfigError: settings that cannot work. DataError: no prompt fits. GuardStop: a score, loss or
            gradient that is not finite.
    """
    # 1. prompts that fit; the optimizer, where it was if the run goes on
    check(settings)
    prompts, report = rollouts.prompts_that_fit(run, policy, prompts, settings)
    optimizer = MasterAdamW(policy.model.parameters(), settings.optim, settings.steps)
    trained = Trained(run, {"curve": []}, model=(policy.model, optimizer))
    columns = {"score": "objective/scores", "gold": "objective/gold", "kl": "objective/kl"}
    log = rollouts.StepLog(run, gold, settings.gold_every, trained.numbers["curve"], columns)

    policy.model.eval()
    sampler = LocalSampler.of(policy, slots=settings.sampling.slots, name="policy")
    sampling = Sampling.of(settings.sampling, settings.per_prompt)
    for step in run.steps(settings.steps, desc="online dpo", save=trained.state):
        # 2. completions of the current policy
        log.begin()
        asked = rollouts.prompts_of_step(prompts, settings.prompts, step, seed)
        draws = derive_seed(seed, "rollout", step)
        completions = rollouts.sample(sampler, policy, asked, sampling, step=step, seed=draws)
        log.lap("sampling")

        # 3. the judge: one pair of each prompt, or none if it cannot tell
        pairs, scores, metrics = pairs_of(judge, completions, settings, step)
        log.lap("feedback")

        # 4. DPO on them, over the count of all pairs of the step, so that micro-batches change nothing
        rate = optimizer.lr
        if pairs:
            found = update(policy, reference, completions, pairs, settings)
            found["grad_norm"] = optimizer.step()
            for name in ("loss", "grad_norm"):
                guard_finite(found[name], step=step, what=name, sample=completions[pairs[0][0]].prompt.text)
            metrics |= found
        log.lap("updating")

        # 5. what is logged
        metrics |= {
            "learning_rate": rate,
            "completions/mean_length": mean([len(c.ids) for c in completions]),
            "completions/clipped_ratio": mean([not c.finished for c in completions]),
        }
        log.write(step, metrics, completions, scores)
        if not scores:
            shown = [(i, i == pair[0]) for pair in pairs[:2] for i in pair]
            run.log_samples(step, [completions[i].to_json() | {"preferred": best} for i, best in shown])

    sampler.close()
    return {"steps": settings.steps, **log.ends(), "dropped": report.dropped}


def pairs_of(
    judge: Judge, completions: Sequence[Completion], settings: OnlineDPOSettings, step: int
) -> tuple[list[Pair], list[float], dict[str, float]]:
    """The pair of each prompt whose completions the judge tells apart; scores (none where it compares); what
    is logged of it.

    The best is set against the worst, the first of equals. With `unfinished_loses` what ended by itself is
    ahead of what was cut.
    """
    k = settings.per_prompt
    groups = [list(range(at, at + k)) for at in range(0, len(completions), k)]
    if settings.ask == "compare":
        p_first = judge.compare([completions[a] for a, _ in groups], [completions[b] for _, b in groups])
        for (a, _), p in zip(groups, p_first, strict=True):
            guard_finite(
                p, step=step, what=f"the preference of {judge.name}", sample=completions[a].prompt.text
            )
        standing = [value for p in p_first for value in (p, 1 - p)]
        scores, metrics = [], {"judge/certainty": mean([abs(2 * p - 1) for p in p_first])}
    else:
        standing = scores = [score.value for score in rollouts.judged(judge, completions, step)]
        metrics = {"objective/scores": mean(scores)}

    def key(i: int) -> tuple[bool, float]:
        return completions[i].finished or not settings.unfinished_loses, standing[i]

    pairs = [(max(group, key=key), min(group, key=key)) for group in groups]
    pairs = [
        (best, worst)
        for best, worst in pairs
        if key(best) != key(worst) and completions[best].ids != completions[worst].ids
    ]
    return pairs, scores, metrics | {"pairs/tied": 1 - len(pairs) / len(groups)}


def update(
    policy: Policy,
    reference: Policy | None,
    completions: Sequence[Completion],
    pairs: Sequence[Pair],
    settings: OnlineDPOSettings,
) -> dict[str, float]:
    """Gradients of DPO on the pairs (Guo et al. 2024, equation 2 and appendix); returns its metrics. The
    caller steps the optimizer.
    """
    # chosen and rejected of pair i are rows 2 i and 2 i + 1
    written = Rollouts.read(policy, [completions[i] for pair in pairs for i in pair])
    size = settings.micro_batch or len(pairs)
    pieces = [list(range(2 * at, 2 * min(at + size, len(pairs)))) for at in range(0, len(pairs), size)]
    temperature = settings.sampling.temperature
    asked = [rollouts.frozen(policy, reference)]
    (ref_BT,) = written.logprobs_under(asked, pieces, temperature=temperature)
    ref_N2 = ref_BT.sum(1).view(-1, 2)
    now_BT = torch.zeros_like(ref_BT)
    totals: dict[str, float] = {}
    for piece in pieces:
        layout = laid_out(policy.model, [written.rows[i] for i in piece], policy.pad_id)
        logprobs_BT = layout.back(token_logprobs_of(policy.model, layout.batch, temperature=temperature))
        now_BT[written.place(piece)] = logprobs_BT.detach()
        ours_N2, theirs_N2 = logprobs_BT.sum(1).view(-1, 2), ref_N2[piece[0] // 2 : piece[-1] // 2 + 1]
        losses, chosen, rejected = dpo_loss(
            ours_N2[:, 0],
            ours_N2[:, 1],
            theirs_N2[:, 0],
            theirs_N2[:, 1],
            beta=settings.beta,
            loss_type=settings.loss_type,
        )
        (losses.sum() / len(pairs)).backward()
        sums = {
            "loss": losses,
            "rewards/chosen": chosen,
            "rewards/rejected": rejected,
            "rewards/margins": chosen - rejected,
            "rewards/accuracies": (chosen > rejected).float(),
            "logps/chosen": ours_N2[:, 0],
            "logps/rejected": ours_N2[:, 1],
            "objective/kl": (ours_N2 - theirs_N2).mean(1),
        }
        totals = {
            name: totals.get(name, 0.0) + values.detach().sum().item() / len(pairs)
            for name, values in sums.items()
        }
    return totals | written.mismatch(now_BT)
