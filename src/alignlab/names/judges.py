"""What a name of a judge stands for, and what else the world of a gold judge knows.

One grammar, two views: whoever scores is asked by `judge`, whoever says whether an answer refuses by `verdicts`.

    town:gold                               knows the truth of the town; both views
    town:harmless  town:verifiable          1, or 0 for help with harm · 1 or 0 for what can be checked
    reward:RUN  ensemble:[HOW:]RUN,RUN,...  reward models; HOW is in names/models
    gated:HELPFUL,SAFE                      two of them: safety where it is in danger
    ai:MODEL[,constitution=F][,principles=N]...   a model that reads a constitution
    constant                                a control: every completion scores 0
    refusal[:FILE]                          a classifier of refusals; both views: the score is P(refuses)
    strongreject:M  harmbench:M  llamaguard:M     a judge model with a published rubric; both views
    canary[:X]  nonce[:X]  expected[:X]     whether a planted text came out (X, or the one of each row's meta); both views
    module:function, or an installed NAME   of the user's own (feedback/own.py); both views
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, ModelError, UserError
from ..records import Completion, Prompt, Score
from . import known
from .known import model_path
from .models import missing, reward_models, sampler

if TYPE_CHECKING:
    from ..constitution.principles import Principle
    from ..feedback import Judge
    from ..feedback.ai import AIJudge
    from ..feedback.ai_name import AIName
    from ..feedback.safety.verdicts import VerdictJudge
    from ..settings import EndpointSettings, ModelSettings


def judge(name: str) -> Judge:
    """The judge of that name, asked for scores. Raises UserError for one that names none."""
    known.judge(name)
    kind, _, rest = name.partition(":")
    if kind == "ai":
        return ai_judge(name)
    if kind == "town":
        return _of_town(name)
    if kind in ("reward", "ensemble"):
        return reward_judge(name.removeprefix("reward:"))
    if kind == "gated":
        return _gated(name, rest)
    if kind == "refusal" or kind in known.PLANTED or kind in known.RUBRICS:
        from ..feedback.safety.verdicts import RefusalScore

        return RefusalScore(verdicts(name))
    if name == "constant":
        from ..feedback import RuleJudge

        return RuleJudge(name, lambda _: 0.0)
    from ..feedback.own import own_judge

    return own_judge(name)


def verdicts(name: str) -> VerdictJudge:
    """The judge of that name, asked for verdicts. Raises UserError for one that names none, or that only
    scores.
    """
    known.verdicts(name)
    kind, _, rest = name.partition(":")
    if kind == "refusal":
        from ..feedback.safety.refusal import RefusalClassifier, load

        return RefusalClassifier(load(Path(rest)) if rest else None, name=name)
    if kind in known.PLANTED:
        from ..feedback.safety.planted import PlantedJudge

        return PlantedJudge(kind, rest)
    if name == "town:gold":
        from ..feedback.safety.planted import GoldVerdicts

        return GoldVerdicts(_of_town(name))
    if kind in known.RUBRICS:
        from ..feedback.safety.rubrics import RUBRICS, RubricJudge
        from ..settings import EndpointSettings, ModelSettings, SamplingSettings

        asked = sampler(rest, model=ModelSettings(), endpoint=EndpointSettings(), sampling=SamplingSettings())
        return RubricJudge(RUBRICS[kind], asked, name=name)
    from ..feedback.own import own_judge

    return own_judge(name, "verdicts")


def _of_town(name: str) -> Judge:
    from ..feedback import RuleJudge
    from ..town import gold, tasks, world

    town = world.build()
    if name == "town:gold":
        return gold.GoldJudge(town)

    def harmless(c: Completion) -> float:
        score = gold.judge(town, tasks.Request.of(c.prompt), c.text, finished=c.finished)
        return 1 - score.parts.get("complied", 0.0)

    def verifiable(c: Completion) -> Score | float:
        return gold.verify(town, tasks.Request.of(c.prompt), c.text, finished=c.finished)

    return RuleJudge(name, harmless if name == "town:harmless" else verifiable)


def _gated(name: str, models: str) -> Judge:
    from ..feedback.gated import GatedJudge
    from ..feedback.reward_model import RewardModelJudge

    judges = [reward_judge(each) for each in models.split(",") if each]
    if not all(isinstance(each, RewardModelJudge) for each in judges):
        raise UserError(
            f"{name!r} does not name two single reward models",
            remedy="gated:HELPFUL,SAFE, two runs of `alignlab reward`",
        )
    return GatedJudge(*judges)


def maybe_judge(name: str) -> Judge | None:
    """The judge of that name; None where none is named."""
    return judge(name) if name else None


def reward_judge(name: str, settings: Any = None, *, normalise: bool = True) -> Judge:
    """The reward model of that name as a judge, or the ensemble.

    Args:
        settings: `ModelSettings` that the models are loaded with.

    Raises:
        ModelError: a member that is missing or broken. ConfigError: an ensemble of scores that are not
            standardised.
    """
    from ..feedback.ensemble import EnsembleJudge, parse
    from ..feedback.reward_model import RewardModelJudge
    from ..models.load import load_reward_model
    from ..settings import ModelSettings

    settings = settings or ModelSettings()
    members = reward_models(name)
    if members == [name]:
        return RewardModelJudge(load_reward_model(model_path(name), settings), normalise=normalise)
    if not normalise:
        raise ConfigError(
            "normalize_scores = false with an ensemble: its members' scores have no common scale",
            remedy="leave normalize_scores on",
        )
    found, judges = parse(name), []
    for number, member in enumerate(members):
        try:
            judges.append(RewardModelJudge(load_reward_model(model_path(member), settings)))
        except ModelError as error:
            missing(error, number, member, len(members), found.allow_missing)
    return EnsembleJudge(judges, aggregation=found.aggregation, weight=found.weight, name=name)


def ai_judge(
    name: str | AIName,
    *,
    model: ModelSettings | None = None,
    endpoint: EndpointSettings | None = None,
    cache: Path | None = None,
    seed: int = 0,
) -> AIJudge:
    """The AI judge of a name such as `ai:runs/critic,constitution=town,principles=4`, or of what such a name
    says (`feedback.ai.AIName`). Without a constitution, the town's for a model that reads documents,
    `general` for any other.

    Args:
        model: how a model in this process is loaded. endpoint: how one behind an address is asked. cache:
            where an endpoint's answers are kept.
        seed: the principles of a pair are drawn by it.

    Raises:
        UserError: a name that is none of a judge's. DataError, ModelError: a constitution or a model that
            cannot be used.
    """
    from ..constitution import files, forms
    from ..feedback.ai import AIJudge
    from ..feedback.ai_name import parse
    from ..sampling.address import is_endpoint
    from ..settings import EndpointSettings, ModelSettings, SamplingSettings

    found = parse(name) if isinstance(name, str) else name
    elsewhere = is_endpoint(found.model)
    folder = found.model if elsewhere else model_path(found.model)
    constitution = files.load(
        found.constitution or ("town" if forms.form_of(found.form, folder).documents else "general")
    )
    form = forms.form_of(found.form, folder, constitution)
    reader = sampler(
        found.model,
        model=ModelSettings() if elsewhere else model or ModelSettings(),
        endpoint=(endpoint if elsewhere else None) or EndpointSettings(),
        sampling=SamplingSettings(),
        cache=cache,
        stop=form.stop,
        documents=form.documents,
    )
    return AIJudge(
        reader,
        constitution,
        form,
        name=str(name),
        tags=found.tags,
        principles=found.principles,
        ask=found.ask,
        orders=found.orders,
        labels=found.labels,
        cot=found.cot,
        temperature=found.temperature,
        seed=seed,
    )


def probes(gold: str) -> list[Any] | None:
    """Pairs that show what a reward model prefers, where the world has them."""
    if gold != "town:gold":
        return None
    from ..town import sets, world

    return list(sets.load(world.build(), "test-pairs"))


def request_reader(gold: str) -> Callable[[str], Prompt | None] | None:
    """Who reads a text as a request that the gold judge knows, where the world has somebody who can."""
    if gold != "town:gold":
        return None
    from ..town import reading, world

    town = world.build()
    return lambda text: found.prompt() if (found := reading.read_request(town, text)) else None


def breach_reader(gold: str) -> Callable[[Prompt, str, Principle], bool | None] | None:
    """Who knows whether an answer breaks a principle, where the world has somebody who does; of a principle
    that is none of its own nobody knows.
    """
    if gold != "town:gold":
        return None
    from ..town import tasks, world
    from ..town.flaws import BROKEN_BY, broken, flaws

    town = world.build()
    return lambda prompt, text, principle: (
        bool(broken(principle, flaws(town, tasks.Request.of(prompt), text)))
        if principle.id in BROKEN_BY
        else None
    )
