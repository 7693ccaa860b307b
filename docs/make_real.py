"""Writes docs/real-models.md from what benchmarks/real_model.py measured.

    python docs/make_real.py runs/real/real.json MODEL_FOLDER DATA_FOLDER
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

DOCS = Path(__file__).parent


def main() -> None:
    spec = importlib.util.spec_from_file_location("real_model", DOCS.parent / "benchmarks" / "real_model.py")
    assert spec and spec.loader
    real = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(real)
    rows = json.loads(Path(sys.argv[1]).read_text())
    out = str(Path(sys.argv[1]).parent)

    def plain(command: str) -> str:
        return command.replace(sys.argv[2], "MODEL").replace(sys.argv[3].rstrip("/"), "DATA").replace(out, "runs/real")

    table = "\n".join(f"| {row['name']} | {real.figure(row)} | {row['seconds']:.0f} | {row['tokens_per_second']:.0f} | {row['peak_gb']:.1f} |" if row["tokens_per_second"]
                      else f"| {row['name']} | {real.figure(row)} | {row['seconds']:.0f} | | {row['peak_gb']:.1f} |" for row in rows)
    shown = "\n".join(f"- {row['name']}: `{plain(row['command'])}`" for row in rows)
    (DOCS / "real-models.md").write_text(f"""# On a real model

The same stages on SmolLM2-135M-Instruct (bf16 weights, fp32 masters, one thread, another job on the other core), with OASST conversations, OASST ranked pairs and Anthropic HH harmless
pairs. `full` trains all weights, `lora` an adapter of rank 16. Measured by `python benchmarks/real_model.py`; one seed. Tokens a second counts trained tokens over the whole run, measuring included.

| stage | figure | seconds | tokens/s | peak GB |
|---|---|---|---|---|
{table}

A few hundred rows and a model of 135M parameters move little, and the intervals say so: an accuracy whose interval holds the length floor and one half has shown nothing. What this page shows is
that every stage runs to its end on real formats, and what it costs.

The commands:

{shown}

Each run's `checkpoint/` loads in plain transformers (`AutoModelForCausalLM`; `AutoModelForSequenceClassification` for the reward model) or, for an adapter, in PEFT.
""", encoding="utf-8")


if __name__ == "__main__":
    main()
