"""docs/studies.md is written from summaries: every figure lands between the marks of its study, and nothing
else changes.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alignlab.studies.catalogue import STUDIES

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
        "machine": {"cores": 2},
        "conclusion": ["It is near."],
        "bars": [{"claim": "a | b", "held": 1, "of": 2}],
        "tables": [{"title": "T", "heads": ["", "x"], "rows": [["PPO", "0.001 ± 0.002"]], "note": "n"}],
    }
    (tmp_path / "runs" / "closed").mkdir(parents=True)
    (tmp_path / "runs" / "closed" / "summary.json").write_text(json.dumps(summary))
    (tmp_path / "runs" / "other").mkdir()
    (tmp_path / "runs" / "other" / "summary.json").write_text(
        json.dumps({"recipe": "instructgpt"})
    )  # a pipeline's: not ours
    assert maker.main(tmp_path / "runs", page) == ["closed-form"]
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert (
        "- It is near." in text
        and "| a \\| b | 1 of 2 seeds |" in text
        and "| PPO | 0.001 ± 0.002 |" in text
        and "seeds 0, 1" in text
    )
    again = text
    maker.main(tmp_path / "runs", page)
    assert page.read_text() == again
    with pytest.raises(SystemExit, match="no summary"):
        maker.main(tmp_path / "nothing", page)
