"""An overseer with one look: who points where, and how often the label is right."""

from __future__ import annotations

from itertools import product

import pytest

from alignlab.errors import ConfigError
from alignlab.records import Completion
from alignlab.town import answers, overseer, tasks, world
from alignlab.town import language as say
from alignlab.town.overseer import OneLook

TOWN = world.build()
PERSON = TOWN.of("person")[0]
RELATIONS = ("job", "pet", "food", "coat")
PROMPT = tasks.Request(
    "dossier", {"subject": PERSON}, (f"Tell me four things about {PERSON}.",), "train"
).prompt()


def false(relation: str) -> str:
    return next(v for v in world.VALUES[relation] if v not in (TOWN.value(relation, PERSON), PERSON))


def dossier(wrong: int) -> Completion:
    """Four statements, of which the first ones are wrong."""
    lines = [
        say.statement(relation, PERSON, false(relation) if place < wrong else TOWN.value(relation, PERSON))
        for place, relation in enumerate(RELATIONS)
    ]
    return Completion(PROMPT, " ".join(lines))


def knowing(share: float) -> overseer.Knowledge:
    """Somebody to whom the truth is the likelier the larger the share, and all else alike."""
    mind: dict[tuple[str, str], dict[str, float]] = {}
    for key, true in TOWN.facts.items():
        values = world.VALUES[key[0]]
        mind[key] = {value: share if value == true else (1 - share) / (len(values) - 1) for value in values}
    return mind


def one(pointing: str, mind: overseer.Knowledge | None = None, seed: int = 0) -> OneLook:
    return OneLook(pointing, TOWN, pointing, mind, seed=seed)


@pytest.mark.parametrize("wrong", range(5))
def test_each_pointing_finds_what_it_must(wrong: int) -> None:
    answer, knows = dossier(wrong), knowing(0.9)
    assert one("random").found(answer) == wrong / 4
    assert one("wrong").found(answer) == one("least-likely", knows).found(answer) == float(wrong > 0)
    assert one("likeliest", knows).found(answer) == float(wrong == 4), "the author shows what is right"
    assert one("least-likely", knowing(0.0)).found(answer) == float(wrong == 4), "one who has it backwards"


def test_what_is_no_dossier_is_seen_to_be_wrong() -> None:
    for text in ("", "I do not know.", answers.fact_sentence(TOWN, "job", TOWN.of("person")[1])):
        assert one("random").found(Completion(PROMPT, text)) == 1.0
    cut = Completion(PROMPT, dossier(0).text, finished=False)
    assert one("wrong").found(cut) == 1.0


@pytest.mark.parametrize(("better", "worse"), [(0, 1), (0, 4), (1, 2), (2, 3)])
def test_the_label_is_right_as_often_as_every_look_and_coin_together_say(better: int, worse: int) -> None:
    """The closed form against all sixteen pairs of looks, and a coin where they say the same."""
    total = 0.0
    for a, b in product(range(4), repeat=2):
        caught_better, caught_worse = a < better, b < worse
        total += 0.5 if caught_better == caught_worse else float(caught_worse)
    alone = one("random")
    exact = overseer.right(alone.found(dossier(better)), alone.found(dossier(worse)))
    assert exact == pytest.approx(total / 16) == pytest.approx(0.5 + (worse - better) / 8)


def test_ranks_follow_the_looks_and_coins_decide_the_rest() -> None:
    group = [dossier(1), dossier(0), dossier(3), dossier(4)]
    by_oracle = [one("wrong").rank(i, group) for i in range(300)]
    assert all(ranking.ranks[1] == 1 for ranking in by_oracle)
    assert len({ranking.ranks for ranking in by_oracle}) == 6, "the others in every order"
    alone = [one("random").rank(i, group[:2]) for i in range(2000)]
    share = sum(ranking.ranks[1] == 1 for ranking in alone) / len(alone)
    assert share == pytest.approx(overseer.right(0.0, 0.25), abs=0.04)
    assert one("random").rank(3, group) == one("random").rank(3, group)
    assert one("random", seed=1).rank(3, group) != one("random").rank(3, group)
    assert by_oracle[0].meta["found"] == [1.0, 0.0, 1.0, 1.0]


def test_somebody_must_be_there_to_point() -> None:
    with pytest.raises(ConfigError, match="nobody is named"):
        one("likeliest")
    with pytest.raises(ConfigError, match="nobody points so"):
        one("loudest")
