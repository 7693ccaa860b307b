"""An engine as the target of defences, which ask it as they ask any sampler."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..errors import UserError
from ..models.chat import open_turn
from ..records import Completion, Prompt
from ..sampling import Sampling
from .engine import Engine
from .refusal import Refusal


def is_open(prompt: Prompt | list[int] | str) -> bool:
    """Whether a chat ends in a turn of the assistant, which is gone on with."""
    return isinstance(prompt, Prompt) and bool(open_turn(prompt)[1])


class EngineTarget:
    """An engine as a `Sampler`, for defences: each call waits until its completions are written. One caller
    at a time.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.prompt_tokens = self.completion_tokens = self.queries = 0  # spent so far
        self._lock, self._gone, self._job = threading.Lock(), False, None

    def sample(
        self, prompts: Sequence[Prompt | list[int] | str], sampling: Sampling = Sampling(), *, seed: int = 0
    ) -> list[list[Completion]]:
        """As `LocalSampler.sample`, and the same completions for the same seed. Raises Refusal: a prompt that
        does not fit, or nobody waits any more.
        """
        if not prompts:
            return []
        rows = [self.engine.ids(prompt) for prompt in prompts]
        job = self.engine.job(
            rows,
            n=sampling.n,
            max_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=seed,
            goes_on=[is_open(prompt) for prompt in prompts],
        )
        with self._lock:
            if self._gone:
                raise Refusal(499, "the client went away")
            self._job = job
        self.engine.submit(job)
        job.finished.wait()
        if job.error:
            raise job.error
        self.queries += len(job.streams)
        self.prompt_tokens += sum(map(len, rows))
        self.completion_tokens += sum(len(stream.ids) for stream in job.streams)
        completions = []
        for i, (writing, stream) in enumerate(zip(job.writings, job.streams, strict=True)):
            prompt, prompt_ids = prompts[i // sampling.n], tuple(rows[i // sampling.n])
            completions.append(
                Completion(
                    prompt if isinstance(prompt, Prompt) else Prompt(()),
                    writing.text,
                    tuple(stream.ids),
                    tuple(stream.logprobs),
                    stream.finished,
                    self.engine.name,
                    prompt_ids=prompt_ids,
                )
            )
        return [completions[i : i + sampling.n] for i in range(0, len(completions), sampling.n)]

    def sync(self, model: Any) -> None:
        raise UserError("a served model is not changed while it is served", where=self.engine.name)

    def close(self) -> None:
        """Nobody waits for its completions any more: a call that is under way ends at once, and further ones
        do not begin.
        """
        with self._lock:
            self._gone = True
            if self._job is not None:
                self.engine.cancel(self._job)


class Door:
    """The target inside a stack that many requests share, so that a defence which counts or remembers does so
    over all of them: each thread passes on to its own.
    """

    def __init__(self) -> None:
        self._mine = threading.local()

    @contextmanager
    def to(self, target: EngineTarget) -> Iterator[None]:
        """What this thread asks here is asked of `target`."""
        self._mine.target = target
        try:
            yield
        finally:
            del self._mine.target

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling = Sampling(), *, seed: int = 0
    ) -> list[list[Completion]]:
        return self._mine.target.sample(prompts, sampling, seed=seed)
