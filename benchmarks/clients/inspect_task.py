#!/usr/bin/env python3
"""Inspect against `alignlab serve`, unchanged: a task of inspect-evals through its `openai-api` provider.

    pip install inspect-ai inspect-evals openai; python benchmarks/clients/inspect_task.py URL MODEL [TASK] [SAMPLES]

URL as http://127.0.0.1:8000/v1. Prints the log's status, its scores, and the first answer.
"""

from __future__ import annotations

import os
import sys
import tempfile


def main(url: str, model: str, task: str = "inspect_evals/personality_BFI", samples: str = "12") -> None:
    os.environ |= {"ALIGNLAB_BASE_URL": url, "ALIGNLAB_API_KEY": "none", "INSPECT_DISPLAY": "plain"}
    from inspect_ai import eval as evaluate

    with tempfile.TemporaryDirectory() as folder:
        [log] = evaluate(task, model=f"openai-api/alignlab/{model}", limit=int(samples), log_dir=folder, max_tokens=48, max_connections=8)
    print("status:", log.status, log.error.message if log.error else "")
    for score in log.results.scores if log.results else []:
        print(score.name, {name: round(metric.value, 3) for name, metric in score.metrics.items()})
    first = (log.samples or [None])[0]
    if first:
        print("first answer:", repr(first.output.completion), first.output.stop_reason, "of", len(log.samples or []), "samples; usage", log.stats.model_usage)


if __name__ == "__main__":
    main(*sys.argv[1:5])
