"""One request, from its headers to its line in the audit log."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from ..errors import UserError
from ..records import Completion, Prompt
from ..sampling import Sampling
from .choices import choices_of, of_completion
from .documents import Choice, usage
from .engine import Engine
from .mailbox import Gone, Mailbox
from .protocol import Ask, read_ask, read_json, read_model
from .refusal import Refusal
from .reply import Reply, as_json
from .server import Served, Server
from .targets import EngineTarget, is_open
from .writing import Job

BODY_SECONDS = 30.0  # a client may take so long to send its body
# times the largest body: what is too long and not longer than this is read to its end and dropped, so that
# its client sees the answer
DRAINED = 8
LARGE = 20_000  # bytes of a body from which it is tokenized beside the event loop
# log-probabilities in one answer, those of the likeliest tokens beside each one counted: some hundred bytes
# each
MOST_TOLD = 1_000_000
HEADER = "x-alignlab-defence"


def _plain(prompt: Prompt | list[int] | str) -> Any:
    """A prompt for the log."""
    return prompt.to_json()["prompt"] if isinstance(prompt, Prompt) else prompt


class Exchange:
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
        self.reply = Reply(self.id, int(self.row["time"]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer. Whatever happens, the place in the queue is given back and the log has a line."""
        self.receive, self.reply.send = receive, send
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
        except (Gone, ClientDisconnect):
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
            await self.reply.refuse(refusal)

    def _let_in(self) -> None:
        server = self.server
        server.let_in(self.request.headers)
        if server.active >= server.settings.queue:
            raise Refusal(
                429,
                f"{server.active} requests are being answered, and no more may wait; try again in a second",
                code="queue_full",
                kind="rate_limit_error",
                retry_after=1,
            )
        self._must_be_json()

    def _must_be_json(self) -> None:
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refusal(415, f"the content type is {json.dumps(kind)[:60]}; send application/json")

    async def _answer(self) -> None:
        body = await self._body()
        row = read_json(body)
        served = self.server.find(read_model(row), self.request.headers.get(HEADER, ""))
        ask = read_ask(row, chat=self.chat)
        engine, loop = served.engine, asyncio.get_running_loop()
        if ask.ignored:
            self.reply.headers["x-alignlab-ignored"] = re.sub(
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
        self.texts["prompts"] = [_plain(prompt) for prompt in ask.prompts]

        def read() -> list[list[int]]:
            return [engine.ids(prompt) for prompt in ask.prompts]

        rows = read() if len(body) < LARGE else await asyncio.to_thread(read)
        self.row["prompt_tokens"] = sum(map(len, rows))
        box = Mailbox(loop)
        watch = loop.create_task(self._watch(box))
        try:
            if served.stack:
                await self._defended(ask, served, rows, box)
            else:
                await self._undefended(ask, engine, rows, box)
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
            self.reply.headers["connection"] = "close"
            raise too_long
        parts, size = [], 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in self.request.stream():
                    size += len(part)
                    if size <= most:
                        parts.append(part)
                    else:
                        parts.clear()
                    if size > DRAINED * most:
                        self.reply.headers["connection"] = "close"
                        raise too_long
        except TimeoutError:
            self.reply.headers["connection"] = "close"
            raise Refusal(408, f"the body did not arrive within {BODY_SECONDS:g} s") from None
        if size > most:
            raise too_long
        return b"".join(parts)

    async def _watch(self, box: Mailbox) -> None:
        """Until the client goes away."""
        while (await self.receive())["type"] != "http.disconnect":
            pass
        box.leave()

    async def _undefended(self, ask: Ask, engine: Engine, rows: list[list[int]], box: Mailbox) -> None:
        """A model without defences."""
        if ask.stream and ask.echo and ask.top is not None:
            raise Refusal(400, "echo with logprobs is not streamed; leave stream out", param="stream")
        most = self._most(ask)
        tokens = len(rows) * most
        if ask.echo:
            tokens += sum(map(len, rows))
        shown = ask.n * tokens * (1 + (ask.top or 0))
        if ask.top is not None and shown > MOST_TOLD:
            raise Refusal(
                400,
                (
                    f"up to {shown} log-probabilities in one answer; at most {MOST_TOLD}: ask for fewer "
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
            await self._over(job, box)
        finally:
            engine.cancel(job)
        choices = await asyncio.to_thread(choices_of, ask, engine, job, rows)
        counted = usage(sum(map(len, rows)), sum(len(stream.ids) for stream in job.streams))
        self._account(choices, counted)
        if ask.stream:
            await self.reply.end(ask, counted)
        else:
            body = await asyncio.to_thread(lambda: as_json(self.reply.document(ask, choices, counted)))
            await self.reply.whole(200, body)

    async def _over(self, job: Job, box: Mailbox) -> None:
        """Until a job is over. Raises what it ended in."""
        while not box.over:
            await box.next()
        if job.error:
            raise job.error

    def _most(self, ask: Ask) -> int:
        most = self.server.settings.max_new_tokens
        return most if ask.max_tokens is None else min(ask.max_tokens, most)

    def _stop(self, ask: Ask) -> tuple[str, ...]:
        return self.server.stop if ask.stop is None else ask.stop

    async def _stream(self, ask: Ask, engine: Engine, job: Job, box: Mailbox) -> None:
        """Every piece as it comes, and the end of each completion."""
        places = {id(writing): i for i, writing in enumerate(job.writings)}
        await self.reply.open(ask, engine)
        while box.pieces or not box.over:
            for writing, piece, reason in await box.next():
                tokens = None if ask.top is None else engine.spelling.written(writing)
                await self.reply.piece(ask, Choice(places[id(writing)], piece, reason, tokens))

    async def _defended(self, ask: Ask, served: Served, rows: list[list[int]], box: Mailbox) -> None:
        """A model inside defences: the answer is judged as a whole, and streamed in one piece."""
        named = "+".join(served.stack)
        if not ask.chat:
            raise Refusal(
                400,
                f"defences ({named}) read chats; ask /v1/chat/completions, or the model without them",
                param="model",
            )
        if ask.top is not None or ask.echo:
            raise Refusal(
                400,
                (
                    f"behind defences ({named}) there are no log-probabilities of what was asked, and no "
                    "echo; leave them out, or ask the model without defences"
                ),
                param="logprobs",
            )
        target, most = EngineTarget(served.engine), self._most(ask)
        prompts = [prompt for prompt in ask.prompts if isinstance(prompt, Prompt)]

        def sampled() -> list[list[Completion]]:
            door, guarded = self.server.guarded(served)
            with door.to(target):
                return guarded.sample(
                    prompts,
                    Sampling(n=ask.n, max_new_tokens=most, temperature=ask.temperature, top_p=ask.top_p),
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
        choices = [of_completion(i, completion, self._stop(ask)) for i, completion in enumerate(completions)]
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
            row = self.reply.document(ask, choices, counted) | {"alignlab": spent}
            await self.reply.whole(200, as_json(row))
            return
        await self.reply.open(ask, served.engine)
        for choice in choices:
            await self.reply.piece(ask, choice)
        await self.reply.end(ask, counted)

    def _account(self, choices: Sequence[Choice], counted: Mapping[str, int]) -> None:
        self.row |= {
            "completion_tokens": counted["completion_tokens"],
            "finish_reasons": [choice.reason for choice in choices],
        }
        if blocked := sorted({choice.blocked for choice in choices} - {""}):
            self.row["blocked_by"] = blocked
        self.texts["completions"] = [choice.text for choice in choices]
