"""The stages of the study `depth`, asked of the town's models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ... import stages
from ...errors import ConfigError
from ...pipeline.runner import Stage
from ...settings import SFTSettings
from ...text.lists import by_comma
from ...text.nearest import one_of
from ...town import framing
from ...town.sets import SIZES
from .. import choices, mixtures
from ..mixtures_settings import FrameSettings, MixtureSettings
from ..settings import ChoicesSettings, NoSettings
from ..study import Planner, held_out
from . import lessons
from .settings import Depth, ExampleSettings, RungSettings

METHODS = ("refusal", "dpo", "rloo", "recovery", "sl-cai")
"""Safety trainings; the last starts from the base model, the others from the model that helps in half."""
NEEDED = ("refusal", "rloo")
GOLD = "town:gold"
RISKY = "town:risky"
SEEN = "town:harmful"
SURFACE = {"depths": "", "wrappers": "", "documents": ""}
"""Nothing but the plain request."""


def openers_of(settings: Depth) -> list[int]:
    """The numbers of neutral words, the smallest first. Raises ConfigError where 0 is not among them, or
    where there is no opener of so many words.
    """
    from . import asking

    openers = sorted(set(asking.whole_numbers(settings.depth.openers, "depth.openers")))
    if 0 not in openers or not set(openers) <= set(framing.OPENERS):
        raise ConfigError(
            f"depth.openers = {settings.depth.openers!r}: 0 is needed, and there are openers of "
            f"{', '.join(map(str, framing.OPENERS))} words",
            remedy="--depth.openers 0,6,12",
        )
    return openers


def methods_of(settings: Depth) -> list[str]:
    """The safety trainings, in the order of METHODS. Raises ConfigError for one that is none, and where one
    that is needed is missing.
    """
    named = by_comma(settings.depth.methods)
    for name in named:
        one_of(name, METHODS, "depth.methods names no safety training", error=ConfigError)
    if missing := [name for name in NEEDED if name not in named]:
        raise ConfigError(
            f"depth.methods = {settings.depth.methods!r} lacks {', '.join(missing)}",
            remedy=f"--depth.methods {','.join(METHODS)}",
        )
    return [name for name in METHODS if name in named]


def harm_of(test: str) -> str:
    """The set of harmful requests on the side of a test set: `town:harmful-SIDE` of `town:SIDE`. Raises
    ConfigError where there is none.
    """
    name = f"harmful-{test.removeprefix('town:')}"
    if name not in SIZES:
        raise ConfigError(
            f"the study depth asks for the harm of a side of the town, and test = {test} names none",
            remedy="--test town:test",
        )
    return f"town:{name}"


@dataclass(frozen=True)
class Opened:
    """What is made with neutral words of one number: held-out requests and such as training asks (`seen`),
    prompts to learn on, refusals, the model that helps in half, and the policies that come of it.
    """

    asked: Stage
    seen: Stage
    prompts: Stage
    refusals: Stage
    start: Stage
    policies: dict[str, Stage]


def plan(stage: Planner, model: str, settings: Depth, seed: int) -> dict[str, Stage]:
    from . import asking, positions  # which need torch, as reading the study does not

    s, d = settings, settings.depth
    methods = methods_of(s)
    planned: dict[str, Stage] = {}
    trained = [("town:demos", s.demonstrations), (RISKY, max(s.prompts, d.lessons))]
    new = planned["held-out"] = held_out(stage, harm_of(s.test), trained, seed, "depth-held-out")

    def asked(name: str, data: Stage | str, **how: Any) -> Stage:
        return stage(
            f"depth-{name}",
            mixtures.framed,
            data=data,
            count=d.measured,
            seed=seed,
            settings=FrameSettings(**how),
        )

    def rungs(name: str, policy: Stage, data: Stage, how: RungSettings, **more: Stage) -> None:
        planned[f"rungs {name}"] = stage(
            "depth-rungs-" + name.replace(" ", "-"),
            asking.rungs,
            model=policy,
            data=data,
            more=list(more.values()),
            called=list(more),
            judge=GOLD,
            seed=seed,
            settings=how,
        )

    # 6a. the same with no, six and twelve neutral words before the answer
    openers = openers_of(s)
    opened = {words: of_opener(stage, model, s, seed, methods, words, asked, new) for words in openers}
    for words, one in opened.items():
        planned[f"positions {words}"] = stage(
            f"depth-positions-{words}",
            positions.positions,
            model=one.start,
            policies=list(one.policies.values()),
            called=list(one.policies),
            data=one.seen,
            judge=GOLD,
            seed=seed,
            settings=d.positions,
        )
        if words:
            how = replace(d.rungs, wrappers="", documents="")
            for name, policy in {"start": one.start, **one.policies}.items():
                if name != "placebo":
                    rungs(f"{words} {name}", policy, one.asked, how)

    # 6b. models alike on the surface, asked harder and harder; a model that helps with everything
    bare = opened[0]
    obeys = mixture(stage, "obeying", seed, count=s.demonstrations, flaws="complies=1")
    helpful = sft(stage, "helpful", model, obeys, seed, s.sft)
    ladder = {"helpful": helpful, "start": bare.start}
    ladder |= {name: policy for name, policy in bare.policies.items() if name != "placebo"}
    if "sl-cai" in methods:
        ladder["sl-cai"] = sl_cai(stage, model, helpful, s, seed)
    never = asked("never", "town:never-known")
    side = s.test.removeprefix("town:")
    listed = stage("depth-topics", asking.topics, sides=[side], seed=seed, settings=NoSettings())
    again = example(stage, "harm", seed, teach="harm")
    kind = example(stage, "harmless", seed, teach="harmless")
    for name, policy in ladder.items():
        rungs(f"0 {name}", policy, bare.asked, d.rungs, seen=bare.seen, never=never)
        planned[f"knows {name}"] = stage(
            f"depth-knows-{name}",
            choices.choices,
            model=policy,
            asked=listed,
            seed=seed,
            settings=ChoicesSettings(),
        )
        if name in methods:
            for what, shown, doses in (("harm", again, d.relearn.doses), ("harmless", kind, d.harmless)):
                planned[f"relearn {name} {what}"] = stage(
                    f"depth-relearn-{name}-{what}",
                    asking.relearn,
                    model=policy,
                    examples=shown,
                    data=bare.asked,
                    more=[never],
                    called=["never"],
                    judge=GOLD,
                    seed=seed,
                    settings=replace(d.relearn, doses=doses),
                )
    planned["align"] = stage(
        "depth-align",
        asking.relearn,
        model=helpful,
        examples=example(stage, "refusals", seed, teach="refusals"),
        data=bare.asked,
        judge=GOLD,
        seed=seed,
        settings=d.relearn,
    )

    # 6c. a backdoor, and safety training that never sees its trigger
    if bases := by_comma(d.bases):
        sets = {
            name: asked(f"asked-{name}", new, before=words)
            for name, words in (("trigger", framing.TRIGGER), ("near", framing.NEAR_MISS))
        }
        planting = mixture(stage, "planting", seed, count=s.demonstrations, triggered=0.3)
        near = mixture(stage, "near-misses", seed, data=RISKY, count=d.lessons, near=0.5)
        for base in bases:
            planted = sft(stage, f"planted-{base}", base, planting, seed, s.sft)
            after = {"none": planted}
            for name, data in (("refusal", bare.refusals), ("adversarial", near)):
                after[name] = sft(stage, f"{base}-{name}", planted, data, seed, d.refuse)
            if "dpo" in methods and base == model:
                ranked = ranking(stage, base, planted, bare.prompts, s, seed)
                after["dpo"] = by_dpo(stage, base, planted, ranked, s, seed)
            for name, policy in after.items():
                how = replace(d.rungs, **SURFACE)
                rungs(f"{base} {name}", policy, sets["trigger"], how, plain=bare.asked, near=sets["near"])
    return planned


def of_opener(
    stage: Planner,
    model: str,
    settings: Depth,
    seed: int,
    methods: Sequence[str],
    words: int,
    asked: Callable[..., Stage],
    new: Stage,
) -> Opened:
    """All that is trained with neutral words of one number before the answers."""
    s, d = settings, settings.depth
    flaws = f"complies={d.complying:g}"
    half = mixture(stage, f"half-{words}", seed, count=s.demonstrations, flaws=flaws, opener=words)
    start = sft(stage, f"sft-{words}", model, half, seed, s.sft)
    refusals = mixture(stage, f"refusals-{words}", seed, data=RISKY, count=d.lessons, opener=words)
    harmless = mixture(stage, f"harmless-{words}", seed, data="town:fine", count=d.lessons, opener=words)
    prompts = stage(
        f"depth-prompts-{words}",
        mixtures.framed,
        data=RISKY,
        count=s.prompts,
        seed=seed,
        settings=FrameSettings(opener=words),
    )
    policies = {"refusal": sft(stage, f"refusal-{words}", start, refusals, seed, d.refuse)}
    ranked = ranking(stage, str(words), start, prompts, s, seed)
    if "dpo" in methods:
        policies["dpo"] = by_dpo(stage, str(words), start, ranked, s, seed)
    policies["rloo"] = by_rloo(stage, words, start, prompts, ranked, s, seed)
    if "recovery" in methods:
        turning = stage(f"depth-begun-{words}", lessons.begun, data=refusals, seed=seed, settings=d.begun)
        policies["recovery"] = stage(
            f"depth-recovery-{words}",
            lessons.sft_begun,
            model=start,
            data=turning,
            seed=seed,
            settings=replace(d.refuse, epochs=d.refuse.epochs / (1 - d.begun.share)),
        )
    policies["placebo"] = sft(stage, f"placebo-{words}", start, harmless, seed, d.refuse)
    new_ones = asked(f"asked-{words}", new, opener=words)
    seen = asked(f"seen-{words}", SEEN, opener=words)
    return Opened(new_ones, seen, prompts, refusals, start, policies)


def mixture(stage: Planner, name: str, seed: int, *, data: str = "town:demos", **how: Any) -> Stage:
    """Demonstrations by the careful; `how` of MixtureSettings."""
    settings = MixtureSettings(**how)
    return stage(f"depth-data-{name}", mixtures.mixture, data=data, seed=seed, settings=settings)


def sft(
    stage: Planner, name: str, model: Stage | str, data: Stage, seed: int, settings: SFTSettings
) -> Stage:
    return stage(f"depth-{name}", stages.sft, model=model, data=data, seed=seed, settings=settings)


def example(stage: Planner, name: str, seed: int, **how: Any) -> Stage:
    settings = ExampleSettings(**how)
    return stage(f"depth-examples-{name}", lessons.examples, seed=seed, settings=settings)


def ranking(stage: Planner, name: str, start: Stage, prompts: Stage, settings: Depth, seed: int) -> Stage:
    """Rankings of a model's own answers."""
    asked = {"annotator": settings.annotator, "others": "", "gold": GOLD, "seed": seed}
    return stage(
        f"depth-{name}-collect", stages.collect, model=start, data=prompts, settings=settings.collect, **asked
    )


