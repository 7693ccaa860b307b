"""Data by name or in hand, and parts of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from .. import names
from ..records import Comparison, Demonstration, Prompt, Record
from ..text.escapes import visible

if TYPE_CHECKING:
    from ..data.formats import Want

Data: TypeAlias = "str | Path | Iterable[str | Mapping[str, Any] | Record]"
"""Data by name, or rows in a format of the field, records, and for prompts plain texts, that are in hand."""


def prompts(data: Data, *, count: int = 0, seed: int = 0) -> list[Prompt]:
    """Prompts, each with the other columns of its row, which a judge may ask for.

    Args:
        count: at most so many; 0 for all (of the town's sets: their usual size).
        seed: of data that is made, such as the town's.

    Raises:
        DataError: a file or row that is broken, or no prompt in it.

    >>> [prompt] = prompts([{"prompt": "What is 2 plus 2?", "answer": "4"}])
    >>> prompt.text, prompt.meta["columns"]
    ('What is 2 plus 2?', {'answer': '4'})
    """
    return _records(data, "prompt", count, seed)


def demonstrations(data: Data, *, count: int = 0, seed: int = 0) -> list[Demonstration]:
    """Prompts with answers that somebody showed. Arguments and errors as of `prompts`.

    >>> [shown] = demonstrations([{"prompt": "Hello.", "completion": "Good morning."}])
    >>> shown.completion
    'Good morning.'
    """
    return _records(data, "demonstration", count, seed)


def comparisons(data: Data, *, count: int = 0, seed: int = 0) -> list[Comparison]:
    """Prompts with a better and a worse answer; of a ranking, all its pairs that are no ties. Arguments and
    errors as of `prompts`.

    >>> [pair] = comparisons([{"prompt": "Hello.", "chosen": "Good morning.", "rejected": "What?"}])
    >>> pair.rejected
    'What?'
    """
    return _records(data, "comparison", count, seed)


def split(records: Sequence[Any], share: float, *, seed: int = 0) -> tuple[list[Any], list[Any]]:
    """Records in two parts, of which the second holds this share of the questions: none is in both, in
    whatever words.

    Raises:
        ConfigError: a share below 0, or not below 1.

    >>> train, test = split(prompts(f"What is {i}?" for i in range(100)), 0.2)
    >>> len(train) + len(test), {p.id for p in train} & {p.id for p in test}
    (100, set())
    """
    from ..data.split import by_question

    return by_question(records, share, seed)


def draw(items: Sequence[Any], n: int, step: int, *, seed: int = 0) -> list[Any]:
    """The n items of a step: each once per epoch, in an order that follows from the seed.

    >>> sorted(draw("abcd", 2, step=0) + draw("abcd", 2, step=1))
    ['a', 'b', 'c', 'd']
    """
    from ..rollouts import prompts_of_step

    return prompts_of_step(items, n, step, seed)


def _records(data: Data, want: Want, count: int, seed: int) -> list[Any]:
    """Records of a kind; of a file it is said how it was read, of a list what was dropped."""
    from ..text.streams import say

    if isinstance(data, (str, Path)):
        named = names.data.read_data(str(data), want, seed=seed, count=count)
        if named.report:
            say(visible(named.report))
        return list(named.records)
    from ..data.read import records_of

    rows = [{"prompt": item} if isinstance(item, str) else item for item in data]
    loaded = records_of(rows, want, limit=count or None)
    if loaded.report.dropped:
        say(visible(str(loaded.report)))
    return loaded.records


def _prompts(asked: Data) -> list[Prompt]:
    """Prompts that are some already, as they are and however often; anything else as `prompts` reads it."""
    if not isinstance(asked, (str, Path)):
        asked = list(asked)
        if all(isinstance(item, Prompt) for item in asked):
            return cast("list[Prompt]", asked)
    return prompts(asked)
