"""`alignlab studio`: bind the port, print a link, open the browser, answer until a signal. `alignlab studio
link` asks the studio that is running for another link.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import threading
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import DataError, Terminated, UserError
from ..run.files import read_json
from ..serve.announcing import Announcing
from ..serve.command import bind
from .app import application
from .desk import Desk

HOST = "127.0.0.1"
KEY = "studio/link.json"  # below the folder, for its owner alone: where the studio answers, and a key


def studio(*, words: str | Sequence[str], port: int, no_open: bool, as_json: bool) -> dict[str, Any]:
    """Answer until SIGINT or SIGTERM; the first line on stdout says where. With `link` as the first word,
    give another link to the studio that runs.

    Raises:
        UserError: no such folder, or no studio runs there. ResourceError: the port is taken.
    """
    named = [words] if isinstance(words, str) else list(words)
    if named[:1] == ["link"]:
        url = another_link(folder_of(named[1:]))
        return {"url": url, "text": url}
    folder = folder_of(named)
    with bind(HOST, port) as bound:
        port = bound.getsockname()[1]
        desk = Desk(folder, port=port, link_key=secrets.token_urlsafe(32))
        url = desk.url(desk.sessions.link())
        line = f"studio of {folder} at {url}  (this machine only; Ctrl-C ends it)"
        if as_json:
            line = json.dumps({"schema": 1, "url": url, "port": port, "pid": os.getpid()})
        keep_key(folder, desk)
        code = 130
        try:
            if not no_open:
                threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
            Studio(desk, line).run(sockets=[bound])
        except KeyboardInterrupt as signal:
            if isinstance(signal, Terminated):
                code = 143
            print("alignlab studio: stopped", file=sys.stderr)
        finally:
            forget_key(folder, desk)
    raise SystemExit(code)


class Studio(Announcing):
    """Streams end when it is told to stop: they would never end by themselves."""

    def __init__(self, desk: Desk, line: str) -> None:
        super().__init__(application(desk), line)
        self.desk = desk

    async def shutdown(self, sockets: Any = None) -> None:
        self.desk.hub.close()
        await super().shutdown(sockets=sockets)


def folder_of(words: Sequence[str]) -> Path:
    """The folder that is named. Raises UserError: several, or none that is there."""
    if len(words) > 1:
        raise UserError(f"one folder is looked at, and {len(words)} are named", remedy="alignlab studio runs")
    folder = Path(words[0] if words else "runs")
    if not folder.is_dir():
        raise UserError(
            f"there is no folder {folder}",
            remedy="alignlab run makes one; or name another: alignlab studio DIR",
        )
    return folder


def keep_key(folder: Path, desk: Desk) -> None:
    """Whoever can read the file may have another link. A folder that cannot be written has none."""
    file = folder / KEY
    with suppress(OSError):
        file.parent.mkdir(exist_ok=True)
        file.unlink(missing_ok=True)
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(handle, "w", encoding="utf-8") as opened:
            json.dump({"port": desk.port, "key": desk.link_key}, opened)


def forget_key(folder: Path, desk: Desk) -> None:
    """Take away the key of this studio, not that of another."""
    with suppress(OSError, DataError):
        if read_json(folder / KEY).get("key") == desk.link_key:
            (folder / KEY).unlink()


def another_link(folder: Path) -> str:
    """A link from the studio that runs over a folder. Raises UserError: none does."""
    try:
        row = read_json(folder / KEY)
        request = urllib.request.Request(
            f"http://{HOST}:{int(row['port'])}/api/link",
            json.dumps({"key": str(row["key"])}).encode(),
            {"Content-Type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            return str(json.load(answer)["url"])
    except (DataError, OSError, KeyError, TypeError, ValueError):
        raise UserError(
            f"no studio of {folder} is running", where=str(folder / KEY), remedy=f"alignlab studio {folder}"
        ) from None
