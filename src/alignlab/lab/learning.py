"""Batches, and what a model says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias, cast

from ..errors import DataError
from ..records import Comparison, Completion, Demonstration, Ranking

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.batch import Batch
    from ..models.chat import Rendered
    from ..models.optimizer import MasterAdamW
    from ..models.policy import Policy, RewardModel

Item: TypeAlias = "Demonstration | Comparison | Ranking | Completion"
"""What becomes rows of a batch: one of its own, or one for each of its completions."""


def batch(model: Policy | RewardModel, items: Sequence[Item]) -> Batch:
    """Prompts and completions side by side, by the model's own chat template.

    A demonstration or a completion is one row (one that the policy wrote, by the very ids); a comparison two,
    the chosen one first; a ranking one for each of its completions.

    Returns:
        A `Batch`: `ids_BT`, and `loss_mask_BT`, 1 on the tokens of completions, with the end token of those
        that have one.

    Raises:
        DataError: a row that is longer than the model's context. ModelError: a tokenizer without a chat
            template.
    """
    return _padded(model, [row for item in items for row in _rows(model, item)])


def batches(
    model: Policy | RewardModel, items: Sequence[Item], size: int, *, epochs: int = 1, seed: int = 0
) -> Iterator[Batch]:
    """Batches of `size` items: each item once per epoch, items of similar length together, in an order that
    follows from the seed. Rows and errors as of `batch`.
    """
    from ..models.batch import by_length

    rows = [_rows(model, item) for item in items]
    lengths = [sum(len(row.ids) for row in group) for group in rows]
    for epoch in range(epochs):
        for chosen in by_length(lengths, size, seed, epoch):
            yield _padded(model, [row for i in chosen for row in rows[i]])


def logprobs(policy: Policy, batch: Batch) -> Tensor:
    """(B, T) log-probability of each token where `loss_mask_BT` is 1, in nats and fp32; 0 elsewhere.

    `.sum(1)` is that of the completion. It has gradients: put it under `torch.no_grad()` for a model that is
    only asked.
    """
    from ..models.forward import token_logprobs_of

    return token_logprobs_of(policy.model, batch)


def pair_scores(model: RewardModel, rankings: Sequence[Ranking]) -> tuple[Tensor, Tensor]:
    """(P,) and (P,) raw scores of the better and the worse completion of every pair that is no tie, all pairs
    of a ranking among them (Ouyang et al. 2022, section 3.5); for `losses.bradley_terry_loss`.
    """
    import torch

    from ..models.forward import laid_out, last_scores
    from ..records import pairs_of

    rows = [row for ranking in rankings for row in _rows(model, ranking)]
    scores_N = last_scores(model.model, laid_out(model.model, rows, model.pad_id))
    better: list[Tensor] = []
    worse: list[Tensor] = []
    for scores_K, ranking in zip(
        scores_N.split([len(ranking.ranks) for ranking in rankings]), rankings, strict=True
    ):
        first, second = pairs_of(ranking.ranks)
        better.append(scores_K[first])
        worse.append(scores_K[second])
    return torch.cat(better), torch.cat(worse)


def adam(model: Policy | RewardModel, lr: float, steps: int) -> MasterAdamW:
    """AdamW over the weights that train (Loshchilov and Hutter 2019): masters in fp32, 5 % of the steps to
    warm up, then a cosine to 0, gradients clipped to a norm of 1.

    `.step()` updates, clears the gradients and returns their norm before clipping.

    Args:
        lr: the peak learning rate; about 1e-4 for a model of the town, 1e-6 to 2e-5 for larger ones
            (docs/methods.md).
        steps: how many steps there will be.
    """
    from ..models.optimizer import MasterAdamW
    from ..settings import OptimSettings

    return MasterAdamW(model.model.parameters(), OptimSettings(lr=lr), steps)


def _rows(model: Policy | RewardModel, item: Item) -> list[Rendered]:
    """The rows of one item: one for each of its completions."""
    from ..models.chat import Rendered, example

    tokenizer = model.tokenizer
    if isinstance(item, Demonstration):
        return [example(tokenizer, item.prompt, item.completion)]
    if isinstance(item, Comparison):
        from ..models.pairs import encode

        return list(encode(cast("Policy", model), item))
    if isinstance(item, Ranking):
        return [example(tokenizer, item.prompt, c.text, finished=c.finished) for c in item.completions]
    if item.prompt_ids:
        before, after = list(item.prompt_ids), list(item.ids)
        return [Rendered([*before, *after], [0] * len(before) + [1] * len(after))]
    return [example(tokenizer, item.prompt, item.text, finished=item.finished)]


def _padded(model: Policy | RewardModel, rows: Sequence[Rendered]) -> Batch:
    from ..models.batch import pad
    from ..models.policy import context_of

    longest, context = max(len(row.ids) for row in rows), context_of(model.model)
    if longest > context:
        raise DataError(
            f"a row of {longest} tokens does not fit the model's context of {context}",
            remedy="shorten the prompt or the completion, or leave the row out",
        )
    return pad(rows, model.pad_id).to(model.device)
