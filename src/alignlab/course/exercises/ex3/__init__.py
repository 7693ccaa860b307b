"""Exercise 3: RLHF on the toy of the study `closed-form`, whose best policy is known."""

from __future__ import annotations

from pathlib import Path

from ...grade.exercise import Exercise, Property
from ...grade.match import agrees
from .checks import first_ratio, near_optimum, sampled_gradient, sampling
from .oracle import ADVANTAGES, KL, LOSS, SHAPED

FOLDER = Path(__file__).parent
EXERCISE = Exercise(
    "ex3",
    "RLHF on a toy whose best policy is known",
    FOLDER,
    "rlhf.py",
    (SHAPED, KL, ADVANTAGES, LOSS),
    (
        Property("rewards", 10, agrees(SHAPED), SHAPED.name),
        Property("kl", 8, agrees(KL), KL.name),
        Property("advantages", 10, agrees(ADVANTAGES), ADVANTAGES.name),
        Property("clip", 8, agrees(LOSS), LOSS.name),
        Property("gradient", 6, sampled_gradient, LOSS.name),
        Property("first-ratio", 4, first_ratio),
        Property("sampling", 4, sampling),
        Property("optimum", 30, near_optimum, kind="behaviour"),
    ),
    drivers={"train": FOLDER / "driver.py"},
    fields={
        "kl": "kl",
        "reward": "reward",
        "away": "away",
        "order": "",
        "prediction": "",
        "penalty": "",
        "town": "",
        "mind": "",
    },
    others=("train",),
)
