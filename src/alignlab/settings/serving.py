"""Talking to models: the terminal and the server."""

from __future__ import annotations

from dataclasses import dataclass, field

from .shared import ModelSettings, SamplingSettings, setting


@dataclass(frozen=True, kw_only=True)
class ChatSettings:
    seed: int = setting(
        0, "all sampling follows from it: the same seed and the same lines give the same conversation"
    )
    sampling: SamplingSettings = field(
        default_factory=lambda: SamplingSettings(max_new_tokens=96, temperature=0.7)
    )
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    host: str = setting("127.0.0.1", "address to bind; 0.0.0.0 lets other machines in, and needs a key")
    allowed_hosts: str = setting(
        "",
        (
            "names by which clients may call it besides its address, by comma: what a Host or Origin header "
            "may say"
        ),
    )
    port: int = setting(
        8000, "port to bind; 0 = any free one, which the first line names", at_least=0, at_most=65535
    )
    api_key_env: str = setting(
        "", "environment variable that holds the key clients must send; empty = none is asked for"
    )
    max_new_tokens: int = setting(
        1024,
        "most tokens of a completion, whatever the client asks for; of a chat also where it names no limit",
        at_least=1,
    )
    context: int = setting(
        4096, "most tokens of a prompt and its completion; 0 = as many as the model reads", at_least=0
    )
    stop: str = setting(
        "", "texts that end a completion, as a JSON list; a client's own list wins, an empty one too"
    )
    queue: int = setting(
        256,
        "requests being answered at a time, waiting ones included; one more is told to come back (429)",
        at_least=1,
    )
    max_body: int = setting(2_000_000, "bytes of a request; a larger one is refused (413)", at_least=1)
    timeout: float = setting(300.0, "seconds a request may take; then it ends with an error (504)", above=0)
    slots: int = setting(64, "completions written side by side; further ones wait", at_least=1)
    memory: float = setting(
        2.0, "GB that keys and values of the completions being written may take; further ones wait", above=0
    )
    updates: str = setting(
        "",
        "vLLM's routes for a trainer: token ids in and out, pause and resume, and weights from folders below "
        "this one, by whoever may call the server; empty = none of them",
    )
    audit: str = setting("", "a JSONL file that gets a line for each request; empty = none")
    audit_bodies: bool = setting(False, "the audit log holds prompts and completions too")
    model: ModelSettings = field(default_factory=ModelSettings)
