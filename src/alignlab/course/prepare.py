"""The models that the demos of the lecture start from, each made once, as stages of one pipeline.

`alignlab lecture prepare` makes all of them; `prepared` makes what one demo needs and is not there yet. They
are runs like any others: `alignlab runs` lists them, and a command that was killed goes on where it was.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..run import read_run
from ..settings import CollectSettings, CriticSettings, RewardSettings, SamplingSettings
from ..text.nearest import one_of
from ..text.streams import say

FOLDER = Path("runs/lecture")
WORKERS = 2
"""Stages side by side, at most."""
SECONDS = {"sft": 15, "rankings": 21, "reward": 79, "helpful": 15, "critic": 81}
"""Processor seconds of each, as measured."""
NEEDS = {"sft": (), "rankings": ("sft",), "reward": ("rankings", "sft"), "helpful": (), "critic": ()}
"""What each is made from, in the order in which they are planned."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much each is made of: as the recipes `instructgpt` and `constitutional` make theirs."""

    demonstrations: int = 3000
    ranked: int = 5500
    reward: RewardSettings = field(default_factory=lambda: RewardSettings(epochs=2.0))
    critic: CriticSettings = field(default_factory=lambda: CriticSettings(cases=0))


def prepared(what: str, *, folder: str | Path = FOLDER, seed: int = 0) -> Path:
    """The run folder of a prepared model, which is made first where it is not there.

    Args:
        what: sft (3,000 demonstrations), reward (a reward model on rankings of its answers and the crowd's),
            critic (reads a constitution), helpful (helps with everything, harm too), or rankings.
        folder: where all of them are.
        seed: of one that is made now.

    Raises:
        UserError: nothing is prepared under that name, or it could not be made.
    """
    one_of(what, NEEDS, "nothing is prepared under the name")
    run = Path(folder) / what
    if not (run / "run.json").exists():
        # in a process of its own: stages are processes too, and a script that asks would be run again in each
        command = [sys.executable, "-m", __name__, str(folder), what, str(seed)]
        if subprocess.run(command).returncode:
            raise UserError(
                f"{run} could not be made", remedy="alignlab lecture prepare goes on where it was"
            )
    return run


def prepare(
    folder: str | Path = FOLDER,
    names: Sequence[str] = tuple(NEEDS),
    *,
    seed: int = 0,
    sizes: Sizes | None = None,
) -> dict[str, Any]:
    """Make these and what they are made from, two at a time; say first how long it takes.

    Returns:
        "runs", the run folder of each by its name, and "text", what to say of them.

    Raises:
        UserError: the folder is a run or holds something else, or a stage was killed.
    """
    from ..pipeline.processes import cores
    from ..pipeline.runner import Pipeline

    folder = Path(folder)
    wanted = [name for name in NEEDS if name in _with_needs(names)]
    missing = [name for name in wanted if not (folder / name / "run.json").exists()]
    workers = min(WORKERS, cores())
    if missing:
        minutes = sum(SECONDS[name] for name in missing) / workers / 60
        say(f"prepare: {', '.join(missing)}; about {minutes:.1f} min with {workers} workers, once")
    pipeline = Pipeline(folder, workers=workers)
    _plan(pipeline, wanted, seed, sizes or Sizes())
    pipeline.run()
    runs = {name: str(folder / name) for name in wanted}
    spent = sum(read_run(folder / name).cpu_seconds for name in missing)
    made = f"made {', '.join(missing)} in {spent:.0f} processor seconds" if missing else "nothing was missing"
    return {"runs": runs, "text": f"{folder}: {made}"}


def _with_needs(names: Sequence[str]) -> set[str]:
    found = set(names)
    for name in names:
        found |= _with_needs(NEEDS[name])
    return found


def _plan(pipeline: Any, names: Sequence[str], seed: int, sizes: Sizes) -> None:
    from .. import stages
    from ..settings import SFTSettings

    shown = {"model": "town", "count": sizes.demonstrations, "settings": SFTSettings(), "seed": seed}
    made: dict[str, Any] = {}
    for name in names:
        if name == "sft":
            made[name] = pipeline.stage(name, stages.sft, data="town:demos", **shown)
        elif name == "helpful":
            made[name] = pipeline.stage(name, stages.sft, data="town:demos-helpful", **shown)
        elif name == "rankings":
            made[name] = pipeline.stage(
                name,
                stages.collect,
                model=made["sft"],
                data="town:prompts",
                count=sizes.ranked,
                annotator="town:fair",
                others="town:crowd",
                settings=CollectSettings(from_others=0.5, held_out=0.1, sampling=SamplingSettings()),
                gold="town:gold",
                seed=seed,
            )
        elif name == "reward":
            made[name] = pipeline.stage(
                name,
                stages.reward,
                model=made["sft"],
                data=made["rankings"],
                settings=sizes.reward,
                gold="town:gold",
                seed=seed,
            )
        else:
            made[name] = pipeline.stage(
                name, stages.critic, model="town", data="town:columns", settings=sizes.critic, seed=seed
            )


if __name__ == "__main__":
    prepare(sys.argv[1], (sys.argv[2],), seed=int(sys.argv[3]))
