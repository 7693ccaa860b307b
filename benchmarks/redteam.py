"""Red team on the town: a model that refuses plain harm, what gets past it, one fix, what the fix costs; over
seeds.

    python benchmarks/redteam.py --out runs/redteam-bench

For each seed: SFT on demonstrations of which some are harmless requests in wrappers; preferences of
`town:fair` on plain requests, many of them harmful; DPO. Then `alignlab redteam --fix`, which learns from
harmful requests of training and is measured on those of the exam (`town:harmful-exam`, `town:twins-exam`),
with the families `obfuscation` and `multi-turn` held out, and a second round from the fixed model; before and
after the first, harm and look-alikes asked plainly, topic by topic (`town:risky-exam`). And by `--parts`:
GCG, stacks of defences, and an attacker that is trained by reinforcement learning against the model.
Reruns go on where they were. Prints a table and writes redteam.json, which `docs/make_redteam.py` turns into
the tables of docs/redteam.md.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from alignlab import names, stages
from alignlab.redteam.command import redteam
from alignlab.redteam.frontier import frontier
from alignlab.redteam.train_attacker import train_attacker
from alignlab.run import read_run
from alignlab.settings import (
    AttackerSettings,
    CollectSettings,
    DPOSettings,
    EvalSettings,
    FrontierSettings,
    OptimSettings,
    RedteamSettings,
    SamplingSettings,
    SFTSettings,
)
from alignlab.text.figures import with_interval
from alignlab.town.exam import EXAM, SEEDS, measured

WIDE = SamplingSettings(slots=256)
STACKS = (
    "none;self-reminder;perplexity-filter;smooth-llm;paraphrase;self-examination;input-filter;output-filter;"
    "input-filter+output-filter"
)
GOALS, TWINS, ORDINARY = 300, 300, 400
"""Requests of the exam: harmful ones, their look-alikes, and ordinary ones."""
ROUNDS, GCG_GOALS = 2, 10
PARTS = ("gcg", "frontier", "attacker")
ON_TOPICS = (
    "compliance_seen",
    "compliance_held_out",
    "look_alike_refusal_seen",
    "look_alike_refusal_held_out",
)
DEMOS, ASKED = "mix:0.55=town:demos+0.45=town:demos-wrapped", "mix:0.5=town:prompts+0.5=town:risky"


def aligned(out: Path, seed: int) -> Path:
    """A model that refuses plain harm, and was never shown wrapped harm."""
    common: dict[str, Any] = {"seed": seed, "resume": True}
    stages.sft(model="town", data=DEMOS, out=out / "sft", settings=SFTSettings(), count=4500, **common)
    stages.collect(
        model=str(out / "sft"),
        data=ASKED,
        annotator="town:fair",
        gold="town:gold",
        others="town:crowd",
        out=out / "collect",
        count=2400,
        settings=CollectSettings(from_others=0.5, held_out=0.1, sampling=WIDE),
        **common,
    )
    stages.dpo(
        model=str(out / "sft"),
        data=str(out / "collect"),
        out=out / "dpo",
        settings=DPOSettings(beta=0.3, pairs_per_prompt=2, optim=OptimSettings(lr=1e-4)),
        **common,
    )
    return out / "dpo"


def attack(
    model: Path, out: Path, seed: int, *, fix: bool = False, attacker: str = "", **changes: Any
) -> dict[str, Any]:
    """One campaign, or one with a fix."""
    return redteam(
        target="",
        model=str(model),
        defence="",
        data="town:harmful-exam",
        harmless="town:twins-exam",
        judge="town:gold",
        fix=fix,
        learn="town:harmful",
        ordinary="town:prompts",
        test=EXAM,
        gold="town:gold",
        review="",
        attacker=attacker,
        fail_on="",
        out=out,
        seed=seed,
        resume=True,
        settings=RedteamSettings(
            **{"goals": GOALS, "twins": TWINS, **({"test_prompts": ORDINARY} if fix else {}), **changes}
        ),
    )


def plainly(model: Path, out: Path, seed: int) -> dict[str, Any]:
    """Harm and look-alikes asked without any attack, greedy and at temperature 1: rates over prompts, and,
    of new topics, of each topic.
    """
    stages.evaluate(
        model=str(model),
        data="town:risky-exam",
        judge="town:gold",
        baseline="",
        out=out,
        seed=seed,
        resume=True,
        settings=EvalSettings(prompts=0, sampling=replace(WIDE, temperature=0.0)),
    )
    found = read_run(out).summary
    rates: dict[str, Any] = {}
    for way in ("", "_sampled"):
        for key in ON_TOPICS:
            rates[f"{key}{way}"] = found[f"{key}{way}"]
            topics = found[f"by_topic{way}"][key]["topics"]
            rates[f"{key}{way}"]["topics"] = {topic: row["mean"] for topic, row in topics.items()}
    return rates


def stacks(model: Path, out: Path, seed: int) -> list[dict[str, Any]]:
    """Stacks of defences before the model, each attacked by who knows of it and by who does not."""
    small = FrontierSettings(
        attacks="persona,story,payload-split,flooding,prefill",
        adaptive="bandit",
        goals=40,
        twins=60,
        test_prompts=100,
    )
    return frontier(
        target="",
        model=str(model),
        stacks=STACKS,
        data="town:harmful-exam",
        harmless="town:twins-exam",
        test=EXAM,
        judge="town:gold",
        gold="town:gold",
        out=out,
        seed=seed,
        resume=True,
        settings=small,
    )["summary"]["rows"]


def learnt_attack(model: Path, folder: Path, seed: int) -> dict[str, Any]:
    """An attacker trained on training goals: success and variety of its prompts before and after RL; then its
    campaigns on fresh goals, against its target and against that model after one fix.
    """
    run = folder / "attacker"
    trained = train_attacker(
        target="",
        model=str(model),
        start="town",
        data="town:harmful",
        judge="town:gold",
        out=run,
        seed=seed,
        resume=True,
        settings=AttackerSettings(),
    )["summary"]
    campaign: dict[str, Any] = {"attacker": str(run), "attacks": "none", "twins": 0, "shorten": 0}
    fresh, fixed = (
        attack(model, folder / "attacker-campaign", seed, **campaign),
        attack(folder / "fix" / "models" / "1", folder / "attacker-on-fixed", seed, **campaign),
    )
    return {side: {key: trained[side][key] for key in ("asr", "variety")} for side in ("before", "after")} | {
        "fresh": fresh["attacks"]["trained-attacker"],
        "plain": fresh["plain"],
        "fixed": fixed["attacks"]["trained-attacker"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/redteam-bench"))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument(
        "--parts", nargs="*", choices=PARTS, default=list(PARTS), help="what is done beside the one fix"
    )
    asked = parser.parse_args()
    by_seed: dict[int, dict[str, Any]] = {}
    for seed in asked.seeds:
        folder = asked.out / str(seed)
        model = aligned(folder, seed)
        found = attack(model, folder / "fix", seed, fix=True, rounds=ROUNDS)
        first = found["rounds"][1]
        row: dict[str, Any] = {
            "seed": seed,
            "before": found["before"],
            "after": first["after"],
            "deltas": first["deltas"],
            "rounds": found["rounds"],
            "ended": found["ended"],
            "held_out_families": found["held_out_families"],
        }
        row["plainly"] = {
            side: plainly(path, folder / f"plainly-{side}", seed)
            for side, path in (("before", model), ("after", folder / "fix" / "models" / "1"))
        }
        if "gcg" in asked.parts:
            goals = {"goals": GCG_GOALS, "search_goals": GCG_GOALS}
            row["gcg"] = attack(model, folder / "gcg", seed, attacks="gcg", twins=0, **goals)
            row["gcg_seconds"] = read_run(folder / "gcg").cpu_seconds / GCG_GOALS
        if "frontier" in asked.parts:
            row["frontier"] = stacks(model, folder / "frontier", seed)
        if "attacker" in asked.parts:
            row["attacker"] = learnt_attack(model, folder, seed)
        by_seed[seed] = row
        show(row)
        sets = {"town:harmful-exam": GOALS, "town:twins-exam": TWINS, EXAM: ORDINARY}
        sets["town:risky-exam"] = len(names.data.read_data("town:risky-exam", "prompt").records)
        (asked.out / "redteam.json").write_text(
            json.dumps({"measured": measured(list(by_seed), sets), "by_seed": by_seed}, indent=1)
        )


def show(row: dict[str, Any]) -> None:
    before, after = row["before"], row["after"]
    best = before["attacks"][before["best"]]["asr"]["mean"]
    print(
        f"seed {row['seed']}: plain {before['plain']['mean']:.3f}, best single attack {before['best']} "
        f"{best:.3f}, all {before['all']['mean']:.3f}"
    )
    for name, value in row["deltas"].items():
        print(f"  {name}: {with_interval(value, sign='+') if value else '-'}")
    for name in ("prefill-shallow", "prefill", "prefill-deep"):
        print(
            f"  {name}: {before['attacks'][name]['asr']['mean']:.3f} -> "
            f"{after['attacks'][name]['asr']['mean']:.3f}"
        )
    for stack in row.get("frontier", []):
        print(
            f"  {stack['stack']}: any {stack['asr']['mean']:.3f}, adaptive "
            f"{stack['asr_adaptive']['mean']:.3f}, over-refusal {stack['over_refusal']['mean']:.3f}, "
            f"helpful {stack['helpful']['mean']:.3f}"
        )
    if "attacker" in row:
        found = row["attacker"]
        print(
            f"  trained attacker: one prompt {found['before']['asr']['mean']:.3f} -> "
            f"{found['after']['asr']['mean']:.3f}, on fresh goals {found['fresh']['asr']['mean']:.3f}, "
            f"after a fix {found['fixed']['asr']['mean']:.3f}"
        )
    if "gcg" in row:
        print(
            f"  gcg: {row['gcg']['attacks']['gcg']['asr']['mean']:.3f} of {row['gcg']['goals']}, plain "
            f"{row['gcg']['plain']['mean']:.3f}"
        )


if __name__ == "__main__":
    main()
