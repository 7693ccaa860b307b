#!/usr/bin/env python3
"""Rollouts to natural ends: alignlab's sampler against transformers' own generate(), on the same model,
prompts and machine.

    python benchmarks/sampling.py MODEL_FOLDER [--prompts 16] [--per-prompt 4] [--max-new-tokens 64]
    [--precision bf16] [--rounds 3]

Each measurement runs in a process of its own, the two sides in turn, so that drift of the machine falls on
both and peak memory is that of one side. Prints one JSON line a measurement (tokens up to and with the end
token, seconds, tokens a second, peak memory in MB), then one with the medians and their ratios. Both sides
sample at temperature 1 and draw different tokens, so compare tokens a second, not seconds.
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
from typing import Any

from alignlab.sampling import Sampling

os.environ.setdefault("HF_HUB_OFFLINE", "1")

PROMPTS = [
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


def ours(model: Any, tokenizer: Any, args: argparse.Namespace) -> tuple[int, float]:
    from alignlab.records import Prompt
    from alignlab.sampling.local import LocalSampler

    sampler = LocalSampler(model, tokenizer, slots=args.slots or args.prompts * args.per_prompt)
    prompts = [Prompt.user(PROMPTS[i % len(PROMPTS)]) for i in range(args.prompts)]
    sampler.sample(prompts, Sampling(n=args.per_prompt, max_new_tokens=2))
    start = time.perf_counter()
    groups = sampler.sample(
        prompts, Sampling(n=args.per_prompt, max_new_tokens=args.max_new_tokens), seed=args.seed
    )
    return sum(len(c.ids) for group in groups for c in group), time.perf_counter() - start


def generate(model: Any, tokenizer: Any, args: argparse.Namespace) -> tuple[int, float]:
    import torch

    torch.manual_seed(args.seed)
    turns = [
        [{"role": "user", "content": PROMPTS[i % len(PROMPTS)]}]
        for i in range(args.prompts)
        for _ in range(args.per_prompt)
    ]
    texts = [
        tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False) for turn in turns
    ]
    batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
    ends = torch.tensor(model.generation_config.eos_token_id).reshape(-1)
    settings = {"do_sample": True, "top_k": 0, "top_p": 1.0, "temperature": 1.0}
    with torch.inference_mode():
        model.generate(**batch, max_new_tokens=2, **settings)
        start = time.perf_counter()
        ids = model.generate(**batch, max_new_tokens=args.max_new_tokens, **settings)[
            :, batch["input_ids"].shape[1] :
        ]
        seconds = time.perf_counter() - start
    ended = torch.isin(ids, ends)
    return int(torch.where(ended.any(1), ended.int().argmax(1) + 1, ids.shape[1]).sum()), seconds


SIDES = {"transformers.generate": generate, "alignlab": ours}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """One side, once, in this process."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(
        args.model, dtype={"bf16": torch.bfloat16, "fp32": torch.float32}[args.precision]
    ).eval()
    tokens, seconds = SIDES[args.side](model, tokenizer, args)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "side": args.side,
        "precision": args.precision,
        "sequences": args.prompts * args.per_prompt,
        "tokens": tokens,
        "seconds": round(seconds, 3),
        "tokens_a_second": round(tokens / seconds, 1),
        "peak_mb": round(peak),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a transformers folder with a chat template")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--per-prompt", type=int, default=4)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--slots", type=int, default=0, help="rows of alignlab's slab; 0 = one a sequence")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side", choices=SIDES, help="measure this side alone, once, in this process")
    args = parser.parse_args()
    if args.side:
        print(json.dumps(measure(args)))
        return
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for round_ in range(args.rounds):
        for side in SIDES:
            done = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--side", side, "--seed", str(args.seed + round_)],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            found[side].append(json.loads(done.stdout.splitlines()[-1]))
            print(json.dumps(found[side][-1]), flush=True)
    peer, own = (
        {key: statistics.median(row[key] for row in rows) for key in ("tokens_a_second", "peak_mb")}
        for rows in found.values()
    )
    print(
        json.dumps(
            {
                "tokens_a_second": {
                    "transformers.generate": peer["tokens_a_second"],
                    "alignlab": own["tokens_a_second"],
                    "ratio": round(own["tokens_a_second"] / peer["tokens_a_second"], 2),
                },
                "peak_mb": {
                    "transformers.generate": peer["peak_mb"],
                    "alignlab": own["peak_mb"],
                    "ratio": round(own["peak_mb"] / peer["peak_mb"], 2),
                },
            }
        )
    )


if __name__ == "__main__":
    main()
