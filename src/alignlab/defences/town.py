"""What the filters know unless they are told otherwise: the town's harms, its ordinary requests, its base model.
The one place in which a defence knows the town.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache

from ..records import Prompt
from .reading import Words, windowed_surprise


@cache
def filters() -> tuple[Words, Words]:
    """Filters of prompts and of answers, learned on the town's harms and look-alikes of training, and on its
    ordinary requests.
    """
    from ..town import answers, tasks, world

    town, rng = world.build(), random.Random(0)

    def asked(kinds: tuple[str, ...], count: int) -> list[Prompt]:
        requests = tasks.requests(town, count, split="train", seed=1, kinds=kinds, distinct=True)
        return [request.prompt() for request in requests]

    def said(prompt: Prompt, flaws: dict[str, float]) -> str:
        return answers.demonstrate(town, tasks.Request.of(prompt), rng, answers.CLEAN | flaws).text

    harmful = asked(("harmful",), 200)
    harmless = asked(("how_to", "look_alike"), 400)
    harmless += asked(("fact", "advice", "claim", "list", "two_hop"), 100)
    return (
        Words([prompt.text for prompt in harmful], [prompt.text for prompt in harmless]),
        Words(
            [said(prompt, {"complies": 1.0}) for prompt in harmful], [said(prompt, {}) for prompt in harmless]
        ),
    )


@cache
def surprise() -> tuple[Callable[[Sequence[str]], list[float]], float]:
    """The surprise of the shipped town model and the highest that any of 1000
    of the town's own requests has: none of these is blocked.
    """
    from ..models.load import load_policy
    from ..models.policy import context_of
    from ..settings import ModelSettings
    from ..town import base, sets, world

    policy = load_policy(base.shipped("town"), ModelSettings())
    policy.model.eval()

    def surprise(texts: Sequence[str]) -> list[float]:
        return windowed_surprise(policy.model, policy.tokenizer, texts, context=context_of(policy.model))

    known = sets.load(world.build(), "prompts", count=1000)
    return surprise, max(surprise([prompt.text for prompt in known if isinstance(prompt, Prompt)]))
