"""A GPU beside the processor: the same losses and gradients, runs that go on there, and how fast it is.

    python benchmarks/gpu.py --out runs/gpu [--smollm2 FOLDER]

Three parts, dearest last; each says when it ends, and none begins after --minutes. `--device cpu` sets the
processor beside itself, at toy sizes: that the script works.

same     each method on the town for two steps, fp32, on both: the largest difference of loss and gradient
         norm, and of greedy and sampled completions how many are the same.
resume   RLOO, stopped on the processor after two steps or a few more, and gone on with on the device.
speed    SmolLM2-135M (the town without it) in bf16: tokens a second that are learnt from or written, peak
         memory, and the share of the device's peak that 6 FLOP a parameter and such a token are.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from alignlab import cli, lab

ON_POLICY = ["--judge", "town:gold", "--data", "town:prompts", "--count", "64", "--rollouts", "16"]
PAIRS = ["--data", "town:test-pairs", "--count", "16", "--batch", "8", "--epochs", "1", "--held-out", "0"]
METHODS = {
    "sft": ["--data", "town:demos", "--count", "16", "--batch", "8", "--epochs", "1", "--held-out", "0"],
    "reward": PAIRS,
    "dpo": PAIRS,
    "orpo": PAIRS,
    "simpo": PAIRS,
    "rloo": [*ON_POLICY, "--steps", "2"],
    "grpo": [*ON_POLICY, "--steps", "2"],
    "ppo": [*ON_POLICY, "--steps", "2"],
}
COMPARED = ("loss", "loss/policy_avg", "policy/loss_avg", "grad_norm", "policy/grad_norm", "objective/kl")
FAST = ("sft", "dpo", "rloo", "ppo")
PEAK = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L4": 121e12, "T4": 65e12}
"""Dense products a second in 16 bits, by the makers' data sheets."""


def run(method: str, out: Path, words: Sequence[str], device: str) -> list[dict[str, Any]]:
    """A run's metrics by step. Raises SystemExit: it did not end well."""
    command = [method, *words, "--model.device", device, "--out", str(out), "--seed", "0"]
    if code := cli.main(command):
        raise SystemExit(f"alignlab {' '.join(command)} ended with {code}")
    return [json.loads(row) for row in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def apart(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> float:
    """The largest relative difference of a loss, a gradient norm or a KL."""
    pairs = [(a[name], b[name]) for a, b in zip(one, other, strict=True) for name in COMPARED if name in a]
    if not any(a for a, _ in pairs):
        raise SystemExit("nothing was learnt: there is nothing to compare")
    return max(abs(a - b) / max(abs(a), 1e-3) for a, b in pairs)


def start(out: Path) -> str:
    """An SFT model of the town that ends its answers: on-policy methods begin with it."""
    words = ["--data", "town:demos", "--count", "800", "--epochs", "1", "--model.precision", "fp32"]
    run("sft", out / "start", words, "cpu")
    return str(out / "start")


def same(out: Path, device: str) -> None:
    begun = start(out)
    print("| method | largest relative difference of loss, gradient norm and KL, 2 steps |\n|---|---|")
    for method, words in METHODS.items():
        plain = [*words, "--model", begun if "--rollouts" in words else "town", "--model.precision", "fp32"]
        cpu = run(method, out / f"cpu-{method}", plain, "cpu")
        there = run(method, out / f"gpu-{method}", plain, device)
        print(f"| {method} | {apart(cpu, there):.1e} |", flush=True)
    prompts = lab.prompts("town:test", count=64)
    for temperature, word in ((0.0, "greedy"), (1.0, "sampled")):
        said = []
        for on in ("cpu", device):
            policy = lab.policy(begun, trainable=False)
            policy.model.to(on)
            said.append([c.ids for c in lab.answer(policy, prompts, temperature=temperature)])
        equal = sum(a == b for a, b in zip(*said, strict=True))
        print(f"| {word} completions of {len(prompts)} that are the same | {equal} |", flush=True)


def resume(out: Path, device: str) -> None:
    words = [*ON_POLICY, "--model", start(out), "--model.precision", "fp32", "--steps", "12"]
    whole, half = run("rloo", out / "whole", words, "cpu"), out / "half"
    command = [sys.executable, "-m", "alignlab.cli", "rloo", *words, "--model.device", "cpu"]
    metrics = half.with_name("half.partial") / "metrics.jsonl"
    process = subprocess.Popen([*command, "--out", str(half), "--seed", "0"])
    while process.poll() is None and (not metrics.exists() or metrics.read_bytes().count(b"\n") < 2):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.wait()
    done = metrics.read_bytes().count(b"\n")  # no file: it was done before it could be stopped
    gone_on = run("rloo", half, words, device)
    print(
        f"| gone on with on the device after {done} of 12 steps | {apart(whole, gone_on):.1e} |", flush=True
    )


def speed(out: Path, device: str, model: str) -> None:
    cuda = device.startswith("cuda")
    name = torch.cuda.get_device_name() if cuda else "cpu"
    peak = next((flops for key, flops in PEAK.items() if key in name), 0.0)
    parameters = sum(p.numel() for p in lab.policy(model, trainable=False).model.parameters())
    many = 8 if cuda else 1
    print(f"| {model}, {name} | a second, loading included | peak memory, GB | share of the peak |")
    print("|---|---|---|---|")
    for method in FAST:
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        on_policy, count = "--rollouts" in METHODS[method], 250 * many
        more = ["--steps", str(4 * many)] if on_policy else ["--count", str(count)]
        begun = time.perf_counter()
        rows = run(method, out / f"fast-{method}", [*METHODS[method], *more, "--model", model], device)
        seconds = time.perf_counter() - begun
        memory = torch.cuda.max_memory_allocated() / 1e9 if cuda else 0.0
        if method == "dpo":
            print(f"| dpo | {count / seconds:.1f} pairs | {memory:.2f} | - |", flush=True)
            continue
        tokens = rows[-1].get("num_tokens") or sum(16 * row["completions/mean_length"] for row in rows)
        share = f"{6 * parameters * tokens / seconds / peak:.3f}" if peak else "-"
        print(f"| {method} | {tokens / seconds:.0f} tokens | {memory:.2f} | {share} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--smollm2", default="town", help="a folder or .gguf file of SmolLM2-135M")
    parser.add_argument("--minutes", type=float, default=8.0)
    asked = parser.parse_args()
    until = time.monotonic() + 60 * asked.minutes
    for part in (same, resume, speed):
        if time.monotonic() > until:
            print(f"{part.__name__}: no time left")
            continue
        part(asked.out, asked.device, *([asked.smollm2] if part is speed else []))
        print(f"{part.__name__} ended, {until - time.monotonic():.0f} s left", flush=True)


if __name__ == "__main__":
    main()
