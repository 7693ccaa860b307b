"""`alignlab studio`: bind the port, print a link, open the browser, answer until a signal. `alignlab studio
link` asks the studio that is running for another link.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import threading
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NoReturn

from ..errors import ConfigError, DataError, Terminated, UserError
from ..run.files import read_json
from ..serve.announcing import Announcing
from ..serve.command import bind
from ..serve.connections import Connection
from ..text.escapes import one_line
from ..votes.store import studio_folder
from .addresses import Open, opened
from .app import application, class_application
from .classroom import Classroom
from .desk import Desk
from .log import Log

HOST = "127.0.0.1"
LEADS = """<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={url}">
<title>alignlab studio</title>
<a href="{url}">alignlab studio</a>
"""
"""A browser is given the name of a file with this in it: its arguments, which every user of the machine can
read, hold no token.
"""
KEY = "studio/link.json"  # below the folder, for its owner alone: where the studio answers, and a key
OPEN = "studio/.open.html"  # for its owner alone: leads a browser to the link


def studio(
    *,
    folder: str,
    port: int,
    no_open: bool,
    as_json: bool,
    jobs: str = "all",
    class_: bool = False,
    class_port: int = 8711,
    host: str = "",
    allow_host: str = "",
    cert: str = "",
    key: str = "",
) -> NoReturn:
    """Answer until SIGINT or SIGTERM; the first line on stdout says where, the next where a class joins.
    Where no run is yet, the recorded one is shown, and a line on stderr says so.

    Raises:
        UserError: there is a file of that name; `jobs` is neither all nor none. ResourceError: a port is
        taken, or another studio has the store.
        ConfigError: what belongs to a class without one; half of a certificate.
    """
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise UserError(f"{folder} is no folder", remedy="alignlab studio FOLDER")
    if jobs not in ("all", "none"):
        raise UserError(f"--jobs is all or none, not {jobs!r:.40}")
    told = {"host": host, "allow_host": allow_host, "cert": cert, "key": key}
    if not class_ and any(told.values()):
        name = next(name for name, value in told.items() if value)
        raise ConfigError(f"{name} is of a class, and none is held", remedy="--class, or leave it out")
    if bool(cert) != bool(key):
        raise ConfigError("a certificate and its key go together", remedy="--cert FILE --key FILE")
    with bind(HOST, port) as bound, ExitStack() as ending:
        port = bound.getsockname()[1]
        desk = Desk(place, port=port, link_key=secrets.token_urlsafe(32), starts_jobs=jobs == "all")
        ending.callback(desk.close)
        way_in = None
        if class_:
            certificate = (cert, key) if cert else ()
            way_in = opened(host=host, port=class_port, allow=allow_host, certificate=certificate)
            ending.callback(way_in.close)
            begin_class(desk, way_in)
        url = desk.url(desk.sessions.link())
        line = f"studio of {one_line(folder)} at {url}  (this machine only; Ctrl-C ends it)"
        if as_json:
            row = {"schema": 1, "url": url, "port": port, "pid": os.getpid()}
            if desk.classroom:
                row["class"] = {"urls": desk.classroom.urls, "code": desk.classroom.lesson.code}
            line = json.dumps(row)
        elif desk.classroom:
            line += f"\n{on_the_board(desk.classroom)}"
        kept = json.dumps({"port": port, "key": desk.link_key})
        code, made = 130, list[Path]()
        try:
            made = make_folders(place / KEY)
            keep(place / KEY, kept)
            if not no_open and keep(place / OPEN, LEADS.format(url=url)):
                page = (place / OPEN).absolute().as_uri()
                threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()
            threading.Thread(target=look_first, args=(desk, folder), daemon=True).start()
            beside = Beside(desk, way_in, (cert, key) if cert else ()) if way_in else None
            Studio(desk, line, beside).run(sockets=[bound])
        except KeyboardInterrupt as signal:
            if isinstance(signal, Terminated):
                code = 143
            print("alignlab studio: stopped", file=sys.stderr)
        finally:
            forget(place / KEY, kept)
            forget(place / OPEN, LEADS.format(url=url))
            for empty in made:
                with suppress(OSError):
                    empty.rmdir()
    raise SystemExit(code)


def begin_class(desk: Desk, way_in: Open) -> None:
    """A class is held at a desk: the one that there was, or a new one, open.

    Raises:
        ResourceError: another process has the store, or the log cannot be written. NotSaved: no room.
    """
    store = desk.store
    log = Log(studio_folder(desk.inside.root))
    desk.classroom = Classroom(store, way_in.door, way_in.urls, desk.limits, log)
    if not desk.classroom.lesson.code:
        desk.classroom.hold(open=True)
    desk.classroom.begin()


def on_the_board(room: Classroom) -> str:
    """What a class has to know."""
    code = f"{room.lesson.code[:4]} {room.lesson.code[4:]}"
    plain = "" if room.door.scheme == "https" else ", and who listens there reads along without --cert"
    return f"class at {'  or  '.join(room.urls)}  code {code}  (whoever is on this network{plain})"


class Studio(Announcing):
    """Streams end when it is told to stop: they would never end by themselves. A class begins before it and
    ends with it.
    """

    def __init__(self, desk: Desk, line: str, beside: Beside | None = None) -> None:
        super().__init__(application(desk), line)
        self.desk, self.beside = desk, beside

    async def startup(self, sockets: Any = None) -> None:
        if self.beside:
            await self.beside.begin()
        await super().startup(sockets=sockets)

    async def shutdown(self, sockets: Any = None) -> None:
        self.desk.leave()
        if self.beside:
            await self.beside.end()
        await super().shutdown(sockets=sockets)


class Few(Connection):
    """Of a class."""

    most = 256


class Beside(Announcing):
    """The class port: another application on sockets of its own, within the studio's loop."""

    connection = Few

    def __init__(self, desk: Desk, way_in: Open, certificate: Sequence[str]) -> None:
        super().__init__(class_application(desk), "", certificate)
        self._sockets = list(way_in.sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """They are the studio's."""
        yield

    async def begin(self) -> None:
        """Returns once it answers."""
        self._serving = asyncio.create_task(self.serve(sockets=self._sockets))
        while not self.started and not self._serving.done():
            await asyncio.sleep(0.01)

    async def end(self) -> None:
        """Returns once nothing is being answered any more."""
        self.should_exit = True
        await self._serving


def look_first(desk: Desk, folder: str) -> None:
    """Look into the folder before a browser asks what is in it."""
    desk.shelf.look()
    if desk.shelf.recorded.is_open:
        print(
            f"alignlab studio: no run in {one_line(folder)} yet, so the recorded one is shown; alignlab run "
            "makes one of your own",
            file=sys.stderr,
            flush=True,
        )


def checked(folder: str) -> Path:
    """A folder that is there. Raises UserError."""
    if not Path(folder).is_dir():
        raise UserError(
            f"there is no folder {folder}", remedy="alignlab run makes one; another: alignlab studio FOLDER"
        )
    return Path(folder)


def make_folders(file: Path) -> list[Path]:
    """The folders above a file; those that were not there, the innermost first."""
    missing = [folder for folder in file.parents if not folder.exists()]
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
    return missing


def keep(file: Path, text: str) -> bool:
    """A file that its owner alone reads; whether it could be written: a folder that cannot be is looked at
    all the same.
    """
    try:
        file.unlink(missing_ok=True)
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(handle, "w", encoding="utf-8") as opened:
            opened.write(text)
    except OSError:
        return False
    return True


def forget(file: Path, text: str) -> None:
    """Take away what this studio kept, not what another has written since."""
    with suppress(OSError, ValueError):
        if file.read_text(encoding="utf-8") == text:
            file.unlink()


def link(*, folder: str) -> dict[str, str]:
    """Another link to the studio that runs over a folder. Raises UserError: none does."""
    file = checked(folder) / KEY
    try:
        row = read_json(file)
        studio = HTTPConnection(HOST, int(row["port"]), timeout=10)
        body = json.dumps({"key": str(row["key"])})
        studio.request("POST", "/api/link", body, {"Content-Type": "application/json"})
        url = str(json.loads(studio.getresponse().read())["url"])
        studio.close()
    except (DataError, HTTPException, OSError, KeyError, TypeError, ValueError):
        raise UserError(
            f"no studio of {folder} is running", where=str(file), remedy=f"alignlab studio {folder}"
        ) from None
    return {"url": url, "text": url}
