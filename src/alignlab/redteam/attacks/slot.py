"""A prompt with a gap for a suffix, inside a model: losses of an answer after suffixes, and their
gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from ...data.wrappers import rewritten
from ...models.chat import completion_ids, prompt_ids, texts
from ...models.policy import Policy
from ...records import Prompt
from ..attempt import Goal


@dataclass(frozen=True)
class Slot:
    """A prompt with a gap for a suffix behind the user's words: ids before and after it, and those of the
    answer that is wanted.
    """

    policy: Policy
    goal: Goal
    before: list[int]
    after: list[int]
    target: list[int]

    @staticmethod
    def of(policy: Policy, goal: Goal, wanted: str) -> Slot:
        mark = "qzqzq"
        whole = texts(policy.tokenizer, rewritten(goal.prompt, f"{goal.text} {mark}"), "x")[0]
        before, _, after = whole.rpartition(mark)
        ids = lambda text: policy.tokenizer(text, add_special_tokens=False)["input_ids"]  # noqa: E731
        return Slot(
            policy,
            goal,
            ids(before.removesuffix(" ")),
            ids(after),
            completion_ids(policy.tokenizer, goal.prompt, wanted, finished=False),
        )

    def prompt(self, suffix: Sequence[int]) -> Prompt:
        """The prompt with this suffix, as text."""
        text = self.policy.tokenizer.decode(suffix, clean_up_tokenization_spaces=False)
        return rewritten(self.goal.prompt, f"{self.goal.text}{'' if text.startswith(' ') else ' '}{text}")

    def survives(self, suffix: Sequence[int]) -> bool:
        """Whether the text of the suffix is read as these very ids again."""
        return prompt_ids(self.policy.tokenizer, self.prompt(suffix)) == [*self.before, *suffix, *self.after]

    def ids(self, suffixes_CS: Tensor) -> Tensor:
        """(C, L) whole sequences, up to the end of the wanted answer."""
        count = len(suffixes_CS)
        before_CB = torch.tensor(self.before).expand(count, -1)
        rest_CR = torch.tensor([*self.after, *self.target]).expand(count, -1)
        return torch.cat([before_CB, suffixes_CS.cpu(), rest_CR], 1).to(self.policy.device)

    @torch.no_grad()
    def losses(self, suffixes_CS: Tensor, *, tokens: int = 0) -> Tensor:
        """(C,) mean negative log-likelihood, nats per token, of the wanted answer's first `tokens` tokens (0
        = all) after each suffix.
        """
        length = len(self.target)
        logits_CTV = logits(self.policy.model, length + 1, input_ids=self.ids(suffixes_CS))[:, :-1]
        wanted_CT = torch.tensor(self.target, device=self.policy.device).expand(len(suffixes_CS), -1)
        logp_CT = logits_CTV.float().log_softmax(-1).gather(-1, wanted_CT[..., None])[..., 0]
        return -logp_CT[:, : tokens or length].mean(1)

    def gradient(self, suffix: Sequence[int]) -> tuple[Tensor, float]:
        """(S, V) gradient of the loss by the one-hot rows of the suffix (Zou et al. 2023, section 2.2), and
        the loss.
        """
        embedding = self.policy.model.get_input_embeddings()
        onehot_SV = (
            torch.nn.functional.one_hot(torch.tensor(suffix), embedding.weight.shape[0])
            .to(embedding.weight.dtype)
            .to(self.policy.device)
            .requires_grad_()
        )
        loss = self.soft_loss(onehot_SV @ embedding.weight.detach())
        return torch.autograd.grad(loss, onehot_SV)[0], float(loss.detach())

    def embedded(self, suffix_SH: Tensor, *, target: bool = True) -> Tensor:
        """(1, L, H) the sequence with a suffix of vectors."""
        embedding = self.policy.model.get_input_embeddings()
        behind = [*self.after, *self.target] if target else self.after

        def vectors(ids: Sequence[int]) -> Tensor:
            return embedding(torch.tensor(ids, dtype=torch.long, device=self.policy.device)).detach()

        return torch.cat([vectors(self.before), suffix_SH, vectors(behind)])[None]

    def soft_loss(self, suffix_SH: Tensor) -> Tensor:
        """The loss of the wanted answer after a suffix of vectors."""
        length = len(self.target)
        logits_TV = logits(self.policy.model, length + 1, inputs_embeds=self.embedded(suffix_SH))[0, :-1]
        return torch.nn.functional.cross_entropy(
            logits_TV.float(), torch.tensor(self.target, device=self.policy.device)
        )


def logits(model: Any, last: int, **inputs: Tensor) -> Tensor:
    """Logits of the last positions alone, where the model can do so."""
    keep = {"logits_to_keep": last} if "logits_to_keep" in signature(model.forward).parameters else {}
    return model(**inputs, **keep, use_cache=False).logits[:, -last:]


def readable_tokens(policy: Policy) -> Tensor:
    """Ids of tokens that a suffix may be made of: printable ASCII, no marks of the template, and read back as
    they were when they stand side by side.
    """
    tokenizer, special = (
        policy.tokenizer,
        {*policy.tokenizer.all_special_ids, *policy.tokenizer.added_tokens_decoder},
    )
    size = min(policy.model.get_input_embeddings().weight.shape[0], len(tokenizer))
    texts = tokenizer.batch_decode([[i] * 3 for i in range(size)], clean_up_tokenization_spaces=False)
    again = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return torch.tensor(
        [
            i
            for i in range(size)
            if i not in special
            and texts[i].strip()
            and texts[i].isascii()
            and texts[i].isprintable()
            and again[i] == [i] * 3
        ]
    )
