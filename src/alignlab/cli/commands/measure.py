"""Measure models, reward models, and what a method does."""

from __future__ import annotations

from dataclasses import replace

from ...studies.catalogue import STUDIES, Entry
from .command import Command, Option
from .options import COUNT, JUDGE, MODEL, REWARD, data_option

MEASURE: dict[str, Command] = {
    "eval": Command(
        "score a model's answers on held-out prompts",
        "stages:evaluate",
        (
            MODEL,
            data_option("town:test", "prompts"),
            Option(
                "task",
                (
                    "what is asked and how it is scored: gsm8k, ifeval, truthfulqa (each with its file as "
                    "--data), exact:COLUMN, contains:COLUMN, number:COLUMN, regex:COLUMN, or module:function "
                    "(of yours); empty = prompts, scored by --judge"
                ),
                "",
                names="task",
            ),
            replace(JUDGE, help=f"{JUDGE.help}; empty = town:gold, or the task's own scoring", default=""),
            Option("baseline", "a finished eval run to compare with, prompt by prompt", "", names="eval"),
            Option("reference", "the model that KL is measured from; empty = none", "", names="policy"),
        ),
        "settings:EvalSettings",
        "runs/eval",
        in_parts=True,
    ),
    "likelihood": Command(
        (
            "a model's loss on documents and demonstrations and how much likelier it finds chosen "
            "completions than rejected ones: no judge, nothing sampled"
        ),
        "stages:likelihood",
        (
            MODEL,
            Option(
                "demonstrations",
                (
                    "demonstrations: town:NAME, a file or folder in a format of the field, a hub name, a "
                    "run, or a mixture; empty = none"
                ),
                "",
                names="data",
            ),
            Option(
                "comparisons", "comparisons or rankings, by the same names; empty = none", "", names="data"
            ),
            Option("texts", "documents, by the same names; empty = none", "", names="data"),
            COUNT,
            Option(
                "baseline",
                "a finished likelihood run to compare with, record by record",
                "",
                names="likelihood",
            ),
        ),
        "settings:LikelihoodSettings",
        "runs/likelihood",
    ),
    "reward-shift": Command(
        "a reward model's accuracy against gold, as policies move away from the data it was trained on",
        "stages:reward_shift",
        (
            MODEL,
            REWARD,
            Option(
                "policies",
                "runs or model folders, comma separated, that KL from --model is measured of",
                "",
                names="policies",
            ),
            data_option("town:test", "prompts"),
            Option("gold", "the judge that knows the truth", "town:gold", names="judge"),
        ),
        "settings:ShiftSettings",
        "runs/reward-shift",
    ),
}


def _study(name: str, entry: Entry) -> Command:
    module = entry.settings.partition(":")[0]
    return Command(
        entry.question,
        "studies.command:study_command",
        (
            MODEL,
            Option("seeds", "comma separated, as 0,1,2: the study is done for each; empty = --seed", ""),
            Option(
                "runs",
                (
                    "where the stages' run folders lie: studies that share one share SFT, comparisons and "
                    "reward model; empty = in --out"
                ),
                "",
            ),
            Option("fast", "small sizes, to see that it works", False, switch=True),
        ),
        f"studies.{entry.settings}",
        f"runs/study-{name}",
        fast=f"studies.{module}:FAST",
        given={"name": name},
    )


STUDY: dict[str, Command] = {
    "study": Command(
        "ask one of the field's questions as an experiment, over several seeds; without a name, list them",
        "studies.command:listing",
        kinds={name: _study(name, entry) for name, entry in STUDIES.items()},
        spoken=True,
    )
}