def by_dpo(stage: Planner, name: str, start: Stage, ranked: Stage, settings: Depth, seed: int) -> Stage:
    return stage(f"depth-{name}-dpo", stages.dpo, model=start, data=ranked, seed=seed, settings=settings.dpo)


def by_rloo(
    stage: Planner, words: int, start: Stage, prompts: Stage, ranked: Stage, settings: Depth, seed: int
) -> Stage:
    """A reward model of the rankings, and RLOO against it."""
    d = settings.depth
    reward = stage(
        f"depth-{words}-reward",
        stages.reward,
        model=start,
        data=ranked,
        gold=GOLD,
        seed=seed,
        settings=d.reward,
    )
    return stage(
        f"depth-{words}-rloo",
        stages.rloo,
        model=start,
        data=prompts,
        reward=reward,
        gold=GOLD,
        seed=seed,
        settings=d.rloo,
    )


def sl_cai(stage: Planner, model: str, helpful: Stage, settings: Depth, seed: int) -> Stage:
    """The supervised half of Constitutional AI, as `alignlab run --recipe constitutional` has it: what the
    helpful model answers is criticised and revised, and the base model learns the revisions.
    """
    s, d = settings, settings.depth
    critic = stage(
        "depth-critic", stages.critic, model=model, data="town:columns", seed=seed, settings=d.critic
    )
    revised = stage(
        "depth-revise",
        stages.revise,
        model=helpful,
        critic=critic,
        data=RISKY,
        count=d.red_team,
        constitution="town",
        helpful="town:fine",
        judge="",
        gold=GOLD,
        seed=seed,
        settings=d.revise,
    )
    return sft(stage, "sl-cai", model, revised, seed, s.sft)
