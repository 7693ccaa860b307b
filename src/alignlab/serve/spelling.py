"""What is told of tokens: their names, their places in a text, and the likeliest in their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..models.chat import open_turn, prompt_ids
from ..models.chat_template import begin_ids, text_of
from ..models.likelihood import Likelihood
from ..records import Prompt
from .documents import Token
from .places import Name, Names, Places, spans
from .writing import Writing

NEVER = -9999.0  # log-probability of what cannot be, which JSON cannot say; OpenAI's API writes the same


class Spelling:
    """Spells tokens of one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self.names = tokenizer, Names(tokenizer)

    def echo(self, prompt: Prompt | list[int] | str) -> str:
        """A prompt as it is given back: a text as it came, ids as the tokenizer reads them, of a chat the
        turn that is gone on with.
        """
        if isinstance(prompt, Prompt):
            return open_turn(prompt)[1]
        return prompt if isinstance(prompt, str) else text_of(self.tokenizer, prompt)

    def written(self, writing: Writing, *, at: int = 0) -> list[Token]:
        """Tokens of a completion that were not handed out yet: those that begin in the text shown, and at its
        end all, unless a stop text ended it.

        Args:
            at: where the completion begins in the text that is given.
        """
        stream, places, tokens = writing.stream, writing.places, []
        whole = writing.reason is not None and (stream.finished or writing.reason in ("length", "abort"))
        while writing.handed < len(stream.told) and (whole or places.at < len(writing.text)):
            token, (logprob, best) = stream.ids[writing.handed], stream.told[writing.handed]
            start, piece = places.next(token, writing.text)
            place = at + min(start, len(writing.text))
            tokens.append(self._token(token, logprob, best, at=place, piece=piece))
            writing.handed += 1
        return tokens

    def read(
        self, prompt: Prompt | list[int] | str, row: Sequence[int], likelihood: Likelihood
    ) -> list[Token]:
        """Tokens of a prompt, whose ids are `row`; of a chat those of the turn that is gone on with. Those
        that were put before a text (a begin token) are no part of it: they are empty.
        """
        text, before, skipped = self.echo(prompt), 0, 0
        if isinstance(prompt, Prompt):
            skipped = len(prompt_ids(self.tokenizer, open_turn(prompt)[0]))
        elif isinstance(prompt, str):
            before = len(begin_ids(self.tokenizer))
        row = row[skipped:]
        places = [(0, "")] * before + self._placed(row[before:], text)
        tokens = []
        for token, logprob, best, (at, piece) in zip(
            row, likelihood.logprobs[skipped:], likelihood.top[skipped:], places, strict=True
        ):
            tokens.append(self._token(token, logprob, best, at=min(at, len(text)), piece=piece))
        return [replace(token, name=Name.of("")) for token in tokens[:before]] + tokens[before:]

    def _placed(self, ids: Sequence[int], text: str) -> list[tuple[int, str]]:
        """Where each token begins in the text, and its piece of it: as they are decoded, if that is the text,
        else as the tokenizer cut it up.
        """
        if text_of(self.tokenizer, ids) != text:
            cut = spans(self.tokenizer, text)
            if cut is not None and len(cut) == len(ids):
                return cut
        places = Places(self.tokenizer)
        return [places.next(token, text) for token in ids]

    def _token(
        self, token: int, logprob: float | None, best: Sequence[tuple[int, float]], *, at: int, piece: str
    ) -> Token:
        """A token by its piece of the text, and the likeliest in its place by names that fit: without the
        blank that it lost at the beginning of the text.
        """
        name = plain = self.names[token]
        if not plain.text.startswith("bytes:") and (piece or not plain.text.strip(" ")):
            name = Name.of(piece)
        lost = plain.text.startswith(" ") and not name.text.startswith(" ")

        def beside(other: int) -> Name:
            if other == token:
                return name
            known = self.names[other]
            if lost and known.text.startswith(" ") and known.text != " ":
                return Name.of(known.text[1:])
            return known

        if logprob is not None:
            logprob = max(logprob, NEVER)
        return Token(name, logprob, [(beside(other), max(value, NEVER)) for other, value in best], at)
