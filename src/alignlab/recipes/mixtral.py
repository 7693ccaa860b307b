"""Mixtral, as its instruct model was made: SFT, then DPO on paired feedback."""

from __future__ import annotations

from .. import stages
from .plan import GOLD, Plan, own_completions


def mixtral(plan: Plan) -> None:
    """Jiang et al. 2024, "Mixtral of experts", section 4: supervised fine-tuning on an instruction dataset,
    then DPO on a paired feedback dataset.

    Published: that, and neither sizes, sources, nor settings. So both datasets are the town's usual ones here
    (people's demonstrations, people's rankings), and DPO is that of `instructgpt`, on one random pair per
    prompt. Nothing of the paper is left out but the mixture of experts, which is no matter of alignment.
    """
    s = plan.settings

    # 1. supervised fine-tuning on demonstrations
    sft = plan.stage(
        "sft", stages.sft, model=plan.model, data="town:demos", count=s.demonstrations, settings=s.sft
    )
    plan.measure("base", plan.model)
    plan.measure("sft", sft, parent="base")

    # 2. paired feedback, and DPO on it: no reward model
    ranked = plan.stage(
        "collect",
        stages.collect,
        model=sft,
        data="town:prompts",
        count=s.budget // own_completions(s),
        annotator=s.annotator,
        others="town:crowd",
        settings=s.collect,
        gold=GOLD,
    )
    dpo = plan.stage("dpo", stages.dpo, model=sft, data=ranked, settings=s.dpo)
    plan.measure("dpo", dpo, parent="sft")
