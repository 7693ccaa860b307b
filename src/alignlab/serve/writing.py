"""What a client waits for: completions as they are written, and the job they belong to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from ..models.likelihood import Likelihood
from ..sampling.continuous import ContinuousSampler, Stream
from .places import Places


class Writing:
    """One completion of a job: its text as far as it may be shown, and why it ended ("stop", "length",
    "abort"; None = it goes on).

    A text in `stop` ends it and is left out. Until then no piece is shown that may turn out to be the
    beginning of one, nor half of a character.
    """

    def __init__(self, stop: Sequence[str], *, pieces: bool) -> None:
        self.stop, self.pieces = stop, pieces
        self.stream: Stream
        self.text = ""
        self.reason: str | None = None
        self.handed = 0  # tokens whose log-probabilities were handed out
        self.places: Places

    def look(self, sampler: ContinuousSampler) -> str:
        """After a token was written: what can be shown more of it."""
        if not (self.stop or self.pieces or self.stream.done):
            return ""
        text = sampler.text(self.stream)
        places = [text.find(stop) for stop in self.stop if stop in text]
        if places:
            text, self.reason = text[: min(places)], "stop"
        elif self.stream.done:
            self.reason = "stop" if self.stream.finished else "length"
        else:
            text = text.rstrip("\ufffd")  # bytes of a character whose rest is still to come
            text = text[: len(text) - max((_overlap(text, stop) for stop in self.stop), default=0)]
        return self._shown(text)

    def break_off(self, sampler: ContinuousSampler) -> str:
        """It ends as it is: what can be shown more of it."""
        self.reason = "abort"
        return self._shown(sampler.text(self.stream))

    def _shown(self, text: str) -> str:
        if not self.pieces:
            self.text = text
            return ""
        if not text.startswith(self.text) or len(text) == len(self.text):
            return ""  # a tokenizer may write a text otherwise once more tokens follow; what was shown stays
        piece, self.text = text[len(self.text) :], text
        return piece


def _overlap(text: str, stop: str) -> int:
    """How many of the text's last characters a stop text begins with; not all of it."""
    return next((k for k in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:k])), 0)


Piece = tuple[Writing, str, str | None]
"""More of a completion's text, and why it ended there, as it was when the piece was made: the engine writes
on while the piece waits to be sent.
"""
Tell = Callable[[list[Piece], bool], None]


class Job:
    """Completions of one request, and log-probabilities of rows that are there already.

    Args:
        tell: called from the engine's thread with pieces and whether the job is over: when there are some,
            and once at the end.
    """

    def __init__(
        self,
        writings: Sequence[Writing],
        streams: Sequence[Stream],
        rows: Sequence[Sequence[int]] = (),
        top: int = 0,
        tell: Tell = lambda pieces, over: None,
    ) -> None:
        self.writings, self.streams, self.rows, self.top, self.tell = (
            list(writings),
            list(streams),
            list(rows),
            top,
            tell,
        )
        self.likelihoods: list[Likelihood] = []
        self.error: Exception | None = None
        self.finished = threading.Event()
        for writing, stream in zip(self.writings, self.streams, strict=True):
            writing.stream, stream.owner = stream, (self, writing)

    @property
    def complete(self) -> bool:
        return len(self.likelihoods) == len(self.rows) and all(writing.reason for writing in self.writings)
