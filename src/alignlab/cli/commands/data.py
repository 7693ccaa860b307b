"""Demonstrations: the kinds of `alignlab collect` beside rankings."""

from __future__ import annotations

from .command import Command, Option
from .options import COUNT, GOLD, data_option

DEMONSTRATIONS: dict[str, Command] = {
    "human": Command(
        "demonstrations that people write: a file to fill in, then what is kept of it",
        "stages:human_demonstrations",
        (
            data_option("town:prompts", "prompts to answer"),
            COUNT,
            Option(
                "answers",
                (
                    "the file of answers (JSONL, JSON, CSV, Parquet); one that does not exist is written, "
                    "to be filled in; empty = beside the run"
                ),
                "",
            ),
        ),
        "settings:HumanSettings",
        "runs/human",
    ),
    "crowd": Command(
        "demonstrations by several writers a prompt: reviewers vote, an adjudicator settles",
        "stages:crowd_demonstrations",
        (data_option("town:prompts", "prompts"), COUNT, GOLD),
        "settings:CrowdSettings",
        "runs/crowd",
    ),
    "distil": Command(
        "demonstrations by a stronger model",
        "stages:distilled_demonstrations",
        (
            Option("model", "the teacher: any model, or http://host:port/v1#model", "", names="sampler"),
            data_option("town:prompts", "prompts"),
            COUNT,
            Option("judge", "who picks the best of per_prompt answers: reward:RUN", "", names="judge"),
            GOLD,
        ),
        "settings:DistilSettings",
        "runs/distil",
    ),
    "self-instruct": Command(
        "demonstrations that a model makes itself: requests after the pattern of seed tasks, and answers",
        "stages:self_instruct_demonstrations",
        (
            Option(
                "model", "who makes them: any model, or http://host:port/v1#model", "town", names="sampler"
            ),
            data_option("town:demos-clean", "seed tasks"),
            Option("avoid", "data whose prompts must not be made, as those of a test", "", names="data"),
            GOLD,
        ),
        "settings:SelfInstructSettings",
        "runs/self-instruct",
    ),
}
