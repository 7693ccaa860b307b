"""Forward passes as the methods need them: log-probabilities of tokens, scores at the last token, values at
each.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear
from transformers import LlamaForCausalLM

from ..run import ranks
from . import adapters, llama, shards
from .batch import Batch, Layout, lay_out
from .chat import Rendered
from .head import head_logprobs, head_of

# times the hidden size: a layer multiplies a token by about 12 hidden^2 weights, and each key by 2 hidden
KEYS_A_TOKEN = 6
ATTENTION = {
    "full_attention",
    "sliding_attention",
    "chunked_attention",
}  # kinds of layer that look where a mask says
ENTROPY_ROWS = 256  # tokens whose entropy is taken together: a piece of (rows, V) that is gone again at once


@dataclass(frozen=True, slots=True)
class TokenStats:
    """What one forward pass says about the tokens trained on; all (B, T), 0 where the loss mask is 0.

    `entropy_BT` and `correct_BT` (1 where the token was the likeliest) are detached.
    """

    logprobs_BT: Tensor
    entropy_BT: Tensor
    correct_BT: Tensor


def token_logprobs_of(model: Any, batch: Batch, *, temperature: float = 1.0) -> Tensor:
    """(B, T) log-probabilities, in nats and fp32, of the tokens trained on; 0 where the loss mask is 0 and at
    position 0.

    Logits are computed only where the loss mask is 1, and a piece at a time: over a large vocabulary they are
    the larger part of work and memory. Equal to `losses.token_logprobs` on all logits times the mask, in
    values and in gradients.
    """
    return _predicted(model, batch, temperature, told=False).logprobs_BT


def token_stats(model: Any, batch: Batch, *, temperature: float = 1.0) -> TokenStats:
    """`token_logprobs_of`, and from the same forward pass the entropy (nats) and the top-1 agreement of each
    token trained on.
    """
    return _predicted(model, batch, temperature, told=True)


@torch.no_grad()
def completion_logprobs(
    model: Any, rows: Sequence[Rendered], batches: Sequence[Sequence[int]], pad_id: int
) -> Tensor:
    """(N,) log-probability of each row's completion, in nats and fp32, under the model as it is and without
    dropout, on the CPU.

    Args:
        batches: the rows that share a forward pass, by index; a row that is in none of them gets 0.
    """
    training = model.training
    model.eval()
    sums = torch.zeros(len(rows))
    for batch in batches:
        layout = laid_out(model, [rows[i] for i in batch], pad_id)
        sums[batch] = layout.back(token_logprobs_of(model, layout.batch)).sum(1).float().cpu()
    model.train(training)
    return sums


def seed_dropout(seed: int) -> None:
    """What is drawn from now on follows from the seed. `torch.manual_seed` also keeps, for each kind of
    accelerator that is not there, the call and where it came from: three milliseconds, and memory. Processes
    that share a step draw apart.
    """
    seed = seed + ranks.rank()
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def last_scores(model: Any, layout: Layout) -> Tensor:
    """(N,) the score, fp32, at the last token of each row of a layout."""
    return _scores(model, layout.batch, layout.ends_N)


def laid_out(model: Any, rows: Sequence[Rendered], pad_id: int) -> Layout:
    """Rows as this model reads them with the least work: prompts shared and pieces packed, if it
    `takes_a_mask` for them.
    """
    plain = adapters.bare(model)
    told = takes_a_mask(model, max(len(row.ids) for row in rows))
    return lay_out(
        rows, pad_id, key_cost=KEYS_A_TOKEN * plain.config.get_text_config().hidden_size if told else 0.0
    ).to(plain.device)


def takes_a_mask(model: Any, longest: int) -> bool:
    """Whether the model can be told what each token may look at, in rows of at most `longest` tokens.

    It can if all its layers are attention through transformers' interface (no convolution, no recurrence, no
    fixed mask of its own), with positions that are handed to it, and no row is longer than a window that a
    layer looks through: one mask then stands for all layers.
    """
    plain = adapters.bare(model)
    config = plain.config.get_text_config()
    windows = [
        window
        for name in ("sliding_window", "attention_chunk_size")
        if (window := getattr(config, name, None))
    ]
    return (
        getattr(plain, "_supports_attention_backend", False)
        and not getattr(plain, "_is_stateful", False)
        and "position_ids" in accepted(type(plain))
        and set(getattr(config, "layer_types", None) or ()) <= ATTENTION
        and longest <= min(windows, default=sys.maxsize)
    )


def value_BT(model: Any, batch: Batch) -> Tensor:
    """The value, fp32, of the state in which each token trained on was chosen: (B, T), the head at t - 1 set
    at t, as log-probabilities are; 0 elsewhere.
    """
    return batch.placed(_scores(model, batch, batch.sources_N))


def _predicted(model: Any, batch: Batch, temperature: float, *, told: bool) -> TokenStats:
    """The tokens trained on, N of them, under the distributions they were drawn from.

    The model's head is handed only the hidden states that predict such a token. Where the model's logits are
    what a linear head gives, head and log-softmax are one step (`models.head`); elsewhere the logits (N, V)
    come out of the model's own forward pass, with all that the architecture does to them.
    """
    plain, targets_N = adapters.bare(model), batch.targets_N
    head = None if shards.is_sharded(plain) else head_of(plain)
    if head is not None and type(plain) is LlamaForCausalLM:
        hidden_NH = _states(model, batch, batch.sources_N, head=head.weight)
    else:
        hidden_NH, logits_NV = _before_the_head(plain, batch, read=head is None)
    if head is not None:
        found = head_logprobs(hidden_NH, head, targets_N, temperature=temperature, told=told)
    else:
        log_p_NV = (logits_NV.float() if temperature == 1.0 else logits_NV.float() / temperature).log_softmax(
            -1
        )
        fixed_NV = log_p_NV.detach()
        lowest = torch.finfo(fixed_NV.dtype).min  # makes 0 * log 0 a 0, not NaN
        entropy_N = (
            torch.cat(
                [-(rows.exp() * rows.clamp_min(lowest)).sum(-1) for rows in fixed_NV.split(ENTROPY_ROWS)]
            )
            if told
            else fixed_NV[:, 0] * 0
        )
        found = (
            log_p_NV.gather(-1, targets_N[:, None]).squeeze(-1),
            entropy_N,
            (fixed_NV.argmax(-1) == targets_N).to(fixed_NV.dtype),
        )
    return TokenStats(*map(batch.placed, found))


def _before_the_head(plain: Any, batch: Batch, *, read: bool) -> tuple[Tensor, Tensor]:
    """The hidden states (N, H) that the model hands its head where a token trained on is predicted, and the
    logits (N, V) that come of them, with all that the architecture does to them; none of either kind of work
    for other tokens. The head itself is asked only if its logits are to be `read`.
    """
    hidden: list[Tensor] = []

    def only_sources(_: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        hidden.append(inputs[0].flatten(0, 1).index_select(0, batch.sources_N))
        return hidden[0] if read else hidden[0][:0], *inputs[1:]

    hook = plain.get_output_embeddings().register_forward_pre_hook(only_sources)
    try:
        logits = _forward(plain, batch).logits
    finally:
        hook.remove()
    return hidden[0], logits


def _states(model: Any, batch: Batch, at_N: Tensor, *, head: Tensor | None = None) -> Tensor:
    """(N, H): the body's last hidden states at places of the flattened (B, T), for a head of this weight."""
    body = adapters.bare(model).base_model
    if llama.reads(body, batch.ids_BT.shape[1]):
        mask = batch.additive(body.dtype)
        return llama.hidden_states(body, batch.ids_BT, batch.position_ids_BT, mask, at_N, head=head)
    return _forward(body, batch).last_hidden_state.flatten(0, 1).index_select(0, at_N)


