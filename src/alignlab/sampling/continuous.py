"""Continuous batching: completions that begin and end at any time, decoded side by side, each with a
temperature, seed and limit of its own.

Rows are shared by request, not by arrival: who was served least is let in first, and who was served much
gives way to who waits. A completion that gave way is read anew, with what it wrote, when its turn comes; so
no request, however many completions of whatever length it asks for, holds up another for longer than some
tens of tokens.

The rows, the shared clock and the streams of uniforms are those of `LocalSampler` (see
`alignlab.sampling.local`): a completion is the one that `LocalSampler.sample` gives for the same seed,
whoever sits beside it. What is added: newcomers enter before any decode step, as soon as there is a row; the
slab of keys and values grows and shrinks with those that are here, within a bound on its memory; and a
completion may be given up half way.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..models.likelihood import Likelihood, likelihoods
from ..records import Prompt
from . import Sampling
from .drawing import draw
from .local import PREFILL_TOKENS, LocalSampler
from .reading import reader_of
from .shares import AHEAD, Share, Stream
from .slab import Rows


class ContinuousSampler(LocalSampler):
    """A `LocalSampler` that many share. All of it belongs to one thread.

    Args:
        memory: bytes that keys and values may take; newcomers wait where they would take more. One alone is
            always let in.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        slots: int = 64,
        end_ids: frozenset[int] | set[int] | None = None,
        name: str = "",
        memory: float = 2e9,
    ) -> None:
        super().__init__(model, tokenizer, slots=slots, end_ids=end_ids, name=name)
        self.memory = memory
        self._rows = Rows[Stream](0, model.device)
        self._queue: list[Share] = []  # those of which something waits
        self._fair = (
            0.0  # tokens that a request which was always there and had no more than its share would have
        )
        self._entered = False  # in the last step somebody was let in, and those who were here wrote nothing
        self._prompts = 0  # seen so far: numbers them, so that completions of one prompt share its prefill
        model.eval()
        with torch.inference_mode():
            _, prefilled = self._reader.prefill([[0]])
        self._bytes = sum(kept[0, :, 0].nbytes for kept in prefilled)  # for each column of a row

    @property
    def held(self) -> int:
        """Bytes that keys and values take now."""
        return self._slab.bytes if self._slab else 0

    @property
    def busy(self) -> bool:
        """Whether anything is being written or waits to be."""
        return bool(self._queue or self._rows.live)

    def streams(
        self,
        prompts: Sequence[Prompt | list[int] | str],
        *,
        n: int,
        max_new_tokens: int,
        temperature: float,
        top_p: float,
        seed: int,
        first: int = 0,
        top: int | None = None,
        ends: frozenset[int] | None = None,
        owner: Any = None,
    ) -> list[Stream]:
        """Completions to be written, those of a prompt side by side; arguments and errors as in `sample`.
        Touches nothing: any thread may ask.

        Args:
            ends: tokens that end a completion; None = those of the sampler.
        """
        return [
            Stream(
                s.prompt,
                s.completion,
                s.prompt_ids,
                s.uniforms,
                s.said,
                temperature=temperature,
                top_p=top_p,
                top=top,
                owner=owner,
                ends=self.end_ids if ends is None else ends,
            )
            for s in self._sequences(prompts, Sampling(n, max_new_tokens, temperature, top_p), seed, first)
        ]

    def join(self, streams: Sequence[Stream]) -> None:
        """Have these written, as one request among those that are here."""
        share = Share(self._fair, deque(streams))
        self._queue += [share] if streams else []
        numbers: dict[int, int] = {}
        for stream in streams:  # completions of one prompt hold one list of its ids
            stream.prompt, stream.share = (
                numbers.setdefault(id(stream.prompt_ids), self._prompts + len(numbers)),
                share,
            )
        self._prompts += len(numbers)

    @torch.inference_mode()
    def leave(self, streams: Sequence[Stream]) -> None:
        """Give these up; their rows are free for others."""
        gone = set(map(id, streams))
        self._rows.drop([row for row in self._rows.live if id(self._rows.held[row]) in gone])
        for share in {id(stream.share): stream.share for stream in streams}.values():
            share.waiting = deque(stream for stream in share.waiting if id(stream) not in gone)
        self._queue = [share for share in self._queue if share.waiting]

    def reset(self) -> None:
        """Forget everybody, and the slab."""
        self._rows, self._queue, self._slab = Rows(0, self.model.device), [], None

    def read_anew(self) -> None:
        """The model's weights are others now: keys and values are forgotten, and those who write go on once
        they are read by the new weights, with what they wrote.
        """
        for stream in reversed(self._rows.sequences):
            self._put_back(stream)
        self._rows, self._slab, self._reader = Rows(0, self.model.device), None, reader_of(self.model)

    @torch.inference_mode()
    def step(self) -> list[Stream]:
        """Let newcomers in, or write one token for all who are here, in turn; returns those that got one."""
        entering = [] if self._entered and self._rows.live else self._newcomers()
        self._entered = bool(entering)
        if not entering and not self._rows.live:
            return []
        advanced = self._enter(entering) if entering else self._decode_step()
        self._count(advanced)
        for row in self._rows.live:
            if self._rows.held[row].broken and self._slab is not None:
                self._slab.clear(row)
        self._rows.drop_done()
        return advanced

    def likelihoods(self, rows: Sequence[Sequence[int]], *, top: int = 0) -> list[Likelihood]:
        """The log-probability of each token of rows that are there already (see `models.likelihood`)."""
        return likelihoods(self.model, rows, top=top)

    def text(self, stream: Stream) -> str:
        """What it has written so far, without the end token."""
        return self._text(stream)

    def _newcomers(self) -> list[Stream]:
        """Those of the waiting that there is room for, the least served request first, up to what is
        prefilled at once.
        """
        if not self._queue:
            return []
        self._give_way()
        rows = self._rows_of()
        entering: list[Stream] = []
        tokens, seen = 0, set()
        while self._queue:
            share = self._next(rows)
            first = share.waiting[0]
            tokens += 0 if first.prompt in seen else len(first.read)
            if not self._has_room(first, entering) or (entering and tokens > PREFILL_TOKENS):
                break
            seen.add(first.prompt)
            entering.append(share.waiting.popleft())
            rows[share] += 1
            if not share.waiting:
                self._queue.remove(share)
        return entering

    def _give_way(self) -> None:
        """Free rows of the most served request for the least served, while it waits, has fewer, and is far
        behind.
        """
        rows = self._rows_of()
        while True:
            least = self._next(rows)
            most = max(rows, key=lambda share: share.served, default=least)
            if (
                self._has_room(least.waiting[0], ())
                or most.served - least.served < AHEAD
                or rows[most] <= rows[least]
            ):
                return
            own = [row for row in self._rows.live if self._rows.held[row].share is most]
            row = min(own, key=lambda row: len(self._rows.held[row].ids))
            last = self._rows.held[row]
            self._rows.drop([row])
            self._put_back(last)
            rows[most] -= 1

    def _put_back(self, stream: Stream) -> None:
        """It waits for a row again, first of its request; what is read of it then, nobody shares."""
        share = stream.share
        stream.prompt, self._prompts = self._prompts, self._prompts + 1
        share.waiting.appendleft(stream)
        self._queue += [share] if share not in self._queue else []

    def _count(self, advanced: Sequence[Stream]) -> None:
        """Tokens that were written, for those whose they are and for all who are here."""
        here = {*self._queue, *(stream.share for stream in advanced), *self._rows_of()}
        self._fair += len(advanced) / len(here)
        for stream in advanced:
            stream.share.served += 1
        for share in here:
            share.served = min(max(share.served, self._fair - AHEAD), self._fair + AHEAD)

    def _rows_of(self) -> Counter[Share]:
        return Counter(held.share for held in self._rows.sequences)

    def _next(self, rows: Counter[Share]) -> Share:
        """Whose turn it is, of those who wait: the least served, what its rows will write next counted."""
        return min(self._queue, key=lambda share: share.served + rows[share])

    def _has_room(self, stream: Stream, entering: Sequence[Stream]) -> bool:
        """Whether there is a row and memory for it beside those who are here and who enter with it. One alone
        always has room.
        """
        beside = [*self._rows.sequences, *entering]
        columns = max(held.most_columns for held in [*beside, stream])
        return not beside or (
            len(beside) < self.slots and 2 * columns * (len(beside) + 1) * self._bytes <= self.memory
        )

    def _enter(self, entering: list[Stream]) -> list[Stream]:
        """Prefill newcomers into free rows, and into new ones where these do not suffice."""
        entering.sort(key=lambda stream: (-len(stream.read), stream.prompt))  # as `_prefill` wants them
        if not self._rows.live:
            self._rows = Rows(0, self.model.device)
        missing = len(entering) - len(self._rows.free)
        if missing > 0:
            self._rows.widen(len(self._rows) + missing)
        columns = max(stream.most_columns for stream in [*self._rows.sequences, *entering])
        self._fit(columns)
        if self._slab is not None and self._rows.live:
            self._slab.rows = len(self._rows)
            if (by := len(entering[0].read) - self._slab.now) > 0:
                self._slab.push(by)
                self._rows.move(by)
        free = self._rows.free
        logits_NV = self._prefill(entering, free, self._rows, 2 * columns)
        self._advance(entering, logits_NV)
        assert self._slab is not None  # made by the prefill
        self._rows.enter(entering, free, self._slab.now)
        return entering

    def _decode_step(self) -> list[Stream]:
        """One token for every row. Rows are given up as soon as a quarter of them is free."""
        if 4 * len(self._rows.free) >= len(self._rows):
            self._rows.tighten(self._slab, len(self._rows.live))
        logits_NV = self._step(self._rows)
        advanced = self._rows.sequences
        self._rows.advance(self._advance(advanced, logits_NV))
        return advanced

    def _fit(self, columns: int) -> None:
        """A slab in which all rows have room for sequences of up to `columns` columns to move, and that is
        not far larger than that.
        """
        if self._slab is None:
            return
        rows = len(self._rows)
        has_rows, has_columns = self._slab.tensors[0].shape[0], self._slab.columns
        if rows <= has_rows <= 4 * rows + 16 and 2 * columns <= has_columns <= 8 * columns:
            return
        if not self._rows.live:
            self._slab = None
            return
        self._slab.low = self._rows.first_column
        affordable = int(self.memory / (2 * columns * self._bytes))
        most_rows = min(self.slots, max(rows, min(2 * rows, affordable)))
        self._slab, shift = self._slab.resized(most_rows, 2 * columns)
        self._rows.move(-shift)

    def _advance(self, streams: list[Stream], logits_NV: Tensor) -> Tensor:
        """Draw the next token of each, those of equal temperature and top-p together; returns them, (N,)."""
        alike: dict[tuple[float, float], list[int]] = {}
        for place, stream in enumerate(streams):
            alike.setdefault((stream.temperature, stream.top_p), []).append(place)
        ids_N = torch.zeros(len(streams), dtype=torch.long, device=logits_NV.device)
        logprobs_N = torch.zeros(len(streams), device=logits_NV.device)
        uniforms = np.array([stream.uniforms[len(stream.ids)] for stream in streams])
        uniforms_N = torch.from_numpy(uniforms).to(logits_NV.device)
        for (temperature, top_p), places in alike.items():
            ids_N[places], logprobs_N[places] = draw(
                logits_NV if len(alike) == 1 else logits_NV[places],
                uniforms_N[places],
                temperature=temperature,
                top_p=top_p,
            )
        self._keep_likeliest(streams, logits_NV, ids_N)
        for stream, token, logprob in zip(streams, ids_N.tolist(), logprobs_N.tolist(), strict=True):
            stream.broken = not math.isfinite(logprob)
            if not stream.broken:
                stream.ids.append(token)
                stream.logprobs.append(logprob)
                stream.finished = token in stream.ends
        return ids_N

    def _keep_likeliest(self, streams: list[Stream], logits_NV: Tensor, ids_N: Tensor) -> None:
        """For those who asked for it: what the model says at temperature 1 of the token that was drawn, and
        of the likeliest.
        """
        places = [place for place, stream in enumerate(streams) if stream.top is not None]
        if not places:
            return
        log_p_MV = logits_NV[places].float().log_softmax(-1)
        drawn_M = log_p_MV.gather(1, ids_N[places, None]).squeeze(1).tolist()
        most = min(max(streams[place].top or 0 for place in places), log_p_MV.shape[1])
        best_MK = log_p_MV.topk(most)
        rows = zip(places, drawn_M, best_MK.indices.tolist(), best_MK.values.tolist(), strict=True)
        for place, logprob, tokens, values in rows:
            stream = streams[place]
            if math.isfinite(logprob):
                stream.told.append((logprob, list(zip(tokens, values, strict=True))[: stream.top]))
