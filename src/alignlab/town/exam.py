"""What figures on a page are measured on, and the words by which a page says so.

The exam is held out twice: nobody is shown answering its questions, and no setting was chosen on it. So only
benchmarks that write a page name it, on seeds that no setting was chosen on either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .world import VERSION

EXAM = "town:exam"
SEEDS = (20, 21, 22)
"""Of the models of a page, SFT to evaluation; world, base model and the exam's prompts stay the same."""
CHOSEN = "seed 10 and `town:test`"
"""What settings are chosen on."""


def measured(
    seeds: Sequence[int], sets: Mapping[str, int], *, base: str = "town", town: int = VERSION
) -> dict[str, Any]:
    """What a benchmark writes beside its figures, for `head`.

    Args:
        sets: number of prompts or pairs by name of the set; 0 where it differs from table to table.
    """
    return {"town": town, "base": base, "seeds": list(seeds), "sets": dict(sets), "chosen": CHOSEN}


def head(found: Mapping[str, Any]) -> str:
    """The first line of a page: what its figures are of, as `measured` wrote it."""
    word = "seed" if len(found["seeds"]) == 1 else "seeds"
    seeds = f"{word} {', '.join(map(str, found['seeds']))}"
    sets = ", ".join(
        f"`{name}`" + (f" (n = {count:,})" if count else "") for name, count in found["sets"].items()
    )
    return (
        f"> Figures of the town's version {found['town']}: base model `{found['base']}`, {seeds}, on "
        f"{sets}. Settings were chosen on {found['chosen']}. World, base model and prompts are the same for "
        "every seed."
    )


def with_head(page: str, found: Mapping[str, Any]) -> str:
    """The page with this head below its title, in the place of the one that it has."""
    title, _, rest = page.partition("\n")
    rest = rest.lstrip("\n")
    if rest.startswith("> Figures of the town's version "):
        rest = rest.partition("\n")[2].lstrip("\n")
    return f"{title}\n\n{head(found)}\n\n{rest}"
