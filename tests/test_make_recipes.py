"""docs/make_recipes.py: the tables of docs/recipes.md from summaries; nothing else of the page is touched but
its head.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from .scripts import script


def paired(mean: float) -> dict[str, Any]:
    return {"mean": mean, "ci": [mean - 0.05, mean + 0.05], "n": 2000, "p": 0.5}


def test_tables_are_put_between_their_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("docs/make_recipes.py")
    page, runs = tmp_path / "recipes.md", tmp_path / "runs"
    page.write_text((module.DOCS / "recipes.md").read_text(encoding="utf-8"), encoding="utf-8")
    before = page.read_text(encoding="utf-8")
    for seed, gold in ((20, 0.6), (21, 0.8)):
        folder = runs / f"instructgpt-{seed}"
        folder.mkdir(parents=True)
        models = {
            name: {"gold": {"mean": value, "n": 2000}, "mean_length": 11.25}
            for name, value in (("base", 0.0), ("sft", gold), ("ppo", 0.9))
        }
        (folder / "summary.json").write_text(
            json.dumps({"seed": seed, "models": models, "sampled_tokens": 1000 + 200 * (seed - 20)})
        )
    gains = {"plain": paired(0.03), "corpus": paired(0.12), "answered": paired(0.09)}
    lost = {"plain": paired(0.01), "corpus": paired(-0.01), "answered": paired(-0.02)}
    ptx = {
        seed: {
            "models": {"base": {"text_loss": 1.5}, "ppo-plain-3": {"gold": gold, "text_loss": 2.0}},
            "gains": {"3": {"greedy": gains, "sampled": lost}},
        }
        for seed, gold in (("20", 0.5), ("21", 0.7))
    }
    (runs / "ptx.json").write_text(json.dumps(ptx))
    both = {"published": {"gold": 0.8}, "usual": {"gold": 0.7}}
    gain = {"gain": {"greedy": paired(0.1), "sampled": paired(0.2)}}
    (runs / "published-zephyr.json").write_text(json.dumps({seed: both | gain for seed in ("20", "21")}))
    monkeypatch.setattr(module, "DOCS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["make_recipes.py", str(runs)])
    module.main()
    after = page.read_text(encoding="utf-8")
    for row in (
        "| instructgpt | sft | 0.70 ± 0.14 |",
        "| 1,100 |",
        "|  | ppo | 0.90 ± 0.00 |",
        "| base |  |  |  |  |  | 1.500 ± 0.000 |",
        "| ppo-plain-3 | 0.600 ± 0.141 |",
        "| 3 | greedy | +0.030 ± 0.000 | +0.120 ± 0.000 | +0.090 ± 0.000 | 2 of 2 | 0.75 |",
        "| 3 | T = 1 | +0.010 ± 0.000 | -0.010 ± 0.000 | -0.020 ± 0.000 | 0 of 2 |  |",
        "| zephyr | published | 0.800 ± 0.000 |  |  |  |  | +0.100 ± 0.000 | +0.200 ± 0.000 |",
        "|  | usual | 0.700 ± 0.000 |",
        "gold, greedy 2,000",
        "over seeds 20, 21;",
    ):
        assert row in after, row
    assert "| base" not in after.partition("<!-- ptx -->")[0]
    assert after.count("seeds 20, 21, on `town:exam` (n = 2,000)") == 1
    for mark in ("recipes", "published", "ptx"):
        for text in (before, after):
            assert text.count(f"<!-- {mark} -->") == text.count(f"<!-- /{mark} -->") == 1
    start = "    alignlab run --recipe llama3"
    parts = (text.partition("<!-- recipes -->")[0].partition(start)[2] for text in (before, after))
    assert len(set(parts)) == 1
