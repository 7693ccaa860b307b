"""What the names on the command line stand for: models, data sets, judges and annotators.

    model       town, town-s, town-m, town-l · a run folder · a model folder · a hub name · a .gguf file
    target      any sampler · bot:clean, bot:base64, bot:role-play, bot:leaks, bot:injection, bot:all (rules with a planted hole)
    sampler     any model · http://host:port/v1#model (an OpenAI-compatible server)
    data        town:NAME · a file or folder in a format of the field · a hub name · a run folder · mix:0.3=A+0.7=B or mix:FILE.toml ·
                columns:prompt=q,completion=a:FILE (what its columns are; --columns writes it)
    judge       town:gold · town:harmless (1, or 0 for help with harm) · town:verifiable · ai:MODEL[,constitution=F][,principles=N]... · reward:RUN · ensemble:[HOW:]RUN,RUN,... · gated:HELPFUL,SAFE · constant (a control: every completion scores 0) ·
                module:function (of the user's own: feedback/own.py)
    reward      RUN · a model folder · ensemble:[HOW:]RUN,RUN,...; a run of `alignlab reward --members K` stands for its members
    annotator   town:NAME · pool:NAME*COUNT,... (each prompt goes to one of them) · random (a control: any order) · reward:RUN (ranks by score) · ai:MODEL... (ranks by comparisons, with soft labels)
    writer      town:NAME · any data with answers to the prompts

HOW is mean (the default), worst, uncertainty or uncertainty=WEIGHT, and may go on with `,allow-missing`.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..errors import ConfigError, DataError, ModelError, UserError
from ..records import Prompt, Record
from ..run import derive_seed
from ..text.escapes import visible
from . import known
from .known import check_finished as check_finished
from .known import model_path

if TYPE_CHECKING:
    from ..constitution.principles import Principle
    from ..data.formats import Want
    from ..feedback import Judge
    from ..feedback.ai import AIJudge
    from ..feedback.ai_name import AIName
    from ..sampling.endpoint import EndpointSampler
    from ..sampling.local import LocalSampler
    from ..settings import EndpointSettings, ModelSettings, SamplingSettings


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
    from ..sampling.endpoint import EndpointSampler, is_endpoint
    from ..settings import WIDE, EndpointSettings, ModelSettings, SamplingSettings

    if is_endpoint(name):
        if model != ModelSettings() or sampling.slots not in (
            SamplingSettings().slots,
            WIDE,
        ):  # neither default is anybody's wish
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


BOT = "bot:"


def is_bot(name: str) -> bool:
    """Whether a model name stands for a rule bot with a planted hole."""
    return name.startswith(BOT)


def is_local(name: str) -> bool:
    """Whether a target is a model that is loaded here, with weights: no bot, and nothing behind an address."""
    from ..sampling.endpoint import is_endpoint

    return not is_bot(name) and not is_endpoint(name)


def target(
    name: str,
    *,
    model: ModelSettings,
    endpoint: EndpointSettings,
    sampling: SamplingSettings,
    cache: Path | None = None,
) -> Any:
    """Who is attacked: any that `sampler` knows, or `bot:NAME`, a bot of the town that knows how every harm
    of the town is done.
    """
    if not is_bot(name):
        return sampler(name, model=model, endpoint=endpoint, sampling=sampling, cache=cache)
    from ..sampling.bots import bot
    from ..town import language, world

    return bot(
        name.removeprefix(BOT),
        {topic.name: language.how_to(topic.steps) for topic in world.HARMFUL},
        refusal=language.REFUSAL,
    )


def parents(*names: str) -> list[str]:
    """Those of the names that stand for run folders (also as `reward:RUN` and `gated:RUN,RUN`): the lineage
    that a run records.
    """
    from ..data import mixture
    from ..feedback import ai_name, ensemble

    plain = [
        part
        for name in names
        if name
        for part in (
            name.removeprefix("gated:").split(",")
            if name.startswith("gated:")
            else [ai_name.parse(name).model]
            if name.startswith(ai_name.PREFIX)
            else ensemble.parse(name.removeprefix("reward:")).runs
        )
    ]
    plain = [
        part
        for name in plain
        for part in ([s.data for s in mixture.sources(name)] if name.startswith(mixture.PREFIX) else [name])
    ]
    for name in plain:
        check_finished(name)
    return [name for name in plain if (Path(name) / "run.json").exists()]


def reward_models(name: str) -> list[str]:
    """The names of the models behind a reward model's name: one, or the members of an ensemble, every one
    there and whole.

    Raises:
        ModelError: a member that is missing or broken, by its number and name. With `allow-missing` that is
            said on stderr and the others go on.
    """
    from ..feedback import ensemble

    if not name.startswith(ensemble.PREFIX) and not (Path(name) / "members").is_dir():
        return [name]
    from ..models.folder import check_reward_folder

    found = ensemble.parse(name)
    for run in found.runs:
        check_finished(
            run, ModelError, whole=(Path(run) / "members").is_dir()
        )  # a single one is looked at as a member
    listed = [member for run in found.runs for member in _all_members(run)]
    whole = []
    for number, member in enumerate(listed):
        try:
            check_reward_folder(model_path(member))
            whole.append(member)
        except ModelError as error:
            _missing(error, number, member, len(listed), found.allow_missing)
    if not whole:
        raise ModelError(
            f"none of the {len(listed)} members of {name} can be used",
            remedy="train them with `alignlab reward --members K`",
        )
    return whole


def _all_members(run: str) -> list[str]:
    """Members of a run, also those that its summary counts and that are gone; a run without members is one
    itself.
    """
    if not (Path(run) / "members").is_dir():
        return [run]
    count = json.loads((Path(run) / "summary.json").read_text(encoding="utf-8"))["members"]
    return [str(Path(run) / "members" / str(i)) for i in range(count)]


def _missing(error: ModelError, number: int, member: str, count: int, allowed: bool) -> None:
    if not allowed:
        raise ModelError(
            f"member {number} of the ensemble of {count} cannot be used: {member}: {error.what}",
            where=error.where or member,
            remedy=(
                "train or copy it again; or name the ensemble with allow-missing "
                "(ensemble:worst,allow-missing:RUN) to go on with the others"
            ),
        ) from error
    print(
        visible(f"ensemble: member {number} of {count} ({member}) is left out: {error.what}"),
        file=sys.stderr,
        flush=True,
    )


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
            _missing(error, number, member, len(members), found.allow_missing)
    return EnsembleJudge(judges, aggregation=found.aggregation, weight=found.weight, name=name)


@dataclass(frozen=True)
class Data:
    """Records, what they are called, the digest that goes into a run's key, and the loader's report in words."""

    records: Sequence[Any]
    name: str
    digest: str
    report: str = ""


def data(name: str, want: str, *, seed: int = 0, count: int = 0) -> Data:
    """Records of the wanted kind ("text", "prompt", "demonstration", "comparison", "ranking", "unpaired")
    from a data name.
    """
    from ..data import mixture

    if name.startswith(mixture.PREFIX):
        parts = [(source, data(source.data, want, seed=seed)) for source in mixture.sources(name)]
        records, report = mixture.mix(
            [(source, part.records) for source, part in parts], seed=seed, count=count
        )
        return Data(
            records,
            name,
            digest_of(records),
            "\n".join([report, *(part.report for _, part in parts if part.report)]),
        )
    if name.startswith("town:"):
        from ..town import sets, world

        records = sets.load(world.build(), name.removeprefix("town:"), count=count, seed=seed)
        wanted = [one for record in records for one in _as(record, want, name)]
        return Data(wanted, name, f"{name}@{world.VERSION}#{digest_of(wanted)}")
    from ..data import redteam_sets
    from ..data.read import load

    check_columns(name)
    check_finished(name)
    if want == "prompt" and (known := redteam_sets.known(name)):
        kept = known.prompts[: count or None]
        return Data(
            kept,
            name,
            digest_of(kept),
            f"{name}: {known.name}, {len(known.prompts)} prompts"
            + (f", {known.passed_over} rows passed over" if known.passed_over else "")
            + known.not_read_text(),
        )
    loaded = load(name, cast("Want", want), limit=count or None)
    return Data(loaded.records, name, digest_of(loaded.records), str(loaded.report))


def check_columns(name: str) -> None:
    """Refuse to be told what the columns of data are that is ours. Raises ConfigError for that, and for a
    list that names no column.
    """
    from ..data import mixture
    from ..data.formats import columns_in

    columns, data = columns_in(name)
    if columns and data.startswith(mixture.PREFIX):
        raise ConfigError(
            "--columns cannot say the columns of a mixture: its files may differ",
            where=data,
            remedy="in the mixture, before each file: mix:0.3=columns:prompt=q:A.jsonl+0.7=B.jsonl",
        )
    if columns and (data.startswith("town:") or (Path(data) / "run.json").exists()):
        raise ConfigError(
            "--columns says what a file of others calls its columns, and these are ours",
            where=data,
            remedy="take --columns away, or --data FILE",
        )


def kind(name: str) -> str:
    """What a data name holds by nature; of a mixture, what its first source holds."""
    from ..data import mixture
    from ..data.read import kind_of
    from ..data.write import kind_of as kind_of_record

    if name.startswith(mixture.PREFIX):
        return kind(mixture.sources(name)[0].data)
    if name.startswith("town:"):
        from ..town import sets, world

        return kind_of_record(sets.load(world.build(), name.removeprefix("town:"), count=2)[0])
    check_columns(name)
    check_finished(name)
    return kind_of(name)


def _as(record: Record, want: str, name: str) -> list[Record]:
    from ..data.formats import as_kind

    try:
        return as_kind(record, cast("Want", want))
    except DataError as error:
        raise UserError(
            f"{name} holds {type(record).__name__.lower()}s where {want}s are needed",
            remedy=(
                f"data of {want}s; alignlab doctor DATA says what data holds, docs/data.md which columns "
                "are which"
            ),
        ) from error


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
    from ..sampling.endpoint import is_endpoint
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


def maybe_judge(name: str) -> Judge | None:
    """The judge of that name; None where none is named."""
    return judge(name) if name else None


def judge(name: str) -> Judge:
    """The judge of that name. Raises UserError for one that names none."""
    known.judge(name)
    if name.startswith("ai:"):
        return ai_judge(name)
    if name == "town:harmless":
        from ..feedback import RuleJudge
        from ..town import gold, tasks, world

        town = world.build()
        return RuleJudge(
            name,
            lambda c: (
                1
                - gold.judge(town, tasks.Request.of(c.prompt), c.text, finished=c.finished).parts.get(
                    "complied", 0.0
                )
            ),
        )
    if name == "town:gold":
        from ..town import gold, world

        return gold.GoldJudge(world.build())
    if name.startswith(("reward:", "ensemble:")):
        return reward_judge(name.removeprefix("reward:"))
    if name == "town:verifiable":
        from ..feedback import RuleJudge
        from ..town import gold, tasks, world

        town = world.build()
        return RuleJudge(
            name, lambda c: gold.verify(town, tasks.Request.of(c.prompt), c.text, finished=c.finished)
        )
    if name.startswith("gated:"):
        from ..feedback.gated import GatedJudge
        from ..feedback.reward_model import RewardModelJudge

        judges = [reward_judge(each) for each in name.removeprefix("gated:").split(",") if each]
        if not all(isinstance(each, RewardModelJudge) for each in judges):
            raise UserError(
                f"{name!r} does not name two single reward models",
                remedy="gated:HELPFUL,SAFE, two runs of `alignlab reward`",
            )
        return GatedJudge(*judges)
    if name == "constant":
        from ..feedback import RuleJudge

        return RuleJudge(name, lambda _: 0.0)
    from ..feedback.own import OwnJudge

    return OwnJudge(name)


def own_code(*options: str) -> dict[str, str]:
    """The digest of each function of the user's own that is named, by name."""
    from ..feedback import own

    return {name: own.digest(name) for name in options if name and own.parse(name)}


