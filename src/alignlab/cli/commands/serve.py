"""Talk to a model, serve it, look at runs."""

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
    "studio": Command(
        (
            "see every run of a folder in the browser, while it is made and afterwards; studio link prints "
            "another link to the studio that runs"
        ),
        "studio.command:studio",
        (
            Option(
                "words", "the folder that holds the runs, or: link FOLDER", "runs", many=True, positional=True
            ),
            Option("port", "where it answers, on this machine alone; 0 = any free one", 8710),
            Option("no-open", "print the link, and open no browser", False, switch=True),
        ),
        live=True,
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
