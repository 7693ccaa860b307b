"""What is right in exercise 1, in float64, and what those write who have misunderstood a line of it.

Each name in `but` stands for one such line. Equation: Ouyang et al. 2022, section 3.5, step 1, as
`losses.sft_loss` has it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from ...grade.exercise import NOTHING, Function

END, AFTER = 1, 2  # ids of the drawn chats: the end token, and what a template writes behind it
TOLERANCE = 1e-5


def loss_mask(ids: list[int], prompt_length: int, end_id: int, *, but: frozenset[str] = NOTHING) -> list[int]:
    """1 from behind the prompt up to the first end token after it, that token included."""
    first = prompt_length + ("first-token-is-left-out" in but)
    if "prompt-is-learnt" in but:
        first = 0
    if "pad-is-the-end" in but:
        return [int(place >= first and token != end_id) for place, token in enumerate(ids)]
    stop = next((i for i in range(prompt_length, len(ids)) if ids[i] == end_id), len(ids))
    last = stop - ("end-is-left-out" in but)
    return [int(first <= place <= last) for place in range(len(ids))]


def token_logprobs(logits_BTV: Tensor, ids_BT: Tensor, *, but: frozenset[str] = NOTHING) -> Tensor:
    """(B, T): log p(ids[t] | ids[<t]), from the logits at t - 1; 0 at the first place, which nothing
    predicts.
    """
    axis = 2
    if "softmax-over-the-batch" in but:
        axis = 0
    if "softmax-over-time" in but:
        axis = 1
    back = 1 - ("not-shifted" in but) + ("shifted-twice" in but)
    tokens = ids_BT.shape[1]
    log_p_BTV = logits_BTV[:, : tokens - back].log_softmax(axis)
    found_BT = log_p_BTV.gather(2, ids_BT[:, back:, None]).squeeze(2)
    return torch.nn.functional.pad(found_BT, (back, 0))


def sft_loss(logprobs_BT: Tensor, mask_BT: Tensor, tokens: float, *, but: frozenset[str] = NOTHING) -> Tensor:
    """Minus the sum of log p over the learnt tokens, divided by the count that the caller gives."""
    learnt_BT = logprobs_BT.masked_fill(mask_BT == 0, 0.0)
    if "times-mask" in but:
        learnt_BT = logprobs_BT * mask_BT
    count: Any = tokens
    if "mean-over-everything" in but:
        count = mask_BT.numel()
    if "own-count" in but:
        count = mask_BT.sum()
    if "divided-by-rows" in but:
        count = len(mask_BT)
    return learnt_BT.sum() / count * (1 if "sign" in but else -1)


# --- inputs


def _whole(g: Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, (), generator=g))


def draw_chat(g: Generator) -> dict[str, Any]:
    """A chat of one turn or of two, each closed by the end token. Behind the answer a template may write
    more, and padding may follow, which is the end token again; an answer that was cut has no end and nothing
    behind it.
    """
    turns: list[int] = []
    for _ in range(1 + _whole(g, 0, 1)):
        turns += [*(_whole(g, 3, 9) for _ in range(_whole(g, 1, 2))), END]
    answer = [_whole(g, 3, 9) for _ in range(_whole(g, 2, 3))]
    behind = [END, *[AFTER] * _whole(g, 0, 1), *[END] * _whole(g, 0, 2)]
    cut = _whole(g, 0, 3) == 0
    ids = [*turns, *answer] if cut else [*turns, *answer, *behind]
    return {"ids": ids, "prompt_length": len(turns), "end_id": END}


def draw_logits(g: Generator) -> dict[str, Any]:
    logits_BTV = 3 * torch.randn(3, 4, 5, generator=g, dtype=torch.float64)
    return {"logits_BTV": logits_BTV, "ids_BT": torch.randint(5, (3, 4), generator=g)}


def _learnt(g: Generator) -> tuple[Tensor, Tensor]:
    """Log-probabilities, and a mask of one learnt token or more a row, padding behind most of them."""
    mask_BT = torch.zeros(3, 4, dtype=torch.float64)
    for row in mask_BT:
        first = _whole(g, 1, 2)
        row[first : first + _whole(g, 1, 2)] = 1.0
    return -torch.randn(3, 4, generator=g, dtype=torch.float64).abs() - 0.1, mask_BT


def draw_batch(g: Generator) -> dict[str, Any]:
    """A batch, or one of several micro-batches: then the count is that of all of them. Where nothing is
    learnt anything may stand: numbers, minus infinity, what is no number.
    """
    logprobs_BT, mask_BT = _learnt(g)
    kinds = torch.tensor([-7.0, -torch.inf, torch.nan], dtype=torch.float64)
    if _whole(g, 0, 1):
        junk_BT = kinds[torch.randint(3, mask_BT.shape, generator=g)]
        logprobs_BT = torch.where(mask_BT == 0, junk_BT, logprobs_BT)
    others = _whole(g, 0, 1) * _whole(g, 3, 12)
    return {"logprobs_BT": logprobs_BT, "mask_BT": mask_BT, "tokens": float(mask_BT.sum()) + others}


# --- what is asked for

MASK = Function(
    "loss_mask",
    loss_mask,
    draw_chat,
    ("prompt-is-learnt", "end-is-left-out", "first-token-is-left-out", "pad-is-the-end"),
)
LOGPROBS = Function(
    "token_logprobs",
    token_logprobs,
    draw_logits,
    ("not-shifted", "shifted-twice", "softmax-over-the-batch", "softmax-over-time"),
    gradient="logits_BTV",
    tolerance=TOLERANCE,
)
LOSS = Function(
    "sft_loss",
    sft_loss,
    draw_batch,
    ("sign", "mean-over-everything", "own-count", "divided-by-rows", "times-mask"),
    gradient="logprobs_BT",
    tolerance=TOLERANCE,
)
