"""Who asks."""

from __future__ import annotations

from pydantic import Field

from .parts import Part, Role


class Nothing(Part):
    """Nothing is asked, or nothing is left to say."""


class SignIn(Part):
    """The token of a link, good for one exchange."""

    token: str = Field(max_length=200)


class LinkKey(Part):
    """The key that stands in the folder's key file."""

    key: str = Field(max_length=200)


class Link(Part):
    url: str


class Me(Part):
    """Whoever holds the cookie.

    `boot` is another after each start of the studio: ids of events, cursors and generations of another boot
    mean nothing. `folder` is empty for an annotator.
    """

    role: Role
    folder: str
    version: str
    boot: str
