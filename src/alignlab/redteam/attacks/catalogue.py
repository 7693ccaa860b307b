"""Every attack by name, and the choices that `--attacks` understands."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ... import plugins
from ...data.wrappers import WRAPPERS, compose
from ...errors import UserError
from ...text.lines import first_paragraph
from ...text.lists import by_comma
from ...text.nearest import nearest
from ..session import Attack
from .conversations import conversations
from .own import own_attack
from .planted import Injection, SystemExtraction
from .prefills import prefills
from .search import READABLE, Bandit, BestOfN
from .suffixes import GCG, EmbeddingAttack, RandomSearch
from .templates import Plain, Template, TemplateInjection

FAMILIES = ("jailbreak", "obfuscation", "context", "multi-turn", "automatic", "prefill")


def _catalogue() -> dict[str, Attack]:
    return _by_name(
        [
            *map(Template, WRAPPERS.values()),
            TemplateInjection(),
            SystemExtraction(),
            Injection("direct-hijack", latent=False),
            Injection("latent-injection", latent=True),
            *conversations(),
            *prefills(),
            BestOfN(),
            Bandit(READABLE),
            RandomSearch(),
            GCG(),
            EmbeddingAttack(),
        ]
    )


ATTACKS: dict[str, Attack] = _catalogue()
"""Every attack by name, but for compositions ("story+spaced") and those that need a model of their own."""
COMPOSED = (
    "story+refusal-suppression",
    "persona+prefix-injection",
    "prefix-injection+refusal-suppression",
    "role-play+payload-split",
)
"""Pairs that belong to the standard battery (Wei et al. 2023: combinations beat their parts)."""

CHOICES: dict[str, Callable[[Attack], bool]] = {
    "standard": lambda attack: not {"gradients", "logprobs", "attacker"} & set(attack.needs),
    "all": lambda attack: True,
    **{family: lambda attack, family=family: attack.family == family for family in FAMILIES},
}


def attacks(choice: str) -> list[Attack]:
    """The attacks that a comma-separated list of names, families, compositions and the words `standard` and
    `all` stands for, each once; `-NAME` leaves one out. `none` stands alone for none: the bare requests and
    the twins.

    Raises:
        UserError: a name that no attack has, or nothing left.
    """
    if choice.strip() == "none":
        return []
    wanted: dict[str, Attack] = {}
    unwanted: dict[str, Attack] = {}
    for word in by_comma(choice):
        name = word.removeprefix("-")
        if name:
            (unwanted if word.startswith("-") else wanted).update(_by_name(_stands_for(name)))
    left = [attack for name, attack in wanted.items() if name not in unwanted]
    if not left:
        raise UserError("no attack is chosen", where=choice, remedy="--attacks standard, a family or names")
    return left


def _stands_for(name: str) -> list[Attack]:
    """The attacks that one word of a choice stands for."""
    if name in CHOICES:
        chosen = [attack for attack in ATTACKS.values() if CHOICES[name](attack)]
        if name in ("standard", "all"):
            chosen += map(_composed, COMPOSED)
        return chosen
    if name in ATTACKS:
        return [ATTACKS[name]]
    if "+" in name and set(name.split("+")) <= set(WRAPPERS):
        return [_composed(name)]
    if plugins.is_one("attack", name):
        return [own_attack(name)]
    names = ["none", *listed()]
    remedy = nearest(name, names) or "one of: " + ", ".join(names)
    raise UserError(f"there is no attack {name!r:.80}", remedy=remedy)


def _composed(name: str) -> Template:
    return Template(compose(*name.split("+")))


def _by_name(attacks: Iterable[Attack]) -> dict[str, Attack]:
    return {attack.name: attack for attack in attacks}


def listed() -> list[str]:
    """Everything that may be chosen by a word of its own, installed plug-ins too."""
    return [*CHOICES, *ATTACKS, *plugins.installed("attack")]


def plain() -> Attack:
    """The request as it is."""
    return Plain()


def source(attack: Attack) -> str:
    """Who published it, in words."""
    return getattr(attack, "source", "") or first_paragraph(type(attack))
