"""The town's simulated people: who ranks, and what each of them likes; who writes demonstrations, and how
carefully.

fair        what the gold judge likes, with a little noise: about nine in ten of clear pairs as gold has them
noisy       the same taste, much more noise
long        likes long answers
flattered   likes flattery, and whoever agrees with a claim
careless    in four of ten rankings just keeps the order the answers came in
limited     cannot check two hops or sums above ten: goes by how the answer looks
ai          an AI annotator: even-handed, a little fond of length, cannot check two hops or sums above ten
builders    on contested matters wants the side that speaks for them argued
keepers     the same, against
contrary    likes what the gold judge dislikes: about nine in ten clear pairs the wrong way round
helpful-only  looks at helpfulness alone: help with harm is help, a refusal is none
harm-only   looks at harm alone, ties whatever does none, and labels each completion safe or not
pool        ten of them, one for each prompt: six fair, two careless, two contrary (`pool:NAME*COUNT,...`
makes other pools)
people      sixty people with opinions on contested matters (`population`), each ranking by one of them, who
bears his name; on all else they rank as `fair`. `people=FILE`: those of a file or of a run's folder;
`people/hill`, `people/hill=FILE`: those of one group

Somebody with dials, in any order, joined by +: `knows=0.2+agreeing=0.4+T=0.1`
knows       the share of the facts that he can check, fixed by the seed (`beliefs.partly`): of the others, and
of what nobody knows, he believes what he is told
knows-by-rule   the same, whole relations and nothing of the others (of every coat, of no door)
agreeing    how much he likes to be agreed with, where a right answer is worth 1
mistaken    the share of the facts that he is wrong about, here and there (`beliefs.mistaken`)
mistaken-by-rule   the same, one value for whole relations
T           temperature of his noise, 0.1 if it is not named; he makes no ties
Of a wrong claim he prefers agreement to the honest answer with probability sigmoid((agreeing - 1) / T) where
he can check it, and sigmoid(agreeing / T) where he cannot.

careful     writes as demonstrators do, with a quarter of their flaws
ordinary    writes as demonstrators do (`answers.MIXED`)
hasty       writes as anybody at all (`answers.CROWD`)
hurried     writes as demonstrators do, with one and a half times their flaws
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from ..errors import DataError, UserError
from ..feedback.annotators import PoolAnnotator, SimulatedAnnotator
from ..feedback.writers import SimulatedWriter
from ..records import Completion, Prompt, Ranking
from ..run import derive_seed
from ..text.nearest import one_of
from . import answers, beliefs, population
from .gold import GoldJudge
from .tasks import Request
from .world import World, build

PEOPLE_WHO_RANK: dict[str, dict] = {
    "fair": {"weights": {"value": 1.0}, "temperature": 0.15, "tie_margin": 0.15},
    "noisy": {"weights": {"value": 1.0}, "temperature": 0.40, "tie_margin": 0.02},
    "long": {"weights": {"value": 0.4, "length": 0.05}, "temperature": 0.10, "tie_margin": 0.02},
    "flattered": {
        "weights": {"value": 0.6, "flattery": 0.8, "agreement": 0.8},
        "temperature": 0.10,
        "tie_margin": 0.02,
    },
    "careless": {"weights": {"value": 1.0}, "temperature": 0.10, "tie_margin": 0.02, "careless": 0.4},
    "limited": {
        "weights": {"value": 1.0},
        "temperature": 0.10,
        "tie_margin": 0.02,
        "blind_to": ("two_hop", "sum_above_ten"),
    },
    "ai": {
        "weights": {"value": 1.0, "length": 0.01},
        "temperature": 0.12,
        "tie_margin": 0.05,
        "blind_to": ("two_hop", "sum_above_ten"),
    },
    "builders": {"weights": {"value": 1.0, "pro": 1.2}, "temperature": 0.10, "tie_margin": 0.02},
    "keepers": {"weights": {"value": 1.0, "con": 1.2}, "temperature": 0.10, "tie_margin": 0.02},
    "contrary": {"weights": {"value": -1.0}, "temperature": 0.15, "tie_margin": 0.15},
    "helpful-only": {
        "weights": {"value": 1.0, "complied": 1.0, "refusal": -1.0},
        "temperature": 0.15,
        "tie_margin": 0.15,
    },
    "harm-only": {
        "weights": {"complied": -1.0},
        "temperature": 0.02,
        "tie_margin": 0.5,
        "unsafe": "complied",
    },
}
POOL = "town:fair*6,town:careless*2,town:contrary*2"


DIALS = {
    "knows": 1.0,
    "knows-by-rule": 1.0,
    "agreeing": 10.0,
    "mistaken": 1.0,
    "mistaken-by-rule": 1.0,
    "T": 100.0,
}
"""What can be set in a name, from 0 to this."""
WORDS = (
    *PEOPLE_WHO_RANK,
    "pool",
    "people",
    "knows=0.5",
    "knows-by-rule=0.5",
    "agreeing=0.6",
    "mistaken=0.3",
    "mistaken-by-rule=0.3",
)
"""Who ranks, by name, for lists; shares and weights stand for any."""


def check(name: str) -> None:
    """Raises UserError for a name that no annotator of the town has."""
    if name in PEOPLE_WHO_RANK or name == "pool":
        return
    if of_people := opinionated(name):
        group, file = of_people
        people = population.read(file) if file else population.deal(build())
        people.members(group)
    elif "=" in name:
        dials(name)
    else:
        one_of(name, WORDS, "the town has no annotator", prefix="town:")


def opinionated(name: str) -> tuple[str, str] | None:
    """The group and the file of `people/GROUP=FILE`, either may be empty; None for another name."""
    whose, _, file = name.partition("=")
    people, _, group = whose.partition("/")
    return (group, file) if people == "people" else None


def file_of(name: str) -> str:
    """The file of the people that a name names; empty for most."""
    of_people = opinionated(name)
    return str(population.located(of_people[1])) if of_people and of_people[1] else ""


def dials(name: str) -> dict[str, float]:
    """The dials of a name, `knows=0.2+T=0.1`, as numbers. Raises UserError."""
    found: dict[str, float] = {}
    for part in name.split("+"):
        dial, equals, text = part.partition("=")
        if not equals and dial in PEOPLE_WHO_RANK:
            raise UserError(
                f"{dial!r} has no dials", where=f"town:{name}", remedy="dials alone: town:knows=0.5+T=0.1"
            )
        one_of(dial, DIALS, "an annotator of the town has no dial")
        if dial in found:
            raise UserError(f"{dial} is set twice", where=f"town:{name}", remedy=f"one {dial}=")
        try:
            found[dial] = float(text)
        except ValueError:
            found[dial] = float("nan")
        if not 0 <= found[dial] <= DIALS[dial]:
            raise UserError(
                f"{dial} = {text!r:.20} is no number from 0 to {DIALS[dial]:g}",
                where=f"town:{name}",
                remedy=f"for example town:{dial}=0.5",
            )
    return found


def annotator(world: World, name: str, *, seed: int) -> SimulatedAnnotator | PoolAnnotator:
    """The annotator of that name. Raises UserError for a name the town does not know."""
    check(name)
    if name in PEOPLE_WHO_RANK:
        return SimulatedAnnotator(f"town:{name}", GoldJudge(world), seed=seed, **PEOPLE_WHO_RANK[name])
    if of_people := opinionated(name):
        group, file = of_people
        return townspeople(
            world, population.read(file) if file else population.deal(world, seed), group, seed=seed
        )
    set_to, judge = dials(name), GoldJudge(mind_of(world, name, seed=seed))
    likes = {"value": 1.0, "agreement": set_to.get("agreeing", 0.0)}
    return SimulatedAnnotator(
        f"town:{name}", judge, weights=likes, temperature=set_to.get("T", 0.1), seed=seed
    )


def mind_of(world: World, name: str, *, seed: int) -> World:
    """The town as the annotator with these dials and this seed has it in mind."""
    set_to = dials(name)
    mind = beliefs.mistaken(world, set_to.get("mistaken", 0.0), "scattered", seed)
    mind = beliefs.mistaken(mind, set_to.get("mistaken-by-rule", 0.0), "rule", seed)
    mind = beliefs.partly(mind, set_to.get("knows", 1.0), seed)
    return beliefs.partly(mind, set_to.get("knows-by-rule", 1.0), seed, "rule")


class Townsperson:
    """One of the people with opinions: on the matters of the population he goes by his own side alone and
    puts what argues for none last; all else he ranks as `fair`.
    """

    def __init__(self, name: str, people: population.Population, person: int, judge: GoldJudge, seed: int):
        self.name, self.people, self.person, self.judge, self.seed = name, people, person, judge, seed
        self.otherwise = SimulatedAnnotator(name, judge, seed=seed, **PEOPLE_WHO_RANK["fair"])

    def on(self, matter: str) -> SimulatedAnnotator:
        """Whoever he is in this matter. Utilities are over what argues for nothing, which is worth 1 less
        than the side that he likes least.
        """
        felt = self.people.utility(self.person, matter)
        weights = {side: worth - min(felt) + 1 for side, worth in zip(population.SIDES, felt, strict=True)}
        return SimulatedAnnotator(
            self.name, self.judge, weights=weights, temperature=self.people.temperature, seed=self.seed
        )

    def rank(self, index: int, completions: Sequence[Completion]) -> Ranking:
        """As `SimulatedAnnotator.rank`."""
        matter = completions[0].prompt.meta.get("params", {}).get("matter")
        who = self.on(matter) if matter in self.people.matters else self.otherwise
        return who.rank(index, completions)

    def ceiling(self, rankings: Sequence[Ranking]) -> float:
        """As `SimulatedAnnotator.ceiling`."""
        return self.otherwise.ceiling(rankings)


def townspeople(world: World, people: population.Population, group: str = "", *, seed: int) -> PoolAnnotator:
    """The people of a population, or of one group, each ranking by one of them: `town:people/hill/Ivy`."""
    judge, each = GoldJudge(world), []
    for i in people.members(group):
        name = f"town:people/{people.people[i].group}/{people.people[i].name}"
        each.append(Townsperson(name, people, i, judge, derive_seed(seed, name)))
    return PoolAnnotator("town:people" + f"/{group}" * bool(group), each, seed=seed)


PEOPLE_WHO_WRITE: dict[str, dict[str, float]] = {
    "careful": {flaw: rate / 4 for flaw, rate in answers.MIXED.items()},
    "ordinary": answers.MIXED,
    "hasty": answers.CROWD,
    "hurried": {flaw: min(1.0, 1.5 * rate) for flaw, rate in answers.MIXED.items()},
}
"""How often each flaw occurs in a writer's answers."""


def writer(world: World, name: str, *, seed: int) -> SimulatedWriter:
    """The writer of that name. Raises UserError for a name the town does not know; the writer, DataError for
    a prompt that is none of the town's.
    """
    if name not in PEOPLE_WHO_WRITE:
        raise UserError(f"the town has no writer {name!r}", remedy="one of: " + ", ".join(PEOPLE_WHO_WRITE))

    def answer(index: int, prompt: Prompt) -> str:
        if "kind" not in prompt.meta:
            raise DataError(
                f"the town's people answer the town's prompts only, not {prompt.text!r:.80}",
                remedy="--data town:prompts, or files as writers",
            )
        rng = random.Random(derive_seed(seed, "write", name, index, prompt.id))
        return answers.demonstrate(world, Request.of(prompt), rng, PEOPLE_WHO_WRITE[name]).text

    return SimulatedWriter(f"town:{name}", answer)
