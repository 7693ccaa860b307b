#!/usr/bin/env python3
"""Samples a second and peak memory against the peers, on the same model, the same work and the same machine,
the two sides in turn.

    python benchmarks/peers.py MODEL_FOLDER --peers SCRIPTS --trl PYTHON_WITH_TRL_1.16 --trl-ppo
    PYTHON_WITH_TRL_1.12 --out peers.json
    python docs/make_speed.py peers.json        writes docs/speed.md

PYTHON_WITH_TRL is the interpreter of an environment with that version of TRL and the same torch and
transformers as this one. `--town` measures the town's own model instead, on the town's own requests. Every
measurement is a process of its own, so that its peak resident memory is that of one side.

What is timed. Peers: the median step of the scripts in the folder SCRIPTS (peer_generate.py, peer_trl.py,
peer_trl_ppo.py), the first step left out. Ours: our own command on the same rows, after a step to warm up:
all steps of an epoch, and what the method does before the first one (the reference's log-probabilities of
DPO). Completions of both sides are sampled to natural ends; the tokens differ, the prompts and the limit do
not. Precision: `auto` is bf16 where the machine multiplies it natively, else fp32, for both sides; TRL's own
mixed precision is slower than either on a CPU. Ours reads a batch in micro-batches of 2 rows or pairs, or of
4 completions (the same update, less memory) unless --whole is given; the peers' scripts read it whole. The
town's model is so small that a micro-batch costs more than it saves: there ours is whole too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

WORKS = ("generate", "sft", "dpo", "reward", "rloo", "grpo", "ppo")
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "ALIGNLAB_SAVE_EVERY_STEPS": "1000000",
}
PEER = """
import json, runpy, sys
folder, script, rows = sys.argv[1:4]
sys.path.insert(0, folder)
sys.argv = sys.argv[3:]
module = __import__(script)
if rows:
    rows = [json.loads(line) for line in open(rows)]
    if hasattr(module, "workload"):
        module.workload = lambda seed, count=64: rows
    import peer_generate
    peer_generate.PROMPTS = [row["prompt"] for row in rows[:16]]
module.main()
"""
"""Runs a peer's script; with a file of rows, on those instead of its own."""


def peer_command(work: str, args: argparse.Namespace, seed: int, rows: str) -> list[str]:
    python = args.trl_ppo if work == "ppo" else args.trl
    script = {"generate": "peer_generate", "ppo": "peer_trl_ppo"}.get(work, "peer_trl")
    command = [python, "-c", PEER, str(Path(args.peers).resolve()), script, rows]
    if work == "generate":
        return [*command, args.model, "--precision", args.precision]
    if work == "ppo":
        return [*command, args.model, "--precision", args.precision, "--updates", str(args.peer_steps)]
    return [
        *command,
        work,
        args.model,
        "--precision",
        args.precision,
        "--steps",
        str(args.peer_steps),
        "--batch",
        "16" if work in ("rloo", "grpo") else "8",
        "--seed",
        str(seed),
    ]


def measure(command: list[str], folder: str, what: str) -> dict[str, Any]:
    """The JSON line that a command prints last, with the peak resident memory of its process in MB and its
    wall seconds.
    """
    with open(Path(folder) / "log", "w+") as log:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | OFFLINE
        )
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        if status:
            log.seek(0)
            raise SystemExit(f"{what} failed:\n{log.read()[-3000:]}")
    found = json.loads([line for line in printed.splitlines() if line.startswith("{")][-1])
    return found | {
        "peak_mb": round(usage.ru_maxrss / 1024),
        "wall_seconds": round(time.perf_counter() - begun, 1),
    }


def samples(found: dict[str, Any]) -> float:
    return found["tokens_a_second"] if "tokens_a_second" in found else found["samples_a_second"]


# Ours, in a child process: the commands that users give, with a clock on the steps of a run.