def _scores(model: Any, batch: Batch, at_N: Tensor) -> Tensor:
    """(N,) what the scalar head says at places of the flattened (B, T), in fp32 whatever the weights are in:
    bf16 has three digits, and scores are told apart by less.
    """
    plain = adapters.bare(model)
    if not shards.is_sharded(plain):
        hidden_NH = _states(model, batch, at_N)
        return linear(hidden_NH.float(), plain.score.weight.float()).squeeze(-1)
    scores: list[Tensor] = []  # of each token: what the model's own forward pass makes of them is let go
    hook = plain.score.register_forward_hook(lambda _, inputs, output: scores.append(output))
    try:
        _forward(plain, batch)
    finally:
        hook.remove()
    return scores[0].flatten().index_select(0, at_N)


def _forward(module: Any, batch: Batch) -> Any:
    """One pass without a cache; a module that takes no positions (ALiBi) gets none."""
    known = accepted(type(module))
    given = {
        **batch.model_inputs(module.dtype),
        "output_router_logits": False,
    }  # the loss that balances experts is none of ours
    found = module(**{name: value for name, value in given.items() if name in known}, use_cache=False)
    if shards.is_sharded(module) and not torch.is_grad_enabled():
        shards.let_go(module)
    return found


@cache
def accepted(kind: type) -> frozenset[str]:
    """The arguments that the forward pass of a kind of module takes."""
    return frozenset(signature(kind.forward).parameters)
