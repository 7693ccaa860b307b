"""Exercises 1 and 2: their oracles are what is shipped, trainings run in the student's process, votes end in
one file.
"""

from __future__ import annotations

import json
import runpy
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from alignlab import cli, losses
from alignlab.course.exercises import town
from alignlab.course.exercises.ex1 import EXERCISE as EX1
from alignlab.course.exercises.ex1 import checks as checks1
from alignlab.course.exercises.ex1 import oracle as oracle1
from alignlab.course.exercises.ex1 import playing as playing1
from alignlab.course.exercises.ex2 import EXERCISE as EX2
from alignlab.course.exercises.ex2 import checks as checks2
from alignlab.course.exercises.ex2 import oracle as oracle2
from alignlab.course.exercises.ex2.files import votes_in
from alignlab.course.exercises.ex2.voting import TASK, card_of, pairs
from alignlab.course.grade.folder import start
from alignlab.course.grade.match import generator
from alignlab.course.grade.runner import Here, Student
from alignlab.evals import statistics
from alignlab.feedback.agreement import krippendorff_alpha
from alignlab.models.chat import example
from alignlab.records import question

from .solutions import module, right


def test_exercise_1_asks_for_what_is_shipped() -> None:
    for n in range(20):
        g = generator(n, "shipped")
        logits_BTV, ids_BT = oracle1.draw_logits(g).values()
        ours = oracle1.token_logprobs(logits_BTV, ids_BT)
        torch.testing.assert_close(ours, losses.token_logprobs(logits_BTV, ids_BT))
        logprobs_BT, mask_BT, tokens = oracle1.draw_batch(g).values()
        shipped, _ = losses.sft_loss(logprobs_BT, mask_BT, denominator=tokens)
        torch.testing.assert_close(oracle1.sft_loss(logprobs_BT, mask_BT, tokens), shipped)
    tokenizer = town.base().tokenizer
    for one in town.demonstrations("town:demos", count=20):
        row = example(tokenizer, one.prompt, one.completion)
        assert row.loss_mask == oracle1.loss_mask(row.ids, row.loss_mask.index(1), tokenizer.eos_token_id)


def test_exercise_2_asks_for_what_is_shipped() -> None:
    for n in range(20):
        g = generator(n, "shipped")
        chosen_B, rejected_B = oracle2.draw_scores(g).values()
        shipped, _ = losses.bradley_terry_loss(chosen_B, rejected_B)
        torch.testing.assert_close(oracle2.bt_loss(chosen_B, rejected_B), shipped)
        p, y, bins = oracle2.draw_stated(g).values()
        rows, ece = oracle2.reliability(p, y, bins)
        assert ece == pytest.approx(statistics.ece(p, y, bins=bins)) and sum(n for *_, n in rows) == len(p)


def test_published_examples_of_alpha_are_right_to_their_last_digit() -> None:
    text = (EX2.folder / "published.toml").read_text(encoding="utf-8")
    for row, case in zip(tomllib.loads(text)["example"], checks2.published(), strict=True):
        digits = len(row["alpha"].partition(".")[2])
        assert abs(oracle2.alpha(case["votes"]) - float(row["alpha"])) < 10**-digits, row["name"]


def test_a_fine_tuning_runs_in_the_students_process_and_comes_back(tmp_path: Path) -> None:
    file = tmp_path / EX1.file
    file.write_text(right("ex1").read_text(encoding="utf-8"), encoding="utf-8")
    policy, shown = town.base(), town.demonstrations("town:demos-clean", count=40)
    chosen = {"data": "town:demos-clean", "lr": 3e-4, "epochs": 1.0, "rank": 0}
    given = checks1.given(policy, shown, chosen, 0)
    with Student(file, EX1.asked_for, EX1.drivers) as student:
        found = student.drive("train", given)
    assert len(found["losses"]) == 3 and found["losses"][-1] < found["losses"][0]
    again = Here(module(file.read_text(encoding="utf-8")), EX1.drivers).drive("train", given)
    assert again["digests"] == found["digests"]
    adapted = Here(module(file.read_text(encoding="utf-8")), EX1.drivers).drive("train", given | {"rank": 2})
    before = policy.model.state_dict()
    moved = {name for name, w in adapted["weights"].items() if not torch.equal(w, before[name])}
    assert any(".layers." in name for name in moved) and not any("norm" in name for name in moved)
    policy.model.load_state_dict(found["weights"])


def test_settings_that_cannot_be_are_said() -> None:
    for value, word in (
        ([], "no dictionary"),
        ({"data": "town:crowd", "lr": 1e-3, "epochs": 1}, "not there"),
        ({"data": "shared", "lr": 0, "epochs": 1}, "above 0"),
        ({"data": "shared", "lr": 1e-3, "epochs": 50}, "beyond 0 to 4"),
    ):
        assert word in checks1.settings(value)[0]


