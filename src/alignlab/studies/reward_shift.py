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
from .kl_frontier import dial
from .settings import JoinSettings, StudySettings
from .study import TO_DPO, Bar, Planner, Study, Told, banded, each, fresh, mean, of_the_town, spread, start

JUDGES = {
    "before": "comparisons of the SFT model's answers and other people's",
    "more": "as many more of the same kind",
    "refreshed": "as many more of the furthest policy's answers",
}


def plan(stage: Planner, model: str, settings: StudySettings, seed: int) -> dict[str, Stage]:
    s, f, new = settings, settings.kl_frontier, fresh(seed)
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
    town = of_the_town(s)

    # 1. policies nearer and further: those of kl-frontier
    coefs = dial(f.ppo_kl_coefs, "ppo_kl_coefs")
    if not coefs:
        raise ConfigError(
            "kl_frontier.ppo_kl_coefs is empty",
            remedy="at least one: the policy of the smallest is the furthest, whose answers are ranked anew",
        )
    ppo = [
        stage(
            f"ppo-kl-{kl_coef:g}",
            stages.ppo,
            model=sft,
            reward=reward,
            data=s.own.fresh,
            count=s.prompts,
            ptx="",
            seed=new,
            settings=replace(f.ppo, kl_coef=kl_coef),
            **gold,
        )
        for kl_coef in coefs
    ]
    dpo = [
        stage(
            f"dpo-{beta:g}", stages.dpo, model=sft, data=ranked, seed=seed, settings=replace(s.dpo, beta=beta)
        )
        for beta in dial(f.dpo_betas, "dpo_betas")
    ]

    # 2. as many new comparisons from the furthest policy and, the control, from the SFT model; a reward model
    # on old and new together
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
            seed=new,
            settings=replace(s.collect, from_others=0.0),
            **gold,
        )
        both = stage(
            f"join-{name}", steps.join, first=ranked, second=again, seed=seed, settings=JoinSettings()
        )
        judges[name] = stage(
            f"reward-{name}", stages.reward, model=sft, data=both, seed=seed, settings=s.reward, **gold
        )

    # 3. each of the three on what every policy writes
    return {
        name: stage(
            f"shift-{name}",
            steps.shift,
            model=sft,
            reward=judge,
            policies=[*ppo, *dpo],
            data="town:test" if town else s.own.fresh,
            seed=seed,
            settings=s.shift,
            **gold,
        )
        for name, judge in judges.items()
    }


def measure(runs: dict[str, RunInfo], settings: StudySettings) -> dict[str, Any]:
    return {name: info.summary["rows"] for name, info in runs.items()}


class Figures:
    """What every seed says of a judge's accuracy on what a policy writes."""

    def __init__(self, seeds: Sequence[dict[str, Any]]) -> None:
        self.seeds, self.judges = seeds, list(seeds[0])
        self.policies = each(seeds[0]["before"], "policy")
        self.trained = [row["policy"] for row in seeds[0]["before"] if row["kind"] == "policy"]
        self.furthest = [furthest(seed["before"]) for seed in seeds]

    def of(self, judge: str, policy: str, key: str) -> list[float]:
        """A figure by seed, where there is one."""
        found: list[float] = []
        for rows in each(self.seeds, judge):
            values = [row[key]["mean"] for row in rows if row["policy"] == policy]
            found += [value for value in values if value is not None]
        return found

    def said(self, judge: str, policy: str, key: str) -> str:
        values = self.of(judge, policy, key)
        return spread(values) if values else "–"

    def ends(self, judge: str) -> tuple[list[float], list[float]]:
        """Accuracy at the start and at the furthest policy, of the seeds that have both."""
        start: list[float] = []
        end: list[float] = []
        for rows, far in zip(each(self.seeds, judge), self.furthest, strict=True):
            accuracy = {row["policy"]: row["accuracy"]["mean"] for row in rows}
            here, there = accuracy[self.policies[0]], accuracy[far]
            if here is not None and there is not None:
                start.append(here)
                end.append(there)
        return start, end

    def curve(self, judge: str, method: str) -> charts.Curve:
        """The start and the policies of one method: those of another, as far away, write other answers."""
        points: list[tuple[float, float, float]] = []
        for name in self.trained:
            values = self.of(judge, name, "accuracy")
            if values and (name == self.policies[0] or name.startswith(f"{method}-")):
                kl = mean(self.of(judge, name, "kl"))
                points.append((kl, mean(values), seeds_summary(values)["sd"] or 0.0))
        points.sort()
        return banded([max(0.0, kl) for kl in each(points, 0)], each(points, 1), each(points, 2))


def furthest(rows: Sequence[dict[str, Any]]) -> str:
    trained = [row for row in rows if row["kind"] == "policy"]
    return max(trained, key=lambda row: row["kl"]["mean"])["policy"]


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
        f"time, on pairs of the furthest policy's ({', '.join(dict.fromkeys(figures.furthest))}) "
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
            "the reward model is less often right about the furthest policy than about the SFT model",
            [there < here for here, there in zip(start, end, strict=True)],
        )
    ]
    (_, refreshed), (_, more) = figures.ends("refreshed"), figures.ends("more")
    if len(refreshed) == len(more):
        bars.append(
            Bar(
                "about the furthest policy, comparisons of its answers help more than as many of the SFT "
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


REWARD_SHIFT = Study(
    title="A reward model away from home",
    question=(
        "How often is a reward model right about what policies write, as they move away from the data it "
        "was trained on, and do new comparisons repair it?"
    ),
    controls=(
        "The SFT model's own answers; best-of-N beside trained policies; as many more comparisons of the old "
        "kind against as many of the new; every reward model is judged on the same held-out prompts."
    ),
    reads=(*TO_DPO, "kl_frontier", "shift", "shift_prompts"),
    plan=plan,
    measure=measure,
    tell=tell,
)
