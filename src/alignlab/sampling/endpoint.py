"""Sampling from a server that speaks OpenAI's API: `/chat/completions` for messages, `/completions` for plain
text or token ids.

Nothing the server says is trusted: an answer that is late, cut, too long, not JSON or lacks a field is asked
for again with growing pauses, and after `retries` of them is one error; what may stand in a good one is
`answers`' matter. Every answer is kept in a JSONL file by the content of its request before it is used, so a
run that is stopped (a budget, a kill, a server that went away) pays for nothing twice and goes on with the
same answers.

The standard library's `http.client` does the talking: one POST needs no client library, it follows no
redirect (a key goes to the host that was named and to no other), and httpx is no dependency of ours.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, TypeVar

from ..errors import ConfigError, ModelError, ResourceError, UserError
from ..records import Completion, Prompt
from ..run import derive_seed, writing
from ..settings import EndpointSettings
from ..text.escapes import one_line
from ..text.lines import append_lines, take_up
from . import Sampling
from .address import Address
from .answers import REFUSAL, NoAnswer, filtered, read_answer

MOST_BYTES = 8_000_000  # of one answer; as objects they may take thirty times as much
LONGEST_PAUSE = 60.0  # seconds between two attempts, whatever the server asks for
PATIENT = frozenset({408, 425, 429})  # asked again, as is every status from 500 up
UNSAID = math.log(1e-6)  # of a choice of which nothing is known but that it was not said
T = TypeVar("T")


class _Refused(UserError):
    """A request that the server will not take as it is put."""


class _Filtered(Exception):
    """A prompt that the provider's content filter stopped: he refused it."""


