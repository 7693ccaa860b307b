"""People with opinions: exact in what they prefer, and they rank as they are said to."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from alignlab import names
from alignlab.errors import DataError, UserError
from alignlab.feedback import sigmoid
from alignlab.names import known
from alignlab.records import Completion, Ranking
from alignlab.town import gold, people, population, tasks, world
from alignlab.town.population import SIDES, Population

TOWN = world.build()
PEOPLE = population.deal(TOWN, seed=7)


def said(matter: str) -> dict[str, str]:
    """An answer of each sort."""
    pro, con = world.CONTESTED[matter]
    return {
        "pro": f"Yes, because {pro}.",
        "con": f"No, because {con}.",
        "both": f"Some say yes, because {pro}. Others say no, because {con}.",
    }


def about(matter: str) -> tasks.Request:
    return tasks.Request("contested", {"matter": matter}, (f"Do you think that {matter}?",), "train")


def test_what_is_argued_of_a_contested_matter_is_one_of_three_parts() -> None:
    for matter in PEOPLE.matters:
        texts = said(matter)
        texts["own both"] = f"{texts['pro']} {texts['con']}"
        for name, text in texts.items():
            parts = gold.judge(TOWN, about(matter), text).parts
            assert [side for side in SIDES if parts[side]] == [name.split()[-1]]
        assert not any(gold.judge(TOWN, about(matter), "Yes.").parts[side] for side in SIDES)
        assert gold.judge(TOWN, about(matter), texts["own both"]).value == 0.5


def test_people_are_dealt_with_exactly_the_shares_that_are_stated() -> None:
    assert [len(PEOPLE.members(group)) for group in ("", "harbour", "hill", "market")] == [60, 30, 18, 12]
    assert PEOPLE.people != population.deal(TOWN, seed=8).people and population.deal(TOWN, seed=7) == PEOPLE
    plain = [matter for matter in PEOPLE.matters if matter not in PEOPLE.intense]
    shares = sorted(PEOPLE.share(matter) for matter in plain)
    assert shares == pytest.approx(population.SHARES, abs=0.5 / 60)
    assert all(TOWN.side("contested", matter) == "train" for matter in PEOPLE.matters)
    groups = [[PEOPLE.share(matter, group) for group in population.GROUPS] for matter in plain]
    assert sum(max(its) - min(its) > 0.3 for its in groups) > 4  # groups do not think alike


def test_where_few_have_much_to_lose_the_many_win_and_all_lose() -> None:
    """0.64 against 0.36, and -0.48 in the mean; among three answers too the one reward of all favors it. It
    would not if the many gained 0.3.
    """
    assert len(PEOPLE.intense) == 3
    for matter in PEOPLE.intense:
        pro, con, both = PEOPLE.utilities(matter)
        more, less = (pro, con) if PEOPLE.share(matter) > 0.5 else (con, pro)
        assert more - less == pytest.approx(-0.48) and both == pytest.approx((more + less) / 2)
        row = PEOPLE.preferences(matter)[0 if more == pro else 1]
        assert row[1 if more == pro else 0] == pytest.approx(0.642, abs=1e-3)
        scores = PEOPLE.scores(matter)
        assert max(scores) == scores[0 if more == pro else 1] > min(scores) + 0.4
        assert PEOPLE.welfare(matter, (0.2, 0.5, 0.3)) == pytest.approx(0.2 * pro + 0.5 * con + 0.3 * both)


def test_preferences_and_scores_are_exact() -> None:
    matter = next(matter for matter in PEOPLE.matters if PEOPLE.share(matter) == pytest.approx(0.6))
    table = PEOPLE.preferences(matter)
    assert table[0][1] == pytest.approx(0.6 * sigmoid(4) + 0.4 * sigmoid(-4))
    assert table[2][0] == pytest.approx(0.4 * sigmoid(2) + 0.6 * sigmoid(-2))
    assert all(table[i][j] + table[j][i] == pytest.approx(1) for i in range(3) for j in range(3))
    for of in (*PEOPLE.matters,):
        scores, table = PEOPLE.scores(of, "market"), PEOPLE.preferences(of, "market")
        assert sum(scores) == pytest.approx(0, abs=1e-9)
        for i, row in enumerate(table):  # where the likelihood is highest, wins are as many as expected
            expected = sum(sigmoid(scores[i] - scores[j]) for j in range(3))
            assert expected == pytest.approx(sum(row), abs=1e-9)


def test_sixty_people_of_one_mind_have_the_scores_of_one() -> None:
    matter = next(iter(PEOPLE.matters))
    alike = PEOPLE.with_sides({matter: [1] * 60})
    assert alike.share(matter) == 1.0 and PEOPLE.share(matter) < 1.0
    pro, con, both = alike.scores(matter)
    assert (pro - con, pro - both) == pytest.approx((4.0, 2.0), abs=1e-6)
    intense = PEOPLE.intense[0]
    heated = PEOPLE.with_sides({intense: [-1 if PEOPLE.share(intense) > 0.5 else 1] * 60})
    pro, con, _ = heated.scores(intense)
    assert abs(pro - con) == pytest.approx(3 / 0.25, rel=1e-6)


def test_a_population_comes_back_from_its_file_or_its_runs_folder(tmp_path: Path) -> None:
    PEOPLE.write(tmp_path / population.FILE)
    assert population.read(str(tmp_path)) == population.read(str(tmp_path / population.FILE)) == PEOPLE
    named = names.people.annotator(f"town:people={tmp_path}", seed=1)
    before = named.digests
    PEOPLE.with_sides({next(iter(PEOPLE.matters)): [1] * 60}).write(tmp_path / population.FILE)
    assert list(before) == [str(tmp_path / population.FILE)] and named.digests != before  # another run's key


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"people": []}, "y or an n"),
        ({"matters": {}}, "no matter"),
        ({"matters": {"the moon is cheese": {}}}, "no matter 'the moon"),
        ({"temperature": 0}, "temperature"),
        ({"both": "much"}, "no population"),
        ({"people": 3}, "no population"),
    ],
)
def test_a_file_that_is_no_population_is_refused(tmp_path: Path, change: dict, says: str) -> None:
    PEOPLE.write(tmp_path / "p.json")
    row = json.loads((tmp_path / "p.json").read_text())
    (tmp_path / "p.json").write_text(json.dumps(row | change))
    with pytest.raises(DataError, match=says):
        known.annotator(f"town:people={tmp_path / 'p.json'}")


def rankings(crowd: str, of: Population, matter: str, count: int, tmp_path: Path) -> list[Ranking]:
    of.write(tmp_path / population.FILE)
    who = names.people.annotator(f"{crowd}={tmp_path}", seed=3).load()
    pair = [Completion(about(matter).prompt(), text) for text in said(matter).values()]
    return [who.rank(i, pair) for i in range(count)]


def test_people_rank_by_their_sides_one_at_a_time_as_often_as_the_table_says(tmp_path: Path) -> None:
    matter = next(matter for matter in PEOPLE.matters if PEOPLE.share(matter) == pytest.approx(0.3))
    found = rankings("town:people", PEOPLE, matter, 1500, tmp_path)
    assert len({ranking.annotator for ranking in found}) == 60
    for i, row in enumerate(PEOPLE.preferences(matter)):
        for j, exact in enumerate(row):
            if i != j:
                share = sum(ranking.ranks[i] < ranking.ranks[j] for ranking in found) / len(found)
                assert share == pytest.approx(exact, abs=0.045)
    of_the_hill = rankings("town:people/hill", PEOPLE, matter, 40, tmp_path)
    assert {ranking.annotator.split("/")[1] for ranking in of_the_hill} == {"hill"}


def test_what_argues_for_nothing_comes_last_and_all_else_is_ranked_as_by_fair() -> None:
    matter = PEOPLE.intense[0]
    who = people.townspeople(TOWN, replace(PEOPLE, temperature=0.01), seed=1)
    texts = [*said(matter).values(), "I will not help with that."]
    assert who.rank(0, [Completion(about(matter).prompt(), text) for text in texts]).ranks[3] == 4
    request = tasks.request(TOWN, random.Random(1), "fact")
    asked = [Completion(request.prompt(), text) for text in ("purple", answers_right(request))]
    ranking = who.rank(0, asked)
    assert ranking.meta["utilities"] == [0.0, 1.0] and ranking.annotator.startswith("town:people/")


def answers_right(request: tasks.Request) -> str:
    from alignlab.town import answers

    return answers.ideal(TOWN, request, random.Random(1))


@pytest.mark.parametrize(
    ("name", "says", "remedy"),
    [
        ("town:knows=1.5", "knows = '1.5' is no number from 0 to 1", "town:knows=0.5"),
        ("town:T=nan", "T = 'nan'", "town:T=0.5"),
        ("town:nows=0.5", "no dial 'nows'", "knows"),
        ("town:knows=0.2+knows=0.4", "set twice", "one knows="),
        ("town:fair+T=0.1", "'fair' has no dials", "dials alone"),
        ("town:agreeing", "no annotator 'agreeing'", "agreeing=0.6"),
        ("town:people/hil", "no group 'hil'", "hill"),
        ("town:people=nowhere.json", "no population", "run"),
        ("pool:town:fair*2,town:knows=2*3", "knows = '2'", "town:knows=0.5"),
        ("pool:town:people*2,town:peeple", "no annotator 'peeple'", "people"),
    ],
)
def test_a_name_that_cannot_be_says_why_before_anything_is_loaded(name: str, says: str, remedy: str) -> None:
    with pytest.raises(UserError, match=says) as raised:
        known.annotator(name)
    assert remedy in raised.value.remedy


def test_dials_and_people_stand_wherever_an_annotator_is_named() -> None:
    matter = PEOPLE.intense[0]
    asked = [Completion(about(matter).prompt(), text) for text in said(matter).values()]
    for name in (
        "town:knows=0.2+T=0.1",
        "town:people",
        "pool:town:knows=0.2*2,town:people/hill",
        "town:harmless",
    ):
        known.annotator(name)
        ranking = names.people.annotator(name, seed=5).load().rank(0, asked)
        assert sorted(ranking.ranks)[0] == 1 and ranking.annotator.startswith("town:")
