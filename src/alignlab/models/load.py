"""Loading and saving models. Folders are untrusted: weights come from safetensors (or GGUF), no code of a folder is run, no pickle is opened."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import ModelError
from ..settings import AdapterSettings, ModelSettings
from . import chat
from .attention import use_plain_attention

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
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
        """Every token that ends a completion: the template's end of turn, the tokenizer's and the generation config's ends."""
        ends = getattr(self.model.generation_config, "eos_token_id", None)
        found = set(ends if isinstance(ends, (list, tuple)) else [ends]) | {self.tokenizer.eos_token_id}
        if getattr(self.tokenizer, "chat_template", None):
            found.add(chat.end_token_id(self.tokenizer))
        return frozenset(i for i in found if i is not None)

    @property
    def pad_id(self) -> int:
        """A valid id to fill arrays with; masks come from lengths, so it may be any."""
        pad = self.tokenizer.pad_token_id
        return pad if pad is not None else next(iter(self.end_ids), 0)

    @contextmanager
    def reference(self) -> Iterator[Any]:
        """The frozen reference: the policy with its adapter off."""
        with self.model.disable_adapter():
            yield self.model


@dataclass
class RewardModel:
    """A model with a scalar head; `mean` and `std` of its scores over its training completions are kept in the model's config."""

    model: Any
    tokenizer: Any
    name: str
    device: torch.device

    @property
    def mean(self) -> float:
        return float(getattr(self._config, "score_mean", 0.0))

    @property
    def std(self) -> float:
        return float(getattr(self._config, "score_std", 1.0))

    def normalise(self, mean: float, std: float) -> None:
        """Set mean and standard deviation, so that PPO, best-of-N and serving agree on the scale."""
        self._config.score_mean, self._config.score_std = mean, std

    @property
    def pad_id(self) -> int:
        pad = self.tokenizer.pad_token_id
        return pad if pad is not None else self.tokenizer.eos_token_id

    @property
    def _config(self) -> Any:
        return self.model.config


