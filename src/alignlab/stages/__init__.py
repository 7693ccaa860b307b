"""The stages of a pipeline as functions: names in, a finished run folder out.

Each loads what it was named, opens its run, calls one method, and writes the model it made. The command line
and the recipes call the same functions; a stage never sees another's memory, only run folders.
"""

from .ablate import ablate_constitution
from .agreement import judge_agreement
from .best_of_n import best_of_n
from .collect import collect
from .constitution import lint_constitution, show_constitution
from .critic import critic
from .crowd import crowd_demonstrations
from .diff import diff_constitutions
from .direct import direct, dpo, orpo, simpo
from .distil import distilled_demonstrations
from .doctor import doctor
from .eval import evaluate
from .export import export
from .group import grpo, rloo
from .human import human_demonstrations
from .kto import kto
from .label import label_answers
from .likelihood import likelihood
from .online_dpo import online_dpo
from .ppo import ppo
from .pretrain import pretrain
from .rejection import rejection
from .revise import revise
from .reward_model import reward
from .reward_shift import reward_shift
from .runs import list_runs
from .self_instruct import self_instruct_demonstrations
from .sft import sft
from .view import view
from .votes import vote_rankings
from .walk import walk

__all__ = [
    "ablate_constitution",
    "best_of_n",
    "collect",
    "critic",
    "crowd_demonstrations",
    "diff_constitutions",
    "direct",
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
    "vote_rankings",
    "walk",
]
