"""A server of ours on a free port of the loopback, in this process, over a tiny random model whose tokens are
bytes.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from alignlab.models.policy import Policy
from alignlab.serve.access import Access
from alignlab.serve.audit import Audit
from alignlab.serve.command import bind
from alignlab.serve.engine import Engine
from alignlab.serve.running import Answering
from alignlab.serve.server import Served, Server
from alignlab.serve.updates import Updates
from alignlab.settings import ServeSettings

CONTEXT, END = 384, 256
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}{% if add_generation_prompt "
    "%}<assistant>{% endif %}"
)


def tiny_policy(seed: int = 0) -> Policy:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={character: i for i, character in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer, inner.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", pad_token="<pad>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<user>", "<assistant>", "<system>"]})
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=261,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            initializer_range=0.3,
            max_position_embeddings=CONTEXT,
            bos_token_id=None,
            eos_token_id=END,
            pad_token_id=257,
        )
    ).eval()
    with torch.no_grad():  # letters, so that what it writes can be read, and now and then the end
        head = model.lm_head.weight
        printable = {tokenizer.convert_tokens_to_ids(c) for c in "abcdefgh"}
        dead = [i for i in range(261) if i not in printable and i != END]
        head[dead] = 0.0
        head[sorted(printable)] *= 3
    return Policy(model, tokenizer, "tiny", torch.device("cpu"))


@pytest.fixture(scope="session")
def policy() -> Policy:
    return tiny_policy()


class Running:
    """A server that answers; `post`, `get` and `stream` ask it."""

    def __init__(
        self,
        policy: Policy,
        *,
        audit: Path | None = None,
        updates: Path | None = None,
        key: str = "",
        stop: tuple[str, ...] = (),
        stacks: tuple[tuple[str, ...], ...] = ((),),
        **settings: Any,
    ) -> None:
        self.settings = ServeSettings(**({"port": 0, "slots": 8, "max_new_tokens": 64} | settings))
        s = self.settings
        self.engine = Engine("tiny", policy, slots=s.slots, context=s.context, memory=s.memory * 1e9)
        served = {"+".join(("tiny", *stack)): Served(self.engine, stack) for stack in stacks}
        self.updates = Updates(self.engine, updates) if updates else None
        self.server = Server(
            served, s, Audit(audit, bodies=s.audit_bodies), Access(key=key), stop=stop, updates=self.updates
        )
        self.socket = bind("127.0.0.1", s.port)
        self.port = self.socket.getsockname()[1]
        self.ready = threading.Event()
        self.uvicorn = Answering(self.server, "")
        self.thread = threading.Thread(
            target=self.uvicorn.run, kwargs={"sockets": [self.socket]}, daemon=True
        )
        self.thread.start()
        while not self.uvicorn.started:
            assert self.thread.is_alive()
            threading.Event().wait(0.01)

    def close(self) -> None:
        self.uvicorn.should_exit = True
        self.thread.join(30)
        assert not self.thread.is_alive()

    def raw(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(
                method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
            )
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        status, _, body = self.raw("GET", path, **headers)
        return status, json.loads(body)

    def post(self, path: str, row: Any, **headers: str) -> tuple[int, Any]:
        status, _, body = self.raw(
            "POST", path, json.dumps(row).encode(), **({"content_type": "application/json"} | headers)
        )
        return status, json.loads(body)

    def chat(self, text: str, **more: Any) -> tuple[int, Any]:
        return self.post(
            "/v1/chat/completions", {"model": "tiny", "messages": [{"role": "user", "content": text}], **more}
        )

    def complete(self, prompt: Any, **more: Any) -> tuple[int, Any]:
        return self.post("/v1/completions", {"model": "tiny", "prompt": prompt, **more})

    def stream(self, path: str, row: dict[str, Any]) -> list[Any]:
        """The events of a stream, which must end in [DONE]."""
        status, headers, body = self.raw(
            "POST",
            path,
            json.dumps({"model": "tiny", **row, "stream": True}).encode(),
            content_type="application/json",
        )
        assert status == 200 and headers["content-type"].startswith("text/event-stream")
        events = [line.removeprefix("data: ") for line in body.decode().split("\n\n") if line]
        assert events[-1] == "[DONE]"
        return [json.loads(event) for event in events[:-1]]


@pytest.fixture(scope="module")
def running(policy: Policy) -> Iterator[Running]:
    server = Running(policy)
    yield server
    server.close()
