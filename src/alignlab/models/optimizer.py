"""AdamW with fp32 master weights, a schedule, and a state that is a flat dictionary of tensors."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from ..run import ranks
from ..settings import OptimSettings
from . import shards
from .gradients import trained

MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what AdamW keeps of each weight


class MasterAdamW:
    """AdamW (Loshchilov and Hutter 2019) that keeps fp32 masters of bf16 weights, so that small updates are
    not rounded away.

    Gradients of bf16 weights are added up in fp32 and taken off the weights after each backward pass, so that
    micro-batches are not rounded either. Matrices decay, norms and biases do not. The learning rate rises
    over the warm-up and then follows the schedule.
    """

    def __init__(self, params: Iterable[nn.Parameter], settings: OptimSettings, total_steps: int) -> None:
        self.params = [p for p in params if p.requires_grad]
        self.settings, self.total, self.count = settings, max(1, total_steps), 0
        self.masters = [p.detach().float().clone() if p.dtype != torch.float32 else p for p in self.params]
        for p, master in zip(self.params, self.masters, strict=True):
            if master is p:
                trained(p)
            else:
                handle = p.register_post_accumulate_grad_hook(_into(weakref.ref(master)))
                weakref.finalize(master, handle.remove)
        kinds = set(map(shards.is_part, self.masters))
        assert len(kinds) <= 1, "a weight of a sharded model is not in parts"
        self.in_parts = kinds == {True}
        decay = [m for m in self.masters if m.ndim >= 2]
        rest = [m for m in self.masters if m.ndim < 2]
        groups = [
            {"params": decay, "weight_decay": settings.weight_decay},
            {"params": rest, "weight_decay": 0.0},
        ]
        self.adam = torch.optim.AdamW(
            [g for g in groups if g["params"]],
            lr=settings.lr,
            betas=(settings.beta1, settings.beta2),
            fused=True,
        )

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        s = self.settings
        warm = max(1, round(s.warmup * self.total)) if s.warmup > 0 else 0
        if self.count < warm:
            return s.lr * (self.count + 1) / warm
        done = min(1.0, (self.count - warm) / max(1, self.total - warm))
        return (
            s.lr
            * {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}[
                s.schedule
            ]
        )

    def step(self) -> float:
        """Add up what several processes have, clip, update, clear the gradients; returns the global norm of
        the gradients before clipping.
        """
        self._add_up()
        limit = self.settings.max_grad_norm or math.inf
        norm = torch.nn.utils.get_total_norm([m.grad for m in self.masters if m.grad is not None])
        norm = shards.whole(norm)
        # AdamW divides as it reads
        self.adam.grad_scale = (norm + 1e-6) / limit if norm > limit else None  # type: ignore[attr-defined]
        for group in self.adam.param_groups:
            group["lr"] = self.lr
        self.adam.step()
        with torch.no_grad():
            for p, master in zip(self.params, self.masters, strict=True):
                if master is not p:
                    p.copy_(master)
                master.grad = None
        self.count += 1
        return float(norm)

    def _add_up(self) -> None:
        """Gradients over all processes: a weight that any of them has a gradient for has one everywhere."""
        if ranks.size() == 1 or self.in_parts:  # as those of parts are already
            return
        has = torch.tensor([float(master.grad is not None) for master in self.masters])
        ranks.add_up([has])
        learnt = [master for master, count in zip(self.masters, has.tolist(), strict=True) if count]
        for master in learnt:
            if master.grad is None:
                master.grad = torch.zeros_like(master)
        ranks.add_up([master.grad for master in learnt if master.grad is not None])

    def state_tensors(self, prefix: str = "optim") -> dict[str, Tensor]:
        """Masters, moments and the step count, for `RunDir.save_state`."""
        tensors = {f"{prefix}.count": torch.tensor(self.count)}
        for i, master in enumerate(self.masters):
            if master is not self.params[i]:
                tensors[f"{prefix}.{i}.master"] = master
            tensors |= {f"{prefix}.{i}.{key}": value for key, value in self.adam.state[master].items()}
        return tensors

    def load_state_tensors(self, tensors: dict[str, Tensor], prefix: str = "optim") -> None:
        """The inverse of `state_tensors`; the weights themselves are loaded by the caller."""
        self.count = int(tensors[f"{prefix}.count"])
        with torch.no_grad():
            for i, master in enumerate(self.masters):
                if master is not self.params[i]:
                    master.copy_(shards.like(master, tensors[f"{prefix}.{i}.master"]))
                if f"{prefix}.{i}.exp_avg" in tensors:
                    step, *moments = (tensors[f"{prefix}.{i}.{key}"] for key in MOMENTS)
                    self.adam.state[master] = {
                        "step": step.to(master.device, copy=True),
                        **dict(zip(MOMENTS[1:], (shards.like(master, m) for m in moments), strict=True)),
                    }


def _into(master: weakref.ref[Tensor]) -> Callable[[Tensor], None]:
    """A hook that moves the gradient of a weight to its master, which it does not keep alive."""

    def move(p: Tensor) -> None:
        target = master()
        assert target is not None and p.grad is not None, "two optimisers train the same weight"
        target.grad = p.grad.float() if target.grad is None else target.grad.add_(p.grad)
        p.grad = None

    return move
