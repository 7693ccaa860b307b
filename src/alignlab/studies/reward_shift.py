"""The study `reward-shift`: a reward model's accuracy on what policies write as they move away from its data,
and what new comparisons repair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .. import stages
from ..errors import ConfigError
from ..evals.statistics import seeds_summary
from ..pipeline.runner import Stage
from ..report import charts
from ..run import RunInfo
from . import steps
from .kl_frontier import dpo_sweep, ppo_sweep
from .reward_shift_settings import RewardShift
from .settings import NoSettings
from .study import (
    Bar,
    Form,
    Planner,
    Study,
    Told,
    anew,
    banded,
    each,
    held_out,
    mean,
    spread,
    start,
    trained_on,
)

JUDGES = {
    "before": "comparisons of the SFT model's answers and other people's",
    "more": "as many more of the same kind",
    "refreshed": "as many more of the answers of PPO's furthest policy",
}


def plan(stage: Planner, model: str, settings: RewardShift, seed: int) -> dict[str, Stage]:
    s = settings
    gold = {"gold": s.own.gold}
    if s.own.reward:
        raise ConfigError(
            (
                "reward-shift trains its reward model anew on more rankings, which it cannot do with one of "
                "yours"
            ),
            where=s.own.reward,
            remedy=(
                "leave --own.reward out; or `alignlab reward-shift --reward RUN --policies ...`, which "
                "measures yours as it is"
            ),
        )
    sft, ranked, reward = start(stage, model, s, seed)

    # 1. policies nearer and further: those of kl-frontier
    ppo = list(ppo_sweep(stage, s, sft, reward, seed).values())
    if not ppo:
        raise ConfigError(
            "kl_frontier.ppo_kl_coefs is empty",
            remedy="at least one: the policy of the smallest is the furthest, whose answers are ranked anew",
        )
    dpo = list(dpo_sweep(stage, s, sft, ranked, seed).values())

    # 2. as many new comparisons from PPO's furthest policy and, the control, from the SFT model; a reward
    # model on old and new together
    judges = {"before": reward}
    for name, policy in (("more", sft), ("refreshed", ppo[0])):
        again = stage(
            f"collect-{name}",
            stages.collect,
            model=policy,
            data=s.own.prompts,
            count=s.shift_prompts,
            annotator=s.annotator,
            others="",
            seed=anew(seed),
            settings=replace(s.collect, from_others=0.0),
            **gold,
        )
        both = stage(f"join-{name}", steps.join, first=ranked, second=again, seed=seed, settings=NoSettings())
        judges[name] = stage(
            f"reward-{name}", stages.reward, model=sft, data=both, seed=seed, settings=s.reward, **gold
        )

    # 3. each of the three on what every policy writes
    asked = held_out(stage, s.test, trained_on(s), seed)
    return {"far": ppo[0], "held-out": asked} | {
        name: stage(
            f"shift-{name}",
            steps.shift,
            model=sft,
            reward=judge,
            policies=[*ppo, *dpo],
            data=asked,
            seed=seed,
            settings=s.shift,
            **gold,
        )
        for name, judge in judges.items()
    }


def measure(runs: dict[str, RunInfo], settings: RewardShift) -> dict[str, Any]:
    rows = {name: runs[name].summary["rows"] for name in JUDGES}
    prompts = max(row["gold"]["n"] for row in rows["before"])
    return {"prompts": prompts, "far": runs["far"].path.name, "rows": rows}


class Figures:
    """What every seed says of a judge's accuracy on what a policy writes."""

    def __init__(self, seeds: Sequence[dict[str, Any]]) -> None:
        first = seeds[0]["rows"]["before"]
        self.rows, self.judges, self.far = each(seeds, "rows"), list(JUDGES), seeds[0]["far"]
        self.policies = each(first, "policy")
        trained = [row for row in first if row["kind"] == "policy"]
        self.trained = each(trained, "policy")
        # the start's KL is 0, that of a policy next to it may be measured below
        self.start = next(row["policy"] for row in trained if row["kl"]["mean"] == 0)

    def of(self, judge: str, policy: str, key: str) -> list[float]:
        """A figure by seed, where there is one."""
        found: list[float] = []
        for rows in each(self.rows, judge):
            values = [row[key]["mean"] for row in rows if row["policy"] == policy]
            found += [value for value in values if value is not None]
        return found

    def said(self, judge: str, policy: str, key: str) -> str:
        values = self.of(judge, policy, key)
        return spread(values) if values else "–"

    def ends(self, judge: str) -> tuple[list[float], list[float]]:
        """Accuracy at the start and at PPO's furthest policy, of the seeds that have both."""
        start: list[float] = []
        end: list[float] = []
        for rows in each(self.rows, judge):
            accuracy = {row["policy"]: row["accuracy"]["mean"] for row in rows}
            here, there = accuracy[self.start], accuracy[self.far]
            if here is not None and there is not None:
                start.append(here)
                end.append(there)
        return start, end

    def curve(self, judge: str, method: str) -> charts.Curve:
        """The start and the policies of one method: those of another, as far away, write other answers."""
        points: list[tuple[float, float, float]] = []
        for name in self.trained:
            values = self.of(judge, name, "accuracy")
            if values and (name == self.start or name.startswith(f"{method}-")):
                kl = mean(self.of(judge, name, "kl"))
                points.append((kl, mean(values), seeds_summary(values)["sd"] or 0.0))
        points.sort()
        return banded([max(0.0, kl) for kl in each(points, 0)], each(points, 1), each(points, 2))


