"""Exercise 1: fine-tune the town's base model, by a mask, log-probabilities and a loss of one's own."""

from __future__ import annotations

from pathlib import Path

from ...grade.exercise import Exercise, Property
from ...grade.match import agrees
from .checks import masks, reaches, unseen
from .oracle import JUNK, LOGPROBS, LOSS, MASK, PART

FOLDER = Path(__file__).parent
EXERCISE = Exercise(
    "ex1",
    "Fine-tune a base model",
    FOLDER,
    "sft.py",
    (MASK, LOGPROBS, LOSS),
    (
        Property("mask", 14, masks, MASK.name),
        Property("logprobs", 14, agrees(LOGPROBS, True), LOGPROBS.name),
        Property("loss", 8, agrees(LOSS, True), LOSS.name),
        Property("junk", 7, agrees(JUNK, True), JUNK.name),
        Property("micro-batches", 7, agrees(PART, True), PART.name),
        Property("unseen", 6, unseen, kind="behaviour"),
        Property("ends", 8, reaches("ends"), kind="behaviour"),
        Property("gold", 8, reaches("gold"), kind="behaviour"),
        Property("facts", 8, reaches("facts"), kind="behaviour"),
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
