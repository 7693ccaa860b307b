"""docs/make_recipes.py: the tables of docs/recipes.md from summaries; nothing else of the page is touched."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from .scripts import script


def test_both_tables_are_put_between_their_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("docs/make_recipes.py")
    page, runs = tmp_path / "recipes.md", tmp_path / "runs"
    page.write_text((module.DOCS / "recipes.md").read_text(encoding="utf-8"), encoding="utf-8")
    before = page.read_text(encoding="utf-8")
    for seed, gold in ((0, 0.6), (1, 0.8)):
        folder = runs / f"instructgpt-{seed}"
        folder.mkdir(parents=True)
        models = {
            name: {"gold": {"mean": value, "n": 1000}, "mean_length": 11.25}
            for name, value in (("base", 0.0), ("sft", gold), ("ppo", 0.9))
        }
        (folder / "summary.json").write_text(
            json.dumps({"seed": seed, "models": models, "sampled_tokens": 1000 + 200 * seed})
        )
    (runs / "ptx.json").write_text(
        json.dumps(
            {
                seed: {
                    "base": {"text_loss": 1.5},
                    "ppo-ptx-3": {"gold": 0.5 + int(seed) / 5, "text_loss": 2.0},
                }
                for seed in ("0", "1")
            }
        )
    )
    monkeypatch.setattr(module, "DOCS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["make_recipes.py", str(runs)])
    module.main()
    after = page.read_text(encoding="utf-8")
    assert (
        "| instructgpt | sft | 0.70 ± 0.14 |" in after
        and "| 1,100 |" in after
        and "|  | ppo | 0.90 ± 0.00 |" in after
        and "| base" not in after.partition("<!-- ptx -->")[0]
    )
    assert (
        "| base |  |  |  |  |  | 1.500 ± 0.000 |" in after
        and "| ppo-ptx-3 | 0.600 ± 0.141 |" in after
        and "over seeds 0, 1;" in after
    )
    for text in (before, after):
        assert text.count("<!-- recipes -->") == text.count("<!-- /ptx -->") == 1
    assert after.partition("<!-- recipes -->")[0] == before.partition("<!-- recipes -->")[0]
