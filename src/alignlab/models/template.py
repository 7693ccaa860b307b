"""Chat templates of others are filled in by a process of their own, which has bounds that the kernel keeps
(see `render`).
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..records import Message
from ..text.escapes import one_line
from . import render

LONGEST = 2**20
"""Characters of a template; those of the field have up to some twenty thousand."""
GROWTH, ROOM = 16, 2**20
"""A template may write so many times what it is given, and so many characters more."""


class TemplateBound(ModelError):
    """A template that does not come to an end within its bounds: no other conversation will mend that."""


def fill(template: str, messages: Sequence[Message], names: dict[str, Any], *, generation: bool) -> str:
    """The messages as the template writes them.

    Args:
        names: what else the template may name: the special tokens.
        generation: whether to open the assistant's turn at the end.

    Raises:
        TemplateBound: it takes too long, too much memory, or writes too much. ModelError: it refuses the
            messages, or is no template.
    """
    if len(template) > LONGEST:
        raise _bound(f"has {len(template):,} characters")
    names = {
        **names,
        "messages": [m.to_json() for m in messages],
        "tools": None,
        "documents": None,
        "add_generation_prompt": generation,
    }
    most = GROWTH * sum(len(m.content) for m in messages) + ROOM
    answer = _filler.ask(json.dumps({"template": template, "names": names, "most": most}).encode() + b"\n")
    if "bound" in answer:
        raise _bound(answer["bound"])
    if "error" in answer:
        raise ModelError(
            f"the chat template cannot render these messages: {one_line(answer['error'], 400)}",
            where=" / ".join(m.role for m in messages),
            remedy="check the order of the roles, or give another template",
        )
    return answer["text"]


def _bound(what: str) -> TemplateBound:
    return TemplateBound(
        f"the chat template {what}, and is stopped",
        where="the chat template of the model",
        remedy="another model, or a template of your own: --model.chat_template FILE",
    )


class _Filler:
    """The process, begun when it is first needed, again when it has ended, and anew behind a fork."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner, self._lock = 0, threading.Lock()

    def ask(self, line: bytes) -> dict[str, str]:
        with self._lock:
            if self._process is None or self._owner != os.getpid():
                self._process, self._owner = self._begun(), os.getpid()
            assert self._process.stdin is not None and self._process.stdout is not None
            try:
                self._process.stdin.write(line)
                self._process.stdin.flush()
                if (answer := self._process.stdout.readline()).endswith(b"\n"):
                    return json.loads(answer)
            except BrokenPipeError:
                pass
            code = self.end()
            if code == -signal.SIGPROF:
                return {"bound": f"takes more than {render.SECONDS:g} s of processor time"}
            return {"bound": f"ends the process that fills it in ({code})"}

    @staticmethod
    def _begun() -> subprocess.Popen[bytes]:
        """In a session of its own, so that Ctrl-C is for us alone; it ends with its standard input."""
        return subprocess.Popen(
            [sys.executable, "-P", str(Path(render.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def end(self) -> int | None:
        """How the process ended. Of a parent that forked, nothing is ended."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return None
        for pipe in (process.stdin, process.stdout):
            try:
                pipe.close()  # type: ignore[union-attr]
            except BrokenPipeError:
                pass
        return process.wait()


_filler = _Filler()
atexit.register(_filler.end)
