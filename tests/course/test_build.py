"""The lecture's builder: every role and block, what others wrote stays text, claims that fail, same bytes."""

from __future__ import annotations

import json
import re
import shutil
from html import unescape
from pathlib import Path

import pytest

from alignlab import cli
from alignlab.course import build, checks, command, course, deck, figures, places, records
from alignlab.course.course import Course
from alignlab.errors import DataError

RECORD = {
    "schema": 1,
    "name": "toy",
    "command": "alignlab study toy",
    "seeds": [20, 21, 22],
    "set": "toy",
    "n": 300,
    "commit": "abc1234",
    "seconds": 12,
    "machine": "a laptop",
    "figures": {
        seed: {"gain": {"8": gain, "0.3": 1.5}} for seed, gain in (("20", 0.1), ("21", 0.2), ("22", 0.3))
    },
}
CLAIM = """
[rises]
text = "Gain is {eight:±.2f}."
record = "toy"
values = { eight = "figures.*.gain.8" }
holds = "eight > 0"
"""
PLAN = """
title = "A course"
about = "About it."
minutes = 20
lengths = { 20 = [], 10 = ["c1"] }
section = [{ page = "1-one", minutes = 12 }, { page = "2-two", minutes = 8 }]
[[demo]]
number = "1"
name = "sft"
title = "Watched"
says = "It learns."
seconds = 60
full = 300
"""
PAGE = """# One

(first)=
## A heading

A {term}`policy` writes. {claim}`rises` The mean is {value}`rises.eight`,
and {cite}`lee2020|0.9 in the paper`.
See {page}`2-two#there|the other page`. Inline $\\beta \\le 1$.

$$\\frac{1}{N} \\sum_{i=1}^{N} \\log \\hat{p}_i$$

| a | b |
|---|---|
| {page}`2-two|two` | {cite}`lee2020|three words` |

````{slide} A slide
:minutes: 3
:cut: c1
:notes: Say this
  and that.
```{predict} guess
What happens?
- A: it rises
- B: it falls
---
It rises. {claim}`rises`
```
````

```{demo} 1
```

```{quiz} 1-one
```

```sh
alignlab lecture
```
"""
QUIZ = """
[[item]]
id = "one"
outcome = "O1"
question = "What is `x`?"
options = [{ text = "right one", right = true }, { text = "wrong one", misconception = "slip" }]
why = "Because {claim}`rises`"

[[item]]
id = "two"
outcome = "O8"
kind = "order"
question = "Order."
lines = ["first", "second"]
distractors = ["neither"]
why = "So it goes."
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole lecture of two small pages."""
    files = {
        "course.toml": PLAN,
        "claims/a.toml": CLAIM,
        "record/toy.json": json.dumps(RECORD),
        "pages/1-one.md": PAGE,
        "pages/2-two.md": "# Two\n\n(there)=\n## There\n\nIt is short.\n",
        "quiz/1-one.toml": QUIZ,
        "glossary.toml": 'policy = "A model that acts."\n',
        "misconceptions.toml": 'slip = "A slip is a rule."\n',
        "papers.toml": '[lee2020]\nauthors = "Lee"\ntitle = "On gain"\nyear = 2020\nwhere = "a journal"\n'
        'claims = "It rises."\nours = "rises"\nverdict = "agrees"\n',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def told(folder: Path) -> set[tuple[str, str]]:
    """Kind and text of what is to be mended, without the outline, which a toy has not."""
    problems, _ = checks.check(course.load(folder))
    return {(problem.kind, problem.what) for problem in problems if problem.kind != "outline"}


def page(folder: Path, name: str = "1-one") -> str:
    return build.build(course.load(folder)).files[f"{name}.html"]


def test_every_role_and_block_is_shown(folder: Path) -> None:
    html = page(folder)
    assert told(folder) == set()
    for part in (
        "Gain is 0.20 ± 0.10.",
        ">3 of 3 seeds</a>",
        '<a class="value" href="receipts.html#rises">0.20</a>',
        '<a class="cite" href="papers.html#lee2020"',
        '<a href="2-two.html#there">the other page</a>',
        'popovertarget="term-policy"',
        "<p>A model that acts.</p>",
        '<span class="anchor" id="first"></span>',
        "<math><mrow><mi>β</mi><mo>≤</mo><mn>1</mn></mrow></math>",
        "<munderover>",
        "<h3>A slide</h3>",
        "<p>Say this and that.</p>",
        "<b>A</b><span>it rises</span>",
        "<summary>What really happens</summary>",
        "alignlab lecture demo sft",
        'data-right="1"',
        'data-place="0"',
        "three words</a></td>",
    ):
        assert part in html, part


def test_a_receipt_has_command_seeds_and_each_figure(folder: Path) -> None:
    html = page(folder, "receipts")
    for part in (
        "alignlab study toy",
        "<th>seed 21</th>",
        "<td>0.1</td><td>0.2</td><td>0.3</td>",
        "abc1234",
        "eight &gt; 0",
    ):
        assert part in html, part


@pytest.mark.parametrize(
    "wrote", ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</script><b>"]
)
def test_what_others_wrote_stays_text(wrote: str, folder: Path) -> None:
    """In a page, a claim, a record, a quiz, the glossary, a paper, and the notes of a slide."""
    quoted = json.dumps(wrote)
    changes = {
        "pages/1-one.md": PAGE.replace("it rises", wrote)
        .replace("Say this", wrote)
        .replace("A heading", wrote),
        "claims/a.toml": CLAIM.replace('"Gain is', f'"{wrote} is'),
        "record/toy.json": json.dumps({**RECORD, "command": wrote, "machine": wrote}),
        "quiz/1-one.toml": QUIZ.replace('"right one"', quoted).replace('"first"', quoted),
        "glossary.toml": f"policy = {quoted}\n",
        "course.toml": PLAN.replace('"About it."', quoted),
    }
    for name, text in changes.items():
        (folder / name).write_text(text, encoding="utf-8")
    found = course.load(folder)
    files = {**build.build(found).files, "slides.html": deck.slides(found)}
    for name, html in files.items():
        assert wrote not in html.replace(build.asset("deck.js"), ""), name
        assert html.count("<script") == (2 if name == "slides.html" else 1), name
    assert wrote in unescape(files["1-one.html"])


def test_pages_ask_for_nothing_and_run_only_what_is_theirs(folder: Path) -> None:
    found = course.load(folder)
    for html in [*build.build(found).files.values(), deck.slides(found)]:
        policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', html)
        script = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)[0]
        style = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)[0]
        assert policy
        allowed = unescape(policy[1])
        assert allowed.startswith("default-src 'none'; style-src 'sha256-")
        assert build.digest(script) in allowed and build.digest(style) in allowed
        assert "unsafe" not in allowed
        assert not re.search(
            r'\s(?:src|srcset|action|formaction)=|\son\w+="|\sstyle="|@import|url\(http', html
        )
        assert {link.partition(":")[0] for link in re.findall(r'href="([a-z]+:[^"]*)"', html)} <= {
            "https",
            "data",
        }


