"""What installed packages bring along by entry points: found by name, listed, never imported unasked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from alignlab import names, plugins
from alignlab.errors import DataError, UserError
from alignlab.feedback.safety.planted import PlantedJudge
from alignlab.names import known
from alignlab.records import Completion, Prompt
from alignlab.redteam.attacks import catalogue
from alignlab.redteam.session import Budget, Session, goals_of

MODULE = """
def polite(completion):
    return float("please" in completion)

def label(completion):
    return "refusal" if "no" in completion else "compliance"

def shouted(request, number, rng):
    'Capitals.'
    return request.upper() + "!" * number

def silent(request):
    return ""

def turns(messages):
    return [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hi."}, *messages]

class Lengths:
    def score(self, completions):
        return [len(completion.text) for completion in completions]

class TooFew:
    def score(self, completions):
        return [1.0]

class NoVerbs:
    pass
"""
ENTRIES = """
[alignlab.judges]
polite = {module}:polite
lengths = {module}:Lengths
gone = no_such_module_anywhere:x
[alignlab.attacks]
shout = {module}:shouted
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installed package with judges, as pip would leave it; the name of its module."""
    module = f"brought_{abs(hash(tmp_path))}"
    (tmp_path / f"{module}.py").write_text(MODULE)
    info = tmp_path / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES.format(module=module))
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    return module


def answers(*texts: str) -> list[Completion]:
    return [Completion(Prompt.user("How many?"), text) for text in texts]


def test_an_installed_judge_is_named_and_listed_and_imported_only_when_asked(package: str) -> None:
    assert plugins.installed("judge") == ("gone", "lengths", "polite")
    assert plugins.installed("task") == ()
    known.judge("polite")
    assert package not in sys.modules
    assert [score.value for score in names.judges.judge("polite").load().score(answers("please", "now"))] == [
        1.0,
        0.0,
    ]
    with pytest.raises(UserError, match="there is no judge") as error:
        known.judge("poltie")
    assert "polite" in error.value.remedy
    with pytest.raises(UserError, match="no module 'no_such_module_anywhere' for the judge 'gone'"):
        known.judge("gone")


def test_a_class_judges_many_at_once(package: str) -> None:
    assert [score.value for score in names.judges.judge("lengths").load().score(answers("a", "abc"))] == [
        1.0,
        3.0,
    ]
    with pytest.raises(DataError, match="TooFew gave 1 score for 2"):
        names.judges.judge(f"{package}:TooFew").load().score(answers("a", "b"))
    with pytest.raises(UserError, match="no method score"):
        names.judges.judge(f"{package}:NoVerbs").load()


def test_the_code_behind_a_name_has_a_digest(package: str) -> None:
    digests = plugins.digests("polite,town:gold", "runs/x", f"{package}:label", "no_such:thing")
    assert set(digests) == {"polite", f"{package}:label"} and len(set(digests.values())) == 1


def test_our_own_errors_pass_and_others_are_blamed() -> None:
    with pytest.raises(DataError, match="mine:x failed: ZeroDivisionError.*test_plugins.py"):
        with plugins.blamed("mine:x"):
            1 / 0  # noqa: B018
    with pytest.raises(UserError, match="^ours"):
        with plugins.blamed("mine:x"):
            raise UserError("ours")


def test_an_attack_of_ones_own_is_chosen_listed_and_run(package: str) -> None:
    assert "shout" in catalogue.listed()
    [shout, turns] = catalogue.attacks(f"shout,{package}:turns")
    assert catalogue.source(shout) == "Capitals."
    session = Session(Parrot(), PlantedJudge("canary", "BREAD"))
    goals = goals_of([Prompt.user("How is bread made?")])
    tried = shout.run(goals, session, Budget(tries=3), seed=0)
    assert [attempt.prompt.text for attempt in tried] == ["HOW IS BREAD MADE?"] and tried[0].hit
    [attempt] = turns.run(goals, session, Budget(), seed=0)
    assert [message.content for message in attempt.prompt.messages] == ["Hello.", "Hi.", "How is bread made?"]
    with pytest.raises(DataError, match="silent gave an empty prompt|silent gave ''"):
        catalogue.attacks(f"{package}:silent")[0].run(goals, session, Budget(), seed=0)
    with pytest.raises(UserError, match="NoVerbs is no attack: it has no name, family, needs, run"):
        catalogue.attacks(f"{package}:NoVerbs")


class Parrot:
    """A target that says what it hears."""

    def sample(self, prompts, *args, **options):
        return [[Completion(prompt, prompt.text, finished=True)] for prompt in prompts]
