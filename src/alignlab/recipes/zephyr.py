"""Zephyr: a small model taught by a large one, with AI feedback and no reward model."""

from __future__ import annotations

from .. import stages
from .plan import GOLD, Plan, own_completions


def zephyr(plan: Plan) -> None:
    """Tunstall et al. 2023, "Zephyr: direct distillation of LM alignment": distilled SFT, AI feedback, DPO.

    Published: one epoch of SFT on 200k dialogues written by GPT-3.5 (UltraChat); 64k prompts with four
    completions of various models scored by GPT-4 (UltraFeedback); DPO with beta 0.1 on the best against a
    random other one, 3 epochs. Here, with that DPO: the teacher is a larger model of the town that has seen
    clean demonstrations (or `--teacher MODEL`), the completions are the student's own and other people's,
    and the AI that scores them is the simulated `town:ai`: even-handed, fond of length, unable to check two
    hops and large sums. Left out: other models' completions; SFT has 2 epochs.
    """
    s = plan.settings

    # 1. a teacher, standing for somebody else's model
    teacher = s.teacher or plan.stage(
        "teacher", stages.sft, model="town-l", data="town:demos-clean", count=s.demonstrations, settings=s.sft
    )

    # 2. distilled SFT: the teacher's answers are the demonstrations
    written = plan.stage(
        "distil",
        stages.distilled_demonstrations,
        model=teacher,
        data="town:prompts",
        count=s.demonstrations,
        judge="",
        gold=GOLD,
        settings=s.distil,
    )
    sft = plan.stage("sft", stages.sft, model=plan.model, data=written, settings=s.sft)
    plan.measure("base", plan.model)
    plan.measure("sft", sft, parent="base")

    # 3. AI feedback, and DPO on it
    ranked = plan.stage(
        "collect",
        stages.collect,
        model=sft,
        data="town:prompts",
        count=s.budget // own_completions(s),
        annotator="town:ai",
        others="town:crowd",
        settings=s.collect,
        gold=GOLD,
    )
    dpo = plan.stage("dpo", stages.dpo, model=sft, data=ranked, settings=s.zephyr_dpo)
    plan.measure("dpo", dpo, parent="sft")
