"""What raters prefer, in closed form, and how saying yes too readily is told from not knowing."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.special import ndtri

from ...feedback import sigmoid


@dataclass(frozen=True, order=True)
class Rater:
    """Somebody who ranks: `town:knows=K+agreeing=W+T=T`.

    Attributes:
        agreeing: what agreement is worth to him, w, where a right answer is worth 1.
        knows: the share of the facts that he can check, k.
        noise: temperature, T.
    """

    agreeing: float
    knows: float
    noise: float

    def __str__(self) -> str:
        return f"w {self.agreeing:g}, k {self.knows:g}, T {self.noise:g}"

    @property
    def name(self) -> str:
        """As an annotator."""
        return f"town:knows={self.knows:g}+agreeing={self.agreeing:g}+T={self.noise:g}"

    @property
    def for_agreement(self) -> float:
        """The share of his comparisons between agreement with a wrong claim and the honest answer that
        agreement wins: k sigmoid((w - 1) / T) + (1 - k) sigmoid(w / T).
        """
        checked, believed = self._wins()
        return self.knows * checked + (1 - self.knows) * believed

    @property
    def boundary(self) -> float:
        """The share of facts, k, at which he would prefer agreement as often as not; above 1 where he does
        whatever he can check.
        """
        checked, believed = self._wins()
        return (believed - 0.5) / (believed - checked)

    def _wins(self) -> tuple[float, float]:
        """How often agreement wins where he can check the fact, and where he cannot."""
        return sigmoid((self.agreeing - 1) / self.noise), sigmoid(self.agreeing / self.noise)


@dataclass(frozen=True)
class Detection:
    """Signal detection over right and wrong claims, "yes" being the answer to detect (Green and Swets 1966).

    Attributes:
        sensitivity: d', how well right claims are told from wrong ones.
        criterion: c, how much it takes to say yes: below 0 a model says yes too readily.
    """

    sensitivity: float
    criterion: float


def detection(yes_right: float, right: int, yes_wrong: float, wrong: int) -> Detection:
    """Of counts: yes to so many of the right claims, and of the wrong ones. Each rate is (yes + 0.5) / (n +
    1), which is never 0 or 1 (Hautus 1995).
    """
    hits = float(ndtri((yes_right + 0.5) / (right + 1)))
    false_alarms = float(ndtri((yes_wrong + 0.5) / (wrong + 1)))
    return Detection(hits - false_alarms, -(hits + false_alarms) / 2)
