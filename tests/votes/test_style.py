"""What votes say of style: the model's weights, their intervals, and which votes move them."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, stdtrit

from alignlab.records import Completion, Prompt, Ranking
from alignlab.votes import style
from alignlab.votes.figures import Said
from alignlab.votes.manner import FEATURES, manner_of
from alignlab.votes.style import NAMES, PRIOR, Pairs, fit, pairs_of, without_each

from .asking import new_id

LONG = "The bell is red, and it hangs above the door of the bakery where Viktor works."
SHORT = "The bell is red."


def said(
    item: int, first: str, second: str, strength: int, *, by: str = "p0", why: str = "random", left: int = 0
) -> Said:
    prompt = Prompt.user(f"What colour is bell {item}?")
    asked = Ranking(prompt, (Completion(prompt, first), Completion(prompt, second)), (1, 1))
    given = {"strength": strength, "order": [left, 1 - left], "ms": 1}
    return Said(new_id(), 0, f"item-{item}", by, given, why, False, asked, "train", None)


def drawn(rng: np.random.Generator, items: int, people: int, weights: np.ndarray) -> Pairs:
    differences = rng.normal(size=(items, len(NAMES)))
    item = np.repeat(np.arange(items), people)
    wins = (rng.random(len(item)) < expit(differences[item] @ weights)).astype(float)
    return Pairs(differences[item], wins, np.ones(len(item)), np.arange(len(item)), item)


def test_features_are_of_manner_alone() -> None:
    def has(text: str, *, finished: bool = True) -> dict[str, float]:
        asked = Prompt.user("How do I mend a chair?")
        return dict(zip(FEATURES, manner_of(Completion(asked, text, finished=finished)), strict=True))

    assert has("One two three.")["length"] == 2
    assert has("I will not help with that.")["refuses"] > 0.9 > 0.1 > has("Glue the leg.")["refuses"]
    assert has("- a\n- b\n3. c.")["list"] == 3 == has("First, cut it. Then, glue it. Last, wait.")["list"]
    assert has("Perhaps you might glue it.")["hedges"] > 0 == has("Glue it.")["hedges"]
    assert has("What a wonderful question! Glue it.")["flattery"] == 1
    assert has("Glue it. I hope this is of some use to you.")["padding"] == 1
    assert has("I do not know. Nobody in town knows that.")["unknowing"] == 1
    assert has("How do I mend a chair?")["copies"] == 1 and has("Glue it.")["copies"] == 0
    assert has("so it goes so it goes so it goes.")["repeats"] > 0.3
    assert (
        has("Glue it")["cut"] == has("Glue it.", finished=False)["cut"] == 1 and has("Glue it.")["cut"] == 0
    )
    for text in ("", " ", "\0", "\ud800", "x" * 100_000, "- " * 5000, "ﷺ" * 3000):
        assert all(math.isfinite(value) for value in has(text).values())


def test_weights_are_the_maximum_of_the_posterior() -> None:
    pairs = drawn(np.random.default_rng(0), 60, 2, np.linspace(-1, 1, len(NAMES)))
    scale = np.sqrt((pairs.differences**2).mean(0))

    def loss(weights: np.ndarray) -> float:
        logits = pairs.differences / scale @ weights
        return float(
            (np.logaddexp(0, logits) - pairs.wins * logits).sum() + weights @ weights / (2 * PRIOR**2)
        )

    slow = minimize(loss, np.zeros(len(NAMES)), options={"gtol": 1e-9}).x
    assert fit(pairs, scale) == pytest.approx(slow, abs=1e-5)


def test_one_feature_alone_has_its_closed_form() -> None:
    """Of n pairs that differ by one unit, k won: w (with a prior that says nothing) is logit(k / n)."""
    differences = np.zeros((1000, len(NAMES)))
    differences[:, 0] = 1
    wins = (np.arange(1000) < 700).astype(float)
    pairs = Pairs(differences, wins, np.ones(1000), np.arange(1000), np.arange(1000))
    weights = fit(pairs, np.sqrt((differences**2).mean(0)))
    assert weights[0] == pytest.approx(math.log(0.7 / 0.3), abs=2e-3) and not weights[1:].any()


def test_without_a_vote_is_the_model_of_the_others_and_one_step_comes_near(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = drawn(np.random.default_rng(1), 120, 1, np.linspace(-0.5, 0.5, len(NAMES)))
    scale = np.ones(len(NAMES))
    weights = fit(pairs, scale)
    exact = without_each(pairs, scale, weights, pairs.vote)
    others = [place for place in range(120) if place != 7]
    rest = Pairs(*(part[others] for part in vars(pairs).values()))
    assert exact[7] == pytest.approx(fit(rest, scale), abs=1e-6)
    monkeypatch.setattr(style, "EXACT", 0)
    near = without_each(pairs, scale, weights, pairs.vote)
    moved, missed = np.abs(exact - weights).max(), np.abs(near - exact).max()
    assert missed < 0.25 * moved, "one step is the first term of it"


@pytest.mark.parametrize(("items", "people"), [(60, 1), (60, 3)])
def test_intervals_cover_the_truth(items: int, people: int) -> None:
    """95 %, and not fewer where one item has several votes; with few items rather more."""
    rng, truth = np.random.default_rng(2), np.linspace(-0.6, 0.6, len(NAMES))
    covered = []
    for _ in range(40):
        pairs = drawn(rng, items, people, truth)
        scale = np.ones(len(NAMES))
        weights = fit(pairs, scale)
        by_item = without_each(pairs, scale, weights, pairs.item)
        errors = np.sqrt((items - 1) / items * ((by_item - by_item.mean(0)) ** 2).sum(0))
        covered.append(np.abs(weights - truth) < stdtrit(items - 1, 0.975) * errors)
    assert 0.94 < np.mean(covered) < 0.995


def test_who_votes_for_the_longer_answer_is_found_out() -> None:
    rng = random.Random(3)
    votes = []
    for item in range(40):
        first, second = (LONG, SHORT) if rng.random() < 0.5 else (SHORT, LONG)
        longer = -2 if first == LONG else 2
        votes.append(said(item, first, second, longer, by="likes", left=item % 2))
        votes.append(said(item, first, second, rng.choice((-1, 1)), by="does not care", left=item % 2))
    found = style.style(votes)
    length = found["features"][NAMES.index("length")]
    assert length["low"] > 0 and length["wins"]["mean"] == found["longer"]["mean"] > 0.6
    assert [row["annotator"] for row in found["people"]] == ["likes", "does not care"]
    assert found["people"][0]["longer"]["mean"] == 1 and found["right"]["mean"] > 0.6
    assert (found["items"], found["votes"], found["pairs"], found["exact"]) == (40, 80, 80, True)
    unlike = [row for row in found["features"] if not row["differ"]]
    assert unlike and all(row["weight"] == 0 or row["weight"] is None for row in unlike)


def test_the_vote_that_weighs_most_is_the_one_against_all_others_and_can_be_turned() -> None:
    votes = [said(item, LONG, SHORT, -2, left=item % 2) for item in range(30)]
    votes[11] = said(11, LONG, SHORT, 2, left=1)
    found = style.style(votes)
    first = found["weightiest"][0]
    assert first["vote"] == votes[11].id and first["by"] > 2 * found["weightiest"][1]["by"]
    moved = found["features"][NAMES.index(first["feature"])]
    without = style.style([*votes[:11], *votes[12:]])
    length = found["features"][0]
    assert moved["turned"] is None and length["weight"] < without["features"][0]["weight"]
    turned = style.style(votes, turned=votes[11].id)["features"][0]
    assert turned["weight"] == length["weight"] and turned["turned"] > turned["weight"]
    agreed = style.style([*votes[:11], said(11, LONG, SHORT, -2, left=1), *votes[12:]])["features"][0]
    assert turned["turned"] == pytest.approx(agreed["weight"], abs=1e-6)


def test_few_votes_have_no_model_and_known_answers_no_say() -> None:
    few = style.style([said(item, LONG, SHORT, -1) for item in range(7)])
    assert not few["enough"] and few["features"][0]["weight"] is None and few["features"][0]["wins"]["n"] == 7
    none = style.style([said(0, LONG, SHORT, -1, why="gold")])
    assert (none["pairs"], none["votes"], none["longer"]["mean"], none["people"]) == (0, 0, None, [])
    assert style.style([]) == none


def test_pairs_of_a_ranking_count_as_what_they_say() -> None:
    """Three answers have three pairs, and two of them say the third: 2 in all."""
    prompt = Prompt.user("Which?")
    asked = Ranking(prompt, tuple(Completion(prompt, text) for text in ("a b c", "a b", "a")), (1, 1, 1))
    given = {"ranks": [1, 2, 2], "order": [2, 0, 1], "ms": 1}
    pairs = pairs_of([Said(new_id(), 0, "item", "p", given, "random", False, asked, "train", None)])
    assert pairs.wins.tolist() == [1, 1, 0.5] and pairs.counts.sum() == pytest.approx(2)
    assert pairs.differences[:, NAMES.index("left")].tolist() == [0.5, -0.5, -0.5]
