"""Models in a conversation: each keeps its own turns, and writes its answer a piece at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import DataError, UserError
from ..feedback import Judge
from ..models.chat import prompt_ids
from ..models.chat_template import template_of
from ..models.policy import Policy
from ..records import Completion, Message, Prompt
from ..run import derive_seed
from ..sampling import Sampling
from ..sampling.local import LocalSampler
from ..settings import ChatSettings, SamplingSettings
from ..text.escapes import visible


class _Sampler(LocalSampler):
    """Knows, when a stream is over, whether the model ended it."""

    finished = False

    def _text(self, sequence: Any) -> str:
        self.finished = sequence.finished
        return super()._text(sequence)


@dataclass
class Answer:
    """What one model says to one question. It grows with `advance` until it is `over`."""

    model: str
    prompt: Prompt
    pieces: Iterator[str]
    ended: Callable[[], bool]  # once the pieces are over: whether the model wrote its end token
    judge: Judge | None = None
    note: str = ""  # what the reader has to know first
    text: str = ""
    over: bool = False
    stopped: bool = False  # by the reader
    finished: bool = False  # by the model
    score: float | None = None
    error: UserError | None = None  # it could not be written

    def advance(self) -> str | None:
        """The next piece of text; None when there is no more."""
        try:
            piece = None if self.over else next(self.pieces, None)
        except UserError as error:
            self.error, self.over = error, True
            return None
        if piece is not None:
            self.text += piece
        elif not self.over:
            self.finished = self.ended()
            self._end()
        return piece

    def stop(self) -> None:
        """The reader has seen enough: what is written so far is the answer."""
        if not self.over:
            self.stopped = True
            self._end()

    def _end(self) -> None:
        self.over = True
        if self.judge:
            self.score = self.judge.score(
                [Completion(self.prompt, self.text, finished=self.finished, source=self.model)]
            )[0].value

    @property
    def footer(self) -> str:
        """What is to be said below it."""
        if self.error:
            return shown(str(self.error))
        parts = []
        if self.stopped:
            parts.append("stopped")
        elif self.over and not self.finished:
            parts.append("cut at the limit, --sampling.max_new_tokens")
        if self.score is not None:
            parts.append(f"score {self.score:+.2f}")
        return " · ".join(parts)

    def to_json(self) -> dict[str, Any]:
        row: dict[str, Any] = {"model": self.model, "text": self.text, "finished": self.finished}
        if self.score is not None:
            row["score"] = self.score
        return row


class Speaker:
    """A model and the conversation as it knows it: its own answers."""

    def __init__(self, name: str, policy: Policy) -> None:
        self.name, self.tokenizer = name, policy.tokenizer
        # as the server has it: behind a begin token stands another text
        self.sampler = _Sampler.of(policy, slots=1, name=name, documents=True)
        self.context: int | None = getattr(
            policy.model.config.get_text_config(), "max_position_embeddings", None
        )
        self.turns: list[tuple[str, str]] = []  # question, answer

    @property
    def chats(self) -> bool:
        """Whether it has a chat template. Without one it continues the conversation as plain text."""
        return bool(template_of(self.tokenizer))

    def answer(
        self, question: str, sampling: SamplingSettings, *, seed: int, judge: Judge | None = None
    ) -> Answer:
        """An answer to begin. The oldest turns are forgotten where all would not fit, and the answer's note
        says so.
        """
        answer = Answer(self.name, Prompt.user(question), iter(()), lambda: self.sampler.finished, judge)
        try:
            answer.prompt, ids, forgotten = self._fitting(question, sampling.max_new_tokens)
        except UserError as error:
            answer.error, answer.over = error, True
            return answer
        if forgotten:
            turns = "turn is" if forgotten == 1 else f"{forgotten} turns are"
            answer.note = (
                f"too long for the {self.context} tokens it can read and write: the oldest {turns} forgotten"
            )
        answer.pieces = self.sampler.stream(ids, Sampling.of(sampling), seed=seed)
        return answer

    def _fitting(self, question: str, max_new_tokens: int) -> tuple[Prompt, list[int], int]:
        """The conversation with as many of the latest turns as fit beside the answer, its ids, and how many
        turns were forgotten.
        """
        for forgotten in range(len(self.turns) + 1):
            turns = self.turns[forgotten:]
            messages: list[Message] = []
            for earlier, answer in turns:
                messages += [Message("user", earlier), Message("assistant", answer)]
            prompt = Prompt((*messages, Message("user", question)))
            if self.chats:
                ids = prompt_ids(self.tokenizer, prompt)
            else:
                ids = self.tokenizer("\n".join(m.content for m in prompt.messages))["input_ids"]
            if not self.context or len(ids) + max_new_tokens <= self.context:
                self.turns = turns
                return prompt, ids, forgotten
        raise DataError(
            (
                f"the question alone is too long for {self.name}: {len(ids)} tokens and up to "
                f"{max_new_tokens} of an answer, where {self.context} fit"
            ),
            remedy="ask something shorter, or lower --sampling.max_new_tokens",
        )


@dataclass
class Conversation:
    """One or several models that are asked the same questions."""

    speakers: Sequence[Speaker]
    settings: ChatSettings
    judge: Judge | None = None
    samples: int = 0  # asked for so far: each has a seed of its own
    asked: list[str] = field(default_factory=list)

    def ask(self, question: str, show: Callable[[Sequence[Answer]], None]) -> list[Answer]:
        """Put a question to every model; `show` has the answers written. Those that could be written are
        remembered.
        """
        question = question.encode(
            "utf-8", "replace"
        ).decode()  # a lone surrogate, of bytes that were no text, is none to a tokenizer
        seed = derive_seed(self.settings.seed, "chat", self.samples)
        self.samples += 1
        answers = [
            speaker.answer(question, self.settings.sampling, seed=seed, judge=self.judge)
            for speaker in self.speakers
        ]
        show(answers)
        for speaker, answer in zip(self.speakers, answers, strict=True):
            if not answer.error:
                speaker.turns.append((question, answer.text))
        self.asked.append(question)
        return answers

    def again(self, show: Callable[[Sequence[Answer]], None]) -> None:
        """Another answer to the last question."""
        question = self.asked.pop()
        for speaker in self.speakers:
            if speaker.turns and speaker.turns[-1][0] == question:
                speaker.turns.pop()
        self.ask(question, show)

    def forget(self) -> None:
        self.asked.clear()
        for speaker in self.speakers:
            speaker.turns.clear()


def shown(text: str) -> str:
    """Text of a model, safe to print, in lines as it has them."""
    return visible(text).replace("\t", "    ")
