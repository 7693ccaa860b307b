"""Settings of the study `demonstrations`."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..settings import (
    CrowdSettings,
    DistilSettings,
    EvalSettings,
    SamplingSettings,
    SelfInstructSettings,
    setting,
)
from .settings import Ranked


@dataclass(frozen=True, kw_only=True)
class SourcesSettings:
    """The study `demonstrations`."""

    count: int = setting(1000, "demonstrations of each source", at_least=1)
    crowd: CrowdSettings = field(default_factory=CrowdSettings)
    distil: DistilSettings = field(
        default_factory=lambda: DistilSettings(sampling=SamplingSettings(temperature=0.7))
    )
    self_instruct: SelfInstructSettings = field(
        default_factory=lambda: SelfInstructSettings(
            batch=128, similarity=1.0, sampling=SamplingSettings(temperature=0.7)
        )
    )
    eval: EvalSettings = field(
        default_factory=lambda: EvalSettings(prompts=600, sampling=SamplingSettings(temperature=0.0))
    )


@dataclass(frozen=True, kw_only=True)
class Demonstrations(Ranked):
    """All that the study reads."""

    sources: SourcesSettings = field(default_factory=SourcesSettings)


FAST = Demonstrations(
    demonstrations=1000,
    prompts=800,
    sources=SourcesSettings(
        count=300, eval=EvalSettings(prompts=200, sampling=SamplingSettings(temperature=0.0))
    ),
)
