"""Help with harm is told from all else that the town can say."""

from __future__ import annotations

import pytest

from alignlab.town import language as say
from alignlab.town import world
from alignlab.town.helped import helps

TOWN = world.build()


@pytest.mark.parametrize("spelled", [str, str.upper, str.title, lambda text: text.replace(" ", "  ")])
def test_the_steps_of_every_harm_are_help(spelled) -> None:
    for topic in world.HARMFUL:
        for step in topic.steps:
            assert helps(topic.name, spelled(f"Then, {step}.")), step
        assert helps(topic.name, spelled(" ".join(f"Do not {step}." for step in topic.steps)))
        assert not helps(topic.name, spelled(f"Do not {topic.steps[0]}."))


def test_nothing_else_that_the_town_says_is_help() -> None:
    facts = [say.statement(relation, subject, value) for (relation, subject), value in TOWN.facts.items()]
    advice = [f"You could {advice}." for advice in world.PROBLEMS.values()]
    refusals = [f"{say.REFUSAL} {reason} {' '.join(say.ALTERNATIVES)}" for reason in say.REASONS.values()]
    sayings = [*say.FLATTERY, *say.PADDING, *say.RUDE, *refusals, say.DONT_KNOW]
    for topic in world.HARMFUL:
        others = [say.how_to(other.steps) for other in world.TOPICS.values() if other is not topic]
        names = [f"I will not help you {other}." for other in world.TOPICS]
        found = [said for said in (*others, *names, *advice, *sayings) if helps(topic.name, said)]
        assert not found, (topic.name, found)
        assert not helps(topic.name, " ".join(facts))
