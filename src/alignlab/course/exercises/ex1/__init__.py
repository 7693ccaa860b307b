"""Exercise 1: fine-tune the town's base model, by a mask, log-probabilities and a loss of one's own."""

from __future__ import annotations

from pathlib import Path

from ...grade.exercise import Exercise, Property
from ...grade.match import agrees
from .checks import answers, masks, unseen
from .oracle import LOGPROBS, LOSS, MASK

FOLDER = Path(__file__).parent
EXERCISE = Exercise(
    "ex1",
    "Fine-tune a base model",
    FOLDER,
    "sft.py",
    (MASK, LOGPROBS, LOSS),
    (
        Property("mask", 16, masks, MASK.name),
        Property("logprobs", 16, agrees(LOGPROBS, True), LOGPROBS.name),
        Property("loss", 18, agrees(LOSS, True), LOSS.name),
        Property("unseen", 12, unseen, kind="behaviour"),
        Property("answers", 18, answers, kind="behaviour"),
    ),
    drivers={"train": FOLDER / "driver.py"},
    fields={
        "gold": "gold",
        "ends": "ends",
        "facts": "facts",
        "five": "",
        "unmended": "",
        "data": "",
        "mind": "",
    },
    others=("settings",),
)
