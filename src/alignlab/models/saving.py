"""Model folders that transformers, PEFT and `load` read: weights, tokenizer, chat template, card."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..text.disk import write_whole
from . import adapters, reader, shards
from .policy import Policy, RewardModel


def save_policy(policy: Policy, folder: str | Path, *, card: str) -> None:
    """A folder that transformers (or PEFT, for an adapter) loads: weights as safetensors, tokenizer, chat
    template, card.

    Its generation config names every end token, so that others stop where the policy was taught to.
    """
    config = policy.model.generation_config
    ends = sorted(policy.end_ids)
    if reader.listed(config.eos_token_id) != ends:
        config.eos_token_id = ends
        try:
            config.validate(strict=True)
        except ValueError:
            # A published config may set a temperature and forget to sample; a changed one is not saved so.
            config.do_sample = True
    _save(policy.model, policy.tokenizer, Path(folder), card)


def save_reward_model(reward_model: RewardModel, folder: str | Path, *, card: str) -> None:
    """A sequence-classification folder. Mean and deviation of the scores lie in its config; of an adapter,
    which carries its head, beside it.
    """
    _save(reward_model.model, reward_model.tokenizer, Path(folder), card)


def _save(model: Any, tokenizer: Any, folder: Path, card: str) -> None:
    whole = {"state_dict": shards.state_of(model)} if shards.is_sharded(model) else {}
    with write_whole(folder) as staging:
        if hasattr(model, "peft_config"):
            adapters.save(model, staging)
            notes = json.dumps(_notes(model, folder))
            (staging / reader.NOTES).write_text(notes, encoding="utf-8")
        else:
            model.save_pretrained(staging, **whole)
        tokenizer.save_pretrained(staging)
        (staging / "README.md").write_text(card, encoding="utf-8")


def _notes(model: Any, folder: Path) -> dict[str, Any]:
    """What `reader.notes_of` reads beside an adapter: where its base lies, and the scale of its scores."""
    notes: dict[str, Any] = {}
    base = adapters.bare(model).name_or_path
    if os.path.isabs(base):
        notes |= {"base": base, "from_here": os.path.relpath(base, folder)}
    for key in reader.SCALE:
        if hasattr(model.config, key):
            notes[key] = getattr(model.config, key)
    return notes
