"""Sampling from a server that speaks OpenAI's API: `/chat/completions` for messages, `/completions` for plain
text or token ids.

Nothing the server says is trusted: an answer that is late, cut, too long, not JSON or lacks a field is asked
for again with growing pauses, and after `retries` of them is one error; what may stand in a good one is
`answers`' matter. Every answer is kept in a JSONL file by the content of its request before it is used, so a
run that is stopped (a budget, a kill, a server that went away) pays for nothing twice and goes on with the
same answers.

One request and its errors are `requests`' matter.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

from ..errors import ConfigError, ModelError, ResourceError, UserError
from ..records import Completion, Prompt
from ..run import derive_seed, writing
from ..settings import EndpointSettings
from ..text.escapes import one_line
from ..text.lines import append_lines, take_up
from . import Sampling, first_words
from .address import Address
from .answers import REFUSAL, NoAnswer, filtered, read_answer
from .requests import Filtered, Refused, Server, TryAgain

LONGEST_PAUSE = 60.0  # seconds between two attempts, whatever the server asks for
T = TypeVar("T")


class EndpointSampler:
    """Completions of a model behind an OpenAI-compatible server. Its completions have neither `ids` nor
    `logprobs`.

    Args:
        name: `http://host:port/v1#model`; also the source written into each completion.
        cache: a JSONL file of answers, read now and added to; None keeps them in memory.
        stop: texts that end a completion; the server leaves them out.
        pause: seconds before the second attempt; doubled for each further one, unless the server names a
            time.

    Raises:
        UserError: not such an address. ConfigError: settings that cannot be, or a key that cannot be sent.
    """

    def __init__(
        self,
        name: str,
        settings: EndpointSettings | None = None,
        *,
        cache: str | Path | None = None,
        stop: Sequence[str] = (),
        pause: float = 1.0,
    ) -> None:
        self.address, self.settings, self.name = Address.parse(name), settings or EndpointSettings(), name
        self.stop, self.pause = list(stop), pause
        s = self.settings
        if s.timeout <= 0 or s.retries < 0 or s.concurrency < 1 or s.max_requests < 0 or s.max_tokens < 0:
            raise ConfigError(
                f"endpoint: timeout {s.timeout}, retries {s.retries}, concurrency {s.concurrency}, "
                f"max_requests {s.max_requests}, max_tokens {s.max_tokens}",
                remedy="a timeout above 0, concurrency from 1, the others from 0",
            )
        self._server = Server(self.address, s, name)
        self._lock, self._leaving = threading.Lock(), threading.Event()
        self._answers: dict[str, dict[str, Any]] = {}
        self._cache = Path(cache) if cache else None
        if self._cache:
            with writing(self._cache.parent):
                self._answers = dict(take_up(self._cache, _kept))
        self._no_logprobs, self.letters_only = False, 0
        # requests, failed ones too; of an earlier process only those that were answered
        self.sent = len(self._answers)

    @property
    def spent(self) -> dict[str, int]:
        """What the answers cost so far: requests that were answered, and tokens (as the server counts them,
        else a quarter of the characters).
        """
        with self._lock:
            tokens = sum(answer["tokens"] for answer in self._answers.values())
            return {"requests": len(self._answers), "tokens": tokens}

    def sync(self, model: Any) -> None:
        """Raises UserError: the weights behind an endpoint are not ours to change."""
        raise UserError(
            "a model behind an endpoint cannot be trained from here",
            where=self.name,
            remedy="a model folder, a run or a hub name",
        )

    def close(self) -> None:
        """Nothing is held between calls."""

    def sample(
        self,
        prompts: Sequence[Prompt | list[int] | str],
        sampling: Sampling = Sampling(),
        *,
        seed: int = 0,
        first: int = 0,
    ) -> list[list[Completion]]:
        """n completions of each prompt, in order; see `LocalSampler.sample`. A completion is finished if the
        server says that it stopped by itself; `blocked` says that a content filter ended it, or stands in its
        place.

        A server that gives fewer than n completions at once is asked for the rest. Each request has a seed of
        its own, so that a server which heeds it gives the same again; greedy ones have none.

        Raises:
            ResourceError: the budget is spent, or the server cannot be reached, is late or overloaded, after
                all retries. What came is kept.
            ModelError: the server's answers are no completions, after all retries. UserError: it refuses the
                request.
        """
        common: dict[str, Any] = {
            "model": self.address.model,
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
        }
        if sampling.top_p < 1:
            common["top_p"] = sampling.top_p
        if self.stop:
            common["stop"] = self.stop

        def one(place: int) -> list[Completion]:
            prompt, completions = prompts[place], []
            path, question = _put(prompt)
            if (
                self.settings.prefill
                and isinstance(prompt, Prompt)
                and prompt.messages[-1].role == "assistant"
            ):
                question |= {"continue_final_message": True, "add_generation_prompt": False}
            answered = prompt if isinstance(prompt, Prompt) else Prompt(())
            while len(completions) < sampling.n:
                body = common | question
                if sampling.temperature:
                    body["seed"] = derive_seed(seed, "endpoint", first + place, len(completions)) % 2**31
                wanted = sampling.n - len(completions)
                if wanted > 1:
                    body["n"] = wanted
                for text, finished, blocked in self._answer(path, body)["choices"][:wanted]:
                    completions.append(
                        Completion(answered, text, finished=finished, source=self.name, blocked=blocked)
                    )
            return completions

        return self._in_parallel(one, len(prompts))

    def choice_logprobs(
        self,
        asked: Sequence[Prompt | str],
        choices: Sequence[str],
        *,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[tuple[float, ...]]:
        """log P of each choice as the first thing the model says, in nats: a request for one token and the
        likeliest tokens in its place.

        A token counts for a choice if the choice begins with it (" A" for "A)") or it goes on from the choice
        with no letter ("A." for "A"); one that could be two choices counts for none. A choice that is not
        among the likeliest gets what is left of the probability, or that of the last that is, if less. A
        server that gives no log-probabilities is asked for its answer: the choice it begins with gets 0 and
        the others `UNSAID`, and `letters_only` counts such answers. Answers are kept and paid for as in
        `sample`. Raises as `sample` does.
        """

        def one(place: int) -> tuple[float, ...]:
            path, question = _put(asked[place])
            common = {"model": self.address.model, "temperature": 0} | question
            if not self._no_logprobs:
                chat = isinstance(asked[place], Prompt)
                shape = {"logprobs": True, "top_logprobs": 20} if chat else {"logprobs": 5}
                try:
                    answer = self._answer(path, common | {"max_tokens": 1} | shape)
                    if answer.get("top"):
                        return first_words.of_tokens(answer["top"], choices)
                except Refused:  # there are servers that refuse to be asked for log-probabilities
                    pass
            text = self._answer(path, common | {"max_tokens": 8})["choices"][0][0]
            self._read_by_letters()
            return first_words.of_words(text, choices)

        return self._in_parallel(one, len(asked), on_progress)

    def _read_by_letters(self) -> None:
        """Count an answer of which only the words are known; the first time, say so."""
        with self._lock:
            if not self._no_logprobs:
                print(
                    f"{one_line(self.name)} gives no log-probabilities: its answers are read for the choice "
                    "they begin with, and say nothing of how sure it is",
                    file=sys.stderr,
                    flush=True,
                )
            self._no_logprobs, self.letters_only = True, self.letters_only + 1

    def _in_parallel(
        self, one: Callable[[int], T], count: int, on_progress: Callable[[int, int], None] | None = None
    ) -> list[T]:
        """`one` of every place, `concurrency` at a time. The first error stops the others: those that are
        being answered are waited for and kept.
        """
        self._leaving.clear()
        with ThreadPoolExecutor(self.settings.concurrency, "endpoint") as pool:
            futures = [pool.submit(one, place) for place in range(count)]
            try:
                left: set[Future[T]] = set(futures)
                while left:
                    done, left = wait(left, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()  # raises what was raised
                    if on_progress:
                        on_progress(count - len(left), count)
            except BaseException:
                self._leaving.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [future.result() for future in futures]

    def _answer(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """`choices` (text, finished, blocked) and `tokens` of one request, from the cache or the server."""
        data = json.dumps(body, sort_keys=True).encode()
        key = hashlib.sha256(f"{self.address.url}{path}\n".encode() + data).hexdigest()[:32]
        with self._lock:
            if key in self._answers:
                return self._answers[key]
        answer = self._ask(path, data, most=body.get("n", 1))
        with self._lock:
            self._answers[key] = answer
            if self._cache:
                with writing(self._cache.parent):
                    append_lines(self._cache, [{"key": key, "model": self.address.model, **answer}])
        return answer

    def _ask(self, path: str, data: bytes, *, most: int) -> dict[str, Any]:
        """The server's answer, at most `most` choices of it, after as many attempts as it takes and `retries`
        allows.
        """
        failed: list[TryAgain] = []
        while True:
            self._spend()
            try:
                return self._attempt(path, data, most=most)
            except Filtered:
                return {"choices": [(REFUSAL, True, "content_filter")] * most, "tokens": len(data) // 4}
            except TryAgain as error:
                failed.append(error)
            if len(failed) > self.settings.retries:
                break
            self._leaving.wait(min(LONGEST_PAUSE, failed[-1].after or self.pause * 2 ** (len(failed) - 1)))
        what = self._server.clean(str(failed[-1]))
        if len(failed) > 1:
            what += f", {len(failed)} times in a row"
        if failed[-1].rubbish:
            raise ModelError(
                f"the endpoint's answer is no completion: {what}",
                where=self.name,
                remedy=(
                    "is an OpenAI-compatible server at that address, and does its path end in /v1? What "
                    "came before is kept"
                ),
            )
        raise ResourceError(
            f"the endpoint does not answer: {what}",
            where=self.name,
            remedy=(
                "the same command goes on with what came, once the server is well; or a longer "
                "endpoint.timeout, a lower endpoint.concurrency"
            ),
        )

    def _attempt(self, path: str, data: bytes, *, most: int) -> dict[str, Any]:
        body = self._server.post(path, data)
        try:
            answer = read_answer(body, asked=len(data), chat=path.startswith("/chat"))
        except NoAnswer as error:
            if filtered(body):
                raise Filtered from None
            raise TryAgain(f"{error} ({self._server.words(body)})", rubbish=True) from None
        return answer | {"choices": answer["choices"][:most]}

    def _spend(self) -> None:
        """Count one request, if the budget has it. Requests that are under way when the tokens run out are
        still paid for and kept.
        """
        s, spent = self.settings, self.spent
        with self._lock:
            over = ""
            if s.max_requests and self.sent >= s.max_requests:
                over = f"{self.sent} of {s.max_requests} requests"
            elif s.max_tokens and spent["tokens"] >= s.max_tokens:
                over = f"{spent['tokens']} of {s.max_tokens} tokens"
            if over:
                raise ResourceError(
                    f"the endpoint's budget is spent: {over}",
                    where=self.name,
                    remedy=(
                        "what came is kept: the same command with a larger endpoint.max_requests or "
                        "endpoint.max_tokens goes on from there"
                    ),
                )
            if self._leaving.is_set():  # another request's error is the one that is shown
                raise ResourceError("stopped", where=self.name)
            self.sent += 1


def _put(prompt: Prompt | list[int] | str) -> tuple[str, dict[str, Any]]:
    """Where a prompt is sent, and how it is put there."""
    if isinstance(prompt, Prompt):
        return "/chat/completions", {"messages": [message.to_json() for message in prompt.messages]}
    return "/completions", {"prompt": prompt}


def _kept(row: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Key and answer of a line of the cache."""
    choices = [(str(text), bool(end), str(*blocked)) for text, end, *blocked in row["choices"]]
    answer: dict[str, Any] = {"choices": choices, "tokens": int(row["tokens"])}
    if "top" in row:
        answer["top"] = [(str(token), float(logprob)) for token, logprob in row["top"]]
    return row["key"], answer
