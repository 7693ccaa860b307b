"""docs/studies.md is written from summaries: every figure lands between the marks of its study, and nothing
else changes.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alignlab import cli
from alignlab.studies.catalogue import STUDIES
from alignlab.studies.study import Bar

from ..scripts import ROOT, script


@pytest.fixture(scope="module")
def maker():
    return script("docs/make_studies.py")


def test_the_page_has_a_place_for_every_study() -> None:
    page = (ROOT / "docs/studies.md").read_text(encoding="utf-8")
    for name in STUDIES:
        assert f"## {name}\n" in page and page.index(f"<!-- figures: {name} -->") < page.index(
            f"<!-- /figures: {name} -->"
        )


def test_figures_go_between_the_marks(maker, tmp_path: Path) -> None:
    page = tmp_path / "studies.md"
    page.write_text(
        f"before\n{marked('all bars of the debates', '')}{marked('closed-form', 'REPLACED')}after\n"
    )
    summary = {
        "study": "closed-form",
        "seeds": [0, 1],
        "measured_on": "Town version 2, base model town; town:exam, n = 300 prompts. Seeds 0, 1.",
        "claims": "The claims were fixed before.",
        "machine": {"cores": 2},
        "conclusion": ["It is near."],
        "failures": ["Seed 2 failed: the disk is full"],
        "bars": [Bar("a | b", [True, None], "no figure", "0.2", "placebo: 0.0").to_json()],
        "mirrors": [{"paper": "Gao 2022", "figure": "figure 1", "number": "falls"}],
        "verdict": {"says": "agrees", "why": "It falls."},
        "falsified_by": "A rise.",
        "would_change_my_mind": "",
        "tables": [{"title": "T", "heads": ["", "x"], "rows": [["PPO", "0.001 ± 0.002"]], "note": "n"}],
    }
    (tmp_path / "runs" / "closed").mkdir(parents=True)
    (tmp_path / "runs" / "closed" / "summary.json").write_text(json.dumps(summary))
    (tmp_path / "runs" / "other").mkdir()
    (tmp_path / "runs" / "other" / "summary.json").write_text(
        json.dumps({"recipe": "instructgpt"})
    )  # a pipeline's: not ours
    assert maker.write(tmp_path / "runs", page) == ["closed-form"]
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "REPLACED" not in text
    assert (
        "- It is near." in text
        and "| a \\| b | 0.2 | placebo: 0.0 | 1 of 2 seeds (could not be computed in 1 of 2: no figure) |"
        in text
        and "- Seed 2 failed: the disk is full" in text
        and "It agrees. It falls." in text
        and "| Gao 2022 | figure 1 | falls |" in text
        and "| PPO | 0.001 ± 0.002 |" in text
        and "town:exam, n = 300 prompts. Seeds 0, 1. 2 cores." in text
        and "The claims were fixed before." in text
    )
    again = text
    maker.write(tmp_path / "runs", page)
    assert page.read_text() == again
    with pytest.raises(SystemExit, match="no summary"):
        maker.write(tmp_path / "nothing", page)


def marked(name: str, text: str) -> str:
    return f"<!-- figures: {name} -->\n{text}\n<!-- /figures: {name} -->\n"


def test_every_bar_of_the_debates_stands_in_one_table(maker, monkeypatch: pytest.MonkeyPatch) -> None:
    claims = maker.wordings("sycophancy")
    bars = [
        Bar(claims[0], [True, True]).to_json(),
        Bar(claims[1], [True, False], "", "0.2", "placebo: 0.1").to_json(),
        Bar(claims[2], [True, None], "nothing was asked").to_json(),
        Bar(claims[3], [False, False]).to_json(),
    ]
    monkeypatch.setattr(maker, "reasons_of", lambda file: {"sycophancy": {claims[1][:20]: "0.3, 0.1"}})
    table = maker.all_bars({"sycophancy": {"bars": bars}}, "")
    rows = [line for line in table.splitlines() if line.startswith("| sycophancy |")]
    assert [row.partition(claim)[2] for row, claim in zip(rows, claims, strict=False)] == [
        " | 2 of 2 | - | - | met |",
        " | 1 of 2 | 0.2 | placebo: 0.1 | missed in 1: 0.3, 0.1 |",
        " | 1 of 2 | - | - | missed in 1: nothing was asked |",
        " | 0 of 2 | - | - | missed in 2 |",
    ]
    for name in maker.DEBATES:
        count = table.count(f"| {name} |")
        assert count == 4 if name == "sycophancy" else count == len(maker.wordings(name)) > 7
    again = maker.all_bars({}, table)  # a study without a summary keeps its rows
    assert again == table
    assert maker.all_bars({}, "").count(maker.UNMEASURED) == sum(map(len, map(maker.wordings, maker.DEBATES)))


def test_every_missed_bar_on_the_page_has_its_reason(maker, tmp_path: Path) -> None:
    page = (ROOT / "docs/studies.md").read_text(encoding="utf-8")
    begin, end = (f"<!-- {mark}figures: all bars of the debates -->" for mark in ("", "/"))
    rows = page[page.index(begin) : page.index(end)].splitlines()[3:]
    assert len(rows) == sum(map(len, map(maker.wordings, maker.DEBATES)))
    said = [row.rpartition(" | ")[2] for row in rows]
    assert all(one.startswith((f"{maker.UNMEASURED} ", "met ", "missed in ")) for one in said)
    assert [one for one in said if one.startswith("missed") and ": " not in one] == []
    (tmp_path / "missed.toml").write_text("[oversight]\n'labels: ' = 'of three claims'\n")
    with pytest.raises(SystemExit, match="or of several"):
        maker.reasons_of(tmp_path / "missed.toml")


def test_what_is_measured_is_the_exam_on_the_reported_seeds_unless_it_is_there(
    maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(cli, "main", lambda words: asked.append(words) or 0)
    there = {"seeds": [20, 21, 22], "settings": {"test": "town:exam"}}
    developed = {"seeds": [20, 21, 22], "settings": {"test": "town:test"}}
    for name, summary in (("kl-frontier", there), ("reward-shift", developed)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "summary.json").write_text(json.dumps(summary))
    maker.measure(tmp_path, ["kl-frontier", "reward-shift", "closed-form"], maker.SEEDS, ["--fast"])
    assert [words[1] for words in asked] == ["reward-shift", "closed-form"]
    shift, closed = (" ".join(words) for words in asked)
    assert "--seeds 20,21,22" in shift and "--test town:exam" in shift and "--fast" in shift
    assert "--test" not in closed  # it has no data
    monkeypatch.setattr(cli, "main", lambda words: 3)
    with pytest.raises(SystemExit, match="3"):
        maker.measure(tmp_path, ["closed-form"], maker.SEEDS, [])