def tell(seeds: Sequence[dict[str, Any]]) -> Told:
    figures = Figures(seeds)
    over: dict[str, Any] = {}
    for judge in figures.judges:
        for name in figures.policies:
            if values := figures.of(judge, name, "accuracy"):
                over[f"{judge}: {name}"] = seeds_summary(values)
    return Told(conclusion(figures), [section(figures)], claims(figures), over)


def conclusion(figures: Figures) -> list[str]:
    start, end = figures.ends("before")
    if not start:
        return ["Not one policy's answers could be told apart by gold: larger sizes are needed."]
    sentences = [
        f"On pairs of the SFT model's own answers the reward model agrees with gold {spread(start)} of the "
        f"time, on pairs of {figures.far}'s, PPO's furthest policy's, "
        f"{spread(end)}."
    ]
    for judge in figures.judges[1:]:
        start, end = figures.ends(judge)
        if start:
            sentences.append(f"Trained anew with {JUDGES[judge]}: {spread(start)} and {spread(end)}.")
    return sentences


def claims(figures: Figures) -> list[Bar]:
    start, end = figures.ends("before")
    if not start:
        return []
    bars = [
        Bar(
            "the reward model is less often right about PPO's furthest policy than about the SFT model",
            [there < here for here, there in zip(start, end, strict=True)],
        )
    ]
    (_, refreshed), (_, more) = figures.ends("refreshed"), figures.ends("more")
    if len(refreshed) == len(more):
        bars.append(
            Bar(
                "about PPO's furthest policy, comparisons of its answers help more than as many of the SFT "
                "model's",
                [new > old for new, old in zip(refreshed, more, strict=True)],
            )
        )
    return bars


def section(figures: Figures) -> dict[str, Any]:
    rows: list[list[str]] = []
    for name in figures.policies:
        cells = [figures.said("before", name, key) for key in ("kl", "proxy", "gold")]
        rows.append([name, *cells, *(figures.said(judge, name, "accuracy") for judge in figures.judges)])
    pictures: list[dict[str, str]] = []
    for method in ("ppo", "dpo"):
        picture = charts.curves(
            {judge: figures.curve(judge, method) for judge in figures.judges},
            title=f"Right about pairs of one {method.upper()} policy's answers",
            x="KL from the SFT model, nats (root scale)",
            y="agreement with gold",
            root_x=True,
        )
        caption = (
            "Pairs that gold tells apart, mean over held-out prompts; ties by the reward model count half. "
            "Band: spread over seeds."
        )
        pictures.append(charts.captioned(picture, caption))
    judges = "; ".join(f"{name}: trained on {text}" for name, text in JUDGES.items())
    return {
        "title": "Accuracy as the policy moves away",
        "charts": pictures,
        "table": {
            "heads": [
                "who writes",
                "KL",
                "proxy",
                "gold",
                *(f"accuracy, {judge}" for judge in figures.judges),
            ],
            "rows": rows,
            "note": f"{judges}. Best-of-N picks by the reward model that is measured; KL is its bound. "
            "Accuracy compares policies only with care: a policy that makes fewer mistakes leaves pairs that "
            "are harder to tell apart.",
        },
    }


FORM = Form(plan, measure, tell)
REWARD_SHIFT = Study(
    title="A reward model away from home",
    controls=(
        "The SFT model's own answers; best-of-N beside trained policies; as many more comparisons of the old "
        "kind against as many of the new; every reward model is judged on the same held-out prompts."
    ),
    town=FORM,
    real=FORM,
    changed=(
        "In version 1 of the town the claims were about the policy furthest by its KL, in one of three seeds "
        "DPO's, whose answers had not been ranked anew. For version 2 they are about PPO's."
    ),
)
