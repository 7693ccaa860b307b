"""Sampling in process, for any causal model of transformers, built for a CPU and the same on an accelerator.

Sequences live in slots of a preallocated key-value slab. All slots share one clock: at time t every slot writes column t,
and a sequence that began later occupies the columns [start, t) just the same, so a decode step is one slice copy and the
2D mask of left padding, which every architecture understands. A slot whose sequence ends is given to the next prompt,
which is prefilled beside and copied in; the completions of one prompt share one prefill.

Each completion draws from its own stream of uniforms, keyed by (seed, prompt index, completion index), by inverse CDF:
what is drawn does not depend on the number of slots or on who sits beside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import Cache, CacheLayerMixin

from ..errors import DataError
from ..models.attention import use_plain_attention
from ..models.chat import prompt_ids
from ..records import Completion, Prompt


@dataclass
class _Clock:
    """Columns [low, now) of the slab are in use."""

    low: int = 0
    now: int = 0


class _SlabLayer(CacheLayerMixin):
    """One layer's keys and values for all slots: (slots, heads, columns, dim), written in place."""

    def __init__(self, clock: _Clock, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.clock, self.keys, self.values, self.is_initialized = clock, keys, values, True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        raise AssertionError("the slab is made before the first step")

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        assert self.keys is not None and self.values is not None
        low, now = self.clock.low, self.clock.now
        self.keys[:, :, now] = key_states[:, :, 0]
        self.values[:, :, now] = value_states[:, :, 0]
        return self.keys[:, :, low : now + 1], self.values[:, :, low : now + 1]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        return self.clock.now - self.clock.low

    def get_max_length(self) -> int:
        return -1


@dataclass
class _Request:
    """One completion to be written."""

    prompt: int
    index: int
    ids: list[int]
    uniforms: np.ndarray
    out: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finished: bool = False


class LocalSampler:
    """Samples from a model in this process.

    Args:
        model: a causal model; it is used as it is at each call, so training it in place needs no sync.
        tokenizer: of the model, with a chat template if prompts are messages.
        slots: sequences decoded side by side.
        end_ids: tokens that end a completion; by default those of the tokenizer and the generation config.
        name: written into each completion as its source.
    """

    def __init__(self, model: Any, tokenizer: Any, *, slots: int = 64, end_ids: frozenset[int] | set[int] | None = None, name: str = "") -> None:
        self.model, self.tokenizer, self.slots, self.name = model, tokenizer, slots, name
        if end_ids is None:
            ends = getattr(model.generation_config, "eos_token_id", None)
            end_ids = {*(ends if isinstance(ends, (list, tuple)) else [ends]), tokenizer.eos_token_id} - {None}
        self.end_ids = frozenset(end_ids)
        self._slab: _Slab | None = None
        if not hasattr(model, "peft_config"):
            use_plain_attention(model)

    def sync(self, model: Any) -> None:
        """Sample from this model from now on."""
        self.model = model

    def close(self) -> None:
        """Give the slab's memory back."""
        self._slab = None

    def sample(self, prompts: Sequence[Prompt | list[int]], *, n: int = 1, max_new_tokens: int = 48, temperature: float = 1.0, top_p: float = 1.0,
               seed: int = 0, on_progress: Callable[[int, int], None] | None = None) -> list[list[Completion]]:
        """n completions of each prompt.

        Args:
            prompts: messages, or token ids for plain continuation.
            temperature: 0 takes the likeliest token (log-probabilities are then those at temperature 1).
            top_p: the smallest set of tokens with at least this probability is drawn from (Holtzman et al. 2020).
            seed: the same seed gives the same completions, whatever the number of slots.
            on_progress: called with (completions done, completions in all).

        Returns:
            For each prompt its n completions, with ids, log-probabilities under the distribution they were drawn from, and
            whether they wrote an end token.

        Raises:
            DataError: a prompt leaves no room for `max_new_tokens` in the model's context.
        """
        requests = self._requests(prompts, n, max_new_tokens, seed)
        done = 0
        for finished in self._run(requests, max_new_tokens, temperature, top_p):
            done += len(finished)
            if on_progress and finished:
                on_progress(done, len(requests))
        texts = self.tokenizer.batch_decode([[i for i in r.out if i not in self.end_ids] for r in requests], skip_special_tokens=True,
                                            clean_up_tokenization_spaces=False)
        results: list[list[Completion]] = [[] for _ in prompts]
        for request, text in zip(requests, texts, strict=True):
            prompt = prompts[request.prompt]
            record = prompt if isinstance(prompt, Prompt) else Prompt(())
            results[request.prompt].append(Completion(record, text, tuple(request.out), tuple(request.logprobs), request.finished, self.name))
        return results

    def stream(self, prompt: Prompt | list[int], *, max_new_tokens: int = 96, temperature: float = 1.0, top_p: float = 1.0, seed: int = 0) -> Iterator[str]:
        """The text of one completion in pieces, as soon as each is certain; together they are the text `sample` gives."""
        requests = self._requests([prompt], 1, max_new_tokens, seed)
        said = ""
        for _ in self._run(requests, max_new_tokens, temperature, top_p, slots=1):
            ids = [i for i in requests[0].out if i not in self.end_ids]
            text = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            if not text.endswith("\ufffd") and text.startswith(said) and len(text) > len(said):
                yield text[len(said):]
                said = text
        whole = self.tokenizer.decode([i for i in requests[0].out if i not in self.end_ids], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        if len(whole) > len(said):
            yield whole[len(said):]

    def _requests(self, prompts: Sequence[Prompt | list[int]], n: int, most: int, seed: int) -> list[_Request]:
        context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or 1 << 30
        requests = []
        for i, prompt in enumerate(prompts):
            ids = prompt_ids(self.tokenizer, prompt) if isinstance(prompt, Prompt) else list(prompt)
            if not ids or len(ids) + most > context:
                raise DataError(f"a prompt of {len(ids)} tokens and {most} new ones do not fit the model's context of {context}" if ids else "an empty prompt",
                                where=f"prompt {i + 1}", remedy="shorten or drop it, or lower max_new_tokens")
            for j in range(n):
                stream = np.random.Generator(np.random.Philox(key=[seed & (2**64 - 1), (i << 32) | j]))
                requests.append(_Request(i, j, ids, stream.random(most)))
        return requests

    def _run(self, requests: list[_Request], most: int, temperature: float, top_p: float, *, slots: int = 0) -> Iterator[list[_Request]]:
        """Decode until every request is done; after each step yields those that ended in it."""
        if not requests:
            return
        training = self.model.training
        self.model.eval()
        try:
            width = min(slots or self.slots, len(requests))
            slab = _Slab(self.model, width, max(len(r.ids) for r in requests), most)
            queue = list(reversed(requests))
            while queue or slab.busy:
                ended: list[_Request] = []
                free = slab.free()
                if queue and free and (not slab.busy or len(free) * 4 >= slab.width or len(free) >= len(queue)):
                    newcomers = [queue.pop() for _ in range(min(len(free), len(queue)))]
                    logits = slab.admit(newcomers, free)
                    ended += self._choose(slab, logits, newcomers, free[: len(newcomers)], most, temperature, top_p)
                    slab.release(ended)
                if slab.busy:
                    if not queue and slab.busy * 2 <= slab.width and slab.width > 4:
                        slab.shrink()
                    logits = slab.step()
                    held = [(slot, r) for slot, r in enumerate(slab.held) if r is not None]
                    rows = [slot for slot, _ in held]
                    last = self._choose(slab, logits if len(rows) == slab.width else logits[rows], [r for _, r in held], rows, most, temperature, top_p)
                    slab.release(last)
                    ended += last
                yield ended
        finally:
            self.model.train(training)

    @torch.inference_mode()
    def _choose(self, slab: _Slab, logits_NV: Tensor, requests: list[_Request], slots: list[int], most: int, temperature: float, top_p: float) -> list[_Request]:
        """Draw the next token of each request; returns those that ended with it."""
        uniforms = torch.from_numpy(np.array([r.uniforms[len(r.out)] for r in requests], dtype=np.float32)).to(logits_NV.device)
        ids, logprobs = draw(logits_NV, uniforms, temperature=temperature, top_p=top_p)
        slab.next_ids[torch.tensor(slots, device=ids.device)] = ids
        ended = []
        for request, token, logprob in zip(requests, ids.tolist(), logprobs.tolist(), strict=True):
            request.out.append(token)
            request.logprobs.append(logprob)
            request.finished = token in self.end_ids
            if request.finished or len(request.out) == most:
                ended.append(request)
        return ended


@torch.inference_mode()
def draw(logits_NV: Tensor, uniforms_N: Tensor, *, temperature: float = 1.0, top_p: float = 1.0) -> tuple[Tensor, Tensor]:
    """One token a row by inverse CDF, and its log-probability under the distribution it was drawn from.

    Args:
        logits_NV: (N, V); uniforms_N: (N,) in [0, 1).

    Returns:
        ids (N,) and log-probabilities (N,), fp32.
    """
    logits = logits_NV.float()
    if temperature == 0:
        ids = logits.argmax(-1)
        return ids, logits.log_softmax(-1).gather(-1, ids[:, None]).squeeze(-1)
    log_p = (logits if temperature == 1 else logits / temperature).log_softmax(-1)
    if top_p < 1:
        ordered, order = log_p.sort(-1, descending=True)
        p = ordered.exp()
        outside = p.cumsum(-1) - p >= top_p
        log_p = log_p.scatter(-1, order, ordered.masked_fill(outside, -torch.inf)).log_softmax(-1)
    cdf = log_p.exp().cumsum(-1)
    ids = torch.searchsorted(cdf, (uniforms_N[:, None] * cdf[:, -1:]).contiguous(), right=True).squeeze(-1)
    # rounding can carry a uniform past the last token that has any probability
    last = log_p.shape[-1] - 1 - (log_p > -torch.inf).flip(-1).int().argmax(-1)
    ids = ids.minimum(last)
    return ids, log_p.gather(-1, ids[:, None]).squeeze(-1)


class _Slab:
    """Slots, their keys and values, and the shared clock."""

    def __init__(self, model: Any, width: int, longest: int, most: int) -> None:
        self.model, self.width = model, width
        self.device = next(model.parameters()).device
        self.columns = longest + most + max(32, (longest + most) // 2)
        self.clock = _Clock()
        self.held: list[_Request | None] = [None] * width
        self.starts = torch.zeros(width, dtype=torch.long, device=self.device)  # first column of each slot's sequence
        self.positions = torch.zeros(width, dtype=torch.long, device=self.device)  # position of its next token
        self.next_ids = torch.zeros(width, dtype=torch.long, device=self.device)
        self.cache: Cache | None = None
        bare = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.cache_name = "cache" if "cache" in signature(bare.forward).parameters else "past_key_values"  # renamed in transformers 5.2x

    @property
    def busy(self) -> int:
        return sum(r is not None for r in self.held)

    def free(self) -> list[int]:
        return [slot for slot, r in enumerate(self.held) if r is None]

    def release(self, ended: list[_Request]) -> None:
        gone = {id(r) for r in ended}
        self.held = [None if r is not None and id(r) in gone else r for r in self.held]

    @torch.inference_mode()
    def admit(self, newcomers: list[_Request], free: list[int]) -> Tensor:
        """Prefill newcomers and copy their keys and values into free slots; returns their next-token logits (N, V)."""
        prompts: dict[int, int] = {}
        for request in newcomers:
            prompts.setdefault(request.prompt, len(prompts))
        unique = {request.prompt: request.ids for request in newcomers}
        longest = max(map(len, unique.values()))
        ids = torch.zeros(len(prompts), longest, dtype=torch.long)
        mask = torch.zeros(len(prompts), longest, dtype=torch.long)
        for prompt, row in prompts.items():
            ids[row, longest - len(unique[prompt]):] = torch.tensor(unique[prompt])
            mask[row, longest - len(unique[prompt]):] = 1
        positions = (mask.cumsum(1) - 1).clamp_min(0)
        prefilled = DynamicCache()
        logits = self.model(input_ids=ids.to(self.device), attention_mask=mask.to(self.device), position_ids=positions.to(self.device),
                            use_cache=True, logits_to_keep=1, **{self.cache_name: prefilled}).logits[:, -1]
        if self.cache is None:
            self._allocate(prefilled)
        self._reserve(longest)
        now = self.clock.now
        rows = torch.tensor([prompts[r.prompt] for r in newcomers], device=self.device)
        slots = torch.tensor(free[: len(newcomers)], device=self.device)
        assert self.cache is not None
        for layer, source in zip(self.cache.layers, prefilled.layers, strict=True):
            layer.keys[slots, :, now - longest : now] = source.keys[rows]  # type: ignore[index]
            layer.values[slots, :, now - longest : now] = source.values[rows]  # type: ignore[index]
        for request, slot in zip(newcomers, slots.tolist(), strict=True):
            self.held[slot] = request
            self.starts[slot] = now - len(request.ids)
            self.positions[slot] = len(request.ids)
        return logits[rows]

    @torch.inference_mode()
    def step(self) -> Tensor:
        """One token for every slot: (slots, V). Empty slots go along and are not looked at."""
        self._make_room()
        now = self.clock.now
        idle = torch.tensor([r is None for r in self.held], device=self.device)
        starts = self.starts.masked_fill(idle, now)
        self.clock.low = int(starts.min())
        columns = torch.arange(self.clock.low, now + 1, device=self.device)
        mask = (columns >= starts[:, None]).long()
        positions = self.positions.masked_fill(idle, 0)
        logits = self.model(input_ids=self.next_ids[:, None], attention_mask=mask, position_ids=positions[:, None],
                            use_cache=True, logits_to_keep=1, **{self.cache_name: self.cache}).logits[:, -1]
        self.clock.now += 1
        self.positions += 1
        return logits

    @torch.inference_mode()
    def shrink(self) -> None:
        """Drop the empty slots."""
        kept = [slot for slot, r in enumerate(self.held) if r is not None]
        index = torch.tensor(kept, device=self.device)
        assert self.cache is not None
        for layer in self.cache.layers:
            layer.keys, layer.values = layer.keys[index], layer.values[index]  # type: ignore[index]
        self.held = [self.held[slot] for slot in kept]
        self.starts, self.positions, self.next_ids = self.starts[index], self.positions[index], self.next_ids[index]
        self.width = len(kept)

    def _allocate(self, like: Cache) -> None:
        def empty(tensor: Tensor) -> Tensor:
            return tensor.new_zeros(self.width, tensor.shape[1], self.columns, tensor.shape[3])

        self.cache = Cache(layers=[_SlabLayer(self.clock, empty(layer.keys), empty(layer.values)) for layer in like.layers])  # type: ignore[arg-type]

    def _move(self, by: int, columns: int) -> None:
        """Shift the used columns to the right (by > 0) or left, in a slab of at least `columns` columns."""
        low, now = self.clock.low, self.clock.now
        assert self.cache is not None
        for layer in self.cache.layers:
            for name in ("keys", "values"):
                old = getattr(layer, name)
                new = old if columns <= old.shape[2] else old.new_zeros(*old.shape[:2], columns, old.shape[3])
                new[:, :, low + by : now + by] = old[:, :, low:now].clone()
                setattr(layer, name, new)
        self.columns = max(columns, self.columns)
        self.clock.low, self.clock.now = low + by, now + by
        self.starts += by

    def _reserve(self, longest: int) -> None:
        """Make sure that a prompt of this length fits left of the clock."""
        if not self.busy:
            self.clock.low = self.clock.now = longest
        elif longest > self.clock.now:
            by = longest - self.clock.now
            self._move(by, max(self.columns, longest + 32))

    def _make_room(self) -> None:
        """When the clock reaches the last column, shift everything left; if nothing is free on the left, widen the slab."""
        if self.clock.now < self.columns:
            return
        held = torch.tensor([r is not None for r in self.held], device=self.device)
        low = int(self.starts[held].min())
        self.clock.low = low
        if low >= self.columns // 8:
            self._move(-low, self.columns)
        else:
            self._move(-low, self.columns + self.columns // 2)
