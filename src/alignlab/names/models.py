"""What a name of a model stands for: one that writes, one that is attacked, the models behind a reward model.

    model       town, town-s, town-m, town-l · a run folder · a model folder · a hub name · a .gguf file
    sampler     any model · http://host:port/v1#model (an OpenAI-compatible server)
    target      any sampler · bot:clean, bot:base64, bot:role-play, bot:leaks, bot:injection, bot:all
                (rules with a planted hole)
    reward      RUN · a model folder · ensemble:[HOW:]RUN,RUN,...; a run of `alignlab reward --members K`
                stands for its members

HOW is mean (the default), worst, uncertainty or uncertainty=WEIGHT, and may go on with `,allow-missing`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, ModelError
from ..text.escapes import visible
from ..town import names as town
from .named import runs_among
from .weights import check_finished, model_path

if TYPE_CHECKING:
    from ..sampling.endpoint import EndpointSampler
    from ..sampling.local import LocalSampler
    from ..settings import EndpointSettings, ModelSettings, SamplingSettings

BOT = "bot:"


@dataclass(frozen=True)
class Model:
    """A model with weights, by name: the folder, hub name or .gguf file it is loaded from, and its run."""

    name: str
    path: str
    runs: tuple[str, ...]

    @property
    def models(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def is_base(self) -> bool:
        """Whether it is a base model of the town: trained on text, before any chat."""
        return town.is_base(self.path)


def model(name: str) -> Model:
    """The model of that name. Raises ModelError for a name that stands for none."""
    return Model(name, model_path(name), runs_among(name))


def loaded_here(*names: str) -> list[Model]:
    """Those of the samplers that have weights in this process, each once: not what is behind an address, no
    bot, no empty name.
    """
    return [model(name) for name in dict.fromkeys(names) if name and is_local(name)]


def is_bot(name: str) -> bool:
    """Whether a model name stands for a rule bot with a planted hole."""
    return name.startswith(BOT)


def is_local(name: str) -> bool:
    """Whether a target is a model that is loaded here, with weights: no bot, and nothing behind an address."""
    from ..sampling.address import is_endpoint

    return not is_bot(name) and not is_endpoint(name)


def sampler(
    name: str,
    *,
    model: ModelSettings,
    endpoint: EndpointSettings,
    sampling: SamplingSettings,
    cache: Path | None = None,
    stop: Sequence[str] = (),
    documents: bool = False,
) -> LocalSampler | EndpointSampler:
    """Who writes completions: a model in this process, or one behind an endpoint.

    Args:
        cache: the file in which an endpoint's answers are kept.
        stop: texts that end a completion; a model in this process writes on, and the caller cuts.
        documents: it goes on with documents, and the token between two of them ends a completion too.

    Raises:
        ConfigError: settings that mean nothing for this kind of model.
    """
    from ..sampling.address import is_endpoint
    from ..sampling.endpoint import EndpointSampler
    from ..settings import EndpointSettings, ModelSettings, SamplingSettings

    if is_endpoint(name):
        if model != ModelSettings() or sampling.slots != SamplingSettings().slots:
            raise ConfigError(
                "model.* and sampling.slots say how a model runs in this process",
                where=name,
                remedy="take them away: an endpoint runs elsewhere",
            )
        return EndpointSampler(name, endpoint, cache=cache, stop=stop)
    if endpoint != EndpointSettings():
        raise ConfigError(
            "endpoint.* says how a server is asked, and the model is none",
            where=name,
            remedy="take it away, or --model http://host:port/v1#model",
        )
    from ..models.load import load_policy
    from ..sampling.local import LocalSampler

    policy = load_policy(model_path(name), model)
    return LocalSampler.of(policy, slots=sampling.slots, name=name, documents=documents)


def target(
    name: str,
    *,
    model: ModelSettings,
    endpoint: EndpointSettings,
    sampling: SamplingSettings,
    cache: Path | None = None,
) -> Any:
    """Who is attacked: any that `sampler` knows, or `bot:NAME`, a bot of the town."""
    if is_bot(name):
        return town.bot(name.removeprefix(BOT))
    return sampler(name, model=model, endpoint=endpoint, sampling=sampling, cache=cache)


# --- reward models


def reward_members(name: str) -> list[Model]:
    """The models behind a reward model's name: itself, or the members of an ensemble, every one there and
    whole.

    Raises:
        ModelError: a member that is missing or broken, by its number and name. With `allow-missing` that is
            said on stderr and the others go on.
    """
    from ..feedback import ensemble
    from ..models.folder import check_folder, check_scalar_head

    if not name.startswith(ensemble.PREFIX) and not _is_ensemble(name):
        return [model(name)]
    parsed = ensemble.parse(name)
    for run in parsed.runs:
        check_finished(run, ModelError, whole=_is_ensemble(run))  # a single one is looked at as a member
    listed = [member for run in parsed.runs for member in _all_members(run)]
    whole = []
    for number, member in enumerate(listed):
        try:
            check_folder(model_path(member))
            check_scalar_head(Path(model_path(member)))
            whole.append(model(member))
        except ModelError as error:
            if not parsed.allow_missing:
                raise unusable(error, number, member, len(listed)) from error
            say_left_out(error, number, member, len(listed))
    if not whole:
        raise ModelError(
            f"none of the {len(listed)} members of {name} can be used",
            remedy="train them with `alignlab reward --members K`",
        )
    return whole


def _is_ensemble(run: str) -> bool:
    return (Path(run) / "members").is_dir()


def _all_members(run: str) -> list[str]:
    """Members of a run, also those that its summary counts and that are gone; a run without members is one
    itself.
    """
    if not _is_ensemble(run):
        return [run]
    count = json.loads((Path(run) / "summary.json").read_text(encoding="utf-8"))["members"]
    return [str(Path(run) / "members" / str(i)) for i in range(count)]


def unusable(error: ModelError, number: int, member: str, count: int) -> ModelError:
    """The error of a member, said of the ensemble."""
    return ModelError(
        f"member {number} of the ensemble of {count} cannot be used: {member}: {error.what}",
        where=error.where or member,
        remedy="train or copy it again; or name the ensemble with allow-missing "
        "(ensemble:worst,allow-missing:RUN) to go on with the others",
    )


def say_left_out(error: ModelError, number: int, member: str, count: int) -> None:
    text = f"ensemble: member {number} of {count} ({member}) is left out: {error.what}"
    print(visible(text), file=sys.stderr, flush=True)
