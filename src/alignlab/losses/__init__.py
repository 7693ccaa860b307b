"""The losses and estimates of alignment, as pure functions of tensors. Imports torch and nothing else.

A mask is 1 (or True) on the tokens that count; what stands elsewhere, even inf or NaN, reaches no loss,
gradient or metric.
"""

from .advantages import gae, kl_shaped_rewards, masked_whiten
from .best_of_n import best_of_n_estimate, best_of_n_kl
from .dpo import better_nll, dpo_loss
from .group import group_advantages, group_policy_loss, token_weights, truncated_importance_weights
from .kl import adaptive_kl_coef, kl_estimate
from .kto import kto_baseline, kto_loss
from .logprobs import entropy, token_logprobs
from .masked import explained_variance
from .orpo import orpo_loss
from .ppo import ppo_policy_loss, ppo_value_loss
from .reward_model import (
    bradley_terry_loss,
    davidson_logprobs,
    preference_loss,
    rao_kupper_logprobs,
    safety_loss,
    stated_probability,
    tie_parameter,
)
from .sft import sft_loss
from .simpo import simpo_loss

__all__ = [
    "adaptive_kl_coef",
    "best_of_n_estimate",
    "best_of_n_kl",
    "better_nll",
    "bradley_terry_loss",
    "davidson_logprobs",
    "dpo_loss",
    "entropy",
    "explained_variance",
    "gae",
    "group_advantages",
    "group_policy_loss",
    "kl_estimate",
    "kl_shaped_rewards",
    "kto_baseline",
    "kto_loss",
    "masked_whiten",
    "orpo_loss",
    "ppo_policy_loss",
    "ppo_value_loss",
    "preference_loss",
    "rao_kupper_logprobs",
    "safety_loss",
    "sft_loss",
    "simpo_loss",
    "stated_probability",
    "tie_parameter",
    "token_logprobs",
    "token_weights",
    "truncated_importance_weights",
]
