"""PPO against a reward model or any other judge, with or without a constraint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import names
from ..errors import ConfigError, UserError
from ..run import RunDir, derive_seed
from ..settings import PPOSettings
from .on_policy import reference_of
from .stage import Summary, train_policy, trainer

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
    check(reward or judge, cost, ptx, settings)
    start, prompts = names.models.model(model), names.data.read_data(data, "prompt", seed=seed, count=count)
    texts = names.data.read_data(ptx, "text", seed=seed) if ptx else None
    scorer = names.judges.scorer(reward, judge, settings.model, normalize=settings.normalize_scores)
    value_start = names.models.reward_members(reward)[0] if reward else start
    price = names.models.model(cost) if cost else None
    truth = names.judges.maybe_judge(gold)

    def train(run: RunDir, policy: Any) -> Summary:
        from ..data.checks import require_one_reading
        from ..models.chat import text_ids
        from ..models.load import load_reward_model

        reference, scores = reference_of(start, settings), scorer.load()
        value_model = load_reward_model(
            value_start.path,
            settings.model,
            adapter=settings.adapter,
            trainable=True,
            init_head=not reward,
            head_seed=derive_seed(seed, "value head"),
        )
        require_one_reading(policy.tokenizer, value_model.tokenizer, prompts.records, value_start.name)
        rows = [text_ids(policy.tokenizer, t.text) for t in texts.records] if texts else None
        return trainer("ppo")(
            run,
            policy,
            reference,
            value_model,
            prompts.records,
            settings,
            judge=constrained(scores, price, settings) if price else scores,
            gold=truth.load(),
            ptx_rows=rows and [ids for ids in rows if len(ids) > 1],  # one token alone predicts nothing
            seed=seed,
        )

    return train_policy(
        "ppo",
        "PPO",
        start,
        train,
        out=out,
        seed=seed,
        resume=resume,
        settings=settings,
        uses=[use for use in (value_start, price, prompts, texts, scorer, truth) if use],
        said=lambda summary: moved(summary, settings),
        gold=gold,
        judge=judge,
        reward=reward,
        cost=cost,
    )


def check(scorer: str, cost: str, ptx: str, settings: PPOSettings) -> None:
    """Raise UserError or ConfigError for names and settings that do not go together."""
    if not scorer:
        raise UserError(
            "ppo needs somebody who scores",
            remedy="--reward RUN, a run of `alignlab reward`, or --judge NAME",
        )
    plain = PPOSettings()
    for name in ("cost_limit", "cost_kind", "lambda_start", "lambda_lr", "lambda_max"):
        if getattr(settings, name) != getattr(plain, name) and not cost:
            raise ConfigError(
                f"{name} = {getattr(settings, name)}, but no cost model is named",
                remedy="--cost RUN, a run of `alignlab reward --safety 1`",
            )
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


def constrained(scores: Judge, cost: names.models.Model, settings: PPOSettings) -> LagrangeJudge:
    """The judge of constrained PPO. Raises UserError for a cost model whose zero means nothing."""
    from ..feedback.lagrange import LagrangeJudge
    from ..feedback.reward_model import RewardModelJudge
    from ..models.load import load_reward_model

    cost_model = load_reward_model(cost.path, settings.model)
    if not getattr(cost_model.model.config, "cost_model", False):
        raise UserError(
            f"{cost.name} is a reward model, not a cost model: its zero does not part safe from unsafe",
            where=cost.name,
            remedy="alignlab reward --safety 1 on data with safe and unsafe labels",
        )
    return LagrangeJudge(
        scores,
        RewardModelJudge(cost_model, normalize=False),
        limit=settings.cost_limit,
        kind=settings.cost_kind,
        start=settings.lambda_start,
        lr=settings.lambda_lr,
        maximum=settings.lambda_max,
    )


def moved(summary: Summary, settings: PPOSettings) -> str:
    """What a run did, in a line."""
    figures = [f"reward {summary['score_first']:.2f} -> {summary['score_last']:.2f}"]
    if "cost_last" in summary:
        limit = f"(limit {settings.cost_limit:g})"
        figures.append(f"cost {summary['cost_first']:.3f} -> {summary['cost_last']:.3f} {limit}")
    return ", ".join([*figures, f"KL {summary['kl_last']:.2f} nats per completion"])
