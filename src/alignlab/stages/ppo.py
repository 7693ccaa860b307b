"""PPO against a reward model or any other judge; with `cost` under a constraint, with `ptx` on old text too."""

from __future__ import annotations

from typing import Any, Unpack

from .. import names
from ..run import derive_seed
from ..settings import PPOSettings
from . import constraint
from . import ptx as pretraining
from .on_policy import Asked, Loaded, learn
from .stage import Summary


def ppo(*, settings: PPOSettings, ptx: str = "", cost: str = "", **asked: Unpack[Asked]) -> dict[str, Any]:
    """PPO against a reward model, with a KL penalty against the model it starts from.

    `judge` names another judge to optimize. The value model starts from the reward model (of an ensemble,
    from its first member) or, without one, from the policy under a new head.
    """
    reward, seed = asked.get("reward", ""), asked["seed"]
    constraint.check(cost, settings)
    price = names.models.model(cost) if cost else None
    texts = pretraining.read(ptx, settings, seed)
    value_start = names.models.reward_members(reward)[0] if reward else names.models.model(asked["model"])

    def train(loaded: Loaded) -> Summary:
        from ..data.checks import require_one_reading
        from ..methods import ppo
        from ..models.load import load_reward_model

        value_model = load_reward_model(
            value_start.path,
            settings.model,
            adapter=settings.adapter,
            trainable=True,
            init_head=not reward,
            head_seed=derive_seed(seed, "value head"),
        )
        tokenizer = loaded.policy.tokenizer
        require_one_reading(tokenizer, value_model.tokenizer, loaded.prompts, value_start.name)
        return ppo.train(
            loaded.run,
            loaded.policy,
            loaded.reference,
            value_model,
            loaded.prompts,
            settings,
            judge=constraint.constrained(loaded.judge, price, settings),
            gold=loaded.gold,
            ptx_rows=pretraining.rows(texts, tokenizer),
            seed=seed,
        )

    uses = [use for use in (value_start, price, texts) if use]
    options = {"cost": cost}
    return learn("ppo", "PPO", train, settings=settings, uses=uses, options=options, two_judges=True, **asked)
