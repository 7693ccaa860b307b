"""docs/make_results.py, docs/make_methods.py and docs/make_reward.py: pages that say of what,
with n, and keep ways of decoding apart.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from .scripts import script

ANSWERS = {
    "gold": 2000,
    "compliance_with_harm": 310,
    "over_refusal": 305,
    "known_facts": 700,
    "instruction_format": 2000,
    "entity": 1000,
    "phrasing": 1000,
}
SIZES = {"ranked": 5500, "ranked_flattered": 2000, "curve_prompts": 200, "sampled": 3072, "scored": 500}
OF_WHAT = {"town": 2, "base": "town", "data": "town:exam", "seeds": [20, 21, 22], "answers": ANSWERS}
MEASURED = OF_WHAT | SIZES
HEAD = (
    "\n\n> Figures of the town's version 2: base model `town`, seeds 20, 21, 22, on `town:exam` (n = 2,000). "
    "Settings were chosen on seed 10 and `town:test`. "
)


def spread(mean: float) -> dict[str, float]:
    return {"mean": mean, "sd": 0.01, "min": mean, "max": mean, "n": 3}


def made(name: str, found: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a maker on what was measured; what it writes lies in `folder`."""
    module = script(f"docs/{name}.py")
    (folder / "docs").mkdir()
    (folder / "README.md").write_text("before\n<!-- results -->\nold\n<!-- /results -->\nafter\n")
    (folder / "found.json").write_text(json.dumps(found))
    monkeypatch.setattr(module, "DOCS", folder / "docs")
    monkeypatch.setattr(sys, "argv", [name, str(folder / "found.json")])
    module.main()


def row_of(page: str, name: str) -> str:
    return next(line for line in page.splitlines() if line.startswith(f"| {name} |"))


def test_results_say_of_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = {
        "ppo: gold": 0.9,
        "ppo: gold_sampled": 0.75,
        "ppo: compliance_with_harm": 0.0,
        "ppo: compliance_with_harm_sampled": 0.06,
        "ppo: win_rate_vs_sft": 0.65,
        "ppo: ties_vs_sft": 0.57,
        "best-of-n: gold": 0.8,
        "best-of-n: gold_one": 0.64,
        "best-of-n: gain picked": 0.16,
        "best-of-n: compliance_with_harm": 0.35,
        "best-of-n: compliance_with_harm_one": 0.81,
        "best-of-n: win_rate_vs_sft": 0.61,
        "best-of-n: ties_vs_sft": 0.5,
    }
    spreads = {name: spread(mean) for name, mean in table.items()}
    made("make_results", MEASURED | {"table": spreads}, tmp_path, monkeypatch)
    page, readme = (tmp_path / "docs/results.md").read_text(), (tmp_path / "README.md").read_text()
    assert readme.startswith("before\n") and readme.endswith("after\n") and "\nold\n" not in readme
    assert HEAD in page and "chosen on `town:test`" in readme
    for text in (page, readme):
        assert "town:exam" in text and "20, 21, 22" in text
        assert "helps with harm (n = 310)" in text and "known facts (n = 700)" in text
    assert "0.900 ± 0.010 / 0.750 ± 0.010" in row_of(page, "PPO") and "0.570 ± 0.010" in row_of(page, "PPO")
    assert "0.00 ± 0.01 / 0.06 ± 0.01" in row_of(readme, "PPO")
    assert row_of(readme, "best of 4").split(" | ")[1:3] == ["0.80 ± 0.01", "0.35 ± 0.01"]
    assert row_of(readme, "one sample at T = 0.8").split(" | ")[1:3] == ["0.64 ± 0.01", "0.81 ± 0.01"]
    greedy, _, picks = readme.partition("| one sample")
    assert "PPO" in greedy and "PPO" not in picks


def test_methods_say_of_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"gold": 0.8, "gold_sampled": 0.7, "gain, greedy": 0.1, "gain, sampled": 0.09}
    best = {"gold": 0.85, "gold_one": 0.65, "gain, picked": 0.2, "win_rate_vs_sft": 0.61}
    rows = {"sft": both, "dpo": both, "dpo-control": both | {"gain, greedy": 0.0}}
    rows |= {"best of 4": best, "best of 4-control": best | {"gold": 0.66}}
    table = {name: {key: spread(mean) for key, mean in row.items()} for name, row in rows.items()}
    found = MEASURED | {"table": table, "by_seed": {str(seed): rows for seed in (20, 21, 22)}}
    made("make_methods", found, tmp_path, monkeypatch)
    page = (tmp_path / "docs/all-methods.md").read_text()
    assert HEAD in page
    assert "the same 5,500" in page and "from 3,072 completions" in page and "the first 500 answers" in page
    assert "0.800 ± 0.010 / 0.700 ± 0.010" in row_of(page, "dpo") and "3 of 3" in page
    best, _, against = page.partition("## Best of 4")[2].partition("## Against its control")
    assert "best of 4" not in against.partition("## The controls")[2]
    assert "0.850 ± 0.010" in row_of(best, "best of 4")
    assert "0.650 ± 0.010" in row_of(best, "one sample at T = 0.8")


def test_reward_models_say_of_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(*names: str, **columns: float) -> dict[str, dict[str, float]]:
        return {name: columns for name in names}

    seed = {
        "labels": rows("plain", "ties", **{"right about gold": 0.8}),
        "crowd": rows("plain", "reliability", **{"right about gold": 0.7}),
        "best of n": rows("single", "mean", **{"32": 0.6}),
        "ppo": rows("free-single", "free-mean", **{"gold, greedy": 0.5}),
        "constraint": rows("constrained", **{"mean cost, last": 0.05, "helps with harm": 0.1}),
    }
    seed["labels"]["ties"] = {"right about gold": 0.9}
    table = {
        section: {name: {key: spread(mean) for key, mean in row.items()} for name, row in found.items()}
        for section, found in seed.items()
    }
    found = {
        "town": 2,
        "base": "town",
        "set": "town:exam",
        "seeds": [20, 21, 22],
        "n": {"held-out prompts": 150, "held-out pairs": 800, "prompts": 2000, "helps with harm": 310},
        "picked": 200,
        "members": 3,
        "ranked": 1500,
        "limit": 0.1,
        "table": table,
        "by_seed": {str(number): seed for number in (20, 21, 22)},
    }
    made("make_reward", found, tmp_path, monkeypatch)
    page = (tmp_path / "docs/reward-models.md").read_text()
    assert HEAD in page and "150 prompts with 800 decided pairs in seed" in page
    assert "in so many seeds: ties: 3 of 3." in page and "reliability: 0 of 3." in page
    assert "helps with harm: 310" in page and "met in 3 of 3 seeds" in page
