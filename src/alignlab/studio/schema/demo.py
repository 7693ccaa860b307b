"""The recorded run."""

from __future__ import annotations

from .parts import Key, Part


class DemoTask(Part):
    """A task that is ready to be voted on; `items` are asked of whoever asked for it."""

    task: Key
    name: str
    items: int
