"""Loading and saving models. Folders are untrusted: weights come from safetensors (or GGUF), no code of a
folder is run, no pickle is opened.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from ..errors import ConfigError, ModelError
from ..records import Prompt
from ..settings import AdapterSettings, ModelSettings
from ..text.disk import write_whole
from ..text.escapes import first_line
from ..text.streams import say
from . import adapters, chat, reader
from .attention import use_plain_attention
from .building import within
from .folder import is_adapter, is_reward
from .means import within_means

BIG = 20_000_000  # parameters above which bf16 pays


@dataclass
class Policy:
    """A causal model with its tokenizer."""

    model: Any
    tokenizer: Any
    name: str
    device: torch.device

    @property
    def end_ids(self) -> frozenset[int]:
        """Every token that ends a completion: the template's end of turn, the tokenizer's and the generation
        config's ends.
        """
        return _end_ids(self.model, self.tokenizer)

    @property
    def pad_id(self) -> int:
        """A valid id to fill arrays with, never one that ends a completion. Masks come from lengths, not from
        it.
        """
        return _pad_id(self.model, self.tokenizer)

    @contextmanager
    def reference(self) -> Iterator[Any]:
        """The frozen reference: the policy with its adapter off."""
        with self.model.disable_adapter():
            yield self.model


@dataclass
class RewardModel:
    """A model with a scalar head; `mean` and `std` of its scores over its training completions are kept in
    the model's config.
    """

    model: Any
    tokenizer: Any
    name: str
    device: torch.device

    @property
    def mean(self) -> float:
        return float(getattr(self.model.config, "score_mean", 0.0))

    @property
    def std(self) -> float:
        return float(getattr(self.model.config, "score_std", 1.0))

    def normalize(self, mean: float, std: float) -> None:
        """Set mean and standard deviation, so that PPO, best-of-N and serving agree on the scale."""
        self.model.config.score_mean, self.model.config.score_std = mean, std

    @property
    def pad_id(self) -> int:
        """As `Policy.pad_id`; it is also in the config, where transformers looks for the last token that is
        not it.
        """
        return self.model.config.pad_token_id


def context_of(model: Any) -> int:
    """Tokens the model can look at; sys.maxsize where its config does not say."""
    return reader.context_in(model.config)


def pick_device(settings: ModelSettings) -> torch.device:
    """The device asked for; auto is cuda, then mps, then cpu. Raises ConfigError for one that is not there."""
    if settings.device != "auto":
        try:
            return torch.empty(0, device=settings.device).device
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise ConfigError(
                f"model.device = {settings.device!r} cannot be used: {first_line(error)}",
                remedy="auto, cpu, cuda or mps",
            ) from error
    return torch.device(
        "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    )


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bf16 natively: asked of it, not assumed."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    can = torch.cpu.get_capabilities()
    return bool(can.get("avx512_bf16") or can.get("amx_bf16") or can.get("bf16"))


def wants_bf16(settings: ModelSettings, device: torch.device, *, pays: bool = True) -> bool:
    """Whether a model is to run in bf16. Where the device would only emulate it, that is said, once.

    Args:
        pays: the model is so large that auto is to take it.
    """
    if settings.precision == "fp32" or (settings.precision == "auto" and not pays):
        return False
    if not (native := multiplies_bf16(device)):
        _say_emulated(device.type, settings.precision)
    return native or settings.precision == "bf16"


@cache
def _say_emulated(device: str, precision: str) -> None:
    say(
        f"model.precision = {precision}: this {device} does not report that it multiplies bf16 natively; "
        + (
            "emulated it may take many times as long as fp32, which auto would take"
            if precision == "bf16"
            else "fp32 is taken, for emulated it may take many times as long"
        )
    )


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
        new_adapter = adapter if trainable and adapter is not None and adapter.rank else None
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
        new_adapter = adapter if trainable and adapter is not None and adapter.rank else None
        if init_head:
            model = _with_head(_causal(source, settings, device, plain=True), head_seed)
        else:
            model = _reward(source, settings, device, plain=new_adapter is not None, trainable=trainable)
        tokenizer = reader.tokenizer_of(source, settings)
        _check_tokens(model, tokenizer, source)
        model.config.pad_token_id = _pad_id(model, tokenizer)
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(model.config.pad_token_id)
        if not init_head and is_adapter(source):
            vars(model.config).update(
                {key: value for key, value in reader.notes_of(source).items() if key in reader.SCALE}
            )
        if not all(
            isinstance(n := getattr(model.config, key, 0), (int, float)) and abs(n) < sys.float_info.max
            for key in reader.SCALE
        ):
            raise ModelError(
                "the scale of its scores is no number",
                where=str(source),
                remedy="copy the model folder again",
            )
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

    return _pretrained(AutoModelForCausalLM, source, settings, plain)


def _reward(
    source: Path,
    settings: ModelSettings,
    device: torch.device,
    *,
    plain: bool = False,
    trainable: bool = False,
) -> Any:
    """A model with a trained scalar head, under its adapter if the folder is one; `plain` as in `_causal`."""
    if not is_reward(source):
        raise ModelError(
            "the model has no scalar head",
            where=str(source),
            remedy="make a reward model with `alignlab reward`",
        )
    if is_adapter(source):
        below = reader.base_of(source, settings)
        base = (
            _reward(below, settings, device, plain=True)
            if is_reward(below)
            else _with_head(_causal(below, settings, device, plain=True))
        )
        return _adapted(base, source, settings, device, plain=plain, trainable=trainable)
    from transformers import AutoModelForSequenceClassification

    model = _pretrained(AutoModelForSequenceClassification, source, settings, plain)
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
    adapters.cast(base, torch.float32 if plain else _runs_in(base, settings, device))
    model = reader.calling_libraries(
        source, lambda: adapters.attach(base, source, trainable=trainable and not plain)
    )
    return adapters.merged(model) if plain else model


def _runs_in(model: Any, settings: ModelSettings, device: torch.device) -> torch.dtype:
    """The precision that the model is used in."""
    large = sum(p.numel() for p in model.parameters()) > BIG
    return torch.bfloat16 if wants_bf16(settings, device, pays=large) else torch.float32


def _pretrained(auto: Any, source: Path, settings: ModelSettings, plain: bool) -> Any:
    """A plain model from its folder or .gguf file, with all its weights; in bf16 only if it is stored so, or
    is wanted so and nothing is added to it.
    """
    from transformers import AutoConfig

    options: dict[str, Any] = {"use_safetensors": True}
    if source.suffix == ".gguf":
        import transformers
        from transformers import modeling_gguf_pytorch_utils as loader
        from transformers.utils import logging

        loader.__dict__["tqdm"] = logging.tqdm  # its bar does not ask whether bars are wanted
        options = {"gguf_file": source.name}
        if hasattr(transformers, "GgufConfig"):
            options["quantization_config"] = transformers.GgufConfig(dequantize=True)

    def load() -> Any:
        if source.suffix != ".gguf":
            options["config"] = AutoConfig.from_pretrained(source, trust_remote_code=False)
            options[
                "config"
            ]._attn_implementation = (
                None  # a config may name a kernel, which would be fetched from the hub and run
            )
        dtype = (
            torch.bfloat16
            if settings.precision == "bf16" and not plain
            else torch.float32
            if settings.precision == "fp32"
            else _stored_in(source)
        )
        return auto.from_pretrained(
            reader.folder_of(source),
            dtype=dtype,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **options,
        )

    with within(source):
        model, found = reader.calling_libraries(source, load)
    misshapen = {name for name, *_ in found["mismatched_keys"]}
    if wrong := sorted(found["missing_keys"] | misshapen):
        raise ModelError(
            (
                f"{len(wrong)} weights are missing or have another shape than the config says, {wrong[0]} "
                "among them"
            ),
            where=str(source),
            remedy="copy or download the model folder again",
        )
    model.name_or_path = reader.hub_names.get(source) or os.path.abspath(
        source
    )  # what an adapter names as its base
    adapters.say_untied(model)
    return model


def _stored_in(source: Path) -> torch.dtype:
    """The precision of the weights in a folder, fp32 if it is not the same for all: asked of the files, for a
    config may say less than they hold.
    """
    found = set()
    for path in reader.folder_of(source).glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            found |= {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118  (not a dict)
    return {frozenset({"BF16"}): torch.bfloat16, frozenset({"F16"}): torch.float16}.get(
        frozenset(found), torch.float32
    )


def _with_head(causal: Any, seed: int = 0) -> Any:
    """The body of a causal model under a new scalar head."""
    from transformers import AutoModelForSequenceClassification

    causal.config.num_labels = 1
    try:
        with torch.device("meta"):
            model = AutoModelForSequenceClassification.from_config(causal.config, trust_remote_code=False)
    except ValueError as error:
        raise ModelError(
            f"transformers has no classifier for {type(causal).__name__}",
            where=causal.name_or_path,
            remedy="take another model",
        ) from error
    if not isinstance(getattr(model, "score", None), nn.Linear) or type(model.base_model) is not type(
        causal.base_model
    ):
        raise ModelError(
            f"the classifier of {type(causal).__name__} has no head named score on the same body",
            where=causal.name_or_path,
            remedy="take another model",
        )
    width = model.score.in_features
    setattr(model, model.base_model_prefix, causal.base_model)
    weight = torch.randn(1, width, generator=torch.Generator().manual_seed(seed)) / (width + 1) ** 0.5
    model.score = nn.Linear(width, 1, bias=False, dtype=causal.dtype)
    model.score.weight.data.copy_(weight)
    model.config, model.name_or_path = causal.config, causal.name_or_path
    adapters.taken_over(model, causal)
    return model


def _check_tokens(model: Any, tokenizer: Any, source: Path) -> None:
    """Raise ModelError for a tokenizer that was given tokens which the model was not. Special ones that
    nothing writes may lack (Gemma 3's mark of a picture).
    """
    rows = model.get_input_embeddings().weight.shape[0]
    lacking = {i: token.content for i, token in tokenizer.added_tokens_decoder.items() if i >= rows}
    if not lacking:
        return
    written: list[int] = []
    with suppress(
        ModelError
    ):  # no template, or one that refuses this: said where something is rendered in earnest
        written = chat.example(tokenizer, Prompt.user("hello"), "hello").ids
    for i, token in lacking.items():
        if i in written or not tokenizer.added_tokens_decoder[i].special:
            raise ModelError(
                f"the tokenizer has a token {token!r:.60} (id {i}), and the model only {rows:,} embeddings",
                where=str(source),
                remedy=(
                    "the tokenizer that belongs to the model, or "
                    "model.resize_token_embeddings(len(tokenizer)) in transformers, and save it again"
                ),
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
    model = adapters.cast(model, _runs_in(model, settings, device)).to(device)
    plain = adapters.bare(model)
    use_plain_attention(plain)
    plain.get_input_embeddings().padding_idx = (
        None  # else the embedding of a pad token that is also the end token never learns
    )
    if not hasattr(model, "peft_config"):
        model.requires_grad_(trainable)
    if adapter is not None:
        model = adapters.add(model, adapter, task=task)
    if trainable and hasattr(model, "peft_config"):
        adapters.check_savable(model, plain.name_or_path)
    model.train(trainable)
    return model


def _end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    found = {
        *reader.listed(getattr(getattr(model, "generation_config", None), "eos_token_id", None)),
        tokenizer.eos_token_id,
    }
    if chat.template_of(tokenizer):
        found.add(chat.end_token_id(tokenizer))
    return frozenset(i for i in found if i is not None)


def _pad_id(model: Any, tokenizer: Any) -> int:
    """The tokenizer's pad token if it has an embedding and ends nothing, else another special token, else the
    first id, that does.
    """
    ends, embeddings = _end_ids(model, tokenizer), model.get_input_embeddings().weight.shape[0]
    candidates = [tokenizer.pad_token_id, *tokenizer.all_special_ids, *range(embeddings)]
    return next(i for i in candidates if i is not None and i < embeddings and i not in ends)


def trainable_tensors(model: nn.Module, prefix: str = "model") -> dict[str, torch.Tensor]:
    """The parameters that train, by name, for `RunDir.save_state`."""
    return {f"{prefix}.{name}": p for name, p in model.named_parameters() if p.requires_grad}


def load_tensors(model: nn.Module, tensors: dict[str, torch.Tensor], prefix: str = "model") -> None:
    """The inverse of `trainable_tensors`."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.requires_grad:
                p.copy_(tensors[f"{prefix}.{name}"])


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
        except ValueError:  # a published config may set a temperature and forget to sample; a changed one is not saved like that
            config.do_sample = True
    _save(policy.model, policy.tokenizer, Path(folder), card)


def save_reward_model(reward_model: RewardModel, folder: str | Path, *, card: str) -> None:
    """A sequence-classification folder. Mean and deviation of the scores lie in its config; of an adapter,
    which carries its head, beside it.
    """
    _save(reward_model.model, reward_model.tokenizer, Path(folder), card)


def _save(model: Any, tokenizer: Any, folder: Path, card: str) -> None:
    with write_whole(folder) as staging:
        if hasattr(model, "peft_config"):
            adapters.save(model, staging)
            base = adapters.bare(model).name_or_path
            notes = {"base": base, "from_here": os.path.relpath(base, folder)} if os.path.isabs(base) else {}
            notes |= {key: getattr(model.config, key) for key in reader.SCALE if hasattr(model.config, key)}
            (staging / reader.NOTES).write_text(json.dumps(notes), encoding="utf-8")
        else:
            model.save_pretrained(staging)
        tokenizer.save_pretrained(staging)
        (staging / "README.md").write_text(card, encoding="utf-8")
