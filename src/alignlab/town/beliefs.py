"""The town as somebody has it in mind: mistaken in a share of the facts, or known in part.

Both are a `World`, and go wherever one goes: `answers.demonstrate(mistaken(...), ...)` is a supervisor who is
wrong, `gold.judge(partly(...), ...)` somebody who believes what he cannot check. Requests are drawn from the
town as it is. Everything is nested in the share: what 0.1 is wrong about, 0.3 is wrong about in the same way;
what 0.2 checks, 0.5 checks too.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from .language import Fact
from .world import PEOPLE, UNKNOWN, VALUES, World

Key = tuple[str, str]
"""A relation and its subject; or a name in UNKNOWN and a person."""
Rule = Literal["scattered", "rule"]
Origin = Literal["truth", "inherited", "own"]


def mistaken(world: World, share: float, rule: Rule = "scattered", seed: int = 0) -> World:
    """The town as somebody has it in mind who is wrong about a share of the facts.

    Args:
        share: of all facts, from 0 to 1.
        rule: "scattered", another value for each, the share being the same in every relation; or "rule", one
            value for all subjects of a relation ("every door is red"), for as many relations as come nearest
            to the share. What the rule happens to get right stays true: `errors` counts.

    Where the right friend or keeper is one of training's people (`World.side`), the wrong one is too: so two
    steps from what training asks about never tell of somebody who is held out. Nobody is his own friend.
    """
    wrong = {"scattered": _scattered, "rule": _by_rule}[rule](world, share, seed)
    return replace(world, facts=world.facts | wrong)


def _scattered(world: World, share: float, seed: int) -> dict[Key, str]:
    rng = random.Random(f"scattered-{world.seed}-{seed}")
    values = {key: rng.choice(_others(world, key)) for key in world.facts}
    return {key: values[key] for key in _share(world.facts, share, rng)}


def _by_rule(world: World, share: float, seed: int) -> dict[Key, str]:
    rng = random.Random(f"rule-{world.seed}-{seed}")
    relations = list(VALUES)
    rng.shuffle(relations)
    wrong: list[dict[Key, str]] = [{}]
    for relation in relations:
        persons = VALUES[relation] is PEOPLE
        value = rng.choice(world.of("person") if persons else VALUES[relation])
        ruled = {
            (relation, s): value for s in world.subjects(relation) if value in _others(world, (relation, s))
        }
        wrong.append(wrong[-1] | ruled)
    return min(wrong, key=lambda found: abs(len(found) - share * len(world.facts)))


def _others(world: World, key: Key) -> list[str]:
    """The wrong values that a fact could have in somebody's mind."""
    relation, subject = key
    values = [value for value in VALUES[relation] if value not in (world.facts[key], subject)]
    if VALUES[relation] is PEOPLE:
        its = world.side("person", world.facts[key])
        values = [person for person in values if world.side("person", person) in (its, "train")]
    return values


def _share(keys: Iterable[Key], share: float, rng: random.Random) -> set[Key]:
    """A share of the keys of each relation, nested in the share."""
    by_relation: dict[str, list[Key]] = {}
    for key in keys:
        by_relation.setdefault(key[0], []).append(key)
    taken: set[Key] = set()
    for its in by_relation.values():
        rng.shuffle(its)
        taken.update(its[: round(share * len(its))])
    return taken


def partly(world: World, share: float, seed: int = 0, rule: Rule = "scattered") -> World:
    """The town as somebody has it in mind who can check a share of its facts and, of what nobody knows, that
    nobody does: "scattered", the share being the same in every relation, or by "rule", whole relations and
    nothing of the others. What lies beyond already stays there.
    """
    unknowable = [(name, p) for name in UNKNOWN for p in PEOPLE if (name, p) not in world.beyond]
    keys, rng = [*world.facts, *unknowable], random.Random(f"known-{world.seed}-{seed}")
    if rule == "scattered":
        known = _share(keys, share, rng)
    else:
        known = _whole(world.facts, share, rng) | _whole(unknowable, share, rng)
    facts = {key: value for key, value in world.facts.items() if key in known}
    return replace(world, facts=facts, beyond=world.beyond.union(key for key in keys if key not in known))


def _whole(keys: Iterable[Key], share: float, rng: random.Random) -> set[Key]:
    """The keys of as many whole relations as come nearest to a share of them, nested in the share."""
    by_relation: dict[str, set[Key]] = {}
    for key in keys:
        by_relation.setdefault(key[0], set()).add(key)
    relations = list(by_relation.values())
    rng.shuffle(relations)
    taken: list[set[Key]] = [set()]
    for its in relations:
        taken.append(taken[-1] | its)
    return min(taken, key=lambda found: abs(len(found) - share * len(taken[-1])))


def errors(world: World, mind: World) -> dict[Key, str]:
    """What somebody is wrong about, with what he has in mind instead."""
    return {key: value for key, value in mind.facts.items() if value != world.facts[key]}


def origin(world: World, mind: World, fact: Fact) -> Origin:
    """Whether a stated fact is true, the error of whoever has this in mind, or an error of its own."""
    key = (fact.relation, fact.subject)
    if world.facts.get(key) == fact.value:
        return "truth"
    return "inherited" if mind.facts.get(key) == fact.value else "own"
