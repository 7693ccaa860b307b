#!/usr/bin/env python3
"""Inspect against `alignlab serve`, unchanged: the task boolq of inspect-evals through Inspect's `openai-api`
provider.

    pip install inspect-ai inspect-evals openai; python benchmarks/clients/inspect_task.py URL MODEL [SAMPLES]

URL as http://127.0.0.1:8000/v1. The task's own data set lies on a hub; where that cannot be reached, passages
and questions written here take its place, read by the task's own function: its prompt, solver and scorer are
as they are. Prints the log's status, its scores, and the first answer.
"""

from __future__ import annotations

import os
import sys
import tempfile
from importlib import import_module

SHOPS = [
    ("bakery", "seven"),
    ("mill", "nine"),
    ("smithy", "six"),
    ("school", "eight"),
    ("market", "five"),
    ("library", "ten"),
]


def main(url: str, model: str, samples: str = "12") -> None:
    os.environ |= {
        "ALIGNLAB_BASE_URL": url,
        "ALIGNLAB_API_KEY": "none",
        "INSPECT_DISPLAY": "plain",
        "HF_HUB_OFFLINE": "1",
    }
    from inspect_ai import eval as evaluate
    from inspect_ai.dataset import MemoryDataset

    module = import_module("inspect_evals.boolq.boolq")

    rows = [
        {
            "passage": f"The {shop} opens at {hour}.",
            "question": f"does the {shop} open at {asked}?",
            "answer": hour == asked,
        }
        for shop, hour in SHOPS
        for asked in (hour, "four")
    ]
    module.hf_dataset = lambda sample_fields, **_: MemoryDataset([sample_fields(row) for row in rows])
    with tempfile.TemporaryDirectory() as folder:
        [log] = evaluate(
            module.boolq(),
            model=f"openai-api/alignlab/{model}",
            limit=int(samples),
            log_dir=folder,
            max_tokens=32,
            temperature=0,
            max_connections=8,
        )
        print("status:", log.status, log.error.message if log.error else "")
        for score in log.results.scores if log.results else []:
            print(
                log.eval.task,
                score.name,
                {name: round(metric.value, 3) for name, metric in score.metrics.items()},
            )
        for sample in (log.samples or [])[:1]:
            print(
                "first answer:",
                repr(sample.output.completion),
                sample.output.stop_reason,
                "of",
                len(log.samples or []),
                "samples; usage",
                log.stats.model_usage,
            )


if __name__ == "__main__":
    main(*sys.argv[1:4])
