"""Whether a few hundred votes of people matter: a reward model of 300 votes beside the length floor and
beside the same votes shuffled, and PPO against either, in gold, beside SFT. Over seeds, on the exam.

    python benchmarks/people.py --choose                     what settings were chosen by: seed 10, town:test
    python benchmarks/people.py --seeds 20 21 22             the figures of docs/studio.md

The people are simulated, with noise: `town:pool`, of whom six of ten go by what the gold judge likes, two
take the order as it came in four of ten rankings, and two like what it dislikes. A vote is an order of four
answers, or of two. `collect --kind votes` writes the same rankings when people give them over HTTP
(tests/studio/test_round_trip.py). Half of the questions are held out, so that the accuracy on votes that
were not learnt from has an interval that tells something. Runs go on where they were.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from alignlab import names, stages
from alignlab.evals.preference import scores_of
from alignlab.evals.statistics import mean_ci, paired_difference
from alignlab.feedback import Judge
from alignlab.feedback.annotators import shuffle_rankings
from alignlab.pipeline.runner import Pipeline, Stage
from alignlab.recipes.settings import PipelineSettings, on_policy
from alignlab.records import Completion, Ranking, pairs_of, read_jsonl, write_jsonl
from alignlab.run import derive_seed, read_run
from alignlab.settings import OptimSettings, PPOSettings, RewardSettings
from alignlab.town.exam import EXAM, SEEDS

BASE, PEOPLE, VOTES = "town", "town:pool", 300
PIPELINE = PipelineSettings()
KINDS = {2: "of-two", 4: "of-four"}
"""Kinds of vote, by how many answers are put in order."""
ASKED = 900
"""Prompts of which answers are ranked: half of the questions are held out, and some have one answer only."""


@dataclass(frozen=True)
class Chosen:
    """What is turned on seed 10."""

    epochs: float
    lr: float
    annotators: str = "alike"
    kl_coef: float = 0.1
    steps: int = 24

    @property
    def reward(self) -> RewardSettings:
        labels: Any = self.annotators
        return RewardSettings(epochs=self.epochs, annotators=labels, optim=OptimSettings(lr=self.lr))

    @property
    def ppo(self) -> PPOSettings:
        return on_policy(kl_coef=self.kl_coef, lr=2e-4, rollouts=128, steps=self.steps)


CHOSEN = Chosen(2, 2e-4, "reliability", kl_coef=0.2, steps=12)
"""For votes of four."""
REWARDS = [Chosen(*each) for each in product((2, 4, 8), (2e-4, 5e-4), ("alike", "reliability"))]
POLICIES = list(product((0.1, 0.2, 0.4), (12, 24)))


class Voted:
    """Stages of one seed: SFT, votes on its answers, reward models of them, policies.

    Args:
        data: what policies are measured on.
        answers: that a vote puts in order.
    """

    def __init__(self, folder: Path, seed: int, data: str, answers: int) -> None:
        self.folder, self.seed, self.kind = folder, seed, KINDS[answers]
        self.pipeline = Pipeline(folder, workers=1)
        s = PIPELINE
        self.sft = self._stage(
            "sft", stages.sft, model=BASE, data="town:demos", count=s.demonstrations, settings=s.sft
        )
        self.judged = {"data": data, "judge": "town:gold", "settings": s.eval}
        self.before = self._stage(
            "eval-sft", stages.evaluate, model=self.sft, baseline="", reference="", **self.judged
        )
        self.votes = self._stage(
            f"votes-{self.kind}",
            stages.collect,
            model=self.sft,
            data="town:prompts",
            count=ASKED,
            annotator=PEOPLE,
            others="town:crowd",
            gold="town:gold",
            settings=replace(s.collect, per_prompt=answers, held_out=0.5),
        )

    def _stage(self, name: str, target: Callable[..., Any], **arguments: Any) -> Stage:
        return self.pipeline.stage(name, target, seed=self.seed, **arguments)

    def rankings(self) -> tuple[list[Ranking], list[Ranking]]:
        """The votes to learn from, and all that are held out."""
        file = self.votes.out / "data" / "rankings.jsonl"
        learn = read_jsonl(file, Ranking)[:VOTES]
        if len(learn) < VOTES:
            raise SystemExit(f"{file} has {len(learn)} votes to learn from: more prompts are needed")
        return learn, read_jsonl(file.with_name("rankings_test.jsonl"), Ranking)

    def reward(self, chosen: Chosen, *, shuffled: bool = False, name: str = "") -> Stage:
        """A reward model of the votes, or of the same votes with their ranks dealt out anew."""
        data: Any = self.votes
        settings = chosen.reward
        if shuffled:
            name, settings = "shuffled", replace(settings, held_out=0.0)
            data = str(self.folder / f"shuffled-{self.kind}.jsonl")
            learn, _ = self.rankings()
            luck = shuffle_rankings(learn, seed=derive_seed(self.seed, "shuffled votes"))
            named = [
                replace(ranking, annotator=own.annotator) for ranking, own in zip(luck, learn, strict=True)
            ]
            write_jsonl(data, named)
        label = f"reward-{self.kind}{name and '-'}{name}"
        made = self._stage(
            label, stages.reward, model=self.sft, data=data, gold="town:gold", count=VOTES, settings=settings
        )
        return made.is_control("the votes are shuffled") if shuffled else made

    def ppo(self, reward: Stage, chosen: Chosen, *, name: str = "") -> Stage:
        """PPO against it; its evaluation."""
        label = f"{reward.name.replace('reward', 'ppo')}{name and '-'}{name}"
        model = self._stage(
            label,
            stages.ppo,
            model=self.sft,
            reward=reward,
            judge="",
            ptx="",
            data="town:prompts",
            count=PIPELINE.ppo_prompts,
            gold="town:gold",
            settings=chosen.ppo,
        )
        if "shuffled" in label:
            model.is_control("its reward model learnt from shuffled votes")
        return self._stage(
            f"eval-{label}",
            stages.evaluate,
            model=model,
            baseline=self.before,
            reference=self.sft,
            **self.judged,
        )


# --- reward models beside the longer answer


def judge_of(run: Path) -> Judge:
    return names.judges.judge(f"reward:{run}").load()


def right(scores: Sequence[Sequence[float]], rankings: Sequence[Ranking]) -> dict[str, float]:
    """By prompt, the share of the pairs that people tell apart in which the preferred answer scores higher; a
    tie counts half.
    """
    told: dict[str, list[float]] = {}
    for ranking, own in zip(rankings, scores, strict=True):
        for i, j in zip(*pairs_of(ranking.ranks), strict=True):
            told.setdefault(ranking.prompt.id, []).append(0.5 + 0.5 * ((own[i] > own[j]) - (own[i] < own[j])))
    return {prompt: sum(each) / len(each) for prompt, each in told.items()}


def lengths(rankings: Sequence[Ranking]) -> list[list[float]]:
    return [[float(len(completion.text)) for completion in ranking.completions] for ranking in rankings]


def as_rankings(data: str) -> list[Ranking]:
    """Pairs whose truth is known."""
    found = []
    for pair in names.data.read_data(data, "comparison").records:
        answers = Completion(pair.prompt, pair.chosen), Completion(pair.prompt, pair.rejected)
        found.append(Ranking(pair.prompt, answers, (1, 2)))
    return found


def beside(run: Path, shuffled: Path, rankings: Sequence[Ranking]) -> dict[str, Any]:
    """How often a reward model is right, the longer answer is, and a reward model of shuffled votes is; what
    the first is ahead, paired by prompt.
    """
    votes = right(scores_of(judge_of(run), rankings), rankings)
    longer = right(lengths(rankings), rankings)
    luck = right(scores_of(judge_of(shuffled), rankings), rankings)
    found: dict[str, Any] = {
        name: mean_ci(list(each.values()), share=True)
        for name, each in {"votes": votes, "longer": longer, "shuffled": luck}.items()
    }
    for name, other in (("over longer", longer), ("over shuffled", luck)):
        found[name] = paired_difference(list(votes.values()), [other[prompt] for prompt in votes])
    return found


def policies(run: Path) -> dict[str, Any]:
    """Gold of a policy and what it is ahead of SFT, greedily and at temperature 1."""
    summary = read_run(run).summary
    return {key: summary[key] for key in ("gold", "gold_sampled", "paired", "kl_from_sft") if key in summary}


# --- chosen, and measured


def choose(folder: Path, answers: int) -> None:
    """Every setting of the reward models on votes that are held out, and of PPO in gold on town:test."""
    voted = Voted(folder, 10, "town:test", answers)
    voted.pipeline.run()
    tried = [voted.reward(each, name=f"tried-{n}") for n, each in enumerate(REWARDS)]
    voted.pipeline.run()
    _, held_out = voted.rankings()
    found: list[tuple[float, Chosen, Stage]] = []
    for chosen, stage in zip(REWARDS, tried, strict=True):
        scores = scores_of(judge_of(stage.out), held_out)
        accuracy = mean_ci(list(right(scores, held_out).values()), share=True)
        gold = read_run(stage.out).summary["gold_accuracy"]["mean"]
        print(f"{chosen}: {accuracy['mean']:.3f} of votes, {gold:.3f} of gold", flush=True)
        found.append((accuracy["mean"], chosen, stage))
    _, best, reward = max(found, key=lambda each: each[0])
    for kl_coef, steps in POLICIES:
        asked = replace(best, kl_coef=kl_coef, steps=steps)
        evaluation = voted.ppo(reward, asked, name=f"{kl_coef:g}-{steps}")
        voted.pipeline.run()
        print(f"{asked}: {said(policies(evaluation.out))}", flush=True)


def measure(folder: Path, seed: int, answers: int) -> dict[str, Any]:
    """All figures of one seed."""
    voted = Voted(folder, seed, EXAM, answers)
    voted.pipeline.run()
    reward, luck = voted.reward(CHOSEN), voted.reward(CHOSEN, shuffled=True)
    after, control = voted.ppo(reward, CHOSEN), voted.ppo(luck, CHOSEN)
    voted.pipeline.run()
    learn, held_out = voted.rankings()
    pair = partial(beside, reward.out, luck.out)
    return {
        "sft": policies(voted.before.out),
        "votes": len(learn),
        "people": len({ranking.annotator for ranking in learn}),
        "held-out votes": pair(held_out),
        "gold pairs": pair(as_rankings(f"{EXAM}-pairs")),
        "ppo": policies(after.out),
        "ppo, shuffled": policies(control.out),
    }


def said(found: Mapping[str, Any]) -> str:
    gain = found["paired"]["greedy"]
    low, high = gain["ci"]
    return f"gold {found['gold']['mean']:.3f}, {gain['mean']:+.3f} [{low:+.3f}, {high:+.3f}], n {gain['n']}"


def tell(seed: int, found: Mapping[str, Any]) -> None:
    print(f"seed {seed}: SFT gold {found['sft']['gold']['mean']:.3f}")
    for what in ("held-out votes", "gold pairs"):
        row = found[what]
        shares = ", ".join(f"{name} {row[name]['mean']:.3f}" for name in ("votes", "longer", "shuffled"))
        ahead = ", ".join(
            f"{name} {row[name]['mean']:+.3f} [{row[name]['ci'][0]:+.3f}, {row[name]['ci'][1]:+.3f}]"
            for name in ("over longer", "over shuffled")
        )
        print(f"  {what} (n {row['votes']['n']}): {shares}; {ahead}")
    for what in ("ppo", "ppo, shuffled"):
        print(f"  {what}: {said(found[what])}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/people"))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--answers", type=int, choices=list(KINDS), default=4, help="that a vote orders")
    parser.add_argument("--choose", action="store_true", help="try the settings on seed 10 and town:test")
    asked = parser.parse_args()
    if asked.choose:
        choose(asked.out / "seed-10", asked.answers)
        return
    by_seed: dict[int, Any] = {}
    for seed in asked.seeds:
        by_seed[seed] = measure(asked.out / f"seed-{seed}", seed, asked.answers)
        (asked.out / "people.json").write_text(json.dumps(by_seed, indent=1))
        tell(seed, by_seed[seed])


if __name__ == "__main__":
    main()
