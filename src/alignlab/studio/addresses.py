"""Where a class is held: addresses of this machine that others of its network reach, and what stands on the
board.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from ..errors import ConfigError, ResourceError
from ..serve.access import LOOPBACK, is_loopback
from ..serve.command import bind, resolved
from ..text.lists import by_comma
from .endpoint import Door

THERE = ("192.168.0.1", "10.0.0.1", "172.16.0.1", "192.0.2.1")
"""Places that this machine would reach by one of its own addresses; nothing is sent to them."""
USUAL = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Open:
    """Sockets that are bound, the door behind them, and the addresses to print."""

    sockets: tuple[socket.socket, ...]
    door: Door
    urls: tuple[str, ...]

    def close(self) -> None:
        for bound in self.sockets:
            bound.close()


def own() -> list[str]:
    """The addresses by which this machine is in a private network; its loopback where it is in none.

    An address that the internet may reach is never among them: that takes --host.
    """
    found = []
    for there in THERE:
        with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect((there, 9))
            found.append(asking.getsockname()[0])
    private = [name for name in dict.fromkeys(found) if ipaddress.ip_address(name).is_private]
    return [name for name in private if not is_loopback(name)] or [LOOPBACK[0]]


def opened(*, host: str, port: int, allow: str, certificate: Sequence[str]) -> Open:
    """The way into a class, bound.

    Args:
        host: an address, or a name of this machine; empty = `own`.
        allow: other names by which it is called, with commas.
        certificate: files of a certificate and its key; empty = no TLS.

    Raises:
        ConfigError: no such host, port or certificate. ResourceError: the port is taken.
    """
    scheme: Literal["http", "https"] = "https" if certificate else "http"
    if certificate:
        check(*certificate)
    if wrong := [name for name in by_comma(allow) if not re.fullmatch(r"[\w.-]{1,253}|[0-9A-Fa-f:]+", name)]:
        raise ConfigError(f"allow_host = {wrong[0]!r:.100} is no name", remedy="--allow-host class.example")
    names = [host] if host else own()
    sockets: list[socket.socket] = []
    try:
        for name in names:
            sockets.append(bind(name, port))
            port = sockets[0].getsockname()[1]
    except ResourceError as error:
        Open(tuple(sockets), Door(frozenset(), ""), ()).close()
        raise ResourceError(error.what, remedy=error.remedy.replace("--port", "--class-port")) from None
    if host and ipaddress.ip_address(resolved(host, port)[4][0].partition("%")[0]).is_unspecified:
        names = own()
    called = [_authority(name, port, scheme) for name in dict.fromkeys([*by_comma(allow), *names])]
    door = Door(frozenset(name.lower() for name in called), f"alignlab_class_{port}", True, scheme)
    return Open(tuple(sockets), door, tuple(f"{scheme}://{name}" for name in called))


def check(cert: str, key: str) -> None:
    """Raises ConfigError for what is no certificate with its key."""
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key, password="")
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise ConfigError(
            f"no certificate and key in {cert!r:.200} and {key!r:.200}: {error}"[:600],
            remedy="two PEM files that belong together, the key without a password",
        ) from None


def _authority(name: str, port: int, scheme: str) -> str:
    """As a browser says it: the usual port is left out."""
    shown = f"[{name}]" if ":" in name else name
    return shown if port == USUAL[scheme] else f"{shown}:{port}"
