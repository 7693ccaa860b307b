"""PPO-ptx: the pretraining text that is mixed in, where it is named."""

from __future__ import annotations

from typing import Any

from .. import names
from ..errors import ConfigError
from ..settings import PPOSettings


def read(ptx: str, settings: PPOSettings, seed: int) -> names.data.Data | None:
    """The text of that name. Raises ConfigError for text without a weight, or a weight without text."""
    if ptx and not settings.ptx_coef:
        raise ConfigError(
            f"--ptx {ptx} is named, but ptx_coef is 0: the text would not be read",
            remedy="--ptx_coef, the weight of its loss (InstructGPT: 27.8); or leave --ptx out",
        )
    if settings.ptx_coef and not ptx:
        raise ConfigError(
            f"ptx_coef = {settings.ptx_coef:g}, but no pretraining text is named",
            remedy="--ptx DATA, documents as text; or --ptx_coef 0",
        )
    return names.data.read(ptx, "text", seed=seed) if ptx else None


def rows(texts: names.data.Data | None, tokenizer: Any) -> list[list[int]] | None:
    """Token ids of its documents; one token alone predicts nothing."""
    if texts is None:
        return None
    from ..models.chat import text_ids

    rows = [text_ids(tokenizer, text.text) for text in texts.records]
    return [ids for ids in rows if len(ids) > 1]
