"""Completions as the choices of an answer."""

from __future__ import annotations

from collections.abc import Sequence

from ..records import Completion, Prompt
from .documents import Choice
from .engine import Engine
from .protocol import Ask
from .writing import Job


def choices_of(ask: Ask, engine: Engine, job: Job, rows: Sequence[list[int]]) -> list[Choice]:
    """The completions of a job that is over, behind the prompts where these are echoed; of a stream without
    their tokens, which it has had.
    """
    found = []
    for place, prompt in enumerate(ask.prompts):
        text = engine.echo(prompt) if ask.echo and not isinstance(prompt, Prompt) else ""
        head = (
            engine.read(prompt, rows[place], job.likelihoods[place])
            if job.rows and not isinstance(prompt, Prompt)
            else []
        )
        for i in range(place * ask.n, (place + 1) * ask.n):
            writing = job.writings[i] if job.writings else None  # there are none of no tokens
            tokens = (
                None
                if ask.top is None or ask.stream
                else [*head, *(engine.written(writing, at=len(text)) if writing else [])]
            )
            found.append(
                Choice(
                    i,
                    text + (writing.text if writing else ""),
                    writing.reason if writing else "length",
                    tokens,
                )
            )
    return found


def of_completion(index: int, completion: Completion, stops: Sequence[str]) -> Choice:
    text, reason = completion.text, "stop" if completion.finished else "length"
    if not completion.blocked and (found := [at for stop in stops if (at := text.find(stop)) >= 0]):
        text, reason = text[: min(found)], "stop"
    return Choice(index, text, "content_filter" if completion.blocked else reason, None, completion.blocked)
