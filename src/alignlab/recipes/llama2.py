"""Llama 2: a helpfulness and a safety reward model, rejection sampling, then PPO, in rounds."""

from __future__ import annotations

from dataclasses import replace

from .. import stages
from ..pipeline.runner import Joined, Stage
from .plan import GOLD, Plan, own_completions, pretraining


def llama2(plan: Plan) -> None:
    """Touvron et al. 2023, "Llama 2: open foundation and fine-tuned chat models", sections 3.2 to 3.4.

    Published: 27,540 demonstrations; over a million comparisons, collected weekly with the newest model, by
    separate instructions for helpfulness and for safety; two reward models; five rounds, the first four by
    rejection sampling alone (the best of up to 100 samples a prompt), the last also by PPO (kl_coef 0.01
    for 7B and 13B) against the safety score on tagged prompts and where it is below 0.15, and the
    helpfulness score elsewhere. Here: `--rounds` of comparisons and rejection sampling (the best of 8),
    every reward model from all comparisons so far, its scores centred at 0, then PPO with kl_coef 0.1. Left
    out: margins by degree of preference, other comparisons mixed into either reward model, samples kept
    from all earlier rounds, a larger model's samples, ghost attention, context distillation.
    """
    s = plan.settings
    each = (
        s.budget - s.ppo.steps * s.ppo.rollouts
    ) // s.rounds  # completions a round: half to be compared, half to select from
    compared, selected = each // 4 // own_completions(s), each // 2 // s.rejection.per_prompt

    # 1. supervised fine-tuning
    sft = policy = plan.stage(
        "sft", stages.sft, model=plan.model, data="town:demos", count=s.demonstrations, settings=s.sft
    )
    plan.measure("base", plan.model)
    plan.measure("sft", sft, parent="base")

    rankings: dict[str, list[Stage]] = {"helpful": [], "safe": []}
    parent = "sft"
    for number in range(1, s.rounds + 1):
        # 2. comparisons by two kinds of people, completions by the newest policy; a reward model from all
        # that each kind has said
        rewards = {}
        for kind, annotator, asked in (
            ("helpful", "town:helpful-only", "town:prompts"),
            ("safe", "town:harm-only", "town:risky"),
        ):
            ranked = plan.stage(
                f"collect-{kind}-{number}",
                stages.collect,
                model=policy,
                data=asked,
                count=compared,
                seed=plan.seed_of(number),
                annotator=annotator,
                others="town:crowd",
                settings=s.collect,
                gold=GOLD,
            )
            rankings[kind].append(ranked)
            rewards[kind] = plan.stage(
                f"reward-{kind}-{number}",
                stages.reward,
                model=sft,
                data=Joined(tuple(rankings[kind])),
                settings=replace(s.reward, center=s.reward.center or 0.01),
                gold=GOLD,
            )
        judge = Joined((rewards["helpful"], rewards["safe"]), "gated:")

        # 3. the best of n samples, learnt as demonstrations
        policy = plan.stage(
            f"rejection-{number}",
            stages.rejection,
            model=policy,
            reward="",
            judge=judge,
            data="town:prompts",
            count=selected,
            seed=plan.seed_of(number),
            settings=replace(s.rejection, rounds=1, prompts=selected),
            gold=GOLD,
        )
        plan.measure(f"rejection_{number}", policy, parent=parent)
        parent = f"rejection_{number}"

    # 4. PPO from the last of them
    ppo = plan.stage(
        "ppo",
        stages.ppo,
        model=policy,
        reward=rewards["helpful"],
        judge=judge,
        data="town:prompts",
        count=s.ppo_prompts,
        ptx=pretraining(s.ppo),
        settings=s.ppo,
        gold=GOLD,
    )
    plan.measure("ppo", ppo, parent=parent)
