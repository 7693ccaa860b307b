"""What `run.py` of exercise 3 shows: a training by a student's functions, in his own process."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import torch

from ....run import derive_seed
from ....studies.closed_form_task import kl, make_task, optimum
from ....text.streams import say
from ...grade.child import loaded
from ...grade.grading import seed_of
from .checks import SIZES, given

ROWS = 12


def play(student: ModuleType, beta: float | None = None, folder: Path = Path()) -> None:
    """Prints a table of the training: reward, KL from the reference, KL to the best policy."""
    state = json.loads((folder / "exercise.json").read_text(encoding="utf-8"))
    seed = seed_of("ex3", state["student"], "")
    task, asked = make_task(SIZES, derive_seed(seed, "task")), given(seed)
    if beta is not None:
        asked["beta"] = beta
    torch.set_num_threads(1)
    found = loaded(str(Path(__file__).with_name("driver.py")), "driver").drive(student, asked)
    best, log_ref = optimum(task.log_ref_PC, task.reward_PC, task.beta), task.log_ref_PC
    tables = [*found["tables"], found["table_PSV"]]
    steps = [8 * i for i in range(len(tables) - 1)] + [asked["settings"]["steps"]]
    every = max(1, len(tables) // ROWS)
    say("  step   reward   KL from the reference   KL to the best policy")
    for step, table in [*zip(steps, tables, strict=True)][:-1:every] + [(steps[-1], tables[-1])]:
        log_p = task.log_table(table)
        reward = (log_p.exp() * task.reward_PC).sum(1).mean()
        away = kl(log_p, best).mean()
        say(f"  {step:>4}   {reward:6.3f}   {kl(log_p, log_ref).mean():21.3f}   {away:21.3f}")
