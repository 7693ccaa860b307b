"""The weights of a model that is being served, changed while it is: vLLM's steps of an update, by files.

    start -> update (a folder, read and checked) -> finish (the version that it was sent as)

Until the finish the old weights answer, and after anything that goes wrong as well; then all weights change
between two steps of the engine. What was being written goes on, read anew by the new weights: keys and values
of the old ones are forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import ModelError
from ..models import transfer
from .engine import Engine
from .refusal import Refusal

LOADED = "default"
"""The version of the weights that a server was started with."""


class Updates:
    """How the weights of an engine's model change.

    Args:
        folder: below it lie the folders that may be taken.

    Attributes:
        version: of the weights that answer.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder, self.version = engine, folder.resolve(), LOADED
        self._lock = threading.Lock()
        self._begun, self._read = False, None

    _read: tuple[str, Mapping[str, Tensor]] | None

    def start(self) -> None:
        """Begin an update. One that was begun and not finished is forgotten: who sent it is gone."""
        with self._lock:
            self._begun, self._read = True, None

    def update(self, path: Any) -> None:
        """Read and check the weights of a folder. Raises Refusal: it lies elsewhere, or as
        `models.transfer.read` says; the update is over then.
        """
        with self._lock:
            if not self._begun or self._read:
                raise _refused("an update is one folder, after POST /start_weight_update")
            self._begun = False
            try:
                self._read = transfer.read(self._below(path), self.engine.model)
            except OSError as error:  # a name that is too long, a folder that nobody may read
                raise _refused(f"the folder cannot be read: {error.strerror}") from None
            except ModelError as error:
                raise _refused("; ".join(part for part in (error.what, error.remedy) if part)) from None
            self._begun = True

    def finish(self, version: str | None) -> None:
        """Have the weights that were read answer from the next step on. Raises Refusal: there are none, or
        they are of another version.
        """
        with self._lock:
            read, self._begun, self._read = self._read, False, None
            if read is None:
                raise _refused("there are no weights to finish with; POST /update_weights brings them")
            if version is not None and version != read[0]:
                raise _refused(
                    f"the folder holds version {read[0]:.80}, and {version:.80} was to be finished; the "
                    "weights from before stay"
                )
            self.engine.between_steps(lambda: self._put(*read)).result()

    def _put(self, version: str, weights: Mapping[str, Tensor]) -> None:
        transfer.put(self.engine.model, weights)
        self.engine.sampler.read_anew()
        self.version = version

    def _below(self, path: Any) -> Path:
        """The folder of that name. Raises Refusal, which says nothing of what lies elsewhere."""
        try:
            found = (self.folder / path).resolve()
            inside = found != self.folder and found.is_relative_to(self.folder)
        except (OSError, RuntimeError, TypeError, ValueError):  # links in a circle, no text, a NUL
            inside = False
        if not inside or not isinstance(path, str):
            raise _refused("update_info.path is no folder below the one that the server takes updates from")
        return found


def _refused(what: str) -> Refusal:
    return Refusal(400, what, param="update_info", code="update_refused")
