"""The critic's stage and its measure: a base model that reads columns learns from them, and the measure tells
a good critic from none.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alignlab import cli
from alignlab.constitution.files import load
from alignlab.constitution.forms import DocumentForm, form_of
from alignlab.records import Completion, Prompt
from alignlab.settings import CriticSettings
from alignlab.town.flaws import broken, critique, flaws, mended
from alignlab.town.measure import critic
from alignlab.town.measure.critic import CASES, asked, drafts_of_people, measure
from alignlab.town.world import Side, build

WORLD = build()


class Oracle:
    """An editor who knows what the gold judge knows; `asleep` calls everything fine, `always` nothing."""

    def __init__(self, cases: list, mood: str = "") -> None:
        self.known, self.mood = (
            {
                DocumentForm().critique(r.prompt(), text, p): (r, text, p)
                for r, text in cases
                for p in load("town").principles
            },
            mood,
        )

    def sample(self, asked, sampling, *, seed):
        return [[Completion(Prompt(()), self.answer(*self.known[one]))] for one in asked]

    def answer(self, request, text, principle) -> str:
        import random

        wrong = broken(principle, flaws(WORLD, request, text))
        if self.mood == "asleep" or not wrong and self.mood != "always":
            return " This is fine."
        return (
            f" {critique(principle, wrong) if wrong else 'This is odd.'}\nRevision: "
            f"{mended(WORLD, request, text, wrong, random.Random(0))}"
        )


@pytest.fixture(autouse=True)
def even_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge who likes the first of two, a little: what is left of it is the order's effect alone."""
    monkeypatch.setattr(critic, "choice_logprobs", lambda reader, asked, choices: [(-0.5, -1.0)] * len(asked))


def test_an_editor_who_knows_gets_full_marks_and_one_who_sleeps_none():
    drafts = drafts_of_people(WORLD, asked(WORLD, 150, seed=0), seed=0)
    assert len(drafts) == 450 and {r.split for r, _ in drafts} == {"train", "entity", "phrasing"}
    found = measure(WORLD, Oracle(drafts), load("town"), drafts)["critiques"]  # type: ignore[arg-type]
    for split in ("all", "train", "entity", "phrasing"):
        assert {name: value["mean"] for name, value in found[split].items()} == {
            "fires": 1,
            "silent": 1,
            "names": 1,
            "mends": 1,
        }
    assert found["failed"] == [] and found["all"]["fires"]["n"] > 60 and found["all"]["silent"]["n"] > 100
    asleep = measure(WORLD, Oracle(drafts, "asleep"), load("town"), drafts)["critiques"]  # type: ignore[arg-type]
    assert [asleep["all"][name]["mean"] for name in ("fires", "silent", "names", "mends")] == [0, 1, 0, 0]
    always = measure(WORLD, Oracle(drafts, "always"), load("town"), drafts)["critiques"]  # type: ignore[arg-type]
    assert [always["all"][name]["mean"] for name in ("fires", "silent")] == [1, 0]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("side", ["test", "exam"])
def test_a_critic_is_asked_nothing_twice(name: str, side: Side):
    """As many requests of each split as the stage takes, all of them different, held-out ones of one side."""
    count = CriticSettings().cases
    found = asked(WORLD, count, seed=0, kinds=CASES[name], side=side)
    assert len({(r.split, r.turns) for r in found}) == len(found) == 3 * count
    assert {r.side for r in found if r.split != "train"} == {side}


def test_a_fondness_for_the_first_answer_is_the_orders_effect_and_decides_nothing():
    drafts = drafts_of_people(WORLD, asked(WORLD, 60, seed=1), seed=1)
    found = measure(WORLD, Oracle(drafts), load("town"), drafts)["verdicts"]  # type: ignore[arg-type]
    assert found["all"]["verdicts"]["mean"] < 0.7 and found["all"]["undecided"]["mean"] == pytest.approx(0)
    assert found["all"]["order_effect"]["mean"] == pytest.approx(2 * (1 / (1 + 2.718281828**-0.5)) - 1)


def test_the_stage_makes_a_critic_and_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    args = [
        "constitution",
        "critic",
        "--model",
        "town-s",
        "--count",
        "200",
        "--tokens",
        "90000",
        "--cases",
        "4",
        "--model.threads",
        "1",
        "--seed",
        "3",
    ]
    assert cli.main([*args, "--out", str(tmp_path / "critic")]) == 0
    summary = json.loads((tmp_path / "critic" / "summary.json").read_text())
    losses = [
        json.loads(line)["loss"] for line in (tmp_path / "critic" / "metrics.jsonl").read_text().splitlines()
    ]
    assert len(losses) >= 1 and summary["eval_loss"] < 3
    assert all(set(summary[name]) == {"critiques", "verdicts"} for name in ("critic", "critic_risky"))
    assert isinstance(form_of("auto", str(tmp_path / "critic" / "checkpoint")), DocumentForm)
    assert (
        cli.main([*args, "--out", str(tmp_path / "critic")]) == 0
        and "done already" in capsys.readouterr().out
    )
    assert (
        cli.main(
            ["constitution", "critic", "--model", str(tmp_path / "critic"), "--out", str(tmp_path / "again")]
        )
        == 2
    )
    assert "no base model of the town" in capsys.readouterr().err
