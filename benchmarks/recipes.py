"""The recipes side by side on the town, at equal sampled tokens, over seeds.

    python benchmarks/recipes.py --out runs/recipes --seeds 0 1 2

Runs go on where they were. `docs/make_recipes.py` turns the summaries into the table of docs/recipes.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from alignlab.recipes import RECIPES, run_command
from alignlab.settings import PipelineSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES),
                        default=[name for name in RECIPES if name != "constitutional"])  # that one asks other prompts, at a price of its own
    args = parser.parse_args()
    for seed in args.seeds:
        for recipe in args.recipes:
            settings = PipelineSettings(hacking=False) if recipe == "instructgpt" else PipelineSettings()
            found = run_command(model="town", recipe=recipe, fast=False, out=args.out / f"{recipe}-{seed}", seed=seed, resume=True, settings=settings)
            print(f"{recipe}, seed {seed}", found["text"], sep="\n", flush=True)


if __name__ == "__main__":
    main()
