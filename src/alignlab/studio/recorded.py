"""The run that comes with the package, for a folder that has none yet: unpacked when somebody first looks at
it, below a temporary folder that goes with the studio.

Its runs stand among those of the folder under a name that no folder of theirs can have, since none that
begins with a dot is looked into. Nothing is ever written there: jobs, votes and snapshots lie in the folder.
"""

from __future__ import annotations

import json
import lzma
import sys
import tarfile
import threading
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from .inside import Inside
from .scan import RECORDED, below, id_of

ARCHIVE = Path(__file__).with_name("demo") / "run.tar.xz"
CARD = ARCHIVE.with_name("card.json")
"""How it was made, and what is in it."""
WEIGHTS = ".safetensors"
"""Last in the archive, since no page needs them."""


class Recorded:
    """The recorded run of one studio. `open` and `close` from any thread."""

    def __init__(self, inside: Inside, archive: Path = ARCHIVE) -> None:
        self.inside, self.archive = inside, archive
        self._lock, self._closed = threading.Lock(), False
        self._thread: threading.Thread | None = None
        self._folder: TemporaryDirectory[str] | None = None
        self._readable = threading.Event()

    @cached_property
    def ids(self) -> frozenset[str]:
        """Of its runs, as they stand in addresses."""
        names = json.loads(CARD.read_text(encoding="utf-8"))["runs"]
        return frozenset(id_of(below(RECORDED, name)) for name in names)

    @property
    def is_open(self) -> bool:
        """Whether its runs are among those of the folder."""
        return RECORDED in self.inside.others

    def holds(self, runs: Iterable[str]) -> bool:
        """Whether one of these ids is of its runs."""
        return not self.ids.isdisjoint(runs)

    def open(self, *, whole: bool = False) -> None:
        """Have it unpacked, and wait until it can be read; `whole` = with the weights of its models."""
        with self._lock:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._unpack, name="recorded", daemon=True)
                self._thread.start()
        self._readable.wait()
        if whole and self._thread is not None:
            self._thread.join()

    def close(self) -> None:
        """Away with it."""
        with self._lock:
            self._closed = True
        if self._thread is not None:
            self._thread.join()
        self.inside.others.pop(RECORDED, None)
        self._readable.set()
        if self._folder is not None:
            self._folder.cleanup()

    def _unpack(self) -> None:
        try:
            self._folder = TemporaryDirectory(prefix="alignlab-recorded-")
            root = Path(self._folder.name)
            with tarfile.open(self.archive, "r|xz") as members:
                for member in members:
                    if self._closed:
                        return
                    if member.name.endswith(WEIGHTS):
                        self._show(root)
                    if (data := members.extractfile(member)) is not None:
                        self._write(root / member.name, data.read())
            self._show(root)
        except (OSError, tarfile.TarError, lzma.LZMAError) as error:
            print(f"alignlab studio: the recorded run cannot be unpacked: {error}", file=sys.stderr)
        finally:
            self._readable.set()

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o400)

    def _show(self, root: Path) -> None:
        self.inside.others[RECORDED] = root
        self._readable.set()
