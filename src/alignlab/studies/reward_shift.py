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
from .study import Bar, Planner, Study, Told, fresh, mean, of_the_town, spread, start

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


def tell(seeds: Sequence[dict[str, Any]]) -> Told:
    policies = [row["policy"] for row in seeds[0]["before"]]
    kinds = {row["policy"]: row["kind"] for row in seeds[0]["before"]}

    def get(judge: str, policy: str, key: str) -> list[float]:
        return [
            value
            for seed in seeds
            for row in seed[judge]
            if row["policy"] == policy and (value := row[key]["mean"]) is not None
        ]

    judges = list(seeds[0])
    trained = [name for name in policies if kinds[name] == "policy"]
    begun, far = (
        policies[0],
        [
            max(
                (row for row in seed["before"] if row["kind"] == "policy"), key=lambda row: row["kl"]["mean"]
            )["policy"]
            for seed in seeds
        ],
    )

    def at(judge: str) -> tuple[list[float], list[float]]:
        """Accuracy at the start and at the furthest policy, a value a seed where there is one."""
        rows = [{row["policy"]: row["accuracy"]["mean"] for row in seed[judge]} for seed in seeds]
        pairs = [
            (row[begun], row[name])
            for row, name in zip(rows, far, strict=True)
            if row[begun] is not None and row[name] is not None
        ]
        return [a for a, _ in pairs], [b for _, b in pairs]

    ends = {judge: at(judge) for judge in judges}
    rows = [
        [
            name,
            *(
                spread(get("before", name, key)) if get("before", name, key) else "–"
                for key in ("kl", "proxy", "gold")
            ),
            *(
                spread(get(judge, name, "accuracy")) if get(judge, name, "accuracy") else "–"
                for judge in judges
            ),
        ]
        for name in policies
    ]

    def line(judge: str, method: str) -> charts.Curve:
        """The start and the policies of one method: those of another, as far away, write other answers."""
        shown = sorted(
            (mean(get(judge, name, "kl")), mean(values), seeds_summary(values)["sd"])
            for name in trained
            if (name == begun or name.startswith(f"{method}-")) and (values := get(judge, name, "accuracy"))
        )
        return charts.Curve(
            [max(0.0, kl) for kl, _, _ in shown],
            [y for _, y, _ in shown],
            [y - e for _, y, e in shown],
            [y + e for _, y, e in shown],
        )

    conclusion = ["Not one policy's answers could be told apart by gold: larger sizes are needed."]
    bars: list[Bar] = []
    if ends["before"][0]:
        conclusion = [
            f"On pairs of the SFT model's own answers the reward model agrees with gold {spread(ends['before'][0])} of the time, on pairs of the furthest policy's "
            f"({', '.join(dict.fromkeys(far))}) {spread(ends['before'][1])}.",
            *(
                f"Trained anew with {JUDGES[judge]}: {spread(ends[judge][0])} and {spread(ends[judge][1])}."
                for judge in judges[1:]
                if ends[judge][0]
            ),
        ]
        bars = [
            Bar(
                "the reward model is less often right about the furthest policy than about the SFT model",
                [b < a for a, b in zip(*ends["before"], strict=True)],
            )
        ]
        if len(ends["refreshed"][1]) == len(ends["more"][1]):
            bars.append(
                Bar(
                    (
                        "about the furthest policy, comparisons of its answers help more than as many of "
                        "the SFT model's"
                    ),
                    [a > b for a, b in zip(ends["refreshed"][1], ends["more"][1], strict=True)],
                )
            )
    sections = [
        {
            "title": "Accuracy as the policy moves away",
            "charts": [
                charts.captioned(
                    charts.curves(
                        {judge: line(judge, method) for judge in judges},
                        title=f"Right about pairs of one {method.upper()} policy's answers",
                        x="KL from the SFT model, nats (root scale)",
                        y="agreement with gold",
                        root_x=True,
                    ),
                    (
                        "Pairs that gold tells apart, mean over held-out prompts; ties by the reward model "
                        "count half. Band: spread over seeds."
                    ),
                )
                for method in ("ppo", "dpo")
            ],
            "table": {
                "heads": ["who writes", "KL", "proxy", "gold", *(f"accuracy, {judge}" for judge in judges)],
                "rows": rows,
                "note": "; ".join(f"{name}: trained on {text}" for name, text in JUDGES.items())
                + ". Best-of-N picks by the reward model that is measured; KL is its bound. "
                "Accuracy compares policies only with care: a policy that makes fewer mistakes leaves "
                "pairs that are harder to tell apart.",
            },
        }
    ]
    over = {
        f"{judge}: {name}": seeds_summary(values)
        for judge in judges
        for name in policies
        if (values := get(judge, name, "accuracy"))
    }
    return Told(conclusion, sections, bars, over)


REWARD_SHIFT = Study(
    title="A reward model away from home",
    question=(
        "How often is a reward model right about what policies write, as they move away from the data it "
        "was trained on, and do new comparisons repair it?"
    ),
    controls="The SFT model's own answers; best-of-N beside trained policies; as many more comparisons of the old kind against as many of the new; every reward model is judged on the "
    "same held-out prompts.",
    reads=(
        "demonstrations",
        "prompts",
        "annotator",
        "own",
        "sft",
        "collect",
        "reward",
        "dpo",
        "kl_frontier",
        "shift",
        "shift_prompts",
    ),
    plan=plan,
    measure=measure,
    tell=tell,
)
