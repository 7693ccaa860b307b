"""PPO against a reward model or any other judge, with or without a constraint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import names
from ..errors import ConfigError, UserError
from ..run import derive_seed, writing
from ..settings import PPOSettings
from .stage import card, done, open_run, outside, result

if TYPE_CHECKING:
    from ..feedback import Judge
    from ..feedback.lagrange import LagrangeJudge


def ppo(
    *,
    model: str,
    reward: str,
    data: str,
    gold: str,
    ptx: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: PPOSettings,
    count: int = 0,
    judge: str = "",
    cost: str = "",
) -> dict[str, Any]:
    """PPO against a reward model, with a KL penalty against the model it starts from; with `cost`, a run of a
    cost model, under a constraint.

    `judge` names another judge to optimize. The value model starts from the reward model (of an ensemble,
    from its first member) or, without one, from the policy under a new head.
    """
    if not reward and not judge:
        raise UserError(
            "ppo needs somebody who scores",
            remedy="--reward RUN, a run of `alignlab reward`, or --judge NAME",
        )
    check_cost(cost, settings)
    if ptx and not settings.ptx_coef:
        raise ConfigError(
            f"--ptx {ptx} is named, but ptx_coef is 0: the text would not be read",
            remedy="--ptx_coef, the weight of its loss (InstructGPT: 27.8); or leave --ptx out",
        )
    if settings.ptx_coef and not ptx:
        raise ConfigError(
            f"ptx_coef = {settings.ptx_coef:g}, but no pretraining text is named",
            remedy="--ptx DATA, documents as text; or --ptx_coef 0",
        )
    prompts = names.data.read(data, "prompt", seed=seed, count=count)
    texts = names.data.read(ptx, "text", seed=seed) if ptx else None
    run = open_run(
        "ppo",
        out,
        settings,
        seed,
        resume,
        models=[model, *(names.models.reward_models(reward) if reward else []), *([cost] if cost else [])],
        data=[prompts, *([texts] if texts else [])],
        gold=gold,
        judge=judge,
        **({"reward": reward} if reward.startswith("ensemble:") else {}),
        **({"cost": cost} if cost else {}),
    )
    if run.done:
        return done(run)
    from ..data.checks import require_one_reading
    from ..methods import ppo as method
    from ..models.chat import text_ids
    from ..models.load import load_policy, load_reward_model, save_policy

    policy = load_policy(names.known.model_path(model), settings.model, settings.adapter, trainable=True)
    reference = None if settings.adapter.rank else load_policy(names.known.model_path(model), settings.model)
    scorer = (
        names.judges.judge(judge)
        if judge
        else names.judges.reward_judge(reward, settings.model, normalise=settings.normalize_scores)
    )
    if cost:
        scorer = constrained(scorer, cost, settings)
    start = names.models.reward_models(reward)[0] if reward else model
    value_model = load_reward_model(
        names.known.model_path(start),
        settings.model,
        adapter=settings.adapter,
        trainable=True,
        init_head=not reward,
        head_seed=derive_seed(seed, "value head"),
    )
    require_one_reading(policy.tokenizer, value_model.tokenizer, prompts.records, start)
    rows = (
        [ids for t in texts.records if len(ids := text_ids(policy.tokenizer, t.text)) > 1] if texts else None
    )  # one token alone predicts nothing
    after = outside(run, policy, model)
    summary = (
        method.train(
            run,
            policy,
            reference,
            value_model,
            prompts.records,
            settings,
            judge=scorer,
            gold=names.judges.maybe_judge(gold),
            ptx_rows=rows,
            seed=seed,
        )
        | after()
    )
    with writing(run.path):
        save_policy(policy, run.path / "checkpoint", card=card("PPO", model, data, seed, summary))
    run.finish(summary)
    priced = (
        f", cost {summary['cost_first']:.3f} -> {summary['cost_last']:.3f} (limit {settings.cost_limit:g})"
        if cost
        else ""
    )
    return result(
        run,
        (
            f"reward {summary['score_first']:.2f} -> {summary['score_last']:.2f}{priced}, KL "
            f"{summary['kl_last']:.2f} nats a completion"
        ),
    )


def check_cost(cost: str, settings: PPOSettings) -> None:
    """Raise ConfigError for settings of a constraint without one."""
    plain, s = PPOSettings(), settings
    turned = [
        name
        for name in ("cost_limit", "cost_kind", "lambda_start", "lambda_lr", "lambda_max")
        if getattr(s, name) != getattr(plain, name)
    ]
    if turned and not cost:
        raise ConfigError(
            f"{turned[0]} = {getattr(s, turned[0])}, but no cost model is named",
            remedy="--cost RUN, a run of `alignlab reward --safety 1`",
        )


def constrained(scorer: Judge, cost: str, settings: PPOSettings) -> LagrangeJudge:
    """The judge of constrained PPO. Raises UserError for a cost model whose zero means nothing."""
    from ..feedback.lagrange import LagrangeJudge
    from ..feedback.reward_model import RewardModelJudge
    from ..models.load import load_reward_model

    model = load_reward_model(names.known.model_path(cost), settings.model)
    if not getattr(model.model.config, "cost_model", False):
        raise UserError(
            f"{cost} is a reward model, not a cost model: its zero does not part safe from unsafe",
            where=cost,
            remedy="alignlab reward --safety 1 on data with safe and unsafe labels",
        )
    return LagrangeJudge(
        scorer,
        RewardModelJudge(model, normalise=False),
        limit=settings.cost_limit,
        kind=settings.cost_kind,
        start=settings.lambda_start,
        lr=settings.lambda_lr,
        maximum=settings.lambda_max,
    )