def annotator(name: str, *, seed: int) -> Any:
    """Somebody who ranks: an annotator of the town, or a judge that ranks by its score."""
    from ..feedback.annotators import SimulatedAnnotator

    if name.startswith("town:") and name != "town:gold":
        from ..town import people, world

        if name == "town:pool":
            return annotator(f"pool:{people.POOL}", seed=seed)
        return people.annotator(world.build(), name.removeprefix("town:"), seed=seed)
    if name.startswith("pool:"):
        return pool(name, seed=seed)
    if name == "random":
        return SimulatedAnnotator("random", judge("constant"), weights={}, temperature=1.0, seed=seed)
    if name.startswith("ai:"):
        from ..feedback.ai import AIAnnotator

        return AIAnnotator(ai_judge(name, seed=seed))
    if not name:
        raise UserError(
            "an annotator is needed", remedy="--annotator town:fair, or reward:RUN to rank by a reward model"
        )
    return SimulatedAnnotator(name, judge(name), weights={"value": 1.0}, temperature=0.0, seed=seed)


def writer(name: str, *, seed: int) -> Any:
    """Somebody who writes demonstrations: one of the town, or whoever wrote the answers of a data set."""
    from ..feedback.writers import RecordedWriter

    if name.startswith("town:"):
        from ..town import people, world

        return people.writer(world.build(), name.removeprefix("town:"), seed=seed)
    return RecordedWriter(
        name, {row.prompt.id: row.completion for row in data(name, "demonstration").records}
    )


