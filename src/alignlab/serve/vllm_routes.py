"""vLLM's routes for a trainer, with its names and shapes (0.32): `generate` takes and gives token ids, the
others pause the engine and change its weights. They are there where a server takes updates (`updates`).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .documents import usage
from .engine import Engine
from .exchange import HEADER, Exchange
from .fields import integer, number, shown, truth
from .mailbox import Mailbox
from .protocol import MOST_N, read_json, read_model, read_seed
from .refusal import Refusal
from .reply import Reply, as_json
from .server import Server
from .spelling import NEVER
from .updates import Updates
from .writing import Job, Writing

PAUSES = ("abort", "wait", "keep")
LOOK = 0.01  # seconds between two looks at whether a pause stands


def vllm_routes(server: Server, updates: Updates) -> list[Route]:
    """The routes of a server that takes updates."""

    async def post(request: Request, *, order: Order) -> Any:
        return Control(server, request, order)

    async def get(request: Request, *, said: Callable[[], Mapping[str, Any]]) -> Response:
        server.access.check(request.headers)
        return JSONResponse(said())

    async def generate(request: Request) -> Any:
        return Generate(server, request, updates.engine)

    routes = [Route("/inference/v1/generate", generate, methods=["POST"])]
    for path, order in _orders(updates).items():
        routes.append(Route(path, partial(post, order=order), methods=["POST"]))
    told: dict[str, Callable[[], Mapping[str, Any]]] = {
        "/is_paused": lambda: {"is_paused": updates.engine.paused},
        "/weight_info": lambda: {"weight_version": updates.version},
        "/get_world_size": lambda: {"world_size": 1},
    }
    return routes + [Route(path, partial(get, said=said)) for path, said in told.items()]


Order = Callable[[Mapping[str, str], Mapping[str, Any]], Awaitable[dict[str, str]]]
"""What is done for a query and a body, and what is said of it."""


def _orders(updates: Updates) -> dict[str, Order]:
    engine = updates.engine

    async def pause(query: Mapping[str, str], _: Mapping[str, Any]) -> dict[str, str]:
        mode = query.get("mode", "abort")
        if mode not in PAUSES:
            raise Refusal(400, f"mode is {shown(mode)}; it must be one of {', '.join(PAUSES)}", param="mode")
        await asyncio.wrap_future(engine.between_steps(lambda: engine.pause(mode)))
        while engine.held and not engine.paused:
            await asyncio.sleep(LOOK)
        return {"status": "paused"}

    async def resume(_: Mapping[str, str], __: Mapping[str, Any]) -> dict[str, str]:
        await asyncio.wrap_future(engine.between_steps(engine.resume))
        return {"status": "resumed"}

    async def init(_: Mapping[str, str], row: Mapping[str, Any]) -> dict[str, str]:
        _object(row, "init_info")
        return {"message": "Weight transfer initialized"}

    async def start(_: Mapping[str, str], __: Mapping[str, Any]) -> dict[str, str]:
        await asyncio.to_thread(updates.start)
        return {"message": "Weight update started"}

    async def update(_: Mapping[str, str], row: Mapping[str, Any]) -> dict[str, str]:
        await asyncio.to_thread(updates.update, _object(row, "update_info").get("path"))
        return {"message": "Weights updated"}

    async def finish(_: Mapping[str, str], row: Mapping[str, Any]) -> dict[str, str]:
        version = row.get("weight_version")
        if not isinstance(version, str | None):
            raise Refusal(400, f"weight_version is {shown(version)}; it must be a text")
        await asyncio.to_thread(updates.finish, version)
        return {"message": "Weight update finished"}

    return {
        "/pause": pause,
        "/resume": resume,
        "/init_weight_transfer_engine": init,
        "/start_weight_update": start,
        "/update_weights": update,
        "/finish_weight_update": finish,
    }


def _object(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    if not isinstance(value := row.get(name), dict):
        raise Refusal(400, f"{name} is {shown(value)}; it must be an object", param=name)
    return value


class Control(Exchange):
    """One order to the engine. It is let in however many requests are being answered, and its body may be
    empty.
    """

    def __init__(self, server: Server, request: Request, order: Order) -> None:
        super().__init__(server, request, chat=False)
        self.order = order

    def _let_in(self) -> None:
        self.server.let_in(self.request.headers)

    async def _answer(self) -> None:
        body = await self._body()
        if body:
            self._must_be_json()
        said = await self.order(self.request.query_params, read_json(body) if body else {})
        await self.reply.whole(200, as_json(said))


class Generate(Exchange):
    """`n` completions of one row of token ids: their ids, and the log-probability of each under what it was
    drawn from (temperature and top-p in it).
    """

    def __init__(self, server: Server, request: Request, engine: Engine) -> None:
        super().__init__(server, request, chat=False)
        self.engine, self.id = engine, f"generate-tokens-{secrets.token_hex(12)}"
        self.row["id"], self.reply = self.id, Reply(self.id, int(self.row["time"]))

    async def _answer(self) -> None:
        row, engine = read_json(await self._body()), self.engine
        name = next(iter(self.server.served)) if row.get("model") is None else read_model(row)
        if self.server.find(name, self.request.headers.get(HEADER, "")).stack:
            raise Refusal(400, "behind defences there are no token ids; ask the model without", param="model")
        params, box = _object(row, "sampling_params"), Mailbox(asyncio.get_running_loop())
        ids = engine.ids(_ids(row, "token_ids"))
        job = self._job(ids, row, params, box)
        self.row |= {"model": engine.name, "n": len(job.writings), "prompts": 1, "prompt_tokens": len(ids)}
        watch = asyncio.create_task(self._watch(box))
        engine.submit(job)
        try:
            await self._over(job, box)
        finally:
            watch.cancel()
            engine.cancel(job)
        counted = usage(len(ids), sum(len(stream.ids) for stream in job.streams))
        self.row |= {
            "completion_tokens": counted["completion_tokens"],
            "finish_reasons": [writing.reason for writing in job.writings],
        }
        with_logprobs = params.get("logprobs") is not None
        said = {
            "request_id": self.id,
            "model": engine.name,
            "created": self.reply.created,
            "choices": [_choice(i, w, with_logprobs) for i, w in enumerate(job.writings)],
            "usage": counted,
            "output_mode": "tokens",
        }
        await self.reply.whole(200, await asyncio.to_thread(as_json, said))

    def _job(self, ids: list[int], row: Mapping[str, Any], params: Mapping[str, Any], box: Mailbox) -> Job:
        """Raises Refusal: also for more tokens than would be written, for what is cut here is learnt from."""
        if truth(row, "stream") or row.get("output_mode", "tokens") != "tokens":
            raise Refusal(400, "token ids are given in one piece, and without their text", param="stream")
        for name in params.keys() - KNOWN:
            if not (params[name] is None or params[name] in UNUSED.get(name, ())):
                raise Refusal(400, f"sampling_params.{name:.40} is not known here; leave it out", param=name)
        most = min(self.server.settings.max_new_tokens, self.engine.context - len(ids))
        wanted = integer(params, "max_tokens", most, 1, 2**31)
        if wanted > most:
            raise Refusal(
                400,
                f"max_tokens is {wanted}, and {most} are written behind a prompt of {len(ids)} tokens; serve "
                "with a larger --max_new_tokens or --context, or ask for fewer",
                param="max_tokens",
            )
        ends = frozenset(_ids(params, "stop_token_ids"))
        draws = params if row.get("alignlab") is None else _object(row, "alignlab")
        return self.engine.job(
            [ids],
            n=integer(params, "n", 1, 1, MOST_N),
            max_tokens=wanted,
            temperature=number(params, "temperature", 1.0, 0.0, 2.0),
            top_p=number(params, "top_p", 1.0, 0.0, 1.0, above=True),
            seed=read_seed(draws),
            first=integer(draws, "first", 0, 0, 2**31),
            ends=ends if truth(params, "ignore_eos") else ends | self.engine.sampler.end_ids,
            tell=box.tell,
        )


KNOWN = {
    "n",
    "max_tokens",
    "temperature",
    "top_p",
    "seed",
    "logprobs",
    "stop_token_ids",
    "ignore_eos",
    "detokenize",
    "skip_special_tokens",
    "output_kind",
}
UNUSED: Mapping[str, tuple[Any, ...]] = {
    "top_k": (0, -1),
    "min_p": (0,),
    "min_tokens": (0,),
    "stop": ([], ""),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
}
"""Values with which a field asks for nothing."""


def _ids(row: Mapping[str, Any], name: str) -> list[int]:
    ids = row.get(name) or []
    if not isinstance(ids, list) or not all(type(item) is int for item in ids):
        raise Refusal(400, f"{name} is {shown(ids)}; it must be a list of token ids", param=name)
    return ids


def _choice(index: int, writing: Writing, with_logprobs: bool) -> dict[str, Any]:
    """A completion. vLLM has written a token of the log-probabilities as `token_id:N` before, and as a
    number since: both are there.
    """
    stream = writing.stream
    content = [
        {"token_id": token, "token": f"token_id:{token}", "logprob": max(logprob, NEVER), "top_logprobs": []}
        for token, logprob in zip(stream.ids, stream.logprobs, strict=True)
    ]
    return {
        "index": index,
        "finish_reason": writing.reason,
        "stop_reason": stream.ids[-1] if stream.finished else None,
        "token_ids": stream.ids,
        "logprobs": {"content": content} if with_logprobs else None,
    }
