"""Continuous batching: completions that begin and end at any time, decoded side by side, each with a temperature, seed and limit of its own.

The rows, the shared clock and the streams of uniforms are those of `LocalSampler` (see `alignlab.sampling.local`): a completion is the one that
`LocalSampler.sample` gives for the same seed, whoever sits beside it. What is added: newcomers enter before any decode step, as soon as there is a row;
the slab of keys and values grows and shrinks with those that are here, within a bound on its memory; and a completion may be given up half way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from ..models.likelihood import Likelihood, likelihoods
from ..records import Prompt
from .local import PREFILL_TOKENS, LocalSampler, _Sequence, _tensors, draw


@dataclass
class Stream(_Sequence):
    """One completion being written, and how.

    Attributes:
        top: as many likeliest tokens are kept for each token that is drawn, with their log-probabilities under the model at temperature 1; None keeps nothing.
        told: for each token (its log-probability under the model at temperature 1, the likeliest ones as (id, log-probability)), if `top` is not None.
        broken: the model's logits were not finite, and there is no more.
        owner: whose it is.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top: int | None = None
    told: list[tuple[float, list[tuple[int, float]]]] = field(default_factory=list)
    broken: bool = False
    owner: Any = None

    @property
    def done(self) -> bool:
        return self.broken or self.finished or len(self.ids) == len(self.uniforms)

    @property
    def most_columns(self) -> int:
        """Columns that it may come to occupy."""
        return len(self.prompt_ids) + len(self.uniforms)


