"""Every method on the town from one SFT model, with its control, over seeds: gold, proxy, KL, win rate,
seconds.

    python benchmarks/methods.py --out runs/methods --seeds 20 21 22

Figures are of the whole of `town:exam`, on which no setting was chosen. Offline methods learn from the same
rankings, on-policy methods against the same reward model from as many completions as PPO. The control of each
is the same method on rankings in random order, or on the reward model of those; variants of DPO, RLOO and
GRPO share theirs. Reruns go on where they were. The runs of a seed lie in instructgpt-SEED below `--runs`:
SFT, rankings, reward models, DPO and PPO are those of `town_bars.py` and `recipes.py`. Writes methods.json,
which `docs/make_methods.py` turns into docs/all-methods.md.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from alignlab import names, stages
from alignlab.evals.statistics import mean_ci, seeds_summary
from alignlab.pipeline.runner import Pipeline
from alignlab.recipes.settings import PipelineSettings
from alignlab.records import Completion
from alignlab.report.words import mean_of
from alignlab.run import read_run
from alignlab.settings import (
    BestOfNSettings,
    DPOSettings,
    GRPOSettings,
    KTOSettings,
    OnlineDPOSettings,
    OptimSettings,
    ORPOSettings,
    RejectionSettings,
    RLOOSettings,
    SamplingSettings,
    SimPOSettings,
)
from alignlab.town.exam import SEEDS
from alignlab.town.world import VERSION

EXAM = "town:exam"
WIDE = SamplingSettings(slots=256)
PIPELINE = replace(PipelineSettings(), eval=replace(PipelineSettings().eval, prompts=0))
STEPS = PIPELINE.ppo.steps  # of 128 completions: what every on-policy method samples
SCORED = 500
"""Answers of each model that are scored by the reward model."""
RANDOM = "-random"
"""What is put to the name of a run that learns from rankings in random order."""


def offline(lr: float) -> dict[str, Any]:
    return {"pairs_per_prompt": 1, "optim": OptimSettings(lr=lr)}


def on_policy(lr: float) -> dict[str, Any]:
    return {
        "steps": STEPS,
        "rollouts": 128,
        "per_prompt": 4,
        "sampling": WIDE,
        "optim": OptimSettings(lr=lr, schedule="constant", weight_decay=0.0),
    }


OFFLINE: dict[str, tuple[Any, Any]] = {
    "dpo": (stages.dpo, PIPELINE.dpo),
    "dpo, label smoothing": (stages.dpo, DPOSettings(beta=0.3, label_smoothing=0.1, **offline(7e-5))),
    "dpo, robust": (
        stages.dpo,
        DPOSettings(beta=0.3, loss_type="robust", label_smoothing=0.1, **offline(7e-5)),
    ),
    "dpo, hinge": (stages.dpo, DPOSettings(beta=0.3, loss_type="hinge", **offline(7e-5))),
    "ipo": (stages.dpo, DPOSettings(beta=0.3, loss_type="ipo", **offline(7e-5))),
    "dpo, a token": (stages.dpo, DPOSettings(beta=5.0, loss_type="sigmoid_norm", **offline(7e-5))),
    "kto": (stages.kto, KTOSettings(beta=0.3, epochs=0.3, optim=OptimSettings(lr=1e-4))),
    "orpo": (stages.orpo, ORPOSettings(beta=1.0, **offline(1e-4))),
    "simpo": (stages.simpo, SimPOSettings(**offline(5e-5))),
}
ON_POLICY: dict[str, tuple[Any, Any]] = {
    "ppo": (stages.ppo, PIPELINE.ppo),
    "rloo": (stages.rloo, RLOOSettings(kl_coef=0.1, **on_policy(2e-4))),
    "reinforce": (stages.rloo, RLOOSettings(kl_coef=0.1, advantage="reinforce", **on_policy(2e-4))),
    "grpo": (stages.grpo, GRPOSettings(kl_coef=0.1, **on_policy(2e-4))),
    "dr. grpo": (stages.grpo, GRPOSettings(kl_coef=0.1, advantage="dr_grpo", **on_policy(2e-4))),
    "online dpo": (
        stages.online_dpo,
        OnlineDPOSettings(
            steps=2 * STEPS,
            prompts=32,
            beta=0.3,
            sampling=WIDE,
            optim=OptimSettings(lr=7e-5, schedule="constant", weight_decay=0.0),
        ),
    ),
    "rejection sampling": (
        stages.rejection,
        RejectionSettings(rounds=2, prompts=8 * STEPS, per_prompt=8, sampling=WIDE),
    ),
    "best of 4": (stages.best_of_n, BestOfNSettings(sampling=replace(WIDE, temperature=0.8))),
}
UNCONTROLLED = (
    "dpo, label smoothing",
    "dpo, robust",
    "dpo, hinge",
    "ipo",
    "dpo, a token",
    "reinforce",
    "dr. grpo",
)
"""Variants, without a control of their own."""


def plan(pipeline: Pipeline, seed: int) -> None:
    """SFT, rankings and reward model, fair and in random order; then every method on both, and the evaluation
    of each model.
    """
    s, gold = PIPELINE, {"gold": "town:gold", "seed": seed}
    sft = pipeline.stage(
        "sft", stages.sft, model="town", data="town:demos", count=s.demonstrations, seed=seed, settings=s.sft
    )
    judged = {"data": EXAM, "judge": "town:gold", "seed": seed, "settings": s.eval}
    before = pipeline.stage("eval-sft", stages.evaluate, model=sft, baseline="", **judged)
    compared = judged | {"baseline": before, "reference": sft}
    for kind, annotator in (("", s.annotator), (RANDOM, "random")):
        ranked = pipeline.stage(
            f"collect{kind}",
            stages.collect,
            model=sft,
            data="town:prompts",
            count=s.prompts,
            annotator=annotator,
            others="town:crowd",
            settings=s.collect,
            **gold,
        )
        reward = pipeline.stage(
            f"reward{kind}", stages.reward, model=sft, data=ranked, settings=s.reward, **gold
        )
        for name, (method, settings) in planned(OFFLINE, kind):
            trained = pipeline.stage(
                folder(name) + kind, method, model=sft, data=ranked, seed=seed, settings=settings
            )
            pipeline.stage(f"eval-{folder(name)}{kind}", stages.evaluate, model=trained, **compared)
        for name, (method, settings) in planned(ON_POLICY, kind):
            on = {
                "model": sft,
                "reward": reward,
                "data": "town:prompts",
                "count": s.ppo_prompts,
                "settings": settings,
                **gold,
            }
            if name == "best of 4":
                best = pipeline.stage(
                    folder(name) + kind, method, **on | {"data": EXAM, "count": s.eval.prompts}
                )
                pipeline.stage(
                    f"eval-{folder(name)}{kind}",
                    stages.evaluate,
                    model=sft,
                    completions=best,
                    baseline="",
                    **judged,
                )
                continue
            trained = pipeline.stage(
                folder(name) + kind, method, **on, **({"ptx": ""} if name == "ppo" else {"judge": ""})
            )
            pipeline.stage(f"eval-{folder(name)}{kind}", stages.evaluate, model=trained, **compared)


def planned(methods: dict[str, Any], kind: str) -> list[tuple[str, Any]]:
    """Those that are trained on this kind of rankings."""
    return [(name, how) for name, how in methods.items() if not kind or name not in UNCONTROLLED]


def folder(name: str) -> str:
    return name.replace(",", "").replace(".", "").replace(" ", "-")


def proxies(out: Path, evals: list[str]) -> dict[str, float]:
    """The mean score of the (fair) reward model for each evaluation's answers at temperature 1, of best of 4
    for the picks: what was, or could have been, optimized.
    """
    import torch

    torch.set_num_threads(1)
    judge = names.judges.reward_judge(str(out / "reward")).load()
    found = {}
    for name in evals:
        rows = [row for row in read_run(out / name).samples if row.get("decoding") in ("sampled", "picked")]
        rows = rows[:SCORED]
        found[name] = mean_ci(
            [score.value for score in judge.score([Completion.from_json(row) for row in rows])]
        )["mean"]
    return found


BOTH = ("gold", "compliance_with_harm", "over_refusal", "known_facts", "mean_length")
"""Figures of greedy answers and of those at temperature 1; of best of 4 of the picks and of one sample."""
ONCE = ("win_rate_vs_sft", "ties_vs_sft", "kl_from_sft")


def figures(out: Path) -> dict[str, dict[str, float | None]]:
    """Of each method and its control: the figures of one seed."""
    methods = {"sft": "sft", **{name: folder(name) for name in (*OFFLINE, *ON_POLICY)}}
    proxy = proxies(
        out,
        [
            f"eval-{path}{kind}"
            for path in methods.values()
            for kind in ("", RANDOM)
            if (out / f"eval-{path}{kind}").exists()
        ],
    )
    found: dict[str, dict[str, float | None]] = {}
    for name, path in methods.items():
        for kind in ("", RANDOM):
            if not (out / f"eval-{path}{kind}").exists():
                continue
            s, made = read_run(out / f"eval-{path}{kind}").summary, read_run(out / f"{path}{kind}")
            row = {
                key: mean_of(s.get(key))
                for key in (*(f"{key}{way}" for key in BOTH for way in ("", "_sampled", "_one")), *ONCE)
                if mean_of(s.get(key)) is not None
            }
            row |= {f"gain, {how}": pair["mean"] for how, pair in (s.get("paired") or {}).items()}
            row |= {"proxy": proxy[f"eval-{path}{kind}"], "cpu_seconds": made.cpu_seconds}
            found[f"{name}-control" if kind else name] = row
    return found


def answers_behind(out: Path) -> dict[str, int]:
    """How many answers are behind each figure of SFT: the exam is the same for every model and seed."""
    summary = read_run(out / "eval-sft").summary
    return {key: summary[key]["n"] for key in BOTH if isinstance(summary[key], dict)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/methods"))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument(
        "--runs", type=Path, default=None, help="where the runs lie, those of others too; --out if not given"
    )
    parser.add_argument(
        "--read-only", action="store_true", help="run nothing: make the table from the runs that are there"
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    by_seed: dict[int, dict[str, dict[str, float | None]]] = {}
    for seed in args.seeds:
        out = (args.runs or args.out) / f"instructgpt-{seed}"
        if not args.read_only:
            pipeline = Pipeline(out)
            plan(pipeline, seed)
            pipeline.run()
        by_seed[seed] = figures(out)
        table = {
            name: {
                key: seeds_summary(
                    [found[name][key] for found in by_seed.values() if found[name].get(key) is not None]
                )
                for key in row
                if any(found[name].get(key) is not None for found in by_seed.values())
            }
            for name, row in by_seed[seed].items()
        }
        (args.out / "methods.json").write_text(
            json.dumps(
                {
                    "town": VERSION,
                    "base": "town",
                    "data": EXAM,
                    "seeds": list(by_seed),
                    "answers": answers_behind(out),
                    "ranked": PIPELINE.prompts,
                    "sampled": STEPS * PIPELINE.ppo.rollouts,
                    "scored": SCORED,
                    "table": table,
                    "by_seed": by_seed,
                },
                indent=1,
            )
        )
        for name, row in table.items():
            print(
                f"{name:<32}",
                "  ".join(f"{key} {value['mean']:.3f}" for key, value in row.items()),
                flush=True,
            )


if __name__ == "__main__":
    main()
