"""Online DPO: the policy writes the pairs, a judge compares them, DPO learns from them, step by step (Guo et
al. 2024; Calandriello et al. 2024).

I sample two completions of each prompt (or more, of which I set the best against the worst), ask a judge
which is better, and take one DPO step on the pairs that it could tell apart. The reference stays the model
that I started from. I leave out dropout, since a pair has to be the policy's own; and a second pass over the
pairs, since they would then be another policy's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
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
from ..rollouts.batch import cut
from ..run import RunDir, guard_finite
from ..settings import OnlineDPOSettings

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

    Metrics are those of DPO over the pairs and those of `rollouts.metrics`; `objective/kl` is over the pairs'
    completions (with two per prompt, the policy's own samples). `pairs/tied` is the share of prompts whose
    completions the judge cannot tell apart, which are left out; `judge/certainty` is mean |2 p - 1| where it
    compares.

    Returns:
        Score, KL and gold (None where unknown) over the first and the last tenth of the steps.

    Raises:
        ConfigError: settings that cannot work. DataError: no prompt fits. GuardStop: a score, loss or
            gradient that is not finite.
    """
    # 1. prompts that fit; the optimizer, where it was if the run goes on
    source = rollouts.Source(run, policy, prompts, settings, seed=seed)
    optimizer = MasterAdamW(policy.model.parameters(), settings.optim, settings.steps)
    trained = Trained(run, {"curve": []}, model=(policy.model, optimizer))
    source.go_on(trained.numbers)
    columns = {"score": "objective/scores", "gold": "objective/gold", "kl": "objective/kl"}
    log = rollouts.StepLog(run, source, settings, gold, trained.numbers["curve"], columns)

    policy.model.eval()
    for step in run.steps(settings.steps, desc="online dpo", save=trained.state):
        # 2. completions of the current policy
        log.begin(step)
        completions = source.sample(settings.prompts, step)
        log.lap("sampling")

        # 3. the judge: one pair of each prompt, or none if it cannot tell
        pairs, scores, metrics = pairs_of(judge, completions, settings, step)
        log.lap("feedback")

        # 4. DPO on them, over the count of all pairs of the step, so that micro-batches change nothing
        learning_rate = optimizer.lr
        if pairs:
            row = update(policy, reference, completions, pairs, settings)
            row["grad_norm"] = optimizer.step()
            for name in ("loss", "grad_norm"):
                guard_finite(row[name], step=step, what=name, sample=completions[pairs[0][0]].prompt.text)
            metrics |= row
        log.lap("updating")

        # 5. what is logged
        metrics |= {
            "learning_rate": learning_rate,
            "completions/mean_length": mean([len(c.ids) for c in completions]),
            "completions/clipped_ratio": mean([not c.finished for c in completions]),
            "completions/marks_ratio": rollouts.metrics.marks_ratio(policy.tokenizer, completions),
        }
        log.write(step, metrics, completions, scores)
        if not scores:
            shown = []
            for best, worst in pairs[:2]:
                shown.append(completions[best].to_json() | {"preferred": True})
                shown.append(completions[worst].to_json() | {"preferred": False})
            run.log_samples(step, shown)

    ends = log.ends()
    source.close()
    return {"steps": settings.steps, **ends, "dropped": source.dropped}


def pairs_of(
    judge: Judge, completions: Sequence[Completion], settings: OnlineDPOSettings, step: int
) -> tuple[list[Pair], list[float], dict[str, float]]:
    """The pair of each prompt whose completions the judge tells apart; scores (none where it compares); what
    is logged of it.

    The best is set against the worst, the first of equals. With `unfinished_loses` what ended by itself is
    ahead of what was cut.
    """
    groups = cut(list(range(len(completions))), settings.per_prompt)
    if settings.ask == "compare":
        p_first = judge.compare([completions[a] for a, _ in groups], [completions[b] for _, b in groups])
        for (a, _), p in zip(groups, p_first, strict=True):
            guard_finite(
                p, step=step, what=f"the preference of {judge.name}", sample=completions[a].prompt.text
            )
        standing = list(chain.from_iterable((p, 1 - p) for p in p_first))
        scores, metrics = [], {"judge/certainty": mean([abs(2 * p - 1) for p in p_first])}
    else:
        standing = scores = [score.value for score in rollouts.judged(judge, completions, step)]
        metrics = {"objective/scores": mean(scores)}

    def key(i: int) -> tuple[bool, float]:
        return completions[i].finished or not settings.unfinished_loses, standing[i]

    pairs = []
    for group in groups:
        best, worst = max(group, key=key), min(group, key=key)
        if key(best) != key(worst) and completions[best].ids != completions[worst].ids:
            pairs.append((best, worst))
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
    written = Rollouts.read(policy, [completions[i] for i in chain.from_iterable(pairs)])
    pieces = cut(list(range(2 * len(pairs))), 2 * (settings.micro_batch or len(pairs)))
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
        for name, values in sums.items():
            totals[name] = totals.get(name, 0.0) + values.detach().sum().item() / len(pairs)
    return totals | rollouts.metrics.mismatch(written, now_BT)
