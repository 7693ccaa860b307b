"""Log-probabilities and entropies of tokens."""

from __future__ import annotations

import torch
from torch import Tensor


def token_logprobs(logits_BTV: Tensor, ids_BT: Tensor, *, temperature: float = 1.0) -> Tensor:
    """log p(ids[t] | ids[<t]) at each position; position 0, which nothing predicts, is 0.

    The logits at t - 1 predict the token at t, so that everything that belongs to a token sits at the token's
    position.

    Args:
        logits_BTV: (B, T, V), unnormalized.
        ids_BT: (B, T), int64.
        temperature: of the distribution whose log-probability is wanted; logits are divided by it.

    Returns:
        (B, T) in nats, in the dtype of the logits.

    Raises:
        ValueError: temperature 0 or below; greedy decoding has no log-probabilities to learn from.
    """
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, not {temperature}")
    scaled = logits_BTV[:, :-1] if temperature == 1.0 else logits_BTV[:, :-1] / temperature
    chosen = scaled.gather(-1, ids_BT[:, 1:, None]).squeeze(-1)
    return torch.nn.functional.pad(chosen - scaled.logsumexp(-1), (1, 0))


def entropy(logits_BTV: Tensor, *, temperature: float = 1.0) -> Tensor:
    """H = -sum_v p_v log p_v of each position's distribution, in nats: (B, T, V) -> (B, T).

    Entry t is the distribution token t + 1 is drawn from: with a mask on tokens, pair `entropy[:, :-1]` with
    `mask[:, 1:]`.
    """
    log_p = (logits_BTV / temperature).log_softmax(-1)
    return -(log_p.exp() * log_p.clamp_min(torch.finfo(log_p.dtype).min)).sum(
        -1
    )  # makes 0 * log 0 a 0, not NaN
