"""Talks in which nobody knows who stands left: the studio draws it, and tells it for a choice."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from . import schema
from .models import Model
from .problems import Refused

MOST = 256  # that wait for a choice


@dataclass
class Blind:
    """Who stands where; the conversations that were answered last, and the answers."""

    models: Sequence[Model]
    asked: list[Sequence[schema.TalkMessage]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    over: set[schema.Side] = field(default_factory=set)
    verdicts: list[schema.TalkVerdict] = field(default_factory=list)

    def begin(self, asked: Sequence[Sequence[schema.TalkMessage]]) -> None:
        """Another answer of each is being written."""
        self.asked, self.said, self.over, self.verdicts = list(asked), ["", ""], set(), []

    def hears(self, event: schema.Part) -> bool:
        """Take an event in; whether the reader may have it: a verdict would say who is who."""
        if isinstance(event, schema.TalkPiece):
            self.said[event.side] += event.text
        elif isinstance(event, schema.TalkVerdict):
            self.verdicts.append(event)
            return False
        elif isinstance(event, schema.TalkEnd):
            self.over.add(event.side)
        return True


class Blinds:
    """Those that wait, by an opaque key."""

    def __init__(self) -> None:
        self._lock, self._waiting = threading.Lock(), OrderedDict[str, Blind]()

    def drawn(self, models: Sequence[Model], key: str | None) -> tuple[str, Blind]:
        """The draw of a key, or a new one. Raises Refused: 409, it is told by now, or of other models."""
        with self._lock:
            if key is not None:
                known = self._waiting.get(key)
                if known is None or {model.id for model in known.models} != {model.id for model in models}:
                    raise Refused(409, "who stood where is told already", remedy="another conversation")
                return key, known
            order = list(models)
            if secrets.randbits(1):
                order.reverse()
            key = secrets.token_hex(12)
            self._waiting[key] = Blind(order)
            while len(self._waiting) > MOST:
                self._waiting.popitem(last=False)
            return key, self._waiting[key]

    def find(self, key: str) -> Blind:
        """Raises Refused: 404 it was told already, or nobody has asked for so long."""
        with self._lock:
            found = self._waiting.get(key)
        if found is None:
            raise Refused(404, "the names were told already, or the studio has started anew since")
        return found

    def tell(self, key: str) -> None:
        """From now on it is no secret."""
        with self._lock:
            self._waiting.pop(key, None)
