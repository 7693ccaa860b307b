"""`alignlab studio`: bind the port, print a link, open the browser, answer until a signal. `alignlab studio
link` asks the studio that is running for another link.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import threading
import webbrowser
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NoReturn

from ..errors import DataError, Terminated, UserError
from ..run.files import read_json
from ..serve.announcing import Announcing
from ..serve.command import bind
from ..text.escapes import one_line
from .app import application
from .desk import Desk

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


def studio(*, folder: str, port: int, no_open: bool, as_json: bool) -> NoReturn:
    """Answer until SIGINT or SIGTERM; the first line on stdout says where. Where no run is yet, the recorded
    one is shown, and a line on stderr says so.

    Raises:
        UserError: there is a file of that name. ResourceError: the port is taken.
    """
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise UserError(f"{folder} is no folder", remedy="alignlab studio FOLDER")
    with bind(HOST, port) as bound:
        port = bound.getsockname()[1]
        desk = Desk(place, port=port, link_key=secrets.token_urlsafe(32))
        url = desk.url(desk.sessions.link())
        line = f"studio of {one_line(folder)} at {url}  (this machine only; Ctrl-C ends it)"
        if as_json:
            line = json.dumps({"schema": 1, "url": url, "port": port, "pid": os.getpid()})
        key = json.dumps({"port": port, "key": desk.link_key})
        code, made = 130, list[Path]()
        try:
            made = make_folders(place / KEY)
            keep(place / KEY, key)
            if not no_open and keep(place / OPEN, LEADS.format(url=url)):
                page = (place / OPEN).absolute().as_uri()
                threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()
            threading.Thread(target=look_first, args=(desk, folder), daemon=True).start()
            Studio(desk, line).run(sockets=[bound])
        except KeyboardInterrupt as signal:
            if isinstance(signal, Terminated):
                code = 143
            print("alignlab studio: stopped", file=sys.stderr)
        finally:
            desk.close()
            forget(place / KEY, key)
            forget(place / OPEN, LEADS.format(url=url))
            for empty in made:
                with suppress(OSError):
                    empty.rmdir()
    raise SystemExit(code)


class Studio(Announcing):
    """Streams end when it is told to stop: they would never end by themselves."""

    def __init__(self, desk: Desk, line: str) -> None:
        super().__init__(application(desk), line)
        self.desk = desk

    async def shutdown(self, sockets: Any = None) -> None:
        self.desk.hub.close()
        await super().shutdown(sockets=sockets)


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
