"""Every kind of job that there is."""

from __future__ import annotations

from . import probing
from .kind import Kind
from .kinds import FIRST

KINDS: tuple[Kind, ...] = (*FIRST, *probing.KINDS)
"""Another tuple of kinds is a line here."""
