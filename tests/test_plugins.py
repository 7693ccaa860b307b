"""What installed packages bring along by entry points: found by name, listed, never imported unasked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from alignlab import names, plugins
from alignlab.errors import ConfigError, DataError, UserError
from alignlab.feedback.safety.planted import PlantedJudge
from alignlab.names import known
from alignlab.records import Completion, Prompt
from alignlab.redteam.attacks import catalogue
from alignlab.redteam.attempt import Budget, goals_of
from alignlab.redteam.session import Session

MODULE = """
from alignlab.records import Demonstration, Prompt

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

def lines(path):
    for number, line in enumerate(path.read_text().splitlines()):
        yield {"prompt": line, "answer": str(number)}

def told(path):
    return [Demonstration(Prompt.user("Who?"), path.read_text(), {"by": "Nell"})]

def words(path):
    return path.read_text().split()

def one(path):
    return 7

def torn(path):
    yield {"prompt": "Where?"}
    raise KeyError("b")

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
[alignlab.readers]
lines = {module}:lines
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
    lengths = names.judges.judge("lengths").load()
    assert [score.value for score in lengths.score(answers("a", "abc"))] == [1.0, 3.0]
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


def test_a_reader_of_ones_own_gives_rows_or_records_and_is_blamed(package: str, tmp_path: Path) -> None:
    (tmp_path / "posts").write_text("Where?\nWhen?\n")
    name = f"lines:{tmp_path}/posts"
    known.data(name)
    assert package not in sys.modules
    found = names.data.read(name, "prompt")
    assert [prompt.text for prompt in found.records] == ["Where?", "When?"]
    assert [prompt.meta["columns"] for prompt in found.records] == [{"answer": "0"}, {"answer": "1"}]
    assert "2 rows" in found.report and names.data.kind(name) == "demonstration"
    renamed = names.data.read(f"columns:prompt=answer:{name}", "prompt", count=1).records
    assert [prompt.text for prompt in renamed] == ["0"]
    mixed = names.data.read(f"mix:1={name}+1={package}:told:{tmp_path}/posts", "prompt").records
    assert len(mixed) == 2 and "Who?" in [prompt.text for prompt in mixed]

    told = f"{package}:told:{tmp_path}/posts"
    [shown] = names.data.read(told, "demonstration").records
    assert (shown.completion, shown.meta) == ("Where?\nWhen?\n", {"by": "Nell"})
    for function, wrong in (
        ("words", "'Where\\?' is str, and no row"),
        ("one", "gave int, and no rows"),
        ("torn", "torn failed: KeyError"),
    ):
        with pytest.raises(DataError, match=wrong):
            names.data.read(f"{package}:{function}:{tmp_path}/posts", "prompt")
    with pytest.raises(DataError, match="no such file or folder for lines"):
        known.data(f"lines:{tmp_path}/pots")
    with pytest.raises(UserError, match="no module 'no_such' for the reader"):
        known.data(f"no_such:lines:{tmp_path}/posts")


def test_a_reader_is_named_by_the_user_and_by_no_file(package: str, tmp_path: Path) -> None:
    (tmp_path / "posts").write_text("Where?\n")
    mixture = tmp_path / "mix.toml"
    for named in (f"lines:{tmp_path}/posts", f"columns:prompt=answer:{package}:lines:{tmp_path}/posts"):
        mixture.write_text(f'[[source]]\ndata = "{named}"\nweight = 1\n')
        for ask in (known.data, lambda name: names.data.read(name, "prompt")):
            with pytest.raises(ConfigError, match="source 1 names a reader"):
                ask(f"mix:{mixture}")
    assert package not in sys.modules
    (tmp_path / "lines:posts.jsonl").write_text('{"prompt": "Who?"}\n')
    [prompt] = names.data.read(f"{tmp_path}/lines:posts.jsonl", "prompt").records
    assert prompt.text == "Who?"  # a file that is called so comes first


class Parrot:
    """A target that says what it hears."""

    def sample(self, prompts, *args, **options):
        return [[Completion(prompt, prompt.text, finished=True)] for prompt in prompts]
