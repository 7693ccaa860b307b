"""A question to one or two models: what their processes say, as the events of one stream.

An answer is the one that `alignlab chat` gives to the same lines with the same seed: the same draws, the
same limit, the same turns forgotten where not all fit.
"""

from __future__ import annotations

import asyncio
import codecs
import sys
import traceback
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import cache
from typing import Any

from ..records import Completion, Prompt
from ..run import derive_seed
from ..settings import ChatSettings
from ..text.escapes import one_line
from ..town import names as town
from . import asking, schema
from .asking import Said
from .child import NAME
from .inside import number, text
from .speakers import Address

MOST_TOKENS = ChatSettings().sampling.max_new_tokens
TOP = 5  # likeliest tokens beside each
HEAD, FRAME = 256, 64  # tokens that a template writes before a conversation and around a message, at most
AGAIN = "the next question starts it again"
Messages = Sequence[schema.TalkMessage]


async def stream(
    addresses: Sequence[Address], asked: schema.TalkAsked, scorer: Address | None = None
) -> AsyncGenerator[schema.Part]:
    """What all sides say, as it comes, and what a reward model makes of it. Given up, it gives up what they
    are writing.
    """
    told: asyncio.Queue[schema.Part | None] = asyncio.Queue(64)

    async def one(side: schema.Side, address: Address) -> None:
        try:
            async with aclosing(speak(address, asked, asked.messages[side], side, scorer)) as events:
                async for event in events:
                    await told.put(event)
        except Said as said:
            remedy = AGAIN if said.status == 0 else ""
            await told.put(schema.TalkFailed(side=side, what=said.message, remedy=remedy))
        except Exception:  # a bug of ours: whoever waits is told
            print(one_line(traceback.format_exc()).replace("\\n", "\n"), file=sys.stderr, flush=True)
            what = "a bug of ours; the terminal of the studio says where"
            await told.put(schema.TalkFailed(side=side, what=what, remedy=""))
        await told.put(None)

    sides: Sequence[schema.Side] = (0, 1)
    tasks = [asyncio.create_task(one(side, address)) for side, address in zip(sides, addresses, strict=False)]
    try:
        for _ in tasks:
            while (event := await told.get()) is not None:
                yield event
    finally:
        for task in tasks:
            task.cancel()


async def speak(
    address: Address,
    asked: schema.TalkAsked,
    messages: Messages,
    side: schema.Side,
    scorer: Address | None = None,
) -> AsyncGenerator[schema.Part]:
    """What one side says, and what is said of it. Raises Said."""
    messages, forgotten = await fitting(address, messages)
    if forgotten:
        yield schema.TalkForgot(side=side, turns=forgotten)
    path, body = request(address, messages)
    body |= {
        "max_tokens": MOST_TOKENS,
        "temperature": asked.temperature,
        "seed": derive_seed(asked.seed, "chat", asked.n),
    }
    if asked.defences:
        body["model"] = "+".join((NAME, *asked.defences))
    else:
        body |= {"logprobs": True, "top_logprobs": TOP} if address.chats else {"logprobs": TOP}
    written, finished = Written(), False
    async with aclosing(asking.pieces(address, path, body)) as events:
        async for event in events:
            for choice in event.get("choices", ()):
                finished = finished or choice.get("finish_reason") in ("stop", "content_filter")
                piece = written.take(choice)
                if piece.text or piece.tokens:
                    yield piece.model_copy(update={"side": side})
    verdict = await asyncio.to_thread(judged, messages[-1].content, written.text, finished=finished)
    if scorer is not None:
        verdict = verdict or schema.TalkVerdict(side=side, gold=None, reason="")
        scored = await scored_by(scorer, messages, written.text, finished=finished)
        verdict = verdict.model_copy(update=scored)
    if verdict is not None:
        yield verdict.model_copy(update={"side": side})
    yield schema.TalkEnd(side=side, finished=finished)


async def scored_by(scorer: Address, messages: Messages, answer: str, *, finished: bool) -> dict[str, Any]:
    """What a reward model makes of an answer, as part of a verdict, or why it says nothing."""
    body = {"messages": [message.model_dump() for message in messages]}
    try:
        row = await asking.whole(scorer, "/v1/score", {**body, "completion": answer, "finished": finished})
    except Said as said:
        return {"unscored": text(said.message, 1000)}
    return {"score": number(row.get("score")), "unscored": ""}


def request(address: Address, messages: Messages) -> tuple[str, dict[str, Any]]:
    """The path and the body that ask a model to go on: with a conversation, or without a template with its
    text, as `alignlab chat` does.
    """
    if address.chats:
        return "/v1/chat/completions", {"messages": [message.model_dump() for message in messages]}
    return "/v1/completions", {"prompt": "\n".join(message.content for message in messages)}


