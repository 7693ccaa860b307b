"""What the names on the command line stand for: models, data sets, judges and annotators.

    model       town, town-s, town-m, town-l · a run folder · a model folder · a hub name · a .gguf file
    sampler     any model · http://host:port/v1#model (an OpenAI-compatible server)
    data        town:NAME · a file or folder in a format of the field · a hub name · a run folder · mix:0.3=A+0.7=B or mix:FILE.toml
    judge       town:gold · reward:RUN · constant (a control: every completion scores 0)
    annotator   town:NAME · random (a control: any order) · reward:RUN (ranks by score)
    writer      town:NAME · any data with answers to the prompts
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .errors import ConfigError, DataError, ModelError, UserError
from .records import Record

if TYPE_CHECKING:
    from .data.formats import Want
    from .feedback import Judge
    from .sampling.endpoint import EndpointSampler
    from .sampling.local import LocalSampler
    from .settings import EndpointSettings, ModelSettings, SamplingSettings


def model_path(name: str) -> str:
    """The folder (or hub name, or .gguf file) behind a model name. A run folder stands for the checkpoint it wrote."""
    if name == "town" or name.startswith("town-"):
        from .town import base

        return str(base.shipped(name))
    if name.startswith(("http://", "https://")):
        raise ModelError("a model behind an endpoint answers, and has no weights to load", where=name, remedy="a run folder, a model folder or a hub name")
    path = Path(name)
    check_finished(name, ModelError)
    if (path / "run.json").exists():
        if not (path / "checkpoint").is_dir():
            raise ModelError(f"the run {name} wrote no model", where=str(path), remedy="name a run of sft, reward, dpo, ppo or pretrain")
        return str(path / "checkpoint")
    return name


def sampler(name: str, *, model: ModelSettings, endpoint: EndpointSettings, sampling: SamplingSettings, cache: Path | None = None,
            stop: Sequence[str] = (), documents: bool = False) -> LocalSampler | EndpointSampler:
    """Who writes completions: a model in this process, or one behind an endpoint.

    Args:
        cache: the file in which an endpoint's answers are kept.
        stop: texts that end a completion; a model in this process writes on, and the caller cuts.
        documents: it goes on with documents, and the token between two of them ends a completion too.

    Raises:
        ConfigError: settings that mean nothing for this kind of model.
    """
    from .sampling.endpoint import EndpointSampler, is_endpoint
    from .settings import EndpointSettings, ModelSettings, SamplingSettings

    if is_endpoint(name):
        if model != ModelSettings() or sampling.slots != SamplingSettings().slots:
            raise ConfigError("model.* and sampling.slots say how a model runs in this process", where=name, remedy="take them away: an endpoint runs elsewhere")
        return EndpointSampler(name, endpoint, cache=cache, stop=stop)
    if endpoint != EndpointSettings():
        raise ConfigError("endpoint.* says how a server is asked, and the model is none", where=name, remedy="take it away, or --model http://host:port/v1#model")
    from .models.load import load_policy
    from .sampling.local import LocalSampler

    policy = load_policy(model_path(name), model)
    between = {policy.tokenizer.bos_token_id} - {None} if documents else set()
    return LocalSampler(policy.model, policy.tokenizer, slots=sampling.slots, end_ids=policy.end_ids | between, name=name)


def parents(*names: str) -> list[str]:
    """Those of the names that stand for run folders (also as `reward:RUN`): the lineage that a run records."""
    from .data import mixture

    plain = [name.removeprefix("reward:") for name in names if name]
    plain = [part for name in plain for part in ([s.data for s in mixture.sources(name)] if name.startswith(mixture.PREFIX) else [name])]
    for name in plain:
        check_finished(name)
    return [name for name in plain if (Path(name) / "run.json").exists()]


def check_finished(name: str, error: type[UserError] = DataError) -> None:
    """Refuse the name of a run that is not finished, or of the folder it is made in."""
    path = Path(name)
    staging = path if path.name.endswith(".partial") else path.parent / f"{path.name}.partial"
    if (staging / "run.json").exists() and (staging == path or not path.exists()):
        raise error(f"the run {name.removesuffix('.partial')} is not finished", where=str(staging),
                    remedy="give the command that made it again: it goes on where it was")


@dataclass(frozen=True)
class Data:
    """Records, what they are called, the digest that goes into a run's key, and the loader's report in words."""

    records: Sequence[Any]
    name: str
    digest: str
    report: str = ""


def data(name: str, want: str, *, seed: int = 0, count: int = 0) -> Data:
    """Records of the wanted kind ("text", "prompt", "demonstration", "comparison", "ranking", "unpaired") from a data name."""
    from .data import mixture

    if name.startswith(mixture.PREFIX):
        parts = [(source, data(source.data, want, seed=seed)) for source in mixture.sources(name)]
        records, report = mixture.mix([(source, part.records) for source, part in parts], seed=seed, count=count)
        return Data(records, name, _digest(records), "\n".join([report, *(part.report for _, part in parts if part.report)]))
    if name.startswith("town:"):
        from .town import sets, world

        records = sets.load(world.build(), name.removeprefix("town:"), count=count, seed=seed)
        wanted = [one for record in records for one in _as(record, want, name)]
        return Data(wanted, name, f"{name}@{world.VERSION}#{_digest(wanted)}")
    from .data.read import load

    check_finished(name)
    loaded = load(name, cast("Want", want), limit=count or None)
    return Data(loaded.records, name, _digest(loaded.records), str(loaded.report))


def kind(name: str) -> str:
    """What a data name holds by nature; of a mixture, what its first source holds."""
    from .data import mixture
    from .data.read import kind_of
    from .data.write import kind_of as kind_of_record

    if name.startswith(mixture.PREFIX):
        return kind(mixture.sources(name)[0].data)
    if name.startswith("town:"):
        from .town import sets, world

        return kind_of_record(sets.load(world.build(), name.removeprefix("town:"), count=2)[0])
    check_finished(name)
    return kind_of(name)


def _as(record: Record, want: str, name: str) -> list[Record]:
    from .data.formats import as_kind

    try:
        return as_kind(record, cast("Want", want))
    except DataError as error:
        raise UserError(f"{name} holds {type(record).__name__.lower()}s where {want}s are needed") from error


def judge(name: str) -> Judge | None:
    """The judge of that name; None for an empty name."""
    if not name:
        return None
    if name == "town:gold":
        from .town import gold, world

        return gold.GoldJudge(world.build())
    if name.startswith("reward:"):
        from .feedback.reward_model import RewardModelJudge
        from .models.load import load_reward_model
        from .settings import ModelSettings

        return RewardModelJudge(load_reward_model(model_path(name.removeprefix("reward:")), ModelSettings()))
    if name == "constant":
        from .feedback import RuleJudge

        return RuleJudge("constant", lambda _: 0.0)
    raise UserError(f"there is no judge {name!r}", remedy="town:gold, reward:RUN for the reward model of a run, or constant")


def annotator(name: str, *, seed: int) -> Any:
    """Somebody who ranks: an annotator of the town, or a judge that ranks by its score."""
    from .feedback.annotators import SimulatedAnnotator

    if name.startswith("town:") and name != "town:gold":
        from .town import people, world

        return people.annotator(world.build(), name.removeprefix("town:"), seed=seed)
    if name == "random":
        return SimulatedAnnotator("random", judge("constant"), weights={}, temperature=1.0, seed=seed)  # type: ignore[arg-type]
    found = judge(name)
    if found is None:
        raise UserError("an annotator is needed", remedy="--annotator town:fair, or reward:RUN to rank by a reward model")
    return SimulatedAnnotator(name, found, weights={"value": 1.0}, temperature=0.0, seed=seed)


def writer(name: str, *, seed: int) -> Any:
    """Somebody who writes demonstrations: one of the town, or whoever wrote the answers of a data set."""
    from .feedback.writers import RecordedWriter

    if name.startswith("town:"):
        from .town import people, world

        return people.writer(world.build(), name.removeprefix("town:"), seed=seed)
    return RecordedWriter(name, {row.prompt.id: row.completion for row in data(name, "demonstration").records})


def other_completions(name: str, prompts: Sequence[Any], *, per_prompt: int, seed: int) -> dict[str, list[Any]]:
    """Completions by other people, by prompt id: `town:crowd`, or a data set with answers to the same prompts. Empty name, none."""
    if not name:
        return {}
    if name == "town:crowd":
        from .town import sets, world

        return sets.crowd_completions(world.build(), list(prompts), per_prompt=per_prompt, seed=seed)
    from .records import Completion

    found: dict[str, list[Any]] = {}
    for row in data(name, "demonstration").records:
        found.setdefault(row.prompt.id, []).append(Completion(row.prompt, row.completion, source=name))
    return found


def probes(gold: str) -> list[Any] | None:
    """Pairs that show what a reward model prefers, where the world has them."""
    if gold != "town:gold":
        return None
    from .town import sets, world

    return list(sets.load(world.build(), "test-pairs"))


def is_base(path: str) -> bool:
    """Whether a model folder is a base model of the town: trained on text, before any chat."""
    card = Path(path) / "README.md"
    return card.exists() and "A base model of the town" in card.read_text(encoding="utf-8")


def _digest(records: Sequence[Any]) -> str:
    """Sixteen hex digits of the records themselves: a file that changes makes another run."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps(record.to_json(), sort_keys=True).encode())
    return digest.hexdigest()[:16]
