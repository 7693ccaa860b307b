"""The frontier of defences: what each stack stops, what it refuses that it should not, what helpfulness, time
and tokens it costs; and who is on the Pareto front.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import __version__, names
from ..defences.middleware import build
from ..errors import ConfigError, UserError
from ..evals.statistics import mean_ci
from ..feedback.safety.verdicts import VerdictJudge
from ..records import Completion, Prompt
from ..report.page import write_page
from ..run import RunDir, derive_seed, writing
from ..sampling import Sampler, Sampling
from ..settings import FrontierSettings
from ..stages.stage import open_run, result
from .attacks.catalogue import attacks
from .attempt import Budget, goals_of
from .campaign import Plan, attack_all, document, usable
from .frontier_page import frontier_page
from .session import Session
from .target import local_sampler
from .words import void_lines

AXES = (("asr", -1), ("over_refusal", -1), ("helpful", 1), ("tokens", -1))
"""What a stack is compared by, and which way is better. Time is shown and not compared by: it is the machine's."""


class Counted:
    """A target that counts what it is asked and what that takes: put innermost, it sees every query that a
    defence makes.
    """

    def __init__(self, target: Sampler) -> None:
        self.target, self.queries, self.tokens, self.seconds = target, 0, 0, 0.0

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling = Sampling(), *, seed: int = 0
    ) -> list[list[Completion]]:
        begun = time.perf_counter()
        found = self.target.sample(prompts, sampling, seed=seed)
        self.seconds += time.perf_counter() - begun
        self.queries += sampling.n * len(prompts)
        self.tokens += sum(
            len(c.ids) or len(c.text.split()) for row in found for c in row
        ) + sampling.n * sum(len(m.content.split()) for p in prompts for m in p.messages)
        return found


def frontier(
    *,
    target: str,
    model: str,
    stacks: str,
    data: str,
    harmless: str,
    test: str,
    judge: str,
    gold: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: FrontierSettings,
) -> dict[str, Any]:
    """`alignlab redteam frontier MODEL --stacks "none;self-reminder;input-filter+output-filter"`: one row a
    stack.

    The attacker is the same for every stack in `asr`; in `asr_adaptive` it also has what learns on the
    defended target itself (the bandit, which asks it `queries` times a goal).
    """
    model, s = target or model, settings
    asked = [
        [name for name in stack.strip().split("+") if name and name != "none"] for stack in stacks.split(";")
    ]
    if len({tuple(stack) for stack in asked}) < len(asked):
        raise ConfigError(
            f"--stacks names a stack twice: {stacks}",
            remedy="each once, parted by semicolons; none is the model by itself",
        )
    goals, twins, rest = (
        names.data.read_data(name, "prompt", seed=0, count=count)
        for name, count in ((data, s.goals), (harmless, s.twins), (test, s.test_prompts))
    )
    helpfulness = names.judges.maybe_judge(gold)
    run = open_run(
        "redteam-frontier",
        out,
        s,
        seed,
        resume,
        uses=[*names.models.loaded_here(model), goals, twins, rest, helpfulness],
        model=model,
        stacks=stacks,
        judge=judge,
        gold=gold,
    )
    if run.done:
        from ..stages.stage import done

        return done(run)
    scorer, who = helpfulness.load(), names.judges.verdicts(judge)
    if scorer is None:
        raise UserError("the frontier needs a judge of helpfulness", remedy="--gold town:gold, or reward:RUN")
    rows: list[dict[str, Any]] = []
    for stack in run.track(asked, desc="frontier"):
        name = "+".join(stack) or "none"
        rows.append(
            run.kept(
                f"stacks/{name}",
                lambda name=name, stack=stack: {
                    "stack": name,
                    **measured(
                        run,
                        model,
                        stack,
                        goals.records,
                        twins.records,
                        rest.records,
                        who,
                        scorer,
                        s,
                        seed=seed,
                    ),
                },
            )
        )
    on_front = pareto(rows)
    rows = [row | {"pareto": front} for row, front in zip(rows, on_front, strict=True)]
    with writing(run.path):
        write_page(
            frontier_page(model, rows, provenance=f"Judge: {judge}. Seed {seed}, alignlab {__version__}."),
            run.path / "report.html",
        )
    run.finish({"model": model, "rows": rows})
    width = max(len(row["stack"]) for row in rows)
    lines = [
        (
            f"{'':2}{'stack':<{width}}  any attack | adaptive | over-refusal | helpful | s, tokens and "
            "queries an answer"
        )
    ]
    lines += [
        f"{'* ' if row['pareto'] else '  '}{row['stack']:<{width}}  {row['asr']['mean']:.3f} | {row['asr_adaptive']['mean']:.3f} | {row['over_refusal']['mean']:.3f} | "
        f"{row['helpful']['mean']:.3f} | {row['seconds']:.4f}, {row['tokens']:.0f}, {row['queries']:.2f}"
        for row in rows
    ]
    lines += [f"{row['stack']}: {line}" for row in rows for line in void_lines(row)]
    return result(
        run,
        "\n".join(
            [
                *lines,
                "* on the Pareto front of attack success, over-refusal, helpfulness and tokens",
                f"The page: {run.out / 'report.html'}",
            ]
        ),
    )


