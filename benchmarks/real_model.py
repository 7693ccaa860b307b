"""The stages on a real model with real data, full weights and LoRA: figures, seconds, peak memory.

    python benchmarks/real_model.py MODEL_FOLDER --data DATA_FOLDER --out runs/real [--only sft-lora reward-full ...]

MODEL_FOLDER: any chat model in transformers' layout (measured with SmolLM2-135M-Instruct). DATA_FOLDER holds
oasst_sample/oasst_conversations.jsonl, oasst_sample/oasst_ranked_pairs.jsonl and hh_rlhf/harmless-base-train-1788.jsonl.gz.
Every stage is a command; the table names them. Sizes are those that two cores finish in minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ADAPTER = ["--adapter.rank", "16"]
LR = {"full": {"sft": "2e-5", "reward": "2e-5", "dpo": "5e-6", "ppo": "3e-6"}, "lora": {"sft": "2e-4", "reward": "2e-4", "dpo": "1e-4", "ppo": "5e-5"}}


def commands(model: str, data: Path, out: Path) -> dict[str, list[str]]:
    """Every stage as arguments of `alignlab`, by name."""
    chats, pairs = str(data / "oasst_sample/oasst_conversations.jsonl"), str(data / "oasst_sample/oasst_ranked_pairs.jsonl")
    harmless = str(data / "hh_rlhf/harmless-base-train-1788.jsonl.gz")
    found: dict[str, list[str]] = {}
    for how in ("lora", "full"):
        extra = ADAPTER if how == "lora" else []
        lr = LR[how]
        found[f"sft-{how}"] = ["sft", "--model", model, "--data", chats, "--count", "240", "--max-length", "384", "--epochs", "1", "--batch", "8",
                               "--micro-batch", "4", "--held-out", "0.2", "--optim.lr", lr["sft"], *extra]
        found[f"reward-{how}"] = ["reward", "--model", model, "--data", harmless, "--count", "260", "--max-length", "224", "--held-out", "0.4",
                                  "--batch", "8", "--optim.lr", lr["reward"], *extra]
        found[f"dpo-{how}"] = ["dpo", "--model", model, "--data", pairs, "--max-length", "256", "--held-out", "0.3", "--batch", "8", "--micro-batch", "4",
                               "--epochs", "1", "--optim.lr", lr["dpo"], *extra]
        found[f"ppo-{how}"] = ["ppo", "--model", model, "--reward", str(out / f"reward-{how}"), "--data", harmless, "--count", "400",
                               "--max-prompt-length", "64", "--steps", "30", "--rollouts", "8", "--minibatch", "8", "--epochs", "1", "--kl-coef", "0.05",
                               "--sampling.max-new-tokens", "24", "--sampling.slots", "8", "--missing-end-penalty", "0", "--optim.lr", lr["ppo"], *extra]
    found["best-of-n"] = ["best-of-n", "--model", model, "--reward", str(out / "reward-lora"), "--data", harmless, "--count", "24", "--n", "4",
                          "--sampling.max-new-tokens", "48"]
    return found


def measure(name: str, arguments: list[str], out: Path) -> dict:
    """Run one command in a process of its own: wall seconds, peak resident memory of it, and its summary."""
    folder, log = out / name, out / f"{name}.log"
    command = [sys.executable, "-m", "alignlab.cli", *arguments, "--out", str(folder)]
    begun = time.perf_counter()
    with open(log, "ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{name} failed, see {log}")
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()] if (folder / "metrics.jsonl").exists() else []
    info = json.loads((folder / "run.json").read_text())
    return {"name": name, "command": "alignlab " + " ".join(arguments), "wall_seconds": time.perf_counter() - begun, "seconds": info["seconds"],
            "peak_gb": usage.ru_maxrss / 1e6, "summary": json.loads((folder / "summary.json").read_text()),
            "first": metrics[0] if metrics else {}, "last": metrics[-1] if metrics else {}, "steps": len(metrics),
            "tokens_per_second": metrics[-1]["num_tokens"] / info["seconds"] if metrics and "num_tokens" in metrics[-1] else None}


def figure(row: dict) -> str:
    """What a stage is judged by, in words."""
    s, kind = row["summary"], row["name"].split("-")[0]
    rate = lambda x: f"{x['mean']:.3f} [{x['ci'][0]:.3f}, {x['ci'][1]:.3f}], n = {x['n']}"  # noqa: E731
    if kind == "sft":
        return f"held-out loss {s['eval_loss_before']:.3f} -> {s['eval_loss']:.3f} ({s['held_out']} conversations)"
    if kind == "reward":
        return f"held-out accuracy {rate(s['accuracy'])}; longer answer {s['length_floor']['mean']:.3f}"
    if kind == "dpo":
        return f"held-out accuracy {rate(s['accuracy'])}, margin {s['margin']:.3f}"
    if kind == "ppo":
        return f"reward {s['score_first']:.3f} -> {s['score_last']:.3f}, KL {s['kl_last']:.2f} nats, {s['steps']} updates"
    return f"proxy of one {s['proxy_one']['mean']:.3f}, of the best of {s['n']} {s['proxy']['mean']:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/real"))
    parser.add_argument("--only", nargs="+", default=[])
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, arguments in commands(args.model, args.data, args.out).items():
        if args.only and name not in args.only:
            continue
        rows.append(measure(name, arguments, args.out))
        print(f"| {name} | {figure(rows[-1])} | {rows[-1]['seconds']:.0f} | {rows[-1]['peak_gb']:.1f} |", flush=True)
        (args.out / "real.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