def ours(
    work: str,
    model: str,
    rows: Path,
    prompts: Path,
    precision: str,
    steps: int,
    seed: int,
    whole: bool,
    profile: str,
) -> dict[str, Any]:
    from alignlab import cli, names
    from alignlab.feedback import RuleJudge
    from alignlab.names.named import Named
    from alignlab.run import RunDir

    marks: dict[str, float] = {}
    plain_steps, plain_data = RunDir.steps, RunDir.add_data

    def clocked(self: RunDir, total: int, **more: Any) -> Any:
        marks["steps"] = time.perf_counter()
        for step in plain_steps(self, total, **more):
            yield step
            marks["end"], marks["count"] = time.perf_counter(), step + 1

    def noted(self: RunDir, name: str, records: Any) -> str:
        found = plain_data(self, name, records)
        marks["ready"] = time.perf_counter()
        return found

    RunDir.steps, RunDir.add_data = clocked, noted  # type: ignore[method-assign]
    rule = RuleJudge("length", lambda c: float(len(c.text) % 7))
    names.judges.judge = lambda name: Named(name, lambda: rule)

    def run(arguments: list[str], folder: str) -> None:
        code = cli.main(
            [
                *arguments,
                "--model",
                model,
                "--out",
                folder,
                "--seed",
                str(seed),
                "--model.precision",
                precision,
            ]
        )
        if code:
            raise SystemExit(f"alignlab {arguments[0]} left with exit code {code}")

    batch, asked = 16 if work in ("rloo", "grpo", "ppo") else 8, arguments(work, rows, prompts, whole)
    with tempfile.TemporaryDirectory() as folder:
        if work == "ppo":
            reward_folder(model, precision, f"{folder}/reward")

        def filled(count: int) -> list[str]:
            return [a.format(steps=count, rows=8 * count, reward=f"{folder}/reward") for a in asked]

        run(filled(1), f"{folder}/warm")
        if profile:
            profiled(lambda: run(filled(steps), f"{folder}/run"), profile)
        else:
            run(filled(steps), f"{folder}/run")
    seconds = marks["end"] - (marks["ready"] if work == "dpo" else marks["steps"])
    return {
        "peer": "alignlab",
        "method": work,
        "precision": precision,
        "steps": int(marks["count"]),
        "seconds_a_step": round(seconds / marks["count"], 3),
        "samples_a_second": round(batch * marks["count"] / seconds, 4),
    }


def arguments(work: str, rows: Path, prompts: Path, whole: bool) -> list[str]:
    """Our command for a work; {steps}, {rows} and {reward} are to be filled in."""
    if work in ("sft", "dpo", "reward"):
        micro = 0 if whole else 2
        line = f"{work} --batch 8 --micro-batch {micro} --epochs 1 --held-out 0 --count {{rows}}"
        return [*line.split(), "--data", str(rows)]
    micro = 0 if whole else 4
    line = f"{work} --micro-batch {micro} --rollouts 16 --steps {{steps}} --sampling.max-new-tokens 64 "
    line += (
        "--minibatch 16 --epochs 4 --reward {reward}" if work == "ppo" else "--per-prompt 4 --judge town:gold"
    )
    return [*line.split(), "--data", str(prompts)]


def reward_folder(model: str, precision: Any, folder: str) -> None:
    """A reward model of the same shape with a fresh head, as the peer has."""
    from alignlab.models import load
    from alignlab.settings import ModelSettings

    try:
        from alignlab.models.saving import save_reward_model
    except ImportError:  # an older checkout, beside which `against.py` sets this one
        save_reward_model = load.save_reward_model  # type: ignore[attr-defined]
    save_reward_model(
        load.load_reward_model(model, ModelSettings(precision=precision), init_head=True),
        folder,
        card="benchmark",
    )


def rollouts(model: str, prompts: Path, precision: Any, seed: int) -> dict[str, Any]:
    from alignlab.models.load import load_policy
    from alignlab.records import Prompt
    from alignlab.sampling import Sampling
    from alignlab.sampling.local import LocalSampler
    from alignlab.settings import ModelSettings

    policy = load_policy(model, ModelSettings(precision=precision))
    asked = [Prompt.user(json.loads(line)["prompt"]) for line in prompts.read_text().splitlines()][:16]
    sampler = LocalSampler.of(policy, slots=64)
    sampler.sample(asked, Sampling(n=4, max_new_tokens=2))
    begun = time.perf_counter()
    groups = sampler.sample(asked, Sampling(n=4, max_new_tokens=64), seed=seed)
    seconds, tokens = time.perf_counter() - begun, sum(len(c.ids) for group in groups for c in group)
    return {
        "peer": "alignlab",
        "precision": precision,
        "sequences": 64,
        "tokens": tokens,
        "seconds": round(seconds, 3),
        "tokens_a_second": round(tokens / seconds, 1),
    }


