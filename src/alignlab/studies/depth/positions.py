"""The stage that looks at answers token by token: how likely harm is after each, and how far trained policies
have moved there.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ... import names
from ...evals.statistics import mean_ci
from ...records import Completion, Prompt
from ...run import RunDir, derive_seed
from ...sampling import Sampling
from ...stages.stage import done, open_run, rate, result
from .settings import PositionSettings

if TYPE_CHECKING:
    from ...feedback.safety.verdicts import VerdictJudge
    from ...models.policy import Policy
    from ...sampling.local import LocalSampler

CHUNK = 4  # answers between two points that a run goes on from


def positions(
    *,
    model: str,
    policies: list[str],
    called: list[str],
    data: str,
    judge: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: PositionSettings,
) -> dict[str, Any]:
    """Answers of a model at temperature 1, one a request, and at each of their tokens

    - h_t, the chance that the answer does harm given its first t tokens: the share of `continuations` by the
      same model that do; h_0 is the request's, and where all is said, it is known;
    - KL_t, nats: the divergence at the next token of each trained policy from the model, exactly, over the
      whole vocabulary, on the model's answers; and on the policy's own, sampled alike.

    Harm is what the judge calls a hit. What is helped with at some token is helped with from there on, so
    that no continuation is drawn behind it.

    A row of samples.jsonl is an answer: `tokens`, `harm`, `h` (T + 1 numbers; none where nothing is
    continued), `lead` (its tokens that say neutral words), `kl` by policy (T numbers each), and `own` by
    policy: `harm`, `kl`.
    """
    start, asked = names.models.model(model), names.data.read_data(data, "prompt", count=settings.answers)
    trained = [names.models.model(policy) for policy in policies]
    run = open_run(
        "study-positions",
        out,
        settings,
        seed,
        resume,
        uses=[start, *trained, asked, names.judges.judge(judge)],
        judge=judge,
        called=",".join(called),
    )
    if run.done:
        return done(run)
    from ...models.load import load_policy
    from ...sampling.local import LocalSampler

    verdicts = names.judges.verdicts(judge)
    policy = load_policy(start.path, settings.model)
    sampler = LocalSampler.of(policy, name="positions")
    alone = Sampling.of(settings.sampling, temperature=1.0)
    drawn = [group[0] for group in sampler.sample(asked.records, alone, seed=derive_seed(seed, "positions"))]
    rows: list[dict[str, Any]] = [
        {
            "id": answer.prompt.id,
            "tokens": policy.tokenizer.convert_ids_to_tokens(list(answer.ids)),
            "lead": lead_length(policy, answer),
            "harm": harm,
            "kl": {},
            "own": {},
        }
        for answer, harm in zip(drawn, harms(verdicts, drawn), strict=True)
    ]

    # 1. how likely harm is after each token
    def chances(number: int, some: Sequence[int]) -> list[list[float]]:
        key = derive_seed(seed, "continuations", number)
        return [
            chances_of(policy, sampler, verdicts, drawn[i], rows[i]["harm"], settings, key + i) for i in some
        ]

    if settings.continuations:
        found = run.in_chunks(range(len(drawn)), chances, desc="harm", size=CHUNK)
        for row, chance in zip(rows, chain.from_iterable(found), strict=True):
            row["h"] = chance
    sampler.close()

    # 2. how far each policy has moved, on these answers and on its own
    for name, one in zip(called, trained, strict=True):
        other = load_policy(one.path, settings.model)
        own_sampler = LocalSampler.of(other, name=name)
        own = [group[0] for group in own_sampler.sample(asked.records, alone, seed=derive_seed(seed, "own"))]
        own_sampler.close()
        for row, answer, mine, harm in zip(rows, drawn, own, harms(verdicts, own), strict=True):
            row["kl"][name] = divergences(other, policy, answer)
            row["own"][name] = {"harm": harm, "kl": divergences(other, policy, mine)}
    return _finished(run, rows)


def _finished(run: RunDir, rows: list[dict[str, Any]]) -> dict[str, Any]:
    harm = mean_ci([float(row["harm"]) for row in rows])
    run.log_samples(0, rows)
    run.finish({"answers": len(rows), "harm": harm})
    return result(run, f"{len(rows)} answers, harm in {rate(harm)}")


def harms(judge: VerdictJudge, completions: Sequence[Completion]) -> list[int]:
    """Whether each answer does harm, 1 or 0."""
    from ...feedback.safety.verdicts import judge_all

    return [int(verdict.hit) for verdict in judge_all(judge, completions)]


def lead_length(policy: Policy, answer: Completion) -> int:
    """How many tokens of an answer are the neutral words that it was to begin with; 0 where it does not."""
    from ...models.chat import completion_ids

    lead = str(answer.prompt.meta.get("lead", ""))
    ids = completion_ids(policy.tokenizer, answer.prompt, lead, finished=False) if lead else []
    return len(ids) if list(answer.ids[: len(ids)]) == ids else 0


def chances_of(
    policy: Policy,
    sampler: LocalSampler,
    judge: VerdictJudge,
    answer: Completion,
    harm: int,
    settings: PositionSettings,
    seed: int,
) -> list[float]:
    """h_0 to h_T of one answer of T tokens."""
    said = [spoken(policy, answer.prompt, answer.ids[:t]) for t in range(len(answer.ids))]
    told = harms(judge, said)
    open_ones = [t for t, done_already in enumerate(told) if not done_already]
    begun = [[*answer.prompt_ids, *answer.ids[:t]] for t in open_ones]
    how = Sampling.of(settings.sampling, settings.continuations, temperature=1.0)
    groups = sampler.sample(begun, how, seed=seed)
    whole: list[Completion] = []
    for t, group in zip(open_ones, groups, strict=True):
        whole += [spoken(policy, answer.prompt, (*answer.ids[:t], *one.ids)) for one in group]
    hits = harms(judge, whole)
    chances = [float(done_already) for done_already in told]
    for place, t in enumerate(open_ones):
        of_group = hits[place * settings.continuations : (place + 1) * settings.continuations]
        chances[t] = sum(of_group) / settings.continuations
    return [*chances, float(harm)]


def spoken(policy: Policy, prompt: Prompt, ids: Sequence[int]) -> Completion:
    """An answer of these tokens, with its end if they have one."""
    from ...models.chat_template import text_of

    finished = bool(ids) and ids[-1] in policy.end_ids
    text = text_of(policy.tokenizer, ids[:-1] if finished else ids)
    return Completion(prompt, text.strip(), tuple(ids), finished=finished)


@torch.inference_mode()
def divergences(policy: Policy, reference: Policy, answer: Completion) -> list[float]:
    """KL(policy || reference) of the next token before each token of an answer, nats."""
    ids = torch.tensor([[*answer.prompt_ids, *answer.ids]])
    first = len(answer.prompt_ids) - 1
    logps_TV = []
    for one in (policy, reference):
        logits_TV = one.model(input_ids=ids.to(one.model.device), use_cache=False).logits[0, first:-1]
        logps_TV.append(logits_TV.double().log_softmax(-1))
    here_TV, there_TV = logps_TV
    return (here_TV.exp() * (here_TV - there_TV)).sum(-1).clamp(min=0).tolist()
