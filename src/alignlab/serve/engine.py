"""One model and the thread that owns it: what is asked at the same time is written side by side.

Jobs come from any thread and are told of their progress from the engine's. A job that fails, is given up or
outlives the engine is told so: none is left waiting.
"""

from __future__ import annotations

import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from ..errors import UserError
from ..models.chat import prompt_ids, text_ids
from ..models.likelihood import TOKENS, Likelihood
from ..models.policy import Policy, context_of
from ..records import Prompt
from ..sampling.continuous import ContinuousSampler
from .places import Places, tail
from .refusal import Refusal
from .spelling import Spelling
from .writing import Job, Piece, Tell, Writing

T = TypeVar("T")


class Engine:
    """A model that many ask at once.

    Args:
        slots: completions written side by side.
        context: most tokens of a prompt and its completion; 0 = the model's own limit.
        memory: bytes that keys and values may take.
    """

    def __init__(self, name: str, policy: Policy, *, slots: int, context: int, memory: float) -> None:
        self.name, self.tokenizer, self.model = name, policy.tokenizer, policy.model
        self.spelling = Spelling(policy.tokenizer)
        # behind a begin token stands another text
        end_ids = policy.end_ids | {policy.tokenizer.bos_token_id} - {None}
        self.sampler = ContinuousSampler(
            policy.model, policy.tokenizer, slots=slots, end_ids=end_ids, name=name, memory=memory
        )
        self.context = min(context_of(policy.model), context or context_of(policy.model))
        self.vocabulary = policy.model.config.get_text_config().vocab_size
        self._inbox: deque[Job] = deque()
        self._gone: deque[Job] = deque()
        self._jobs: set[Job] = set()
        self._scoring: deque[Job] = deque()
        self._orders: deque[Callable[[], None]] = deque()
        self.held = self.paused = False  # newcomers wait; and nobody writes
        self._wake, self._closing = threading.Condition(), False
        self._thread = threading.Thread(target=self._run, name=f"engine {name}", daemon=True)
        self._thread.start()

    def ids(self, prompt: Prompt | list[int] | str) -> list[int]:
        """The token ids of a prompt. Raises Refusal: no such ids, or too many for an answer to fit behind
        them.
        """
        try:
            if isinstance(prompt, Prompt):
                ids = prompt_ids(self.tokenizer, prompt)
            elif isinstance(prompt, str):
                ids = text_ids(self.tokenizer, prompt)
            else:
                ids = list(prompt)
        except UserError as error:
            raise Refusal.of(error) from None
        if not ids:
            raise Refusal(400, "the prompt holds no token; send at least one character", param="prompt")
        if wrong := [i for i in ids if not 0 <= i < self.vocabulary]:
            raise Refusal(
                400,
                f"there is no token {wrong[0]}; the ids of {self.name} go from 0 to {self.vocabulary - 1}",
                param="prompt",
            )
        if len(ids) > self.context:
            raise Refusal(
                400,
                f"the prompt has {len(ids)} tokens, and {self.name} reads at most {self.context}; shorten it",
                param="prompt",
                code="context_length_exceeded",
            )
        return ids

    def job(
        self,
        rows: Sequence[list[int]],
        *,
        n: int,
        max_tokens: int,
        temperature: float,
        top_p: float,
        seed: int,
        first: int = 0,
        ends: frozenset[int] | None = None,
        stop: Sequence[str] = (),
        top: int | None = None,
        echo: bool = False,
        pieces: bool = False,
        goes_on: Sequence[bool] = (),
        tell: Tell = lambda pieces, over: None,
    ) -> Job:
        """A job that is not yet begun: n completions of each row of ids; with `echo` and `top` also the
        log-probabilities of the rows themselves.

        Completions are cut where the context ends behind the longest row. A completion whose row `goes_on` is
        text that goes on from the row's: a tokenizer whose words carry their space drops that of a text's
        first word, and this one is not the first. With `pieces` it is told as it is written; `first` and
        `ends` as in `ContinuousSampler.streams`. Raises Refusal: a row leaves no room for one.
        """
        room = min(max_tokens, self.context - max(map(len, rows)))
        if max_tokens and room < 1:
            raise Refusal(
                400,
                (
                    f"the prompt has {self.context - room} tokens, and {self.name} reads and writes "
                    f"{self.context}; shorten it"
                ),
                param="prompt",
                code="context_length_exceeded",
            )
        streams, writings = [], []
        if room > 0:
            streams = self.sampler.streams(
                list(rows),
                n=n,
                max_new_tokens=room,
                temperature=temperature,
                top_p=top_p,
                seed=seed,
                first=first,
                top=top,
                ends=ends,
            )
        for i, stream in enumerate(streams):
            stream.said = []
            if goes_on and goes_on[i // n]:
                stream.said = tail(self.tokenizer, stream.prompt_ids)
            writing = Writing(stop, pieces=pieces)
            writing.places = Places(self.tokenizer, before=stream.said)
            writings.append(writing)
        return Job(writings, streams, rows if echo and top is not None else (), top or 0, tell)

    def submit(self, job: Job) -> None:
        with self._wake:
            if not self._closing:
                self._inbox.append(job)
                self._wake.notify()
                return
        self._end(job, _leaving())

    def cancel(self, job: Job) -> None:
        """Nobody waits for it any more: its slots are free at the next step, if it is not over."""
        if job.finished.is_set():
            return
        with self._wake:
            self._gone.append(job)
            self._wake.notify()

    def between_steps(self, order: Callable[[], T]) -> Future[T]:
        """Have something done by the engine's thread, where no step is under way."""
        done: Future[T] = Future()

        def work() -> None:
            try:
                done.set_result(order())
            except Exception as error:
                done.set_exception(error)

        with self._wake:
            if self._closing:
                done.set_exception(_leaving())
            else:
                self._orders.append(work)
                self._wake.notify()
        return done

    def pause(self, mode: str) -> None:
        """Newcomers wait until `held` is taken away. Of what is being answered `keep` goes on then, `wait` is
        answered first, and `abort` ends as it is (reason "abort"). Of the engine's thread.
        """
        self.held = True
        if mode == "abort":
            for job in list(self._jobs):
                self._break_off(job)
        self.paused = self.paused or mode == "keep"

    def resume(self) -> None:
        """Go on. Of the engine's thread."""
        self.held = self.paused = False

    def close(self) -> None:
        """End every job with an error and the thread with them."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._orders or self._gone or self._closing or self._has_work()):
                    self._wake.wait()
                if self._closing:
                    left, orders = [*self._jobs, *self._inbox], list(self._orders)
                    break
                new = [] if self.held else list(self._inbox)
                gone, orders = list(self._gone), list(self._orders)
                if new:
                    self._inbox.clear()
                self._gone.clear()
                self._orders.clear()
            try:
                for job in new:
                    self._begin(job)
                for job in gone:
                    self._give_up(job)
                for order in orders:
                    order()
                if not self.paused:
                    self._score()
                    self._step()
            # a bug, or memory that ran out: whoever waits is told, and the next ones find the engine ready
            except Exception as error:
                traceback.print_exc()
                self._fail_all(error)
            self.paused = self.paused or (self.held and not self._jobs)
        self.sampler.reset()
        for job in left:
            self._end(job, _leaving())
        for order in orders:
            order()

    def _has_work(self) -> bool:
        return not self.paused and bool(self._jobs or (self._inbox and not self.held))

    def _break_off(self, job: Job) -> None:
        """End a job with what it has; one whose rows are not all scored ends in an error."""
        self.sampler.leave(job.streams)
        self._scoring = deque(other for other in self._scoring if other is not job)
        pieces = [(w, w.break_off(self.sampler), w.reason) for w in job.writings if not w.reason]
        unread = len(job.likelihoods) < len(job.rows)
        self._end(job, Refusal(503, "the server was paused; ask again") if unread else None, pieces)

    def _begin(self, job: Job) -> None:
        self._jobs.add(job)
        if job.rows:
            self._scoring.append(job)
        self.sampler.join(job.streams)
        if job.complete:
            self._end(job, None)

    def _give_up(self, job: Job) -> None:
        with self._wake:  # it may still be waiting to be begun, while newcomers are held
            self._inbox = deque(other for other in self._inbox if other is not job)
        if job in self._jobs:
            self.sampler.leave(job.streams)
            self._scoring = deque(other for other in self._scoring if other is not job)
            self._end(job, Refusal(499, "the client went away"))

    def _score(self) -> None:
        """One forward pass for rows that wait to be scored: one of each request in turn."""
        taken: list[tuple[Job, list[int]]] = []
        longest, chosen = 0, Counter[Job]()
        while self._scoring:
            job = self._scoring[0]
            row = job.rows[len(job.likelihoods) + chosen[job]]
            longest = max(longest, len(row))
            if taken and (len(taken) + 1) * longest > TOKENS:
                break
            taken.append((job, list(row)))
            chosen[job] += 1
            self._scoring.popleft()
            if len(job.likelihoods) + chosen[job] < len(job.rows):
                self._scoring.append(job)
        if not taken:
            return
        found = self.sampler.likelihoods([row for _, row in taken], top=max(job.top for job, _ in taken))
        for (job, _), likelihood in zip(taken, found, strict=True):
            job.likelihoods.append(
                Likelihood(likelihood.logprobs, [best[: job.top] for best in likelihood.top])
            )
        for job in dict.fromkeys(job for job, _ in taken):
            if job.complete:
                self._end(job, None)

    def _step(self) -> None:
        """One step of decoding, and what it brought for each job."""
        news: dict[Job, list[Piece]] = {}
        for stream in self.sampler.step():
            job, writing = stream.owner
            if stream.broken:
                self.sampler.leave(job.streams)
                self._end(
                    job,
                    Refusal(
                        500,
                        f"the logits of {self.name} are not finite; serve weights from before they became so",
                        code="not_finite",
                    ),
                )
            elif not job.finished.is_set():
                piece = writing.look(self.sampler)
                if writing.reason and not stream.done:
                    self.sampler.leave([stream])
                if piece or writing.reason:
                    news.setdefault(job, []).append((writing, piece, writing.reason))
        for job, pieces in news.items():
            if job.finished.is_set():
                continue
            if job.complete:
                self._end(job, None, pieces)
            else:
                job.tell(pieces, False)

    def _end(self, job: Job, error: Exception | None, pieces: Sequence[Piece] = ()) -> None:
        self._jobs.discard(job)
        if not job.finished.is_set():
            job.error = error
            job.finished.set()
            job.tell(list(pieces), True)

    def _fail_all(self, error: Exception) -> None:
        self.sampler.reset()
        self._scoring.clear()
        refusal = Refusal(500, f"the server failed ({type(error).__name__}); its log says where")
        if isinstance(error, UserError):
            refusal = Refusal.of(error)
        for job in list(self._jobs):
            self._end(job, refusal)


def _leaving() -> Refusal:
    return Refusal(503, "the server is shutting down; ask again later", retry_after=5)
