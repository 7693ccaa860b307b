"""uvicorn as every server of ours runs it: bounded connections, quiet, one line once it answers."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import uvicorn
from starlette.types import ASGIApp

from .connections import HEAD_SECONDS, Connection


class Announcing(uvicorn.Server):
    """uvicorn, which prints our line once it answers, and nothing else.

    Args:
        certificate: files of a certificate and of its key, which were looked at; empty = no TLS.
    """

    connection = Connection

    def __init__(self, application: ASGIApp, line: str, certificate: Sequence[str] = ()) -> None:
        cert, key = certificate or (None, None)
        super().__init__(
            uvicorn.Config(
                application,
                http=self.connection,
                ssl_certfile=cert,
                ssl_keyfile=key,
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
        if self.line:
            print(self.line, flush=True)
