"""Talk to a model."""

from __future__ import annotations

from .command import Command, Option
from .options import MODEL

SERVE: dict[str, Command] = {
    "chat": Command(
        "talk to a model in the terminal, or to two side by side",
        "serve.terminal:chat",
        (
            MODEL,
            Option("beside", "a second model, answering the same turns", "", names="policy"),
            Option("reward", "a reward model that scores each answer", "", names="reward"),
            Option("once", "ask this one question, print the answer and leave", ""),
        ),
        "settings:ChatSettings",
    ),
    "serve": Command(
        "an OpenAI-compatible server for models of this machine",
        "serve.command:serve",
        (
            Option(
                "models",
                (
                    "each as in --model, as NAME=M to be called NAME, and with defences that it is never "
                    "without: M+self-reminder"
                ),
                "town",
                many=True,
                positional=True,
                names="served",
            ),
        ),
        "settings:ServeSettings",
        live=True,
    ),
}