def test_the_same_course_gives_the_same_bytes() -> None:
    """The real one: every page, the slides, every drawing."""
    one, two = (course.load(places.lecture_folder()) for _ in range(2))
    files = build.build(one).files
    assert files == build.build(two).files
    assert max(len(page.encode()) for page in files.values()) <= 200_000
    assert deck.slides(one) == deck.slides(two)


def test_every_drawing_is_small_and_has_no_style_of_its_own() -> None:
    found = course.load(places.lecture_folder())
    for name in figures.FIGURES:
        drawn, _, _ = figures.drawn(name, found).partition("<script")  # the figures of the one that moves
        assert len(drawn) <= 60_000 and "style=" not in drawn, name
        pressed = name in ("calculator", "pipeline", "instructgpt")  # a form, and boxes that are links
        assert ('role="img"' in drawn) != pressed, name


def test_missing_files_stop_nothing(folder: Path) -> None:
    (folder / "pages/2-two.md").unlink()
    shutil.rmtree(folder / "quiz")
    (folder / "papers.toml").unlink()
    assert {"page", "link", "quiz", "paper"} == {kind for kind, _ in told(folder)}
    assert '<mark class="missing">' in page(folder)


@pytest.mark.parametrize(
    ("file", "old", "new", "kind"),
    [
        ("claims/a.toml", "eight > 0", "eight > 0.25", "claim"),
        ("claims/a.toml", "eight > 0", "__import__('os').getcwd()", "claim"),
        ("claims/a.toml", "gain.8", "gain.9", "claim"),
        ("claims/a.toml", "[rises]", "[falls]", "claim"),
        ("pages/1-one.md", "A {term}", "Of 250 a {term}", "number"),
        ("pages/1-one.md", "A {term}", "Some 0.7 a {term}", "number"),
        ("pages/1-one.md", "A {term}", "Some $-0.73$ a {term}", "number"),
        ("pages/1-one.md", "A {term}", "From $0.73 \\to 0.8$ a {term}", "number"),
        ("pages/1-one.md", "A {term}", "A policy: a {term}", "order"),
        ("pages/1-one.md", "2-two#there", "2-two#where", "anchor"),
        ("pages/1-one.md", "2-two#there", "3-three", "link"),
        ("pages/1-one.md", "{demo} 1", "{figure} none", "figure"),
        ("pages/1-one.md", "{quiz} 1-one", "{quiz} none", "quiz"),
        ("pages/1-one.md", "`policy`", "`polity`", "term"),
        ("pages/1-one.md", "lee2020|0.9", "lee2021|0.9", "paper"),
        ("pages/1-one.md", "{slide}", "{slyde}", "format"),
        ("pages/1-one.md", "\\beta", "\\oops", "math"),
        ("pages/1-one.md", ":minutes: 3", ":minutes: 30", "plan"),
        ("quiz/1-one.toml", ", right = true", "", "quiz"),
        ("quiz/1-one.toml", '{ text = "right one", right = true }', '"right one"', "quiz"),
        ("quiz/1-one.toml", '"slip"', '"slop"', "quiz"),
        ("pages/2-two.md", "It is short.", f"It is {'very long and ' * 24}short.", "reading"),
        (
            "pages/2-two.md",
            "It is short.",
            "Organizational internationalization necessitates regularization.",
            "reading",
        ),
    ],
)
def test_check_tells(file: str, old: str, new: str, kind: str, folder: Path) -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    assert kind in {found for found, _ in told(folder)}