async def fitting(address: Address, messages: Messages) -> tuple[Messages, int]:
    """The conversation with as many of the latest turns as fit beside an answer, and how many turns were
    forgotten. Raises Said: the question alone is too long.
    """
    for forgotten in range(len(messages) // 2 + 1):
        kept = messages[2 * forgotten :]
        if await _length(address, kept) + MOST_TOKENS <= address.context:
            return kept, forgotten
    raise Said(
        400,
        f"the question alone is too long: {address.context} tokens, and {MOST_TOKENS} of them for the answer",
    )


async def _length(address: Address, messages: Messages) -> int:
    """Tokens of a conversation, or more where so many fit anyway: a token is a byte at least."""
    most = HEAD + sum(len(message.content.encode()) + FRAME for message in messages)
    if most + MOST_TOKENS <= address.context:
        return most
    path, body = request(address, messages)
    try:
        answer = await asking.whole(address, path, {**body, "max_tokens": 1, "temperature": 0})
    except Said as said:
        if said.code == "context_length_exceeded":
            return address.context
        raise
    return int(answer["usage"]["prompt_tokens"])


class Written:
    """An answer as it grows, and which part of it each token is. Tokens may come before their text."""

    def __init__(self) -> None:
        self.text = ""
        self._at = 0  # characters that tokens have so far
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._waiting: deque[tuple[str, dict[str, Any]]] = deque()

    def take(self, choice: dict[str, Any]) -> schema.TalkPiece:
        """A choice of one event, as a piece of side 0. The bytes of a character that several tokens share are
        the last one's.
        """
        delta, told = choice.get("delta"), choice.get("logprobs") or {}
        said = text(delta.get("content")) if isinstance(delta, dict) else text(choice.get("text"))
        self.text += said
        for row in told["content"] if "content" in told else _rows_of(told):
            self._waiting.append((self._decoder.decode(bytes(row["bytes"])), row))
        tokens = []
        while self._waiting and (choice.get("finish_reason") or self._there(self._waiting[0][0])):
            piece, row = self._waiting.popleft()
            if not self.text.startswith(piece, self._at):
                piece = ""
            self._at += len(piece)
            name = text(row["token"], 200)
            tokens.append(schema.TalkToken(text=piece, name=name, logprob=row["logprob"], top=_top(row)))
        return schema.TalkPiece(side=0, text=said, tokens=tokens)

    def _there(self, piece: str) -> bool:
        """Whether the text has come as far as a token goes."""
        return self._at + len(piece) <= len(self.text)


def _rows_of(told: dict[str, Any]) -> list[dict[str, Any]]:
    """Log-probabilities of a text, in the shape of those of a chat."""
    columns = [told.get(name) or [] for name in ("tokens", "token_logprobs", "top_logprobs")]
    rows = []
    for token, logprob, best in zip(*columns, strict=True):
        listed = [{"token": name, "logprob": value} for name, value in (best or {}).items()]
        listed.sort(key=lambda each: -each["logprob"])
        raw = b"" if token.startswith("bytes:") else token.encode("utf-8", "replace")
        rows.append({"token": token, "logprob": logprob, "bytes": list(raw), "top_logprobs": listed[:TOP]})
    return rows


def _top(row: dict[str, Any]) -> list[schema.Likely]:
    return [
        schema.Likely(text=text(best["token"], 200), logprob=best["logprob"]) for best in row["top_logprobs"]
    ]


async def tokens_of(
    address: Address, prompt: Sequence[schema.Said], completion: str
) -> list[tuple[str, float | None]]:
    """The tokens of an answer that is there already, as the tokenizer cuts it: pieces of the text with
    log-probabilities in nats. Raises Said.
    """
    asked: dict[str, Any] = {"echo": True, "max_tokens": 0}
    before = ""
    if address.chats:
        messages = [*(said.model_dump() for said in prompt), {"role": "assistant", "content": completion}]
        path, asked = "/v1/chat/completions", asked | {"messages": messages, "logprobs": True}
    else:
        before = "\n".join(said.content for said in prompt)
        path, asked = "/v1/completions", asked | {"prompt": before + completion, "logprobs": 0}
    told = (await asking.whole(address, path, asked))["choices"][0]["logprobs"]
    if address.chats:
        rows, places = told["content"], [0] * len(told["content"])
    else:
        rows, places = _rows_of(told), told["text_offset"]
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pieces = [(decoder.decode(bytes(row["bytes"])), row["logprob"]) for row in rows]
    return [piece for piece, at in zip(pieces, places, strict=True) if at >= len(before)]


@cache
def _gold() -> tuple[Any, Any]:
    return town.request_reader(), town.judge(town.GOLD)


def judged(question: str, answer: str, *, finished: bool) -> schema.TalkVerdict | None:
    """What gold says of an answer, as a verdict of side 0; None where the question is none of the town's."""
    reader, judge = _gold()
    prompt: Prompt | None = reader(question.strip())
    if prompt is None:
        return None
    score = judge.score([Completion(prompt, answer, finished=finished)])[0]
    return schema.TalkVerdict(side=0, gold=score.value, reason=text(score.reason, 1000))
