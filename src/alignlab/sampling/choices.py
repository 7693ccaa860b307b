"""How likely each of a few continuations is: where a verdict is read, from probabilities and never from
words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..errors import DataError, GuardStop
from ..models.chat import Rendered, completion_ids, prompt_ids, text_ids
from ..models.forward import completion_logprobs
from ..models.policy import Policy, context_of
from ..records import Prompt
from .endpoint import EndpointSampler
from .local import LocalSampler

Asked = Prompt | str
TOKENS = 8192  # asked in one forward pass, padding included


def choice_logprobs(
    reader: LocalSampler | EndpointSampler,
    asked: Sequence[Asked],
    choices: Sequence[str],
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[tuple[float, ...]]:
    """log P(choice | asked), in nats, of each choice after each prompt or beginning of a document: N rows of
    as many numbers as there are choices.

    They are not normalized among the choices: a sum far below 1 says that the model would answer something
    else. The tokens that all choices begin with count for none of them. An endpoint is asked for one token
    and its likeliest alternatives; see `EndpointSampler.choice_logprobs`.

    Raises:
        DataError: a prompt and choice that do not fit the model's context, by number. GuardStop:
            probabilities that are not finite.
        As `sample` for an endpoint.
    """
    if isinstance(reader, EndpointSampler):
        return reader.choice_logprobs(asked, choices, on_progress=on_progress)
    model, tokenizer = reader.model, reader.tokenizer
    context = context_of(model)
    rows: list[Rendered] = []
    for place, one in enumerate(asked):
        rows_of_one = _rows(tokenizer, one, choices)
        longest = max(len(row.ids) for row in rows_of_one)
        if longest > context:
            raise DataError(
                f"a question of {longest} tokens does not fit the model's context of {context}",
                where=f"number {place}",
                remedy="drop long prompts and answers before they are judged",
            )
        rows += rows_of_one
    pad_id = Policy(model, tokenizer, reader.name, model.device).pad_id
    width = len(choices)
    order = sorted(range(len(asked)), key=lambda i: -len(rows[i * width].ids))
    sums, done = torch.zeros(len(rows)), 0
    while done < len(order):
        count = max(1, TOKENS // (width * len(rows[order[done] * width].ids)))
        chunk: list[int] = []
        for i in order[done : done + count]:
            chunk += range(i * width, (i + 1) * width)
        sums[chunk] = completion_logprobs(model, [rows[i] for i in chunk], [range(len(chunk))], pad_id)
        done = min(done + count, len(order))
        if on_progress:
            on_progress(done, len(order))
    logprobs_NK = sums.view(len(asked), width)
    if not torch.isfinite(logprobs_NK).all():
        bad_N = (~torch.isfinite(logprobs_NK)).any(1)
        raise GuardStop(
            "the reader's probabilities are not finite",
            where=f"number {int(bad_N.nonzero()[0])}",
            remedy="weights from before they became so, or --model.precision fp32",
        )
    return [tuple(row) for row in logprobs_NK.double().tolist()]


def _rows(tokenizer: Any, asked: Asked, choices: Sequence[str]) -> list[Rendered]:
    """What is asked with each choice behind it: ids, and a mask that is 1 on what they do not share."""
    if isinstance(asked, Prompt):
        before = prompt_ids(tokenizer, asked)
        whole = [[*before, *completion_ids(tokenizer, asked, choice, finished=False)] for choice in choices]
    else:  # a document is tokenized whole, as it is read: a choice may melt into the end of what is asked
        before = text_ids(tokenizer, asked)
        whole = [text_ids(tokenizer, asked + choice) for choice in choices]
    compared = whole if len(whole) > 1 else [before, *whole]
    common = 0
    for ids in zip(*compared, strict=False):
        if len(set(ids)) > 1:
            break
        common += 1
    return [Rendered(ids, [0] * common + [1] * (len(ids) - common)) for ids in whole]
