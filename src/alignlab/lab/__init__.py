"""alignlab from Python, for a script or a notebook: models, data, judges and batches by one verb each.

    from alignlab import lab, losses

The verbs are thin names over what the commands use. They hold no method: a loop is yours to write, with the
losses of `alignlab.losses`, or `alignlab.methods` has it written out. Models, data and judges are named as on
the command line; in place of data there may be a list of rows or records, in place of a judge a function.
Everything drawn follows from `seed`. Nothing heavy is imported before the first verb.

A tensor's name ends in its shape: B rows of a batch, T tokens of the longest, N completions, P pairs. What is
wrong with a name, a file or a row is a `UserError` that says what, where and what mends it.
"""

from ..course.prepare import prepared
from .answers import answer, judge, others, rank, score
from .data import comparisons, demonstrations, draw, prompts, split
from .learning import adam, batch, batches, logprobs, pair_scores
from .models import policy, reward_model, save
from .revising import constitution, criticise, revise
from .watching import Watch, watch

__all__ = [
    "policy",
    "reward_model",
    "prepared",
    "save",
    "prompts",
    "demonstrations",
    "comparisons",
    "split",
    "draw",
    "answer",
    "others",
    "judge",
    "score",
    "rank",
    "batch",
    "batches",
    "logprobs",
    "pair_scores",
    "adam",
    "constitution",
    "criticise",
    "revise",
    "watch",
    "Watch",
]
