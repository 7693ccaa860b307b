"""Writes the tables of docs/recipes.md from what benchmarks/recipes.py left: the summaries, and ptx.json
where it measured PPO-ptx.

python docs/make_recipes.py runs/recipes
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from alignlab.evals.statistics import seeds_summary
from alignlab.recipes.catalogue import RECIPES
from alignlab.text.figures import with_spread

DOCS = Path(__file__).parent
COLUMNS = (
    ("gold", "gold, greedy"),
    ("gold_sampled", "gold, T = 1"),
    ("win_rate_vs_sft", "wins against its SFT"),
    ("compliance_with_harm", "helps with harm"),
    ("over_refusal", "refuses look-alikes"),
    ("known_facts", "known facts"),
    ("kl_from_sft", "KL from its SFT"),
    ("mean_length", "tokens"),
)


def mean_of(value: Any) -> float | None:
    return value.get("mean") if isinstance(value, dict) else value


def cell(values: list[float | None], digits: int = 2) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    found = seeds_summary(known)
    return with_spread(found, digits)


PTX = (
    ("gold", "gold, greedy"),
    ("gold_sampled", "gold, T = 1"),
    ("compliance_with_harm", "helps with harm"),
    ("known_facts", "known facts"),
    ("kl_from_sft", "KL from SFT"),
    ("text_loss", "nats per token of the corpus"),
)


def mixed(by_seed: dict[str, dict[str, dict[str, float]]]) -> str:
    """What pretraining text mixed into PPO changes: a row a model, over seeds."""
    head = "| model | " + " | ".join(title for _, title in PTX) + " |\n|" + "---|" * (len(PTX) + 1)
    lines = [
        f"| {name} | "
        + " | ".join(cell([rows[name].get(key) for rows in by_seed.values()], 3) for key, _ in PTX)
        + " |"
        for name in next(iter(by_seed.values()))
    ]
    return "\n".join(
        [
            head,
            *lines,
            "",
            (
                f"Mean ± standard deviation over seeds {', '.join(by_seed)}; loss on 1,000 documents of the "
                "corpus that no training read."
            ),
        ]
    )


def between(page: str, name: str, body: str) -> str:
    """The page with what stands between the two marks of that name put anew."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    return page[: page.index(begin)] + f"{begin}\n{body}\n{end}" + page[page.index(end) + len(end) :]


def main() -> None:
    found: dict[str, list[dict]] = {}
    for name in RECIPES:
        for file in sorted(Path(sys.argv[1]).glob(f"{name}-*/summary.json")):
            found.setdefault(name, []).append(json.loads(file.read_text()))
    seeds = {name: sorted(run["seed"] for run in runs) for name, runs in found.items()}
    head = (
        "| recipe | model | "
        + " | ".join(title for _, title in COLUMNS)
        + " | tokens sampled |\n|"
        + "---|" * (len(COLUMNS) + 3)
    )
    lines = []
    for name, runs in found.items():
        models = [model for model in runs[0]["models"] if model not in ("base", "unpenalised")]
        for model in models:
            cells = [
                cell(
                    [mean_of(run["models"][model].get(key)) for run in runs], 1 if key == "mean_length" else 2
                )
                for key, _ in COLUMNS
            ]
            tokens = (
                f"{sum(run['sampled_tokens'] for run in runs) / len(runs):,.0f}" if model == models[0] else ""
            )
            lines.append(
                f"| {name if model == models[0] else ''} | {model} | " + " | ".join(cells) + f" | {tokens} |"
            )
    n = next(iter(found.values()))[0]["models"]["sft"]["gold"]["n"]
    said = "; ".join(f"{name}: seeds {', '.join(map(str, numbers))}" for name, numbers in seeds.items())
    page = DOCS / "recipes.md"
    text = page.read_text(encoding="utf-8")
    body = "\n".join(
        [
            head,
            *lines,
            "",
            f"Mean ± standard deviation over seeds ({said}), {n:,} held-out prompts each, by the gold "
            f"judge. Each recipe's "
            "models are compared with its own SFT model.",
        ]
    )
    text = between(text, "recipes", body)
    if (file := Path(sys.argv[1]) / "ptx.json").exists():
        text = between(text, "ptx", mixed(json.loads(file.read_text())))
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
