"""Whether a name on the command line stands for something, and for something of the kind that is needed:
known without loading it.

Imports no torch, no transformers and no reader of data, so that a wrong name is said at once.
The other modules of `alignlab.names` make what is named.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from .. import plugins
from ..errors import DataError, ModelError, UserError
from ..models.folder import check_folder, is_reward, read_json
from ..run import check_whole
from ..text.nearest import nearest, nearest_path

# --- models
# ---------------------------------------------------------------------------------------------------------------------------


def model_path(name: str) -> str:
    """The folder (or hub name, or .gguf file) behind a model name. A run folder stands for the checkpoint it
    wrote.
    """
    if name == "town" or name.startswith("town-"):
        from ..town import base

        return str(base.shipped(name))
    if name.startswith(("http://", "https://")):
        raise ModelError(
            "a model behind an endpoint answers, and has no weights to load",
            where=name,
            remedy="a run folder, a model folder or a hub name",
        )
    path = Path(name)
    check_finished(name, ModelError)
    if (path / "run.json").exists():
        if members := members_of(name):
            raise ModelError(
                (
                    f"the run {name} is an ensemble of {len(members)} reward models, and one model is "
                    "needed here"
                ),
                where=str(path),
                remedy=f"one of its members, {members[0]}",
            )
        if not (path / "checkpoint").is_dir():
            raise ModelError(
                f"the run {name} wrote no model",
                where=str(path),
                remedy="name a run of sft, reward, dpo, ppo or pretrain",
            )
        return str(path / "checkpoint")
    return name


def members_of(run: str) -> list[str]:
    """The members of a run of `alignlab reward --members K`, in order; none if it is something else."""
    return [
        str(path.parent)
        for path in sorted(
            (Path(run) / "members").glob("*/run.json"),
            key=lambda path: (len(path.parent.name), path.parent.name),
        )
    ]


def check_finished(name: str, error: type[UserError] = DataError, *, whole: bool = True) -> None:
    """Refuse the name of a run that is not finished, or of the folder it is made in, and (`whole`) of one
    that is not as it was written.
    """
    path = Path(name)
    staging = path if path.name.endswith(".partial") else path.parent / f"{path.name}.partial"
    if os.path.exists(staging / "run.json") and (
        staging == path or not path.exists()
    ):  # also of a name that is too long
        raise error(
            f"the run {name.removesuffix('.partial')} is not finished",
            where=str(staging),
            remedy="give the command that made it again: it goes on where it was",
        )
    if whole:
        check_whole(path, error=error)


def model(name: str) -> None:
    """Any model with weights: one that writes, or one that scores."""
    _weights(name)


def policy(name: str) -> None:
    """A model that writes."""
    if (folder := _weights(name)) and is_reward(folder):
        raise ModelError(
            "this is a reward model, not one that writes",
            where=str(folder),
            remedy="name the policy it was made from",
        )


def reward(name: str) -> None:
    """A model that scores: a run, a folder, or an ensemble."""
    from ..feedback import ensemble

    found = ensemble.parse(name)
    for run in found.runs:
        check_finished(run, ModelError)
        if found.allow_missing or members_of(run) or (Path(run) / "members").is_dir():
            continue  # which of them are there is for `names.reward_models` to say
        if (folder := _weights(run)) and not is_reward(folder):
            raise ModelError(
                "the model has no scalar head",
                where=str(folder),
                remedy="make a reward model with `alignlab reward`",
            )


def cost(name: str) -> None:
    """A reward model whose zero parts safe from unsafe."""
    reward(name)
    folder = _weights(name)
    if (
        folder
        and not (folder / "adapter_config.json").exists()
        and not read_json(folder / "config.json").get("cost_model", False)
    ):
        raise UserError(
            f"{name} is a reward model, not a cost model: its zero does not part safe from unsafe",
            where=name,
            remedy="alignlab reward --safety 1 on data with safe and unsafe labels",
        )


def sampler(name: str) -> None:
    """A model that writes, here or behind an address."""
    from ..sampling.address import Address, is_endpoint

    if is_endpoint(name):
        Address.parse(name)
    else:
        policy(name)


def target(name: str) -> None:
    """Who may be attacked: a sampler, or a bot with a planted hole."""
    if name.startswith("bot:"):
        from ..sampling.bots import BOTS

        one_of(name.removeprefix("bot:"), BOTS, "there is no bot", prefix="bot:")
    else:
        sampler(name)


def _weights(name: str) -> Path | None:
    """The checked folder behind a model name; None for a .gguf file and for a name of the hub, about which
    nothing is known here.
    """
    found = model_path(name)
    path = Path(found)
    if path.is_dir():
        check_folder(path)
        return path
    if path.suffix == ".gguf" and path.is_file():
        return None
    on_hub = (
        found.count("/") == 1
        and not found.startswith((".", "/", "~"))
        and path.suffix != ".gguf"
        and not path.parent.exists()
    )
    if not on_hub or (_offline() and not _cached(found)):
        away = " and none in the hub's cache, and the network is off (HF_HUB_OFFLINE)" if on_hub else ""
        raise ModelError(
            f"there is no model {name}{away}",
            remedy=nearest_path(path)
            or "town, a run folder, a model folder, a .gguf file, or a hub name like owner/name",
        )
    return None


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")


def _cached(name: str) -> bool:
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"
    )
    return (
        Path(os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")).expanduser()
        / f"models--{name.replace('/', '--')}"
    ).is_dir()


# --- data
# -----------------------------------------------------------------------------------------------------------------------------


def data(name: str) -> None:
    """Data by any name; several by comma where that is no file's own name."""
    from ..data import mixture
    from ..data.bounds import SUFFIXES, suffix
    from ..data.folders import local
    from ..data.formats import columns_in

    name = columns_in(name)[1]
    if name.startswith(mixture.PREFIX):
        for source in mixture.sources(name):
            data(source.data)
        return
    if name.startswith("town:"):
        from ..town import sets

        one_of(
            name.removeprefix("town:"),
            sets.SIZES,
            "the town has no data set",
            prefix="town:",
            error=DataError,
        )
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


