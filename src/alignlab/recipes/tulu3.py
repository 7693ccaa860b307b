"""Tulu 3: SFT on a mixture, length-normalized DPO on AI feedback, then reinforcement learning from rewards
that a program verifies.
"""

from __future__ import annotations

from .. import stages
from .plan import GOLD, Plan, own_completions


def tulu3(plan: Plan) -> None:
    """Lambert et al. 2024, "Tulu 3: pushing frontiers in open language model post-training".

    Published: SFT on 939k demonstrations from many sources, 2 epochs; DPO with log-ratios divided by length
    (beta 5) on comparisons, on and off policy, labelled by GPT-4o, the best against a random worse one;
    RLVR: PPO whose reward is 10 where a program finds the answer right (GSM8K, MATH, IFEval) and 0
    elsewhere, kl_coef 0.05. Tulu 3.1 put GRPO in PPO's place, and so does this recipe: it needs no value
    model. Here the mixture is careless and clean demonstrations in equal parts, the labels are those of the
    simulated `town:ai`, and the program checks sums, single words, lists and the form of an answer
    (`town:verifiable`). Left out: other models' completions, a value model that starts from a reward model.
    """
    s = plan.settings
    learnt = s.rlvr.steps * s.rlvr.rollouts

    # 1. SFT on a mixture
    sft = plan.stage(
        "sft",
        stages.sft,
        model=plan.model,
        data="mix:1=town:demos+1=town:demos-clean",
        count=s.demonstrations,
        settings=s.sft,
    )
    plan.measure("base", plan.model)
    plan.measure("sft", sft, parent="base")

    # 2. AI feedback, and DPO on log-ratios per token
    ranked = plan.stage(
        "collect",
        stages.collect,
        model=sft,
        data="town:prompts",
        count=max(1, s.budget - learnt) // own_completions(s),
        annotator="town:ai",
        others="town:crowd",
        settings=s.collect,
        gold=GOLD,
    )
    dpo = plan.stage("dpo", stages.dpo, model=sft, data=ranked, settings=s.tulu3_dpo)
    plan.measure("dpo", dpo, parent="sft")

    # 3. rewards that a program verifies
    rlvr = plan.stage(
        "rlvr",
        stages.grpo,
        model=dpo,
        reward="",
        judge="town:verifiable",
        data="town:verifiable",
        settings=s.rlvr,
        gold=GOLD,
    )
    plan.measure("rlvr", rlvr, parent="dpo")
