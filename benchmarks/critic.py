"""How well critics of the town criticise, revise and judge under a given principle: drafts of people and of
models, requests of training and of the exam.

    python benchmarks/critic.py --critics runs/critic town --authors runs/sft --out runs/critics.json

Each split (questions of training; new questions asked in known ways, and in new ways, of the exam) has as
many requests as the others, each once, of all kinds and of the red team's (harmful ones and their
look-alikes). `town` is the control: the base model, which has never seen a principle given first.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alignlab import names
from alignlab.constitution.files import load
from alignlab.models.load import load_policy
from alignlab.sampling import Sampling
from alignlab.sampling.local import LocalSampler
from alignlab.settings import ModelSettings
from alignlab.town.exam import SEEDS
from alignlab.town.measure import critic
from alignlab.town.tasks import Request
from alignlab.town.world import build


def sampler(name: str, *, documents: bool) -> LocalSampler:
    policy = load_policy(names.models.model(name).path, ModelSettings())
    return LocalSampler.of(policy, slots=256, name=name, documents=documents)


def drafts_of_model(author: str, requests: Sequence[Request], *, seed: int) -> list[critic.Draft]:
    written = sampler(author, documents=False).sample(
        [r.prompt() for r in requests], Sampling(max_new_tokens=48, temperature=1.0), seed=seed
    )
    return [(request, completion.text) for request, (completion,) in zip(requests, written, strict=True)]


def shown(value: dict[str, Any] | None) -> str:
    return f"{value['mean']:.3f} ({value['n']})" if value else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--critics", nargs="+", default=["town"])
    parser.add_argument("--authors", nargs="*", default=[])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=SEEDS[0])
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    world, constitution, rows = build(), load("town"), []
    sources: dict[str, list[critic.Draft]] = {}
    for name, kinds in critic.CASES.items():
        asked = critic.asked(world, options.count, seed=options.seed, kinds=kinds, side="exam")
        sources[f"people, {name}"] = critic.drafts_of_people(world, asked, seed=options.seed)
        for author in options.authors:
            sources[f"{author}, {name}"] = drafts_of_model(author, asked, seed=options.seed)
    for name in options.critics:
        reader = sampler(name, documents=True)
        for source, drafts in sources.items():
            found = critic.measure(world, reader, constitution, drafts, seed=options.seed)
            rows.append({"critic": name, "drafts": source, **found})
            print(f"\n{name} on drafts of {source}; ECE {found['verdicts']['ece']:.3f}")
            for split in (*critic.SPLITS, "all"):
                c, v = found["critiques"].get(split, {}), found["verdicts"].get(split, {})
                figures = {k: shown(c.get(k)) for k in ("fires", "silent", "names", "mends")} | {
                    k: shown(v.get(k)) for k in ("verdicts", "undecided", "order_effect")
                }
                print(f"  {split:<9}" + "  ".join(f"{k} {value}" for k, value in figures.items()), flush=True)
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
