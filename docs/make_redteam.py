"""Fills the tables of docs/redteam.md from the code: the attacks with source, cost and needs, and the defences with source and cost.

    python docs/make_redteam.py
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from alignlab.redteam.attackers import Pair, TrainedAttacker
from alignlab.redteam.catalogue import ATTACKS, source
from alignlab.redteam.defences import DEFENCES

PAGE = Path(__file__).with_name("redteam.md")


def told(thing: Any) -> str:
    """The docstring in one line."""
    return re.sub(r"\s+", " ", inspect.getdoc(thing) or "").strip()


def part(doc: str, name: str) -> str:
    """What a docstring says after `Name:`, up to the next such word."""
    found = re.search(rf"{name}: (.+?)\.(?= (?:Needs|Cost|Stops|Gets past|It|Args|`|A |An |What|Without|\w+ \w+:)|$)", doc)
    return found[1] if found else ""


def attacks() -> str:
    rows = ["| attack | family | who | cost | needs |", "|---|---|---|---|---|"]
    for attack in [*ATTACKS.values()]:
        doc = told(type(attack))
        rows.append(f"| `{attack.name}` | {attack.family} | {who(source(attack))} | {part(doc, 'Cost')} | {', '.join(attack.needs) or 'nothing'} |")
    for kind, names in ((Pair, "pair"), (TrainedAttacker, "trained-attacker")):
        rows.append(f"| `{names}` | automatic | {who(told(kind))} | {part(told(kind), 'Cost')} | attacker |")
    return "\n".join(rows)


def who(text: str, otherwise: str = "") -> str:
    """The publication in a docstring's first brackets, else `otherwise` or the text itself."""
    found = re.search(r"\(([A-Z][^()]*\d{4}[^()]*)\)", text)
    return found[1] if found else otherwise or text


def defences() -> str:
    rows = ["| defence | who | cost | what it stops, what gets past |", "|---|---|---|---|"]
    for name, make in DEFENCES.items():
        doc = told(make if inspect.isclass(make) else getattr(inspect.getmodule(make), "".join(word.title() for word in name.split("-")), make))
        cost, _, rest = (re.sub(r"^.*?Cost: ", "", doc) if "Cost: " in doc else ". ").partition(". ")
        rows.append(f"| `{name}` | {who(doc.split('Cost:')[0], 'folklore')} | {cost} | {re.sub(r' Args:.*', '', rest)} |")
    return "\n".join(rows)


def filled(page: str) -> str:
    """The page with its tables anew."""
    for name, table in (("attacks", attacks()), ("defences", defences())):
        page = re.sub(rf"<!-- {name} -->.*?<!-- /{name} -->", lambda _, name=name, table=table: f"<!-- {name} -->\n{table}\n<!-- /{name} -->", page, flags=re.S)
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
