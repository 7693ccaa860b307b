"""Defaults that follow the model: the numbers in `settings` are right for the town's models of a million
parameters, and far too much for others.

A model of the town keeps them. Any other gets the field's, by method, by what is trained (all weights or
LoRA) and by size. Flags and files win over both. Where the values come from:

- SFT: TRL's SFTConfig 2e-5; Tulu 3 (Lambert et al. 2024) 5e-6 at 8B and 2e-6 at 70B; LoRA ten times TRL's
  (TRL's documentation; Schulman et al. 2025, LoRA Without Regret; QLoRA, Dettmers et al. 2023: 2e-4).
  Rejection sampling is SFT on what was picked (RAFT: 2e-5).
- Reward: TRL's example 1e-5, with LoRA 1e-4; Llama 2 (Touvron et al. 2023) 1e-5, 5e-6 at 70B.
- DPO and KTO: TRL's DPOConfig and KTOConfig 1e-6; Tulu 3 5e-7 at 8B and 2e-7 at 70B; LoRA 5e-6
  (alignment-handbook's Zephyr, TRL's example).
- ORPO: the paper's 8e-6 (Hong et al. 2024) and 5e-6 for Mistral 7B; LoRA 8e-5 (TRL's example). SimPO: its
  authors' 3e-7 to 1e-6; LoRA as DPO's.
- PPO: TRL's PPOConfig 3e-6; Llama 2 1e-6 for all sizes. RLOO and GRPO: TRL's 1e-6. Online DPO: TRL's 5e-7.
  LoRA ten times as much.
- max_length: TRL's 1024. max_new_tokens: 256, TRL's GRPO until version 1; half a small context at most.

Batch, epochs, warm-up, betas, clipping, beta and kl_coef are the field's already, or lie within what it uses:
they are the same for all models.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from .. import settings as s
from .resolve import with_value
from .shared import Rates

T = TypeVar("T")

MIDDLE, LARGE = 5e9, 30e9
"""Parameters from which a model gets the second and the third rate of `Rates`."""
MAX_LENGTH, NEW_TOKENS = 1024, 256


RATES: dict[type, Rates] = {
    s.SFTSettings: Rates(2e-5, 5e-6, 2e-6, lora=2e-4),
    s.RejectionSettings: Rates(2e-5, 5e-6, 2e-6, lora=2e-4),
    s.RewardSettings: Rates(1e-5, 1e-5, 5e-6, lora=1e-4),
    s.KTOSettings: Rates(1e-6, 5e-7, 2e-7, lora=5e-6),
    **{kind: kind.rates for kind in s.PAIRS.values()},
    s.PPOSettings: Rates(3e-6, 1e-6, 1e-6, lora=3e-5),
    s.RLOOSettings: Rates(1e-6, 1e-6, 1e-6, lora=1e-5),
    s.GRPOSettings: Rates(1e-6, 1e-6, 1e-6, lora=1e-5),
    s.OnlineDPOSettings: Rates(5e-7, 5e-7, 2e-7, lora=5e-6),
}
LONGER: tuple[type, ...] = (
    s.SFTSettings,
    s.RewardSettings,
    s.KTOSettings,
    *s.PAIRS.values(),
    s.LikelihoodSettings,
)
"""Whose max_length follows the model."""
ANSWERING: tuple[type, ...] = (
    s.PPOSettings,
    s.RLOOSettings,
    s.GRPOSettings,
    s.OnlineDPOSettings,
    s.RejectionSettings,
    s.CollectSettings,
    s.DistilSettings,
    s.BestOfNSettings,
    s.EvalSettings,
)
"""Whose sampling.max_new_tokens does."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a model before it is loaded.

    Attributes:
        town: it is one of the town's, or was trained from one.
        parameters: about how many, from its config; 0 = not known. context: tokens it can look at; 0 = not
            known.
    """

    town: bool
    parameters: float = 0
    context: int = 0


def following(model: str) -> Callable[[Any], dict[str, tuple[Any, str]]]:
    """For `config.resolve`: by dotted name, the settings whose default follows this model, each with its
    value and where that comes from.
    """

    def defaults(config: Any) -> dict[str, tuple[Any, str]]:
        return {
            name: row
            for prefix, part in _parts(config, "")
            for name, row in _of(part, prefix, known(model)).items()
        }

    return defaults


def followed(config: T, model: str) -> T:
    """The settings with every default that follows the model, whatever was there."""
    for name, (value, _) in following(model)(config).items():
        config = with_value(config, name, value)
    return config


def _parts(config: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """The settings and all that are nested in them, with their dotted prefix."""
    yield prefix, config
    for item in fields(config):
        if is_dataclass(value := getattr(config, item.name)):
            yield from _parts(value, f"{prefix}{item.name}.")


def _of(part: Any, prefix: str, model: Known) -> dict[str, tuple[Any, str]]:
    kind = type(part)
    found: dict[str, tuple[Any, str]] = {}
    if rates := RATES.get(kind):
        place = "small" if model.parameters < MIDDLE else "middle" if model.parameters < LARGE else "large"
        rate, what = (
            (rates.lora, "LoRA on a model that is not the town's")
            if part.adapter.rank
            else (getattr(rates, place), f"all weights of a model that is not the town's ({SIZES[place]})")
        )
        found[f"{prefix}optim.lr"] = (part.optim.lr, TOWN) if model.town else (rate, f"default for {what}")
    if kind in LONGER:
        found[f"{prefix}max_length"] = (
            (part.max_length, TOWN) if model.town else (min(MAX_LENGTH, model.context or MAX_LENGTH), OTHER)
        )
    if kind in ANSWERING:
        new_tokens = min(NEW_TOKENS, model.context // 2 or NEW_TOKENS)
        found[f"{prefix}sampling.max_new_tokens"] = (
            (part.sampling.max_new_tokens, TOWN) if model.town else (new_tokens, OTHER)
        )
    return found


TOWN, OTHER = "default for a model of the town", "default for a model that is not the town's"
SIZES = {"small": "below 5B", "middle": "5B to 30B", "large": "30B and more"}
TOWN_TEMPLATE = Path(__file__).parents[1] / "town" / "models" / "town-m" / "chat_template.jinja"
MOST_CONFIG = 1_000_000  # bytes of a config.json that is read here


@lru_cache(maxsize=16)
def known(model: str) -> Known:
    """What the files of a model name tell without loading it. A name that stands for nothing is an error
    later on, where it is loaded.

    Whatever carries the town's own chat template was trained from one of its models. An empty name, where no
    model is asked for, counts as one.
    """
    if model in ("", "town") or model.startswith(("town-", "bot:")):
        return Known(True)
    folder = Path(model) / "checkpoint" if (Path(model) / "run.json").exists() else Path(model)
    for _ in range(8):  # an adapter may lie on an adapter
        template = folder / "chat_template.jinja"
        if (
            template.is_file()
            and template.stat().st_size < MOST_CONFIG
            and template.read_bytes() == TOWN_TEMPLATE.read_bytes()
        ):
            return Known(True)
        below = _json(folder / "adapter_config.json").get("base_model_name_or_path")
        if not isinstance(below, str):
            break
        folder = Path(below)
    config = _json(
        folder / "config.json" if folder.is_dir() else _from_hub(str(folder), ask=str(folder) == model)
    )
    text = config.get("text_config")
    config = text if isinstance(text, dict) else config
    return Known(False, _parameters(config), _whole(config, "max_position_embeddings", "n_positions"))


def _from_hub(name: str, *, ask: bool) -> Path | None:
    """The config of a hub name, from the cache or, as the model itself will be, from the hub; None if it is
    not there.

    Args:
        ask: whether the hub may be asked: for a name that a person gave, never for one that stands in a
            folder.
    """
    if name.count("/") != 1 or name.startswith((".", "/", "~")) or name.endswith(".gguf") or "://" in name:
        return None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # it tries six times, and says so each time
    try:
        return Path(hf_hub_download(name, "config.json", local_files_only=not ask))
    except Exception:  # whatever the network and the hub come up with: loading the model says it
        return None


def _json(path: Path | None) -> dict[str, Any]:
    """A JSON object from a file of others; empty for anything else."""
    try:
        if path is None or not path.is_file() or path.stat().st_size > MOST_CONFIG:
            return {}
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _whole(config: dict[str, Any], *names: str) -> int:
    """The first of these that is a whole number above 0; else 0."""
    return next((value for name in names if type(value := config.get(name)) is int and value > 0), 0)


def _parameters(config: dict[str, Any]) -> float:
    """About how many: attention and a gated feed-forward block (of every expert) in each layer, and the
    embeddings.
    """
    width, layers = _whole(config, "hidden_size", "n_embd"), _whole(config, "num_hidden_layers", "n_layer")
    inner = _whole(config, "intermediate_size", "moe_intermediate_size", "n_inner") or 4 * width
    experts = _whole(config, "num_local_experts", "num_experts", "n_routed_experts") or 1
    heads = _whole(config, "num_attention_heads", "n_head") or 1
    shared = (_whole(config, "num_key_value_heads") or heads) / heads
    return (
        float(layers) * width * ((2 + 2 * shared) * width + 3 * inner * experts)
        + float(_whole(config, "vocab_size")) * width
    )
