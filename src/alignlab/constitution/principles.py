"""A constitution: principles with stable ids, and the examples that show a model how they are used (Bai et
al. 2022, section 3.1 and appendix C).
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

from ..errors import UserError
from ..text.nearest import nearest

ABOUT = ("helpful", "harmless", "honest")
"""What a principle can be about: one of these tags or more."""
SCOPES = ("direct", "indirect", "contested")
"""What a harmless one looks at: harm done to somebody, unfairness to others, matters on which honest people
differ. A principle may have several, or none.
"""


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One worked example: a request, a draft, what is wrong with it by a principle (or that nothing is), and
    a better answer (or the same).

    `principle` is the id of that principle; one that stands in a principle's own list needs none.
    """

    prompt: str
    draft: str
    critique: str
    revision: str
    principle: str = ""

    def to_json(self) -> dict[str, str]:
        row = {
            "prompt": self.prompt,
            "draft": self.draft,
            "critique": self.critique,
            "revision": self.revision,
        }
        if self.principle:
            row["principle"] = self.principle
        return row


def _with_exemplars(row: dict[str, Any], exemplars: Iterable[Exemplar]) -> dict[str, Any]:
    """A row with its worked examples, where there are some."""
    if exemplars:
        row["exemplars"] = [exemplar.to_json() for exemplar in exemplars]
    return row


@dataclass(frozen=True, slots=True)
class Principle:
    """One principle in the three forms in which a model reads it.

    Attributes:
        id: stable: records name it, and it outlives a change of words.
        critique: what the critic looks for in a draft.
        revise: what the rewritten answer must do.
        compare: by what the judge prefers one answer to another.
        tags: of `ABOUT` and `SCOPES`, and any of one's own.
        exemplars: worked examples for this principle; a constitution has some for all.
    """

    id: str
    critique: str
    revise: str
    compare: str
    tags: tuple[str, ...] = ()
    exemplars: tuple[Exemplar, ...] = ()

    def to_json(self) -> dict[str, Any]:
        row: dict[str, Any] = {
            "id": self.id,
            "critique": self.critique,
            "revise": self.revise,
            "compare": self.compare,
            "tags": list(self.tags),
        }
        return _with_exemplars(row, self.exemplars)


@dataclass(frozen=True)
class Constitution:
    """Principles in their order, under a name and a version."""

    name: str
    version: str
    principles: tuple[Principle, ...]
    exemplars: tuple[Exemplar, ...] = ()

    def to_json(self) -> dict[str, Any]:
        row: dict[str, Any] = {
            "name": self.name,
            "version": self.version,
            "principles": [principle.to_json() for principle in self.principles],
        }
        return _with_exemplars(row, self.exemplars)

    @cached_property
    def digest(self) -> str:
        """Sixteen hex digits of the canonical JSON: every record that it had a part in carries them."""
        text = json.dumps(self.to_json(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def get(self, id: str) -> Principle:
        """Raises UserError for an id that is not there."""
        return self.principles[self._place(id)]

    def without(self, id: str) -> Constitution:
        """The constitution with one principle, and its examples, left out. Raises UserError for an id that is
        not there.
        """
        place = self._place(id)
        return replace(
            self,
            name=f"{self.name} without {id}",
            principles=self.principles[:place] + self.principles[place + 1 :],
            exemplars=tuple(e for e in self.exemplars if e.principle != id),
        )

    def tagged(self, *tags: str) -> tuple[Principle, ...]:
        """The principles that have one of the tags; all of them if none is named.

        Raises:
            UserError: no principle has one.
        """
        if not tags and self.principles:
            return self.principles
        wanted = tuple(principle for principle in self.principles if set(tags) & set(principle.tags))
        if wanted:
            return wanted
        what = "the constitution holds no principle"
        if self.principles:
            what = f"no principle of the constitution {self.name!r} is tagged {' or '.join(tags)}"
        remedy = 'give its principles tags, as tags = ["harmless"]'
        if known := set(chain.from_iterable(principle.tags for principle in self.principles)):
            remedy = f"its tags are: {', '.join(sorted(known))}"
        raise UserError(what, remedy=remedy)

    def sample(self, rng: random.Random, tags: Iterable[str] = ()) -> Principle:
        """One principle, each as likely as another; of those with one of the tags, if any are named."""
        return rng.choice(self.tagged(*tags))

    def _place(self, id: str) -> int:
        for place, principle in enumerate(self.principles):
            if principle.id == id:
                return place
        raise UserError(
            f"the constitution {self.name!r} has no principle {id!r}",
            remedy=nearest(id, [p.id for p in self.principles]) or "`alignlab constitution show` lists them",
        )
