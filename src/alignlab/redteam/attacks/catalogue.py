"""Every attack by name, and the choices that `--attacks` understands."""

from __future__ import annotations

from collections.abc import Callable

from ... import plugins
from ...data.wrappers import WRAPPERS, compose
from ...errors import UserError
from ...text.lines import first_paragraph
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
    made: list[Attack] = [Template(wrapper) for wrapper in WRAPPERS.values()]
    made += [
        TemplateInjection(),
        SystemExtraction(),
        Injection("direct-hijack", latent=False),
        Injection("latent-injection", latent=True),
        *conversations(),
        *prefills(),
    ]
    made += [BestOfN(), Bandit(READABLE), RandomSearch(), GCG(), EmbeddingAttack()]
    return {attack.name: attack for attack in made}


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
    found: dict[str, Attack] = {}
    left_out: set[str] = set()
    for word in (part.strip() for part in choice.split(",")):
        name = word.removeprefix("-")
        if not name:
            continue
        if name in CHOICES:
            chosen = [attack for attack in ATTACKS.values() if CHOICES[name](attack)]
            if name in ("standard", "all"):
                chosen += [Template(compose(*pair.split("+"))) for pair in COMPOSED]
        elif name in ATTACKS:
            chosen = [ATTACKS[name]]
        elif "+" in name and all(part in WRAPPERS for part in name.split("+")):
            chosen = [Template(compose(*name.split("+")))]
        elif plugins.is_one("attack", name):
            chosen = [own_attack(name)]
        else:
            names = ["none", *listed()]
            raise UserError(
                f"there is no attack {name!r:.80}",
                remedy=nearest(name, names) or "one of: " + ", ".join(names),
            )
        if word.startswith("-"):
            left_out |= {attack.name for attack in chosen}
        else:
            found |= {attack.name: attack for attack in chosen}
    kept = [attack for name, attack in found.items() if name not in left_out]
    if not kept:
        raise UserError("no attack is chosen", where=choice, remedy="--attacks standard, a family or names")
    return kept


def listed() -> list[str]:
    """Everything that may be chosen by a word of its own, installed plug-ins too."""
    return [*CHOICES, *ATTACKS, *plugins.installed("attack")]


def plain() -> Attack:
    """The request as it is."""
    return Plain()


def source(attack: Attack) -> str:
    """Who published it, in words."""
    return getattr(attack, "source", "") or first_paragraph(type(attack))
