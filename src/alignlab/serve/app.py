"""The HTTP side: the routes. Who is let in and how much stands in `server`, one request's way in `exchange`.

Starlette and uvicorn carry it. FastAPI, which is Starlette and pydantic, would check bodies in pydantic's way
and answer in pydantic's shape; OpenAI's clients expect OpenAI's, so bodies are read by `protocol`.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .exchange import Exchange
from .refusal import Refusal
from .server import Server
from .vllm_routes import vllm_routes


def application(server: Server) -> Starlette:
    """The application around a server's models."""
    updates = server.updates
    return Starlette(
        routes=[
            Route("/v1/models", partial(_models, server)),
            Route("/v1/models/{name:path}", partial(_model, server)),
            Route("/health", partial(_health, server)),
            Route("/v1/chat/completions", partial(_post, server, chat=True), methods=["POST"]),
            Route("/v1/completions", partial(_post, server, chat=False), methods=["POST"]),
            *(vllm_routes(server, updates) if updates else ()),
        ],
        exception_handlers={Refusal: _refused, HTTPException: _no_route},
    )


async def _models(server: Server, request: Request) -> Response:
    server.access.check(request.headers)
    return JSONResponse({"object": "list", "data": [server.card(name) for name in server.served]})


async def _model(server: Server, request: Request) -> Response:
    server.access.check(request.headers)
    return JSONResponse(server.card(request.path_params["name"]))


async def _health(server: Server, request: Request) -> Response:
    server.access.check(request.headers)
    queue = server.settings.queue
    return JSONResponse(
        {"status": "ok", "active": server.active, "answered": server.answered, "queue": queue}
    )


async def _post(server: Server, request: Request, *, chat: bool) -> Any:
    return Exchange(server, request, chat=chat)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else None
    return JSONResponse(error.to_json(), error.status, headers)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = (
        f"{request.method} {json.dumps(request.scope['path'])[:100]} is nothing here; there are GET "
        "/v1/models, POST /v1/chat/completions and POST /v1/completions"
    )
    refusal = Refusal(error.status_code, what, code="unknown_url")
    return JSONResponse(refusal.to_json(), error.status_code, error.headers)
