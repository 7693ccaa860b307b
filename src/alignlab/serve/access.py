"""Who is let in: by the name the server is called by, the page a browser asks for, and the key. No answer is
worked out for anybody else.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from .refusal import Refusal

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Access:
    """What a request's headers must say.

    Args:
        key: what clients must send as their API key; empty = everybody is let in.
        names: hosts by which clients may call the server, besides the loopback's.
        local: bound to the loopback: an address of another kind is none of ours. A page whose name was made
            to resolve to here sends that name, never an address, and so a server that others reach takes
            addresses whatever they are, and names that it was told.
    """

    names_are = "ask it by its address, or serve with --allowed-hosts NAME"
    pages_are = "a page of this machine may, or one of --allowed-hosts"

    def __init__(self, *, key: str = "", names: Sequence[str] = (), local: bool = True) -> None:
        self.key, self.names, self.local = (
            key,
            frozenset((*LOOPBACK, *(name.lower() for name in names))),
            local,
        )

    def check(self, headers: Headers) -> None:
        """Raises Refusal: 421 another host's name, 403 a page from elsewhere, 401 no or a wrong key."""
        host = headers.get("host", "")
        if not self.is_called(headers.getlist("host")):
            raise Refusal(421, f"this server is not known by that name; {self.names_are}")
        if self.is_foreign(headers.getlist("origin"), headers.getlist("sec-fetch-site"), host):
            raise Refusal(
                403,
                f"a web page from elsewhere may not ask this server; {self.pages_are}",
                code="foreign_origin",
                kind="permission_error",
            )
        if self.key and not hmac.compare_digest(
            headers.get("authorization", "").encode(), f"Bearer {self.key}".encode()
        ):
            raise Refusal(
                401,
                "no API key, or a wrong one; send it as `Authorization: Bearer KEY`",
                code="invalid_api_key",
                kind="authentication_error",
            )

    def is_called(self, hosts: Sequence[str]) -> bool:
        """Whether the Host headers of a request name this server."""
        host = hosts[0] if hosts else ""
        name = _hostname(host)
        return not host or name in self.names or (not self.local and _is_address(name))

    def is_foreign(self, origins: Sequence[str], sites: Sequence[str], host: str) -> bool:
        """Whether a page from elsewhere asks, by what a browser says of it (Origin, Sec-Fetch-Site)."""
        if origins:
            return any(not self._ours(origin, host) for origin in origins)
        return any(site.strip().lower() == "cross-site" for site in sites)

    def _ours(self, origin: str, host: str) -> bool:
        """Whether a page is of this machine, of a host that was named, or of the server itself."""
        with suppress(ValueError):
            parts = urlsplit(origin)
            return parts.scheme in ("http", "https") and (
                (parts.hostname or "") in self.names or (host != "" and parts.netloc.lower() == host.lower())
            )
        return False


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address that was resolved."""
    found = ipaddress.ip_address(address.partition("%")[0])
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def _is_address(name: str) -> bool:
    with suppress(ValueError):
        ipaddress.ip_address(name)
        return True
    return False


def _hostname(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host[1 : host.find("]")].lower()
    return (host.rpartition(":")[0] or host).lower()
