"""InstructGPT: demonstrations, ranked completions, a reward model, PPO."""

from __future__ import annotations

from .. import stages
from .plan import GOLD, Plan, pretraining


def instructgpt(plan: Plan) -> None:
    """Ouyang et al. 2022, "Training language models to follow instructions with human feedback", figure 2;
    DPO and best-of-N beside it.

    Published: 13k demonstrations, 33k prompts with 4 to 9 ranked completions, 31k prompts for PPO; SFT for
    16 epochs, one epoch of the reward model, 256k episodes of PPO with kl_coef 0.02 and pretraining text
    mixed in (PPO-ptx, coefficient 27.8). Here: kl_coef 0.1, SFT and the reward model for 2 epochs; half of
    what is ranked is other people's. Left out: PPO-ptx unless `--ppo.ptx-coef` asks for it (docs/recipes.md
    says what it changes), pretraining text in the SFT that PPO starts from, averaged weights.
    """
    s = plan.settings

    # 1. supervised fine-tuning on demonstrations
    sft = plan.stage(
        "sft", stages.sft, model=plan.model, data="town:demos", count=s.demonstrations, settings=s.sft
    )
    plan.measure("base", plan.model)

    # 2. completions of the SFT model and of other people, ranked
    ranked = plan.stage(
        "collect",
        stages.collect,
        model=sft,
        data="town:prompts",
        count=s.prompts,
        annotator=s.annotator,
        others="town:crowd",
        settings=s.collect,
        gold=GOLD,
    )
    plan.measure("sft", sft, parent="base")

    # 3. a reward model; DPO needs none
    reward = plan.stage("reward", stages.reward, model=sft, data=ranked, settings=s.reward, gold=GOLD)
    dpo = plan.stage("dpo", stages.dpo, model=sft, data=ranked, settings=s.dpo)

    # 4. the policy against the reward model, with a KL penalty and with none at all (before the short stages:
    # it is long); the best of N samples
    on_policy = {"model": sft, "reward": reward, "data": "town:prompts", "count": s.ppo_prompts, "gold": GOLD}
    ppo = plan.stage("ppo", stages.ppo, settings=s.ppo, ptx=pretraining(s.ppo), **on_policy)
    hacked = (
        plan.stage(
            "ppo-unpenalised", stages.ppo, settings=s.unpenalised, ptx=pretraining(s.unpenalised), **on_policy
        )
        if s.hacking
        else None
    )
    best = plan.stage(
        "best-of-n",
        stages.best_of_n,
        model=sft,
        reward=reward,
        data=f"town:{plan.side}",
        count=s.eval.prompts,
        settings=s.best_of_n,
        gold=GOLD,
    )
    plan.measure("dpo", dpo, parent="sft")
    plan.measure("best_of_n", sft, parent="sft", completions=best)
    plan.measure("ppo", ppo, parent="sft")
    if hacked:
        plan.measure("unpenalised", hacked, parent="sft")
