"""The lecture beside a reader's own runs, its quiz on the terminal, its records and slides."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from alignlab import cli
from alignlab.course import build, claims, course, deck, mathml, own, places, plain, quizzes, records
from alignlab.errors import DataError, UserError


@pytest.fixture(scope="module")
def lecture() -> course.Course:
    return course.load(places.lecture_folder())


def test_a_run_of_the_reader_stands_beside_the_recorded_figures(
    lecture: course.Course, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = {name: {"gold": {"mean": 0.25, "ci": None, "n": 9}} for name in ("base", "sft", "ppo")}
    run = {"schema": 1, "recipe": "instructgpt", "seed": 4, "models": scores, "sampled_tokens": 9}
    recorded = lecture.records["demonstrations"].document
    study = {"schema": 1, "study": "demonstrations", "seeds": [20], "figures": recorded["figures"]}
    for name, summary in (("demo", run), ("study", study), ("other", {"schema": 1, "stage": "sft"})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "summary.json").write_text(json.dumps(summary))
    found = own.of_runs(tmp_path)
    assert found["results"].find("figures.*.ppo.gold") == {"4": 0.25}
    assert found["recipes"].find("figures.*.instructgpt.sft.gold") == {"4": 0.25}
    path = "figures.*.rows.people.gold"
    assert found["demonstrations"].find(path) == {"20": lecture.records["demonstrations"].find(path)["20"]}
    site = tmp_path / "site"
    assert cli.main(["lecture", "--runs", str(tmp_path), "--out", str(site), "--no-open", "--page", "2"]) == 0
    said = capsys.readouterr().out
    assert str(site / "2-sft.html") in said and "recorded" in said
    page = (site / "2-sft.html").read_text(encoding="utf-8")
    assert f'<a href="{(tmp_path / "study").resolve().as_uri()}">study</a>' in page
    (site / "2-sft.html").write_text("mine")
    with pytest.raises(UserError, match="did not write"):
        from alignlab.course.build import save

        save({"2-sft.html": ""}, site)


def test_a_page_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--page", "sfd"], ["--minutes", "90"], ["--runs", str(tmp_path / "none")]):
        assert cli.main(["lecture", *words, "--no-open", "--out", str(tmp_path / "site")]) == 2
    assert "2-sft" in capsys.readouterr().err and not (tmp_path / "site").exists()


def test_a_quiz_keeps_answers_and_names_misconceptions(
    lecture: course.Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = {
        "id": "one",
        "question": "What?",
        "options": [{"text": "this", "right": True}, {"text": "that", "misconception": "slip"}],
        "why": "So.",
    }
    order = {"id": "two", "kind": "order", "question": "Order.", "lines": ["a", "b"], "why": "So."}
    monkeypatch.setattr(lecture, "quizzes", {"form-a": [item, order]})
    monkeypatch.setattr(lecture, "misconceptions", {"slip": "A slip is a rule."})
    letters = "".join("ab"[place] for place in sorted((0, 1), key=lambda n: quizzes.shuffled(order)[n][0]))
    monkeypatch.setattr("sys.stdin", io.StringIO(f"z\nb\n{letters}\n"))
    answers = tmp_path / "answers.json"
    told = quizzes.ask(lecture, "a", answers)
    assert (told["right"], told["of"], told["misconceptions"]) == (1, 2, ["A slip is a rule."])
    monkeypatch.setattr("sys.stdin", io.StringIO(f"a\n{letters}\n"))
    assert quizzes.ask(lecture, "form-a", answers)["right"] == 2
    assert len(json.loads(answers.read_text())["quizzes"]["form-a"]) == 2
    with pytest.raises(UserError, match="no quiz"):
        quizzes.ask(lecture, "c", answers)


def test_markdown_as_plain_text_has_its_figures(lecture: course.Course) -> None:
    claim = next(iter(lecture.claims.values()))
    text = plain.text(
        f"{{claim}}`{claim.id}` {{term}}`x|y` `z`\n\n| a | b |\n|---|---|\n| 1 | 2 |\n", lecture
    )
    assert text.splitlines() == [f"{claim.sentence()} x z", "a   b", "1   2"]


def test_records_are_thin_and_name_what_they_hold() -> None:
    rows = [{"policy": "a", "gold": {"mean": 0.123456, "ci": None, "n": 9}}, {"policy": "b.c", "gold": 1}]
    thin = records.thin(
        {
            "rows": rows,
            "long": list(range(600)),
            "why": "x" * 80,
            "best": {"n": [1, 2], "gain": [0.0, 0.5]},
            "bad": float("nan"),
        }
    )
    assert thin["rows"] == {"a": {"gold": 0.1235}, "b.c": {"gold": 1}}
    assert len(thin["long"]) == 60 and thin["long"][-1] == 599
    assert thin["best"]["by_n"] == {"1": {"gain": 0.0}, "2": {"gain": 0.5}}
    assert "why" not in thin and thin["bad"] is None
    record = records.Record("toy", {"figures": {"20": thin}, "seeds": [20]})
    assert record.find('figures.*.rows."b.c".gold') == {"20": 1.0}
    with pytest.raises(records.NoSuchFigure, match="has a, b.c"):
        record.find("figures.*.rows.d.gold")
    assert ('figures.*.rows."b.c".gold', "1") in records.paths(record.document)


def test_the_files_of_a_checkout_or_of_the_package_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "HERE", tmp_path / "src" / "alignlab" / "course")
    with pytest.raises(DataError):
        places.lecture_folder()
    for folder in (tmp_path / "lecture", places.HERE / "lecture"):
        folder.mkdir(parents=True)
        (folder / "course.toml").touch()
        assert places.lecture_folder() == folder


def test_the_records_are_small() -> None:
    files = list((places.lecture_folder() / "record").glob("*.json"))
    assert len(files) >= 18 and sum(file.stat().st_size for file in files) <= 1_500_000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a < b and not b < a", True),
        ("0 < a <= 1 < b", True),
        ("max(a, b) - abs(-a) * 2 / 4", 1.75),
        ("a > b or a == 0.5", True),
        ("c > 1", None),
        ("a.real", None),
        ("[a for a in b]", None),
        ("max(a, key=b)", None),
        ("open('x')", None),
        ("2 ** 999999999", None),
        ("'a' * 999999999", None),
        ("(" * 400 + "a" + ")" * 90, None),
    ],
)
def test_what_holds_is_arithmetic_and_no_code(text: str, value: object) -> None:
    values = {"a": 0.5, "b": 2.0}
    if value is None:
        with pytest.raises(ValueError):
            claims.computed(text, values)
    else:
        assert claims.computed(text, values) == value


def test_slides_are_cut_locked_and_timed(lecture: course.Course) -> None:
    html = deck.slides(lecture)
    data = json.loads(html.partition('id="data">')[2].partition("</script>")[0])
    assert set(data["lengths"]) == {"165", "150", "120"}
    assert len(data["notes"]) == html.count('<section class="s ')
    assert sum(minutes["165"] for minutes in data["sections"].values()) == 165
    assert sum(minutes.get("150", 0) for minutes in data["sections"].values()) == 150
    assert sum(minutes.get("120", 0) for minutes in data["sections"].values()) == 120
    assert 'data-pause="10"' in html


def test_mathematics_is_plain_or_refused() -> None:
    assert mathml.mathml(r"\left( x' \right)_{t}^{2}").count("<msubsup>") == 1
    for latex in (r"\frac{1}{2", r"a}", r"\begin{cases}", "_", "x_", r"\left", r"\text", "{" * 5000):
        with pytest.raises(mathml.NotPlain):
            mathml.mathml(latex)


PLACES = dict(mfrac=2, msub=2, msup=2, munder=2, mover=2, msubsup=3, munderover=3)  # what MathML asks of each


def test_formulas_have_what_mathml_asks_for(lecture: course.Course) -> None:
    formulas = re.findall("<math.*?</math>", "".join(build.build(lecture).files.values()))
    assert len(formulas) > 50
    for latex in (r"\max_y", "x'^2_t", r"\log p", r"\left( a \right)^2"):
        formulas += [mathml.mathml(latex), mathml.mathml(latex, display=True)]
    for formula in formulas:
        for element in ElementTree.fromstring(formula).iter():
            assert len(element) == PLACES.get(element.tag, len(element)), formula
