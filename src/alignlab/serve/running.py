"""The models that are served, and the loop that answers until it is told to stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from .. import names
from ..defences.middleware import build
from ..models.load import load_policy
from ..settings import ServeSettings
from .announcing import Announcing
from .app import application
from .engine import Engine
from .server import Served, Server
from .targets import EngineTarget
from .updates import Updates

LAST_SECONDS = 10.0  # answers that are under way may take so long to end when the server is told to
PARTING_SECONDS = 1.0  # then they end in an error, which their clients may take so long to take


class Answering(Announcing):
    """Ends the answers that are under way before it stops."""

    def __init__(self, server: Server, line: str) -> None:
        super().__init__(application(server), line)
        self.ours = server

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answers end by themselves, or in an error, or with their connection; no task of theirs is left to
        be cancelled. A second Ctrl-C waits for none.
        """
        ending = asyncio.create_task(self._end(LAST_SECONDS))
        await super().shutdown(sockets=sockets)
        ending.cancel()
        if self.server_state.tasks:
            await self._end(0)
            await asyncio.wait(self.server_state.tasks, timeout=PARTING_SECONDS)
        await asyncio.to_thread(self.ours.close)  # here, since uvicorn leaves by the signal that ended it

    async def _end(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self.ours.end)
        await asyncio.sleep(PARTING_SECONDS)
        for connection in list(self.server_state.connections):
            if transport := connection.transport:
                transport.abort()


def updates_of(served: Mapping[str, Served], settings: ServeSettings) -> Updates | None:
    """How the weights of the one model change, if they may."""
    if not settings.updates:
        return None
    return Updates(next(iter(served.values())).engine, Path(settings.updates))


def load(asked: Mapping[str, tuple[str, Sequence[str]]], settings: ServeSettings) -> dict[str, Served]:
    """The models and their stacks by the names clients use. One that is named with several stacks is loaded
    once. Raises UserError: a model that cannot be loaded.
    """
    served: dict[str, Served] = {}
    engines: dict[str, Engine] = {}
    try:
        for name, (model, stack) in asked.items():
            if model not in engines:
                policy = load_policy(names.models.model(model).path, settings.model)
                engines[model] = Engine(
                    model,
                    policy,
                    slots=settings.slots,
                    context=settings.context,
                    memory=settings.memory * 1e9,
                )
            build(stack, EngineTarget(engines[model]))  # whatever a defence has to load is loaded now
            served[name] = Served(engines[model], tuple(stack))
    except BaseException:
        for engine in engines.values():
            engine.close()
        raise
    return served
