"""Judgments of an AI that reads a constitution."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .shared import EndpointSettings, ModelSettings, SamplingSettings, setting


@dataclass(frozen=True, kw_only=True)
class AIJudgeSettings:
    """How an AI judge labels a pair of answers (Bai et al. 2022, section 4.1)."""

    principles: int = setting(
        0,
        (
            "principles that judge a pair, drawn by the seed; 0 = all of those with one of the tags (Bai et "
            "al.: one of 16, or an ensemble)"
        ),
        at_least=0,
    )
    tags: str = setting("harmless", "principles with one of these tags, comma separated; empty = all")
    ask: Literal["verdict", "each"] = setting(
        "verdict",
        (
            "verdict = which of the two, by the probabilities of (A) and (B); each = both are read one by "
            "one, by the probability that the judge finds them fine"
        ),
    )
    orders: Literal["both", "one"] = setting(
        "both",
        "both = each pair is shown in both orders and the log-odds averaged; one = as it comes: an ablation",
    )
    cot: bool = setting(
        False,
        "the judge thinks aloud first; its labels then stay between 0.4 and 0.6 (Bai et al., section 4.3)",
    )
    form: Literal["auto", "document", "dialogue"] = setting(
        "auto",
        (
            "how the judge is asked: document = a text that it continues, for the town's base models; "
            "dialogue = chat messages; auto = what it can read"
        ),
    )
    chunk: int = setting(256, "prompts or pairs between two points from which a run goes on", at_least=1)
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class LabelSettings(AIJudgeSettings):
    """Pairs of a policy's answers and the soft labels of an AI judge: what the preference model of RL-CAI
    learns from.
    """

    per_prompt: int = setting(4, "answers a prompt, of which two different ones are compared", at_least=2)
    labels: Literal["soft", "hard"] = setting(
        "soft", "soft = the probability itself; hard = 0 or 1, whichever is nearer: an ablation"
    )
    temperature: float = setting(
        1.0,
        (
            "the labels' log-odds are divided by it; 0 = fitted to --gold on half of the held-out prompts "
            "(Guo et al. 2017)"
        ),
        at_least=0,
    )
    certain: float = setting(
        0.0,
        (
            "pairs whose label is nearer than this to one half are not learnt from: where the principles "
            "decide nothing, one half teaches that nothing else matters either"
        ),
        at_least=0,
        below=0.5,
    )
    held_out: float = setting(
        0.15, "share of the questions whose pairs are kept for testing", at_least=0, below=1
    )
    sampling: SamplingSettings = field(default_factory=SamplingSettings)


@dataclass(frozen=True, kw_only=True)
class BehaviourSettings(AIJudgeSettings):
    """Two constitutions on the same pairs, and two models on the same prompts."""

    prompts: int = setting(400, "prompts that two models answer, greedily", at_least=1)
    sampling: SamplingSettings = field(default_factory=lambda: SamplingSettings(temperature=0.0))
