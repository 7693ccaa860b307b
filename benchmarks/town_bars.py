"""What the pipeline is claimed to do on the town, with its controls, over seeds: mean and spread.

    python benchmarks/town_bars.py --out runs/bars --seeds 20 21 22

Figures are of `town:exam`, on which no setting was chosen. For each seed the whole recipe, then beside it:
SFT on clean demonstrations; as many more SFT steps as PPO makes; preferences in random order, to DPO and PPO;
a constant reward; SFT sampled at the temperature of PPO's entropy; and PPO without a penalty against people
who love flattery. Reruns go on where they were. The runs of a seed lie in instructgpt-SEED below `--runs`,
where `methods.py` and `recipes.py` find what they have in common. Prints a table and writes bars.json.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from alignlab import stages
from alignlab.evals.statistics import equal_entropy_temperature, mean_ci, paired_difference, seeds_summary
from alignlab.pipeline.runner import Pipeline
from alignlab.recipes.instructgpt import instructgpt
from alignlab.recipes.plan import Plan
from alignlab.recipes.settings import PipelineSettings
from alignlab.run import read_run
from alignlab.sampling import Sampling
from alignlab.settings import ModelSettings
from alignlab.text.figures import with_spread
from alignlab.town.exam import SEEDS
from alignlab.town.world import VERSION

SIDE = "exam"
BOTH = ("gold", "compliance_with_harm", "over_refusal", "known_facts", "instruction_format")
"""Figures of greedy answers and of those at temperature 1; of best of 4 of the picks and of one sample."""
ONCE = ("win_rate_vs_sft", "ties_vs_sft", "kl_from_sft")


def settings() -> PipelineSettings:
    """Those of `alignlab run`, evaluated on the whole exam."""
    s = PipelineSettings()
    return replace(s, eval=replace(s.eval, prompts=0))


FLATTERED = 2000
"""Prompts that are ranked by people who love flattery."""


def plan(pipeline: Pipeline, s: PipelineSettings, seed: int) -> None:
    """The recipe and its controls, as stages below one folder."""
    instructgpt(Plan(pipeline, "town", s, seed, side=SIDE))
    found = {stage.name: stage for stage in pipeline.stages}
    sft, sft_eval = found["sft"], found["eval-sft"]
    judged = {
        "data": f"town:{SIDE}",
        "judge": "town:gold",
        "seed": seed,
        "settings": s.eval,
        "baseline": sft_eval,
        "reference": sft,
    }
    gold = {"gold": "town:gold", "seed": seed}

    def measure(name: str, model: Any) -> None:
        pipeline.stage(f"eval-{name}", stages.evaluate, model=model, **judged)

    measure(
        "clean",
        pipeline.stage(
            "sft-clean",
            stages.sft,
            model="town",
            data="town:demos-clean",
            count=s.demonstrations,
            seed=seed,
            settings=s.sft,
        ),
    )
    updates = s.ppo.steps * s.ppo.epochs * s.ppo.rollouts // s.ppo.minibatch
    more = replace(s.sft, epochs=updates * s.sft.batch / s.demonstrations)
    measure(
        "more-sft",
        pipeline.stage(
            "more-sft",
            stages.sft,
            model=sft,
            data="town:demos",
            count=s.demonstrations,
            seed=seed,
            settings=more,
        ),
    )
    ppo = {"data": "town:prompts", "count": s.ppo_prompts, "ptx": "", **gold}
    for name, annotator, asked in (
        ("random", "random", s.prompts),
        ("flattered", "town:flattered", min(FLATTERED, s.prompts)),
    ):
        ranked = pipeline.stage(
            f"collect-{name}",
            stages.collect,
            model=sft,
            data="town:prompts",
            count=asked,
            annotator=annotator,
            others="town:crowd",
            settings=s.collect,
            **gold,
        )
        reward = pipeline.stage(
            f"reward-{name}", stages.reward, model=sft, data=ranked, settings=s.reward, **gold
        )
        if name == "random":
            measure(
                "ppo-random",
                pipeline.stage("ppo-random", stages.ppo, model=sft, reward=reward, settings=s.ppo, **ppo),
            )
            # the value model must not know the preferences either: differences of its values would be a
            # reward of their own
            measure(
                "ppo-constant",
                pipeline.stage(
                    "ppo-constant",
                    stages.ppo,
                    model=sft,
                    reward=reward,
                    judge="constant",
                    settings=s.ppo,
                    **ppo,
                ),
            )
            measure(
                "dpo-random",
                pipeline.stage("dpo-random", stages.dpo, model=sft, data=ranked, seed=seed, settings=s.dpo),
            )
        else:
            measure(
                "ppo-flattered-unpenalised",
                pipeline.stage(
                    "ppo-flattered-unpenalised",
                    stages.ppo,
                    model=sft,
                    reward=reward,
                    settings=s.unpenalised,
                    **ppo,
                ),
            )


def sharpening(folder: Path, s: PipelineSettings, seed: int) -> dict[str, Any]:
    """SFT sampled at the temperature at which its entropy is PPO's: what a gain at temperature 1 owes to
    sharpening alone.
    """
    import torch

    from alignlab import names
    from alignlab.evals.answers import evaluate, scores_of
    from alignlab.models.load import load_policy
    from alignlab.sampling.local import LocalSampler

    torch.set_num_threads(1)
    prompts, gold = (
        names.data.read_data(f"town:{SIDE}", "prompt", count=s.eval.prompts).records,
        names.judges.judge("town:gold").load(),
    )
    assert gold is not None
    samplers = {}
    for name in ("sft", "ppo"):
        policy = load_policy(names.models.model(str(folder / name)).path, ModelSettings())
        samplers[name] = LocalSampler.of(policy)

    def entropy(name: str, temperature: float) -> float:
        groups = samplers[name].sample(prompts[:300], Sampling(temperature=temperature), seed=seed)
        found = [c for group in groups for c in group]
        return -sum(sum(c.logprobs) for c in found) / sum(len(c.ids) for c in found)

    temperature = equal_entropy_temperature(lambda t: entropy("sft", t), entropy("ppo", 1.0))
    sharp = Sampling.of(s.eval.sampling, temperature=temperature)
    scores = scores_of(evaluate(samplers["sft"], prompts, gold, sharp, seed=seed))
    rows = {
        how: [
            row["gold"]
            for row in read_run(folder / f"eval-{name}").samples
            if row.get("decoding") == "sampled"
        ]
        for how, name in (("sft", "sft"), ("ppo", "ppo"))
    }
    return {
        "temperature": temperature,
        "gold_sampled": mean_ci(scores),
        "gain_over_sft": paired_difference(scores, rows["sft"]),
        "ppo_over_it": paired_difference(rows["ppo"], scores),
    }


def figures(pipeline: Pipeline, s: PipelineSettings, seed: int) -> dict[str, Any]:
    """The figures of one seed, by name: of what was planned, as others have runs in the same folder."""
    folder = pipeline.folder
    found: dict[str, Any] = {}
    for evaluation in sorted(stage.name for stage in pipeline.stages if stage.target is stages.evaluate):
        name, summary = evaluation.removeprefix("eval-"), read_run(folder / evaluation).summary
        for key in (*(f"{key}{way}" for key in BOTH for way in ("", "_sampled", "_one")), *ONCE):
            if isinstance(summary.get(key), dict):
                found[f"{name}: {key}"] = summary[key]["mean"]
        for how, row in (summary.get("paired") or {}).items():
            found[f"{name}: gain {how}"] = row["mean"]
        for way in ("", "_sampled"):
            for split, row in summary.get(f"by_split{way}", {}).items():
                found[f"{name}: gold{way}, {split}"] = row["mean"]
        if summary.get("bare_answered"):
            found[f"{name}: bare question answered"] = summary["bare_answered"]["mean"]
    reward = read_run(folder / "reward").summary
    found |= {
        f"reward: {key}": reward[key]["mean"]
        for key in ("accuracy", "gold_accuracy", "gold_accuracy_big", "length_floor")
    }
    found |= {"reward: ceiling": reward["ceiling"], "reward: ece": reward["ece"]}
    best = read_run(folder / "best-of-n").summary
    for row in best["curve"]:
        found[f"best of {row['n']:>2}: proxy"], found[f"best of {row['n']:>2}: gold"] = (
            row["proxy"]["mean"],
            row["gold"]["mean"],
        )
    for name in ("ppo-unpenalised", "ppo-flattered-unpenalised"):
        if not (folder / name / "run.json").exists():
            continue
        info = read_run(folder / name)
        found[f"{name}: proxy first"], found[f"{name}: proxy last"] = (
            info.summary["score_first"],
            info.summary["score_last"],
        )
    sharp = sharpening(folder, s, seed)
    found |= {
        "sharpened sft: temperature": sharp["temperature"],
        "sharpened sft: gold_sampled": sharp["gold_sampled"]["mean"],
        "sharpened sft: gain sampled": sharp["gain_over_sft"]["mean"],
        "ppo over sharpened sft": sharp["ppo_over_it"]["mean"],
    }
    return found


def answers_behind(folder: Path) -> dict[str, int]:
    """How many answers are behind each figure of SFT: the exam is the same for every model and seed."""
    summary = read_run(folder / "eval-sft").summary
    found = {key: summary[key]["n"] for key in BOTH if summary[key]}
    return found | {split: row["n"] for split, row in summary["by_split"].items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/bars"))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument(
        "--runs", type=Path, default=None, help="where the runs lie, those of others too; --out if not given"
    )
    parser.add_argument(
        "--read-only", action="store_true", help="run nothing: make the table from the runs that are there"
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    s, runs = settings(), args.runs or args.out
    by_seed = {}
    for seed in args.seeds:
        pipeline = Pipeline(runs / f"instructgpt-{seed}")
        plan(pipeline, s, seed)
        if not args.read_only:
            pipeline.run()
        by_seed[seed] = figures(pipeline, s, seed)
    found = {
        name: [by_seed[seed][name] for seed in args.seeds if name in by_seed[seed]]
        for name in by_seed[args.seeds[0]]
    }
    table = {name: seeds_summary(values) for name, values in found.items()}
    (args.out / "bars.json").write_text(
        json.dumps(
            {
                "town": VERSION,
                "base": "town",
                "data": f"town:{SIDE}",
                "seeds": args.seeds,
                "answers": answers_behind(runs / f"instructgpt-{args.seeds[0]}"),
                "curve_prompts": s.best_of_n.curve_prompts,
                "ranked": s.prompts,
                "ranked_flattered": min(FLATTERED, s.prompts),
                "table": table,
                "by_seed": by_seed,
            },
            indent=1,
        )
    )
    for name, row in table.items():
        print(
            f"{name:<48} {with_spread(row)}  [{row['min']:.3f}, {row['max']:.3f}]  "
            + "  ".join(f"{value:.3f}" for value in found[name])
        )


if __name__ == "__main__":
    main()
