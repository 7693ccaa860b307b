"""Learning from votes: what can be learnt from, and what votes say of style at once."""

from __future__ import annotations

from pydantic import Field

from .parts import Key, Part
from .runs import Figure, RunRow
from .samples import Said


class LearnTask(Part):
    """A task, with what of it can be learnt from."""

    id: Key
    name: str
    mode: str
    votes: int = Field(description="that count; gold and repeated items are none of them")
    people: int


class Learn(Part):
    """`models` are those that a reward model can begin with, the newest first; `aligned` the runs of PPO and
    DPO that there are, and whose votes or rankings they learnt from.
    """

    tasks: list[LearnTask]
    models: list[RunRow]
    aligned: list[RunRow]


class StyleAsked(Part):
    id: Key
    turned: Key | None = Field(None, description="a vote, as if it had said the opposite")


class Feature(Part):
    """A feature of style.

    `weight`: log-odds that an answer wins which has a typical difference (`typical`) more of it, all other
    features alike, with its interval; null with too few items, or where no pair differs in it.
    `differ`: pairs that differ in it.
    `wins`: of decided ones among them, how often the answer with more of it wins.
    `turned`: the weight with the vote turned that was asked for.
    """

    name: str
    means: str
    weight: float | None
    low: float | None
    high: float | None
    turned: float | None
    typical: float
    differ: int
    wins: Figure


class PersonsStyle(Part):
    annotator: str = Field(description="by the id that data has")
    longer: Figure = Field(description="how often the longer answer won")


class Weighty(Part):
    """A vote without which the weights are most another: `feature` is the one that it moves most, `without`
    its weight without the vote, `by` how far all weights move (squared, in the model's own uncertainty).
    """

    vote: Key
    annotator: str
    by: float
    feature: str
    without: float
    prompt: list[Said]
    answers: list[str] = Field(description="cut")
    ranks: list[int | None] = Field(description="1 is best; null was left out")


class Style(Part):
    """What a task's votes say of style.

    `right`: how often the style model orders pairs of items that it did not learn from as people did.
    `longer`: how often the longer answer won.
    `alike`: how often two people who both decide a pair decide alike; `ceiling`: how often whoever knows the
    better answer is right on their votes, if people err alike.
    `exact`: whether the model was fitted again without each vote, or went one step from the weights of all.
    """

    votes: int
    items: int
    pairs: int
    enough: bool
    fewest: int = Field(description="items from which there is a model")
    features: list[Feature]
    right: Figure
    longer: Figure
    alike: float | None
    ceiling: float | None
    people: list[PersonsStyle]
    weightiest: list[Weighty]
    exact: bool
