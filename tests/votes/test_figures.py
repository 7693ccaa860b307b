"""Agreement of a task's votes, what decides beside what is said, and the mirror."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from alignlab.evals.statistics import bootstrap, bootstrap_sums
from alignlab.feedback.agreement import (
    ac1_of,
    ac1_parts,
    alpha_of,
    cohen_kappa,
    coincidences,
    krippendorff_alpha,
)
from alignlab.records import Completion, Prompt, Ranking
from alignlab.votes import assignment, figures, items, people, tasks, voting
from alignlab.votes.figures import Said
from alignlab.votes.store import Store

from .asking import Class, new_id, ranking


def said(item: int, by: str, strength: int, *, why: str = "random", order: Sequence[int] = (0, 1)) -> Said:
    given = {"strength": strength, "order": list(order), "ms": 1500}
    of = ranking(item)
    return Said(new_id(), 0, f"item-{item}", by, given, why, False, of, "train", None)


def votes(rows: Sequence[Sequence[int | None]]) -> list[Said]:
    """A row of strengths for each person."""
    return [
        said(item, f"person-{person}", strength)
        for person, row in enumerate(rows)
        for item, strength in enumerate(row)
        if strength is not None
    ]


ROWS = [[-3, 2, 0, 1, None, -1, 2, -2], [-1, 3, 1, 1, 2, None, 2, 1], [-2, None, 0, -1, 2, 2, 3, -2]]


def test_figures_are_those_of_the_ratings() -> None:
    found = figures.agreement(votes(ROWS))
    signs = [[None if s is None else (s > 0) - (s < 0) for s in row] for row in ROWS]
    assert found["alpha"]["mean"] == pytest.approx(krippendorff_alpha(signs))
    assert found["alpha_ordinal"]["mean"] == pytest.approx(krippendorff_alpha(ROWS, level="ordinal"))
    counts = np.array([[column.count(s) for s in (-1, 0, 1)] for column in zip(*signs, strict=True)])
    assert found["ac1"]["mean"] == pytest.approx(float(ac1_of(ac1_parts(counts).sum(0))))
    each, shared = [], []
    for a, b in ((0, 1), (0, 2), (1, 2)):
        both = [(x, y) for x, y in zip(ROWS[a], ROWS[b], strict=True) if x is not None and y is not None]
        first, second = zip(*both, strict=True)
        each.append(kappa_on_seven(first, second))
        shared.append(len(both))
    assert found["kappa"]["mean"] == pytest.approx(np.average(each, weights=shared))
    assert (found["items"], found["votes"], found["people"]) == (8, 21, 3)
    assert sum(found["shares"].values()) == pytest.approx(1)


def kappa_on_seven(a: Sequence[int], b: Sequence[int]) -> float:
    return cohen_kappa(a, b, weights="quadratic")  # the span of the weights is the same for all, and cancels


def test_only_what_was_asked_by_chance_counts() -> None:
    chosen = [said(9, by, strength, why="disputed") for by, strength in (("a", 3), ("b", -3))]
    assert figures.agreement(votes(ROWS) + chosen) == figures.agreement(votes(ROWS))


def test_the_interval_is_over_items() -> None:
    pool = votes(ROWS)
    alpha = figures.agreement(pool)["alpha"]
    by_item: dict[str, list[int]] = {}
    for each in pool:
        by_item.setdefault(each.item, []).append(int(np.sign(each.given["strength"])))
    counts = np.array([[signs.count(s) for s in (-1, 0, 1)] for signs in by_item.values()])
    parts = coincidences(counts)
    by_rows = bootstrap(lambda i: float(alpha_of(parts[i].sum(0), [-1, 0, 1])), range(8))
    assert alpha["ci"] == pytest.approx(by_rows["ci"])


def test_nothing_to_compare() -> None:
    for some in ([], votes([[1, 2]])):
        found = figures.agreement(some)
        assert all(found[name]["mean"] is None for name in ("alpha", "alpha_ordinal", "kappa", "raw", "ac1"))
    same = figures.agreement(votes([[1, 1], [1, 1]]))
    assert same["alpha"]["mean"] == same["raw"]["mean"] == same["ac1"]["mean"] == 1


@pytest.mark.parametrize("figure", ["alpha", "ac1"])
def test_intervals_cover(figure: str) -> None:
    """400 tasks of 100 items by three people who say the truth with probability .7, else another label."""
    rng = np.random.default_rng(5)
    right, labels, tasks_, things = 0.7, 3, 400, 100
    same = right**2 + (1 - right) ** 2 / 2
    chance = {"alpha": 1 / labels, "ac1": (labels * (1 / 3) * (2 / 3)) / (labels - 1)}[figure]
    true = (same - chance) / (1 - chance)
    covered = 0
    for _ in range(tasks_):
        truth = rng.integers(0, labels, things)[:, None]
        slips = rng.integers(1, labels, (things, 3)) * (rng.random((things, 3)) > right)
        given = (truth + slips) % labels
        counts = (given[:, :, None] == np.arange(labels)).sum(1)
        if figure == "alpha":
            parts = coincidences(counts).reshape(things, -1)
            found = bootstrap_sums(
                lambda s: alpha_of(s.reshape(*s.shape[:-1], labels, labels), [0, 1, 2]), parts, draws=300
            )
        else:
            found = bootstrap_sums(ac1_of, ac1_parts(counts), draws=300)
        covered += found["ci"][0] <= true <= found["ci"][1]
    assert 0.92 <= covered / tasks_ <= 0.98


# --- habits


def test_what_decides_beside_what_is_said() -> None:
    long = Ranking(
        Prompt.user("?"),
        (Completion(Prompt.user("?"), "short"), Completion(Prompt.user("?"), "much longer")),
        (1, 1),
    )

    def about(strength: int, order: tuple[int, int], **more: object) -> Said:
        one = said(0, "ada", strength, order=order)
        return Said(one.id, 0, f"i{random.random()}", "ada", one.given, "random", False, long, "train", None)

    pool = [about(2, (0, 1)), about(1, (1, 0)), about(-1, (0, 1)), about(0, (0, 1)), about(3, (1, 0))]
    found = figures.habits(pool)
    assert found["left"]["mean"] == pytest.approx(3 / 4)  # a tie says nothing
    assert found["length"]["mean"] == pytest.approx((1 + 1 - 1 + 1) / 4)


def gold(number: int) -> Ranking:
    return ranking(1000 + number, ranks=(2, 1))


def test_the_mirror_of_somebody_who_always_says_the_first_of_the_item(tmp_path: Path) -> None:
    room = Class(tmp_path, count=40, gold_share=0.25, repeat_share=0.25)
    room.store.do(items.add_items, room.task, [gold(n) for n in range(20)], gold=True)
    ada = room.join("Ada")
    seen: dict[tuple[str, ...], tuple[str, ...]] = {}
    turned = 0
    while asked := room.ask(ada).items:
        texts, key = asked[0].texts, tuple(sorted(asked[0].texts))
        if key in seen:
            assert texts == seen[key][::-1]  # a repeat shows them the other way round
            turned += 1
        seen[key] = texts
        first = texts[0].startswith("answer a")
        room.vote(ada, asked[0].lease, -2 if first else 2, ms=1000)
    with room.store.reading() as connection:
        found = figures.mirror(figures.votes_of(connection, room.task), ada)
        agreement = figures.agreement(figures.votes_of(connection, room.task))
    assert turned == found["repeats"]["n"] > 3 and found["repeats"]["mean"] == 1
    assert found["gold"]["n"] > 3 and found["gold"]["mean"] == 0
    assert found["n"] == 40 + found["gold"]["n"] + turned == len(found["seconds"])
    assert agreement["votes"] == 40
    room.store.close()


def test_what_people_dispute(tmp_path: Path) -> None:
    room = Class(tmp_path, count=3, overlap=3)
    for name, strength in (("Ada", 1), ("Bob", 1), ("Cyd", -1)):
        person = room.join(name)
        while asked := room.ask(person).items:
            turned = asked[0].texts[0].startswith("answer b")
            wanted = strength if "to 1" in asked[0].texts[0] else 1
            room.vote(person, asked[0].lease, -wanted if turned else wanted)
    with room.store.reading() as connection:
        pool = figures.votes_of(connection, room.task)
        rows = figures.disputed(pool)
        assert figures.matrix(pool)[0]["n"] == 3
    assert [row["pairs"] for row in rows] == [[{"pair": [0, 1], "votes": [1, 0, 2]}]]
    room.store.close()


def test_rankings_count_as_their_pairs(tmp_path: Path) -> None:
    with Store.open(tmp_path / "studio") as store:
        task = store.do(tasks.add_task, tasks.Task(name="k", mode="ranking", overlap=2))
        store.do(items.add_items, task, [ranking(0, 4)])
        for name in ("Ada", "Bob"):
            person = store.do(people.join, name).id
            asked = store.do(assignment.ask, task, person).items[0]
            ranks = [{"a": 1, "b": 2, "c": 2, "d": None}[text[7]] for text in asked.texts]
            store.do(voting.vote_on, person, voting.Ballot(id=new_id(), lease=asked.lease, ranks=ranks))
        with store.reading() as connection:
            pool = figures.votes_of(connection, task)
    assert [each.ranks for each in pool] == [[1, 2, 2, None]] * 2
    assert list(pool[0].pairs()) == [(0, 1, -1), (0, 2, -1), (1, 2, 0)]
    found = figures.agreement(pool)
    assert found["raw"] == {"mean": 1.0, "ci": None, "n": 1}
