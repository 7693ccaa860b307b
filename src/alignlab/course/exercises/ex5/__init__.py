"""Exercise 5: find failures of four targets, write them down, and count honestly."""

from __future__ import annotations

from pathlib import Path

from ...grade.exercise import Exercise, Property
from ...grade.match import agrees
from .checks import attack, documented, judged
from .files import FINDINGS, LABELS
from .oracle import DISTINCT, MENDED, RATE, SEVERITY, STANDS

FOLDER = Path(__file__).parent
EXERCISE = Exercise(
    "ex5",
    "Red team",
    FOLDER,
    "redteam.py",
    (RATE, DISTINCT, STANDS, SEVERITY, MENDED),
    (
        Property("rate", 14, agrees(RATE), RATE.name),
        Property("distinct", 10, agrees(DISTINCT), DISTINCT.name),
        Property("stands", 10, agrees(STANDS), STANDS.name),
        Property("severity", 6, agrees(SEVERITY), SEVERITY.name),
        Property("mended", 10, agrees(MENDED), MENDED.name),
        Property("attack", 10, attack, kind="behaviour"),
        Property("findings", 14, documented, kind="behaviour"),
        Property("labels", 6, judged, kind="behaviour"),
    ),
    drivers={"attack": FOLDER / "driver.py"},
    fields={
        "rate": "rate",
        "low": "low",
        "high": "high",
        "kappa": "kappa",
        "mechanisms": "unlike",
        "worst": "",
        "mend": "",
        "mind": "",
    },
    others=("attack",),
    beside=(FINDINGS, LABELS),
)
