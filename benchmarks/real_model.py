"""Real models through the methods, on OASST and HH, through Constitutional AI and under a red team: figures
with intervals, seconds, peak memory.

    python benchmarks/real_model.py --smollm2 FOLDER --gguf FILE.gguf --gemma FILE.gguf --data FOLDER --out
    runs/real [--only sft reward ...]

--smollm2: SmolLM2-135M-Instruct in transformers' layout, --gguf: the same as a GGUF file, --gemma: Gemma 3
270M, the base model, as a GGUF file. --data holds oasst_sample, hh_rlhf, harmbench, jailbreakbench and
xstest. Every stage is a command of `alignlab`; it goes on where it was, and a stage that is measured already
is not done again. Writes real.json, which `docs/make_real.py` turns into docs/real-models.md.

Demonstrations are OASST's alone: HH holds requests for harm, whose answers are compared (reward model, KTO,
DPO) and never shown as something to learn. A prompt is on the same side of the split, learnt from or held
out, in every stage.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from alignlab.data.read import load_records
from alignlab.data.split import by_question
from alignlab.evals.statistics import mean_ci
from alignlab.records import Chain, Comparison, Message, Prompt, read_jsonl, write_jsonl

HELD_OUT, SEED = 0.3, 0
LONGEST = 320  # characters of an HH conversation, its two answers not added up
BRIEF = Message("system", "Answer in one short sentence.")
LORA = ["--adapter.rank", "16"]
SPLIT = ["--held-out", str(HELD_OUT), "--seed", str(SEED)]
SAMPLING = ["--sampling.max-new-tokens", "40", "--sampling.slots", "32"]
SERVER = "http://127.0.0.1:8351/v1#smollm2"  # `alignlab serve` with SmolLM2 in it, while a stage asks it
ON_POLICY = [*SAMPLING, "--max-prompt-length", "160", "--seed", str(SEED), *LORA]


def prepare(data: Path, out: Path) -> dict[str, str]:
    """HH as comparisons, and their prompts by side of the split: short ones, the first of each opening, each
    asked to be brief.
    """
    kept: dict[str, Comparison] = {}
    for c in load_records(data / "hh_rlhf/harmless-base-train-1788.jsonl.gz", "comparison").records:
        if sum(len(m.content) for m in c.prompt.messages) + max(len(c.chosen), len(c.rejected)) <= LONGEST:
            kept.setdefault(
                c.prompt.messages[0].content,
                Comparison(Prompt((BRIEF, *c.prompt.messages)), c.chosen, c.rejected),
            )
    learnt, test = by_question([c.prompt for c in kept.values()], HELD_OUT, SEED)
    found = {name: str(out / "data" / f"{name}.jsonl") for name in ("hh", "prompts", "prompts-test")}
    for name, records in (("hh", list(kept.values())), ("prompts", learnt), ("prompts-test", test)):
        write_jsonl(found[name], records)
    oasst = str(data / "oasst_sample/oasst_conversations.jsonl")
    first = {
        p.messages[0].content: Prompt((BRIEF, p.messages[0]))
        for p in load_records(oasst, "prompt").records
        if p.messages[0].role == "user"
    }
    write_jsonl(out / "data/questions.jsonl", [p for text, p in first.items() if len(text) <= LONGEST])
    sets = {
        "harmbench": "harmbench/harmbench_behaviors_text_val.csv",
        "jailbreakbench": "jailbreakbench/jbb_harmful_behaviors.csv",
        "xstest": "xstest/xstest_prompts.csv",
    }
    return (
        found
        | {"oasst": oasst, "questions": str(out / "data/questions.jsonl")}
        | {name: str(data / file) for name, file in sets.items()}
    )


def commands(args: argparse.Namespace, data: dict[str, str]) -> dict[str, list[str]]:
    """Every stage as arguments of `alignlab`, by name, in an order in which each finds what it needs."""

    def run(name: str) -> str:
        return str(args.out / name)

    def likelihood(model: str, *more: str, baseline: str = "", pairs: str = "0") -> list[str]:
        against = ["--baseline", run(baseline)] if baseline else []
        return [
            "likelihood",
            "--model",
            model,
            "--demonstrations",
            data["oasst"],
            "--comparisons",
            data["hh"],
            "--count",
            pairs,
            "--max-length",
            "256",
            *SPLIT,
            *more,
            *against,
        ]

    def answers(model: str, *more: str) -> list[str]:
        others = f"ensemble:mean:{run('reward')}/members/1,{run('reward')}/members/2"
        return [
            "eval",
            "--model",
            model,
            "--data",
            data["prompts-test"],
            "--judge",
            others,
            "--prompts",
            "48",
            *SAMPLING,
            "--seed",
            str(SEED),
            *more,
        ]

    def battery(
        model: str, goals: str, *, attacks: str = "none", count: int = 80, twins: int = 0
    ) -> list[str]:
        """XSTest, HarmBench and JailbreakBench are for evaluation: nothing is learnt from them."""
        return [
            "redteam",
            model,
            "--data",
            data[goals],
            "--harmless",
            data["xstest"] if twins else "",
            "--judge",
            "refusal",
            "--attacks",
            attacks,
            "--goals",
            str(count),
            "--twins",
            str(twins),
            "--queries",
            "4",
            "--shorten",
            "0",
            "--sampling.max-new-tokens",
            "48",
            "--sampling.slots",
            "32",
            "--seed",
            str(SEED),
        ]

    def before_and_after(name: str, model: str) -> dict[str, list[str]]:
        return {
            f"harmbench-{name}": battery(model, "harmbench"),
            f"xstest-{name}": battery(model, "xstest", twins=80),
        }

    against = ["--baseline", run("eval-sft"), "--reference", run("sft")]
    proxy = ["--reward", f"{run('reward')}/members/0", "--data", data["prompts"]]
    pairs = ["--data", data["hh"], "--max-length", "160", *SPLIT, *LORA]
    gemma = ["--model.chat_template", "gemma"]
    found = {
        "sft": [
            "sft",
            "--model",
            args.smollm2,
            "--data",
            data["oasst"],
            "--max-length",
            "256",
            "--epochs",
            "1",
            "--batch",
            "8",
            "--micro-batch",
            "4",
            "--optim.lr",
            "2e-5",
            *SPLIT,
        ],
        "reward": [
            "reward",
            "--model",
            run("sft"),
            *pairs,
            "--count",
            "400",
            "--members",
            "3",
            "--batch",
            "8",
            "--optim.lr",
            "2e-4",
        ],
        "gemma": likelihood(args.gemma, *gemma, pairs="240"),
        "gemma-sft": [
            "sft",
            "--model",
            args.gemma,
            *gemma,
            "--data",
            data["oasst"],
            "--count",
            "240",
            "--max-length",
            "256",
            "--epochs",
            "1",
            "--batch",
            "4",
            "--optim.lr",
            "2e-4",
            *SPLIT,
            *LORA,
        ],
        "gemma-after-sft": likelihood(run("gemma-sft"), baseline="gemma", pairs="240"),
        "gemma-dpo": [
            "dpo",
            "--model",
            run("gemma-sft"),
            *pairs,
            "--count",
            "160",
            "--batch",
            "8",
            "--optim.lr",
            "1e-4",
        ],
        "gemma-after-dpo": likelihood(run("gemma-dpo"), baseline="gemma-after-sft", pairs="240"),
        "rloo": [
            "rloo",
            "--model",
            run("sft"),
            *proxy,
            "--steps",
            "10",
            "--rollouts",
            "24",
            "--per-prompt",
            "4",
            "--micro-batch",
            "12",
            "--kl-coef",
            "0.05",
            "--missing-end-penalty",
            "1",
            "--optim.lr",
            "1e-4",
            *ON_POLICY,
        ],
        "kto": [
            "kto",
            "--model",
            run("sft"),
            *pairs,
            "--count",
            "240",
            "--batch",
            "16",
            "--optim.lr",
            "1e-4",
        ],
        "rejection": [
            "rejection",
            "--model",
            run("sft"),
            *proxy,
            "--rounds",
            "2",
            "--prompts",
            "24",
            "--per_prompt",
            "4",
            "--batch",
            "8",
            "--optim.lr",
            "1e-4",
            *ON_POLICY,
        ],
        "eval-sft": answers(run("sft")),
        **{f"eval-{name}": answers(run(name), *against) for name in ("rloo", "kto", "rejection")},
        "likelihood-instruct": likelihood(args.smollm2),
        "likelihood-sft": likelihood(run("sft"), baseline="likelihood-instruct"),
        **{
            f"likelihood-{name}": likelihood(run(name), baseline="likelihood-sft")
            for name in ("rloo", "kto", "rejection")
        },
        "likelihood-gguf": likelihood(args.gguf, baseline="likelihood-instruct"),
        "dpo": ["dpo", "--model", run("sft"), *pairs, "--count", "120", "--batch", "8", "--optim.lr", "1e-4"],
        "eval-dpo": answers(run("dpo"), *against),
        "likelihood-dpo": likelihood(run("dpo"), baseline="likelihood-sft"),
        "ppo": [
            "ppo",
            "--model",
            run("sft"),
            *proxy,
            "--steps",
            "10",
            "--rollouts",
            "24",
            "--per-prompt",
            "4",
            "--minibatch",
            "12",
            "--epochs",
            "1",
            "--kl-coef",
            "0.05",
            "--missing-end-penalty",
            "1",
            "--optim.lr",
            "1e-4",
            *ON_POLICY,
        ],
        "eval-ppo": answers(run("ppo"), *against),
        "likelihood-ppo": likelihood(run("ppo"), baseline="likelihood-sft"),
        "revise": [
            "constitution",
            "revise",
            "--model",
            args.smollm2,
            "--data",
            data["prompts"],
            "--count",
            "64",
            "--constitution",
            "general",
            "--rounds",
            "1",
            "--helpful",
            data["questions"],
            "--helpful-count",
            "60",
            "--sampling.max-new-tokens",
            "64",
            "--critic-sampling.max-new-tokens",
            "80",
            "--sampling.slots",
            "32",
            "--critic-sampling.slots",
            "32",
            "--sampling.temperature",
            "0.5",
            "--critic-sampling.temperature",
            "0.5",
            "--seed",
            str(SEED),
        ],
        **{
            f"revise-{where}": [
                "constitution",
                "revise",
                "--model",
                args.smollm2,
                "--critic",
                critic,
                "--data",
                data["prompts"],
                "--count",
                "16",
                "--constitution",
                "general",
                "--rounds",
                "1",
                "--sampling.max-new-tokens",
                "64",
                "--critic-sampling.max-new-tokens",
                "64",
                "--sampling.slots",
                "16",
                "--sampling.temperature",
                "0",
                "--critic-sampling.temperature",
                "0",
                "--seed",
                str(SEED),
            ]
            for where, critic in (("here", args.smollm2), ("server", SERVER))
        },
        "sl-cai": [
            "sft",
            "--model",
            args.smollm2,
            "--data",
            run("revise"),
            "--max-length",
            "256",
            "--epochs",
            "1",
            "--batch",
            "8",
            "--micro-batch",
            "4",
            "--optim.lr",
            "2e-5",
            "--held-out",
            "0.1",
            "--seed",
            str(SEED),
        ],
        **before_and_after("instruct", args.smollm2),
        **before_and_after("sl-cai", run("sl-cai")),
        "agreement": [
            "constitution",
            "agreement",
            "--judge-model",
            args.smollm2,
            "--data",
            data["hh"],
            "--count",
            "60",
            "--constitution",
            "general",
            "--principles",
            "1",
            "--seed",
            str(SEED),
        ],
        **{
            f"battery-{goals}": battery(args.smollm2, goals, attacks="standard", count=count)
            for goals, count in (("harmbench", 12), ("jailbreakbench", 6), ("xstest", 6))
        },
    }
    return {name: [*arguments, "--model.threads", "1"] for name, arguments in found.items()}


def measure(name: str, arguments: list[str], out: Path) -> dict[str, Any]:
    """Run one command in a process of its own: wall seconds, peak resident memory of it, and its summary."""
    folder, log = out / name, out / f"{name}.log"
    command = [sys.executable, "-m", "alignlab.cli", *arguments, "--out", str(folder)]
    begun = time.perf_counter()
    with open(log, "ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{name} failed, see {log}")
    info, summary = (json.loads((folder / file).read_text()) for file in ("run.json", "summary.json"))
    members = [
        json.loads((path / "summary.json").read_text()) for path in sorted((folder / "members").glob("*"))
    ]
    return {
        "name": name,
        "command": "alignlab " + shlex.join(arguments),
        "wall_seconds": time.perf_counter() - begun,
        "seconds": info["seconds"],
        "cpu_seconds": info["cpu_seconds"],
        "peak_gb": usage.ru_maxrss / 1e6,
        "summary": summary,
        "members": [member["accuracy"] for member in members],
        "learnt": members[0]["rankings"] if members else None,
    }


@contextmanager
def served(model: str, log: Path) -> Iterator[None]:
    """The model behind `alignlab serve` at the address of SERVER."""
    place = urlsplit(SERVER)
    with open(log, "ab") as file:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "alignlab.cli",
                "serve",
                f"{place.fragment}={model}",
                "--port",
                str(place.port),
                "--json",
            ],
            stdout=subprocess.PIPE,
            stderr=file,
        )
        try:
            assert process.stdout
            if not process.stdout.readline():
                raise SystemExit(f"no server at {SERVER}, see {log}")
            yield
        finally:
            process.terminate()
            process.wait(30)


def texts(folder: Path) -> list[tuple[str, ...]]:
    """Draft, critiques and revisions of each chain."""
    return [
        (chain.draft, *(text for each in chain.rounds for text in (each.critique, each.revision)))
        for chain in read_jsonl(folder / "data/chains.jsonl", Chain)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("smollm2", "gguf", "gemma"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/real"))
    parser.add_argument("--only", nargs="+", default=[])
    args = parser.parse_args()
    file = args.out / "real.json"
    rows = {row["name"]: row for row in json.loads(file.read_text())} if file.exists() else {}
    plan = commands(args, prepare(args.data, args.out))
    for name, arguments in plan.items():
        if (args.only and name not in args.only) or (
            name in rows and rows[name]["command"] == "alignlab " + shlex.join(arguments)
        ):
            continue
        with served(args.smollm2, args.out / "server.log") if SERVER in arguments else nullcontext():
            rows[name] = measure(name, arguments, args.out)
        if name == "revise-server":
            rows[name]["same"] = mean_ci(
                [
                    float(a == b)
                    for a, b in zip(texts(args.out / "revise-here"), texts(args.out / name), strict=True)
                ]
            )
        print(f"{name}: {rows[name]['seconds']:.0f} s, {rows[name]['peak_gb']:.1f} GB", flush=True)
        file.write_text(json.dumps([rows[each] for each in plan if each in rows], indent=1))


if __name__ == "__main__":
    main()
