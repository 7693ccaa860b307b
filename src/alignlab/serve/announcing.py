"""uvicorn as every server of ours runs it: bounded connections, quiet, one line once it answers."""

from __future__ import annotations

import socket

import uvicorn
from starlette.types import ASGIApp

from .connections import HEAD_SECONDS, Connection


class Announcing(uvicorn.Server):
    """uvicorn, which prints our line once it answers, and nothing else."""

    def __init__(self, application: ASGIApp, line: str) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                http=Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                timeout_keep_alive=int(HEAD_SECONDS),
            )
        )
        self.line = line

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        print(self.line, flush=True)
