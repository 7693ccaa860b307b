"""What `run.py` of exercise 2 shows: what people said, and a reward model by a student's functions in his own
process.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import torch

from .... import names
from ....errors import UserError
from ....evals.statistics import mean_ci
from ....feedback import Judge
from ....records import Ranking
from ....text.streams import say
from ....town.names import GOLD
from ...grade.grading import seed_of
from ...grade.runner import Here
from . import checks
from .checks import fitted, vote_table, without_card
from .files import votes_in
from .voting import card_of

PLACE = Path(__file__).parent


def play(student: ModuleType, folder: Path = Path()) -> None:
    """Prints agreement, what a card changes, and the figures of a reward model."""
    state = json.loads((folder / "exercise.json").read_text(encoding="utf-8"))
    torch.set_num_threads(1)
    own = votes_in(folder)
    if own:
        voters = sorted({ranking.annotator for ranking in own})
        say(f"{len(own)} votes by {', '.join(voters)}")
        if len(voters) > 1:
            say(f"alpha {student.alpha(vote_table(own)):.3f}")
        say("\n".join(with_and_without(own)))
    figures = fitted(Here(student, {"train": PLACE / "driver.py"}), seed_of("ex2", state["student"], ""))
    if "error" in figures:
        raise UserError(figures["error"], remedy="alignlab exercise hint ex2")
    say(f"loss {figures['loss'][0]:.2f} -> {figures['loss'][1]:.2f}")
    say("your own figures: accuracy {:.3f}, ECE {:.3f}".format(*figures["said"]))
    say(
        f"on {checks.TESTED} new questions: "
        + ", ".join(f"{n} {figures[n]:.3f}" for n in ("accuracy", "length", "ece"))
    )
    say(f"on people and places that training never asks about: accuracy {figures['elsewhere']:.3f}")
    say(f"on your own votes that it has not learnt from: {figures['own']:.3f}")


def with_and_without(own: Sequence[Ranking]) -> list[str]:
    """Lines: how often people preferred the answer that the gold judge prefers, on questions of fact with the
    card and without.
    """
    judge: Judge = names.judges.judge(GOLD).load()
    told: dict[bool, list[float]] = {True: [], False: []}
    for ranking in own:
        if not card_of(ranking.prompt) or len(set(ranking.ranks)) == 1:
            continue
        worth = [score.value for score in judge.score(without_card(ranking).completions)]
        if worth[0] != worth[1]:
            with_card = any(message.role == "system" for message in ranking.prompt.messages)
            told[with_card].append(float((worth[0] > worth[1]) == (ranking.ranks[0] < ranking.ranks[1])))
    lines: list[str] = []
    for with_card, word in ((True, "with the card"), (False, "without it")):
        found = mean_ci(told[with_card])
        if found["n"]:
            low, high = found["ci"]
            lines.append(
                f"{word}: {found['mean']:.2f} preferred what is better "
                f"({low:.2f} to {high:.2f}, n = {found['n']})"
            )
    return lines
