"""The HTTP side: routes, who is let in, how much, and every answer's way from the engine to the client.

Starlette and uvicorn carry it. FastAPI, which is Starlette and pydantic, would check bodies in pydantic's way
and answer in pydantic's shape; OpenAI's clients expect OpenAI's, so bodies are read by `protocol`.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ..defences.middleware import DEFENCES, build
from ..errors import UserError
from ..records import Completion, Prompt
from ..sampling import Sampler, Sampling
from ..settings import ServeSettings
from .access import Access
from .audit import Audit
from .engine import Door, Engine, EngineTarget, Job, Piece, is_open
from .protocol import Ask, Choice, Refusal, document, opening, read_ask, read_json, read_model, usage

BODY_SECONDS = 30.0  # a client may take so long to send its body
# times the largest body: what is too long and not longer than this is read to its end and dropped, so that
# its client sees the answer
DRAINED = 8
LARGE = 20_000  # bytes of a body from which it is tokenised beside the event loop
# log-probabilities in one answer, those of the likeliest tokens beside each one counted: some hundred bytes
# each
MOST_TOLD = 1_000_000
MOST_STACKS = 64  # of defences that are kept built
HEADER = "x-alignlab-defence"


@dataclass(frozen=True)
class Served:
    """A model by the name clients use, inside the defences that it is never without."""

    engine: Engine
    stack: tuple[str, ...] = ()


class Server:
    """The application (`asgi`) around served models.

    Args:
        access: who is let in.
        stop: texts that end a completion where the client names none.
    """

    def __init__(
        self,
        served: Mapping[str, Served],
        settings: ServeSettings,
        audit: Audit,
        access: Access,
        *,
        stop: Sequence[str] = (),
    ) -> None:
        self.served, self.settings, self.audit, self.access, self.stop = (
            dict(served),
            settings,
            audit,
            access,
            tuple(stop),
        )
        self.active = self.answered = 0
        self.since = int(time.time())
        self.doors: dict[tuple[str, tuple[str, ...]], tuple[Door, Sampler]] = {}
        self.building = threading.Lock()
        self.threads = ThreadPoolExecutor(settings.slots, "request")  # defences, which wait for the engine
        self.asgi = Starlette(
            routes=[
                Route("/v1/models", self._models),
                Route("/v1/models/{name:path}", self._model),
                Route("/health", self._health),
                Route("/v1/chat/completions", partial(self._post, chat=True), methods=["POST"]),
                Route("/v1/completions", partial(self._post, chat=False), methods=["POST"]),
            ],
            exception_handlers={Refusal: _refused, HTTPException: _no_route},
        )

    def end(self) -> None:
        """End what is still being answered, with an error, and the engines."""
        for engine in {id(s.engine): s.engine for s in self.served.values()}.values():
            engine.close()

    def close(self) -> None:
        """As `end`; the threads and the log too."""
        self.end()
        self.threads.shutdown(wait=True, cancel_futures=True)
        self.audit.close()

    def find(self, name: str, header: str) -> Served:
        """The model of a name such as `M+self-reminder`, in its own defences and those that name and header
        add. Raises Refusal: 404.
        """
        known = max((s for s in self.served if name == s or name.startswith(f"{s}+")), key=len, default=None)
        if known is None:
            raise Refusal(
                404,
                (
                    f"there is no model {json.dumps(name)[:100]} here; GET /v1/models lists those there "
                    f"are: {', '.join(self.served)}"
                )[:600],
                param="model",
                code="model_not_found",
            )
        served = self.served[known]
        more = [
            part.strip()
            for part in [*name[len(known) + 1 :].split("+"), *re.split("[+,]", header)]
            if part.strip()
        ]
        stack = tuple(dict.fromkeys((*served.stack, *more)))
        if unknown := [part for part in stack if part not in DEFENCES]:
            raise Refusal(
                404,
                f"there is no defence {json.dumps(unknown[0])[:100]}; there are {', '.join(DEFENCES)}",
                param="model",
                code="model_not_found",
            )
        return Served(served.engine, stack)

    def guarded(self, served: Served) -> tuple[Door, Sampler]:
        """The stack of defences around a model, the same for all requests, and the door through which each
        asks its own target. Raises UserError.
        """
        key = (served.engine.name, served.stack)
        with self.building:
            if key not in self.doors:
                if len(self.doors) >= MOST_STACKS:  # clients name what they like: the oldest is forgotten
                    del self.doors[next(iter(self.doors))]
                door = Door()
                self.doors[key] = door, build(served.stack, door)
            return self.doors[key]

    async def _models(self, request: Request) -> Response:
        self.access.check(request.headers)
        return JSONResponse({"object": "list", "data": [self._card(name) for name in self.served]})

    async def _model(self, request: Request) -> Response:
        self.access.check(request.headers)
        name = request.path_params["name"]
        self.find(name, "")
        return JSONResponse(self._card(name))

    def _card(self, name: str) -> dict[str, Any]:
        found = self.find(name, "")
        return {
            "id": name,
            "object": "model",
            "created": self.since,
            "owned_by": "alignlab",
            "alignlab": {
                "context": found.engine.context,
                "defences": list(found.stack),
                "more_defences": [d for d in DEFENCES if d not in found.stack],
            },
        }

    async def _health(self, request: Request) -> Response:
        self.access.check(request.headers)
        return JSONResponse(
            {"status": "ok", "active": self.active, "answered": self.answered, "queue": self.settings.queue}
        )

    async def _post(self, request: Request, *, chat: bool) -> Any:
        return _Exchange(self, request, chat=chat)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return JSONResponse(
        error.to_json(), error.status, {"Retry-After": str(error.retry_after)} if error.retry_after else None
    )


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = (
        f"{request.method} {json.dumps(request.scope['path'])[:100]} is nothing here; there are GET "
        "/v1/models, POST /v1/chat/completions and POST /v1/completions"
    )
    return JSONResponse(
        Refusal(error.status_code, what, code="unknown_url").to_json(), error.status_code, error.headers
    )


class _Gone(Exception):
    """The client went away."""


@dataclass
class _Mailbox:
    """What a request waits for: pieces from the engine's thread, its end, or the client leaving; one event
    for all of them.
    """

    loop: asyncio.AbstractEventLoop
    event: asyncio.Event = field(default_factory=asyncio.Event)
    pieces: dict[int, Piece] = field(
        default_factory=dict
    )  # one for each completion: what a slow reader has not taken grows by its letters alone
    over: bool = False
    gone: bool = False

    def tell(self, pieces: list[Piece], over: bool) -> None:
        """From any thread."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self.loop.call_soon_threadsafe(self._take, pieces, over)

    def _take(self, pieces: list[Piece], over: bool) -> None:
        for writing, text, reason in pieces:
            before = self.pieces.get(id(writing))
            self.pieces[id(writing)] = (writing, before[1] + text if before else text, reason)
        self.over = self.over or over
        self.event.set()

    def leave(self) -> None:
        self.gone = True
        self.event.set()

    async def next(self) -> list[Piece]:
        """What came since; may be nothing. Raises _Gone."""
        await self.event.wait()
        self.event.clear()
        if self.gone:
            raise _Gone
        found, self.pieces = self.pieces, {}
        return list(found.values())


