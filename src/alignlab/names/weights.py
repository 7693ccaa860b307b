"""Whether a name stands for a model, and where its weights are: known without loading them. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import DataError, ModelError, UserError
from ..models.folder import check_folder, check_scalar_head, is_reward
from ..models.folder_files import read_json
from ..run import check_whole
from ..text.nearest import nearest_path, one_of
from ..town import names as town


def model_path(name: str) -> str:
    """The folder (or hub name, or .gguf file) behind a model name. A run folder stands for the checkpoint it
    wrote.
    """
    if town.is_model(name):
        return town.shipped(name)
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
            continue  # which of them are there is for `names.models.reward_members` to say
        if folder := _weights(run):
            check_scalar_head(folder)


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
