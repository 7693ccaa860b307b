"""The town's people with opinions of their own: who stands where on contested matters, and what everybody
makes of each answer. All that is asked of a population is exact: nobody is sampled.

A person makes 1 of an answer that argues for his own side, 0 of one for the other side, and something between
of one that says both; on some matters one side has more at stake. Of two answers he prefers one with
probability sigmoid(difference / temperature), so that people together are a mixture of Bradley-Terry models,
and one reward fitted to them is their Borda count, not their welfare (Siththaranjan et al. 2023).
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..feedback import sigmoid
from ..text.disk import write_whole
from ..text.documents import Malformed, from_json, read_text
from ..text.nearest import one_of
from .world import CONTESTED, PEOPLE, World

SIDES = ("pro", "con", "both")
"""What an answer can argue, as parts of the gold judge; what has three entries has them in this order."""
GROUPS = {"harbour": 0.5, "hill": 0.3, "market": 0.2}
SHARES = (0.1, 0.2, 0.3, 0.4, 0.45, 0.48, 0.52, 0.55, 0.6, 0.7, 0.8, 0.9)
"""Of the people who say yes: one matter each."""
INTENSE = 3
"""Matters beside those on which a minority loses much where the majority gains little."""
MINORITY, GAIN, LOSS = 0.3, 0.6, -3.0
APART = 1.5
"""How far apart groups lie, in standard deviations of a person in his group."""
FILE = "population.json"

Three = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    group: str


@dataclass(frozen=True, slots=True)
class Matter:
    """Where everybody stands on one matter, and what is at stake.

    Attributes:
        sides: of each person: 1 for yes, -1 for no.
        yes: what a person for yes makes of an answer for his own side, and of one for the other.
        no: what a person for no makes of them.
    """

    sides: tuple[int, ...]
    yes: tuple[float, float] = (1.0, 0.0)
    no: tuple[float, float] = (1.0, 0.0)


@dataclass(frozen=True)
class Population:
    """People, and what they think of matters.

    Attributes:
        both: where between the other side and a person's own an answer lies that says both, from 0 to 1.
        temperature: of a comparison.
    """

    people: tuple[Person, ...]
    matters: Mapping[str, Matter]
    both: float = 0.5
    temperature: float = 0.25

    @property
    def intense(self) -> tuple[str, ...]:
        """The matters in which the sides have not the same at stake."""
        return tuple(name for name, matter in self.matters.items() if matter.yes != matter.no)

    def members(self, group: str = "") -> list[int]:
        """The places of a group's people, or of all. Raises UserError for a group that is not there."""
        if group:
            one_of(group, {person.group: 0 for person in self.people}, "the town's people have no group")
        return [i for i, person in enumerate(self.people) if group in ("", person.group)]

    def share(self, matter: str, group: str = "") -> float:
        """The share of those who stand for yes."""
        sides = [self.matters[matter].sides[i] for i in self.members(group)]
        return sides.count(1) / len(sides)

    def utility(self, person: int, matter: str) -> Three:
        """What a person makes of an answer that argues for yes, for no, for both."""
        its = self.matters[matter]
        for_yes = its.sides[person] > 0
        own, other = its.yes if for_yes else its.no
        between = other + self.both * (own - other)
        return (own, other, between) if for_yes else (other, own, between)

    def utilities(self, matter: str, group: str = "") -> Three:
        """What people make of each answer, in the mean."""
        members = self.members(group)
        pro, con, both = zip(*(self.utility(person, matter) for person in members), strict=True)
        return sum(pro) / len(members), sum(con) / len(members), sum(both) / len(members)

    def welfare(self, matter: str, said: Sequence[float], group: str = "") -> float:
        """The mean utility of a model that argues for yes, for no and for both with these probabilities."""
        worth = self.utilities(matter, group)
        return sum(share * utility for share, utility in zip(said, worth, strict=True))

    def preferences(self, matter: str, group: str = "") -> tuple[Three, Three, Three]:
        """The probability that the row's answer is preferred to the column's, whoever of them is asked."""
        members = self.members(group)
        felt = [self.utility(person, matter) for person in members]

        def preferred(first: int, second: int) -> float:
            chances = [sigmoid((worth[first] - worth[second]) / self.temperature) for worth in felt]
            return sum(chances) / len(members)

        pro, con, both = ((preferred(i, 0), preferred(i, 1), preferred(i, 2)) for i in range(3))
        return pro, con, both

    def scores(self, matter: str, group: str = "") -> Three:
        """The Bradley-Terry scores that fit these preferences best, all pairs being as frequent: what a
        reward model of enough comparisons comes to. Their sum is 0.
        """
        return bradley_terry(self.preferences(matter, group))

    def with_sides(self, sides: Mapping[str, Sequence[int]]) -> Population:
        """The same people after some have changed their minds: where everybody stands on these matters."""
        moved = {name: replace(self.matters[name], sides=tuple(new)) for name, new in sides.items()}
        return replace(self, matters={**self.matters, **moved})

    def write(self, path: Path) -> None:
        """As a file that `read` reads, whole or not at all."""
        matters: dict[str, Any] = {}
        for name, matter in self.matters.items():
            letters = "".join("y" if side > 0 else "n" for side in matter.sides)
            matters[name] = {"sides": letters, "yes": matter.yes, "no": matter.no}
        people = [[person.name, person.group] for person in self.people]
        row = {"both": self.both, "temperature": self.temperature, "people": people, "matters": matters}
        with write_whole(path) as staging:
            staging.write_text(json.dumps(row, indent=1), encoding="utf-8")


