"""A study whose stages do next to nothing, as slowly as they are told, and fail where they are told: run as a
process of its own, `python toy.py OUT RUNS SEEDS PACE FAILS`.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignlab import names
from alignlab.errors import DataError, UserError
from alignlab.run import RunInfo, derive_seed
from alignlab.stages.stage import done, open_run, result
from alignlab.studies import catalogue
from alignlab.studies.settings import ShareSettings, StudySettings
from alignlab.studies.study import CannotSay, Form, Mirror, Study, Told, Verdict, bar, value


@dataclass(frozen=True, kw_only=True)
class Toy(StudySettings):
    pace: float = 0.0
    fails: int = -1


def work(
    *, out: Path, seed: int, resume: Any, settings: ShareSettings, pace: float, fails: bool, after: str = ""
) -> dict[str, Any]:
    uses = [names.data.of_a_run(after)] if after else []
    run = open_run("toy", out, settings, seed, resume, uses=uses)
    if run.done:
        return done(run)

    def piece(number: int, items: Any) -> float:
        time.sleep(pace)
        with (run.path / "did.txt").open("a") as file:
            file.write(f"{number}\n")
        return derive_seed(seed, out.name, number) % 1000 / 1000

    made = list(run.in_chunks(range(6), piece, desc="piece", size=1))
    if fails:
        raise DataError("the toy is broken", remedy="another one")
    run.finish({"value": sum(made)})
    return result(run, "made")


def plan(stage: Any, model: str, settings: Toy, seed: int) -> dict[str, Any]:
    how = {"seed": seed, "settings": ShareSettings(), "pace": settings.pace}
    first = stage("first", work, fails=False, **how)
    second = stage("second", work, after=first, fails=settings.fails == seed, **how)
    third = stage("third", work, after=second, fails=False, **how).is_control("nobody asks it anything")
    return {"first": first, "third": third}


def measure(runs: dict[str, RunInfo], settings: Toy) -> dict[str, Any]:
    return {name: info.summary["value"] for name, info in runs.items()} | {"never": None}


def tell(seeds: Any) -> Told:
    above = bar("first is a number", seeds, lambda s: s["first"] >= 0, effect=first, control=third)
    return Told(["It ran."], [], [above, bar("never is 1", seeds, lambda s: value(s["never"], "never") == 1)])


def first(figures: dict[str, Any]) -> float:
    return figures["first"]


def third(figures: dict[str, Any]) -> float:
    return figures["third"]


def verdict(seeds: Any) -> Verdict:
    raise CannotSay("nothing was compared")


TOY = Study(
    title="A toy",
    controls="None.",
    town=Form(plan, measure, tell, verdict),
    town_alone="it is a toy",
    claim="Toys work.",
    mirrors=(Mirror("Toymaker 1900", "figure 1", "9 of 10 toys work"),),
    falsified_by="A broken toy.",
    would_change_my_mind="A better toy.",
)


def main() -> None:
    import toy  # by its name: stages are found again in processes of their own

    from alignlab.studies.command import study_command

    out, runs, seeds, pace, fails = sys.argv[1:]
    catalogue.STUDIES["toy"] = catalogue.Entry("Does it work?", "", "")
    catalogue.study = lambda name: toy.TOY
    settings = toy.Toy(workers=2, pace=float(pace), fails=int(fails))
    asked = {"name": "toy", "model": "town", "seeds": seeds, "runs": runs, "fast": False}
    try:
        found = study_command(**asked, out=Path(out), seed=0, resume=True, settings=settings)
    except UserError as error:
        print(error)
        sys.exit(error.exit_code)
    print(found["text"])
    sys.exit(found.get("exit_code", 0))


if __name__ == "__main__":
    main()
