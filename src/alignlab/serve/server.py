"""The models that are served, who is let in and how much is under way: what all requests share."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers

from ..defences.middleware import DEFENCES, build
from ..models.chat_template import template_of
from ..sampling import Sampler
from ..settings import ServeSettings
from .access import Access
from .audit import Audit
from .engine import Engine
from .refusal import Refusal
from .targets import Door
from .updates import Updates

MOST_STACKS = 64  # of defences that are kept built


@dataclass(frozen=True)
class Served:
    """A model by the name clients use, inside the defences that it is never without."""

    engine: Engine
    stack: tuple[str, ...] = ()


class Server:
    """Served models, and what all requests to them share (`app.application` is its HTTP side).

    Args:
        access: who is let in.
        stop: texts that end a completion where the client names none.
        updates: how the weights of the model change; None = they do not.
    """

    def __init__(
        self,
        served: Mapping[str, Served],
        settings: ServeSettings,
        audit: Audit,
        access: Access,
        *,
        stop: Sequence[str] = (),
        updates: Updates | None = None,
    ) -> None:
        self.served, self.stop = dict(served), tuple(stop)
        self.settings, self.audit, self.access = settings, audit, access
        self.updates = updates
        self.active = self.answered = 0
        self.since = int(time.time())
        self.doors: dict[tuple[str, tuple[str, ...]], tuple[Door, Sampler]] = {}
        self.building = threading.Lock()
        self.threads = ThreadPoolExecutor(settings.slots, "request")  # defences, which wait for the engine

    def end(self) -> None:
        """End what is still being answered, with an error, and the engines."""
        for engine in {id(s.engine): s.engine for s in self.served.values()}.values():
            engine.close()

    def close(self) -> None:
        """As `end`; the threads and the log too."""
        self.end()
        self.threads.shutdown(wait=True, cancel_futures=True)
        self.audit.close()

    def let_in(self, headers: Headers) -> None:
        """Raises Refusal: as `Access.check`, or 503, the audit log cannot be written."""
        self.access.check(headers)
        if self.audit.broken:
            self.audit.try_again()
        if self.audit.broken:
            raise Refusal(
                503, "the audit log cannot be written, and nothing is answered without it", retry_after=30
            )

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

    def card(self, name: str) -> dict[str, Any]:
        """What is told of a model by that name. Raises Refusal: 404."""
        found = self.find(name, "")
        return {
            "id": name,
            "object": "model",
            "created": self.since,
            "owned_by": "alignlab",
            "alignlab": {
                "context": found.engine.context,
                "chats": bool(template_of(found.engine.tokenizer)),
                "defences": list(found.stack),
                "more_defences": [d for d in DEFENCES if d not in found.stack],
            },
        }
