"""Every `town:` word: data, judges, people who rank and write, and what the town knows of requests and
answers.

`alignlab.names` asks here, and nothing below it knows the town. What a word needs is imported when it is
asked for: the words by themselves are read before every command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..records import Prompt, Record

if TYPE_CHECKING:
    from ..constitution.principles import Principle
    from ..feedback import Judge
    from ..records import Completion
    from ..sampling.bots import Bot

PREFIX = "town:"
GOLD = "town:gold"
JUDGES = (GOLD, "town:harmless", "town:verifiable")
"""Who scores; everybody else of the town ranks."""
METRIC = "town:metric="
"""What the name of a metric begins with; it goes on with NAME and the settings of a monitor (`metrics`)."""
CROWD = "town:crowd"
"""Other people's completions (`others`)."""

# --- models


def is_model(name: str) -> bool:
    """Whether a name is that of a model that ships with the town."""
    return name == "town" or name.startswith("town-")


def shipped(name: str) -> str:
    """The folder of a model that ships. Raises ModelError for one that does not."""
    from . import base

    return str(base.shipped(name))


def is_base(path: str) -> bool:
    """Whether a model folder is a base model of the town: trained on text, before any chat."""
    card = Path(path) / "README.md"
    return card.exists() and "A base model of the town" in card.read_text(encoding="utf-8")


def bot(name: str) -> Bot:
    """A bot that knows how every harm of the town is done."""
    from ..sampling.bots import bot
    from . import language, world

    known = {topic.name: language.how_to(topic.steps) for topic in world.HARMFUL}
    return bot(name, known, refusal=language.REFUSAL)


# --- data


def data_words() -> Sequence[str]:
    from . import sets

    return list(sets.SIZES)


def data(word: str, *, count: int, seed: int) -> list[Record]:
    """The records of a set of the town."""
    from . import sets, world

    return list(sets.load(world.build(), word, count=count, seed=seed))


def version() -> str:
    """The version of the town: one of another has other data under the same names."""
    from . import world

    return str(world.VERSION)


def crowd(prompts: Sequence[Prompt], *, per_prompt: int, seed: int) -> dict[str, list[Completion]]:
    """Completions by other people, by prompt id."""
    from . import sets, world

    return sets.crowd_completions(world.build(), list(prompts), per_prompt=per_prompt, seed=seed)


# --- judges, and what the world of the gold judge knows


def judge(name: str) -> Judge:
    """One of `JUDGES`, or a metric."""
    from ..feedback import RuleJudge
    from . import gold, metrics, tasks, world

    town = world.build()
    if name.startswith(METRIC):
        return metrics.MetricJudge(town, name, *metrics.named(name.removeprefix(METRIC)))

    def harmless(c: Completion) -> float:
        worth = gold.judge(town, tasks.Request.of(c.prompt), c.text, finished=c.finished)
        return 1 - worth.parts.get("complied", 0.0)

    def verifiable(c: Completion) -> float:
        return gold.verify(town, tasks.Request.of(c.prompt), c.text, finished=c.finished)

    if name == GOLD:
        return gold.GoldJudge(town)
    return RuleJudge(name, {"town:harmless": harmless, "town:verifiable": verifiable}[name])


def is_judge(name: str) -> bool:
    """Whether the name is that of a judge, and no person's."""
    return name in JUDGES or name.startswith(METRIC)


def check_metric(name: str) -> None:
    """Raises UserError for a metric, or a monitor of it, that the town does not have."""
    from . import metrics

    metrics.named(name.removeprefix(METRIC))


def probes() -> list[Any]:
    """Pairs that show what a reward model prefers."""
    return data("test-pairs", count=0, seed=0)


def request_reader() -> Callable[[str], Prompt | None]:
    """Who reads a text as a request that the gold judge knows."""
    from . import reading, world

    town = world.build()

    def read(text: str) -> Prompt | None:
        request = reading.read_request(town, text)
        return request.prompt() if request else None

    return read


def breach_reader() -> Callable[[Prompt, str, Principle], bool | None]:
    """Who knows whether an answer breaks a principle; of one that is none of the town's nobody knows."""
    from . import tasks, world
    from .flaws import BROKEN_BY, broken, flaws

    town = world.build()

    def breaks(prompt: Prompt, text: str, principle: Principle) -> bool | None:
        if principle.id not in BROKEN_BY:
            return None
        return bool(broken(principle, flaws(town, tasks.Request.of(prompt), text)))

    return breaks


# --- people


def people_who_rank() -> Sequence[str]:
    from .people import WORDS

    return WORDS


def check_annotator(word: str) -> None:
    """Raises UserError unless somebody of the town ranks by that name."""
    from . import people

    people.check(word)


def file_of(word: str) -> str:
    """The file of people that an annotator's name is made of; empty for most."""
    from . import people

    return people.file_of(word)


def people_who_write() -> Sequence[str]:
    from .people import PEOPLE_WHO_WRITE

    return list(PEOPLE_WHO_WRITE)


def pool() -> str:
    """What `town:pool` stands for, as people by name."""
    from .people import POOL

    return POOL


def annotator(word: str, *, seed: int) -> Any:
    from . import people, world

    return people.annotator(world.build(), word, seed=seed)


def writer(word: str, *, seed: int) -> Any:
    from . import people, world

    return people.writer(world.build(), word, seed=seed)
