"""PPO-ptx: pretraining text mixed into each update, to keep it in mind (Ouyang et al. 2022, equation 2)."""

from __future__ import annotations

import random
from collections.abc import Sequence

from torch import Tensor

from ..errors import ConfigError
from ..losses import sft_loss
from ..models import shards
from ..models.batch import pad
from ..models.chat import Rendered
from ..models.forward import token_logprobs_of
from ..models.policy import Policy, context_of
from ..run import derive_seed, ranks
from ..settings import PPOSettings


class PretrainingText:
    """Text that a policy learns beside; nothing where `ptx_coef` is 0.

    Args:
        rows: token ids of documents; longer ones are cut to the context.

    Raises:
        ConfigError: a weight, and no text.
    """

    def __init__(
        self, policy: Policy, rows: Sequence[Sequence[int]] | Tensor | None, settings: PPOSettings, seed: int
    ) -> None:
        if settings.ptx_coef and (rows is None or not len(rows)):
            raise ConfigError(
                f"ptx_coef = {settings.ptx_coef} without pretraining text",
                remedy="name the text, or set ptx_coef to 0",
            )
        self.policy, self.rows, self.settings, self.seed = policy, rows, settings, seed

    def gradients(self, *update: int) -> dict[str, float]:
        """The gradient of `ptx_coef` times the loss on some rows, added to the update's; `loss/ptx_avg`.

        Args:
            update: step, epoch and minibatch, from which the choice of rows follows.
        """
        if not self.settings.ptx_coef:
            return {}
        rows = [Rendered(ids, [1] * len(ids)) for ids in self.sample(derive_seed(self.seed, "ptx", *update))]
        count, value = float(sum(len(row.ids) - 1 for row in rows)), 0.0  # nothing predicts a row's first
        for part, counts in shards.parts(self.policy.model, [rows]):
            text = pad(part, self.policy.pad_id).to(self.policy.device)
            logprobs_BT = token_logprobs_of(self.policy.model, text)
            loss, _ = sft_loss(logprobs_BT, text.loss_mask_BT, denominator=count)
            (counts * self.settings.ptx_coef * loss).backward()
            value = counts * loss.item()
        return ranks.added({"loss/ptx_avg": value})

    def sample(self, seed: int) -> list[list[int]]:
        """The rows of one update."""
        assert self.rows is not None
        context = context_of(self.policy.model)
        chosen = random.Random(seed).sample(
            range(len(self.rows)), min(self.settings.ptx_batch, len(self.rows))
        )
        return [[int(token) for token in self.rows[i][:context]] for i in chosen]