def profiled(call: Any, file: str) -> None:
    """Where the time goes, by operator, into a file."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as found:
        call()
    Path(file).write_text(
        found.key_averages().table(sort_by="self_cpu_time_total", row_limit=30)
        + found.key_averages(group_by_input_shape=True).table(sort_by="self_cpu_time_total", row_limit=30)
    )


def side() -> None:
    work, model, rows, prompts, precision, steps, seed, whole, profile = sys.argv[2:]
    found = (
        rollouts(model, Path(prompts), precision, int(seed))
        if work == "generate"
        else ours(
            work, model, Path(rows), Path(prompts), precision, int(steps), int(seed), whole == "True", profile
        )
    )
    print(json.dumps(found))


def write_rows(args: argparse.Namespace, seed: int, folder: Path) -> tuple[Path, dict[str, Path], str]:
    """The rows of a seed and the prompts of each work as files, and the file that a peer is to take instead
    of its own rows (empty: its own).
    """
    sys.path.insert(0, str(Path(args.peers).resolve()))
    import peer_generate
    import peer_trl

    rows, own = peer_trl.workload(seed), ""
    questions = peer_generate.PROMPTS
    file = folder / f"rows-{seed}.jsonl"
    if args.town:
        from alignlab import names

        pairs = names.data.read_data("town:test-pairs", "comparison", seed=seed, count=64).records
        rows = [{"prompt": c.prompt.text, "chosen": c.chosen, "rejected": c.rejected} for c in pairs]
        questions, own = [row["prompt"] for row in rows[:16]], str(file)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    prompts = {}
    for work in WORKS:
        asked = [row["prompt"] for row in rows] if work in ("rloo", "grpo") else questions
        prompts[work] = folder / f"prompts-{work}-{seed}.jsonl"
        prompts[work].write_text("".join(json.dumps({"prompt": text}) + "\n" for text in asked))
    return file, prompts, own


def main() -> None:
    if sys.argv[1:2] == ["--side"]:
        return side()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="", help="a transformers folder; empty with --town")
    parser.add_argument("--town", action="store_true", help="the town's own model on the town's own requests")
    parser.add_argument(
        "--peers", required=True, help="the folder of peer_generate.py, peer_trl.py and peer_trl_ppo.py"
    )
    parser.add_argument(
        "--trl", default="", help="python of an environment with TRL 1.16.0; empty = ours alone"
    )
    parser.add_argument("--trl-ppo", default="", help="python of an environment with TRL 1.12.0")
    parser.add_argument("--precision", choices=["auto", "bf16", "fp32"], default="auto")
    parser.add_argument("--only", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--peer-steps",
        type=int,
        default=4,
        help="steps of a trainer of the peer, the first of which is left out",
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=8,
        help="steps of ours (on-policy methods: half as many); 8 are one epoch of the 64 rows",
    )
    parser.add_argument(
        "--whole",
        action="store_true",
        help="our side reads a batch whole, as the peers do, not in micro-batches (with --town always)",
    )
    parser.add_argument(
        "--profile",
        default="",
        help="write operator profiles of our side into this folder, and measure nothing else",
    )
    parser.add_argument("--out", type=Path, default=Path("peers.json"))
    args = parser.parse_args()
    import torch

    from alignlab.models.devices import multiplies_bf16

    if args.precision == "auto":
        args.precision = "bf16" if not args.town and multiplies_bf16(torch.device("cpu")) else "fp32"
    if args.town:
        from alignlab.names.weights import model_path

        args.model, args.whole = model_path("town"), True
    args.model = str(Path(args.model).resolve())
    found: dict[str, Any] = json.loads(args.out.read_text()) if args.out.exists() else {}
    setting = "town" if args.town else Path(args.model).name
    machine = {
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "bf16": multiplies_bf16(torch.device("cpu")),
    }
    table = found.setdefault(setting, {})
    table |= {"date": date.today().isoformat(), "machine": machine, "precision": args.precision}
    results = table.setdefault("works", {})
    with tempfile.TemporaryDirectory() as folder:
        for work in args.only:
            sides: dict[str, list[dict[str, Any]]] = {"peer": [], "ours": []}
            for seed in range(args.rounds):
                rows, prompts, own = write_rows(args, seed, Path(folder))
                steps = args.steps if work in ("sft", "dpo", "reward") else max(1, args.steps // 2)
                profile = str(Path(args.profile).resolve() / f"{setting}-{work}.txt") if args.profile else ""
                mine = [
                    sys.executable,
                    str(Path(__file__).resolve()),
                    "--side",
                    work,
                    args.model,
                    str(rows),
                    str(prompts[work]),
                    args.precision,
                    str(steps),
                    str(seed),
                    str(args.whole),
                    profile,
                ]
                if not profile and (args.trl_ppo if work == "ppo" else args.trl):
                    sides["peer"].append(
                        measure(peer_command(work, args, seed, own), folder, f"the peer's {work}")
                    )
                    print(json.dumps(sides["peer"][-1]), file=sys.stderr, flush=True)
                sides["ours"].append(measure(mine, folder, f"our {work}"))
                print(json.dumps(sides["ours"][-1]), file=sys.stderr, flush=True)
            row: dict[str, Any] = {"unit": "tokens" if work == "generate" else "samples", "runs": sides}
            for name, runs in sides.items():
                if runs:
                    row[name] = {
                        "a_second": statistics.median(map(samples, runs)),
                        "peak_mb": statistics.median(run["peak_mb"] for run in runs),
                    }
            if sides["peer"]:
                row |= {
                    "speed": row["ours"]["a_second"] / row["peer"]["a_second"],
                    "memory": row["ours"]["peak_mb"] / row["peer"]["peak_mb"],
                }
            results[work] = row
            if not args.profile:
                args.out.write_text(json.dumps(found, indent=1) + "\n")
                print(
                    f"{setting} {work}: "
                    + ", ".join(f"{key} {row[key]:.2f}x" for key in ("speed", "memory") if key in row),
                    flush=True,
                )


if __name__ == "__main__":
    main()
