"""What a name of a judge stands for, and what else the world of a gold judge knows.

One grammar, two views: who scores is asked by `judge`, who says whether an answer refuses by `verdicts`.

    town:gold                               knows the truth of the town; both views
    town:harmless  town:verifiable          1, or 0 for help with harm · 1 or 0 for what can be checked
    town:metric=NAME[+tpr=0.9+fpr=0.1...]   pays for the letter of a request, under a monitor or none
    reward:RUN  ensemble:[HOW:]RUN,RUN,...  reward models; HOW is in names/models
    gated:HELPFUL,SAFE                      two of them: safety where it is in danger
    ai:MODEL[,constitution=F][,principles=N]...   a model that reads a constitution
    constant                                a control: every completion scores 0
    refusal[:FILE]                          a classifier of refusals; both views: the score is P(refuses)
    strongreject:M  harmbench:M  llamaguard:M     a judge model with a published rubric; both views
    canary[:X]  nonce[:X]  expected[:X]     whether a planted text came out (X, or the one of each row's
                                            meta); both views
    module:function, or an installed NAME   of the user's own (feedback/own.py); both views
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, ModelError, UserError
from ..records import Prompt
from ..town import names as town
from . import judge_kinds, known, models
from .judge_kinds import JudgeKind
from .named import Named, runs_among

if TYPE_CHECKING:
    from ..constitution.principles import Principle
    from ..feedback import Judge
    from ..feedback.ai import AIJudge
    from ..feedback.ai_name import AIName
    from ..feedback.safety.verdicts import VerdictJudge
    from ..settings import EndpointSettings, ModelSettings


def judge(name: str) -> Named[Judge]:
    """The judge of that name. Raises UserError for one that names none."""
    known.judge(name)
    kind, _, rest = name.partition(":")
    if kind == "town":
        return Named(name, lambda: town.judge(name))
    if kind == "ai":
        return _ai(name)
    if kind in ("reward", "ensemble"):
        return reward_judge(name.removeprefix("reward:"))
    if kind == "gated":
        return _gated(name, rest)
    if row := judge_kinds.kind_of(name):
        model = rest if row.behind == "model" else ""
        load = (lambda: _refusal_score(name)) if row.verdicts else (lambda: _of_kind(row, name))
        return Named(name, load, *_read_by(model))
    return Named(name, lambda: _own(name))


def verdicts(name: str) -> VerdictJudge:
    """The judge of that name, asked for verdicts. Raises UserError for one that names none, or that only
    scores.
    """
    known.verdicts(name)
    if row := judge_kinds.kind_of(name):
        return _of_kind(row, name)
    if name == town.GOLD:
        from ..feedback.safety.planted import GoldVerdicts

        return GoldVerdicts(town.judge(name))
    from ..feedback.own import own_judge

    return own_judge(name, "verdicts")


def _of_kind(kind: JudgeKind, name: str) -> Any:
    """A judge that its row makes."""
    from ..settings import EndpointSettings, ModelSettings, SamplingSettings

    module, _, function = kind.make.partition(":")
    make = getattr(importlib.import_module(f"alignlab.{module}"), function)
    behind = name.partition(":")[2]
    if kind.behind != "model":
        return make(name, behind)
    sampler = models.sampler(
        behind, model=ModelSettings(), endpoint=EndpointSettings(), sampling=SamplingSettings()
    )
    return make(name, sampler)


def _refusal_score(name: str) -> Judge:
    from ..feedback.safety.verdicts import RefusalScore

    return RefusalScore(verdicts(name))


def maybe_judge(name: str) -> Named[Judge | None]:
    """The judge of that name; where none is named, nobody."""
    return judge(name) if name else Named(name, lambda: None)


def scorer(
    reward: str, judge_name: str, settings: ModelSettings | None = None, *, normalize: bool = True
) -> Named[Judge]:
    """Who is optimized: the judge that is named, or else a reward model by its run."""
    if judge_name:
        return judge(judge_name)
    return reward_judge(reward, settings, normalize=normalize)


def reward_judge(name: str, settings: ModelSettings | None = None, *, normalize: bool = True) -> Named[Judge]:
    """The reward model of that name as a judge, or the ensemble.

    Args:
        settings: how the models are loaded.

    Raises:
        ModelError: a member that is missing or broken. ConfigError: an ensemble of scores that are not
            standardized.
    """
    from ..feedback import ensemble

    members = models.reward_members(name)
    paths = [member.path for member in members]
    names = tuple(member.name for member in members)
    if names == (name,):
        return Named(name, lambda: _single(paths[0], settings, normalize), members[0].runs, names)
    if not normalize:
        raise ConfigError(
            "normalize_scores = false with an ensemble: its members' scores have no common scale",
            remedy="leave normalize_scores on",
        )
    runs = runs_among(*names, *ensemble.parse(name).runs)
    return Named(name, lambda: _together(name, members, settings), runs, names)


def _single(path: str, settings: ModelSettings | None, normalize: bool = True) -> Judge:
    from ..feedback.reward_model import RewardModelJudge
    from ..models.load import load_reward_model
    from ..settings import ModelSettings

    return RewardModelJudge(load_reward_model(path, settings or ModelSettings()), normalize=normalize)


def _together(name: str, members: list[models.Model], settings: ModelSettings | None) -> Judge:
    from ..feedback.ensemble import EnsembleJudge, parse

    parsed, judges = parse(name), []
    for number, member in enumerate(members):
        try:
            judges.append(_single(member.path, settings))
        except ModelError as error:
            if not parsed.allow_missing:
                raise models.unusable(error, number, member.name, len(members)) from error
            models.say_left_out(error, number, member.name, len(members))
    return EnsembleJudge(judges, aggregation=parsed.aggregation, weight=parsed.weight, name=name)


def _gated(name: str, rewards: str) -> Named[Judge]:
    """A reward model of helpfulness, and one of safety that it is held to."""
    both = [reward_judge(part) for part in rewards.split(",") if part]
    if len(both) != 2 or any(len(each.models) != 1 for each in both):
        raise UserError(
            f"{name!r} does not name two single reward models",
            remedy="gated:HELPFUL,SAFE, two runs of `alignlab reward`",
        )
    helpful, safe = both

    def load() -> Judge:
        from ..feedback.gated import GatedJudge

        return GatedJudge(helpful.load(), safe.load())  # type: ignore[arg-type]

    return Named(name, load, helpful.runs + safe.runs, helpful.models + safe.models)


def _own(name: str) -> Judge:
    from ..feedback.own import own_judge

    return own_judge(name)


# --- AI judges


def _ai(name: str) -> Named[Judge]:
    from ..feedback.ai_name import parse

    return Named(name, lambda: ai_judge(name), *_read_by(parse(name).model))


def _read_by(model: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The runs and the names of the models behind a judge that reads with a model, if it runs here."""
    readers = models.loaded_here(model)
    return tuple(run for reader in readers for run in reader.runs), tuple(reader.name for reader in readers)


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

    asked = parse(name) if isinstance(name, str) else name
    elsewhere = is_endpoint(asked.model)
    folder = asked.model if elsewhere else models.model(asked.model).path
    reads_documents = forms.form_of(asked.form, folder).documents
    constitution = files.load(asked.constitution or ("town" if reads_documents else "general"))
    form = forms.form_of(asked.form, folder, constitution)
    reader = models.sampler(
        asked.model,
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
        tags=asked.tags,
        principles=asked.principles,
        ask=asked.ask,
        orders=asked.orders,
        labels=asked.labels,
        cot=asked.cot,
        temperature=asked.temperature,
        seed=seed,
    )


# --- what the world of a gold judge knows besides


def probes(gold: str) -> list[Any] | None:
    """Pairs that show what a reward model prefers, where the world has them."""
    return town.probes() if gold == town.GOLD else None


def town_requests() -> Callable[[str], Prompt | None]:
    """Who reads a text as a request of the town, whatever the judge is: by its question it is told from those
    of a test.
    """
    return town.request_reader()


def request_reader(gold: str) -> Callable[[str], Prompt | None] | None:
    """Who reads a text as a request that the gold judge knows, where the world has somebody who can."""
    return town.request_reader() if gold == town.GOLD else None


def breach_reader(gold: str) -> Callable[[Prompt, str, Principle], bool | None] | None:
    """Who knows whether an answer breaks a principle, where the world has somebody who does."""
    return town.breach_reader() if gold == town.GOLD else None
