"""Runs a student's `train` in his process, and looks on: what was scored, what went into his functions.

It says what it saw (`saw`), and judges nothing.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor

_place = importlib.util.spec_from_file_location("toy", Path(__file__).parent / "given" / "toy.py")
assert _place is not None and _place.loader is not None
toy = importlib.util.module_from_spec(_place)
_place.loader.exec_module(toy)
EVERY = 8  # steps from one table that is kept to the next


class Watched(toy.Task):
    """The toy, with everything kept that a reader of the training would want to see."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.table: Tensor | None = None
        self.tables: list[Tensor] = []
        self.first: dict[str, Tensor] = {}
        self.steps = self.backwards = self.kept = 0
        self._looked_at: dict[int, Tensor] = {}

    def logits(self, table_PSV: Tensor, prompts_B: Tensor, ids_Bt: Tensor) -> Tensor:
        if self.table is None or not torch.equal(table_PSV.to(self._ref_PSV.dtype), self._ref_PSV):
            self.table = table_PSV
        if table_PSV.is_leaf and table_PSV.requires_grad and id(table_PSV) not in self._looked_at:
            self._looked_at[id(table_PSV)] = table_PSV
            self._look_at(table_PSV)
        return super().logits(table_PSV, prompts_B, ids_Bt)

    def _look_at(self, table: Tensor) -> None:
        """Counts the gradients that stand in the table though it has moved since: they were never cleared."""
        came, version = torch.zeros_like(table), -1

        def comes(gradient: Tensor) -> None:
            nonlocal came, version
            came = came + gradient.detach() if version == table._version else gradient.detach().clone()
            version = table._version

        def stands(table: Tensor) -> None:
            self.backwards += 1
            self.kept += not torch.allclose(table.grad, came, rtol=1e-6, atol=1e-12)  # type: ignore[arg-type]

        table.register_hook(comes)
        table.register_post_accumulate_grad_hook(stands)

    def score(self, prompts_B: Tensor, ids_BT: Tensor) -> Tensor:
        table = self._ref_PSV if self.table is None else self.table
        if not self.first:
            now = table.detach().clone()
            self.first = {"prompts_B": prompts_B.clone(), "ids_BT": ids_BT.clone(), "table_PSV": now}
        if self.steps % EVERY == 0:
            self.tables.append(table.detach().clone())
        self.steps += 1
        return super().score(prompts_B, ids_BT)


def drive(student: ModuleType, given: dict[str, Any]) -> dict[str, Any]:
    """{"table_PSV", "tables", "saw"} of a training with a student's functions."""
    task = Watched(given["reward_PC"], given["ref_PSV"], given["beta"], given["length"])
    settings = SimpleNamespace(**given["settings"])
    saw: dict[str, Any] = {"old_has_gradient": False, "first_gap": 0.0, "losses": 0, "shaped": 0}
    seen_step = -1

    def watched_loss(logp_BT: Tensor, old_BT: Tensor, *rest: Any) -> Tensor:
        nonlocal seen_step
        saw["losses"] += 1
        saw["old_has_gradient"] = saw["old_has_gradient"] or old_BT.requires_grad
        if seen_step != task.steps:  # the first minibatch of this batch
            seen_step = task.steps
            gap = (logp_BT - old_BT).detach().abs().max().item()
            saw["first_gap"] = max(saw["first_gap"], gap)
            saw.setdefault("logp_BT", logp_BT.detach().clone())
        return loss(logp_BT, old_BT, *rest)

    def watched_rewards(
        scores_B: Tensor, logp_BT: Tensor, ref_BT: Tensor, mask_BT: Tensor, beta: float
    ) -> Tensor:
        saw["shaped"] += 1
        saw["beta"] = float(beta)
        saw["reference_gap"] = (logp_BT - ref_BT).detach().abs().max().item()
        return rewards(scores_B, logp_BT, ref_BT, mask_BT, beta)

    loss, rewards = student.policy_loss, student.shaped_rewards
    student.policy_loss, student.shaped_rewards = watched_loss, watched_rewards  # type: ignore[attr-defined]
    try:
        torch.manual_seed(settings.seed)
        table = student.train(task, settings)
    finally:
        student.policy_loss, student.shaped_rewards = loss, rewards  # type: ignore[attr-defined]
    if not isinstance(table, Tensor):
        raise TypeError("train gives back no table")
    saw |= {"steps": task.steps, "backwards": task.backwards, "kept": task.kept}
    return {
        "table_PSV": table.detach(),
        "tables": torch.stack(task.tables) if task.tables else table.detach()[None][:0],
        "first": task.first,
        "saw": saw,
    }
