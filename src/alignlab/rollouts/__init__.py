"""What a loop that learns from its own completions does before it learns from them:

    asked = rollouts.prompts_of_step(prompts, 32, step, seed)                            which prompts
    completions = rollouts.sample(sampler, policy, asked, sampling, step=step, seed=...)  what it writes
    scores = rollouts.judged(judge, completions, step)                                    what they are worth
    batch = rollouts.Rollouts.read(policy, completions)                                   ids, as tensors
    old_BT, = batch.logprobs_under([rollouts.current(policy)], pieces, temperature=1.0)   what a model says
    passes = rollouts.passes(settings, step, seed)                                        minibatches of rows

and what it writes down afterwards (`StepLog`).
"""

from .batch import Minibatch, Rollouts, current, frozen, passes
from .log import StepLog, first_and_last
from .sample import judged, prompts_of_step, prompts_that_fit, sample, shaped_scores
from .worth_reading import mean, samples_of_step

__all__ = [
    "Minibatch",
    "Rollouts",
    "StepLog",
    "current",
    "first_and_last",
    "frozen",
    "judged",
    "mean",
    "passes",
    "prompts_of_step",
    "prompts_that_fit",
    "sample",
    "samples_of_step",
    "shaped_scores",
]
