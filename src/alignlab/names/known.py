"""Whether a name on the command line stands for something, and for something of the kind that is needed:
known without loading it.

Imports no torch, no transformers and no reader of data, so that a wrong name is said at once.
The other modules of `alignlab.names` make what is named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from .. import plugins
from ..errors import DataError, ModelError, UserError
from ..text.nearest import nearest, nearest_path, one_of
from ..town import names as town
from . import judge_kinds
from .weights import check_finished, cost, model, policy, reward, sampler, target


def data(name: str) -> None:
    """Data by any name; several by comma where that is no file's own name."""
    from ..data import mixture
    from ..data.bounds import SUFFIXES, suffix
    from ..data.folders import local
    from ..data.formats import columns_in
    from ..data.own import check, reader_in

    name = columns_in(name)[1]
    if name.startswith(mixture.PREFIX):
        for source in mixture.sources(name):
            data(source.data)
        return
    if name.startswith(town.PREFIX):
        _town_word(name, town.data_words(), "data set", DataError)
        return
    if own := reader_in(name):
        check(*own)
        return
    path = local(name)
    if "," in name and not path.exists():
        for part in name.split(","):
            if part.strip():
                data(part.strip())
        return
    check_finished(name)
    if path.is_dir():
        return
    if not path.exists():
        if name.count("/") != 1 or suffix(path) in SUFFIXES or path.parent.exists():
            raise DataError(
                "no such file or folder",
                where=name,
                remedy=nearest_path(path) or "check the path; a hub name is owner/name",
            )
    elif suffix(path) not in SUFFIXES:
        raise DataError(
            f"files ending in {path.suffix[:20] or 'nothing'} are not read",
            where=name,
            remedy=f"give one of {', '.join(SUFFIXES)}",
        )


def file(name: str) -> None:
    """A file that is read."""
    if not (path := Path(name)).is_file():
        raise DataError(
            "no such file" if not path.exists() else "not a file",
            where=name,
            remedy=nearest_path(path) or "check the path",
        )


def constitution(name: str) -> None:
    """A shipped constitution, or a file of one, which is read: it is small."""
    from ..constitution import files

    if name not in files.SHIPPED and not Path(name).exists():
        raise DataError(
            f"there is no constitution {name!r:.80}",
            remedy=nearest(name, files.SHIPPED)
            or nearest_path(Path(name))
            or f"a file, or one of: {', '.join(files.SHIPPED)}",
        )
    files.read(name)


def run_of(*stages: str) -> Callable[[str], None]:
    """A finished run of one of these stages."""

    def check(name: str) -> None:
        from ..run import read_run

        check_finished(name)
        found = read_run(name)
        if found.stage not in stages:
            raise UserError(
                f"this is a run of {found.stage}, not of {' or '.join(stages)}",
                where=name,
                remedy=f"name a run of {' or '.join(f'`alignlab {stage}`' for stage in stages)}",
            )

    return check


SCORES = (*town.JUDGES, *judge_kinds.words(verdicts=False))
OF_MODELS = ("reward:RUN", "ensemble:HOW:RUN,RUN", "gated:HELPFUL,SAFE", "ai:MODEL")
VERDICTS = judge_kinds.words(verdicts=True)
OWN = "module:function"
JUDGES = (*SCORES, "town:metric=NAME", *OF_MODELS, *VERDICTS, OWN)
"""Every judge's name. All of them score; "town:gold", those of VERDICTS and a function of the user's also say
whether an answer refuses (`verdicts`)."""


def judge(name: str) -> None:
    """Whoever scores, and what its name names."""
    kind, _, rest = name.partition(":")
    if kind in judge_kinds.KINDS and judge_kinds.KINDS[kind].verdicts:
        verdicts(name)
    elif kind == "ai":
        from ..feedback.ai_name import parse

        found = parse(name)
        sampler(found.model)
        if found.constitution:
            constitution(found.constitution)
    elif name.startswith(("reward:", "ensemble:")):
        reward(name.removeprefix("reward:"))
    elif name.startswith("gated:"):
        parts = [part for part in rest.split(",") if part]
        if len(parts) != 2:
            raise UserError(
                f"{name!r} does not name two single reward models",
                remedy="gated:HELPFUL,SAFE, two runs of `alignlab reward`",
            )
        for part in parts:
            reward(part)
    elif name.startswith(town.METRIC):
        town.check_metric(name)
    elif name not in SCORES:
        if Path(name).exists():
            raise UserError(
                f"there is no judge {name!r:.80}", remedy=f"reward:{name}, if that is a reward model"
            )
        _own_judge(name, JUDGES, "there is no judge")


