"""Imports what every stage needs, once, in the process that the pipeline's stages are forked from."""

import torch  # noqa: F401
import transformers.models.llama.modeling_llama  # noqa: F401

from .. import stages  # noqa: F401
from ..collecting import best_of_n, collect  # noqa: F401
from ..data import read  # noqa: F401
from ..evals import answers  # noqa: F401
from ..feedback import reward_model as feedback_reward_model  # noqa: F401
from ..methods import direct, group, kto, online_dpo, ppo, rejection, reward_model, sft  # noqa: F401
from ..models import load  # noqa: F401
from ..run import code
from ..sampling import local  # noqa: F401
from ..town import gold, sets  # noqa: F401
from ..town.measure import bare  # noqa: F401

for known in ("sft", "collect", "reward", "dpo", "ppo", "rloo", "rejection", "best-of-n", "eval"):
    code.sources(known, {"options": {"judge": "town:gold"}})  # read once, for all who are forked
