"""The toy: prompts, four tokens, completions of three of them, and a policy that is a table of logits.

A table is (P, S, V): for each prompt and each prefix the logits of the next token. The task scores
completions; which are the best it does not say.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Task:
    """What a policy is trained on.

    Attributes:
        prompts, vocabulary, length: P, V, T.
        beta: the weight of the KL penalty.
    """

    def __init__(self, reward_PC: Tensor, ref_PSV: Tensor, beta: float, length: int) -> None:
        self._reward_PC, self._ref_PSV = reward_PC, ref_PSV
        self.prompts, _, self.vocabulary = ref_PSV.shape
        self.length, self.beta = length, beta

    def reference(self) -> Tensor:
        """(P, S, V): the table of the reference, yours to copy; training starts there."""
        return self._ref_PSV.clone()

    def logits(self, table_PSV: Tensor, prompts_B: Tensor, ids_Bt: Tensor) -> Tensor:
        """(B, t + 1, V): as a language model gives them.

        Place 0 holds the logits of the first token, place k those of the token after ids_Bt[:, :k]. With
        all T tokens there is a place after the end too, which nothing is drawn from.
        """
        v, (rows, tokens) = self.vocabulary, ids_Bt.shape
        number_B, offset, found = torch.zeros_like(prompts_B), 0, []
        for place in range(tokens + 1):
            if place == self.length:
                found.append(torch.zeros(rows, v, dtype=table_PSV.dtype))
                break
            found.append(table_PSV[prompts_B, offset + number_B])
            if place < tokens:
                number_B, offset = number_B * v + ids_Bt[:, place], offset + v**place
        return torch.stack(found, 1)

    def score(self, prompts_B: Tensor, ids_BT: Tensor) -> Tensor:
        """(B,): the reward of whole completions."""
        number_B = torch.zeros_like(prompts_B)
        for place in range(self.length):
            number_B = number_B * self.vocabulary + ids_BT[:, place]
        return self._reward_PC[prompts_B, number_B]
