"""The stages of a pipeline as functions: names in, a finished run folder out.

Each loads what it was named, opens its run, calls one method, and writes the model it made. The command line and the
recipes call the same functions; a stage never sees another's memory, only run folders.
"""

from .answer import best_of_n, collect
<<<<<<< HEAD
from .data import doctor, export, view
=======
from .data import export
<<<<<<< HEAD
>>>>>>> 8b67393 (Online DPO, and rejection sampling in rounds: any judge, resumable within a round)
from .demonstrations import crowd_demonstrations, distilled_demonstrations, human_demonstrations, self_instruct_demonstrations
from .group import grpo, rloo
=======
from .demonstrations import crowd_demonstrations, distilled_demonstrations, human_demonstrations
from .group import grpo, online_dpo, rejection, rloo
>>>>>>> 7f41a94 (Online DPO, and rejection sampling in rounds: any judge, resumable within a round)
from .learn import dpo, kto, orpo, pretrain, reward, sft, simpo
from .measure import evaluate, list_runs, reward_shift
from .on_policy import ppo

__all__ = [
<<<<<<< HEAD
    "best_of_n", "collect", "crowd_demonstrations", "distilled_demonstrations", "doctor", "dpo", "evaluate", "export", "grpo", "human_demonstrations",
=======
    "best_of_n", "collect", "crowd_demonstrations", "distilled_demonstrations", "dpo", "evaluate", "export", "grpo", "human_demonstrations",
<<<<<<< HEAD
>>>>>>> 8b67393 (Online DPO, and rejection sampling in rounds: any judge, resumable within a round)
    "kto", "list_runs", "orpo", "ppo", "pretrain", "reward", "reward_shift", "rloo", "self_instruct_demonstrations", "sft", "simpo", "view",
=======
    "kto", "list_runs", "online_dpo", "orpo", "ppo", "pretrain", "rejection", "reward", "reward_shift", "rloo", "sft", "simpo", "view",
>>>>>>> 7f41a94 (Online DPO, and rejection sampling in rounds: any judge, resumable within a round)
]
