#!/usr/bin/env python3
"""lm-evaluation-harness against `alignlab serve`, unchanged: a multiple-choice task through `/v1/completions`
with echo and log-probabilities of token ids.

    pip install "lm_eval[api]" transformers; python benchmarks/clients/lm_eval_task.py URL MODEL TOKENIZER
    [CONTEXT]

URL as http://127.0.0.1:8000/v1; TOKENIZER is the model's folder, CONTEXT the tokens it reads (512). The task
is a file written here: 40 questions, each a text whose end is right beside three that are not. Prints the
harness's own table, and what it used: requests are lists of token ids.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TASK = """
task: alignlab_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
target_delimiter: " "
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
"""
BEGINNINGS = [
    "The baker opens the",
    "In the morning the",
    "She went to the market and bought",
    "The old bridge over the",
    "Every child in town knows the",
]
RIGHT, WRONG = ["shop", "river", "bread", "mill"], ["xqzv", "!!!!", "of of", "7 7 7"]


def main(url: str, model: str, tokenizer: str, context: str = "512") -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.jsonl"
        rows = []
        for i in range(40):
            choices = WRONG[:3]
            choices.insert(i % 4, RIGHT[i // 10])
            rows.append({"question": BEGINNINGS[i % 5], "choices": choices, "answer": i % 4})
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        (Path(folder) / "task.yaml").write_text(TASK.format(file=data))
        arguments = (
            f"model={model},base_url={url}/completions,tokenizer={tokenizer},tokenizer_backend=huggingface,"
            f"num_concurrent=4,max_length={context},max_retries=1"
        )
        subprocess.run(
            [
                sys.executable,
                "-m",
                "lm_eval",
                "--model",
                "local-completions",
                "--model_args",
                arguments,
                "--tasks",
                "alignlab_choice",
                "--include_path",
                folder,
                "--batch_size",
                "8",
            ],
            env={
                **os.environ,
                "HF_HUB_OFFLINE": "1",
                "HF_DATASETS_CACHE": f"{folder}/cache",
                "OPENAI_API_KEY": "none",
            },
            check=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:5])
