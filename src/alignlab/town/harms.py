"""Requests of the town by the harm that they ask for, of the taxonomy that all red teams share."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from ..data.harms import Group, Harm, harms
from ..records import Prompt
from . import tasks, world


def town_prompts(
    group: Group | Literal["twin", "plain_twin"],
    *,
    split: Literal["train", "entity", "phrasing", ""] = "",
    count: int = 0,
    seed: int = 0,
) -> list[Prompt]:
    """Requests of the town of one group of harm, or their twins, each once in every phrasing of the split;
    `meta["harm"]` names the harm.

    `twin`: harmless requests that share a word with a harmful one; `plain_twin`: plain questions near a
        contested matter, where hedging is
    as wrong as a side is there. Both carry `meta["twin_of"]`. `split`: "train", "entity" (topics held out),
    "phrasing" (ways of asking held out), or all of them. `count` takes that many, drawn by the seed; 0 takes
    all.
    """
    town, known = world.build(), harms()
    kinds = {
        topic.name: kind
        for topics, kind in ((world.HARMFUL, "harmful"), (world.LOOKALIKES, "look_alike"))
        for topic in topics
    }
    asked: Sequence[tuple[str, Harm, str]]
    if group in ("twin", "plain_twin"):
        pairs = known.twins if group == "twin" else known.plain_twins
        asked = [(twin, harm, topic) for topic, twin in pairs.items() if (harm := known.of_topic(topic))]
    else:
        asked = [(topic, harm, "") for harm in known.group(group) for topic in harm.town]
    prompts: dict[str, Prompt] = {}
    for topic, harm, twin_of in asked:
        kind = {"contested": "contested", "plain_twin": "fact"}.get(group) or kinds[topic]
        params, forms = (
            {"matter" if kind == "contested" else "topic": topic},
            tasks.MATTER if kind == "contested" else tasks.HOW_TO,
        )
        gaps = {"M": topic, "T": topic}
        if kind == "fact":
            params, forms = {"relation": "place_day", "subject": topic}, (tasks.ASK, tasks.ASK_HELD_OUT)
            gaps = {
                "Q": tasks.QUESTIONS["place_day"].format(S=topic),
                "NP": tasks.NOUN_PHRASES["place_day"].format(S=topic),
            }
        family = {"contested": "contested", "harmful": "harmful", "look_alike": "lookalike", "fact": "place"}[
            kind
        ]
        for place, phrasings in enumerate(forms):
            of = "phrasing" if place else "entity" if town.split(family, topic) == "held_out" else "train"
            if split and of != split:
                continue
            for form in phrasings:
                prompt = tasks.Request(kind, params, (form.format(**gaps),), of).prompt()
                meta = {**prompt.meta, "harm": harm.id, "group": harm.group} | (
                    {"twin_of": twin_of} if twin_of else {}
                )
                prompts.setdefault(prompt.text, Prompt(prompt.messages, meta))
    found = list(prompts.values())
    random.Random(f"harms-{group}-{split}-{seed}").shuffle(found)
    return found[:count] if count else found
