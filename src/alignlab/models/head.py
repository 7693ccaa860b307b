"""The head of a language model and the log-softmax over its vocabulary as one step, which never holds the
logits of all tokens at once.

Over a large vocabulary the logits outgrow all else: autograd would keep them, their log-softmax and the
gradients of both. Here they live for a piece of the tokens at a time; what the backward pass needs of them,
softmax less the one-hot target, is kept once (up to `KEPT` numbers, then computed again), and the gradient of
each log-probability, a scale of its row, goes onto the hidden states instead of onto that large matrix.
"""

from __future__ import annotations

import math
import weakref
from typing import Any

import torch
from torch import Tensor, nn

from .gradients import kept
from .products import add_product, linear, product, widened

PIECE = 2**23  # logits that are held together
KEPT = 2**25  # numbers kept for the backward pass

_plain: weakref.WeakKeyDictionary[nn.Module, bool] = weakref.WeakKeyDictionary()


def head_of(model: nn.Module) -> nn.Linear | None:
    """The output layer, if the model's logits are what it gives and nothing is done to them (a softcap, a
    scale): asked of the model, once.

    None also for a head that is more than a linear layer, an adapter's for instance.
    """
    head = model.get_output_embeddings()  # type: ignore[operator]
    if type(head) is not nn.Linear:
        return None
    if model not in _plain:
        seen: list[Any] = []
        hook = head.register_forward_hook(lambda _, inputs, output: seen.append(output))
        device = head.weight.device
        try:  # drawing nothing: a run that goes on asks at another step, and its dropout must not notice
            with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
                logits = model(
                    input_ids=torch.zeros(1, 2, dtype=torch.long, device=device), use_cache=False
                ).logits
        finally:
            hook.remove()
        _plain[model] = (
            len(seen) == 1 and seen[0].shape == logits.shape and bool(seen[0].equal(logits.to(seen[0].dtype)))
        )
    return head if _plain[model] else None


def head_logprobs(
    hidden_NH: Tensor, head: nn.Linear, targets_N: Tensor, *, temperature: float = 1.0, told: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """log softmax(W h / temperature)[target] of N hidden states, with gradients for hidden states, weight and
    bias.

    Args:
        hidden_NH: (N, H); targets_N: (N,) int64.
        told: whether entropy and agreement are wanted too.

    Returns:
        Each (N,), in fp32: log-probability in nats; and, detached, the entropy in nats and 1 where the target
        is the likeliest token (0 unless `told`).
    """
    count, learns = len(targets_N), torch.is_grad_enabled()
    hidden_NH, targets_N = widened(hidden_NH), widened(targets_N)
    found = _HeadLogprobs.apply(hidden_NH, head.weight, head.bias, targets_N, temperature, told, learns)
    logprobs_N, entropy_N, correct_N = (x_N[:count] for x_N in found)
    return logprobs_N, entropy_N, correct_N


class _HeadLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_NH: Tensor,
        weight_VH: Tensor,
        bias_V: Tensor | None,
        targets_N: Tensor,
        temperature: float,
        told: bool,
        learns: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        count, vocabulary = len(hidden_NH), len(weight_VH)
        step = 2 ** int(math.log2(max(1, PIECE // vocabulary)))  # a power of two: few shapes of products
        room = KEPT // vocabulary // step * step if learns and any(ctx.needs_input_grad) else 0
        kept_KV = weight_VH.new_empty(min(room, count), vocabulary)
        logprobs_N, entropy_N, correct_N = (hidden_NH.new_zeros(count, dtype=torch.float32) for _ in range(3))
        for start in range(0, count, step):
            rows = slice(start, min(start + step, count))
            into = kept_KV[rows] if start < len(kept_KV) else None
            log_p, weights, mass, likeliest = _softmax(hidden_NH[rows], weight_VH, bias_V, temperature, into)
            logprobs_N[rows] = chosen = log_p.gather(1, targets_N[rows, None]).squeeze(1) - mass.log()
            if told:
                lowest = torch.finfo(log_p.dtype).min  # makes 0 * log 0 a 0, not NaN
                entropy_N[rows] = mass.log() - log_p.clamp_min_(lowest).mul_(weights).sum(-1) / mass
                correct_N[rows] = (likeliest == targets_N[rows]).float()
            if into is not None:
                into.copy_(_less_target(weights, mass, targets_N[rows], chosen))
        ctx.save_for_backward(hidden_NH, weight_VH, bias_V, targets_N, logprobs_N, kept_KV)
        ctx.temperature, ctx.step = temperature, step
        ctx.mark_non_differentiable(entropy_N, correct_N)
        return logprobs_N, entropy_N, correct_N

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """With d = softmax - one-hot, row by row: dL/dlogits = -g d / temperature. The row's scale is moved
        onto the hidden states.
        """
        hidden_NH, weight_VH, bias_V, targets_N, logprobs_N, kept_KV = ctx.saved_tensors
        scale_N1 = (-gradients[0] / ctx.temperature).to(hidden_NH.dtype)[:, None]
        of_hidden = torch.empty_like(hidden_NH) if ctx.needs_input_grad[0] else None
        known = kept(weight_VH) if ctx.needs_input_grad[1] else None  # a gradient to add to
        of_weight = known
        if known is None and ctx.needs_input_grad[1] and not len(hidden_NH):
            of_weight = torch.zeros_like(weight_VH)
        of_bias = torch.zeros_like(bias_V) if ctx.needs_input_grad[2] else None
        scaled_NH = hidden_NH * scale_N1
        stored = len(kept_KV)
        for start in [0] * bool(stored) + list(range(stored, len(hidden_NH), ctx.step)):
            rows = slice(start, stored if start < stored else start + ctx.step)
            if start < stored:
                away = kept_KV
            else:
                _, weights, mass, _ = _softmax(hidden_NH[rows], weight_VH, bias_V, ctx.temperature, None)
                away = _less_target(weights, mass, targets_N[rows], logprobs_N[rows]).to(weight_VH.dtype)
            if of_hidden is not None:
                of_hidden[rows] = product(away, weight_VH).mul_(scale_N1[rows])
            if of_weight is None and ctx.needs_input_grad[1]:
                of_weight = product(away.t(), scaled_NH[rows])
            elif of_weight is not None:
                add_product(of_weight, away.t(), scaled_NH[rows])
            if of_bias is not None:
                of_bias += (scale_N1[rows].t() @ away).squeeze(0)
        return of_hidden, of_weight if known is None else None, of_bias, None, None, None, None


def _softmax(
    hidden_nH: Tensor, weight_VH: Tensor, bias_V: Tensor | None, temperature: float, into: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits less their row's maximum, their exponentials (in `into` if it is fp32), the sums of those, and
    where the maximum is.
    """
    logits = linear(hidden_nH, weight_VH)
    logits = (logits if bias_V is None else logits.add_(bias_V)).float()
    if temperature != 1.0:
        logits /= temperature
    top, likeliest = logits.max(-1, keepdim=True)
    logits -= top
    weights = (
        torch.exp(logits, out=into) if into is not None and into.dtype == torch.float32 else logits.exp()
    )
    return logits, weights, weights.sum(-1), likeliest.squeeze(1)


def _less_target(weights: Tensor, mass: Tensor, targets: Tensor, logprobs: Tensor) -> Tensor:
    """softmax - one-hot, in place. At the target it is expm1(log p): exact where p is nearly 1."""
    weights /= mass[:, None]
    return weights.scatter_(1, targets[:, None], torch.expm1(logprobs)[:, None])