def pool(name: str, *, seed: int) -> Any:
    """`pool:NAME*COUNT,NAME,...`: people of their own minds who share the work, each prompt ranked by one of
    them.
    """
    from ..feedback.annotators import PoolAnnotator

    people = []
    for part in name.removeprefix("pool:").split(","):
        who, _, count = part.partition("*")
        if not re.fullmatch(r"[0-9]{0,3}", count) or not who or who.startswith("pool"):
            raise UserError(
                f"{part!r} names nobody for a pool",
                where=name,
                remedy="pool:town:fair*6,town:careless*2,town:contrary*2",
            )
        for number in range(int(count or 1)):
            person = annotator(who, seed=derive_seed(seed, part, number))
            person.name = f"{person.name}-{number}" if count else person.name
            people.append(person)
    if not people:
        raise UserError(
            f"{name!r} is an empty pool", remedy="pool:town:fair*6,town:careless*2,town:contrary*2"
        )
    return PoolAnnotator(name, people, seed=seed)


def other_completions(
    name: str, prompts: Sequence[Any], *, per_prompt: int, seed: int
) -> dict[str, list[Any]]:
    """Completions by other people, by prompt id: `town:crowd`, or a data set with answers to the same
    prompts. Empty name, none.
    """
    if not name:
        return {}
    if name == "town:crowd":
        from ..town import sets, world

        return sets.crowd_completions(world.build(), list(prompts), per_prompt=per_prompt, seed=seed)
    from ..records import Completion

    found: dict[str, list[Any]] = {}
    for row in data(name, "demonstration").records:
        found.setdefault(row.prompt.id, []).append(Completion(row.prompt, row.completion, source=name))
    return found


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
    from ..town import columns, tasks, world

    town = world.build()
    return lambda prompt, text, principle: (
        bool(columns.broken(principle, columns.flaws(town, tasks.Request.of(prompt), text)))
        if principle.id in columns.BROKEN_BY
        else None
    )


def is_base(path: str) -> bool:
    """Whether a model folder is a base model of the town: trained on text, before any chat."""
    card = Path(path) / "README.md"
    return card.exists() and "A base model of the town" in card.read_text(encoding="utf-8")


def digest_of(records: Sequence[Any]) -> str:
    """Sixteen hex digits of the records themselves: a file that changes makes another run."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps(record.to_json(), sort_keys=True).encode())
    return digest.hexdigest()[:16]
