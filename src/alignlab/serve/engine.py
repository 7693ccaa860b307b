"""One model and the thread that owns it: what is asked at the same time is written side by side.

Jobs come from any thread and are told of their progress from the engine's. A job that fails, is given up or
outlives the engine is told so: none is left waiting.
"""

from __future__ import annotations

import threading
import traceback
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace

from ..errors import UserError
from ..models.chat import open_turn, prompt_ids, text_ids
from ..models.chat_template import begin_ids, text_of
from ..models.likelihood import TOKENS, Likelihood
from ..models.policy import Policy, context_of
from ..records import Prompt
from ..sampling.continuous import ContinuousSampler
from .documents import Token
from .places import Name, Names, Places, spans, tail
from .refusal import Refusal
from .writing import Job, Piece, Tell, Writing

NEVER = -9999.0  # log-probability of what cannot be, which JSON cannot say; OpenAI's API writes the same


class Engine:
    """A model that many ask at once.

    Args:
        slots: completions written side by side.
        context: most tokens of a prompt and its completion; 0 = the model's own limit.
        memory: bytes that keys and values may take.
    """

    def __init__(self, name: str, policy: Policy, *, slots: int, context: int, memory: float) -> None:
        self.name, self.tokenizer, self.model = name, policy.tokenizer, policy.model
        self.names = Names(policy.tokenizer)
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
        first word, and this one is not the first. With `pieces` it is told as it is written. Raises Refusal:
        a row leaves no room for one.
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
                list(rows), n=n, max_new_tokens=room, temperature=temperature, top_p=top_p, seed=seed, top=top
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
        """Nobody waits for it any more: its slots are free at the next step."""
        with self._wake:
            self._gone.append(job)
            self._wake.notify()

    def close(self) -> None:
        """End every job with an error and the thread with them."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def echo(self, prompt: Prompt | list[int] | str) -> str:
        """A prompt as it is given back: a text as it came, ids as the tokenizer reads them, of a chat the
        turn that is gone on with.
        """
        if isinstance(prompt, Prompt):
            return open_turn(prompt)[1]
        return prompt if isinstance(prompt, str) else text_of(self.tokenizer, prompt)

    def written(self, writing: Writing, *, at: int = 0) -> list[Token]:
        """Tokens of a completion that were not handed out yet: those that begin in the text shown, and at its
        end all, unless a stop text ended it.

        Args:
            at: where the completion begins in the text that is given.
        """
        stream, places, tokens = writing.stream, writing.places, []
        whole = writing.reason is not None and (stream.finished or writing.reason == "length")
        while writing.handed < len(stream.told) and (whole or places.at < len(writing.text)):
            token, (logprob, best) = stream.ids[writing.handed], stream.told[writing.handed]
            start, piece = places.next(token, writing.text)
            place = at + min(start, len(writing.text))
            tokens.append(self._token(token, logprob, best, at=place, piece=piece))
            writing.handed += 1
        return tokens

    def read(
        self, prompt: Prompt | list[int] | str, row: Sequence[int], likelihood: Likelihood
    ) -> list[Token]:
        """Tokens of a prompt, whose ids are `row`; of a chat those of the turn that is gone on with. Those
        that were put before a text (a begin token) are no part of it: they are empty.
        """
        text, before, skipped = self.echo(prompt), 0, 0
        if isinstance(prompt, Prompt):
            skipped = len(prompt_ids(self.tokenizer, open_turn(prompt)[0]))
        elif isinstance(prompt, str):
            before = len(begin_ids(self.tokenizer))
        row = row[skipped:]
        places = [(0, "")] * before + self._placed(row[before:], text)
        tokens = []
        for token, logprob, best, (at, piece) in zip(
            row, likelihood.logprobs[skipped:], likelihood.top[skipped:], places, strict=True
        ):
            tokens.append(self._token(token, logprob, best, at=min(at, len(text)), piece=piece))
        return [replace(token, name=Name.of("")) for token in tokens[:before]] + tokens[before:]

    def _placed(self, ids: Sequence[int], text: str) -> list[tuple[int, str]]:
        """Where each token begins in the text, and its piece of it: as they are decoded, if that is the text,
        else as the tokenizer cut it up.
        """
        if text_of(self.tokenizer, ids) != text:
            cut = spans(self.tokenizer, text)
            if cut is not None and len(cut) == len(ids):
                return cut
        places = Places(self.tokenizer)
        return [places.next(token, text) for token in ids]

    def _token(
        self, token: int, logprob: float | None, best: Sequence[tuple[int, float]], *, at: int, piece: str
    ) -> Token:
        """A token by its piece of the text, and the likeliest in its place by names that fit: without the
        blank that it lost at the beginning of the text.
        """
        name = plain = self.names[token]
        if not plain.text.startswith("bytes:") and (piece or not plain.text.strip(" ")):
            name = Name.of(piece)
        lost = plain.text.startswith(" ") and not name.text.startswith(" ")

        def beside(other: int) -> Name:
            if other == token:
                return name
            known = self.names[other]
            if lost and known.text.startswith(" ") and known.text != " ":
                return Name.of(known.text[1:])
            return known

        if logprob is not None:
            logprob = max(logprob, NEVER)
        return Token(name, logprob, [(beside(other), max(value, NEVER)) for other, value in best], at)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._inbox or self._gone or self._jobs or self._closing):
                    self._wake.wait()
                if self._closing:
                    left = [*self._jobs, *self._inbox]
                    break
                new, gone = list(self._inbox), list(self._gone)
                self._inbox.clear()
                self._gone.clear()
            try:
                for job in new:
                    self._begin(job)
                for job in gone:
                    self._give_up(job)
                self._score()
                self._step()
            # a bug, or memory that ran out: whoever waits is told, and the next ones find the engine ready
            except Exception as error:
                traceback.print_exc()
                self._fail_all(error)
        self.sampler.reset()
        for job in left:
            self._end(job, _leaving())

    def _begin(self, job: Job) -> None:
        self._jobs.add(job)
        if job.rows:
            self._scoring.append(job)
        self.sampler.join(job.streams)
        if job.complete:
            self._end(job, None)

    def _give_up(self, job: Job) -> None:
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