def verdicts(name: str) -> None:
    """Whoever says whether an answer refuses, and the model or file that its name names."""
    kind, _, rest = name.partition(":")
    row = judge_kinds.kind_of(name)
    if row and row.verdicts:
        row.check(rest)
    elif name != "town:gold":
        only_scores = name in (*SCORES, *OF_MODELS) or name.startswith(town.METRIC)
        if only_scores or kind in ("reward", "ensemble", "gated", "ai"):
            raise UserError(
                f"{name!r:.80} gives scores, and verdicts are needed here",
                remedy=f"one of: {', '.join(('town:gold', *VERDICTS, OWN))}",
            )
        _own_judge(name, ("town:gold", *VERDICTS, OWN), "there is no judge of verdicts")


def _own_judge(name: str, others: tuple[str, ...], what: str) -> None:
    """A plug-in; anything else is none of `others`."""
    if plugins.is_one("judge", name):
        plugins.find("judge", name)
    else:
        one_of(name, (*others, *plugins.installed("judge")), what)


def annotator(name: str) -> None:
    """Whoever ranks: an annotator of the town, a pool of several, or a judge."""
    if name.startswith("pool:"):
        for part in name.removeprefix("pool:").split(","):
            if part.partition("*")[0]:  # its grammar is for `names.pool` to say
                annotator(part.partition("*")[0])
    elif name.startswith(town.PREFIX) and not town.is_judge(name):
        town.check_annotator(name.removeprefix(town.PREFIX))
    elif name != "random":
        if ":" not in name and judge_kinds.kind_of(name) is None:
            of_the_town = [town.PREFIX + person for person in town.people_who_rank() if person != "pool"]
            judges = (*JUDGES, *plugins.installed("judge"))
            one_of(name, [*of_the_town, "random", *judges], "there is no annotator")
        judge(name)


def writer(name: str) -> None:
    """Whoever writes demonstrations: one of the town, or whoever wrote the answers of a data set."""
    if name.startswith(town.PREFIX):
        _town_word(name, town.people_who_write(), "writer")
    else:
        data(name)


def _town_word(name: str, words: Sequence[str], what: str, error: type[UserError] = UserError) -> None:
    one_of(name.removeprefix(town.PREFIX), words, f"the town has no {what}", prefix=town.PREFIX, error=error)


def tracker(name: str) -> None:
    """Trackers by comma, each known and installed."""
    from ..run import trackers

    trackers.parse_trackers(name)


def chat_template(name: str) -> None:
    """A template of ours, or a Jinja file."""
    if name not in ("chatml", "gemma") and not Path(name).is_file():
        raise ModelError(
            f"there is no chat template {name!r:.80}",
            remedy=nearest(name, ("chatml", "gemma"))
            or nearest_path(Path(name))
            or "chatml, gemma, or a Jinja file",
        )


def endpoint(name: str) -> None:
    """The address of a model behind a server."""
    from ..sampling.address import Address, is_endpoint

    if not is_endpoint(name):
        raise UserError(f"{name!r:.200} is no address of a server", remedy="http://host:port/v1#model")
    Address.parse(name)


def each(kind: Callable[[str], None]) -> Callable[[str], None]:
    """Several of a kind, comma separated."""

    def check(name: str) -> None:
        for part in name.split(","):
            if part.strip():
                kind(part.strip())

    return check


KINDS: dict[str, Callable[[str], None]] = {
    "model": model,
    "policy": policy,
    "policies": each(policy),
    "samplers": each(sampler),
    "reward": reward,
    "cost": cost,
    "sampler": sampler,
    "target": target,
    "data": data,
    "file": file,
    "constitution": constitution,
    "judge": judge,
    "verdicts": each(verdicts),
    "annotator": annotator,
    "annotators": each(annotator),
    "writers": each(writer),
    "tracker": tracker,
    "chat-template": chat_template,
    "endpoint": endpoint,
    "eval": run_of("eval"),
    "likelihood": run_of("likelihood"),
    "campaign": run_of("redteam"),
}
"""What an option or a setting may name (`Option.names`, `settings.setting`), and who says whether it does."""
