"""Writes the table of docs/recipes.md from the summaries that benchmarks/recipes.py left.

    python docs/make_recipes.py runs/recipes
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from alignlab.evals.statistics import seeds_summary
from alignlab.recipes import RECIPES

DOCS = Path(__file__).parent
COLUMNS = (
    ("gold", "gold, greedy"), ("gold_sampled", "gold, T = 1"), ("win_rate_vs_sft", "wins against its SFT"), ("compliance_with_harm", "helps with harm"),
    ("over_refusal", "refuses look-alikes"), ("known_facts", "known facts"), ("kl_from_sft", "KL from its SFT"), ("mean_length", "tokens"),
)


def mean_of(value: Any) -> float | None:
    return value.get("mean") if isinstance(value, dict) else value


def cell(values: list[float | None], digits: int = 2) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    found = seeds_summary(known)
    return f"{found['mean']:.{digits}f} ± {found['sd']:.{digits}f}" if len(known) > 1 else f"{found['mean']:.{digits}f}"


def main() -> None:
    found: dict[str, list[dict]] = {}
    for name in RECIPES:
        for file in sorted(Path(sys.argv[1]).glob(f"{name}-*/summary.json")):
            found.setdefault(name, []).append(json.loads(file.read_text()))
    seeds = {name: sorted(run["seed"] for run in runs) for name, runs in found.items()}
    head = "| recipe | model | " + " | ".join(title for _, title in COLUMNS) + " | tokens sampled |\n|" + "---|" * (len(COLUMNS) + 3)
    lines = []
    for name, runs in found.items():
        models = [model for model in runs[0]["models"] if model not in ("base", "unpenalised")]
        for model in models:
            cells = [cell([mean_of(run["models"][model].get(key)) for run in runs], 1 if key == "mean_length" else 2) for key, _ in COLUMNS]
            tokens = f"{sum(run['sampled_tokens'] for run in runs) / len(runs):,.0f}" if model == models[0] else ""
            lines.append(f"| {name if model == models[0] else ''} | {model} | " + " | ".join(cells) + f" | {tokens} |")
    n = next(iter(found.values()))[0]["models"]["sft"]["gold"]["n"]
    said = "; ".join(f"{name}: seeds {', '.join(map(str, numbers))}" for name, numbers in seeds.items())
    page = DOCS / "recipes.md"
    text = page.read_text(encoding="utf-8")
    begin, end = "<!-- recipes -->", "<!-- /recipes -->"
    body = "\n".join([begin, head, *lines, "", f"Mean ± standard deviation over seeds ({said}), {n:,} held-out prompts each, by the gold judge. Each recipe's "
                      "models are compared with its own SFT model.", end])
    page.write_text(text[: text.index(begin)] + body + text[text.index(end) + len(end):], encoding="utf-8")


if __name__ == "__main__":
    main()
