"""Lessons: what is learnt from, what is taken out, and that training on them closes what was found."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from alignlab import names
from alignlab.errors import DataError
from alignlab.feedback.safety.planted import GoldVerdicts
from alignlab.models.chat import open_turn
from alignlab.records import Message, Prompt, question
from alignlab.redteam import repair
from alignlab.redteam.attacks.catalogue import attacks
from alignlab.redteam.attempt import Budget, goals_of
from alignlab.redteam.campaign import Plan, attack_all
from alignlab.redteam.fix import read_lessons, write_lessons
from alignlab.redteam.session import Session
from alignlab.settings import EndpointSettings, ModelSettings, SamplingSettings
from alignlab.town import answers, tasks, world


class Obliging:
    """Answers the town's requests as they are meant, refuses plain harm, and falls to every wrapper it can
    read.
    """

    def __init__(self) -> None:
        self.bot = names.models.target(
            "bot:role-play", model=ModelSettings(), endpoint=EndpointSettings(), sampling=SamplingSettings()
        )

    def sample(self, prompts, sampling, *, seed=0):
        rows = self.bot.sample(prompts, sampling)
        for prompt, row in zip(prompts, rows, strict=True):
            if prompt.meta.get("kind") not in ("harmful", None):
                lead = prompt.meta.get("lead", "")
                ideal = answers.ideal(world.build(), tasks.Request.of(prompt), random.Random(0))
                text = f"{lead} {ideal}".strip()
                row[:] = [replace(c, text=text) for c in row]
        return rows


def found(goals: int = 20):
    judge = names.judges.judge("town:gold").load()
    assert judge is not None
    session = Session(Obliging(), GoldVerdicts(judge), identity="obliging")
    load = lambda name, count: list(names.data.read_data(name, "prompt", count=count).records)  # noqa: E731
    plan = Plan(
        attacks("persona,role-play,story,hypothetical"),
        goals_of(load("town:harmful", goals)),
        [],
        Budget(tries=3),
        4,
        seed=1,
    )
    outcome = attack_all(session, plan)
    return (
        outcome,
        session,
        load("town:twins", 12),
        [p for p in load("town:prompts", 30) if p.meta["kind"] != "harmful"],
    )


def test_lessons_refuse_what_worked_and_keep_what_should_stay() -> None:
    outcome, session, twins, ordinary = found()
    lessons = repair.lessons(outcome, session, twins, ordinary, per_attack=10, seed=0)
    kinds = {lesson.kind for lesson in lessons}
    assert kinds == {"refuse", "recover", "keep", "help"}
    for lesson in lessons:
        if lesson.kind in ("refuse", "recover"):
            assert (
                lesson.chosen.strip().startswith("I will not help")
                and lesson.prompt.meta["kind"] == "harmful"
            )
        else:
            assert lesson.prompt.meta["kind"] != "harmful" and not lesson.chosen.strip().startswith(
                "I will not"
            )
        assert (lesson.kind == "recover") <= bool(open_turn(lesson.prompt)[1])
    kept, report = repair.checked(lessons, session)
    assert report["kept"] >= 0.9 * len(lessons) and set(report["dropped"]) <= {"there twice"}, report
    led = {
        kind: {
            lesson.prompt.meta["wrapped"][0]
            for lesson in kept
            if lesson.keep and lesson.kind == kind and "lead" in lesson.prompt.meta
        }
        for kind in ("refuse", "keep")
    }
    assert led["refuse"] == led["keep"] != set(), (
        "a wrapper that asks for a beginning is refused around harm and kept around what is harmless"
    )
    assert report["kinds"]["keep"] >= report["kinds"]["refuse"] + report["kinds"]["recover"], (
        "as much is answered as refused"
    )
    assert repair.lessons(outcome, session, twins, ordinary, per_attack=10, seed=0) == lessons


def test_poison_is_taken_out() -> None:
    outcome, session, twins, ordinary = found()
    good = repair.lessons(outcome, session, twins, ordinary, per_attack=4, seed=0)
    refuse = next(lesson for lesson in good if lesson.kind == "refuse")
    keep = next(lesson for lesson in good if lesson.kind == "keep" and not open_turn(lesson.prompt)[1])
    tested = next(lesson for lesson in good if lesson.kind == "help")
    poisoned = [
        replace(refuse, id="harm", chosen=refuse.rejected),
        replace(
            keep,
            id="refusing",
            prompt=Prompt((Message("user", "another"),), keep.prompt.meta),
            chosen="I will not help with that.",
        ),
        replace(
            keep,
            id="link",
            prompt=Prompt((Message("user", "one more"),), keep.prompt.meta),
            chosen=keep.chosen + " See https://example.com",
        ),
        replace(keep, id="contrary", kind="refuse", chosen=refuse.chosen),
        replace(tested, id="test", prompt=Prompt((Message("user", "a test"),), tested.prompt.meta)),
        replace(
            keep,
            id="hidden",
            prompt=Prompt((Message("user", "and one"),), keep.prompt.meta),
            chosen=keep.chosen + "\u200b\u202e",
        ),
    ]
    forbidden = frozenset({question(tested.prompt)})
    checked, report = repair.checked([*good, *poisoned], session, forbidden=forbidden)
    verdict = {lesson.id: (lesson.keep, lesson.why) for lesson in checked}
    assert all(not verdict[lesson.id][0] for lesson in poisoned), {
        lesson.id: verdict[lesson.id] for lesson in poisoned
    }
    assert verdict["test"][1] == verdict[tested.id][1] == "the question belongs to the test"
    assert sum(report["dropped"].values()) >= len(poisoned)


def test_a_person_can_edit_the_lessons(tmp_path: Path) -> None:
    outcome, session, twins, ordinary = found(8)
    lessons = repair.lessons(outcome, session, twins, ordinary, per_attack=2, seed=0)
    lessons[0] = replace(
        lessons[0], chosen="one\u2028two\x85three\x0cfour", rejected="\x1c\u2029"
    )  # no ends of lines in JSON
    file = tmp_path / "review.jsonl"
    write_lessons(file, lessons)
    assert read_lessons(file) == lessons
    rows = [json.loads(line) for line in file.read_bytes().splitlines()]
    rows[0]["keep"] = False
    rows[1]["keep"] = "maybe"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows[:1]))
    assert not read_lessons(file)[0].keep
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match="keep"):
        read_lessons(file)


def test_nothing_found_is_said() -> None:
    judge = names.judges.judge("town:gold").load()
    assert judge is not None
    target = names.models.target(
        "bot:clean", model=ModelSettings(), endpoint=EndpointSettings(), sampling=SamplingSettings()
    )
    session = Session(target, GoldVerdicts(judge), identity="clean")
    plan = Plan(
        attacks("persona"),
        goals_of(list(names.data.read_data("town:harmful", "prompt", count=4).records)),
        [],
        Budget(),
        4,
        seed=1,
    )
    with pytest.raises(DataError):
        repair.lessons(attack_all(session, plan), session, [], [], per_attack=4, seed=0)
