"""`alignlab serve`: check the settings, bind the port, load the models, say where, and answer until a signal.

What is heavy is imported once nothing can be wrong any more but the models.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from ..errors import ConfigError, ResourceError, Terminated, UserError
from ..settings import ServeSettings, rules
from ..text.lists import by_comma
from .access import Access, is_loopback
from .audit import Audit


def serve(*, models: str | list[str], settings: ServeSettings, as_json: bool) -> NoReturn:
    """Answer until SIGINT or SIGTERM. The first line on stdout says where: an address, or with `as_json` one
    JSON document.

    Raises:
        UserError: a model that cannot be served. ConfigError: a setting that cannot be. ResourceError: a port
            that is taken, an audit log that cannot be written.
    """
    check(settings)
    key, stop = read_key(settings), read_stops(settings)
    served = named([models] if isinstance(models, str) else models)
    if settings.updates:
        check_updates(settings.updates, [model for model, _ in served.values()])
    local = is_loopback(resolved(settings.host, settings.port)[4][0])
    if not local and not key:
        raise ConfigError(
            f"host = {settings.host!r:.100} lets other machines in, and no key is asked for",
            remedy=(
                "--api-key-env NAME, with the key in that variable; or --host 127.0.0.1, and a tunnel or "
                "proxy before it"
            ),
        )
    with bind(settings.host, settings.port) as bound:
        from .running import Answering, load, updates_of
        from .server import Server

        audit = Audit(Path(settings.audit) if settings.audit else None, bodies=settings.audit_bodies)
        hosts = [settings.host, *by_comma(settings.allowed_hosts)]
        loaded = load(served, settings)
        server = Server(
            loaded,
            settings,
            audit,
            Access(key=key, names=hosts, local=local),
            stop=stop,
            updates=updates_of(loaded, settings),
        )
        port = bound.getsockname()[1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        where = f"http://{host}:{port}/v1"
        if as_json:
            line = json.dumps(
                {
                    "schema": 1,
                    "url": where,
                    "host": settings.host,
                    "port": port,
                    "pid": os.getpid(),
                    "models": list(server.served),
                }
            )
        else:
            line = f"serving {', '.join(server.served)} at {where}"
            if local:
                line += "  (this machine only; Ctrl-C ends it)"
        code = 130
        try:
            Answering(server, line).run(sockets=[bound])
        except KeyboardInterrupt as signal:
            if isinstance(signal, Terminated):
                code = 143
            print("alignlab serve: stopped", file=sys.stderr)
        finally:
            server.close()
    raise SystemExit(code)


def check(settings: ServeSettings) -> None:
    """Raises ConfigError for values that mean nothing."""
    rules.check(settings)
    if settings.audit_bodies and not settings.audit:
        raise ConfigError(
            "audit_bodies without an audit log means nothing", remedy="--audit FILE.jsonl, or leave it out"
        )


def check_updates(folder: str, models: Sequence[str]) -> None:
    """Raises ConfigError: no such folder, or several models."""
    if not Path(folder).is_dir():
        raise ConfigError(
            f"updates = {folder!r:.200} is no folder",
            remedy="the folder below which trainers write weights, such as runs",
        )
    if len(set(models)) > 1:
        raise ConfigError(
            f"updates are for one model, and {len(set(models))} are served",
            remedy="a server for each model whose weights change",
        )


def read_key(settings: ServeSettings) -> str:
    """The key that clients must send. Raises ConfigError: the variable holds none, or one that no header can
    carry.
    """
    if not settings.api_key_env:
        return ""
    key, wrong = os.environ.get(settings.api_key_env, ""), ""
    if not key:
        wrong = f"${settings.api_key_env} holds no key"
    elif any(not 32 < ord(c) < 127 for c in key):
        wrong = f"the key in ${settings.api_key_env} holds characters that no header can carry"
    if wrong:
        raise ConfigError(wrong, remedy="set it to a long random word, without spaces or line ends")
    return key


def read_stops(settings: ServeSettings) -> list[str]:
    """Raises ConfigError: not a JSON list of texts."""
    try:
        stops = json.loads(settings.stop or "[]")
    except ValueError:
        stops = None
    if not isinstance(stops, list) or not all(isinstance(text, str) and text for text in stops):
        raise ConfigError(
            f"stop = {settings.stop!r:.100} is no JSON list of texts",
            remedy="""--stop '["\\n\\n", "User:"]'""",
        )
    return stops


def named(arguments: Sequence[str]) -> dict[str, tuple[str, list[str]]]:
    """Model and defences by the name that clients use. Raises UserError: one name for two, or for nothing."""
    by_name: dict[str, tuple[str, list[str]]] = {}
    for argument in arguments:
        name = rest = argument
        if "=" in argument and not Path(argument).exists():
            name, _, rest = argument.partition("=")
        model, *stack = [rest] if Path(rest).exists() else rest.split("+")
        if not name or name in by_name:
            raise UserError(
                f"the name {name!r} is given twice" if name else f"{argument!r} names no model",
                remedy="NAME=M gives each a name of its own",
            )
        by_name[name] = model, stack
    return by_name


def resolved(host: str, port: int) -> tuple[Any, ...]:
    """The first of `getaddrinfo`'s answers. Raises ConfigError: no such host, or no port (what is beyond
    would be taken modulo 65,536, without a word).
    """
    if not 0 <= port < 2**16:
        raise ConfigError(f"port = {port}", remedy="0 to 65535; 0 = any free one")
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError, ValueError) as error:
        raise ConfigError(
            f"host = {host!r:.100}: {getattr(error, 'strerror', None) or error}",
            remedy="127.0.0.1, or an address of this machine",
        ) from None


def bind(host: str, port: int) -> socket.socket:
    """A socket of that address. Raises ResourceError: the port is taken, or none of ours. ConfigError: no
    such host or port.
    """
    family, kind, protocol, _, address = resolved(host, port)
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        remedy = "an address of this machine, and a port that you may bind"
        if error.errno == errno.EADDRINUSE:
            remedy = "another --port, or --port 0 for any free one"
        raise ResourceError(f"cannot bind {host}:{port}: {error.strerror}", remedy=remedy) from None
    return bound