class _TryAgain(Exception):
    """An attempt that failed and may succeed later. `rubbish`: the server answered, and not with a
    completion. `after`: seconds it asked for.
    """

    def __init__(self, what: str, *, rubbish: bool = False, after: float = 0.0) -> None:
        super().__init__(what)
        self.rubbish, self.after = rubbish, after


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
                f"endpoint: timeout {s.timeout}, retries {s.retries}, concurrency {s.concurrency}, max_requests {s.max_requests}, "
                f"max_tokens {s.max_tokens}",
                remedy="a timeout above 0, concurrency from 1, the others from 0",
            )
        self._key = os.environ.get(s.key_env, "") if s.key_env else ""
        if any(not 32 < ord(c) < 127 for c in self._key):  # http.client would show it in its error
            raise ConfigError(
                f"the key in ${s.key_env} holds characters that no header can carry",
                remedy="set it again, without spaces or line ends",
            )
        self._lock, self._leaving = threading.Lock(), threading.Event()
        self._answers: dict[str, dict[str, Any]] = {}
        self._cache = Path(cache) if cache else None
        if self._cache:
            with writing(self._cache.parent):
                self._answers = dict(take_up(self._cache, _kept))
        self._no_logprobs, self.letters_only = False, 0
        self.sent = len(
            self._answers
        )  # requests, failed ones too; of an earlier process only those that were answered

    @property
    def spent(self) -> dict[str, int]:
        """What the answers cost so far: requests that were answered, and tokens (as the server counts them,
        else a quarter of the characters).
        """
        with self._lock:
            return {
                "requests": len(self._answers),
                "tokens": sum(answer["tokens"] for answer in self._answers.values()),
            }

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
        self, prompts: Sequence[Prompt | list[int] | str], sampling: Sampling = Sampling(), *, seed: int = 0
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
        common = {
            "model": self.address.model,
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
        }
        common |= {"top_p": sampling.top_p} if sampling.top_p < 1 else {}
        common |= {"stop": self.stop} if self.stop else {}

        def one(place: int) -> list[Completion]:
            prompt, found = prompts[place], []
            what: dict[str, Any] = (
                {"messages": [m.to_json() for m in prompt.messages]}
                if isinstance(prompt, Prompt)
                else {"prompt": prompt}
            )
            if (
                self.settings.prefill
                and isinstance(prompt, Prompt)
                and prompt.messages[-1].role == "assistant"
            ):
                what |= {"continue_final_message": True, "add_generation_prompt": False}
            while len(found) < sampling.n:
                drawn = (
                    {"seed": derive_seed(seed, "endpoint", place, len(found)) % 2**31}
                    if sampling.temperature
                    else {}
                )
                wanted = sampling.n - len(found)
                answer = self._answer(
                    "/chat/completions" if isinstance(prompt, Prompt) else "/completions",
                    common | what | drawn | ({"n": wanted} if wanted > 1 else {}),
                )
                found += [
                    Completion(
                        prompt if isinstance(prompt, Prompt) else Prompt(()),
                        text,
                        finished=finished,
                        source=self.name,
                        blocked=blocked,
                    )
                    for text, finished, blocked in answer["choices"][:wanted]
                ]
            return found

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
            prompt = asked[place]
            chat = isinstance(prompt, Prompt)
            path = "/chat/completions" if chat else "/completions"
            what = (
                {"messages": [m.to_json() for m in prompt.messages]}
                if isinstance(prompt, Prompt)
                else {"prompt": prompt}
            )
            common = {"model": self.address.model, "temperature": 0} | what
            if not self._no_logprobs:
                try:
                    answer = self._answer(
                        path,
                        common
                        | {"max_tokens": 1}
                        | ({"logprobs": True, "top_logprobs": 20} if chat else {"logprobs": 5}),
                    )
                    if answer.get("top"):
                        return _of_choices(answer["top"], choices)
                except UserError as error:
                    if not isinstance(error, _Refused):
                        raise
            said = self._answer(path, common | {"max_tokens": 8})["choices"][0][0]
            with self._lock:
                if not self._no_logprobs:
                    print(
                        one_line(self.name)
                        + (
                            " gives no log-probabilities: its answers are read for the choice they begin "
                            "with, and say nothing of how sure it is"
                        ),
                        file=sys.stderr,
                        flush=True,
                    )
                self._no_logprobs, self.letters_only = True, self.letters_only + 1
            begun = _begun(said, choices)
            return tuple(0.0 if k == begun else UNSAID for k in range(len(choices)))

        return self._in_parallel(one, len(asked), on_progress)

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
        """`choices` (text, finished, blocked) and `tokens` of one request, from the cache or from the server."""
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
        failed: list[_TryAgain] = []
        while True:
            self._spend()
            try:
                body = self._post(path, data)
                try:
                    answer = read_answer(body, asked=len(data), chat=path.startswith("/chat"))
                except NoAnswer as error:
                    if filtered(body):
                        raise _Filtered from None
                    raise _TryAgain(f"{error} ({self._said(body)})", rubbish=True) from None
                return answer | {"choices": answer["choices"][:most]}
            except _Filtered:
                return {"choices": [(REFUSAL, True, "content_filter")] * most, "tokens": len(data) // 4}
            except _TryAgain as error:
                failed.append(error)
            if len(failed) > self.settings.retries:
                break
            self._leaving.wait(min(LONGEST_PAUSE, failed[-1].after or self.pause * 2 ** (len(failed) - 1)))
        what = (
            f"{self._clean(str(failed[-1]))}, {len(failed)} times in a row"
            if len(failed) > 1
            else self._clean(str(failed[-1]))
        )
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

    def _spend(self) -> None:
        """Count one request, if the budget has it. Requests that are under way when the tokens run out are
        still paid for and kept.
        """
        s, spent = self.settings, self.spent
        with self._lock:
            over = (
                f"{self.sent} of {s.max_requests} requests"
                if s.max_requests and self.sent >= s.max_requests
                else f"{spent['tokens']} of {s.max_tokens} tokens"
                if s.max_tokens and spent["tokens"] >= s.max_tokens
                else ""
            )
            if over:
                raise ResourceError(
                    f"the endpoint's budget is spent: {over}",
                    where=self.name,
                    remedy=(
                        "what came is kept: the same command with a larger endpoint.max_requests or "
                        "endpoint.max_tokens goes on from there"
                    ),
                )
            if self._leaving.is_set():
                raise ResourceError(
                    "stopped", where=self.name
                )  # another request's error is the one that is shown
            self.sent += 1

    def _post(self, path: str, data: bytes) -> bytes:
        """The body of a 200. Raises _TryAgain, or UserError for a request that the server will never take."""
        a, timeout = self.address, self.settings.timeout
        connection = (HTTPSConnection if a.secure else HTTPConnection)(a.host, a.port, timeout=timeout)
        headers = {"Content-Type": "application/json", "Accept": "application/json"} | (
            {"Authorization": f"Bearer {self._key}"} if self._key else {}
        )
        late = threading.Event()

        def cut(
            connected: socket.socket,
        ) -> None:  # the timeout of a socket is one for each read: a server that sends a byte a minute would never meet it
            late.set()
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

        watch = None
        try:
            connection.connect()
            watch = threading.Timer(
                timeout, cut, [connection.sock]
            )  # the connection forgets its socket before the answer is read
            watch.daemon = True
            watch.start()
            connection.request("POST", a.path + path, body=data, headers=headers)
            response = connection.getresponse()
            status, told = response.status, response.headers
            body = _body_of(response)
            if late.is_set():
                raise TimeoutError
        except (TimeoutError, OSError, HTTPException, ValueError, AttributeError) as error:
            if late.is_set() or isinstance(error, TimeoutError):
                raise _TryAgain(f"nothing whole within {timeout:g} s") from None
            if isinstance(error, AttributeError):  # only of a connection that was cut while it was read
                raise
            raise _TryAgain(f"{type(error).__name__}: {self._hidden(str(error))}") from None
        finally:
            if watch:
                watch.cancel()
            connection.close()
        if len(body) > MOST_BYTES:
            raise _TryAgain(f"more than {MOST_BYTES} bytes", rubbish=True)
        if told.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
            raise _TryAgain("packed (Content-Encoding), which was not asked for", rubbish=True)
        if status == 200:
            return body
        said = self._said(body)
        if status in PATIENT or status >= 500:
            raise _TryAgain(f"status {status}, {said}", after=_seconds(told.get("Retry-After", "")))
        if status < 300:
            raise _TryAgain(f"status {status} in the place of 200, {said}", rubbish=True)
        if filtered(body):
            raise _Filtered
        if status in (401, 403):
            raise UserError(
                f"the endpoint lets nobody in without a key (status {status}, {said})"
                if not self._key
                else f"the endpoint does not take the key (status {status}, {said})",
                where=self.name,
                remedy=(
                    "put the key into the environment variable "
                    f"{self.settings.key_env or 'that endpoint.key_env names'}"
                ),
            )
        if status < 400:
            said = f"it sends on to {self._clean(told.get('Location', 'nowhere'))}"
        raise _Refused(
            f"the endpoint refuses the request (status {status}, {said})",
            where=f"{a.url}{path}",
            remedy="check path and model; `curl URL/models` lists what the server has"
            if status == 404
            else (
                "no redirect is followed, for the key goes with it: name the address it sends on to, if you "
                "trust that"
            )
            if status < 400
            else "see what the server says of it",
        )

    def _hidden(self, text: str) -> str:
        """The text of a server without our key, before any of it is cut off."""
        return text.replace(self._key, "[key]") if self._key else text

    def _clean(self, text: str) -> str:
        """The text of a server for an error message: short, on one line, nothing in it that moves the cursor,
        without our key.
        """
        return one_line(self._hidden(text), 200)

    def _said(self, body: bytes) -> str:
        """What a server says in words: the message of an OpenAI error, else the beginning of the body."""
        text = self._hidden(body.decode("utf-8", "replace"))
        with suppress(ValueError, RecursionError, KeyError, TypeError, AttributeError):
            error = json.loads(body)["error"]
            text = self._hidden(str(error["message"] if isinstance(error, dict) else error))
        return one_line(" ".join(text[:2000].split()), 120)


def _kept(row: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Key and answer of a line of the cache."""
    choices = [(str(text), bool(end), str(*blocked)) for text, end, *blocked in row["choices"]]
    answer: dict[str, Any] = {"choices": choices, "tokens": int(row["tokens"])}
    if "top" in row:
        answer["top"] = [(str(token), float(logprob)) for token, logprob in row["top"]]
    return row["key"], answer


def _body_of(response: HTTPResponse) -> bytes:
    """The body, or one byte more than `MOST_BYTES` of it.

    In small reads: a whole one trusts the sizes of chunks, a negative one of which means everything that ever
    comes.

    Raises:
        HTTPException, OSError: it is cut.
    """
    parts, size = [], 0
    while size <= MOST_BYTES and (part := response.read1(65536)):
        parts.append(part)
        size += len(part)
    if size <= MOST_BYTES and response.length:
        raise ConnectionError("the connection was cut")
    return b"".join(parts)[: MOST_BYTES + 1]


def _seconds(after: str) -> float:
    """Seconds of a Retry-After header; 0 for a date, a negative or any other text."""
    return min(LONGEST_PAUSE, float(after)) if after.isascii() and after.isdecimal() else 0.0


def _of_choices(top: Sequence[tuple[str, float]], choices: Sequence[str]) -> tuple[float, ...]:
    """The log-probability of each choice from the likeliest first tokens."""
    left = max(0.0, 1 - sum(math.exp(p) for _, p in top))
    unseen = min(top[-1][1], math.log(left) if left > 0 else UNSAID)
    masses = [
        sum(math.exp(p) for token, p in top if _begun(token, choices) == k) for k in range(len(choices))
    ]
    return tuple(math.log(mass) if mass > 0 else max(unseen, UNSAID) for mass in masses)


def _begun(text: str, choices: Sequence[str]) -> int | None:
    """The choice that a text begins, or begins with; None if it is none, or could be two."""
    said = text.strip().lstrip("([*\"'`")

    def of(choice: str) -> bool:
        return (
            choice.startswith(said)
            or said.startswith(choice)
            and not re.match(r"\w| +[a-z]", said[len(choice) :])
        )  # "A good reply" chooses nothing

    hits = [k for k, choice in enumerate(choices) if said and of(choice.strip())]
    return hits[0] if len(hits) == 1 else None
