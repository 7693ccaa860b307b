"""The lecture's records from measured runs: what claims and drawings use, thinned.

    python lecture/record.py runs/figures [runs/STUDY ...]

The first folder is that of `benchmarks/figures.py`; the others are finished studies that it does not hold.
Each record says by what command its figures were made, of which seeds, on what, at which commit, in how many
seconds. What a record holds, as paths that a claim can name: `alignlab lecture record NAME`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alignlab.course.records import of_recipe, of_study, thin, written

HERE = Path(__file__).parent
MOST = 1_500_000  # bytes of all records
FIGURES = "python benchmarks/figures.py --only"
RECIPES = ("instructgpt", "llama2", "llama3", "zephyr", "constitutional", "tulu3", "mixtral")


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """{"ppo: gold": 0.8} -> {"ppo": {"gold": 0.8}}."""
    found: dict[str, Any] = {}
    for name, value in flat.items():
        first, _, last = name.partition(": ")
        found.setdefault(first, {})[last or "all"] = value
    return found


def seconds(folder: Path, page: str) -> int:
    """Of one core, over all seeds of the page."""
    units = read(folder / "figures.json")
    return round(sum(unit["seconds"] for name, unit in units.items() if name.startswith(f"{page}, seed ")))


def measured(document: dict[str, Any]) -> dict[str, Any]:
    said = document["measured"]
    sets = ", ".join(f"{name} (n = {n:,})" for name, n in said["sets"].items())
    return {"seeds": said["seeds"], "town": said["town"], "set": sets, "n": said["sets"]}


def pages(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records of pages that are no studies: name, and all that one says."""
    bars = read(folder / "bars/bars.json")
    yield (
        "results",
        {
            "command": f"{FIGURES} results",
            "seeds": bars["seeds"],
            "town": bars["town"],
            "set": bars["data"],
            "n": bars["answers"],
            "seconds": seconds(folder, "results"),
            "figures": {seed: thin(nested(found)) for seed, found in bars["by_seed"].items()},
        },
    )
    methods = read(folder / "methods/methods.json")
    yield (
        "methods",
        {
            "command": f"{FIGURES} all-methods",
            "seeds": methods["seeds"],
            "town": methods["town"],
            "set": methods["data"],
            "n": methods["answers"],
            "seconds": seconds(folder, "all-methods"),
            "figures": thin(methods["by_seed"]),
        },
    )
    rewards = read(folder / "reward-models/reward-models.json")
    yield (
        "reward-models",
        {
            "command": f"{FIGURES} reward-models",
            "seeds": rewards["seeds"],
            "town": rewards["town"],
            "set": rewards["set"],
            "n": rewards["n"],
            "seconds": seconds(folder, "reward-models"),
            "figures": thin(rewards["by_seed"]),
        },
    )
    constitution = read(folder / "constitutional/constitutional.json")
    for found in constitution["by_seed"].values():
        found.pop("topics")
    yield (
        "constitution",
        {
            "command": f"{FIGURES} constitution",
            **measured(constitution),
            "seconds": seconds(folder, "constitution"),
            "figures": thin(constitution["by_seed"]),
        },
    )
    redteam = read(folder / "redteam/redteam.json")
    yield (
        "redteam",
        {
            "command": f"{FIGURES} redteam",
            **measured(redteam),
            "seconds": seconds(folder, "redteam"),
            "figures": thin(redteam["by_seed"]),
        },
    )
    yield "recipes", recipes(folder / "recipes") | {"seconds": seconds(folder, "recipes")}


def recipes(folder: Path) -> dict[str, Any]:
    """Every recipe's models by seed; beside them what the published settings gave, and gradients of text."""
    figures: dict[str, dict[str, Any]] = {}
    for name in RECIPES:
        for run in sorted(folder.glob(f"{name}-[0-9]*/summary.json")):
            summary = read(run)
            found = of_recipe(summary) | {"sampled_tokens": summary["sampled_tokens"]}
            if reward := summary.get("reward_model"):
                found["reward_model"] = thin(reward)
            figures.setdefault(str(summary["seed"]), {})[name] = found
    ptx = read(folder / "ptx.json")
    for seed, found in figures.items():
        found["ptx"] = thin(ptx[seed])
        published = {
            file.stem.removeprefix("published-"): read(file) for file in folder.glob("published-*.json")
        }
        found["published"] = {name: thin(published[name][seed]) for name in sorted(published)}
    return {
        "command": f"{FIGURES} recipes",
        "seeds": sorted(map(int, figures)),
        "town": 2,
        "set": "town:exam",
        "n": {"gold": 2000, "compliance_with_harm": 300, "over_refusal": 300, "known_facts": 567},
        "figures": figures,
    }


def studies(folders: list[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    for folder in folders:
        summary = read(folder / "summary.json")
        name, seeds = summary["study"], ",".join(map(str, summary["seeds"]))
        test = summary["settings"].get("test", "")
        line = f"alignlab study {name} --seeds {seeds}" + (f" --test {test}" if test else "")
        made = commit(*(Path(stage["run"]) / "run.json" for stage in summary["stages"]))
        yield name, {"command": line, "set": test, **of_study(summary), "commit": made}


def commit(*runs: Path) -> str:
    """Of the first of these `run.json` that says one; empty where none does."""
    for run in runs:
        if run.exists() and (found := read(run).get("commit")):
            return found[:7]
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figures", type=Path, help="the folder of benchmarks/figures.py")
    parser.add_argument("studies", type=Path, nargs="*", help="folders of other finished studies")
    args = parser.parse_args()
    ours = [path for path in sorted((args.figures / "studies").iterdir()) if (path / "summary.json").exists()]
    machine = "2 processor cores, no GPU"
    made = commit(*sorted((args.figures / "recipes").rglob("run.json")))
    out = HERE / "record"
    out.mkdir(exist_ok=True)
    total = 0
    rows = [(name, {"commit": made, **found}) for name, found in pages(args.figures)]
    for name, found in [*rows, *studies([*ours, *args.studies])]:
        figures = found.pop("figures")
        text = written({"schema": 1, "name": name, **found, "machine": machine, "figures": figures})
        (out / f"{name}.json").write_text(text, encoding="utf-8")
        total += len(text.encode())
        print(f"{name:<22} {len(text.encode()):>9,} bytes")
    print(f"{total:,} bytes in all, of at most {MOST:,}")
    if total > MOST:
        raise SystemExit("the records are too large for the package")


if __name__ == "__main__":
    main()
