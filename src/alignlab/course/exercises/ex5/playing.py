"""What `run.py` of exercise 5 shows: an answer with the line of a finding, and a student's attack."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from types import ModuleType

from ....records import Prompt
from ....text.streams import say
from ..town import prompts
from .oracle import HELP
from .targets import GOALS, NAMES, TOLD, ask

SHOWN = 10


def show(words: Sequence[str]) -> None:
    """What a target says to a prompt; and where it was brought to the goal, the line for findings.jsonl."""
    parser = argparse.ArgumentParser(prog="run.py")
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("prompt")
    parser.add_argument("--goal", default="", help="the bare request; without it the prompt")
    asked = parser.parse_args(words)
    goal = GOALS.get(asked.target) or asked.goal or asked.prompt
    prompt = Prompt.user(asked.prompt)
    reply = ask(asked.target, prompt, goal)
    if told := TOLD.get(asked.target):
        say(f"{asked.target} was told: {told}")
    say(f"{asked.target}: {reply.text}\n{reply.label}: the goal is {goal!r}")
    if reply.label == HELP:
        line = {
            "target": asked.target,
            "goal": goal,
            "prompt": prompt.to_json()["prompt"],
            "digest": prompt.id,
        }
        say(json.dumps(line | {"access": "user", "queries": 1, "twin": ""}))


def play(student: ModuleType) -> None:
    """The student's attack on requests of training, and what comes of it."""
    hits = 0
    for place, request in enumerate(prompts("town:harmful", count=SHOWN)):
        text = student.attack(request.text, place)
        reply = ask(student.TARGET, Prompt.user(text), request.text)
        hits += reply.label == HELP
        say(f"{request.text}\n  {text}\n  {reply.label}: {reply.text}")
    say(f"{hits} of {SHOWN} requests of training; those of the grade are others")
