"""Completions, and what they are worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from .. import names
from ..records import Completion, Ranking
from .data import Data, _prompts

if TYPE_CHECKING:
    from torch import Tensor

    from ..feedback import Judge
    from ..models.policy import Policy, RewardModel

Who: TypeAlias = "str | Callable[..., Any] | Judge | RewardModel"
"""Who scores: a judge by name, a function, a judge, a reward model."""


def answer(
    policy: Policy,
    asked: Data,
    *,
    n: int = 1,
    temperature: float = 0.0,
    max_new_tokens: int = 48,
    seed: int = 0,
) -> list[Completion]:
    """What a policy writes: n completions of each prompt, those of a prompt side by side.

    Args:
        asked: prompts, or whatever `prompts` takes.
        temperature: 0 takes the likeliest token each time.
        max_new_tokens: completions are cut here, the end token included; a cut one is not `finished`.

    Returns:
        Completions with text, token ids, and the log-probability of each id, in nats.

    Raises:
        ConfigError: a temperature below 0, or no token or completion asked for. DataError: a prompt that
            leaves no room for the answer. GuardStop: logits that are not finite.
    """
    from ..sampling import Sampling
    from ..sampling.local import LocalSampler

    sampling = Sampling(n, max_new_tokens, temperature)
    groups = LocalSampler.of(policy, name=policy.name).sample(_prompts(asked), sampling, seed=seed)
    return [completion for group in groups for completion in group]


def others(asked: Data, name: str = "town:crowd", *, per_prompt: int = 4, seed: int = 0) -> list[Completion]:
    """Completions of the prompts by others: the town's crowd, or data with answers to the same prompts."""
    given = _prompts(asked)
    by_prompt = names.data.other_completions(name, per_prompt=per_prompt, seed=seed).load()(given)
    return [completion for prompt in given for completion in by_prompt.get(prompt.id, ())]


def judge(who: Who) -> Judge:
    """Whoever scores: a judge by name (town:gold, reward:RUN, module:function), a function, a reward model.

    A function is called for each completion and gets, by name, what it asks for: `prompt`, `messages`,
    `completion`, `finished` (it ended by itself), and every other column of the prompt's row. It returns a
    number.

    Raises:
        UserError: a name that stands for no judge.
    """
    if isinstance(who, str):
        return names.judges.judge(who).load()
    if callable(getattr(who, "score", None)):
        return cast("Judge", who)
    if callable(who):
        from ..feedback.own import OwnJudge

        return OwnJudge(getattr(who, "__name__", type(who).__name__), who)
    from ..feedback.reward_model import RewardModelJudge

    return RewardModelJudge(cast("RewardModel", who))


def score(who: Who, completions: Sequence[Completion]) -> Tensor:
    """(N,) what a judge gives each completion; higher is better, in whatever unit the judge has.

    Raises:
        UserError: a name that stands for no judge. DataError: a function that failed, asked for a column that
            the row has not, or gave no finite number; with the row.

    >>> said = Completion(Prompt.user("Where?"), "By the well.")
    >>> score(lambda completion: len(completion.split()), [said])
    tensor([3.])
    """
    import torch

    return torch.tensor([score.value for score in judge(who).score(completions)])


def rank(completions: Sequence[Completion], by: Who, *, seed: int = 0) -> list[Ranking]:
    """The completions of each prompt, best first by rank: 1 is best, equal scores share a rank.

    Equal texts count once, and a prompt that has a single text left is not ranked. `Ranking.comparisons()`
    are the pairs, and `comparisons(rankings)` those of many.

    Args:
        by: an annotator by name (town:fair, pool:..., random), or whoever scores (`judge`).
        seed: of the annotator's noise.

    >>> prompt = Prompt.user("Where?")
    >>> said = [Completion(prompt, text) for text in ("By the well.", "There.", "By the well.")]
    >>> [ranking] = rank(said, lambda completion: -len(completion))
    >>> [(c.text, place) for c, place in zip(ranking.completions, ranking.ranks)]
    [('By the well.', 2), ('There.', 1)]
    """
    from ..collecting.collect import different, rank_all
    from ..feedback.annotators import SimulatedAnnotator

    if isinstance(by, str):
        annotator = names.people.annotator(by, seed=seed).load()
    else:
        scorer = judge(by)
        annotator = SimulatedAnnotator(scorer.name, scorer, weights={"value": 1.0}, temperature=0.0)
    by_prompt: dict[str, list[Completion]] = {}
    for completion in completions:
        by_prompt.setdefault(completion.prompt.id, []).append(completion)
    groups = [different(group, len(group)) for group in by_prompt.values()]
    return list(rank_all(annotator, [(i, group) for i, group in enumerate(groups) if len(group) > 1]))
