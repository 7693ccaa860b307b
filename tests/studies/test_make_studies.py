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
    page.write_text("before\n<!-- figures: closed-form -->\nold\n<!-- /figures: closed-form -->\nafter\n")
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
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
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
