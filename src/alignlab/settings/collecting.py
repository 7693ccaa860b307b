"""Making data: rankings of completions, and demonstrations from four kinds of writers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .shared import EndpointSettings, ModelSettings, SamplingSettings, setting


@dataclass(frozen=True, kw_only=True)
class CollectSettings:
    """K completions per prompt, ranked by an annotator (InstructGPT: K from 4 to 9)."""

    per_prompt: int = setting(4, "K: completions ranked together, 2 to 9", at_least=2, at_most=9)
    from_others: float = setting(
        0.4,
        "share of the completions taken from other sources where the data has them",
        at_least=0,
        at_most=1,
    )
    held_out: float = setting(
        0.15, "share of the questions whose rankings are kept for testing", at_least=0, below=1
    )
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class VotesSettings:
    """Rankings from what people said in the studio."""

    merge: Literal["none", "soft", "majority"] = setting(
        "none",
        "none = each person's ranking by itself; soft = one an item, a pair's label being the share of votes "
        "for it; majority = one an item, by the majority of each pair",
    )
    group: str = setting("", "votes of people of this group alone; empty = of everybody")


@dataclass(frozen=True, kw_only=True)
class HumanSettings:
    """Demonstrations that people wrote into a file."""

    who: str = setting(
        "", "who wrote the answers whose row does not say; an answer that nobody signs is rejected"
    )
    when: str = setting("", "the date of the answers whose row does not say")
    source: str = setting("", "where the answers come from (a project, a contract), if the row does not say")
    min_words: int = setting(1, "a shorter answer is rejected", at_least=0)
    max_words: int = setting(1000, "a longer answer is rejected", at_least=1)


@dataclass(frozen=True, kw_only=True)
class CrowdSettings:
    """Several writers per prompt, reviewers who vote, and an adjudicator."""

    writers: str = setting(
        "town:careful,town:ordinary,town:hasty",
        "who writes, comma separated: people of the town, or data with answers to the prompts",
        names="writers",
    )
    reviewers: str = setting(
        "town:fair,town:noisy,town:careless",
        "who votes, comma separated: annotators of the town, or reward:RUN",
        names="annotators",
    )
    adjudicator: str = setting("town:fair", "who decides where the vote does not", names="annotator")
    majority: float = setting(
        0.6, "share of the votes that settles a prompt without the adjudicator", above=0, at_most=1
    )


@dataclass(frozen=True, kw_only=True)
class DistilSettings:
    """Demonstrations by a stronger model (temperature 0.7 as in Self-Instruct's and Alpaca's answers)."""

    per_prompt: int = setting(1, "answers a prompt; of several the judge's favourite is kept", at_least=1)
    sampling: SamplingSettings = field(default_factory=lambda: SamplingSettings(temperature=0.7))
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class SelfInstructSettings:
    """Requests and answers by the model itself (Wang et al. 2022, section 2.2 and appendix A)."""

    demonstrations: int = setting(500, "stop when so many are kept", at_least=1)
    rounds: int = setting(50, "stop after so many rounds in any case", at_least=1)
    batch: int = setting(64, "requests asked for in a round; a request of form chat asks for 8", at_least=1)
    seeds: int = setting(175, "seed tasks, the first of the data (Wang et al.: 175)", at_least=1)
    examples: int = setting(
        2,
        "tasks shown before a new one; Wang et al. show 8, a small model has no room for so many",
        at_least=1,
    )
    from_generated: float = setting(
        0.25,
        "share of the tasks shown that the model made itself (Wang et al.: 2 of 8)",
        at_least=0,
        at_most=1,
    )
    form: Literal["continue", "chat"] = setting(
        "continue",
        (
            "continue = a document of questions and answers, for a base model; chat = a message, for one "
            "that chats"
        ),
    )
    similarity: float = setting(
        0.7,
        (
            "a request whose ROUGE-L with any other is at least this is rejected (Wang et al.: 0.7); 1 = "
            "only the same words"
        ),
        above=0,
        at_most=1,
    )
    min_words: int = setting(3, "a shorter request is rejected", at_least=0)
    max_words: int = setting(150, "a longer request is rejected (Wang et al.: 150)", at_least=1)
    blocked: str = setting(
        "image images picture pictures graph graphs file files plot",
        "a request with one of these words is rejected: no model of text can do it",
    )
    answer_temperature: float = setting(
        0.0,
        "temperature of the answers (Wang et al.: 0); sampling.temperature is that of the requests",
        at_least=0,
    )
    sampling: SamplingSettings = field(default_factory=lambda: SamplingSettings(temperature=0.7))
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
