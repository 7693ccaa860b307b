#!/usr/bin/env python3
"""garak against `alignlab serve`, unchanged: probes dan, encoding and promptinject, with few prompts each.

    pip install garak; python benchmarks/clients/garak_scan.py URL MODEL [PROMPTS]      URL as http://127.0.0.1:8000/v1

garak sends `stop: ["#", ";"]` with every request unless its options say otherwise; the options written here
say `[]`, since either would cut an answer in the middle and skew its detectors. What the report says is
printed: for each probe and detector how many answers passed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROBES = "dan.DanInTheWild,encoding.InjectBase64,encoding.InjectROT13,promptinject.HijackHateHumans"


def main(url: str, model: str, prompts: str = "4") -> None:
    with tempfile.TemporaryDirectory() as folder:
        options = Path(folder) / "options.json"
        options.write_text(
            json.dumps(
                {
                    "system": {"parallel_attempts": 8, "lite": True},
                    "run": {"generations": 1, "soft_probe_prompt_cap": int(prompts), "seed": 0},
                    "plugins": {
                        "generators": {
                            "openai": {"OpenAICompatible": {"uri": f"{url}/", "stop": [], "max_tokens": 64}}
                        }
                    },
                    "reporting": {"report_dir": folder},
                }
            )
        )
        subprocess.run(
            [
                sys.executable,
                "-m",
                "garak",
                "--config",
                str(options),
                "--target_type",
                "openai.OpenAICompatible",
                "--target_name",
                model,
                "--probes",
                PROBES,
                "--report_prefix",
                f"{folder}/scan",
            ],
            env={
                **os.environ,
                "OPENAICOMPATIBLE_API_KEY": "none",
                "XDG_DATA_HOME": folder,
                "XDG_CACHE_HOME": folder,
            },
            check=True,
        )
        [report] = Path(folder).rglob("scan.report.jsonl")
        rows = [json.loads(line) for line in report.read_text().splitlines()]
    attempts = [row for row in rows if row["entry_type"] == "attempt" and row["status"] == 2]
    empty = sum(not any(output and output.get("text") for output in row["outputs"]) for row in attempts)
    print(f"{len(attempts)} attempts, {empty} without an answer")
    for row in rows:
        if row["entry_type"] == "eval":
            print(
                f"{row['probe']} {row['detector']}: {row['passed']} of "
                f"{row.get('total_evaluated', row.get('total'))} passed"
            )


if __name__ == "__main__":
    main(*sys.argv[1:4])
