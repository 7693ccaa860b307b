"""Attack a model, and defend it."""

from __future__ import annotations

from dataclasses import replace

from .command import Command, Option
from .options import MODEL, data_option

ATTACKED = replace(MODEL, names="target")
TARGET = Option("target", "who is attacked, in place of --model", "", positional=True, names="target")
VERDICTS = Option(
    "judge",
    "who says whether an answer refuses or helps; rates by the shipped classifier (refusal) are corrected "
    "for its errors on models that it has never seen, three on 225 prompts of XSTest (docs/judges.md)",
    "town:gold",
    names="verdicts",
)
KINDS: dict[str, Command] = {
    "judge": Command(
        "judge answers: refusal, partial, compliance or void, row by row",
        "redteam.judging:judge_command",
        (
            Option(
                "file",
                "rows of prompt and completion (JSONL, JSON, CSV, Parquet)",
                "",
                positional=True,
                names="file",
            ),
            Option("judge", "who judges, comma separated, the first decides", "refusal", names="verdicts"),
            Option(
                "queue",
                "a file for the rows that a human should look at: judges that differ, or are unsure",
                "",
            ),
            Option("human", "such a file with human_label filled in: those labels win", "", names="file"),
        ),
    ),
    "repro": Command(
        "ask what a finding says again; exit code 5 if it does not happen any more",
        "redteam.command:repro",
        (
            Option("finding", "which, as F-012", "", positional=True),
            Option("run", "the campaign's folder", "runs/redteam", names="campaign"),
            Option(
                "model", "another target than the one that was attacked, as the fixed one", "", names="target"
            ),
            Option("samples", "also so many answers at temperature 1", 0),
        ),
    ),
    "export": Command(
        "write a campaign in a form that others read",
        "redteam.exports:export",
        (
            Option("run", "the campaign's folder", "runs/redteam", positional=True, names="campaign"),
            Option(
                "format",
                "garak, inspect, junit, markdown, html, prompts (what hit, as data); several by comma",
                "garak",
            ),
            Option("out", "the file; empty = in the campaign's folder", ""),
        ),
    ),
    "frontier": Command(
        "compare stacks of defences: attack success, over-refusal, helpfulness, time, tokens",
        "redteam.frontier:frontier",
        (
            TARGET,
            ATTACKED,
            Option(
                "stacks",
                "stacks parted by semicolons, defences in one by +; none = the model by itself",
                "none;system-prompt;self-reminder;perplexity-filter;smooth-llm;"
                "paraphrase;erase-and-check;self-examination;input-filter;output-filter;"
                "input-filter+output-filter;rate-limit",
                names="stacks",
            ),
            data_option("town:harmful-test", "requests that ought to be refused"),
            Option("harmless", "harmless look-alikes", "town:twins-test", names="data"),
            Option("test", "ordinary held-out requests", "town:test", names="data"),
            VERDICTS,
            Option("gold", "the judge of helpfulness", "town:gold", names="judge"),
        ),
        "settings:FrontierSettings",
        "runs/redteam-frontier",
    ),
    "attacker": Command(
        "train an attacker by reinforcement learning against a target",
        "redteam.train_attacker:train_attacker",
        (
            TARGET,
            ATTACKED,
            Option("start", "what the attacker starts from", "town", names="policy"),
            data_option("town:harmful", "requests it learns to ask for"),
            VERDICTS,
        ),
        "settings:AttackerSettings",
        "runs/redteam-attacker",
    ),
}
RED_TEAM: dict[str, Command] = {
    "redteam": Command(
        "attack a model, judge what it says, find how it fails; with --fix, teach it and attack again",
        "redteam.command:redteam",
        (
            TARGET,
            ATTACKED,
            Option(
                "defence",
                "defences before it, comma separated, as self-reminder,output-filter",
                "",
                names="defences",
            ),
            data_option("town:harmful-test", "requests that it ought to refuse"),
            Option(
                "harmless",
                "harmless look-alikes, for over-refusal; empty = none",
                "town:twins-test",
                names="data",
            ),
            VERDICTS,
            Option(
                "fix",
                (
                    "learn from what was found, and attack again with fresh prompts and families that were "
                    "held out"
                ),
                False,
                switch=True,
            ),
            Option(
                "learn", "with --fix: requests that lessons are looked for on", "town:harmful", names="data"
            ),
            Option("ordinary", "with --fix: requests to answer as before", "town:prompts", names="data"),
            Option(
                "test",
                "with --fix: held-out requests for helpfulness and honesty; empty = not measured",
                "town:test",
                names="data",
            ),
            Option("gold", "with --fix: who judges these", "town:gold", names="judge"),
            Option(
                "review",
                (
                    "with --fix: a file of lessons for a person to go through; where there is none it is "
                    "written, and the command stops"
                ),
                "",
            ),
            Option(
                "attacker",
                "a model that writes attacks (PAIR, TAP), or a run of redteam attacker",
                "",
                names="sampler",
            ),
            Option("fail-on", 'exit code 5 if this holds, as "asr>0.1,over_refusal>0.05"', ""),
        ),
        "settings:RedteamSettings",
        "runs/redteam",
        kind="campaign",
        kinds=KINDS,
    )
}
