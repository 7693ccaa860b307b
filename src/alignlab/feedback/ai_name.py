"""What the name of an AI judge says. Imports nothing heavy: a run's parents are told from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..errors import UserError
from ..text.nearest import nearest

PREFIX = "ai:"


@dataclass(frozen=True, slots=True)
class AIName:
    """What a judge's name says: `ai:MODEL`, and behind commas what is other than usual:

    constitution=F   principles=N   tags=a+b   ask=verdict|each   orders=both|one   labels=soft|hard   cot
    temperature=T   form=F
    """

    model: str
    constitution: str = ""
    principles: int = 0
    tags: tuple[str, ...] = ("harmless",)
    ask: str = "verdict"
    orders: str = "both"
    labels: str = "soft"
    cot: bool = False
    temperature: float = 1.0
    form: str = "auto"

    def __str__(self) -> str:
        usual, parts = AIName(self.model), [self.model]
        for name in self.__slots__:
            value = getattr(self, name)
            if value == getattr(usual, name):
                continue
            if name == "tags":
                value = "+".join(value) or "all"
            parts.append("cot" if name == "cot" else f"{name}={value}")
        return PREFIX + ",".join(parts)


def parse(name: str) -> AIName:
    """Raises UserError for a name that is none of a judge's, with what is wrong."""
    model, *rest = name.removeprefix(PREFIX).split(",")
    usual = AIName(model.strip())
    if not usual.model:
        raise UserError(
            f"{name!r} names no model that judges",
            remedy="ai:MODEL, as ai:runs/critic,constitution=town,principles=4",
        )
    given: dict[str, Any] = {}
    for part in rest:
        key, mark, value = (word.strip() for word in part.partition("="))
        if key not in OPTIONS:
            raise UserError(
                f"an AI judge has no option {key!r}",
                where=name,
                remedy=nearest(key, OPTIONS)
                or "constitution, principles, tags, orders, labels, cot, temperature, form",
            )
        known = getattr(usual, key)
        try:
            if key == "cot":
                given[key] = not mark or {"true": True, "false": False}[value]
            elif key == "tags":
                given[key] = tuple(value.split("+"))
            else:
                given[key] = type(known)(value)
        except (ValueError, KeyError):
            raise UserError(
                f"{key} = {value!r} in the name of an AI judge", where=name, remedy=f"as in {key}={known}"
            ) from None
        if key in CHOICES and given[key] not in CHOICES[key]:
            raise UserError(
                f"{key} = {value!r} in the name of an AI judge",
                where=name,
                remedy=f"one of {', '.join(CHOICES[key])}",
            )
    if given.get("tags") == ("all",):
        given["tags"] = ()
    return replace(usual, **given)


OPTIONS = list(AIName.__slots__)[1:]  # all but the model
CHOICES = {"ask": ("verdict", "each"), "orders": ("both", "one"), "labels": ("soft", "hard")}
