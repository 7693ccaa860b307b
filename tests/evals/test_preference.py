"""What a reward model states, against the labels it is about: perfect models of ties, flips and
reliabilities, whose scores are the truth.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from alignlab.evals import preference
from alignlab.evals.statistics import ece
from alignlab.feedback import RuleJudge
from alignlab.losses import stated_probability
from alignlab.models.label_noise import Labels, logit
from alignlab.records import Completion, Prompt, Ranking
from alignlab.settings import RewardSettings

N = 400_000
LOG_THETA = 1.0
TIE_RATE = torch.tensor(math.tanh(LOG_THETA / 2))  # log theta = log (1 + q) / (1 - q)


def drawn() -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """Differences of two worths, and those differences as somebody sees them through Gumbel noise."""
    rng = np.random.default_rng(0)
    worths = rng.normal(0.0, 1.5, (N, 2))
    seen = worths + rng.gumbel(size=(N, 2))
    return worths[:, 0] - worths[:, 1], seen[:, 0] - seen[:, 1], rng


def plain(difference: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-difference))


def test_a_perfect_model_of_ties_is_calibrated() -> None:
    """Annotators who call near ones a tie: the sigmoid of the margin is too modest about what they decide."""
    difference, seen, _ = drawn()
    decided = np.abs(seen) > LOG_THETA
    margin, first = difference[decided], (seen > 0)[decided]
    stated = stated_probability(torch.tensor(margin), ties="rao_kupper", tie_rate=TIE_RATE.double())
    assert ece(stated, first) < 0.005 and ece(plain(margin), first) > 0.02
    davidson = stated_probability(torch.tensor(margin), ties="davidson", tie_rate=TIE_RATE.double())
    assert davidson.numpy() == pytest.approx(plain(margin)), "Davidson keeps the odds of what is decided"


def test_a_perfect_model_of_flips_is_calibrated() -> None:
    """The same for one rate, and for a crowd in which each has a rate of his own, one of them contrary."""
    difference, seen, rng = drawn()
    for rates in ([0.3], [0.05, 0.4, 0.85]):
        flip = rng.choice(rates, N)
        first = (seen > 0) ^ (rng.random(N) < flip)
        stated = stated_probability(torch.tensor(difference), flip_B=torch.tensor(flip))
        assert ece(stated, first) < 0.005 and ece(plain(difference), first) > 0.15


def test_flips_and_ties_together() -> None:
    difference, seen, rng = drawn()
    decided = np.abs(seen) > LOG_THETA
    first = ((seen > 0) ^ (rng.random(N) < 0.2))[decided]
    margin = torch.tensor(difference[decided])
    known: dict[str, Any] = {"ties": "rao_kupper", "tie_rate": TIE_RATE.double()}
    assert ece(stated_probability(margin, **known, flip_B=torch.tensor(0.2)), first) < 0.005
    assert ece(stated_probability(margin, **known), first) > 0.05


def crowd(flips: dict[str, float], prompts: int = 200) -> tuple[list[Ranking], RuleJudge, Labels]:
    """Two completions of each prompt, soft labels that are the probabilities of whoever labels, the judge
    whose scores are the worths, and what a perfect model has learnt of the labels.
    """
    settings = RewardSettings(annotators="reliability") if len(flips) > 1 else RewardSettings(noise="learnt")
    rng, names, test, worths = np.random.default_rng(0), list(flips), [], {}
    for i in range(prompts):
        prompt, (a, b) = Prompt.user(str(i)), rng.normal(0.0, 1.5, 2)
        name = names[i % len(names)]
        label = (1 - flips[name]) * plain(a - b) + flips[name] * plain(b - a)
        pair = Completion(prompt, "one"), Completion(prompt, "two")
        test.append(Ranking(prompt, pair, (1, 2), name, {"labels": [float(label)]}))
        worths |= {(prompt.text, "one"): float(a), (prompt.text, "two"): float(b)}
    labels = Labels(settings, test)
    assert labels.flip is not None
    order = list(labels.people) or names
    labels.flip.data = logit([flips[name] for name in order])
    return test, RuleJudge("worth", lambda c: worths[c.prompt.text, c.text]), labels


@pytest.mark.parametrize("flips", [{"": 0.3}, {"ann": 0.05, "bob": 0.4, "eve": 0.85}], ids=["one", "each"])
def test_measure_asks_the_model_of_whoever_labelled(flips: dict[str, float]) -> None:
    test, judge, labels = crowd(flips)
    found = preference.measure(judge, test, labels=labels, gold=judge)
    naive = preference.measure(judge, test, labels=Labels(RewardSettings(), []), gold=judge)
    assert found["ece"] < 1e-6 < 0.1 < naive["ece"]
    assert found["accuracy"]["mean"] == pytest.approx(found["ceiling"]), "nobody can do better"
    if len(flips) > 1:
        assert naive["accuracy"]["mean"] < found["accuracy"]["mean"] - 0.1, "one of them is contrary"
    assert found["gold_accuracy"]["mean"] == 1.0 and found["gold_ece"] == pytest.approx(naive["gold_ece"])
    assert 0.1 < found["gold_ece"] < 0.4, "labels of people who are unsure are no truth"
    unmet = labels.stated([2.0], ["somebody else"])[0]
    mean = sum(flips.values()) / len(flips)
    assert unmet == pytest.approx((1 - mean) * plain(np.array(2.0)) + mean * plain(np.array(-2.0)))


def test_scores_that_state_no_probability_have_no_calibration() -> None:
    test, judge, _ = crowd({"": 0.3}, 10)
    found = preference.measure(judge, test, gold=judge)
    assert found["ece"] is None and found["gold_ece"] is None and found["reliability"] == []
    json.dumps(found, allow_nan=False)


def test_intervals_are_by_prompt() -> None:
    """Each ranking twice is no new prompt, and K completions of one prompt are one observation."""
    test, judge, labels = crowd({"": 0.3}, 40)
    test = [Ranking(r.prompt, r.completions, r.ranks) for r in test]
    once, twice = (preference.measure(judge, rows, labels=labels, gold=judge) for rows in (test, test * 2))
    for figure in ("accuracy", "length_floor", "gold_accuracy", "gold_accuracy_big"):
        assert once[figure] == twice[figure]
    assert twice["test_pairs"] == 2 * once["test_pairs"] == 80 and once["n"] == 40
