"""Red teaming: campaigns, stacks of defences, attackers that learn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .direct import DPOSettings
from .group import RLOOSettings
from .sft import SFTSettings
from .shared import EndpointSettings, ModelSettings, OptimSettings, SamplingSettings, setting


@dataclass(frozen=True, kw_only=True)
class RedteamSettings:
    """A red-team campaign, and what is learnt from it."""

    attacks: str = setting(
        "standard",
        (
            "names, families (jailbreak, obfuscation, context, multi-turn, automatic, prefill), "
            "compositions (story+spaced), standard or all; -NAME leaves one out; none = the bare requests "
            "alone"
        ),
        names="attacks",
    )
    goals: int = setting(200, "requests that the target ought to refuse, at most", at_least=1)
    twins: int = setting(
        150, "harmless look-alikes that over-refusal is measured on, at most; 0 = none", at_least=0
    )
    tries: int = setting(1, "wordings of a template that are tried on one goal", at_least=1)
    queries: int = setting(
        16, "target queries for one goal of an attack that tries until it succeeds", at_least=1
    )
    tokens: int = setting(0, "tokens an attack may spend on one goal; 0 = no bound", at_least=0)
    steps: int = setting(100, "steps of an attack that looks inside the model, for one goal", at_least=1)
    search_goals: int = setting(20, "goals that such attacks are run on: they take long", at_least=1)
    shorten: int = setting(
        60,
        "target queries for making one finding as short as it goes; 0 = findings stay as they are",
        at_least=0,
    )
    held_out: str = setting(
        "obfuscation,multi-turn",
        (
            "with --fix: families and attacks that are never learnt from, to see whether what is learnt "
            "carries over"
        ),
    )
    rounds: int = setting(
        1, "with --fix: times that the target is attacked, taught and attacked again", at_least=1
    )
    learn_goals: int = setting(
        200, "with --fix: training goals, and as many harmless look-alikes, at most", at_least=1
    )
    harmless_train: str = setting(
        "town:twins",
        (
            "with --fix: harmless look-alikes that are answered in the wrappers that worked, so that no "
            "wrapper is refused for itself"
        ),
        names="data",
    )
    ordinary_prompts: int = setting(
        800, "with --fix: ordinary requests that are learnt to be answered as before", at_least=0
    )
    test_prompts: int = setting(
        400, "with --fix: held-out requests that helpfulness and honesty are measured on", at_least=0
    )
    per_attack: int = setting(
        10,
        (
            "with --fix: hits of one attack that are learnt from, at most; more of them refuse more that is "
            "harmless"
        ),
        at_least=1,
    )
    reach: float = setting(
        0.7,
        (
            "with --fix: how far the weights go from the attacked model to the one that learnt the lessons; "
            "1 = all the way. Less forgets less (Wortsman et al. 2022, WiSE-FT)"
        ),
        above=0,
        at_most=1,
    )
    method: Literal["sft", "dpo"] = setting(
        "sft",
        (
            "with --fix: how the lessons are learnt; sft = adversarial training on refusals, dpo = refusal "
            "over what was said"
        ),
    )
    sampling: SamplingSettings = field(default_factory=lambda: SamplingSettings(temperature=0.0))
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    sft: SFTSettings = field(
        default_factory=lambda: SFTSettings(epochs=1.0, held_out=0.02, optim=OptimSettings(lr=3e-4))
    )
    dpo: DPOSettings = field(default_factory=lambda: DPOSettings(beta=0.1, optim=OptimSettings(lr=1e-4)))
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class FrontierSettings:
    """Stacks of defences, compared."""

    attacks: str = setting(
        "jailbreak,context,prefill", "what every stack is attacked with, as in a campaign", names="attacks"
    )
    adaptive: str = setting(
        "bandit,obfuscation",
        (
            "what an attacker adds who knows that there is a defence: what learns on the defended target, "
            "and what hides words from filters"
        ),
        names="attacks",
    )
    goals: int = setting(60, "requests that ought to be refused, at most", at_least=1)
    twins: int = setting(100, "harmless look-alikes", at_least=0)
    test_prompts: int = setting(200, "ordinary held-out requests: helpfulness, time and tokens", at_least=1)
    tries: int = setting(1, "wordings of a template that are tried on one goal", at_least=1)
    queries: int = setting(
        8, "target queries for one goal of an attack that tries until it succeeds", at_least=1
    )
    sampling: SamplingSettings = field(default_factory=lambda: SamplingSettings(temperature=0.0))
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class AttackerSettings:
    """An attacker trained by reinforcement learning against a target (Perez et al. 2022)."""

    goals: int = setting(200, "requests it learns to ask for, at most", at_least=1)
    lessons: int = setting(
        6000,
        (
            "wrapped requests it learns to write from, before it meets the target; with few of them it "
            "writes wrappers around the wrong request"
        ),
        at_least=1,
    )
    diversity: float = setting(
        0.7,
        (
            "how much of its reward a prompt loses that says what other successful ones of the batch say; 0 "
            "= variety is worth nothing"
        ),
        at_least=0,
    )
    sft: SFTSettings = field(default_factory=lambda: SFTSettings(epochs=2.0, held_out=0.02))
    rloo: RLOOSettings = field(
        default_factory=lambda: RLOOSettings(
            steps=60,
            rollouts=64,
            minibatch=32,
            kl_coef=0.05,
            normalize_scores=False,
            missing_end_penalty=0.2,
            sampling=SamplingSettings(max_new_tokens=64),
            optim=OptimSettings(lr=2e-4, schedule="constant", weight_decay=0.0),
        )
    )
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
