"""Completions as the choices of an answer."""

from __future__ import annotations

from collections.abc import Sequence

from ..records import Completion
from .documents import Choice
from .engine import Engine
from .protocol import Ask
from .writing import Job


def choices_of(ask: Ask, engine: Engine, job: Job, rows: Sequence[list[int]]) -> list[Choice]:
    """The completions of a job that is over, behind the prompts where these are echoed; of a stream without
    their tokens, which it has had.
    """
    choices = []
    for place, prompt in enumerate(ask.prompts):
        before, read = "", []
        if ask.echo:
            before = engine.spelling.echo(prompt)
        if job.rows:
            read = engine.spelling.read(prompt, rows[place], job.likelihoods[place])
        for i in range(place * ask.n, (place + 1) * ask.n):
            choice = Choice(i, before, "length")
            if ask.top is not None and not ask.stream:
                choice.tokens = list(read)
            if job.writings:  # there are none of no tokens
                writing = job.writings[i]
                if choice.tokens is not None:
                    choice.tokens += engine.spelling.written(writing, at=len(before))
                choice.text, choice.reason = before + writing.text, writing.reason
            choices.append(choice)
    return choices


def of_completion(index: int, completion: Completion, stops: Sequence[str]) -> Choice:
    text = completion.text
    if completion.blocked:
        return Choice(index, text, "content_filter", None, completion.blocked)
    places = [text.find(stop) for stop in stops if stop in text]
    if places:
        return Choice(index, text[: min(places)], "stop")
    return Choice(index, text, "stop" if completion.finished else "length")
