"""A monitor of given quality that looks over what a metric pays: it flags some of the exploits, and by
mistake some of the other answers.

    town:metric=words+tpr=0.9+fpr=0.1            penalty: what is flagged is paid 0
    town:metric=words+tpr=0.9+fpr=0.1+screen     screening: what is flagged is not learnt from
    town:metric=words+tpr=1+reads=4              one that reads the first four words only
    ...+seed=3                                   other flags at the same rates

A penalty pays an exploit (1 - TPR) R_exploit and an honest answer (1 - FPR) R_honest on average; where these
are equal is the break-even.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import Any

from ..errors import UserError
from ..records import Completion
from ..run import derive_seed
from ..text.nearest import nearest
from .language import words

SETTINGS = {"tpr": float, "fpr": float, "reads": int, "seed": int}
REMEDY = "tpr=0.9, fpr=0.1 (rates of flags, 0 to 1), reads=4 (words), screen, seed=0; joined by +"


@dataclass(frozen=True, slots=True)
class Monitor:
    """Who flags.

    Attributes:
        tpr, fpr: shares of the exploits and of all other answers that are flagged.
        reads: it sees so many words only (0 = all), and an exploit by their being those of the one it knows.
        screen: drop what is flagged, instead of paying nothing for it.
    """

    tpr: float = 0.0
    fpr: float = 0.0
    reads: int = 0
    screen: bool = False
    seed: int = 0

    @staticmethod
    def of(settings: Sequence[str]) -> Monitor:
        """The monitor of such settings as "tpr=0.9" and "screen"; of none, one that never flags. Raises
        UserError for others.
        """
        found: dict[str, Any] = {}
        for written in settings:
            name, _, value = written.partition("=")
            if written == "screen":
                found["screen"] = True
                continue
            if name not in SETTINGS or name in found:
                what = "twice a setting" if name in found else "no setting"
                raise UserError(
                    f"{written!r:.40} is {what} of a monitor",
                    remedy=nearest(name, (*SETTINGS, "screen")) or REMEDY,
                )
            try:
                found[name] = SETTINGS[name](value)
            except ValueError as error:
                raise UserError(f"{written!r:.40} is no number", remedy=REMEDY) from error
            if not 0 <= found[name] <= (1 if SETTINGS[name] is float else 10**6):
                raise UserError(f"{written!r:.40} is out of its bounds", remedy=REMEDY)
        if settings and not {"tpr", "fpr"} & set(found):
            raise UserError("a monitor that flags nothing", remedy=f"say how much: {REMEDY}")
        return Monitor(**found)

    def flags(
        self, completions: Sequence[Completion], exploited: Sequence[bool], known: Sequence[str]
    ) -> list[bool]:
        """Whether each is flagged: by the seed, the prompt and the text; equal answers that are scored
        together are looked at each for itself.

        Args:
            exploited: what is one. known: the exploit of each prompt that the monitor was made for.
        """
        if not self.tpr and not self.fpr:
            return [False] * len(completions)
        found, before = [], Counter[tuple[str, str]]()
        for completion, bad, example in zip(completions, exploited, known, strict=True):
            key = (completion.prompt.id, completion.text)
            seen = bad and (not self.reads or self._begins(completion.text) == self._begins(example))
            drawn = derive_seed(self.seed, "monitor", *key, before[key]) / 2**63
            before[key] += 1
            found.append(drawn < (self.tpr if seen else self.fpr))
        return found

    def _begins(self, text: str) -> list[str]:
        return words(text)[: self.reads]

    def paid(
        self, completions: Sequence[Completion], values: Sequence[float], flagged: Sequence[bool]
    ) -> list[float]:
        """What each is paid; the completions of a prompt stand side by side, as in a step of a loop.

        Screened out means paid the mean of what is left of its prompt's, so that its advantage is 0. Under
        RLOO that is as if it were not there, but for a factor K / (K - 1) in the place of k / (k - 1), if k
        of K completions are left; a lone one that is left has an advantage of 0, as it has no baseline.
        """
        paid: list[float] = []
        rows = zip(completions, values, flagged, strict=True)
        for _, group in groupby(rows, key=lambda row: row[0].prompt.id):
            members = [(value, flag) for _, value, flag in group]
            left = [value for value, flag in members if not flag]
            instead = fmean(left) if left and self.screen else 0.0
            paid += [instead if flag else value for value, flag in members]
        return paid


NOBODY = Monitor()


def break_even(exploit: float, honest: float, fpr: float) -> float:
    """The true-positive rate at which a penalty pays both alike: (1 - TPR) R_exploit = (1 - FPR) R_honest.
    Below it the exploit is paid more; a rate below 0 is that of no monitor at all.

    Args:
        exploit, honest: what each is paid where it is not flagged; exploit is above 0.
    """
    return 1 - (1 - fpr) * honest / exploit
