"""Every kind of job that there is."""

from __future__ import annotations

from .kind import Kind
from .kinds import FIRST

KINDS: tuple[Kind, ...] = (*FIRST,)
"""Another tuple of kinds is a line here."""
