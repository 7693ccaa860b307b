"""The grader against solutions that are known: wrong ones get their own hint, right ones get none."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from alignlab import losses
from alignlab.course.exercises import catalogue
from alignlab.course.exercises.ex3 import oracle
from alignlab.course.grade import words
from alignlab.course.grade.exercise import NOTHING
from alignlab.course.grade.match import MOST_CASES, generator, separating

from . import variants
from .solutions import (
    EXERCISES,
    filled,
    findings,
    grade_of,
    honest,
    quick,
    recorded,
    right,
    wrong,
    wrong_grades,
)

each = pytest.mark.parametrize("name", EXERCISES)


@each
def test_every_mistake_has_its_words_and_a_wrong_solution(name: str) -> None:
    exercise = catalogue.exercise(name)
    said, made = words.hints(exercise.folder), wrong(name)
    assert said["property"].keys() == {p.id for p in exercise.properties}
    assert all({"says", "page", "minute"} <= row.keys() for row in said["property"].values())
    assert said["mistake"].keys() == {solution.hint for solution in made}
    of_functions = {mistake for function in exercise.functions for mistake in function.mistakes}
    assert of_functions == {solution.hint for solution in made if not solution.training}


@each
def test_points_add_up(name: str) -> None:
    properties = catalogue.exercise(name).properties
    assert sum(p.points for p in properties if p.kind == "property") == 50
    assert sum(p.points for p in properties if p.kind == "behaviour") == 30


@each
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_few_tiny_inputs_tell_all_mistakes_apart(name: str, seed: int) -> None:
    for function in catalogue.exercise(name).functions:
        assert len(separating(function, seed)) <= MOST_CASES


@each
def test_each_wrong_solution_is_told_its_own_hint_first(name: str) -> None:
    made = wrong(name)
    told = {solution: grade.mistakes()[:1] for solution, grade in wrong_grades(name).items()}
    assert told == {solution.name: [solution.hint] for solution in made}
    for solution in (solution for solution in made if solution.training):
        assert wrong_grades(name)[solution.name].mistakes() == [solution.hint]


@each
def test_every_check_has_teeth(name: str) -> None:
    """Without a check there is a wrong solution that nothing else rejects; of a wrong function no training is
    asked.
    """
    rejected = [findings(grade) for grade in wrong_grades(name).values()]
    assert all(rejected)
    alone = {by[0] for by in rejected if len(by) == 1}
    assert alone == {p.id for p in catalogue.exercise(name).properties}


@each
def test_honest_solutions_are_accepted_without_a_word(name: str) -> None:
    exercise, figures = catalogue.exercise(name), recorded(name)
    for path in honest(name):
        text, trained = path.read_text(encoding="utf-8"), figures[path.stem]
        grade = grade_of(exercise, text, trained=trained)
        assert findings(grade) == [], path.name
        grade = grade_of(exercise, text, report=filled(exercise, grade), trained=trained)
        assert grade.points >= 95, path.name


@pytest.mark.parametrize("name", ["ex3"])  # the others take half a minute each: the campaign has them
def test_a_training_is_what_is_recorded_of_it(name: str) -> None:
    path = honest(name)[-1]
    grade = grade_of(catalogue.exercise(name), path.read_text(encoding="utf-8"))
    assert findings(grade) == []
    for figure, value in recorded(name)[path.stem].items():
        assert grade.trained[figure] == pytest.approx(value, rel=0.1, abs=0.02), figure


@each
def test_right_solutions_written_otherwise_are_accepted(name: str, count: int = 12) -> None:
    exercise = quick(catalogue.exercise(name))
    for n in range(count):
        sources = [right(name), *honest(name)]
        text = variants.variant(sources[n % len(sources)].read_text(encoding="utf-8"), n)
        assert findings(grade_of(exercise, text, student=str(n))) == [], f"variant {n}\n{text}"


@pytest.mark.campaign
@each
def test_two_hundred_right_solutions_written_otherwise_are_accepted(name: str) -> None:
    test_right_solutions_written_otherwise_are_accepted(name, 200)


@pytest.mark.campaign
@each
@pytest.mark.parametrize("student", ["ana", "ben", "cleo", "dan", "eve"])
def test_trainings_of_five_students_are_told_their_hints(name: str, student: str) -> None:
    exercise = catalogue.exercise(name)
    for solution in wrong(name):
        asked = exercise if solution.training else quick(exercise)
        grade = grade_of(asked, solution.text, solution.beside, student=student)
        assert grade.mistakes()[:1] == [solution.hint], solution.name
    for path in [right(name), *honest(name)]:
        assert findings(grade_of(exercise, path.read_text("utf-8"), student=student)) == [], path.name


# --- what one exercise shows of all


RIGHT = right("ex3").read_text(encoding="utf-8")


def changed(*lines: tuple[str, str]) -> str:
    text = RIGHT
    for old, new in lines:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


def test_two_mistakes_in_one_function_are_both_named() -> None:
    text = changed(
        ("-beta * (logp_BT - ref_BT)", "beta * (logp_BT - ref_BT)"),
        ("rewards_BT[torch.arange(len(scores_B)), last_B] += scores_B", "rewards_BT[:, -1] += scores_B"),
    )
    grade = grade_of(quick(catalogue.exercise("ex3")), text)
    assert grade.mistakes() == ["kl-sign", "score-on-a-pad"]


def test_mistakes_in_two_functions_are_both_named() -> None:
    text = changed(
        ("gain_BT = torch.min(", "gain_BT = torch.max("),
        ("((-d_BT).exp() - 1 + d_BT)", "(d_BT.exp() - 1 - d_BT)"),
    )
    assert set(grade_of(quick(catalogue.exercise("ex3")), text).mistakes()) == {
        "min-for-max",
        "k3-turned-round",
    }


def test_an_unknown_mistake_is_shown_small_and_has_the_same_id_for_all() -> None:
    exercise = quick(catalogue.exercise("ex3"))
    squared = changed(("-beta * (logp_BT - ref_BT)", "-beta * (logp_BT - ref_BT) ** 2"))
    otherwise = changed(("-beta * (logp_BT - ref_BT)", "-(logp_BT - ref_BT).square() * beta"))
    halved = changed(("-beta * (logp_BT - ref_BT)", "-beta / 2 * (logp_BT - ref_BT)"))
    found = [
        grade_of(exercise, text, student=student).verdicts[0].finding
        for text, student in ((squared, "ana"), (otherwise, "ben"), (halved, "ana"))
    ]
    ana, ben, other = found
    assert ana and ben and other and not ana.mistakes and ana.nearest
    assert ana.fingerprint == ben.fingerprint != other.fingerprint
    assert "scores_B = [" in ana.example[0] and "," not in ana.example[0]  # one row
    assert words.likely(ana, words.hints(exercise.folder))[1].startswith("the nearest, not yours")


def test_the_oracle_is_what_the_shipped_losses_are() -> None:
    for n in range(20):
        g = generator(n, "shipped")
        case: Any = oracle.draw_rewards(g)
        *inputs, beta = case.values()
        ours = oracle.shaped_rewards(*inputs, beta)
        torch.testing.assert_close(ours, losses.kl_shaped_rewards(*inputs, kl_coef=beta))
        case = oracle.draw_loss(g)
        *inputs, clip, tokens = case.values()
        ours = oracle.policy_loss(*inputs, clip, tokens)
        loss, _ = losses.ppo_policy_loss(*inputs, cliprange=clip, denominator=tokens)
        torch.testing.assert_close(ours, loss)
        case = oracle.draw_kl(g)
        for estimate, kind in zip(oracle.kl(*case.values()), ("k1", "k3"), strict=True):
            shipped = losses.kl_estimate(case["logp_BT"], case["ref_BT"], estimator=kind)
            torch.testing.assert_close(estimate, (shipped * case["mask_BT"]).sum(1))
        case = oracle.draw_advantages(g)
        rewards_BT, mask_BT, group = case.values()
        scores_PG = rewards_BT.sum(1).view(-1, group)
        for kind, but in (
            ("rloo", NOTHING),
            ("dr_grpo", frozenset({"group-mean"})),
            ("grpo", frozenset({"group-mean", "deviation"})),
            ("reinforce", frozenset({"batch-mean"})),
        ):
            shipped = losses.group_advantages(scores_PG, kind=kind).view(-1, 1) * mask_BT
            torch.testing.assert_close(oracle.advantages(rewards_BT, mask_BT, group, but=but), shipped)
