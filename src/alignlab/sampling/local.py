"""Sampling in process, for any attention-only causal model of transformers, built for a CPU and the same on
an accelerator.

Sequences live in the rows of a preallocated slab of keys and values (`slab`), which a reader of the model
fills (`reading`). A row whose sequence has ended is given to the next prompt, which is prefilled beside and
copied in; the completions of one prompt share one prefill.

Each completion draws from its own stream of uniforms, keyed by (seed, prompt index, completion index), by
inverse CDF: what is drawn does not depend on the number of slots, on who sits beside, or on which of several
workers it is asked of.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError, DataError, GuardStop, ModelError
from ..models import adapters, shards
from ..models.attention import use_plain_attention
from ..models.devices import BIG
from ..models.policy import Policy
from ..models.products import width
from ..records import Completion, Prompt
from . import Sampling
from .drawing import draw
from .reading import Reader, reader_of
from .slab import Rows, Slab, Writing
from .words import ids_of, said_in, text_behind

PREFILL_TOKENS = 4096  # prompts are prefilled together up to this many tokens, padding included


class LocalSampler:
    """Samples from a model in this process.

    Args:
        model: a causal model, or PEFT's wrapper of one. It is used as it is at each call, so training it in
            place needs no sync. On a CPU it is switched to `alignlab.models.attention`.
        tokenizer: of the model, with a chat template if prompts are messages.
        slots: sequences decoded side by side; 0 for `usual_slots`.
        end_ids: tokens that end a completion; by default those of `Policy.end_ids`.
        name: written into each completion as its source.

    Raises:
        ModelError: the model keeps a recurrent state, which a slab of keys and values does not hold.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        slots: int = 0,
        end_ids: frozenset[int] | set[int] | None = None,
        name: str = "",
    ) -> None:
        if slots < 0:
            raise ConfigError(f"slots must be at least 0, not {slots}")
        self.model: Any = None
        self.tokenizer, self.slots, self.name = tokenizer, slots or usual_slots(model), name
        self._slab: Any = None  # a `Slab`, once something was read
        self.sync(model)
        self.end_ids = (
            Policy(model, tokenizer, name, model.device).end_ids if end_ids is None else frozenset(end_ids)
        )

    @classmethod
    def of(cls, policy: Policy, *, slots: int = 0, name: str = "", documents: bool = False) -> Self:
        """The sampler of a policy: its model, its tokenizer, the tokens that end its turn; with `documents`
        the token that stands between two of them ends a completion too.
        """
        between = {policy.tokenizer.bos_token_id} - {None} if documents else set()
        ends = policy.end_ids | between
        return cls(policy.model, policy.tokenizer, slots=slots, end_ids=ends, name=name)

    def sync(self, model: Any) -> None:
        """Sample from this model from now on."""
        if model is self.model:
            return
        bare = adapters.bare(model)
        if getattr(bare, "_is_stateful", False):
            raise ModelError(
                f"{type(bare).__name__} keeps a recurrent state, which cannot be sampled from in slots",
                remedy="take a model of attention layers only",
            )
        if shards.is_sharded(bare):  # processes would take steps of different number, and wait for each other
            raise ConfigError(
                "a model whose weights are in parts does not write", remedy="without model.shard"
            )
        use_plain_attention(bare)
        self.model, self._slab = model, None
        self._reader: Reader = reader_of(model)

    def has_room(self, prompt: Prompt | list[int] | str, max_new_tokens: int) -> bool:
        """Whether the model's context holds the prompt and so many new tokens: what `sample` would refuse
        otherwise.
        """
        context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return not context or len(ids_of(self.tokenizer, prompt)) + max_new_tokens <= context

    def close(self) -> None:
        """Give the slab's memory back; the next call makes a new one."""
        self._slab = None

    def sample(
        self,
        prompts: Sequence[Prompt | list[int] | str],
        sampling: Sampling = Sampling(),
        *,
        seed: int = 0,
        first: int = 0,
        **changes: Any,
    ) -> list[list[Completion]]:
        """n completions of each prompt.

        Args:
            prompts: messages (if the last turn is the assistant's, it is gone on with), or for plain
                continuation token ids or text, which is opened by the tokenizer's begin token if it has one
                (the completions of those carry an empty `Prompt`).
            sampling: how many, how long, how random.
            seed: the same seed gives the same completions, whatever the number of slots.
            first: the place of the first of these prompts among all that share the seed: parts of a list that
                are sampled apart, anywhere and in any order, are what the whole is.
            changes: fields of the sampling, for those who write `sample(prompts, n=4)`.

        Returns:
            For each prompt, in order, its n completions: `ids` with the end token if one was written
            (`finished`), `logprobs` under the distribution they were drawn from, `text` without the end
            token but with every other special token, visibly.

        Raises:
            ConfigError: a temperature below 0, a top_p outside (0, 1], no token or completion asked for.
            DataError: a prompt is empty, or leaves no room for `max_new_tokens` in the model's context.
            GuardStop: the model's logits are not finite.
        """
        sampling = replace(sampling, **changes)
        sequences = self._sequences(prompts, sampling, seed, first)
        for _ in self._decode(sequences, sampling):
            pass
        read = {s.prompt: tuple(s.prompt_ids) for s in sequences}
        completions = [
            Completion(
                prompt if isinstance(prompt := prompts[s.prompt], Prompt) else Prompt(()),
                self._text(s),
                tuple(s.ids),
                tuple(s.logprobs),
                s.finished,
                self.name,
                prompt_ids=read[s.prompt],
            )
            for s in sequences
        ]
        n = sampling.n
        return [completions[i * n : (i + 1) * n] for i in range(len(prompts))]

    def stream(
        self, prompt: Prompt | list[int], sampling: Sampling = Sampling(), *, seed: int = 0
    ) -> Generator[str, None, None]:
        """The text of one completion in pieces, each as soon as no later token can change it.

        Together they are the text that `sample([prompt], ...)` gives for the same seed. Arguments and errors
        as in `sample`.
        """
        sequences = self._sequences([prompt], sampling, seed)
        said = ""
        (sequence,) = sequences
        for _ in self._decode(sequences, sampling):
            text = self._text(sequence)
            if not sequence.done:
                text = text.rstrip("\ufffd")  # bytes of a character whose rest is still to come
            if len(text) > len(said) and text.startswith(said):
                yield text[len(said) :]
                said = text

    def _text(self, sequence: Writing) -> str:
        """What was written: see `words.text_behind`."""
        return text_behind(self.tokenizer, sequence.said, sequence.ids, finished=sequence.finished)

    def _sequences(
        self, prompts: Sequence[Prompt | list[int] | str], sampling: Sampling, seed: int, first: int = 0
    ) -> list[Writing]:
        """The completions to be written, those of a prompt side by side, each with its own uniforms."""
        most = sampling.max_new_tokens
        context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        sequences = []
        for i, prompt in enumerate(prompts):
            ids, said = ids_of(self.tokenizer, prompt), said_in(self.tokenizer, prompt)
            if not ids:
                raise DataError(
                    "a prompt holds no tokens",
                    where=f"prompt {i}",
                    remedy="drop it, or begin it with the model's begin token",
                )
            if context and len(ids) + most > context:
                raise DataError(
                    (
                        f"a prompt of {len(ids)} tokens and {most} new ones do not fit the model's context "
                        f"of {context}"
                    ),
                    where=f"prompt {i}",
                    remedy="shorten or drop it, or lower max_new_tokens",
                )
            for j in range(sampling.n):
                stream = np.random.Philox(
                    key=seed % 2**64, counter=(first + i << 192) + (j << 128)
                )  # draws count up from the lowest bits
                sequences.append(
                    Writing(i, j, ids, np.random.Generator(stream).random(most, dtype=np.float32), said)
                )
        return sequences

    @torch.inference_mode()  # of a generator: on while it runs, off while its caller does
    def _decode(self, sequences: list[Writing], sampling: Sampling) -> Iterator[None]:
        """Write all sequences; yields after each prefill and each decode step.

        Rows are filled as soon as a quarter of them is free, and given up when nobody waits and fewer would
        do (see `models.products`). Long prompts go first: the newcomers of a prefill are then of similar
        length, and none is longer than a sequence that is already there.
        """
        if not sequences:
            return
        waiting = sorted(sequences, key=lambda s: (len(s.prompt_ids), -s.prompt, -s.completion))
        rows = Rows[Writing](width(min(self.slots, len(sequences))), self.model.device)
        lives = 1 if len(rows) >= len(sequences) else 2  # of a row, one after the other
        columns = len(waiting[-1].prompt_ids) + lives * sampling.max_new_tokens
        with _evaluating(self.model):
            self._reader = reader_of(self.model)
            while waiting or rows.live:
                free = rows.free
                if waiting and 4 * len(free) >= len(rows):
                    entering = [waiting.pop() for _ in free[: len(waiting)]]
                    logits_NV = self._prefill(entering, free, rows, columns)
                    self._extend(entering, logits_NV, sampling)
                    rows.enter(entering, free, self._slab.now)
                else:
                    if not waiting and width(len(rows.live)) < len(rows):
                        rows.tighten(self._slab, width(len(rows.live)))
                    logits_NV = self._step(rows)
                    rows.advance(self._extend(rows.sequences, logits_NV, sampling))
                rows.drop_done()
                yield

    def _prefill(
        self, entering: Sequence[Writing], free: Sequence[int], rows: Rows[Any], columns: int
    ) -> Tensor:
        """Read what newcomers have to read, longest first, into these rows of the slab; returns their
        next-token logits (N, V).
        """
        logits_NV: list[Tensor] = []
        begun = 0
        while begun < len(entering):
            longest = len(entering[begun].read)
            batch: dict[int, list[int]] = {}  # what is read, by number of the prompt
            sources = []
            for sequence in entering[begun:]:
                if sequence.prompt not in batch:
                    if batch and (len(batch) + 1) * longest > PREFILL_TOKENS:
                        break
                    batch[sequence.prompt] = sequence.read
                sources.append(list(batch).index(sequence.prompt))
            logits_PV, prefilled = self._reader.prefill(list(batch.values()))
            if self._slab is None or not self._slab.fits(prefilled, len(rows), columns):
                self._slab = Slab(prefilled, len(rows), columns)
            if not rows.live and not begun:
                self._slab.begin(len(rows), longest)
            self._slab.copy_in(prefilled, sources, free[begun : begun + len(sources)])
            logits_NV.append(logits_PV[sources])
            begun += len(sources)
        return torch.cat(logits_NV)

    def _step(self, rows: Rows[Any]) -> Tensor:
        """Logits (N, V) of the next token of each live sequence; the clock goes on by one column."""
        slab = self._slab
        slab.low = rows.first_column
        if slab.now == slab.columns:
            rows.move(-slab.compact())
        logits_NV = self._reader.step(rows, slab)
        slab.now += 1
        return logits_NV

    def _extend(self, sequences: Sequence[Writing], logits_NV: Tensor, sampling: Sampling) -> Tensor:
        """Draw the next token of each sequence; returns them, (N,)."""
        uniforms = np.array([s.uniforms[len(s.ids)] for s in sequences])
        uniforms_N = torch.from_numpy(uniforms).to(logits_NV.device)
        ids_N, logprobs_N = draw(
            logits_NV, uniforms_N, temperature=sampling.temperature, top_p=sampling.top_p
        )
        if not logprobs_N.isfinite().all():
            broken = sequences[int((~logprobs_N.isfinite()).nonzero()[0])]
            raise GuardStop(
                "the model's logits are not finite",
                where=f"prompt {broken.prompt}, new token {len(broken.ids)}",
                remedy="weights from before they became so, or --model.precision fp32",
            )
        ends = self.end_ids
        for sequence, token, logprob in zip(sequences, ids_N.tolist(), logprobs_N.tolist(), strict=True):
            sequence.ids.append(token)
            sequence.logprobs.append(logprob)
            if token in ends:
                sequence.finished = True
        return ids_N


def usual_slots(model: Any) -> int:
    """Sequences side by side, as is fast for the model. A step of a small one is calls more than arithmetic,
    and costs little more for 256 than for 64; for a large one it is arithmetic, and keys and values are what
    fills the memory.
    """
    return 256 if model.num_parameters() <= BIG else 64


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """The model in evaluation mode; afterwards each module is in the mode it was in."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
