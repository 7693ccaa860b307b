"""Constitutional AI: critiques and revisions, then feedback from an AI that reads the same principles."""

from __future__ import annotations

from .. import stages
from .plan import GOLD, Plan, pretraining


def constitutional(plan: Plan) -> None:
    """Bai et al. 2022, "Constitutional AI: harmlessness from AI feedback", figure 1.

    Published: a helpful-only RLHF model answers 182,831 red-team prompts, criticises and revises its
    answers up to four times under one of 16 principles each time; the pretrained model is fine-tuned on the
    revisions and on helpful answers (SL-CAI); it writes pairs of answers, which a model judges under one of
    16 principles (182,831 comparisons for harmlessness, beside 135,296 by people for helpfulness); a
    preference model is trained on those soft labels and the policy by RL against it (RL-CAI). Here:
    helpful-only SFT in place of RLHF; two revisions; a critic, the base model after some columns of the
    town's editor, in place of a large model with examples in its prompt; the same model judges; RL-CAI by
    PPO, and by DPO on the same labels. The pairs are drawn from its answers and the helpful-only model's,
    since its own hardly ever differ in harm. Left out: chain of thought in the labels (`--label.cot`),
    rounds of red teaming by people, a preference model pretrained on other comparisons.
    """
    s = plan.settings

    # 1. a model that helps with everything, harm included
    helpful = plan.stage(
        "sft-helpful",
        stages.sft,
        model=plan.model,
        data="town:demos-helpful",
        count=s.demonstrations,
        settings=s.sft,
    )
    critic = plan.stage("critic", stages.critic, model=plan.model, data="town:columns", settings=s.critic)
    plan.measure("base", plan.model)
    plan.measure("helpful", helpful, parent="base", topics=True)

    # 2. SL-CAI: its answers to red-team prompts, criticised and revised under the constitution; the base
    # model learns the revisions and its helpful answers
    revised = plan.stage(
        "revise",
        stages.revise,
        model=helpful,
        critic=critic,
        data="town:risky",
        count=s.red_team,
        constitution=s.constitution,
        helpful="town:fine",
        judge="",
        gold=GOLD,
        settings=s.revise,
    )
    sl_cai = plan.stage("sl-cai", stages.sft, model=plan.model, data=revised, settings=s.sl_cai)
    plan.measure("sl_cai", sl_cai, parent="helpful", topics=True)

    # 3. comparisons: for helpfulness by people who look at nothing else, for harmlessness by the judge who
    # reads the constitution
    asked = plan.stage(
        "collect-helpful",
        stages.collect,
        model=sl_cai,
        data="town:fine",
        count=s.compared,
        annotator="town:helpful-only",
        others="town:crowd",
        settings=s.collect,
        gold=GOLD,
    )
    labels = plan.stage(
        "label",
        stages.label_answers,
        model=sl_cai,
        beside=helpful,
        judge_model=critic,
        data="town:risky",
        count=s.labelled,
        constitution=s.constitution,
        helpful=asked,
        gold="town:harmless",
        settings=s.label,
    )

    # 4. RL-CAI: a preference model on the labels, PPO against it; DPO on the same labels
    reward = plan.stage("reward", stages.reward, model=sl_cai, data=labels, settings=s.reward, gold=GOLD)
    dpo = plan.stage("rl-cai-dpo", stages.dpo, model=sl_cai, data=labels, settings=s.dpo)
    rl_cai = plan.stage(
        "rl-cai",
        stages.ppo,
        model=sl_cai,
        reward=reward,
        data="mix:0.5=town:prompts+0.5=town:risky",
        count=s.ppo_prompts,
        ptx=pretraining(s.ppo),
        gold=GOLD,
        settings=s.ppo,
    )
    plan.measure("rl_cai_dpo", dpo, parent="sl_cai", topics=True)
    plan.measure("rl_cai", rl_cai, parent="sl_cai", topics=True)