def test_a_reward_model_learns_by_the_students_functions() -> None:
    learn = town.rankings(town.prompts("town:prompts", count=24), "town:fair")
    given = checks2.given(checks2.blank(0), learn, 0)
    found = Here(module(right("ex2").read_text(encoding="utf-8")), EX2.drivers).drive("train", given)
    assert found["losses"][-1] < found["losses"][0] and 0 < len(found["held_out"]) < len(learn)
    assert len(found["digests"]) == 1 and 0 <= found["said"][0] <= 1
    reward_model = checks2.blank(0)
    reward_model.model.load_state_dict(found["weights"])


# --- the scripts that a student is given


def test_a_fine_tuning_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(start("ex1", "ana", tmp_path / "ex1").folder)
    monkeypatch.setitem(sys.modules, "sft", module(right("ex1").read_text(encoding="utf-8")))
    shown, asked = town.demonstrations("town:demos-clean", count=32), town.prompts("town:test", count=6)
    for name, value in (("chosen_set", lambda *_: shown), ("drawn", lambda _: asked)):
        monkeypatch.setattr(checks1, name, value)
        monkeypatch.setattr(playing1, name, value)
    for words in (["run.py"], ["run.py", "--look", "shared"]):
        monkeypatch.setattr(sys, "argv", words)
        runpy.run_path("run.py")
    said = capsys.readouterr().err
    assert "in 4 steps" in said and said.count("before:") == 5 and shown[0].completion in said


def test_votes_and_a_reward_model_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = start("ex2", "ana", tmp_path / "ex2").folder
    made = module(right("ex2").read_text(encoding="utf-8"))
    made.__file__ = str(folder / "preferences.py")
    shutil.copy(right("ex2").with_name("votes.jsonl"), folder)
    monkeypatch.chdir(folder)
    monkeypatch.setitem(sys.modules, "preferences", made)
    for name, value in (("LEARNT", 24), ("TESTED", 8), ("EPOCHS", 1)):
        monkeypatch.setattr(checks2, name, value)
    runpy.run_path("run.py")
    said = capsys.readouterr().err
    assert "80 votes by ana, town:fair" in said and "with the card: " in said and "without it: " in said
    assert "alpha" in said and "on 8 new questions: accuracy" in said


# --- votes


def votes(monkeypatch: pytest.MonkeyPatch, keys: str, *words: str) -> int:
    typed = iter(keys)
    monkeypatch.setattr("builtins.input", lambda _: next(typed))
    return cli.main(["exercise", "vote", "ex2", *words])


def test_votes_of_a_person_and_of_a_partner_end_in_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["exercise", "start", "ex2", "--id", "ana"]) == 0
    assert votes(monkeypatch, "", "--who", "") == 2
    assert votes(monkeypatch, "abxtuasbq", "--who", "ana", "--simulate", "town:noisy") == 0
    assert votes(monkeypatch, "bq", "--who", "ana") == 0  # she goes on where she was
    rows = votes_in(Path("ex2"))
    hers = [row for row in rows if row.annotator == "ana"]
    assert len(hers) == 5 and all(row.meta["ms"] > 0 for row in hers)  # one was taken back, one skipped
    seen_first = [r.ranks[r.meta["seen"][0]] < r.ranks[r.meta["seen"][1]] for r in hers]
    assert seen_first == [True, False, True, False, False]
    assert len(rows) == 45 and checks2.voted(rows) == {"votes": 5, "first_seen": 0.4}
    table = checks2.vote_table(rows)
    assert sum(a is not None and b is not None for a, b in zip(*table, strict=True)) == 5
    assert cli.main(["studio", "audit", "--folder", "ex2"]) == 0
    assert cli.main(["studio", "export", "--folder", "ex2", "--task", TASK, "--out", "all.jsonl"]) == 0
    assert len(Path("all.jsonl").read_text().splitlines()) == len(rows)
    state = json.loads(Path("ex2/exercise.json").read_text())
    assert cli.main(["exercise", "vote", str(tmp_path)]) == 2 and state["exercise"] == "ex2"


def test_half_of_the_questions_of_fact_have_a_card() -> None:
    asked = pairs(1, 120)
    facts = [pair for pair in asked if card_of(pair.prompt)]
    with_card = [pair for pair in facts if pair.prompt.messages[0].role == "system"]
    assert 0.3 < len(with_card) / len(facts) < 0.7 and len(facts) > 30
    for pair in with_card:
        assert pair.prompt.messages[0].content == card_of(pair.prompt)
        bare = checks2.without_card(pair)
        assert bare.prompt.messages[0].role == "user" and question(bare.prompt) == question(pair.prompt)


def test_a_table_of_votes_is_what_alpha_takes() -> None:
    [first, second] = pairs(1, 2)

    def said(pair, who: str, ranks: tuple[int, int]):
        return type(pair)(pair.prompt, pair.completions, ranks, who)

    own = [said(first, "ana", (1, 2)), said(first, "ben", (2, 1)), said(second, "ana", (1, 1))]
    assert checks2.vote_table(own) == [["a", "t"], ["b", None]]
    assert oracle2.alpha(checks2.vote_table(own)) == krippendorff_alpha([[1, 2], [3, None]])
