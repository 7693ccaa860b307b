"""What loading a model takes of the machine: want of it is told apart from a model that is broken."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import ResourceError

LACKS = {
    "memory": (
        "cannot allocate memory",
        "can't allocate memory",
        "not enough memory",
        "out of memory",
        "bad_alloc",
        "os error 12)",
        "can't start new thread",
    ),
    "files that may be open at once": ("too many open files", "os error 24)", "os error 23)"),
}
"""What a machine may be short of, and how torch, safetensors (in Rust) and the system say so."""
NUMBERS = {"memory": (errno.ENOMEM,), "files that may be open at once": (errno.EMFILE, errno.ENFILE)}
REMEDIES = {
    "memory": "end other programs, take a smaller model, or a machine with more; "
    "the model itself may be sound",
    "files that may be open at once": "`ulimit -n 4096` in this shell, then the same command again",
}


@contextmanager
def within_means(ref: str | Path) -> Iterator[None]:
    """Raises ResourceError, exit code 8, where a model cannot be loaded for want of memory or descriptors: it
    is not the model that is broken.
    """
    try:
        yield
    except Exception as error:
        for lack, remedy in REMEDIES.items():
            if _says(error, lack):
                raise ResourceError(
                    f"the machine is short of {lack}: the model cannot be loaded",
                    where=str(ref),
                    remedy=remedy,
                ) from error
        raise


def _says(error: BaseException, lack: str) -> bool:
    """Whether the error, or one that it came from, says that this is lacking."""
    if getattr(error, "errno", None) in NUMBERS[lack] or any(
        text in str(error).lower() for text in LACKS[lack]
    ):
        return True
    if lack == "memory" and isinstance(error, MemoryError):
        return True
    before = error.__cause__ or error.__context__
    return before is not None and _says(before, lack)
