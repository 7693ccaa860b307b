"""Draft, critique and revision by a constitution."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .shared import EndpointSettings, ModelSettings, SamplingSettings, setting


@dataclass(frozen=True, kw_only=True)
class ChainSettings:
    """Draft, critique, revision (Bai et al. 2022, section 3.1)."""

    rounds: int = setting(
        4,
        "critiques and revisions of a draft, 1 to 4, each under another principle (Bai et al.: 4)",
        at_least=1,
        at_most=4,
    )
    critique: bool = setting(True, "false = the revision is asked for at once (Bai et al., section 3.5)")
    tags: str = setting(
        "harmless", "principles with one of these tags are drawn from, comma separated; empty = all"
    )
    principle: str = setting("", "the id of a principle that alone is used; empty = they are drawn")
    form: Literal["auto", "document", "dialogue"] = setting(
        "auto",
        (
            "how the critic is asked: document = a text that it continues, for the town's base models; "
            "dialogue = chat messages; auto = what it can read"
        ),
    )
    max_repetition: float = setting(
        0.5,
        (
            "a revision is dropped if more than this share of its three-word sequences were there before in "
            "it, and in its draft fewer"
        ),
        above=0,
        at_most=1,
    )
    judge_bar: float = setting(
        0.5,
        "with a judge: a revision is dropped if the probability that it beats its draft is below this",
        at_least=0,
        at_most=1,
    )
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    critic_sampling: SamplingSettings = field(default_factory=lambda: SamplingSettings(max_new_tokens=96))
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class ReviseSettings(ChainSettings):
    """The demonstrations of SL-CAI: revisions of answers to red-team prompts, and helpful answers (Bai et al.
    2022, sections 3.1 and 3.2).
    """

    chunk: int = setting(
        256, "prompts between two points from which a run goes on, each of its rounds by itself", at_least=1
    )
    helpful_count: int = setting(
        4000,
        (
            "harmless prompts (--helpful) whose answers by the author are mixed in (Bai et al.: 135,296, "
            "beside 182,831 red-team prompts)"
        ),
        at_least=0,
    )
    helpful_temperature: float = setting(
        0.7,
        (
            "temperature of those answers (Bai et al.: 1; the town's authors lose less of their helpfulness "
            "at 0.7)"
        ),
        at_least=0,
    )


@dataclass(frozen=True, kw_only=True)
class WalkSettings(ChainSettings):
    """Draft, critique and revision to look at."""

    seed: int = setting(0, "all sampling and every principle follow from it")