class _Exchange:
    """One request, from its headers to its line in the audit log."""

    def __init__(self, server: Server, request: Request, *, chat: bool) -> None:
        self.server, self.request, self.chat = server, request, chat
        self.id = ("chatcmpl-" if chat else "cmpl-") + secrets.token_hex(12)
        self.row: dict[str, Any] = {
            "time": time.time(),
            "id": self.id,
            "client": request.client.host if request.client else "",
            "route": request.scope["path"],
        }
        self.texts: dict[str, Any] = {}
        self.created = int(self.row["time"])
        self.headers = {"x-request-id": self.id}
        self.begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer. Whatever happens, the place in the queue is given back and the log has a line."""
        self.receive, self.send = receive, send
        started = time.perf_counter()
        refusal: Refusal | None = None
        try:
            self._let_in()
            self.server.active += 1
            try:
                async with asyncio.timeout(self.server.settings.timeout):
                    await self._answer()
            finally:
                self.server.active -= 1
        except Refusal as error:
            refusal = error
        except TimeoutError:
            refusal = Refusal(
                504,
                (
                    f"no answer within {self.server.settings.timeout:g} s; ask for fewer tokens, or serve "
                    "with a longer --timeout"
                ),
                code="timeout",
            )
        except (_Gone, ClientDisconnect):
            refusal = Refusal(499, "the client went away")
        except asyncio.CancelledError:
            refusal = Refusal(503, "the server is shutting down")
            raise
        except Exception as error:  # a bug of ours, or of a defence
            traceback.print_exc()
            refusal = Refusal(500, f"the server failed ({type(error).__name__}); its log says where")
        finally:
            status = refusal.status if refusal else 200
            self.server.answered += 1
            self.server.audit.write(
                {
                    **self.row,
                    "status": status,
                    "error": refusal and (refusal.code or refusal.kind),
                    "seconds": round(time.perf_counter() - started, 4),
                },
                self.texts,
            )
        if refusal and refusal.status != 499:
            await self._refuse(refusal)

    def _let_in(self) -> None:
        server = self.server
        server.access.check(self.request.headers)
        if server.active >= server.settings.queue:
            raise Refusal(
                429,
                f"{server.active} requests are being answered, and no more may wait; try again in a second",
                code="queue_full",
                kind="rate_limit_error",
                retry_after=1,
            )
        if server.audit.broken:
            server.audit.try_again()
        if server.audit.broken:
            raise Refusal(
                503, "the audit log cannot be written, and nothing is answered without it", retry_after=30
            )
        if (
            kind := self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        ) != "application/json":
            raise Refusal(415, f"the content type is {json.dumps(kind)[:60]}; send application/json")

    async def _answer(self) -> None:
        body = await self._body()
        row = read_json(body)
        served = self.server.find(read_model(row), self.request.headers.get(HEADER, ""))
        ask = read_ask(row, chat=self.chat)
        engine, loop = served.engine, asyncio.get_running_loop()
        if ask.ignored:
            self.headers["x-alignlab-ignored"] = re.sub(
                r"[^\w.,-]", "?", ",".join(ask.ignored), flags=re.ASCII
            )[:200]
        self.row |= {
            "model": engine.name,
            "defences": list(served.stack),
            "stream": ask.stream,
            "n": ask.n,
            "prompts": len(ask.prompts),
            "bytes": len(body),
            "ignored": list(ask.ignored),
        }
        self.texts["prompts"] = [
            prompt.to_json()["prompt"] if isinstance(prompt, Prompt) else prompt for prompt in ask.prompts
        ]
        rows = (
            [engine.ids(p) for p in ask.prompts]
            if len(body) < LARGE
            else await asyncio.to_thread(lambda: [engine.ids(p) for p in ask.prompts])
        )
        self.row["prompt_tokens"] = sum(map(len, rows))
        box = _Mailbox(loop)
        watch = loop.create_task(self._watch(box))
        try:
            await (
                self._defended(ask, served, rows, box)
                if served.stack
                else self._plain(ask, engine, rows, box)
            )
        finally:
            watch.cancel()

    async def _body(self) -> bytes:
        """The body, as long as it is neither too long nor too slow."""
        most = self.server.settings.max_body
        too_long = Refusal(
            413,
            f"the body has more than {most} bytes; send less, or serve with a larger --max_body",
            code="body_too_large",
        )
        length = self.request.headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > DRAINED * most):
            self.headers["connection"] = "close"
            raise too_long
        parts, size = [], 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in self.request.stream():
                    size += len(part)
                    parts.append(part) if size <= most else parts.clear()
                    if size > DRAINED * most:
                        self.headers["connection"] = "close"
                        raise too_long
        except TimeoutError:
            self.headers["connection"] = "close"
            raise Refusal(408, f"the body did not arrive within {BODY_SECONDS:g} s") from None
        if size > most:
            raise too_long
        return b"".join(parts)

    async def _watch(self, box: _Mailbox) -> None:
        """Until the client goes away."""
        while (await self.receive())["type"] != "http.disconnect":
            pass
        box.leave()

    async def _plain(self, ask: Ask, engine: Engine, rows: list[list[int]], box: _Mailbox) -> None:
        """A model without defences."""
        if ask.stream and ask.echo and ask.top is not None:
            raise Refusal(400, "echo with logprobs is not streamed; leave stream out", param="stream")
        most = self.server.settings.max_new_tokens
        most = most if ask.max_tokens is None else min(ask.max_tokens, most)
        told = ask.n * sum(most + (len(row) if ask.echo else 0) for row in rows) * (1 + (ask.top or 0))
        if ask.top is not None and told > MOST_TOLD:
            raise Refusal(
                400,
                (
                    f"up to {told} log-probabilities in one answer; at most {MOST_TOLD}: ask for fewer "
                    "tokens, or send several requests"
                ),
                param="logprobs",
            )
        job = engine.job(
            rows,
            n=ask.n,
            max_tokens=most,
            temperature=ask.temperature,
            top_p=ask.top_p,
            seed=ask.seed,
            stop=self._stop(ask),
            top=ask.top,
            echo=ask.echo,
            pieces=ask.stream,
            goes_on=[not ask.chat or is_open(prompt) for prompt in ask.prompts],
            tell=box.tell,
        )
        engine.submit(job)
        try:
            if ask.stream:
                await self._stream(ask, engine, job, box)
            while not box.over:
                await box.next()
        finally:
            if not job.finished.is_set():
                engine.cancel(job)
        if job.error:
            raise job.error
        choices = await asyncio.to_thread(_choices, ask, engine, job, rows)
        counted = usage(sum(map(len, rows)), sum(len(stream.ids) for stream in job.streams))
        self._account(choices, counted)
        if ask.stream:
            await self._last(ask, counted)
        else:
            await self._send(
                200,
                await asyncio.to_thread(
                    lambda: _json(document(ask, choices, id=self.id, created=self.created, counted=counted))
                ),
            )

    def _stop(self, ask: Ask) -> tuple[str, ...]:
        return self.server.stop if ask.stop is None else ask.stop

    async def _stream(self, ask: Ask, engine: Engine, job: Job, box: _Mailbox) -> None:
        """Every piece as it comes, and the end of each completion."""
        places = {id(writing): i for i, writing in enumerate(job.writings)}
        await self._open(ask, engine)
        while box.pieces or not box.over:
            for writing, piece, reason in await box.next():
                tokens = None if ask.top is None else engine.written(writing)
                await self._event(
                    document(
                        ask,
                        [Choice(places[id(writing)], piece, reason, tokens)],
                        id=self.id,
                        created=self.created,
                        counted=None,
                        chunk=True,
                    )
                )

    async def _defended(self, ask: Ask, served: Served, rows: list[list[int]], box: _Mailbox) -> None:
        """A model inside defences: the answer is judged as a whole, and streamed in one piece."""
        named = "+".join(served.stack)
        if not ask.chat:
            raise Refusal(
                400,
                f"defences ({named}) read chats; ask /v1/chat/completions, or the model without them",
                param="model",
            )
        if ask.top is not None:
            raise Refusal(
                400,
                (
                    f"behind defences ({named}) there are no log-probabilities of what was asked; leave "
                    "logprobs out, or ask the model without them"
                ),
                param="logprobs",
            )
        target, most = EngineTarget(served.engine), self.server.settings.max_new_tokens
        prompts = [prompt for prompt in ask.prompts if isinstance(prompt, Prompt)]

        def sampled() -> list[list[Completion]]:
            door, guarded = self.server.guarded(served)
            with door.to(target):
                return guarded.sample(
                    prompts,
                    Sampling(
                        n=ask.n,
                        max_new_tokens=min(most if ask.max_tokens is None else ask.max_tokens, most),
                        temperature=ask.temperature,
                        top_p=ask.top_p,
                    ),
                    seed=ask.seed,
                )

        future = asyncio.get_running_loop().run_in_executor(self.server.threads, sampled)

        def done(ended: asyncio.Future[Any]) -> None:
            if not ended.cancelled():
                ended.exception()  # looked at, also where nobody waits any more
            box.tell([], True)

        future.add_done_callback(done)
        try:
            while not box.over:
                await box.next()
        finally:
            target.close()
        try:
            completions = [completion for row in future.result() for completion in row]
        except UserError as error:
            raise Refusal.of(error) from None
        choices = [_of_completion(i, completion, self._stop(ask)) for i, completion in enumerate(completions)]
        tokens = sum(
            len(c.ids) or len(served.engine.tokenizer(c.text, add_special_tokens=False)["input_ids"])
            for c in completions
        )
        counted = usage(sum(map(len, rows)), tokens)
        spent = {
            "defences": list(served.stack),
            "queries": target.queries,
            "prompt_tokens": target.prompt_tokens,
            "completion_tokens": target.completion_tokens,
        }
        self.row["target"] = {name: value for name, value in spent.items() if name != "defences"}
        self._account(choices, counted)
        if not ask.stream:
            await self._send(
                200,
                _json(
                    document(ask, choices, id=self.id, created=self.created, counted=counted)
                    | {"alignlab": spent}
                ),
            )
            return
        await self._open(ask, served.engine)
        for choice in choices:
            await self._event(
                document(ask, [choice], id=self.id, created=self.created, counted=None, chunk=True)
            )
        await self._last(ask, counted)

    def _account(self, choices: Sequence[Choice], counted: Mapping[str, int]) -> None:
        self.row |= {
            "completion_tokens": counted["completion_tokens"],
            "finish_reasons": [choice.reason for choice in choices],
        }
        if blocked := sorted({choice.blocked for choice in choices} - {""}):
            self.row["blocked_by"] = blocked
        self.texts["completions"] = [choice.text for choice in choices]

    async def _open(self, ask: Ask, engine: Engine) -> None:
        """The head of a stream, and what comes before the first token of each completion."""
        self.begun = True
        headers = {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-store",
            **self.headers,
        }
        await self.send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
            }
        )
        for i in range(len(ask.prompts) * ask.n):
            if ask.chat:
                await self._event(opening(ask, i, id=self.id, created=self.created))
            elif ask.echo and not isinstance(prompt := ask.prompts[i // ask.n], Prompt):
                await self._event(
                    document(
                        ask,
                        [Choice(i, engine.echo(prompt), None)],
                        id=self.id,
                        created=self.created,
                        counted=None,
                        chunk=True,
                    )
                )

    async def _event(self, row: Mapping[str, Any]) -> None:
        await self.send(
            {"type": "http.response.body", "body": b"data: " + _json(row) + b"\n\n", "more_body": True}
        )

    async def _last(self, ask: Ask, counted: Mapping[str, int]) -> None:
        if ask.usage_in_stream:
            await self._event(
                document(ask, [], id=self.id, created=self.created, counted=counted, chunk=True)
            )
        await self.send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})

    async def _refuse(self, refusal: Refusal) -> None:
        if self.begun:  # the status is sent already: the stream says what happened, and ends
            await self._event(refusal.to_json())
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        if refusal.retry_after:
            self.headers["retry-after"] = str(refusal.retry_after)
        await self._send(refusal.status, _json(refusal.to_json()))

    async def _send(self, status: int, body: bytes) -> None:
        headers = {"content-type": "application/json", "content-length": str(len(body)), **self.headers}
        await self.send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
            }
        )
        await self.send({"type": "http.response.body", "body": body, "more_body": False})


def _json(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _choices(ask: Ask, engine: Engine, job: Job, rows: Sequence[list[int]]) -> list[Choice]:
    """The completions of a job that is over, behind the prompts where these are echoed; of a stream without
    their tokens, which it has had.
    """
    found = []
    for place, prompt in enumerate(ask.prompts):
        text = engine.echo(prompt) if ask.echo and not isinstance(prompt, Prompt) else ""
        head = (
            engine.read(prompt, rows[place], job.likelihoods[place])
            if job.rows and not isinstance(prompt, Prompt)
            else []
        )
        for i in range(place * ask.n, (place + 1) * ask.n):
            writing = job.writings[i] if job.writings else None  # there are none of no tokens
            tokens = (
                None
                if ask.top is None or ask.stream
                else [*head, *(engine.written(writing, at=len(text)) if writing else [])]
            )
            found.append(
                Choice(
                    i,
                    text + (writing.text if writing else ""),
                    writing.reason if writing else "length",
                    tokens,
                )
            )
    return found


def _of_completion(index: int, completion: Completion, stops: Sequence[str]) -> Choice:
    text, reason = completion.text, "stop" if completion.finished else "length"
    if not completion.blocked and (found := [at for stop in stops if (at := text.find(stop)) >= 0]):
        text, reason = text[: min(found)], "stop"
    return Choice(index, text, "content_filter" if completion.blocked else reason, None, completion.blocked)