def test_check_tells_an_outline_without_a_place(folder: Path) -> None:
    (folder / "outline.toml").write_text('[[bullet]]\nsection = "1"\ntext = "T"\npage = "1-one#nowhere"\n')
    problems, _ = checks.check(course.load(folder))
    assert {problem.what for problem in problems if problem.kind == "outline"} == {
        "has no place at '1-one#nowhere'",
        "has 1 bullets, not 62",
    }


def test_a_plan_that_lacks_something_is_told(folder: Path) -> None:
    (folder / "course.toml").write_text(PLAN.replace("minutes = 12", "hours = 12"))
    with pytest.raises(DataError, match="the plan lacks 'minutes'"):
        course.load(folder)


def test_what_rounds_to_nothing_has_no_minus(folder: Path) -> None:
    (folder / "record/toy.json").write_text(json.dumps(RECORD).replace("0.1", "-0.301"))
    claim = course.load(folder).claims["rises"]
    assert (claim.shown("eight"), claim.shown("eight", "+.1f")) == ("0.07", "+0.1")
    (folder / "record/toy.json").write_text(json.dumps(RECORD).replace("0.1", "-0.501"))
    assert course.load(folder).claims["rises"].shown("eight", "±.1f") == "0.0 ± 0.4"


def test_a_claim_that_fails_ends_with_exit_code_5(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "lecture_folder", lambda: folder)
    (folder / "claims/a.toml").write_text(CLAIM.replace("eight > 0", "eight > 0.25"))
    assert cli.main(["lecture", "check"]) == 5


def test_all_claims_of_the_lecture_hold() -> None:
    found: Course = course.load(places.lecture_folder())
    assert [claim.id for claim in found.claims.values() if not claim.stands] == []
    assert not [problem for problem in found.problems if problem.kind == "claim"]


def test_the_museum_shows_what_its_records_say() -> None:
    found = course.load(places.lecture_folder())
    drawn = figures.drawn("museum", found)
    gold = found.records["specification-gaming"].find("figures.*.others.because.gold.-1")
    assert f"gold at {sum(gold.values()) / 3:.2f}" in drawn and drawn.count("no mend was measured") == 2
    document = json.loads(json.dumps(found.records["dynamics"].document))
    document["figures"]["arms"]["0"]["series"]["gold"][0][-1] = 0.77
    found.records["dynamics"] = records.Record("dynamics", document)
    assert "gold at 0.77" in figures.drawn("museum", found)
