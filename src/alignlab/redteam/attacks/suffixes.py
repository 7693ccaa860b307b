"""Attacks that look inside the model: a suffix is searched for that makes a wanted answer likely."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...errors import UserError
from ...records import Completion, Message, Prompt
from ...run import derive_seed
from ..attempt import Attempt, Budget, Goal
from ..session import Session
from ..target import local_sampler

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ...models.policy import Policy
    from .slot import Slot


class SuffixAttack:
    """What attacks that append a suffix share: what answer is aimed for, the search (`improve`), the question
    with what was found.

    The wanted answer is the goal's own (`target` in its meta, as AdvBench has it), else what the model says
    when it is made to begin with "First,".

    Args:
        length: tokens of the suffix; every: steps between two looks at whether it works by now.
    """

    name, family, needs = "", "automatic", ("gradients",)

    def __init__(self, length: int = 16, every: int = 10, begin: str = "First,") -> None:
        self.length, self.every, self.begin = length, every, begin

    def run(self, goals: Sequence[Goal], session: Session, budget: Budget, seed: int) -> list[Attempt]:
        from .slot import Slot, readable_tokens

        policy = policy_of(session, self.name)
        allowed = readable_tokens(policy)
        attempts: list[Attempt] = []
        for goal in goals:
            slot = Slot.of(
                policy, goal, str(goal.prompt.meta.get("target") or self.wanted(session, goal, seed))
            )
            what = (
                self.name,
                goal.id,
                policy.tokenizer.decode(slot.target),
                self.length,
                self.every,
                budget.steps,
                seed,
            )
            if not slot.survives(start := self.start(slot, allowed)):
                continue
            reached = session.remembered(
                what,
                lambda: self.search(
                    slot, allowed, start, session, budget, derive_seed(seed, self.name, goal.id)
                ),
            )  # noqa: B023
            session.charge(
                self,
                goal,
                reached["evaluations"],
                reached["evaluations"]
                * (len(slot.before) + self.length + len(slot.after) + len(slot.target)),
            )
            notes = {key: reached[key] for key in ("loss", "steps", "evaluations")}
            attempts += session.attempts(
                self,
                [goal],
                [slot.prompt(reached["suffix"])],
                seed=derive_seed(seed, self.name, goal.id, "ask"),
                notes=[notes],
            )
        return attempts

    def wanted(self, session: Session, goal: Goal, seed: int) -> str:
        """The first words of the answer that the model gives when it is begun for it."""
        answer = session.ask(
            [Prompt((*goal.prompt.messages, Message("assistant", self.begin)), goal.prompt.meta)], seed=seed
        )[0].text
        return " ".join(answer.split()[:8])

    def start(self, slot: Slot, allowed: Tensor) -> list[int]:
        """A suffix of one and the same token to begin with; one that is read back as it was written."""
        for mark in (" !", " x", " the", "!"):
            ids = slot.policy.tokenizer(mark * self.length, add_special_tokens=False)["input_ids"][
                : self.length
            ]
            if len(ids) == self.length and slot.survives(ids):
                return ids
        return [int(allowed[0])] * self.length

    def search(
        self, slot: Slot, allowed: Tensor, suffix: list[int], session: Session, budget: Budget, seed: int
    ) -> dict[str, Any]:
        """Better and better suffixes, until one works or the steps are used up."""
        import torch

        rng = torch.Generator().manual_seed(seed % 2**63)
        best, evaluations, step = float(slot.losses(torch.tensor([suffix]))[0]), 1, 0
        for step in range(1, budget.steps + 1):
            candidates = self.candidates(slot, allowed, suffix, rng)
            if not candidates:
                break
            losses_C = slot.losses(torch.tensor(candidates), tokens=self.aim(slot))
            evaluations += len(candidates)
            place = int(losses_C.argmin())
            if float(losses_C[place]) < best or self.always:
                suffix, best = candidates[place], float(losses_C[place])
            if step % self.every == 0:
                answer = session.target.sample([slot.prompt(suffix)], session.sampling, seed=seed)[0][0]
                evaluations += 1
                if session.verdicts([answer])[0].hit:
                    break
        return {"suffix": suffix, "loss": best, "steps": step, "evaluations": evaluations}

    always = (
        False  # the best of a step's candidates is taken even if it is worse than the suffix it came from
    )

    def aim(self, slot: Slot) -> int:
        """How many tokens of the wanted answer count; 0 = all."""
        return 0

    def candidates(
        self, slot: Slot, allowed: Tensor, suffix: list[int], rng: torch.Generator
    ) -> list[list[int]]:
        raise NotImplementedError


class GCG(SuffixAttack):
    """Greedy coordinate gradient (Zou et al. 2023, Universal and transferable adversarial attacks): of each
    place's `top` tokens by the gradient some swaps are tried at random, and the best is kept.

    Cost: `steps` times `batch` evaluations and a gradient. Needs: the model's gradients. A candidate whose
        text is read as other tokens is left out.
    """

    name, needs, always = "gcg", ("gradients",), True

    def __init__(
        self, length: int = 16, every: int = 10, begin: str = "First,", *, top: int = 64, batch: int = 96
    ) -> None:
        super().__init__(length, every, begin)
        self.top, self.batch = top, batch

    def candidates(
        self, slot: Slot, allowed: Tensor, suffix: list[int], rng: torch.Generator
    ) -> list[list[int]]:
        import torch

        gradient_SV, _ = slot.gradient(suffix)
        order_SK = (-gradient_SV.cpu()[:, allowed]).topk(min(self.top, len(allowed)), 1).indices
        places = torch.randint(len(suffix), (self.batch,), generator=rng).tolist()
        ranks = torch.randint(order_SK.shape[1], (self.batch,), generator=rng).tolist()
        made = []
        for place, rank in zip(places, ranks, strict=True):
            made.append([*suffix[:place], int(allowed[order_SK[place, rank]]), *suffix[place + 1 :]])
        return list(filter(slot.survives, made))


class RandomSearch(SuffixAttack):
    """Random search on a suffix for the likelihood of the answer's first word (Andriushchenko et al. 2024,
    adaptive attacks): some neighbouring tokens are replaced, and what is better is kept. Cost: `steps` times
    `batch` evaluations. Needs: the model's log-probabilities.
    """

    name, needs = "random-search", ("logprobs",)

    def __init__(
        self, length: int = 16, every: int = 10, begin: str = "First,", *, batch: int = 32, changed: int = 4
    ) -> None:
        super().__init__(length, every, begin)
        self.batch, self.changed = batch, changed

    def aim(self, slot: Slot) -> int:
        return 2

    def candidates(
        self, slot: Slot, allowed: Tensor, suffix: list[int], rng: torch.Generator
    ) -> list[list[int]]:
        import torch

        made = []
        for _ in range(self.batch):
            count = int(torch.randint(1, self.changed + 1, (1,), generator=rng))
            place = int(torch.randint(len(suffix) - count + 1, (1,), generator=rng))
            new = allowed[torch.randint(len(allowed), (count,), generator=rng)].tolist()
            made.append([*suffix[:place], *new, *suffix[place + count :]])
        return list(filter(slot.survives, made))


class EmbeddingAttack(SuffixAttack):
    """A suffix of free vectors, moved by the gradient (Schwinn et al. 2024, Soft prompt threats): how far the
    model's refusal goes if its input is no text at all. An upper bound: nobody can type such a suffix. Cost:
    `steps` gradients. Needs: the model's gradients and its embeddings.
    """

    name = "embedding"

    def __init__(self, length: int = 8, every: int = 10, begin: str = "First,", *, lr: float = 0.05) -> None:
        super().__init__(length, every, begin)
        self.lr = lr

    def run(self, goals: Sequence[Goal], session: Session, budget: Budget, seed: int) -> list[Attempt]:
        from .slot import Slot

        policy = policy_of(session, self.name)
        attempts: list[Attempt] = []
        for goal in goals:
            slot = Slot.of(
                policy, goal, str(goal.prompt.meta.get("target") or self.wanted(session, goal, seed))
            )
            reached = session.remembered(
                (self.name, goal.id, self.length, self.every, budget.steps, self.lr, seed),
                lambda: self.descend(slot, session, budget),
            )  # noqa: B023
            answer = Completion(goal.prompt, reached["text"], finished=reached["finished"])
            queries, tokens = session.charge(
                self,
                goal,
                reached["steps"],
                reached["steps"] * (len(slot.before) + self.length + len(slot.after) + len(slot.target)),
            )
            attempts.append(
                Attempt(
                    goal.id,
                    self.name,
                    self.family,
                    0,
                    Prompt(goal.prompt.messages, {**goal.prompt.meta, "wrapped": [self.name]}),
                    answer.text,
                    session.verdicts([answer])[0],
                    queries,
                    tokens,
                    goal.category,
                    answer.finished,
                    notes={"loss": reached["loss"], "steps": reached["steps"]},
                )
            )
        return attempts

    def descend(self, slot: Slot, session: Session, budget: Budget) -> dict[str, Any]:
        """Adam on the vectors, from the mean embedding; stops when the answer is what was wanted of it."""
        import torch

        weight = slot.policy.model.get_input_embeddings().weight.detach()
        suffix_SH = weight.mean(0, keepdim=True).repeat(self.length, 1).float().requires_grad_()
        optimizer = torch.optim.Adam([suffix_SH], lr=self.lr)
        loss, step, text, finished = 0.0, 0, "", True
        for step in range(1, budget.steps + 1):
            objective = slot.soft_loss(suffix_SH.to(weight.dtype))
            [suffix_SH.grad] = torch.autograd.grad(objective, [suffix_SH])
            optimizer.step()
            loss = float(objective.detach())
            if step % self.every == 0 or step == budget.steps:
                text, finished = self.written(
                    slot, suffix_SH.detach().to(weight.dtype), session.sampling.max_new_tokens
                )
                if session.verdicts([Completion(slot.goal.prompt, text, finished=finished)])[0].hit:
                    break
        return {"loss": loss, "steps": step, "text": text, "finished": finished}

    def written(self, slot: Slot, suffix_SH: Tensor, most: int) -> tuple[str, bool]:
        """The greedy answer after these vectors, and whether it ended."""
        import torch

        from ...models.chat_template import text_of
        from .slot import logits

        embedding, ends, ids = slot.policy.model.get_input_embeddings(), slot.policy.end_ids, list[int]()
        with torch.no_grad():
            sequence = slot.embedded(suffix_SH, target=False)
            while len(ids) < most:
                token = int(logits(slot.policy.model, 1, inputs_embeds=sequence)[0, -1].argmax())
                if token in ends:
                    return text_of(slot.policy.tokenizer, ids), True
                ids.append(token)
                sequence = torch.cat(
                    [sequence, embedding(torch.tensor([[token]], device=sequence.device))], 1
                )
        return text_of(slot.policy.tokenizer, ids), False


def policy_of(session: Session, attack: str) -> Policy:
    """The model behind a session's target, for attacks that look inside.

    Raises:
        UserError: the target is a server, a bot, or a model behind defences: there is nothing to look into.
    """
    from ...models.policy import Policy

    if not (sampler := local_sampler(session.target)):
        raise UserError(
            f"the attack {attack} looks inside the model, and this target shows nothing",
            where=session.identity,
            remedy="a model in this process, without a defence; or leave the attack out",
        )
    return Policy(sampler.model, sampler.tokenizer, session.identity, sampler.model.device)
