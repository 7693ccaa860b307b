"""Every study by name: what it asks, and where it and its settings lie. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Entry:
    """A study before it is imported.

    Attributes:
        question: what it asks, for people.
        study: module and name of its `Study`, below `alignlab.studies`.
        settings: module and class of all that it reads; the module has `FAST` too.
    """

    question: str
    study: str
    settings: str


STUDIES: dict[str, Entry] = {
    "over-optimisation": Entry(
        "Gold and proxy against KL for best-of-N, RL and DPO on one axis: do Gao et al.'s laws hold, what "
        "do reward-model size and comparisons change, and can one know where to stop without gold?",
        "over_optimisation:OVER_OPTIMISATION",
        "over_optimisation_settings:OverOptimisation",
    ),
    "kl-frontier": Entry(
        "What do PPO's and RLOO's kl_coef and DPO's beta buy: how far does the policy go, what does the "
        "reward model say, and what is true?",
        "kl_frontier:KL_FRONTIER",
        "kl_frontier_settings:KLFrontier",
    ),
    "closed-form": Entry(
        "On a task whose KL-optimal policy is known in closed form, ref exp(r / beta) / Z: does each "
        "method, with the shipped losses, find it?",
        "closed_form:CLOSED_FORM",
        "closed_form_settings:ClosedForm",
    ),
    "mixed-demonstrations": Entry(
        "Demonstrations of mixed quality: does SFT imitate the mixture, and do preferences over its own "
        "answers pick the better?",
        "mixed_demonstrations:MIXED_DEMONSTRATIONS",
        "mixed_demonstrations_settings:MixedDemonstrations",
    ),
    "demonstrations": Entry(
        "The same SFT on as many demonstrations from people, a crowd, a stronger model and the model "
        "itself: what is each worth?",
        "demonstrations:DEMONSTRATIONS",
        "demonstrations_settings:Demonstrations",
    ),
    "reward-shift": Entry(
        "How often is a reward model right about what policies write, as they move away from the data it "
        "was trained on, and do new comparisons repair it?",
        "reward_shift:REWARD_SHIFT",
        "reward_shift_settings:RewardShift",
    ),
    "specification-gaming": Entry(
        "A metric has a hole: when is it found, can a monitor of given quality close it, and does whoever "
        "learnt one slip make others?",
        "specification_gaming:SPECIFICATION_GAMING",
        "specification_gaming.settings:SpecificationGaming",
    ),
    "oversight": Entry(
        "What does a model learn from a supervisor who is wrong, or who cannot check, and what do "
        "critique and debate add when an overseer can look up one thing?",
        "oversight.page:OVERSIGHT",
        "oversight.settings:Oversight",
    ),
    "depth": Entry(
        "Where in an answer, and how firmly in the weights, does safety sit; is what is refused gone, and "
        "which training goes deeper?",
        "depth.study:DEPTH",
        "depth.settings:Depth",
    ),
    "alignment-tax": Entry(
        "Of what a model loses when it is made safe, how much is forgotten, how much withheld, how much "
        "the price of any training, and which remedy buys most of it back?",
        "alignment_tax.page:ALIGNMENT_TAX",
        "alignment_tax.settings:AlignmentTax",
    ),
    "sycophancy": Entry(
        "When does preference learning make a model agree with what it knows to be wrong: how much comes "
        "from raters who like agreement, from raters who cannot check, from the reward model, from the "
        "optimizer?",
        "sycophancy.page:SYCOPHANCY",
        "sycophancy.settings:Sycophancy",
    ),
    "whose-values": Entry(
        "Whose opinions does a model have that a divided town trained, what should it have by the town's own "
        "welfare, and can a town still change its mind that listens to it?",
        "whose_values.page:WHOSE_VALUES",
        "whose_values.settings:WhoseValues",
    ),
    "quantisation": Entry(
        "What does rounding the weights to few bits do to alignment: which of gold, refusals and facts falls "
        "first, and does RLHF's small change of the weights survive it?",
        "quantisation.page:QUANTISATION",
        "quantisation.settings:Quantisation",
    ),
}


def study(name: str) -> Any:
    """The `Study` of that name."""
    return _imported(STUDIES[name].study)


def reads(name: str) -> tuple[str, ...]:
    """The settings and tables that a study reads."""
    return tuple(item.name for item in fields(_imported(STUDIES[name].settings)))


def _imported(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return getattr(import_module(f"{__package__}.{module}"), attribute)
