"""An overseer of dossiers who knows nothing by heart and may look up one statement of each answer: who points
where, and what that makes of the labels.

An answer in which the look finds something wrong loses to one in which it finds nothing; between two of which
the look says the same a coin decides. So of two answers the better is preferred with probability
(1 + f_worse - f_better) / 2, where f is the chance that the look finds the answer wrong: with a statement
drawn at random f is the share of wrong statements, with somebody who points it is 0 or 1.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from ..errors import ConfigError
from ..records import Completion, Ranking
from ..run import derive_seed
from ..text.nearest import one_of
from . import language as say
from .dossier import clauses
from .language import Fact
from .tasks import Request
from .world import World

Knowledge = Mapping[tuple[str, str], Mapping[str, float]]
"""By relation and subject, how likely somebody finds each value."""
Pointing = Literal["random", "likeliest", "least-likely", "wrong"]
POINTING: tuple[Pointing, ...] = get_args(Pointing)


class OneLook:
    """Ranks dossiers by one look at each.

    Args:
        pointing: which statement is looked up: one drawn at "random" (the overseer is alone); the "likeliest"
            to whoever points, who wants the answer to pass (consultancy); the "least-likely" to him, who
            wants it to fail (an honest critic, and in a debate the rival); a "wrong" one wherever there is
            one (an oracle, the most that one look is good for).
        mind: what whoever points knows; nobody is asked at "random" and by the oracle.
        seed: of the coins.

    Raises:
        ConfigError: an unknown pointing; one that asks somebody, and there is nobody.
    """

    def __init__(
        self, name: str, world: World, pointing: str, mind: Knowledge | None = None, *, seed: int
    ) -> None:
        one_of(pointing, POINTING, "nobody points so", error=ConfigError)
        if pointing in ("likeliest", "least-likely") and mind is None:
            raise ConfigError(f"the {pointing} statement is so to somebody, and nobody is named")
        self.name, self.world, self.pointing, self.mind, self.seed = name, world, pointing, mind, seed

    def found(self, completion: Completion) -> float:
        """The chance that the look finds the answer wrong. An answer that does not stop, or states anything
        else than facts of whom it is about, is seen to be wrong without a look.
        """
        person = Request.of(completion.prompt).params["subject"]
        stated = clauses(self.world, person, say.sentences(completion.text))
        if not stated or not completion.finished:
            return 1.0
        wrong = [not holds for _, holds in stated]
        if self.pointing == "random":
            return sum(wrong) / len(wrong)
        if self.pointing == "wrong":
            return float(any(wrong))
        likely = [self.likely(fact) for fact, _ in stated]
        least = self.pointing == "least-likely"
        return float(wrong[likely.index(min(likely) if least else max(likely))])

    def likely(self, fact: Fact) -> float:
        """How likely whoever points finds a statement; without an opinion, impossible."""
        mind = self.mind or {}
        return mind.get((fact.relation, fact.subject), {}).get(fact.value, 0.0)

    def rank(self, index: int, completions: Sequence[Completion]) -> Ranking:
        """Those in which nothing wrong was found, in the order of their coins, and then the others. What the
        looks could have found lies in `meta["found"]`, what they did in `meta["caught"]`.
        """
        prompt = completions[0].prompt
        rng = random.Random(derive_seed(self.seed, "one look", index, prompt.id))
        found = [self.found(completion) for completion in completions]
        caught = [rng.random() < chance for chance in found]
        coins = [rng.random() for _ in completions]
        order = sorted(range(len(coins)), key=lambda place: (caught[place], coins[place]))
        ranks = [order.index(place) + 1 for place in range(len(order))]
        return Ranking(
            prompt, tuple(completions), tuple(ranks), self.name, {"found": found, "caught": caught}
        )


def right(better: float, worse: float) -> float:
    """The probability that the label is for the better of two answers, of which the look finds wrong with
    these chances.
    """
    return (1.0 + worse - better) / 2
