#!/usr/bin/env python3
"""Tokens sampled per second: this code against an older checkout of it, and against transformers' generate().

    python benchmarks/sampling.py town --old ../before --slots 64 256
    python benchmarks/sampling.py FOLDER --generate --precision fp32

The sides are processes that live side by side and take turns: each samples once, then the next, so that a
machine's moods fall on all of them, and what is compared are medians of the rounds. Tokens are counted up to
and with the end token; the seconds are those of the process's CPU time unless `--clock wall` (on a quiet
machine: with more than one thread the two differ). `generate` draws other tokens than we do, so compare
tokens per second. `differ`: completions of which the old code wrote other ids than the new.

MODEL is a transformers folder with a chat template, or `town`: the town's base model, which is asked what
the town is asked. `--requests town` asks a model trained on it the same.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

HERE = Path(__file__).resolve().parent.parent
REQUESTS = [
    "Name a river.",
    "Which city is the capital of Norway?",
    "Describe a thunderstorm in two sentences.",
    "What should I pack for a day in the mountains? Three items.",
    "Is iron a metal? One word.",
    "Tell a very short story about a clockmaker who loses the time.",
    "How much is 9 minus 4?",
    "List five vegetables.",
    "Say in one sentence why leaves turn brown in autumn.",
    "How do you say 'thank you' in French?",
    "Suggest a name for a small boat.",
    "How do I sew on a button?",
    "Write a friendly note that asks a neighbour to water my plants while I am away next week.",
    "What do spiders spin?",
    "Greet me.",
    "Why is it good to read aloud?",
]


class Side:
    """One way to sample, in a process of its own that waits for its turn."""

    def __init__(self, name: str, root: Path, task: dict[str, Any]) -> None:
        self.name, self.rounds = name, list[dict[str, Any]]()
        # the folder alone decides whose alignlab is imported
        environment = os.environ | {"PYTHONPATH": str(root / "src")}
        command = [sys.executable, str(Path(__file__).resolve()), "--side", json.dumps(task)]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def turn(self, seed: int) -> dict[str, Any]:
        """Sample once."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(seed, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with status {self.process.wait()}")
        self.rounds.append(json.loads(line))
        return self.rounds[-1]

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def side(task: dict[str, Any]) -> None:
    """The other end of a `Side`: a line with a seed in, a line with what came of it out."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if task["threads"]:
        torch.set_num_threads(task["threads"])
    tokenizer = AutoTokenizer.from_pretrained(task["model"])
    dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[task["precision"]]
    model = AutoModelForCausalLM.from_pretrained(task["model"], dtype=dtype).eval()
    sample = generating(model, tokenizer, task) if task["generate"] else ours(model, tokenizer, task)
    sample(0, 2)  # warm
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        ids = sample(int(line), task["max_new_tokens"])
        found = {
            "tokens": sum(map(len, ids)),
            "wall": time.perf_counter() - wall,
            "cpu": time.process_time() - cpu,
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            "ids": [] if task["generate"] else ids,
        }
        print(json.dumps(found), flush=True)


def ours(model: Any, tokenizer: Any, task: dict[str, Any]) -> Any:
    """Samples through whichever alignlab is imported, in words that an older one knows too."""
    from alignlab.records import Prompt
    from alignlab.sampling.local import LocalSampler

    width = {"slots": task["slots"]} if task["slots"] else {}
    sampler = LocalSampler(model, tokenizer, **width)
    prompts = [Prompt.user(text) for text in task["requests"]]
    how = {"n": task["per_prompt"], "temperature": task["temperature"], "top_p": task["top_p"]}

    def sample(seed: int, most: int) -> list[list[int]]:
        groups = sampler.sample(prompts, max_new_tokens=most, seed=seed, **how)
        return [list(completion.ids) for group in groups for completion in group]

    return sample


def generating(model: Any, tokenizer: Any, task: dict[str, Any]) -> Any:
    """Samples by transformers, all sequences side by side."""
    import torch

    texts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False
        )
        for text in task["requests"]
        for _ in range(task["per_prompt"])
    ]
    batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
    batch.pop("token_type_ids", None)
    ends = torch.tensor(model.generation_config.eos_token_id).reshape(-1)
    how = {"do_sample": True, "top_k": 0, "top_p": task["top_p"], "temperature": task["temperature"]}

    def sample(seed: int, most: int) -> list[list[int]]:
        torch.manual_seed(seed)
        with torch.inference_mode():
            ids_BT = model.generate(**batch, max_new_tokens=most, **how)[:, batch["input_ids"].shape[1] :]
        ended_BT = torch.isin(ids_BT, ends)
        lengths_B = torch.where(ended_BT.any(1), ended_BT.int().argmax(1) + 1, ids_BT.shape[1])
        return [ids[:length] for ids, length in zip(ids_BT.tolist(), lengths_B.tolist(), strict=True)]

    return sample


def compared(sides: list[Side], clock: str) -> dict[str, Any]:
    """Medians over the rounds: tokens per second of each side, and how many times as fast the new code is."""
    rates = {s.name: [r["tokens"] / r[clock] for r in s.rounds] for s in sides}
    row: dict[str, Any] = {}
    for s in sides:
        row[s.name] = {
            "tokens_per_second": round(statistics.median(rates[s.name])),
            "peak_mb": s.rounds[-1]["peak_mb"],
        }
    new = rates["new"]
    for name, other in rates.items():
        if name != "new":
            ratios = sorted(a / b for a, b in zip(new, other, strict=True))
            row[f"new / {name}"] = [round(r, 2) for r in (statistics.median(ratios), ratios[0], ratios[-1])]
    by_name = {s.name: s for s in sides}
    if "old" in by_name:
        pairs = zip(by_name["new"].rounds, by_name["old"].rounds, strict=True)
        ids = [(a, b) for one, other in pairs for a, b in zip(one["ids"], other["ids"], strict=True)]
        row["differ"] = f"{sum(a != b for a, b in ids)} of {len(ids)}"
    return row


def town_requests(count: int) -> list[str]:
    """What the town's test asks."""
    sys.path.insert(0, str(HERE / "src"))
    from alignlab.town import sets
    from alignlab.town.world import build

    return [pair.prompt.text for pair in sets.load(build(), "test-pairs", count=count)]