class ContinuousSampler(LocalSampler):
    """A `LocalSampler` that many share. All of it belongs to one thread.

    Args:
        memory: bytes that keys and values may take; newcomers wait where they would take more. One alone is always let in.
    """

    def __init__(self, model: Any, tokenizer: Any, *, slots: int = 64, end_ids: frozenset[int] | set[int] | None = None, name: str = "",
                 memory: float = 2e9) -> None:
        super().__init__(model, tokenizer, slots=slots, end_ids=end_ids, name=name)
        self.memory = memory
        self._rows: list[Stream | None] = []
        self._waiting: deque[Stream] = deque()
        self._prompts = 0  # seen so far: numbers them, so that completions of one prompt share its prefill
        model.eval()
        with torch.inference_mode():
            cache = DynamicCache()
            self._forward(torch.tensor([[0]]), torch.ones(1, 1, dtype=torch.bool), torch.tensor([[0]]), cache)
        self._bytes = sum(kept.shape[1] * kept.shape[3] * kept.element_size() for kept in _tensors(cache))  # of keys and values, for each column of a row

    @property
    def held(self) -> int:
        """Bytes that keys and values take now."""
        return 0 if self._slab is None else sum(kept.numel() * kept.element_size() for kept in _tensors(self._slab))

    @property
    def busy(self) -> bool:
        """Whether anything is being written or waits to be."""
        return bool(self._waiting) or any(self._rows)

    def streams(self, prompts: Sequence[Prompt | list[int] | str], *, n: int, max_new_tokens: int, temperature: float, top_p: float, seed: int,
                top: int | None = None, owner: Any = None) -> list[Stream]:
        """Completions to be written, those of a prompt side by side; arguments and errors as in `sample`. Touches nothing: any thread may ask."""
        return [Stream(s.prompt, s.completion, s.prompt_ids, s.uniforms, s.said, temperature=temperature, top_p=top_p, top=top, owner=owner)
                for s in self._sequences(prompts, n, max_new_tokens, temperature, top_p, seed)]

    def join(self, streams: Sequence[Stream]) -> None:
        """Have these written, behind those that wait already."""
        numbers: dict[int, int] = {}
        for stream in streams:  # completions of one prompt hold one list of its ids
            stream.prompt = numbers.setdefault(id(stream.prompt_ids), self._prompts + len(numbers))
        self._prompts += len(numbers)
        self._waiting.extend(streams)

    def leave(self, streams: Sequence[Stream]) -> None:
        """Give these up; their rows are free for others."""
        gone = set(map(id, streams))
        self._rows = [None if held is not None and id(held) in gone else held for held in self._rows]
        self._waiting = deque(stream for stream in self._waiting if id(stream) not in gone)

    def reset(self) -> None:
        """Forget everybody, and the slab."""
        self._rows, self._waiting, self._slab = [], deque(), None

    @torch.inference_mode()
    def step(self) -> list[Stream]:
        """Let newcomers in, or write one token for all who are here; returns those that got a token."""
        if entering := self._newcomers():
            advanced = self._enter(entering)
        elif any(self._rows):
            advanced = self._decode_step()
        else:
            return []
        for row, held in enumerate(self._rows):
            if held is not None and held.broken and self._slab is not None:
                for kept in _tensors(self._slab):
                    kept[row] = 0  # whoever comes next masks what was here, and 0 * nan would be nan
        self._rows = [None if held is None or held.done else held for held in self._rows]
        return advanced

    def likelihoods(self, rows: Sequence[Sequence[int]], *, top: int = 0) -> list[Likelihood]:
        """The log-probability of each token of rows that are there already; see `alignlab.models.likelihood`."""
        return likelihoods(self.model, rows, top=top)

    def text(self, stream: Stream) -> str:
        """What it has written so far, without the end token."""
        return self._text(stream)

    def _newcomers(self) -> list[Stream]:
        """Those of the waiting that there is room for, in the order in which they came, up to what is prefilled at once."""
        here = [held for held in self._rows if held]
        entering: list[Stream] = []
        columns, tokens, seen = max((held.most_columns for held in here), default=0), 0, set()
        while self._waiting and len(here) + len(entering) < self.slots:
            first = self._waiting[0]
            columns = max(columns, first.most_columns)
            tokens += 0 if first.prompt in seen else len(first.prompt_ids)
            crowded = 2 * columns * (len(here) + len(entering) + 1) * self._bytes > self.memory
            if (here or entering) and (crowded or tokens > PREFILL_TOKENS):
                break
            seen.add(first.prompt)
            entering.append(self._waiting.popleft())
        return entering

    def _enter(self, entering: list[Stream]) -> list[Stream]:
        """Prefill newcomers into free rows, and into new ones where these do not suffice."""
        entering.sort(key=lambda stream: (-len(stream.prompt_ids), stream.prompt))  # as `_prefill` wants them
        idle = not any(self._rows)
        if idle:
            self._rows = []
        free = [row for row, held in enumerate(self._rows) if held is None]
        self._rows += [None] * (len(entering) - len(free))
        free = [row for row, held in enumerate(self._rows) if held is None]
        columns = max(stream.most_columns for stream in [*filter(None, self._rows), *entering])
        self._fit(len(self._rows), columns, idle=idle)
        if self._slab is not None and not idle:
            self._slab.window.rows = len(self._rows)
            if (by := len(entering[0].prompt_ids) - self._slab.window.now) > 0:
                self._slab.push(by)
                self._moved(by)
        logits_NV = self._prefill(list(entering), free, len(self._rows), 2 * columns, idle=idle)
        for row, stream in zip(free, entering, strict=False):
            self._rows[row] = stream
        self._advance(entering, logits_NV)
        return entering

    def _decode_step(self) -> list[Stream]:
        """One token for every row. Rows are given up as soon as a quarter of them is free."""
        assert self._slab is not None
        kept = [row for row, held in enumerate(self._rows) if held is not None]
        if 4 * (len(self._rows) - len(kept)) >= len(self._rows):
            self._slab.keep(kept)
            self._rows = [self._rows[row] for row in kept]
            kept = list(range(len(kept)))
        logits_BV = self._step(list(self._rows), self._slab)
        advanced = [held for held in self._rows if held is not None]
        self._advance(advanced, logits_BV if len(kept) == len(self._rows) else logits_BV[kept])
        return advanced

    def _fit(self, rows: int, columns: int, *, idle: bool) -> None:
        """A slab in which `rows` sequences of up to `columns` columns have room to move, and that is not far larger than that."""
        if self._slab is None:
            return
        has_rows, has_columns = _tensors(self._slab)[0].shape[0], self._slab.columns
        if rows <= has_rows <= 4 * rows + 16 and 2 * columns <= has_columns <= 8 * columns:
            return
        if idle:
            self._slab = None
            return
        self._slab.window.low = min(held.start for held in self._rows if held is not None)
        affordable = int(self.memory / (2 * columns * self._bytes))
        self._slab, shift = self._slab.resized(min(self.slots, max(rows, min(2 * rows, affordable))), 2 * columns)
        self._moved(-shift)

    def _moved(self, by: int) -> None:
        for held in self._rows:
            if held is not None:
                held.start += by

    def _advance(self, streams: list[Stream], logits_NV: Tensor) -> None:
        """Draw the next token of each, those of equal temperature and top-p together."""
        alike: dict[tuple[float, float], list[int]] = {}
        for place, stream in enumerate(streams):
            alike.setdefault((stream.temperature, stream.top_p), []).append(place)
        for (temperature, top_p), places in alike.items():
            uniforms_N = torch.tensor([float(streams[i].uniforms[len(streams[i].ids)]) for i in places], device=logits_NV.device)
            ids_N, logprobs_N = draw(logits_NV if len(alike) == 1 else logits_NV[places], uniforms_N, temperature=temperature, top_p=top_p)
            for i, token, logprob in zip(places, ids_N.tolist(), logprobs_N.tolist(), strict=True):
                stream = streams[i]
                stream.broken = logprob != logprob or logprob in (float("inf"), float("-inf"))
                if not stream.broken:
                    stream.ids.append(token)
                    stream.logprobs.append(logprob)
                    stream.finished = token in self.end_ids
        for place, stream in enumerate(streams):
            if stream.top is not None and not stream.broken:
                log_p_V = logits_NV[place].float().log_softmax(-1)
                best = log_p_V.topk(min(stream.top, len(log_p_V)))
                stream.told.append((float(log_p_V[stream.ids[-1]]), list(zip(best.indices.tolist(), best.values.tolist(), strict=True))))