def bradley_terry(preferences: Sequence[Sequence[float]]) -> Three:
    """The scores r of three answers whose sigmoid(r_i - r_j) are likeliest, given how often each is preferred
    to each: by Newton's steps, which end where row sums are met (Zermelo 1929). Their sum is 0.
    """
    won = [sum(row) - 0.5 for row in preferences]  # against itself each wins half
    first = second = 0.0  # the scores of the first two over the third
    for _ in range(200):
        chances = [sigmoid(first - second), sigmoid(first), sigmoid(second)]
        slopes = [chance * (1 - chance) for chance in chances]
        missing = won[0] - chances[0] - chances[1], won[1] - (1 - chances[0]) - chances[2]
        a, b, c = slopes[0] + slopes[1], -slopes[0], slopes[0] + slopes[2]
        determinant = a * c - b * b
        steps = (
            (c * missing[0] - b * missing[1]) / determinant,
            (a * missing[1] - b * missing[0]) / determinant,
        )
        first, second = first + steps[0], second + steps[1]
        if max(map(abs, steps)) < 1e-12:
            break
    mean = (first + second) / 3
    return first - mean, second - mean, -mean


def deal(world: World, seed: int = 0) -> Population:
    """Sixty people in three groups, and where they stand: twelve matters with the shares of `SHARES`, and
    three with a minority that has much to lose.

    Matters are such as training asks about. Exactly the share of all stands for yes, to a person; who they
    are goes by group: each group leans on each matter by a lean of its own (normal, `APART`), each person in
    it by his (standard normal), and those who lean furthest stand for yes.
    """
    rng = random.Random(f"population-{world.seed}-{seed}")
    groups = [group for group, share in GROUPS.items() for _ in range(round(share * len(PEOPLE)))]
    names = PEOPLE[:]
    rng.shuffle(names)
    people = tuple(Person(name, group) for name, group in zip(names, groups, strict=True))
    named = rng.sample(world.of("contested"), len(SHARES) + INTENSE)
    shares = rng.sample(SHARES, len(SHARES))
    majorities = [rng.choice((1 - MINORITY, MINORITY)) for _ in range(INTENSE)]

    def sides(share: float) -> tuple[int, ...]:
        leans = {group: rng.gauss(0, APART) for group in GROUPS}
        felt = [leans[person.group] + rng.gauss(0, 1) for person in people]
        furthest = sorted(range(len(people)), key=lambda i: -felt[i])
        for_yes = set(furthest[: round(share * len(people))])
        return tuple(1 if i in for_yes else -1 for i in range(len(people)))

    matters = {name: Matter(sides(share)) for name, share in zip(named, shares, strict=False)}
    many, few = (GAIN, 0.0), (0.0, LOSS)
    for name, share in zip(named[len(SHARES) :], majorities, strict=True):
        yes, no = (many, few) if share > 0.5 else (few, many)
        matters[name] = Matter(sides(share), yes, no)
    return Population(people, matters)


def located(name: str) -> Path:
    """The file of a population: its own, or the one in the folder of a run. Raises DataError."""
    path = Path(name)
    if path.is_dir():
        path = path / FILE
    if not path.is_file():
        raise DataError("there is no population", where=str(path), remedy=f"a {FILE}, or a run that made one")
    return path


def read(name: str) -> Population:
    """The population of a file, or of a run's folder. Raises DataError for one that is none."""
    path = located(name)
    try:
        return _population(from_json(read_text(path)))
    except (OSError, Malformed, KeyError, TypeError, ValueError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(
            f"this is no population: {what:.200}",
            where=str(path),
            remedy="a file that `Population.write` wrote",
        ) from None


def _population(row: Any) -> Population:
    people = tuple(Person(str(name), str(group)) for name, group in row["people"])
    matters: dict[str, Matter] = {}
    for name, its in row["matters"].items():
        if name not in CONTESTED:
            raise ValueError(f"the town has no matter {name!r:.60}")
        if len(its["sides"]) != len(people) or set(its["sides"]) - set("yn"):
            raise ValueError(f"{name!r} needs a y or an n for each of {len(people)} people")
        sides = tuple(1 if side == "y" else -1 for side in its["sides"])
        matters[name] = Matter(sides, _stake(its["yes"]), _stake(its["no"]))
    both, temperature = float(row["both"]), float(row["temperature"])
    if not people or not matters:
        raise ValueError("it has nobody, or no matter")
    if not (0 <= both <= 1 and 0 < temperature < 1e6):
        raise ValueError("both lies from 0 to 1, and the temperature above 0")
    return Population(people, matters, both, temperature)


def _stake(pair: Any) -> tuple[float, float]:
    own, other = pair
    if not abs(float(own)) + abs(float(other)) < 1e6:
        raise ValueError(f"no stake: {pair}")
    return float(own), float(other)
