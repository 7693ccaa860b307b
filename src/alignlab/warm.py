"""Imports what every stage needs, once, in the process that the pipeline's stages are forked from."""

import torch  # noqa: F401
import transformers.models.llama.modeling_llama  # noqa: F401

from . import stages  # noqa: F401
from .data import read  # noqa: F401
from .evals import bare, stage  # noqa: F401
from .feedback import reward_model as feedback_reward_model  # noqa: F401
from .methods import best_of_n, collect, direct, kto, ppo, reward_model, sft  # noqa: F401
from .models import load  # noqa: F401
from .sampling import local  # noqa: F401
from .town import gold, sets  # noqa: F401
