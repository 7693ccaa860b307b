"""Writes the tables of docs/recipes.md from what benchmarks/recipes.py left: the summaries, published-*.json,
and ptx.json where it measured PPO-ptx.

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
from alignlab.town.exam import EXAM, measured, with_head

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
WAYS = {"greedy": "greedy", "sampled": "T = 1"}


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def mixed(by_seed: dict[str, dict[str, Any]]) -> str:
    """What pretraining text mixed into PPO changes: a row a model, over seeds; then what either text gains
    over PPO without one, paired over prompts, and what of the corpus' gain its answered requests are.
    """
    models = [found["models"] for found in by_seed.values()]
    rows = [
        [name, *(cell([found[name].get(key) for found in models], 3) for key, _ in PTX)] for name in models[0]
    ]
    paired, n = [], 0
    for weight, ways in next(iter(by_seed.values()))["gains"].items():
        for how in ways:
            found = [seed["gains"][weight][how] for seed in by_seed.values()]
            means = {
                name: [gains[name]["mean"] for gains in found] for name in ("plain", "corpus", "answered")
            }
            n = found[0]["plain"]["n"]
            sure = sum(gains["answered"]["ci"][0] > 0 for gains in found)
            row = [weight, WAYS[how], *(signed(values) for values in means.values())]
            paired.append([*row, f"{sure} of {len(found)}", share(means["answered"], means["corpus"])])
    head = ["weight", "", "plain text - PPO", "corpus - PPO", "corpus - plain text: the confound"]
    head += ["interval above 0", "its share of the corpus' gain"]
    return "\n".join(
        [
            table(["model", *(title for _, title in PTX)], rows),
            "",
            table(head, paired),
            "",
            f"Mean ± standard deviation over seeds {', '.join(by_seed)}; gains are paired over {n:,} prompts "
            "of `town:exam`, each seed's with an interval of 95 % over prompts; a share is given where every "
            "seed's corpus gains. Loss on 1,000 documents of the corpus that no training read.",
        ]
    )


def signed(values: list[float]) -> str:
    found = seeds_summary(values)
    return f"{found['mean']:+.3f} ± {found['sd']:.3f}"


def share(part: list[float], whole: list[float]) -> str:
    """Of the mean gain, the part; empty where a seed gains nothing, and a share of it would mean nothing."""
    return f"{sum(part) / sum(whole):.2f}" if min(whole) > 0 else ""


def published(found: dict[str, dict[str, Any]]) -> str:
    """The published DPO of a recipe against that of instructgpt here, on the same comparisons."""
    rows = []
    for recipe, by_seed in found.items():
        runs = list(by_seed.values())
        for kind in ("published", "usual"):
            cells = [cell([run[kind].get(key) for run in runs], 3) for key, _ in PTX[:5]]
            gain = ["", ""]
            if kind == "published":
                gain = [signed([run["gain"][how]["mean"] for run in runs]) for how in WAYS]
            rows.append([recipe if kind == "published" else "", kind, *cells, *gain])
    head = ["recipe", "DPO", *(title for _, title in PTX[:5]), "published - usual, greedy", "T = 1"]
    first = next(iter(found.values()))
    n = next(iter(first.values()))["gain"]["greedy"]["n"]
    return "\n".join(
        [
            table(head, rows),
            "",
            f"Mean ± standard deviation over seeds {', '.join(first)}; differences paired over {n:,} prompts "
            "of `town:exam`.",
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
    counted = next(iter(found.values()))[0]["models"]["sft"]
    n = ", ".join(
        f"{title} {value['n']:,}"
        for key, title in COLUMNS
        if isinstance(value := counted.get(key), dict) and "n" in value
    )
    said = "; ".join(f"{name}: {', '.join(map(str, numbers))}" for name, numbers in seeds.items())
    page = DOCS / "recipes.md"
    text = page.read_text(encoding="utf-8")
    body = "\n".join(
        [
            head,
            *lines,
            "",
            f"Mean ± standard deviation over seeds ({said}), by the gold judge on `town:exam`; columns "
            f"without T = 1 are of greedy answers. n behind each figure of a seed: {n}. Each recipe's models "
            "are compared with its own SFT model; a tie counts half in wins.",
        ]
    )
    text = between(text, "recipes", body)
    both = {}
    for file in sorted(Path(sys.argv[1]).glob("published-*.json")):
        both[file.stem.removeprefix("published-")] = json.loads(file.read_text())
    if both:
        text = between(text, "published", published(both))
    if (file := Path(sys.argv[1]) / "ptx.json").exists():
        text = between(text, "ptx", mixed(json.loads(file.read_text())))
    every = sorted({number for numbers in seeds.values() for number in numbers})
    asked = counted["gold"]["n"]
    page.write_text(with_head(text, measured(every, {EXAM: asked})), encoding="utf-8")


if __name__ == "__main__":
    main()
