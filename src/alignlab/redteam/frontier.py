"""The frontier of defences: what each stack stops, what it refuses that it should not, what helpfulness, time
and tokens it costs; and who is on the Pareto front.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import ge
from pathlib import Path
from typing import Any

from .. import __version__, names
from ..defences.middleware import build
from ..errors import ConfigError, UserError
from ..evals.statistics import mean_ci, mean_over
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
from .frontier_page import frontier_lines, frontier_page
from .session import Attack, Session, length_of, words_in
from .target import local_sampler

AXES = (("asr", -1), ("over_refusal", -1), ("helpful", 1), ("tokens", -1))
"""What a stack is compared by, and which way is better. Time is shown and not compared by: it is the
machine's.
"""


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
        rows = self.target.sample(prompts, sampling, seed=seed)
        self.seconds += time.perf_counter() - begun
        self.queries += sampling.n * len(prompts)
        self.tokens += sum(map(length_of, chain.from_iterable(rows))) + sampling.n * sum(
            map(words_in, prompts)
        )
        return rows


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
    """`alignlab redteam frontier MODEL --stacks "none;self-reminder;input-filter+output-filter"`: one row per
    stack.

    The attacker is the same for every stack in `asr`; in `asr_adaptive` it also has what learns on the
    defended target itself (the bandit, which asks it `queries` times per goal).
    """
    model, s = target or model, settings
    asked: list[list[str]] = []
    for written in stacks.split(";"):
        stack = [name for name in written.strip().split("+") if name not in ("", "none")]
        if stack in asked:
            raise ConfigError(
                f"--stacks names a stack twice: {stacks}",
                remedy="each once, parted by semicolons; none is the model by itself",
            )
        asked.append(stack)
    goals = names.data.read(data, "prompt", seed=0, count=s.goals)
    twins = names.data.read(harmless, "prompt", seed=0, count=s.twins)
    rest = names.data.read(test, "prompt", seed=0, count=s.test_prompts)
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
    for row, on_front in zip(rows, pareto(rows), strict=True):
        row["pareto"] = on_front
    with writing(run.path):
        write_page(
            frontier_page(model, rows, provenance=f"Judge: {judge}. Seed {seed}, alignlab {__version__}."),
            run.path / "report.html",
        )
    run.finish({"model": model, "rows": rows})
    return result(run, "\n".join([*frontier_lines(rows), f"The page: {run.out / 'report.html'}"]))


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
    """One stack: attacks, twins, and ordinary requests, from which time, tokens and queries per answer are
    told.
    """
    inner: Sampler = names.models.target(model, model=s.model, endpoint=s.endpoint, sampling=s.sampling)
    can: frozenset[str] = frozenset()
    if local_sampler(inner) or names.models.is_bot(model) or s.endpoint.prefill:
        can = frozenset({"prefill"})
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
    fixed, adaptive = usable(attacks(s.attacks), can)[0], usable(attacks(s.adaptive), can)[0]

    def attacked(chosen: Sequence[Attack], look_alikes: Sequence[Prompt]) -> dict[str, Any]:
        budget, plan_seed = Budget(s.tries, s.queries), derive_seed(seed, "frontier")
        plan = Plan(chosen, goals_of(goals), look_alikes, budget, s.goals, plan_seed)
        return document(model, attack_all(session, plan), findings=0)

    by_fixed = attacked(fixed, list(twins))
    by_adaptive = attacked([*fixed, *adaptive], [])
    before = counted.queries, counted.tokens
    greedy = Sampling(max_new_tokens=s.sampling.max_new_tokens, temperature=0.0)
    begun = time.perf_counter()
    fresh_stack = build(list(stack), counted)  # it has no memory of attacks
    answers = [row[0] for row in fresh_stack.sample(rest, greedy, seed=seed)]
    seconds = time.perf_counter() - begun
    scores = scorer.score(answers)
    helpful = [score.parts["helpful"] for score in scores if "helpful" in score.parts]
    if not helpful:
        helpful = [score.value for score in scores]
    by_attack = {}
    for name, row in by_adaptive["attacks"].items():
        by_attack[name] = row["asr"]["mean"]
    return {
        "asr": by_fixed["all"],
        "asr_adaptive": by_adaptive["all"],
        "plain": by_fixed["plain"],
        "over_refusal": by_fixed["over_refusal"],
        "void": by_fixed["void"],
        "helpful": mean_ci(helpful),
        "seconds": seconds / len(rest),
        "tokens": (counted.tokens - before[1]) / len(rest),
        "queries": (counted.queries - before[0]) / len(rest),
        "blocked": mean_over(answers, lambda answer: bool(answer.blocked)),
        "by_attack": by_attack,
    }


def pareto(rows: Sequence[Mapping[str, Any]]) -> list[bool]:
    """For each row whether no other is at least as good on every axis and better on one."""

    def point(row: Mapping[str, Any]) -> list[float]:
        values = []
        for name, sign in AXES:
            value = row[name]
            values.append(sign * float(value["mean"] if isinstance(value, Mapping) else value))
        return values

    def beats(one: list[float], other: list[float]) -> bool:
        return one != other and all(map(ge, one, other))

    points = list(map(point, rows))
    return [not any(beats(other, own) for other in points) for own in points]