def check_folder(path: str | Path) -> None:
    """Raise ModelError for a model folder that is broken or not safe: code to run, pickled weights, no weights, no tokenizer."""
    folder = Path(path)
    if not (folder / "config.json").exists() and not (folder / "adapter_config.json").exists():
        raise ModelError(f"{folder} is not a model folder: it has no config.json", where=str(folder), remedy="name a folder that transformers wrote, or a hub name")
    names = [item.name for item in folder.iterdir()]
    pickles = [name for name in names if name.endswith(PICKLES) and "training_args" not in name]
    weights = [name for name in names if name.endswith(".safetensors")]
    if pickles and not weights:
        raise ModelError(f"the weights in {folder} are pickles ({pickles[0]}), which can run code when opened", where=str(folder / pickles[0]),
                         remedy="convert them to safetensors where you trust them, and delete the pickles")
    if not weights:
        raise ModelError(f"{folder} holds no weights (*.safetensors)", where=str(folder), remedy="copy the whole model folder")
    for name in ("config.json", "tokenizer_config.json", "adapter_config.json"):
        if (folder / name).exists():
            try:
                row = json.loads((folder / name).read_text(encoding="utf-8"))
            except ValueError as error:
                raise ModelError(f"not JSON: {error}", where=str(folder / name), remedy="copy the model folder again") from None
            if isinstance(row, dict) and "auto_map" in row:
                raise ModelError(f"{folder} wants to run code of its own (auto_map)", where=str(folder / name),
                                 remedy="only architectures that transformers knows are loaded; remove auto_map if it is one of them")
    if not any(name in names for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise ModelError(f"{folder} has no tokenizer", where=str(folder), remedy="save the tokenizer into the same folder")


def pick_device(settings: ModelSettings) -> torch.device:
    if settings.device != "auto":
        return torch.device(settings.device)
    return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bf16 natively: asked of it, not assumed."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    can = torch.cpu.get_capabilities()
    return bool(can.get("avx512_bf16") or can.get("amx_bf16") or can.get("bf16"))


def load_policy(ref: str | Path, settings: ModelSettings, adapter: AdapterSettings | None = None, *, trainable: bool = False) -> Policy:
    """A causal model from a folder, a PEFT adapter folder, a .gguf file or a hub name.

    Args:
        adapter: with rank above 0, a new LoRA adapter is put on (`trainable` models only).
        trainable: weights (or the adapter's) require gradients and the model is in training mode.

    Raises:
        ModelError: exit code 4, with what is wrong with the folder.
    """
    model, tokenizer, device = _load(ref, settings, kind="causal", trainable=trainable)
    if trainable and adapter is not None and adapter.rank:
        model = _add_adapter(model, adapter, task="CAUSAL_LM")
    return Policy(model, tokenizer, str(ref), device)


def load_reward_model(ref: str | Path, settings: ModelSettings, *, adapter: AdapterSettings | None = None, init_head: bool = False,
                      trainable: bool = False) -> RewardModel:
    """A model with a scalar head named `score` (AutoModelForSequenceClassification, num_labels = 1).

    Args:
        init_head: the folder holds a causal model and gets a new head, N(0, 1 / (hidden + 1)) (Huang et al. 2024, detail 11).

    Raises:
        ModelError: also for a folder without a head where one is needed.
    """
    model, tokenizer, device = _load(ref, settings, kind="reward", trainable=trainable, init_head=init_head)
    if trainable and adapter is not None and adapter.rank:
        model = _add_adapter(model, adapter, task="SEQ_CLS")
    return RewardModel(model, tokenizer, str(ref), device)


def _load(ref: str | Path, settings: ModelSettings, *, kind: str, trainable: bool, init_head: bool = False) -> tuple[Any, Any, torch.device]:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    device = pick_device(settings)
    path = Path(ref)
    common: dict[str, Any] = {"trust_remote_code": False}
    source: str | Path = ref
    base, extra = ref, {}
    if path.suffix == ".gguf":
        source, extra = path.parent, {"gguf_file": path.name}
        if not path.exists():
            raise ModelError(f"there is no file {path}", remedy="check the path given to --model")
    elif path.is_dir():
        check_folder(path)
        if (path / "adapter_config.json").exists():
            base = json.loads((path / "adapter_config.json").read_text())["base_model_name_or_path"]
            if Path(base).is_dir():
                check_folder(base)
            source = base
    elif str(ref).startswith((".", "/")) or str(ref).count("/") != 1:
        raise ModelError(f"there is no model {ref!s}", remedy="town, a run folder, a model folder, a .gguf file, or a hub name like owner/name")
    try:
        tokenizer = AutoTokenizer.from_pretrained(path if path.is_dir() and (path / "tokenizer.json").exists() else source, **common, **extra)
        weights = {**common, **extra} if extra else {**common, "use_safetensors": True}
        if extra:
            from transformers import GgufConfig

            weights["quantization_config"] = GgufConfig(dequantize=True)
        if kind == "causal":
            model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, **weights)
        elif init_head:
            config = AutoConfig.from_pretrained(source, num_labels=1, **common, **extra)
            model = AutoModelForSequenceClassification.from_pretrained(source, config=config, dtype=torch.float32, **weights)
        else:
            model, found = AutoModelForSequenceClassification.from_pretrained(source, dtype=torch.float32, num_labels=1, output_loading_info=True, **weights)
            if any("score" in name for name in found["missing_keys"]) and not (path / "adapter_config.json").exists():
                raise ModelError("the model has no scalar head", where=str(ref), remedy="make a reward model with `alignlab reward`")
    except ModelError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"cannot load the model: {str(error).splitlines()[0]}", where=str(ref),
                         remedy="a folder in transformers' layout, a hub name that is in the local cache, or a network") from error
    except Exception as error:  # safetensors' and tokenizers' own exception types
        raise ModelError(f"the model folder is broken: {error}", where=str(ref), remedy="copy or download it again") from error
    if settings.chat_template:
        chat.install_template(tokenizer, settings.chat_template)
    if kind == "reward":
        if init_head:
            generator = torch.Generator().manual_seed(0)
            with torch.no_grad():
                model.score.weight.copy_(torch.randn(model.score.weight.shape, generator=generator) / (model.score.weight.shape[1] + 1) ** 0.5)
        model.config.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    if path.is_dir() and (path / "adapter_config.json").exists():
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(path), is_trainable=trainable)
    bf16 = settings.precision == "bf16" or (
        settings.precision == "auto" and multiplies_bf16(device) and sum(p.numel() for p in model.parameters()) > BIG)
    model = model.to(device=device, dtype=torch.bfloat16 if bf16 else torch.float32)
    use_plain_attention(model.get_base_model() if hasattr(model, "get_base_model") else model)
    model.train(trainable)
    if not hasattr(model, "peft_config"):
        model.requires_grad_(trainable)
    return model, tokenizer, device


def _add_adapter(model: nn.Module, adapter: AdapterSettings, *, task: str) -> Any:
    from peft import LoraConfig, get_peft_model

    target = adapter.target if adapter.target == "all-linear" else [name.strip() for name in adapter.target.split(",")]
    config = LoraConfig(r=adapter.rank, lora_alpha=adapter.alpha, lora_dropout=adapter.dropout, target_modules=target, task_type=task,
                        modules_to_save=["score"] if task == "SEQ_CLS" else None, exclude_modules=["score"] if task == "SEQ_CLS" else None)
    return get_peft_model(model, config)


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
    """A folder that transformers (or PEFT, for an adapter) loads: weights as safetensors, tokenizer, chat template, card."""
    _save(policy.model, policy.tokenizer, Path(folder), card)


def save_reward_model(reward_model: RewardModel, folder: str | Path, *, card: str) -> None:
    """A sequence-classification folder; an adapter carries its head, and mean and deviation of the scores lie in the config."""
    _save(reward_model.model, reward_model.tokenizer, Path(folder), card)


def _save(model: Any, tokenizer: Any, folder: Path, card: str) -> None:
    staging = folder.with_name(folder.name + ".partial")
    shutil.rmtree(staging, ignore_errors=True)
    model.save_pretrained(staging)
    if hasattr(model, "peft_config"):
        model.config.save_pretrained(staging)
    tokenizer.save_pretrained(staging)
    (staging / "README.md").write_text(card, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    staging.rename(folder)
