"""Stages that learn from the policy's own completions while it changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..errors import UserError
from ..run import writing
from ..settings import PPOSettings
from ._parts import card, done, open_run, result


def ppo(*, model: str, reward: str, data: str, gold: str, ptx: str, out: Path, seed: int, resume: bool, settings: PPOSettings,
        count: int = 0, judge: str = "") -> dict[str, Any]:
    """PPO against a reward model, with a KL penalty against the model it starts from.

    `judge` names another judge to optimise; the value model still starts from the reward model.
    """
    from ..feedback.reward_model import RewardModelJudge
    from ..methods import ppo as method
    from ..models.load import load_policy, load_reward_model, save_policy

    if not reward:
        raise UserError("ppo needs a reward model", remedy="--reward RUN, a run of `alignlab reward`")
    prompts = names.data(data, "prompt", seed=seed, count=count)
    texts = names.data(ptx, "text", seed=seed) if ptx and settings.ptx_coef else None
    run = open_run("ppo", out, settings, seed, resume, models=[model, reward], data=[prompts, *([texts] if texts else [])], gold=gold, judge=judge)
    if run.done:
        return done(run)
    policy = load_policy(names.model_path(model), settings.model, settings.adapter, trainable=True)
    reference = None if settings.adapter.rank else load_policy(names.model_path(model), settings.model)
    reward_path = names.model_path(reward)
    scorer = names.judge(judge) or RewardModelJudge(load_reward_model(reward_path, settings.model), normalise=settings.normalize_scores)
    value_model = load_reward_model(reward_path, settings.model, adapter=settings.adapter, trainable=True)
    rows = [policy.tokenizer(t.text)["input_ids"] for t in texts.records] if texts else None
    summary = method.train(run, policy, reference, value_model, prompts.records, settings, judge=scorer, gold=names.judge(gold), ptx_rows=rows, seed=seed)
    with writing(run.path):
        save_policy(policy, run.path / "checkpoint", card=card("PPO", model, data, seed, summary))
    run.finish(summary)
    return result(run, f"reward {summary['score_first']:.2f} -> {summary['score_last']:.2f}, KL {summary['kl_last']:.2f} nats a completion")
