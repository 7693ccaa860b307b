"""Exercise 1: fine-tune a base model. You write three functions and your settings; README.md says the rest.

Shapes are in the names: B rows, T tokens of the longest, V words of the vocabulary.

    alignlab exercise grade ex1     any time, also with gaps
    alignlab exercise hint ex1      one step more of help with what fails first
    python run.py                   your fine-tuning, and five answers before and after
"""

from __future__ import annotations

from torch import Tensor


def loss_mask(ids: list[int], prompt_length: int, end_id: int) -> list[int]:
    """Which tokens of a chat are learnt: 1 on those of the answer, 0 on all others.

    An answer ends with the first end token behind the prompt, which is learnt too. The prompt holds end
    tokens of its own: one closes every turn. Behind the end a template may write more, and padding may
    follow, whose id is here that of the end token. An answer that was cut has no end token, and nothing
    behind it.

    Args:
        ids: the whole chat; the first `prompt_length` are the prompt.

    Returns:
        As many numbers as there are ids.
    """
    raise NotImplementedError


def token_logprobs(logits_BTV: Tensor, ids_BT: Tensor) -> Tensor:
    """The log-probability of each token, at its own place.

    Args:
        logits_BTV: what the model says at each place of the token that comes next.

    Returns:
        (B, T) in nats; 0 at the first place of each row, which nothing predicts.
    """
    raise NotImplementedError


def sft_loss(logprobs_BT: Tensor, mask_BT: Tensor, tokens: float) -> Tensor:
    """The loss of fine-tuning: minus the sum of log-probabilities of the learnt tokens, divided by `tokens`.

    Args:
        mask_BT: 1 on tokens that are learnt. Elsewhere `logprobs_BT` may be anything, infinite or no number.
        tokens: learnt tokens of the whole batch, of which these rows may be a part (a micro-batch).

    Returns:
        One number with a gradient.
    """
    raise NotImplementedError


def settings() -> dict:
    """What you fine-tune on, and how: {"data": ..., "lr": ..., "epochs": ...}.

    data: town:demos, town:demos-clean or shared (README.md says what they are); lr: of AdamW, at its peak;
    epochs: passes over the data, at most 4.
    """
    raise NotImplementedError
