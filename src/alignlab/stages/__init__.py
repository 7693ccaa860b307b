"""The stages of a pipeline as functions: names in, a finished run folder out.

Each loads what it was named, opens its run, calls one method, and writes the model it made. The command line
and the recipes call the same functions; a stage never sees another's memory, only run folders.
"""

from .ai_feedback import ablate_constitution, diff_constitutions, judge_agreement, label_answers
from .answer import best_of_n, collect
from .constitution import critic, lint_constitution, show_constitution
from .constitutional import revise, walk
from .data import doctor, export, view
from .demonstrations import (
    crowd_demonstrations,
    distilled_demonstrations,
    human_demonstrations,
    self_instruct_demonstrations,
)
from .group import grpo, online_dpo, rejection, rloo
from .learn import dpo, kto, orpo, pretrain, reward, sft, simpo
from .measure import evaluate, likelihood, reward_shift
from .on_policy import ppo
from .runs import list_runs

__all__ = [
    "ablate_constitution",
    "best_of_n",
    "collect",
    "critic",
    "crowd_demonstrations",
    "diff_constitutions",
    "distilled_demonstrations",
    "doctor",
    "dpo",
    "evaluate",
    "export",
    "grpo",
    "human_demonstrations",
    "judge_agreement",
    "kto",
    "label_answers",
    "likelihood",
    "lint_constitution",
    "list_runs",
    "online_dpo",
    "orpo",
    "ppo",
    "pretrain",
    "rejection",
    "revise",
    "reward",
    "reward_shift",
    "rloo",
    "self_instruct_demonstrations",
    "sft",
    "show_constitution",
    "simpo",
    "view",
    "walk",
]
