"""What a loop that learns from its own completions does before it learns from them:

    source = rollouts.Source(run, policy, prompts, settings, seed=seed)     prompts that fit, the policy
    completions = source.sample(32, step)                                   what it writes
    feedback = rollouts.Feedback(judge, numbers)
    scores_B, metrics = feedback(completions, settings, step)               what they are worth
    batch = rollouts.Rollouts.read(policy, completions)                     ids, as tensors
    old_BT, = batch.logprobs_under([rollouts.current(policy)], pieces)      what a model says
    passes = rollouts.passes(settings, step, seed)                          minibatches of rows

and what it writes down afterwards (`StepLog`, `metrics`).
"""

from . import metrics
from .batch import Minibatch, Rollouts, current, frozen, passes
from .feedback import Feedback, judged, shaped_scores
from .log import StepLog, first_and_last
from .pretraining import PretrainingText
from .sample import Source, prompts_of_step
from .tokens import Read
from .worth_reading import mean, samples_of_step

__all__ = [
    "Feedback",
    "Minibatch",
    "PretrainingText",
    "Read",
    "Rollouts",
    "Source",
    "StepLog",
    "current",
    "first_and_last",
    "frozen",
    "judged",
    "mean",
    "metrics",
    "passes",
    "prompts_of_step",
    "samples_of_step",
    "shaped_scores",
]