# --- people and judges
# ----------------------------------------------------------------------------------------------------------------

SCORES = ("town:gold", "town:harmless", "town:verifiable", "constant")
OF_MODELS = ("reward:RUN", "ensemble:HOW:RUN,RUN", "gated:HELPFUL,SAFE", "ai:MODEL")
RUBRICS = ("strongreject", "harmbench", "llamaguard")
PLANTED = ("canary", "nonce", "expected")
OF_REFUSALS = ("refusal", "refusal:FILE", "canary:TEXT", "nonce:TEXT", "expected")
VERDICTS = (*OF_REFUSALS, *(f"{rubric}:MODEL" for rubric in RUBRICS))
OWN = "module:function"
JUDGES = (*SCORES, *OF_MODELS, *VERDICTS, OWN)
"""Every judge's name. All of them score; "town:gold", those of VERDICTS and a function of the user's also say
whether an answer refuses (`verdicts`)."""


def judge(name: str) -> None:
    """Whoever scores, and what its name names."""
    kind, _, rest = name.partition(":")
    if kind in ("refusal", *PLANTED, *RUBRICS):
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
    elif name not in SCORES:
        if Path(name).exists():
            raise UserError(
                f"there is no judge {name!r:.80}", remedy=f"reward:{name}, if that is a reward model"
            )
        _own_judge(name, JUDGES, "there is no judge")


def verdicts(name: str) -> None:
    """Whoever says whether an answer refuses, and the model or file that its name names."""
    kind, _, rest = name.partition(":")
    if kind == "refusal":
        if rest and not Path(rest).is_file():
            raise ModelError(
                "there is no file of weights", where=rest, remedy=nearest_path(Path(rest)) or "check the path"
            )
    elif kind in RUBRICS and rest:
        sampler(rest)
    elif kind not in PLANTED and name != "town:gold":
        if name in (*SCORES, *OF_MODELS) or kind in ("reward", "ensemble", "gated", "ai"):
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
    elif name.startswith("town:") and name not in JUDGES:
        from ..town.people import PEOPLE_WHO_RANK

        one_of(
            name.removeprefix("town:"),
            (*PEOPLE_WHO_RANK, "pool"),
            "the town has no annotator",
            prefix="town:",
        )
    elif name != "random":
        from ..town.people import PEOPLE_WHO_RANK

        judges = (*JUDGES, *plugins.installed("judge"))
        if ":" not in name and name not in ("constant", "refusal", *PLANTED):
            people = [f"town:{known}" for known in PEOPLE_WHO_RANK]
            one_of(name, [*people, "random", *judges], "there is no annotator")
        judge(name)


def writer(name: str) -> None:
    """Whoever writes demonstrations: one of the town, or whoever wrote the answers of a data set."""
    if name.startswith("town:"):
        from ..town.people import PEOPLE_WHO_WRITE

        one_of(name.removeprefix("town:"), PEOPLE_WHO_WRITE, "the town has no writer", prefix="town:")
    else:
        data(name)


def tracker(name: str) -> None:
    """Trackers by comma, each known and installed."""
    from ..run import trackers

    trackers.parse(name)


def chat_template(name: str) -> None:
    """A template of ours, or a Jinja file."""
    if name not in ("chatml", "gemma") and not Path(name).is_file():
        raise ModelError(
            f"there is no chat template {name!r:.80}",
            remedy=nearest(name, ("chatml", "gemma"))
            or nearest_path(Path(name))
            or "chatml, gemma, or a Jinja file",
        )


def each(kind: Callable[[str], None]) -> Callable[[str], None]:
    """Several of a kind, comma separated."""

    def check(name: str) -> None:
        for part in name.split(","):
            if part.strip():
                kind(part.strip())

    return check


def one_of(
    name: str, allowed: Iterable[str], what: str, *, prefix: str = "", error: type[UserError] = UserError
) -> None:
    """Raise the error unless the name is one of those allowed; the nearest is named, and all where they are
    few or none is near.
    """
    allowed = list(allowed)
    if name not in allowed:
        near, every = (
            nearest(name, allowed, prefix=prefix),
            "one of: " + ", ".join(prefix + known for known in allowed),
        )
        raise error(
            f"{what} {name!r:.80}",
            remedy=every if not near else near + (f" {every}" if len(allowed) <= 8 else ""),
        )


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
    "eval": run_of("eval"),
    "likelihood": run_of("likelihood"),
    "campaign": run_of("redteam"),
}
"""What an option or a setting may name (`Option.names`, `settings.setting`), and who says whether it does."""
