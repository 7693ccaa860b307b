"""The same steps by two checkouts of this project, in turns: how many times as fast one is as the other.

    python benchmarks/against.py --old CHECKOUT
    python benchmarks/against.py --old CHECKOUT --model FOLDER --only sft ppo --steps 4

Each side is a process of its own that runs the command a user gives (`benchmarks/peers.py` has them) on the
town's requests, and does a step only when it is told to: first one side, then the other, then the other
first. So both see the same machine, whatever else runs on it, and what is quoted is the median of the ratios
of neighbouring steps, in processor time and in wall time. A step of an on-policy method is all of it:
sampling, feedback and update. `generate` samples four completions of sixteen prompts. The losses of both
sides are compared, too: by how much the last differs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import peers

FIGURES = ("loss", "loss/policy_avg")


# One side: a process that imports whichever checkout PYTHONPATH names.


def side(work: str, model: str, rows: str, prompts: str, steps: int, threads: int, precision: str) -> None:
    import torch

    torch.set_num_threads(threads)
    if work == "generate":
        return _generate(model, Path(prompts), steps)
    from alignlab import cli, names
    from alignlab.feedback import RuleJudge
    from alignlab.run import RunDir

    plain_steps, plain_log = RunDir.steps, RunDir.log
    logged: list[float] = []

    def in_turn(self: Any, total: int, **more: Any) -> Iterator[int]:
        for step in plain_steps(self, total, **more):
            _wait()
            begun = time.process_time(), time.perf_counter()
            yield step
            _tell(begun, logged[-1] if logged else 0.0)

    def noted(self: Any, step: int, metrics: dict[str, Any], *rest: Any, **more: Any) -> Any:
        logged.extend(float(metrics[name]) for name in FIGURES if name in metrics)
        return plain_log(self, step, metrics, *rest, **more)

    RunDir.steps, RunDir.log = in_turn, noted  # type: ignore[method-assign]
    rule = RuleJudge("length", lambda c: float(len(c.text) % 7))
    if hasattr(names, "judges"):
        from alignlab.names.named import Named

        names.judges.judge = lambda name: Named(name, lambda: rule)
    else:  # an older checkout
        names.judge = lambda name: rule
    with tempfile.TemporaryDirectory() as folder:
        if work == "ppo":
            peers.reward_folder(folder_of(model), precision, f"{folder}/reward")
        asked = peers.arguments(work, Path(rows), Path(prompts), whole=model == "town")
        filled = [a.format(steps=steps, rows=8 * steps, reward=f"{folder}/reward") for a in asked]
        given = ["--model", model, "--out", f"{folder}/run", "--model.precision", precision]
        sys.stdout = sys.stderr
        cli.main([*filled, *given, "--model.threads", str(threads)])


def _generate(model: str, prompts: Path, steps: int) -> None:
    from alignlab.models.load import load_policy
    from alignlab.records import Prompt
    from alignlab.sampling.local import LocalSampler
    from alignlab.settings import ModelSettings

    policy = load_policy(folder_of(model), ModelSettings())
    sampler = LocalSampler(policy.model, policy.tokenizer, slots=64, end_ids=policy.end_ids)
    asked = [Prompt.user(json.loads(line)["prompt"]) for line in prompts.read_text().splitlines()][:16]

    def drawn() -> list[Any]:
        try:
            from alignlab.sampling import Sampling
        except ImportError:
            return sampler.sample(asked, n=4, max_new_tokens=64)  # type: ignore[call-arg]
        return sampler.sample(asked, Sampling(n=4, max_new_tokens=64))

    for _ in range(steps):
        _wait()
        begun = time.process_time(), time.perf_counter()
        tokens = sum(len(c.ids) for group in drawn() for c in group)
        _tell(begun, tokens)


def folder_of(model: str) -> str:
    return str(Path(__file__).parents[1] / "src/alignlab/town/models/town-m") if model == "town" else model


def _wait() -> None:
    os.read(0, 1)


def _tell(begun: tuple[float, float], figure: float) -> None:
    spent = time.process_time() - begun[0], time.perf_counter() - begun[1]
    os.write(3, (json.dumps([*spent, figure]) + "\n").encode())


# Both sides, in turns.


class Side:
    """A checkout at work."""

    def __init__(self, checkout: Path, arguments: list[str]) -> None:
        told, tells = os.pipe()
        os.environ["OMP_NUM_THREADS"] = arguments[-2]
        self.process = subprocess.Popen(
            ["sh", "-c", f'exec "$@" 3>&{tells}', "sh", sys.executable, __file__, "--side", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(tells,),
            env=os.environ | peers.OFFLINE | {"PYTHONPATH": str(checkout / "src")},
        )
        os.close(tells)
        self.answers = os.fdopen(told)

    def step(self) -> list[float]:
        """Processor seconds, wall seconds and the figure of a step."""
        assert self.process.stdin is not None
        self.process.stdin.write(b".")
        self.process.stdin.flush()
        line = self.answers.readline()
        if not line:
            raise SystemExit(f"a side stopped: {' '.join(map(str, self.process.args))}")  # type: ignore[arg-type]
        return json.loads(line)


def compare(work: str, args: argparse.Namespace, rows: Path, prompts: Path) -> str:
    given = [
        work,
        args.model,
        str(rows),
        str(prompts),
        str(args.steps + 1),
        str(args.threads),
        args.precision,
    ]
    both = [Side(checkout, given) for checkout in (args.old, args.new)]
    ratios: list[tuple[float, float]] = []
    apart = 0.0
    for number in range(args.steps + 1):
        order = both if number % 2 else both[::-1]
        found = {id(one): one.step() for one in order}
        old, new = (found[id(one)] for one in both)
        if number:  # the first step warms up
            ratios.append((old[0] / new[0], old[1] / new[1]))
        apart = abs(old[2] - new[2]) / max(abs(old[2]), 1e-12)
    for one in both:
        one.process.wait()
    processor, wall = (statistics.median(ratio[i] for ratio in ratios) for i in (0, 1))
    spread = f"{min(r[0] for r in ratios):.2f} to {max(r[0] for r in ratios):.2f}"
    return f"| {work} | {processor:.2f} | {spread} | {wall:.2f} | {apart:.1e} |"


def main() -> None:
    if sys.argv[1:2] == ["--side"]:
        *words, steps, threads, precision = sys.argv[2:]
        return side(*words, int(steps), int(threads), precision)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--old", type=Path, required=True, help="a checkout to compare with")
    parser.add_argument("--new", type=Path, default=Path(__file__).parents[1], help="default: this one")
    parser.add_argument("--model", default="town", help="town, or a transformers folder")
    parser.add_argument("--only", nargs="+", choices=peers.WORKS, default=list(peers.WORKS))
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=["auto", "bf16", "fp32"], default="auto")
    args = parser.parse_args()
    from alignlab import names

    pairs = names.data.read_data("town:test-pairs", "comparison", seed=0, count=16 * (args.steps + 1)).records
    print(f"| {Path(args.model).name} | times as fast, processor | of pairs | wall | figure apart by |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        rows, prompts = Path(folder) / "rows.jsonl", Path(folder) / "prompts.jsonl"
        lines = [
            json.dumps({"prompt": c.prompt.text, "chosen": c.chosen, "rejected": c.rejected}) for c in pairs
        ]
        rows.write_text("\n".join(lines) + "\n")
        prompts.write_text("".join(json.dumps({"prompt": c.prompt.text}) + "\n" for c in pairs))
        for work in args.only:
            print(compare(work, args, rows, prompts), flush=True)


if __name__ == "__main__":
    main()
