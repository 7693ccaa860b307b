"""The lecture: its pages, slides, checks and quizzes."""

from __future__ import annotations

from .command import Command, Option

KINDS: dict[str, Command] = {
    "check": Command(
        "whether every claim of the lecture holds and every number has a source; exit code 5 if not",
        "course.command:check",
    ),
    "machine": Command(
        "how fast this computer reads memory and multiplies, and what that allows a model to write",
        "course.machine:machine",
        (Option("model", "a model that is measured, too", "", names="policy"),),
    ),
    "quiz": Command(
        "fifteen questions on the terminal; the answers stay on this machine",
        "course.command:quiz",
        (
            Option("form", "a or b, before and after the lecture; or a page, as 4-rlhf", "a"),
            Option("answers", "the file in which your answers are kept", "runs/lecture-answers.json"),
        ),
    ),
    "prepare": Command(
        "make the models that the demos begin with, once, as runs in runs/lecture", "course.prepare:prepare"
    ),
    "demo": Command(
        "run a demo of the lecture in about a minute, or write it as a notebook",
        "course.demo:demo",
        (
            Option("name", "sft, reward, rlhf or critique", "", positional=True),
            Option("full", "the form of five minutes", False, switch=True),
            Option("notebook", "write it into this .ipynb file and run nothing", ""),
        ),
    ),
    "record": Command(
        "what a record of the lecture holds: the paths that a claim can name",
        "course.command:record",
        (Option("name", "as over-optimisation", "", positional=True),),
    ),
}
LECTURE: dict[str, Command] = {
    "lecture": Command(
        "the lecture on alignment and RLHF: pages and slides in the browser, from files, without a server",
        "course.command:lecture",
        (
            Option("page", "the page to open, by its number or name; empty = the plan", ""),
            Option("slides", "open the slides", False, switch=True),
            Option("minutes", "how long the lecture is: 165, 150 or 120; 0 = all of it", 0),
            Option("runs", "a folder of your runs: your figures stand beside the recorded ones", ""),
            Option("out", "the folder into which the pages are built; empty = runs/lecture-site", ""),
            Option("no-open", "build, and open no browser", False, switch=True),
        ),
        kind="read",
        kinds=KINDS,
        spoken=True,
    )
}
