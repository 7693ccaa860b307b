#!/usr/bin/env python3
"""The OpenAI Python client against `alignlab serve`: chats, streams, stop texts, log-probabilities, echo,
defences, errors.

pip install openai; python benchmarks/clients/openai_client.py URL MODEL      URL as http://127.0.0.1:8000/v1
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import openai


def main(url: str, model: str) -> None:
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    print("openai", openai.__version__, "models:", [card.id for card in client.models.list()])
    ask: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": "Who is the baker?"}],
        "max_tokens": 32,
        "seed": 1,
    }
    whole = client.chat.completions.create(**ask, temperature=0)
    print("chat:", repr(whole.choices[0].message.content), whole.choices[0].finish_reason, whole.usage)
    pieces = list(
        client.chat.completions.create(
            **ask, temperature=0, stream=True, stream_options={"include_usage": True}
        )
    )
    streamed = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert streamed == whole.choices[0].message.content and pieces[-1].usage == whole.usage
    print("stream:", len(pieces), "events, the same text and usage")
    with client.chat.completions.stream(**ask, temperature=0) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == streamed
    several = client.chat.completions.create(**ask, n=3, temperature=1, logprobs=True, top_logprobs=2)
    again = client.chat.completions.create(**ask, n=3, temperature=1)
    assert [c.message.content for c in several.choices] == [c.message.content for c in again.choices]
    token = several.choices[0].logprobs.content[0]
    print(
        "n=3 with a seed, twice the same:",
        [c.message.content for c in several.choices],
        "first token:",
        repr(token.token),
        round(token.logprob, 3),
    )
    word = streamed.split()[1]
    cut = client.chat.completions.create(**ask, temperature=0, stop=[word])
    assert (
        cut.choices[0].message.content == streamed[: streamed.index(word)]
        and cut.choices[0].finish_reason == "stop"
    )
    text = client.completions.create(
        model=model, prompt=["The baker", "The mill"], max_tokens=6, echo=True, logprobs=2, temperature=0
    )
    print(
        "completions with echo:",
        [c.text for c in text.choices],
        [round(v, 2) for v in text.choices[0].logprobs.token_logprobs if v is not None],
    )
    defended = client.chat.completions.create(**{**ask, "model": f"{model}+self-reminder"}, temperature=0)
    print("behind self-reminder:", repr(defended.choices[0].message.content), defended.model_extra)
    blocked = client.chat.completions.create(
        **{
            **ask,
            "model": f"{model}+perplexity-filter",
            "messages": [{"role": "user", "content": "zx qv ]] \x00 ;; jj kk vv 9 8 @@ zz"}],
        }
    )
    print(
        "behind perplexity-filter:",
        repr(blocked.choices[0].message.content),
        blocked.choices[0].finish_reason,
    )
    for name, wrong in (("NotFoundError", {"model": "nobody"}), ("BadRequestError", {"temperature": 9})):
        try:
            client.chat.completions.create(**{**ask, **wrong})
        except openai.APIStatusError as error:
            assert type(error).__name__ == name
            print(f"{name}:", error.message)

    async def many() -> list[str | None]:
        async with openai.AsyncOpenAI(base_url=url, api_key="none") as others:
            found = await asyncio.gather(
                *(others.chat.completions.create(**{**ask, "seed": i}) for i in range(32))
            )
        return [one.choices[0].message.content for one in found]

    print("32 at once:", len(set(asyncio.run(many()))), "different answers")


if __name__ == "__main__":
    main(*sys.argv[1:3])
