"""Llama 3: rejection sampling, then DPO on the newest comparisons, in rounds."""

from __future__ import annotations

from dataclasses import replace

from .. import stages
from ..pipeline.runner import Joined, Stage
from .plan import GOLD, Plan, own_completions


def llama3(plan: Plan) -> None:
    """Grattafiori et al. 2024, "The Llama 3 herd of models", section 4.1 (figure 7).

    Published: six rounds; in each, people compare completions of the newest models, a reward model is
    trained on all comparisons, the best of 10 to 30 samples a prompt are learnt as demonstrations, and DPO
    (beta 0.1, with 0.2 of the chosen completions' negative log-likelihood per token) follows on the newest
    comparisons. Here: `--rounds` of the same, with that DPO. Left out: SFT anew from the base model and
    from other sources, editing by people, comparisons kept only where one answer is clearly better,
    end-of-turn tokens masked in DPO's loss, averaging of models; the best is one of
    `--rejection.per_prompt`, 8.
    """
    s = plan.settings
    asked = s.budget // s.rounds
    compared, selected = asked // 2 // own_completions(s), asked // 2 // s.rejection.per_prompt

    # 1. supervised fine-tuning
    sft = policy = plan.stage(
        "sft", stages.sft, model=plan.model, data="town:demos", count=s.demonstrations, settings=s.sft
    )
    plan.measure("base", plan.model)
    plan.measure("sft", sft, parent="base")

    rankings: list[Stage] = []
    parent = "sft"
    for number in range(1, s.rounds + 1):
        # 2. new comparisons with the newest policy; a reward model from all of them
        ranked = plan.stage(
            f"collect-{number}",
            stages.collect,
            model=policy,
            data="town:prompts",
            count=compared,
            seed=plan.seed_of(number),
            annotator=s.annotator,
            others="town:crowd",
            settings=s.collect,
            gold=GOLD,
        )
        rankings.append(ranked)
        reward = plan.stage(
            f"reward-{number}",
            stages.reward,
            model=sft,
            data=Joined(tuple(rankings)),
            settings=s.reward,
            gold=GOLD,
        )

        # 3. the best of n samples, learnt as demonstrations; then DPO on the newest comparisons
        chosen = plan.stage(
            f"rejection-{number}",
            stages.rejection,
            model=policy,
            reward=reward,
            judge="",
            data="town:prompts",
            count=selected,
            seed=plan.seed_of(number),
            settings=replace(s.rejection, rounds=1, prompts=selected),
            gold=GOLD,
        )
        plan.measure(f"rejection_{number}", chosen, parent=parent)
        policy = plan.stage(f"dpo-{number}", stages.dpo, model=chosen, data=ranked, settings=s.llama3_dpo)
        plan.measure(f"dpo_{number}", policy, parent=f"rejection_{number}")
        parent = f"dpo_{number}"
