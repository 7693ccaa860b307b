"""Exercise 4: write a constitution, and the chain of critiques and revisions that applies it."""

from __future__ import annotations

from pathlib import Path

from ...grade.exercise import Exercise, Property
from .checks import critiques, harm, linted, look_alikes, predictions
from .files import CONSTITUTION, PREDICTIONS
from .oracle import BEFORE_AFTER, CHAIN, KEEP
from .played import agrees_played

FOLDER = Path(__file__).parent
EXERCISE = Exercise(
    "ex4",
    "A constitution",
    FOLDER,
    "cai.py",
    (CHAIN, KEEP, BEFORE_AFTER),
    (
        Property("constitution", 12, linted),
        Property("chain", 14, agrees_played(CHAIN), CHAIN.name),
        Property("keep", 8, agrees_played(KEEP), KEEP.name),
        Property("before-after", 10, agrees_played(BEFORE_AFTER), BEFORE_AFTER.name),
        Property("predictions", 6, predictions),
        Property("harm", 12, harm, kind="behaviour"),
        Property("look-alikes", 10, look_alikes, kind="behaviour"),
        Property("critiques", 8, critiques, kind="behaviour"),
    ),
    drivers={"play": FOLDER / "driver.py"},
    fields={
        "harm": "harm_new",
        "changed": "changed_new",
        "right": "right",
        "ablation": "ablation",
        "hits": "hits",
        "vacuous": "",
        "reads": "",
        "mind": "",
    },
    beside=(CONSTITUTION, PREDICTIONS),
)
