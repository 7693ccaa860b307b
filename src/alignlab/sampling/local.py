"""Sampling in process, for any attention-only causal model of transformers, built for a CPU and the same on
an accelerator.

Sequences live in the rows of a preallocated key-value slab. All rows share one clock: at time t every row
writes column t, and a sequence that began later occupies the columns [start, t) all the same, so a decode
step is one slice copy and the 2D mask of left padding, which every architecture understands. A row whose
sequence has ended is given to the next prompt, which is prefilled beside and copied in; the completions of
one prompt share one prefill.

Each completion draws from its own stream of uniforms, keyed by (seed, prompt index, completion index), by
inverse CDF: what is drawn does not depend on the number of slots or on who sits beside.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import Cache, CacheLayerMixin

from ..errors import ConfigError, DataError, GuardStop, ModelError
from ..models.attention import use_plain_attention
from ..models.chat import completion_ids, open_turn, prompt_ids, text_ids
from ..models.load import Policy
from ..records import Completion, Prompt
from . import Sampling

PREFILL_TOKENS = 4096  # prompts are prefilled together up to this many tokens, padding included
# a temperature below is taken for this one: all but the likeliest token have no probability left, and logits
# stay finite
COLDEST = 1e-6
NUCLEUS = 512  # likeliest tokens looked at before the whole vocabulary is sorted for top-p


@dataclass
class _Sequence:
    """One completion being written."""

    prompt: int
    completion: int
    prompt_ids: list[int]
    uniforms: np.ndarray  # one for each token it may have
    said: list[int]  # the last of the prompt's ids: what the assistant has said already in this turn
    start: int = 0  # its first column in the slab
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finished: bool = False

    @property
    def done(self) -> bool:
        return self.finished or len(self.ids) == len(self.uniforms)

    @property
    def read(self) -> list[int]:
        """What has to be read before its next token: the prompt, and what was written before it had to give
        way.
        """
        return self.prompt_ids + self.ids if self.ids else self.prompt_ids


class LocalSampler:
    """Samples from a model in this process.

    Args:
        model: a causal model, or PEFT's wrapper of one. It is used as it is at each call, so training it in
            place needs no sync. On a CPU it is switched to `alignlab.models.attention`.
        tokenizer: of the model, with a chat template if prompts are messages.
        slots: sequences decoded side by side.
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
        slots: int = 64,
        end_ids: frozenset[int] | set[int] | None = None,
        name: str = "",
    ) -> None:
        if slots < 1:
            raise ConfigError(f"slots must be at least 1, not {slots}")
        self.model: Any = None
        self.tokenizer, self.slots, self.name = tokenizer, slots, name
        self._slab: _Slab | None = None
        self.sync(model)
        self.end_ids = (
            Policy(model, tokenizer, name, model.device).end_ids if end_ids is None else frozenset(end_ids)
        )

    @classmethod
    def of(cls, policy: Policy, *, slots: int = 64, name: str = "", documents: bool = False) -> Self:
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
        bare = model.get_base_model() if hasattr(model, "get_base_model") else model
        if getattr(bare, "_is_stateful", False):
            raise ModelError(
                f"{type(bare).__name__} keeps a recurrent state, which cannot be sampled from in slots",
                remedy="take a model of attention layers only",
            )
        use_plain_attention(bare)
        self.model, self._slab = model, None
        self._accepts = frozenset(signature(bare.forward).parameters)

    def has_room(self, prompt: Prompt | list[int] | str, max_new_tokens: int) -> bool:
        """Whether the model's context holds the prompt and so many new tokens: what `sample` would refuse
        otherwise.
        """
        context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return not context or len(self._ids(prompt)) + max_new_tokens <= context

    def close(self) -> None:
        """Give the slab's memory back; the next call makes a new one."""
        self._slab = None

    def sample(
        self,
        prompts: Sequence[Prompt | list[int] | str],
        sampling: Sampling = Sampling(),
        *,
        seed: int = 0,
        **changes: Any,
    ) -> list[list[Completion]]:
        """n completions of each prompt.

        Args:
            prompts: messages (if the last turn is the assistant's, it is gone on with), or for plain
                continuation token ids or text, which is opened by the tokenizer's begin token if it has one
                (the completions of those carry an empty `Prompt`).
            sampling: how many, how long, how random.
            seed: the same seed gives the same completions, whatever the number of slots.
            changes: fields of the sampling, for those who write `sample(prompts, n=4)`.

        Returns:
            For each prompt, in order, its n completions: `ids` with the end token if one was written
            (`finished`), `logprobs` under the distribution they were drawn from, `text` without the end
            token.

        Raises:
            ConfigError: a temperature below 0, a top_p outside (0, 1], no token or completion asked for.
            DataError: a prompt is empty, or leaves no room for `max_new_tokens` in the model's context.
            GuardStop: the model's logits are not finite.
        """
        sampling = replace(sampling, **changes)
        sequences = self._sequences(prompts, sampling, seed)
        for _ in self._decode(sequences, sampling.temperature, sampling.top_p):
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
        for (sequence,) in self._decode(sequences, sampling.temperature, sampling.top_p):
            text = self._text(sequence)
            if not sequence.done:
                text = text.rstrip("\ufffd")  # bytes of a character whose rest is still to come
            if len(text) > len(said) and text.startswith(said):
                yield text[len(said) :]
                said = text

    def _text(self, sequence: _Sequence) -> str:
        """What was written; after words that the assistant had said already, so that the two together read as
        one (a space between them is kept).
        """
        ids = sequence.ids[:-1] if sequence.finished else sequence.ids
        whole = self.tokenizer.decode(
            sequence.said + ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        if not sequence.said:
            return whole
        return whole.removeprefix(
            self.tokenizer.decode(sequence.said, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )

    def _ids(self, prompt: Prompt | list[int] | str) -> list[int]:
        return (
            prompt_ids(self.tokenizer, prompt)
            if isinstance(prompt, Prompt)
            else text_ids(self.tokenizer, prompt)
            if isinstance(prompt, str)
            else list(prompt)
        )

    def _sequences(
        self, prompts: Sequence[Prompt | list[int] | str], sampling: Sampling, seed: int
    ) -> list[_Sequence]:
        """The completions to be written, those of a prompt side by side, each with its own uniforms."""
        most = sampling.max_new_tokens
        context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        sequences = []
        for i, prompt in enumerate(prompts):
            ids = self._ids(prompt)
            opened, words = open_turn(prompt) if isinstance(prompt, Prompt) else (prompt, "")
            said = (
                completion_ids(self.tokenizer, opened, words, finished=False)
                if words and isinstance(opened, Prompt)
                else []
            )
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
                    key=seed % 2**64, counter=(i << 192) + (j << 128)
                )  # draws count up from the lowest bits
                sequences.append(
                    _Sequence(i, j, ids, np.random.Generator(stream).random(most, dtype=np.float32), said)
                )
        return sequences

    @torch.inference_mode()  # of a generator: on while it runs, off while its caller does
    def _decode(
        self, sequences: list[_Sequence], temperature: float, top_p: float
    ) -> Iterator[list[_Sequence]]:
        """Write all sequences; yields those that got a token, after each prefill and each decode step.

        Rows are filled, or given up when nobody waits, as soon as a quarter of them is free. Long prompts go
        first: the newcomers of a prefill are then of similar length, and none is longer than a sequence that
        is already there.
        """
        if not sequences:
            return
        waiting = sorted(
            sequences, key=lambda s: (len(s.prompt_ids), -s.prompt, -s.completion)
        )  # taken from the end
        rows: list[_Sequence | None] = [None] * min(self.slots, len(sequences))
        columns = len(waiting[-1].prompt_ids) + len(sequences[0].uniforms) * (
            1 if len(rows) == len(sequences) else 2
        )
        with _evaluating(self.model):
            while waiting or any(rows):
                free = [row for row, held in enumerate(rows) if held is None]
                if waiting and 4 * len(free) >= len(rows):
                    entering = [waiting.pop() for _ in free[: len(waiting)]]
                    logits_NV = self._prefill(entering, free, len(rows), columns, idle=len(free) == len(rows))
                    for row, sequence in zip(free, entering, strict=False):
                        rows[row] = sequence
                    advanced = entering
                else:
                    assert self._slab is not None
                    if 4 * len(free) >= len(rows):
                        kept = [row for row, held in enumerate(rows) if held is not None]
                        self._slab.keep(kept)
                        rows = [rows[row] for row in kept]
                    logits_NV = self._step(rows, self._slab)
                    advanced = [held for held in rows if held is not None]
                    if len(advanced) < len(rows):
                        logits_NV = logits_NV[[row for row, held in enumerate(rows) if held is not None]]
                self._extend(advanced, logits_NV, temperature, top_p)
                rows = [None if held is None or held.done else held for held in rows]
                yield advanced

    def _prefill(
        self, entering: list[_Sequence], free: list[int], rows: int, columns: int, *, idle: bool
    ) -> Tensor:
        """Read the prompts of newcomers, longest first, into the slab's free rows; returns their next-token
        logits (N, V).
        """
        logits_NV = []
        while len(logits_NV) < len(entering):
            longest = len(entering[len(logits_NV)].read)
            batch: dict[int, list[_Sequence]] = {}  # newcomers by prompt
            for sequence in entering[len(logits_NV) :]:
                if sequence.prompt not in batch and (len(batch) + 1) * longest > max(PREFILL_TOKENS, longest):
                    break
                batch.setdefault(sequence.prompt, []).append(sequence)
            lengths = torch.tensor([len(group[0].read) for group in batch.values()])
            ids_PT = torch.tensor(
                [[0] * (longest - len(group[0].read)) + group[0].read for group in batch.values()]
            )
            positions_PT = torch.arange(longest) - (longest - lengths)[:, None]
            cache = DynamicCache()
            logits_PV = self._forward(ids_PT, positions_PT >= 0, positions_PT.clamp(min=0), cache)
            if self._slab is None or not self._slab.fits(cache, rows, columns):
                self._slab = _Slab(cache, rows, columns)
            if idle and not logits_NV:
                self._slab.begin(rows, longest)
            sources = [p for p, group in enumerate(batch.values()) for _ in group]
            self._slab.copy_in(cache, sources, free[len(logits_NV) : len(logits_NV) + len(sources)])
            for group in batch.values():
                for sequence in group:
                    sequence.start = self._slab.window.now - len(sequence.read)
            logits_NV += logits_PV[sources].unbind()
        return torch.stack(logits_NV)

    def _step(self, rows: list[_Sequence | None], slab: _Slab) -> Tensor:
        """One token for every row; returns logits (rows, V). An empty row sees itself alone and is not looked
        at.
        """
        window = slab.window
        window.low = min(held.start for held in rows if held)
        if window.now == slab.columns:
            shift = slab.compact()
            for held in filter(None, rows):
                held.start -= shift
        starts_B = torch.tensor([held.start if held else window.now for held in rows])
        seen_BT = torch.arange(window.low, window.now + 1) >= starts_B[:, None]
        ids_B1 = torch.tensor([[held.ids[-1] if held else 0] for held in rows])
        positions_B1 = torch.tensor(
            [[len(held.prompt_ids) + len(held.ids) - 1 if held else 0] for held in rows]
        )
        logits_BV = self._forward(ids_B1, seen_BT, positions_B1, slab)
        window.now += 1
        return logits_BV

    def _forward(self, ids_BT: Tensor, seen_BT: Tensor, positions_BT: Tensor, cache: Cache) -> Tensor:
        """Next-token logits (B, V) after the last column."""
        device = self.model.device
        inputs = {
            "input_ids": ids_BT.to(device),
            "attention_mask": seen_BT.long().to(device),
            "position_ids": positions_BT.to(device),
            "cache": cache,
            "past_key_values": cache,
            "use_cache": True,
            "logits_to_keep": 1,
        }
        inputs.pop(
            "past_key_values" if "cache" in self._accepts else "cache"
        )  # the name before transformers 5.24
        return self.model(**{name: value for name, value in inputs.items() if name in self._accepts}).logits[
            :, -1
        ]

    def _extend(
        self, sequences: list[_Sequence], logits_NV: Tensor, temperature: float, top_p: float
    ) -> None:
        """Draw the next token of each sequence."""
        uniforms = torch.from_numpy(np.array([s.uniforms[len(s.ids)] for s in sequences])).to(
            logits_NV.device
        )
        ids_N, logprobs_N = draw(logits_NV, uniforms, temperature=temperature, top_p=top_p)
        for sequence, token, logprob in zip(sequences, ids_N.tolist(), logprobs_N.tolist(), strict=True):
            if not np.isfinite(logprob):
                raise GuardStop(
                    "the model's logits are not finite",
                    where=f"prompt {sequence.prompt}, new token {len(sequence.ids)}",
                    remedy="weights from before they became so, or --model.precision fp32",
                )
            sequence.ids.append(token)
            sequence.logprobs.append(logprob)
            sequence.finished = token in self.end_ids


def draw(
    logits_NV: Tensor, uniforms_N: Tensor, *, temperature: float = 1.0, top_p: float = 1.0
) -> tuple[Tensor, Tensor]:
    """One token a row by inverse CDF, and its log-probability under the distribution it was drawn from.

    The CDF runs in the order of the vocabulary, with or without top-p, so that tokens of equal probability
    have a fixed place.

    Args:
        logits_NV: (N, V), of any precision; the work is done in fp32.
        uniforms_N: (N,) fp32 in [0, 1).
        temperature: 0 takes the likeliest token; its log-probability is then the one at temperature 1.

    Returns:
        ids (N,) and log-probabilities (N,), fp32; not finite where the logits are not.
    """
    probs_NV = (
        logits_NV if temperature in (0, 1) else logits_NV.float() / max(temperature, COLDEST)
    ).softmax(-1, dtype=torch.float32)
    if temperature == 0:
        probs_N, ids_N = probs_NV.max(-1)
        return ids_N, probs_N.log()
    if top_p < 1:
        probs_NV = nucleus(probs_NV, top_p)
    cdf_NV = probs_NV.cumsum(-1)
    mass_N1 = cdf_NV[:, -1:]
    # A uniform of 24 bits is at most 1 - 2^-24, so its product with the mass rounds to less than the mass:
    # the first entry of the CDF above it exists, and it belongs to a token of probability above 0.
    ids_N1 = torch.searchsorted(cdf_NV, uniforms_N[:, None] * mass_N1, right=True).clamp(
        max=probs_NV.shape[-1] - 1
    )
    return ids_N1.squeeze(1), (probs_NV.gather(1, ids_N1) / mass_N1).log().squeeze(1)


def nucleus(probs_NV: Tensor, top_p: float) -> Tensor:
    """Probabilities with 0 outside the nucleus, not renormalised (Holtzman et al. 2020, section 3.1).

    The nucleus is the smallest set of likeliest tokens with at least `top_p` of the probability; tokens as
    likely as the last one of it belong to it too.
    """
    ordered_NK = probs_NV.topk(min(NUCLEUS, probs_NV.shape[-1])).values
    mass_NK = ordered_NK.cumsum(-1)
    if (mass_NK[:, -1] < top_p).any():
        ordered_NK = probs_NV.sort(-1, descending=True).values
        mass_NK = ordered_NK.cumsum(-1)
    last_N1 = (mass_NK < top_p).sum(-1, keepdim=True).clamp(max=ordered_NK.shape[-1] - 1)
    return probs_NV * (probs_NV >= ordered_NK.gather(-1, last_N1))


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


@dataclass
class _Window:
    """What the model sees of the slab: the first `rows` rows and the columns [low, now). Column `now` is
    written next.
    """

    rows: int = 0
    low: int = 0
    now: int = 0


class _SlabLayer(CacheLayerMixin):
    """One layer's keys and values, (rows, heads, columns, dim), written in place."""

    keys: Tensor
    values: Tensor

    def __init__(self, window: _Window, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.window, self.keys, self.values, self.is_initialized = window, keys, values, True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        raise AssertionError("the slab is made from a prefilled cache")

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        rows, low, now = self.window.rows, self.window.low, self.window.now
        self.keys[:rows, :, now] = key_states[:, :, 0]
        self.values[:rows, :, now] = value_states[:, :, 0]
        return self.keys[:rows, :, low : now + 1], self.values[:rows, :, low : now + 1]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        return self.window.now - self.window.low

    def get_max_length(self) -> int:
        return -1


class _Slab(Cache):
    """All layers and the window on them. To the model the window is a cache of now - low positions; within a
    row columns and positions run in step, so that sliding windows hold as well.
    """

    def __init__(self, like: Cache, rows: int, columns: int) -> None:
        """Room for `rows` sequences in `columns` columns, of the shapes and precision of a prefilled cache."""
        self.window = _Window()

        # zeros: a masked column weighs nothing, but 0 * nan would be nan
        empty = [new.new_zeros(rows, new.shape[1], columns, new.shape[3]) for new in _tensors(like)]
        super().__init__(
            layers=[
                _SlabLayer(self.window, keys, values)
                for keys, values in zip(empty[::2], empty[1::2], strict=True)
            ]
        )

    @property
    def columns(self) -> int:
        return _tensors(self)[0].shape[2]

    def fits(self, like: Cache, rows: int, columns: int) -> bool:
        """Whether `rows` sequences with keys such as these can live here."""
        new, kept = _tensors(like)[0], _tensors(self)[0]
        return (
            rows <= kept.shape[0]
            and columns <= self.columns
            and (new.dtype, new.device) == (kept.dtype, kept.device)
        )

    def resized(self, rows: int, columns: int) -> tuple[_Slab, int]:
        """A slab of other measures that holds the same window, moved to its first column; and by how far it
        was moved to the left.
        """
        shift, width, seen = self.window.low, self.window.now - self.window.low, self.window.rows
        assert seen <= rows and width <= columns, "the window does not fit"
        made = _Slab(self, rows, columns)
        for new, old in zip(_tensors(made), _tensors(self), strict=True):
            new[:seen, :, :width] = old[:seen, :, shift : shift + width]
        made.begin(seen, width)
        made.window.low = 0
        return made, shift

    def push(self, by: int) -> None:
        """Move the window to the right by so many columns."""
        low, now = self.window.low, self.window.now
        assert now + by <= self.columns, "the slab is too narrow"
        for kept in _tensors(self):
            kept[: self.window.rows, :, low + by : now + by] = kept[: self.window.rows, :, low:now].clone()
        self.window.low, self.window.now = low + by, now + by

    def begin(self, rows: int, now: int) -> None:
        """Start over with `rows` rows and the clock at `now`."""
        self.window.rows, self.window.low, self.window.now = rows, now, now

    def copy_in(self, cache: Cache, sources: list[int], rows: list[int]) -> None:
        """Copy rows of a prefilled cache to rows of the slab, so that they end where the clock stands."""
        now, width = self.window.now, cache.get_seq_length()
        assert width <= now, "a newcomer is longer than the sequences that are here"
        self.window.low = min(self.window.low, now - width)
        for kept, new in zip(_tensors(self), _tensors(cache), strict=True):
            kept[rows, :, now - width : now] = new[sources]

    def keep(self, rows: list[int]) -> None:
        """Move these rows to the front and see no others."""
        columns = slice(self.window.low, self.window.now)
        for kept in _tensors(self):
            kept[: len(rows), :, columns] = kept[rows, :, columns]
        self.window.rows = len(rows)

    def compact(self) -> int:
        """Shift the window to the first column; returns by how much."""
        shift, width = self.window.low, self.window.now - self.window.low
        assert shift > 0, "the slab is too narrow for one sequence"
        for kept in _tensors(self):
            kept[: self.window.rows, :, :width] = kept[: self.window.rows, :, shift : shift + width].clone()
        self.window.low, self.window.now = 0, width
        return shift


def _tensors(cache: Cache) -> list[Tensor]:
    """Keys and values, layer by layer."""
    layers: list[Any] = cache.layers
    return [tensor for layer in layers for tensor in (layer.keys, layer.values)]
