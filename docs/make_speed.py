"""Write docs/speed.md from what benchmarks/peers.py measured: python docs/make_speed.py peers.json"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

GOALS = {"generate": 4.0, "sft": 2.0, "dpo": 2.0, "reward": 2.0, "rloo": 3.0, "grpo": 3.0, "ppo": 3.0}
MEMORY = 0.6
PEERS = {"generate": "transformers `generate()`", "ppo": "TRL 1.12 PPO"}

GPU = """## On a GPU: not run yet

    python benchmarks/gpu.py --out runs/gpu --smollm2 FOLDER

is prepared for a machine with one GPU, and eight minutes of it: every method on the town for two steps on
the processor and on the GPU (loss, gradient norm, KL; completions that are the same), RLOO that was stopped
on the processor and goes on there, and SFT, DPO, RLOO and PPO of SmolLM2-135M in bf16 with tokens a second,
peak memory and their share of the peak. **It has not been run on a GPU.** With `--device cpu` it sets the
processor beside itself: all differences are 0, and 64 of 64 completions are the same, greedy and sampled."""

WHY = (
    "Without bf16 in hardware both sides run in fp32. Where MKL does not use a CPU's AVX-512, oneDNN's "
    "products are about twice as fast as those of PyTorch, and ours go there (`models/products.py`); "
    "otherwise only work that is left out is gained. The goals were "
    "set on a machine whose bf16 products are four times as fast as its fp32 ones, where everything "
    "else weighs more.",
    "PPO does four passes over a policy and a value model: eight forward and backward passes an update, "
    "none of which can be left out, as the weights change in between. What "
    "can be gained is in sampling and scoring.",
    (
        "RLOO and GRPO do one pass: there sampling, the reference's log-probabilities and the prompts (read "
        "once a group) are what is gained."
    ),
    "DPO reads a prompt once for both completions, and the reference once for all epochs.",
    (
        "Sampling: at 64 sequences side by side a step is bound by products of the linear layers. Memory is "
        "the weights, the runtime and the cache of keys and values, which are the same on both sides."
    ),
    "Memory of training: micro-batches of two rows or pairs keep activations small; weights, gradients and "
    "Adam's two moments (16 bytes a parameter, 2.2 GB here) stay, and PPO has them twice and a "
    "reference and a reward model beside them.",
    "The town's model has 1.05 million parameters: a step takes hundredths of a second. Matrix products are "
    "a little less than half of it (the table above), the rest is what stands around them; of sampling they "
    "are a third. Memory there is "
    "the runtime's own 430 MB, on both sides. Ours reads a batch whole there (the default); in "
    "micro-batches of two, as on SmolLM2, its SFT was slower than TRL's.",
    (
        "The machine is not steady: TRL's SFT step took 10.9 s on one day and 17.5 s on another, ours 6.8 "
        "and 8.1 s. Of a ratio from one round only the first digit counts."
    ),
)


LIMITS = """`python benchmarks/limits.py` counts the matrix products of a step, times these very products
alone, and the step. `products` is the share of the step that they take; `useful` is what the shapes of the
real tokens ask for. `python benchmarks/against.py --old CHECKOUT` runs two checkouts step by step in turns.

The town, fp32, one thread of an AVX-512 CPU, under load (processor time):

| stage | GFLOP useful | done | step, CPU-s | its products alone | GFLOP/s alone | products |
|---|---|---|---|---|---|---|
| SFT, 8 steps of 8 rows | 11.5 | 14.5 | .223 | .098 | 148 | .43 |
| DPO, 8 steps of 8 pairs | 18.6 | 25.4 | .346 | .164 | 155 | .47 |
| reward, 8 steps of 8 pairs | 16.1 | 20.4 | .289 | .133 | 153 | .44 |
| PPO, 128 completions, one pass, without sampling | 124.9 | 146.5 | 1.855 | 1.007 | 145 | .54 |
| sampling, 256 completions | 37.5 | 37.3 | 1.130 | .385 | 97 | .34 |

So neither "calls dominate" nor "products are half" says it all: products were a little more than half of a
training step while MKL did them (.54 to .67), and are a little less than half now that oneDNN does them
about twice as fast; in sampling they are a third, and reading keys and values is most of the rest.

