"""What `run.py` of exercise 1 shows: demonstrations, and a fine-tuning by a student's functions in his own
process.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import torch

from ....errors import UserError
from ....run import derive_seed
from ....text.escapes import one_line
from ....text.streams import say
from ...grade.child import loaded
from ...grade.grading import seed_of
from ..town import base, greedy
from .checks import SETS, chosen_set, drawn, given, measured, settings

SHOWN = 5


def look(name: str) -> None:
    """Prints some demonstrations of a set. Raises UserError for a set that is not there."""
    if name not in SETS:
        raise UserError(f"there is no set {name!r:.60}", remedy="one of " + ", ".join(SETS))
    shown = chosen_set(name, 0)
    for one in shown[:: len(shown) // SHOWN][:SHOWN]:
        say(f"  {one_line(one.prompt.text)}\n    {one_line(one.completion)}")


def play(student: ModuleType, folder: Path = Path()) -> None:
    """Prints the loss, five answers before and after, and the figures that count."""
    state = json.loads((folder / "exercise.json").read_text(encoding="utf-8"))
    seed = seed_of("ex1", state["student"], "")
    wrong, chosen = settings(student.settings())
    if wrong:
        raise UserError(wrong, remedy="README.md says what settings hold")
    torch.set_num_threads(1)
    policy, asked = base(), drawn(seed)
    before = greedy(policy, asked[:SHOWN])
    shown = chosen_set(chosen["data"], derive_seed(seed, "data") % 1000)
    say(f"{len(shown):,} demonstrations of {chosen['data']}, {chosen['epochs']:g} epochs")
    driver = loaded(str(Path(__file__).with_name("driver.py")), "driver")
    found = driver.drive(student, given(policy, shown, chosen, seed))
    figures = measured(policy, found, shown, seed)
    if "error" in figures:
        raise UserError(figures["error"], remedy="alignlab exercise hint ex1")
    say(f"loss {figures['loss'][0]:.2f} -> {figures['loss'][1]:.2f} in {figures['steps']} steps")
    for first, last in zip(before, greedy(policy, asked[:SHOWN]), strict=True):
        say(f"  {first.prompt.id}  {one_line(first.prompt.text)}")
        say(f"    before: {one_line(first.text)}\n    after:  {one_line(last.text)}")
    say(", ".join(f"{name} {figures[name]:.3f}" for name in ("gold", "ends", "facts")))
    if figures["seen"]:
        say(f"{figures['seen']} of the questions asked stand answered in this data")
