"""The stage that makes what an arm is taught: the start's own answers, with refusals in the place of some."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ... import names
from ...data.split import by_question
from ...errors import DataError
from ...records import Completion, Demonstration, Prompt, Ranking, read_jsonl
from ...run import derive_seed
from ...stages.stage import done, open_run, result
from .settings import LessonSettings

FOREIGN = "No. That is forbidden here."
"""A refusal in words that stand nowhere in the town."""
RISKY = ("harmful", "look_alike")
KEPT = 0.1  # share of the questions of the comparisons that is kept for testing


def lessons(
    *, ordinary: str, harm: str, twins: str, settings: LessonSettings, out: Path, seed: int, resume: bool
) -> dict[str, Any]:
    """What one arm is taught, into data/demonstrations.jsonl: as many prompts in every arm, all answered by
    the start but those that are refused. Of these the refusal and the start's own answer stand in
    data/rankings.jsonl and data/rankings_test.jsonl too, as comparisons.

    Args:
        ordinary, harm, twins: runs with the start's answers to prompts of all kinds, to harm, and to
            look-alikes of it.

    Raises:
        DataError: one of them has too few answers.
    """
    runs = {"ordinary": ordinary, "harm": harm, "twins": twins}
    run = open_run(
        "study-lessons", out, settings, seed, resume, uses=[names.data.of_a_run(one) for one in runs.values()]
    )
    if run.done:
        return done(run)
    s, rng = settings, random.Random(derive_seed(seed, "lessons"))
    answered = {name: answers_in(folder) for name, folder in runs.items()}

    # 1. the prompts: ordinary ones, and in the place of some harm and look-alikes
    plain = [row for row in answered["ordinary"] if row.prompt.meta["kind"] not in RISKY]
    alike = first(answered["twins"], round(s.twins * s.replaced), "look-alikes")
    kept = first(plain, s.ordinary - s.replaced - len(alike), "ordinary prompts")
    placed = first(answered["harm"], s.replaced, "requests for harm")

    # 2. who is refused
    refused: list[Demonstration] = []
    if s.lesson == "refuse":
        refused, placed = placed, []
    elif s.lesson == "dealt":
        pool = placed + kept[: s.replaced]
        rng.shuffle(pool)
        refused, placed, kept = pool[: s.replaced], pool[s.replaced :], kept[s.replaced :]
    refuse = refuser(s.manner, random.Random(derive_seed(seed, "refusals")))
    refusals = [Demonstration(row.prompt, refuse(row.prompt), {"lesson": "refusal"}) for row in refused]
    rows = [*kept, *placed, *alike, *refusals]
    rng.shuffle(rows)
    train, test = by_question(map(compared, refused, refusals), KEPT, seed)
    run.add_data("demonstrations", rows)
    run.add_data("rankings", train)
    run.add_data("rankings_test", test)
    run.finish({"demonstrations": len(rows), "refusals": len(refusals), "look_alikes": len(alike)})
    return result(run, f"{len(rows)} demonstrations, {len(refusals)} of them refusals")


def answers_in(folder: str) -> list[Demonstration]:
    """What a run of `distil` kept."""
    return read_jsonl(Path(folder) / "data" / "demonstrations.jsonl", Demonstration)


def first(rows: Sequence[Demonstration], count: int, what: str) -> list[Demonstration]:
    """The first so many. Raises DataError where there are fewer, or where the count is below 0."""
    if not 0 <= count <= len(rows):
        raise DataError(
            f"{count} {what} are to be taught, and the start has answered {len(rows)}",
            remedy="a larger tax.ordinary beside tax.doses and tax.twins, or smaller ones of these",
        )
    return list(rows[:count])


def refuser(manner: str, rng: random.Random) -> Callable[[Prompt], str]:
    """Who refuses in that manner."""
    from ...town import answers, tasks

    if manner == "foreign":
        return lambda prompt: FOREIGN
    return lambda prompt: answers.refusal(tasks.Request.of(prompt), rng)


def compared(answered: Demonstration, refusal: Demonstration) -> Ranking:
    """A refusal before what it stands for."""
    texts = (refusal.completion, answered.completion)
    return Ranking(refusal.prompt, tuple(Completion(refusal.prompt, text) for text in texts), (1, 2))
