"""Loading models. Folders are untrusted: weights come from safetensors (or GGUF), no code of a folder is run,
no pickle is opened.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from ..errors import ModelError
from ..records import Prompt
from ..settings import AdapterSettings, ModelSettings
from . import adapters, chat, reader, shards
from .attention import use_plain_attention
from .devices import dtype_in_use, pick_device
from .folder import check_scalar_head, is_adapter, is_reward
from .means import within_means
from .policy import Policy, RewardModel, pad_id
from .pretrained import pretrained, with_head
from .stacked import check_savable


def load_policy(
    ref: str | Path,
    settings: ModelSettings,
    adapter: AdapterSettings | None = None,
    *,
    trainable: bool = False,
) -> Policy:
    """A causal model from a folder, a PEFT adapter folder, a .gguf file or a hub name.

    Args:
        adapter: with rank above 0, a new LoRA adapter is put on (`trainable` models only). An adapter that is
            there already is first merged, so that the new one off is the model as it was loaded.
        trainable: weights (or the adapter's) require gradients and the model is in training mode.

    Raises:
        ModelError: exit code 4, with what is wrong with the folder.
    """
    with within_means(ref):
        source, device = _prepare(ref, settings)
        new_adapter = _wanted(adapter, trainable)
        model = _causal(source, settings, device, plain=new_adapter is not None, trainable=trainable)
        tokenizer = reader.tokenizer_of(source, settings)
        _check_tokens(model, tokenizer, source)
        model = _ready(model, settings, device, trainable, new_adapter, task="CAUSAL_LM")
        return Policy(model, tokenizer, str(ref), device)


def load_reward_model(
    ref: str | Path,
    settings: ModelSettings,
    *,
    adapter: AdapterSettings | None = None,
    init_head: bool = False,
    head_seed: int = 0,
    trainable: bool = False,
) -> RewardModel:
    """A model with a scalar head named `score` (AutoModelForSequenceClassification, num_labels = 1).

    Args:
        adapter: as in `load_policy`; the head trains in full and is saved inside.
        init_head: the folder holds a causal model and gets a new head, drawn from N(0, 1 / (hidden + 1))
            (Stiennon et al. 2020) by `head_seed`.

    Raises:
        ModelError: also for a folder without a head where one is needed.
    """
    with within_means(ref):
        source, device = _prepare(ref, settings)
        new_adapter = _wanted(adapter, trainable)
        if init_head:
            model = with_head(_causal(source, settings, device, plain=True), head_seed)
        else:
            model = _reward(source, settings, device, plain=new_adapter is not None, trainable=trainable)
        tokenizer = reader.tokenizer_of(source, settings)
        _check_tokens(model, tokenizer, source)
        model.config.pad_token_id = pad_id(model, tokenizer)
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(model.config.pad_token_id)
        if not init_head and is_adapter(source):
            notes = reader.notes_of(source)
            vars(model.config).update({key: notes[key] for key in reader.SCALE if key in notes})
        _check_scale(model.config, source)
        model = _ready(model, settings, device, trainable, new_adapter, task="SEQ_CLS")
        return RewardModel(model, tokenizer, str(ref), device)


def load_merged(ref: str | Path) -> Policy | RewardModel:
    """A model of either kind without adapters, in fp32 on the CPU: what they add has been added to its
    weights. Raises ModelError.
    """
    settings = ModelSettings(precision="fp32", device="cpu")
    with within_means(ref):
        source, _ = _prepare(ref, settings)
        made = load_reward_model(ref, settings) if is_reward(source) else load_policy(ref, settings)
        made.model = adapters.merged(made.model)
        return made


def _prepare(ref: str | Path, settings: ModelSettings) -> tuple[Path, torch.device]:
    """The checked folder or file behind a name, and the device; the process is set up as asked."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    return reader.located(ref, settings), pick_device(settings)


def _wanted(adapter: AdapterSettings | None, trainable: bool) -> AdapterSettings | None:
    """The settings of the new adapter, where one is to be put on."""
    return adapter if trainable and adapter is not None and adapter.rank else None


def _causal(
    source: Path,
    settings: ModelSettings,
    device: torch.device,
    *,
    plain: bool = False,
    trainable: bool = False,
) -> Any:
    """A causal model, under its adapter if the folder is one. An adapter's base may be an adapter folder
    itself: that one is merged.

    Args:
        plain: the model is to have something added: it comes with its adapter merged, and nothing is rounded.
    """
    if is_reward(source):
        raise ModelError(
            "this is a reward model, not one that writes",
            where=str(source),
            remedy="name the policy it was made from",
        )
    if is_adapter(source):
        base = _causal(reader.base_of(source, settings), settings, device, plain=True)
        return _adapted(base, source, settings, device, plain=plain, trainable=trainable)
    from transformers import AutoModelForCausalLM

    return pretrained(AutoModelForCausalLM, source, settings, plain)


def _reward(
    source: Path,
    settings: ModelSettings,
    device: torch.device,
    *,
    plain: bool = False,
    trainable: bool = False,
) -> Any:
    """A model with a trained scalar head, under its adapter if the folder is one; `plain` as in `_causal`."""
    check_scalar_head(source)
    if is_adapter(source):
        below = reader.base_of(source, settings)
        if is_reward(below):
            base = _reward(below, settings, device, plain=True)
        else:
            base = with_head(_causal(below, settings, device, plain=True))
        return _adapted(base, source, settings, device, plain=plain, trainable=trainable)
    from transformers import AutoModelForSequenceClassification

    model = pretrained(AutoModelForSequenceClassification, source, settings, plain)
    if model.config.num_labels != 1 or not hasattr(model, "score"):
        raise ModelError(
            f"this is a classifier with {model.config.num_labels} labels, not a reward model",
            where=str(source),
            remedy="a reward model has one label and a head named score",
        )
    return model


def _adapted(
    base: Any, source: Path, settings: ModelSettings, device: torch.device, *, plain: bool, trainable: bool
) -> Any:
    """A plain model under the adapter of a folder: merged in fp32 if it is to stay `plain`, else in the
    precision it runs in.
    """
    adapters.cast(base, torch.float32 if plain else dtype_in_use(base, settings, device))
    learns = trainable and not plain
    model = reader.calling_libraries(source, lambda: adapters.attach(base, source, trainable=learns))
    return adapters.merged(model) if plain else model


def _check_scale(config: Any, source: Path) -> None:
    """Raise ModelError for scores whose mean or deviation is no finite number."""
    for key in reader.SCALE:
        value = getattr(config, key, 0)
        if not isinstance(value, (int, float)) or not abs(value) < sys.float_info.max:
            raise ModelError(
                "the scale of its scores is no number",
                where=str(source),
                remedy="copy the model folder again",
            )


def _check_tokens(model: Any, tokenizer: Any, source: Path) -> None:
    """Raise ModelError for a tokenizer that was given tokens which the model was not. Special ones that
    nothing writes may lack (Gemma 3's mark of a picture).
    """
    rows = model.get_input_embeddings().weight.shape[0]
    lacking = {i: token for i, token in tokenizer.added_tokens_decoder.items() if i >= rows}
    if not lacking:
        return
    written: list[int] = []
    with suppress(
        ModelError
    ):  # no template, or one that refuses this: said where something is rendered in earnest
        written = chat.example(tokenizer, Prompt.user("hello"), "hello").ids
    for i, token in lacking.items():
        if i in written or not token.special:
            raise ModelError(
                f"the tokenizer has a token {token.content!r:.60} (id {i}), and the model only "
                f"{rows:,} embeddings",
                where=str(source),
                remedy="the tokenizer that belongs to the model, or "
                "model.resize_token_embeddings(len(tokenizer)) in transformers, and save it again",
            )


def _ready(
    model: Any,
    settings: ModelSettings,
    device: torch.device,
    trainable: bool,
    adapter: AdapterSettings | None,
    *,
    task: Any,
) -> Any:
    """The model on its device, in its precision and mode, under a new adapter if one is wanted."""
    if settings.shard:
        shards.check_shareable(model, device, adapter=adapter is not None)
        model = adapters.cast(model, torch.float32)
    else:
        model = adapters.cast(model, dtype_in_use(model, settings, device)).to(device)
    plain = adapters.bare(model)
    use_plain_attention(plain)
    # Else the embedding of a pad token that is also the end token never learns.
    plain.get_input_embeddings().padding_idx = None
    if not hasattr(model, "peft_config"):
        model.requires_grad_(trainable)
    if adapter is not None:
        model = adapters.add(model, adapter, task=task)
    if trainable and hasattr(model, "peft_config"):
        check_savable(model, plain.name_or_path)
    model.train(trainable)
    return shards.sharded(model) if settings.shard else model
