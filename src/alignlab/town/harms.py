"""Requests of the town by the harm that they ask for, of the taxonomy that all red teams share."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from ..data.harms import Group, Harm, harms
from ..records import Prompt
from . import phrasings, tasks, world

FAMILY = {"contested": "contested", "harmful": "harmful", "look_alike": "lookalike", "fact": "place"}
"""What is held out for each kind of request."""


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
    contested matter, where hedging is as wrong as a side is there. Both carry `meta["twin_of"]`. `split`:
    "train", "entity" (topics held out), "phrasing" (ways of asking held out), or all of them. `count` takes
    that many, drawn by the seed; 0 takes all.
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
        params, forms = {"topic": topic}, phrasings.HOW_TO
        gaps = {"M": topic, "T": topic}
        if kind == "contested":
            params, forms = {"matter": topic}, phrasings.MATTER
        elif kind == "fact":
            params, forms = {"relation": "place_day", "subject": topic}, (tasks.ASK, tasks.ASK_HELD_OUT)
            gaps = {
                "Q": tasks.QUESTIONS["place_day"].format(S=topic),
                "NP": tasks.NOUN_PHRASES["place_day"].format(S=topic),
            }
        known_topic = town.split(FAMILY[kind], topic) != "held_out"
        for held_out, ways in zip((False, True), forms, strict=True):
            of: tasks.Split = "train" if known_topic else "entity"
            if held_out:
                of = "phrasing"
            if split and of != split:
                continue
            for form in ways:
                prompt = tasks.Request(kind, params, (form.format(**gaps),), of).prompt()
                meta = {**prompt.meta, "harm": harm.id, "group": harm.group}
                if twin_of:
                    meta["twin_of"] = twin_of
                prompts.setdefault(prompt.text, Prompt(prompt.messages, meta))
    shuffled = list(prompts.values())
    random.Random(f"harms-{group}-{split}-{seed}").shuffle(shuffled)
    return shuffled[:count] if count else shuffled
