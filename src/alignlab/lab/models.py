"""Models by name, and how they are kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .. import names

if TYPE_CHECKING:
    from ..models.policy import Policy, RewardModel


def policy(name: str = "town", *, trainable: bool = True) -> Policy:
    """A model that writes.

    Args:
        name: town, town-s, town-m, town-l, a run folder, a model folder, a hub name or a .gguf file.
        trainable: its weights require gradients; False for a model that is only asked, such as a reference.

    Returns:
        A `Policy`, with `.model` and `.tokenizer` of transformers.

    Raises:
        ModelError: no such model, or a folder that is not sound.

    >>> policy("town-s").name
    'town-s'
    """
    from ..models.load import load_policy
    from ..settings import ModelSettings

    loaded = load_policy(names.models.model(name).path, ModelSettings(), trainable=trainable)
    loaded.name = name
    return loaded


def reward_model(name: str = "town", *, seed: int = 0, trainable: bool = True) -> RewardModel:
    """A model with a scalar head: a reward model as it is, or any other model under a new head, drawn from
    N(0, 1 / (hidden size + 1)) (Stiennon et al. 2020) by the seed.

    Raises:
        ModelError: as for `policy`.
    """
    from ..models.folder import is_reward
    from ..models.load import load_reward_model
    from ..settings import ModelSettings

    path = names.models.model(name).path
    new_head = not is_reward(Path(path))
    loaded = load_reward_model(path, ModelSettings(), init_head=new_head, head_seed=seed, trainable=trainable)
    loaded.name = name
    return loaded


def save(model: Policy | RewardModel, folder: str | Path, *, card: str = "") -> Path:
    """Keep a model in a folder, whole or not at all: transformers loads it, and so does every command.

    Args:
        card: the text of the folder's README.
    """
    from ..models.policy import Policy
    from ..models.saving import save_policy, save_reward_model

    keep = save_policy if isinstance(model, Policy) else save_reward_model
    keep(cast("Any", model), folder, card=card)
    return Path(folder)
