"""Exercise 2: vote, turn votes into pairs, and train a reward model by functions of one's own."""

from __future__ import annotations

from pathlib import Path

from ...grade.exercise import Exercise, Property
from ...grade.match import agrees
from .checks import above_length, accurate, alphas, calibrated, split, votes
from .oracle import ALPHA, BT, FIGURES, PAIRS, RELIABILITY, SCORE

FOLDER = Path(__file__).parent
EXERCISE = Exercise(
    "ex2",
    "Preferences and a reward model",
    FOLDER,
    "preferences.py",
    (PAIRS, BT, SCORE, ALPHA, RELIABILITY, FIGURES),
    (
        Property("votes", 5, votes),
        Property("pairs", 8, agrees(PAIRS), PAIRS.name),
        Property("split", 8, split, "split"),
        Property("loss", 8, agrees(BT, True), BT.name),
        Property("score", 7, agrees(SCORE), SCORE.name),
        Property("alpha", 7, alphas, ALPHA.name),
        Property("reliability", 4, agrees(RELIABILITY), RELIABILITY.name),
        Property("figures", 3, agrees(FIGURES), FIGURES.name),
        Property("above-length", 10, above_length, kind="behaviour"),
        Property("accuracy", 10, accurate, kind="behaviour"),
        Property("ece", 10, calibrated, kind="behaviour"),
    ),
    drivers={"train": FOLDER / "driver.py"},
    fields={
        "accuracy": "accuracy",
        "length": "length",
        "ece": "ece",
        "own": "own",
        "alpha": "alpha",
        "card": "",
        "prediction": "",
        "mind": "",
    },
    others=("split",),
)