def main() -> None:
    if sys.argv[1:2] == ["--side"]:
        return side(json.loads(sys.argv[2]))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a transformers folder with a chat template, or town")
    parser.add_argument("--old", type=Path, help="a checkout to compare with")
    parser.add_argument("--generate", action="store_true", help="compare with transformers' generate()")
    parser.add_argument("--requests", choices=["plain", "town"], default="plain")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--per-prompt", type=int, default=4)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="fp32")
    parser.add_argument("--slots", type=int, nargs="+", default=[0], help="widths to try; 0 = the default")
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch, in each side; 0 = as it chooses")
    parser.add_argument("--clock", choices=["cpu", "wall"], default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    requests = REQUESTS
    if args.model == "town" or args.requests == "town":
        requests = town_requests(args.prompts)
    if args.model == "town":
        args.model = str(HERE / "src" / "alignlab" / "town" / "models" / "town-m")
    task = vars(args) | {
        "old": None,
        "requests": [requests[i % len(requests)] for i in range(args.prompts)],
        "generate": False,
    }
    for slots in args.slots:
        sides = [Side("new", HERE, task | {"slots": slots})]
        if args.old:
            sides.append(Side("old", args.old.resolve(), task | {"slots": slots}))
        if args.generate:
            sides.append(Side("generate", HERE, task | {"generate": True}))
        for seed in range(args.rounds):
            for one in sides if seed % 2 else reversed(sides):
                one.turn(seed)
        for one in sides:
            one.close()
        print(json.dumps({"slots": slots} | compared(sides, args.clock)), flush=True)


if __name__ == "__main__":
    main()
