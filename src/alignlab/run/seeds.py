"""Seeds: everything random is drawn from (seed, purpose, step), never from a running generator."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for one purpose. Everything random is drawn from (seed, purpose, step), never from a
    running generator.
    """
    text = "\x1f".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
