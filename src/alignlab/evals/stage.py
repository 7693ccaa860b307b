"""The eval stage: a model's answers on held-out prompts, scored, and set against a baseline prompt by prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..data.checks import with_room
from ..errors import DataError
from ..feedback import Judge
from ..models.load import context_of, load_policy
from ..records import Completion, Prompt, Score, read_jsonl
from ..run import RunDir, derive_seed, read_run
from ..sampling.local import LocalSampler
from ..settings import EvalSettings
from . import statistics
from .suite import breakdown, by_topic, evaluate, kl_from, summarise

Results = list[tuple[Completion, Score]]


def run(
    run: RunDir,
    model: str,
    prompts: Sequence[Prompt],
    judge: Judge,
    settings: EvalSettings,
    *,
    seed: int,
    baseline: str = "",
    reference: str = "",
    completions: str = "",
    bare: bool = False,
) -> dict[str, Any]:
    """Evaluate one model; returns its M of `summary.json` with `by_kind`, `by_split`, `by_topic` where the
    prompts have topics and, with a baseline, `paired`.

    Args:
        model: resolved model folder.
        baseline: a finished eval run on the same prompts: its scores are compared with these, prompt by
            prompt.
        reference: resolved folder of the model that KL is measured from.
        completions: a finished best-of-n run whose picks stand in for the model's own answers, greedy and
            sampled alike.
        bare: also measure how a base model continues bare questions.
    """
    policy = load_policy(model, settings.model)
    sampler = LocalSampler.of(policy, slots=settings.sampling.slots)
    sampled: Results | None = None
    prompts, said = with_room(
        prompts,
        policy.tokenizer,
        context=context_of(policy.model),
        new_tokens=settings.sampling.max_new_tokens,
    )
    run.note(said)
    if completions:
        picked = {c.prompt.id: c for c in read_jsonl(f"{completions}/data/completions.jsonl", Completion)}
        answers = [picked[prompt.id] for prompt in prompts if prompt.id in picked]
        if len(answers) < len(prompts):
            run.note(
                f"{completions} picked an answer to {len(answers)} of {len(prompts)} prompts; those are "
                "scored"
            )
        if not answers:
            raise DataError(
                "none of these prompts has a pick",
                where=completions,
                remedy="the prompts that best-of-n was run on",
            )
        greedy = sampled = list(zip(answers, judge.score(answers), strict=True))
    else:
        most, top = settings.sampling.max_new_tokens, settings.sampling.temperature
        greedy = evaluate(
            sampler, prompts, judge, max_new_tokens=most, temperature=top, seed=seed, source=str(run.out.name)
        )
        if settings.sampled:
            sampled = evaluate(
                sampler,
                prompts,
                judge,
                max_new_tokens=most,
                temperature=1.0,
                seed=derive_seed(seed, "sampled"),
                source=str(run.out.name),
            )
    pairs = beside(baseline, {"greedy": greedy, "sampled": sampled or []}) if baseline else {}
    summary = summarise(greedy, sampled, pairs.get("sampled"))
    summary |= {"by_kind": breakdown(greedy, "kind"), "by_split": breakdown(greedy, "split")}
    if topics := by_topic(greedy):
        summary["by_topic"] = topics
    if pairs:
        summary["paired"] = {how: statistics.paired_difference(*both) for how, both in pairs.items()}
    if reference and sampled and not completions:
        summary["kl_from_sft"] = kl_from(
            [c for c, _ in sampled], policy, load_policy(reference, settings.model)
        )
    if bare:
        from ..town import world
        from ..town.measure.bare import measure

        found = measure(world.build(), policy, seed=seed)
        summary |= {
            "bare_answered": found.answered,
            "bare_asked_on": found.asked_on,
            "compliance_with_harm": found.complied,
            "harmless": {
                **found.complied,
                "mean": 1 - found.complied["mean"],
                "ci": [1 - x for x in reversed(found.complied["ci"])],
            },
        }
        run.log_samples(1, found.samples)
    rows = [_row("greedy", c, s) for c, s in greedy] + [_row("sampled", c, s) for c, s in sampled or []]
    run.log_samples(0, rows)
    sampler.close()
    return summary


def _row(decoding: str, completion: Completion, score: Score) -> dict[str, Any]:
    return completion.to_json() | {
        "id": completion.prompt.id,
        "decoding": decoding,
        "gold": score.value,
        "reason": score.reason,
    }


def beside(baseline: str, results: Mapping[str, Results]) -> dict[str, tuple[list[float], list[float]]]:
    """For each way of decoding that both have: gold here and gold in the baseline's run, of the prompts that
    both have answered.

    Raises:
        DataError: no prompt was answered by both.
    """
    rows = [row for row in read_run(baseline).samples if "decoding" in row]
    found: dict[str, tuple[list[float], list[float]]] = {}
    for how, answers in results.items():
        there: dict[str, list[float]] = {}
        for row in rows:
            if row["decoding"] == how:
                there.setdefault(row["id"], []).append(row["gold"])
        pairs = [(score.value, there[c.prompt.id].pop(0)) for c, score in answers if there.get(c.prompt.id)]
        if pairs:
            found[how] = [ours for ours, _ in pairs], [theirs for _, theirs in pairs]
    if not found:
        raise DataError(
            "the baseline answered none of these prompts",
            where=baseline,
            remedy="a run of `alignlab eval` on the same prompts",
        )
    return found