Two quiet cores of that CPU, one thread, a checkout of 2026-11-27 beside today's, both in turns (`python
benchmarks/against.py --old CHECKOUT`, 48 steps of SFT, DPO and reward, 16 of RLOO and GRPO, 12 of PPO and
of generation; one run each). A town model after each step of an on-policy method writes other tokens than
the old code's, so their last figures are apart.

| work on the town | times as fast as before | of pairs of steps | goal |
|---|---|---|---|
| SFT | 1.39 | .88 to 1.73 | |
| DPO | 1.53 | 1.08 to 1.73 | |
| reward | 1.28 | .90 to 1.67 | |
| RLOO, sampling included | 1.56 | 1.44 to 1.64 | |
| GRPO, sampling included | 1.53 | 1.41 to 1.65 | |
| PPO, sampling included | 1.42 | 1.36 to 1.47 | 1.4 |
| sampling, 64 rows (`benchmarks/sampling.py town --old`) | 1.35 | 1.35 to 1.38 | 2 |
| sampling, 256 rows | 1.34 | 1.34 to 1.36 | 2 |
| SmolLM2-135M against `generate()` (`benchmarks/sampling.py FOLDER --generate`, one round) | 3.01 | | 2.5 |

Sampling misses its goal: at 256 rows attention, which reads the keys and values of each row from memory,
takes two fifths of a step. 4 of 1,536 completions differ from the old code's, where a draw falls on the
edge of two tokens.

| stage, quiet (`benchmarks/limits.py`) | step, CPU-s | its products alone | GFLOP/s alone | products |
|---|---|---|---|---|
| SFT | .158 | .079 | 184 | .50 |
| DPO | .262 | .136 | 187 | .52 |
| reward | .201 | .113 | 181 | .56 |
| PPO | 1.292 | .786 | 186 | .61 |
| sampling | .833 | .273 | 137 | .33 |

The whole pipeline, `alignlab run` on both cores: 108 s (goal 200; one run, seed 0; the reward model reads
its batches in two processes while a core has nothing else to do). `alignlab run --fast`, old and new in
turns, two rounds: 53.6 and 53.6 s before, 36.9 and 37.5 s now. `alignlab --help`: .14 CPU-s before, .05
now.

The tables of the peers above are older than the products by oneDNN, the packed rows of SFT and the
sampler's own reading of a Llama; TRL was not measured again. What is expected of them now is their ratio
times the gain over the older code (`benchmarks/against.py`)."""


def line(work: str, row: dict[str, Any]) -> str:
    peer, ours = row["peer"], row["ours"]
    met = (
        "yes"
        if row["speed"] >= GOALS[work] and row["memory"] <= MEMORY
        else "speed"
        if row["speed"] >= GOALS[work]
        else "memory"
        if row["memory"] <= MEMORY
        else "no"
    )
    return (
        f"| {work} | {PEERS.get(work, f'TRL 1.16 {work}')} | {rate(peer)} | {rate(ours)} | "
        f"{row['speed']:.2f}x (goal {GOALS[work]:g}x) | "
        f"{peer['peak_mb'] / 1000:.2f} | {ours['peak_mb'] / 1000:.2f} | {row['memory']:.2f}x (goal "
        f"{MEMORY:g}x) | {met} | "
        f"{timed(row, 'peer')} / {timed(row, 'ours')} |"
    )


def rate(side: dict[str, Any]) -> str:
    value = side["a_second"]
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def timed(row: dict[str, Any], side: str) -> str:
    """Steps that were timed, over all rounds; of `generate` the rounds."""
    runs = row["runs"][side]
    return str(sum(run.get("steps", run.get("updates", 1)) for run in runs))


def main() -> None:
    book = json.loads(Path(sys.argv[1]).read_text())
    parts = [
        "# Speed and memory against the peers",
        "",
        (
            "Made by `python docs/make_speed.py` from what `python benchmarks/peers.py` measured: the same "
            "model, rows and machine, both sides in turn, medians of the rounds. What is said of the town is "
            "of its version 1: version 2's base models have the same shapes and read other texts."
        ),
    ]
    for setting, table in book.items():
        machine = table["machine"]
        parts += [
            "",
            f"## {setting}",
            "",
            (
                f"{table['date']}, {machine['cpus']} CPUs ({machine['machine']}, bf16 in hardware: "
                f"{'yes' if machine['bf16'] else 'no'}), torch {machine['torch']}, {table['precision']} on "
                "both sides."
            ),
            "",
            (
                "| work | peer | peer, a second | ours, a second | speed | peer, GB | ours, GB | memory | "
                "goals met | steps timed |"
            ),
            "|---|---|---|---|---|---|---|---|---|---|",
            *(line(work, row) for work, row in table["works"].items() if "speed" in row),
        ]
    parts += ["", "## How near the machine's limit", "", LIMITS]
    parts += ["", GPU, "", "## Where a goal is missed, and why", "", *(f"- {text}" for text in WHY)]
    parts += [
        "",
        (
            "Tokens a second for `generate`, samples (sequences, pairs or completions) a second elsewhere; "
            "memory is the peak resident memory of a process."
        ),
    ]
    Path(__file__).with_name("speed.md").write_text("\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
