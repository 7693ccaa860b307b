"""Agreement against published examples; the noise of simulated annotators against its own formula."""

from __future__ import annotations

import math

import pytest

from alignlab.feedback import RuleJudge, ScoreJudge
from alignlab.feedback.agreement import cohen_kappa, fleiss_kappa, gwet_ac1, krippendorff_alpha
from alignlab.feedback.annotators import SimulatedAnnotator, shuffle_rankings
from alignlab.feedback.gated import GatedJudge
from alignlab.records import Completion, Prompt, Score

# Krippendorff 2011, section C: four observers, twelve units, missing data
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
# Fleiss's kappa, the example of fourteen raters and ten subjects (kappa 0.210)
FLEISS = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_krippendorff_alpha_as_published(level: str, alpha: float) -> None:
    assert krippendorff_alpha(OBSERVERS, level=level) == pytest.approx(alpha, abs=5e-4)  # type: ignore[arg-type]


def test_kappas_by_hand() -> None:
    assert fleiss_kappa(FLEISS) == pytest.approx(0.210, abs=5e-4)
    a, b = ["y"] * 25 + ["n"] * 25, ["y"] * 20 + ["n"] * 5 + ["y"] * 10 + ["n"] * 15
    assert cohen_kappa(a, b) == pytest.approx((0.7 - 0.5) / 0.5)
    assert gwet_ac1(a, b) == pytest.approx((0.7 - 2 * 0.55 * 0.45) / (1 - 2 * 0.55 * 0.45))
    with pytest.raises(ValueError, match="same number"):
        fleiss_kappa([[1, 2], [1, 1]])


def test_a_pair_is_decided_with_the_stated_probability() -> None:
    judge = RuleJudge("length", lambda c: len(c.text) / 10)
    annotator = SimulatedAnnotator("somebody", judge, weights={"value": 1.0}, temperature=0.2, seed=4)
    pair = [Completion(Prompt.user("?"), "aaaa"), Completion(Prompt.user("?"), "aa")]
    first = sum(annotator.rank(i, pair).ranks[0] == 1 for i in range(4000)) / 4000
    assert annotator.p_prefers(0.4, 0.2) == pytest.approx(1 / (1 + math.exp(-1)))
    assert first == pytest.approx(annotator.p_prefers(0.4, 0.2), abs=0.025)


def test_ties_ceiling_and_the_shuffled_control() -> None:
    judge = RuleJudge("length", lambda c: float(len(c.text)))
    exact = SimulatedAnnotator("exact", judge, weights={"value": 1.0}, temperature=0.0)
    prompt = Prompt.user("?")
    ranking = exact.rank(0, [Completion(prompt, t) for t in ("a", "ccc", "bb", "dd")])
    assert ranking.ranks[1] == 1 and ranking.ranks[2] == ranking.ranks[3] == 2 and ranking.ranks[0] == 4
    assert len(ranking.comparisons()) == 5 and len(ranking.comparisons(ties=True)) == 6
    assert exact.ceiling([ranking]) == 1.0
    many = [exact.rank(i, [Completion(Prompt.user(str(i)), t) for t in ("a", "ccc")]) for i in range(600)]
    swapped = sum(r.ranks[0] == 1 for r in shuffle_rankings(many, seed=1)) / 600
    assert swapped == pytest.approx(0.5, abs=0.08)


class Fixed(ScoreJudge):
    """Gives each completion the raw score that its text spells, and the standardized one."""

    def __init__(self, name: str, raw: dict[str, float], mean: float, std: float) -> None:
        super().__init__(name)
        self.raw, self.mean, self.std = raw, mean, std

    def score(self, completions):
        return [
            Score((self.raw[c.text] - self.mean) / self.std, {"raw": self.raw[c.text]}) for c in completions
        ]


def test_the_gate_takes_the_safety_score_where_safety_is_in_danger() -> None:
    limit = math.log(0.15 / 0.85)
    helpful, safe = (
        Fixed("h", {"a": 3.0, "b": 1.0, "c": 1.0}, 1.0, 2.0),
        Fixed("s", {"a": limit - 0.01, "b": limit + 0.01, "c": 4.0}, 0.0, 0.5),
    )
    scores = GatedJudge(helpful, safe).score([Completion(Prompt.user("?"), text) for text in "abc"])  # type: ignore[arg-type]
    assert [s.value for s in scores] == pytest.approx([(limit - 0.01) / 0.5, 0.0, 0.0])
    assert [s.parts["unsafe"] for s in scores] == [1.0, 0.0, 0.0] and scores[0].parts["helpful"] == 1.0
    for meta, safety in (
        ({"kind": "harmful"}, True),
        ({"harmful": True}, True),
        ({"kind": "look_alike", "harmful": False}, False),
    ):
        tagged = GatedJudge(helpful, safe).score([Completion(Prompt(Prompt.user("?").messages, meta), "c")])[
            0
        ]  # type: ignore[arg-type]
        assert (
            tagged.value == (8.0 if safety else 0.0)
            and tagged.parts["tagged"] == float(safety)
            and tagged.parts["unsafe"] == 0.0
        )
