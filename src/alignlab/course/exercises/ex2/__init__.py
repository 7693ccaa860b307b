"""Exercise 2: vote, turn votes into pairs, and train a reward model by functions of one's own."""

from __future__ import annotations

from pathlib import Path

from ...grade.exercise import Exercise, Property
from ...grade.match import agrees
from .checks import alphas, divides, learns, votes
from .files import VOTES
from .oracle import ALPHA, BT, FIGURES, PAIRS, RELIABILITY, SCORE, SPLIT

FOLDER = Path(__file__).parent
EXERCISE = Exercise(
    "ex2",
    "Preferences and a reward model",
    FOLDER,
    "preferences.py",
    (PAIRS, SPLIT, BT, SCORE, ALPHA, RELIABILITY, FIGURES),
    (
        Property("votes", 5, votes),
        Property("pairs", 8, agrees(PAIRS), PAIRS.name),
        Property("split", 8, divides, SPLIT.name),
        Property("loss", 8, agrees(BT, True), BT.name),
        Property("score", 7, agrees(SCORE), SCORE.name),
        Property("alpha", 7, alphas, ALPHA.name),
        Property("reliability", 4, agrees(RELIABILITY), RELIABILITY.name),
        Property("figures", 3, agrees(FIGURES), FIGURES.name),
        Property("reward-model", 30, learns, kind="behaviour"),
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
    beside=(VOTES,),
)