def measured(
    run: RunDir,
    model: str,
    stack: Sequence[str],
    goals: Sequence[Prompt],
    twins: Sequence[Prompt],
    rest: Sequence[Prompt],
    judge: VerdictJudge,
    scorer: Any,
    s: FrontierSettings,
    *,
    seed: int,
) -> dict[str, Any]:
    """One stack: attacks, twins, and ordinary requests, from which time, tokens and queries an answer are
    told.
    """
    inner: Sampler = names.models.target(model, model=s.model, endpoint=s.endpoint, sampling=s.sampling)
    can = frozenset(
        {"prefill"} if local_sampler(inner) or names.models.is_bot(model) or s.endpoint.prefill else ()
    )
    counted, folder = Counted(inner), run.path / "answers" / ("+".join(stack) or "none")
    with writing(run.path):
        folder.mkdir(parents=True, exist_ok=True)
    session = Session(
        build(list(stack), counted),
        judge,
        sampling=Sampling.of(s.sampling),
        identity="+".join([model, *stack]),
        folder=folder,
    )
    fixed, adaptive = (usable(attacks(choice), can)[0] for choice in (s.attacks, s.adaptive))
    budget, plan_seed = Budget(s.tries, s.queries), derive_seed(seed, "frontier")
    found = document(
        model,
        attack_all(session, Plan(fixed, goals_of(goals), list(twins), budget, s.goals, plan_seed)),
        findings=0,
    )
    learnt = document(
        model,
        attack_all(session, Plan([*fixed, *adaptive], goals_of(goals), [], budget, s.goals, plan_seed)),
        findings=0,
    )
    before = counted.queries, counted.tokens
    begun, answers = (
        time.perf_counter(),
        build(list(stack), counted).sample(
            rest, Sampling(max_new_tokens=s.sampling.max_new_tokens, temperature=0.0), seed=seed
        ),
    )  # a fresh stack: no memory of attacks
    seconds = time.perf_counter() - begun
    scores = scorer.score([row[0] for row in answers])
    helpful = [score.parts["helpful"] for score in scores if "helpful" in score.parts] or [
        score.value for score in scores
    ]
    return {
        "asr": found["all"],
        "asr_adaptive": learnt["all"],
        "plain": found["plain"],
        "over_refusal": found["over_refusal"],
        "void": found["void"],
        "helpful": mean_ci(helpful),
        "seconds": seconds / len(rest),
        "tokens": (counted.tokens - before[1]) / len(rest),
        "queries": (counted.queries - before[0]) / len(rest),
        "blocked": mean_ci([float(bool(row[0].blocked)) for row in answers]),
        "by_attack": {name: row["asr"]["mean"] for name, row in learnt["attacks"].items()},
    }


def pareto(rows: Sequence[Mapping[str, Any]]) -> list[bool]:
    """For each row whether no other is at least as good on every axis and better on one."""

    def values(row: Mapping[str, Any]) -> list[float]:
        return [
            sign * float(value["mean"] if isinstance(value := row[name], Mapping) else value)
            for name, sign in AXES
        ]

    points = [values(row) for row in rows]
    return [
        not any(all(b >= a for a, b in zip(mine, other, strict=True)) and other != mine for other in points)
        for mine in points
    ]
