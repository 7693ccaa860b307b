"""What every stage's settings are made of: `setting` itself, and the tables that many share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


def setting(
    default: Any, help: str, names: str = ""
) -> Any:  # a factory for mutable defaults is not needed: settings are frozen and flat
    """One setting; `names` is the kind of name that it is (`alignlab.names.known`), if it is one."""
    return field(default=default, metadata={"help": help, "names": names})


WIDE = 256
"""Sequences side by side, as suits a model of a million parameters: the more of them, the less each costs."""


@dataclass(frozen=True, kw_only=True)
class OptimSettings:
    """AdamW with fp32 master weights, linear warm-up, then constant, linear or cosine decay."""

    lr: float = setting(
        1e-4,
        (
            "peak learning rate; the default is for models of the town, and another by method, size and "
            "LoRA for any other: --print-config says which"
        ),
    )
    schedule: Literal["constant", "linear", "cosine"] = setting("cosine", "decay after the warm-up")
    warmup: float = setting(0.05, "share of the steps over which the learning rate rises from 0")
    beta1: float = setting(0.9, "AdamW beta1")
    beta2: float = setting(0.98, "AdamW beta2")
    weight_decay: float = setting(0.01, "decoupled weight decay on matrices; none on norms and biases")
    max_grad_norm: float = setting(1.0, "gradients are clipped to this global norm; 0 = no clipping")


@dataclass(frozen=True, kw_only=True)
class AdapterSettings:
    """LoRA (Hu et al. 2021) through PEFT; rank 0 trains all weights."""

    rank: int = setting(0, "LoRA rank; 0 = full fine-tuning; 16 is usual")
    alpha: int = setting(32, "LoRA alpha: the update is scaled by alpha / rank")
    dropout: float = setting(0.0, "dropout on the adapter's input")
    target: str = setting("all-linear", "modules that get an adapter, comma separated, or all-linear")


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    precision: Literal["auto", "fp32", "bf16"] = setting(
        "auto",
        (
            "auto = bf16 weights (fp32 masters) if the device multiplies bf16 natively and the model has "
            "over 20M parameters, else fp32"
        ),
    )
    device: str = setting("auto", "auto = cuda, then mps, then cpu")
    threads: int = setting(0, "CPU threads; 0 = torch's own choice")
    chat_template: str = setting(
        "", "a Jinja file, chatml or gemma, for a model without a chat template", names="chat-template"
    )
    download: bool = setting(
        False,
        (
            "whether the hub is asked for the base model that an adapter folder names, if it is not in the "
            "hub's local cache"
        ),
    )


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    max_new_tokens: int = setting(
        48, "completions are cut here; a cut one counts as unfinished; the default is for models of the town"
    )
    temperature: float = setting(1.0, "0 = greedy")
    top_p: float = setting(1.0, "nucleus sampling; 1 = off")
    slots: int = setting(64, "sequences decoded side by side; a finished one gives its slot to the next")


def wide(**more: Any) -> SamplingSettings:
    return SamplingSettings(slots=WIDE, **more)


@dataclass(frozen=True, kw_only=True)
class EndpointSettings:
    """How to ask an OpenAI-compatible server. None of it changes the answers, so a run goes on with other
    values.
    """

    timeout: float = setting(120.0, "seconds one request may take as a whole")
    retries: int = setting(
        5, "further attempts after a late, cut, overloaded or senseless answer, each after a longer pause"
    )
    concurrency: int = setting(4, "requests at a time")
    max_requests: int = setting(0, "the run stops after so many requests, failed ones too; 0 = no bound")
    max_tokens: int = setting(
        0, "the run stops when prompts and completions have cost so many tokens; 0 = no bound"
    )
    prefill: bool = setting(
        False,
        (
            "the server goes on from an answer that was begun for it (ours does, vLLM by "
            "continue_final_message): a red team may prefill through it"
        ),
    )
    key_env: str = setting(
        "ALIGNLAB_API_KEY",
        "environment variable that holds the key, which is written nowhere; not set = no key is sent",
    )


@dataclass(frozen=True, kw_only=True)
class Training:
    """What every stage that trains has."""

    tracker: str = setting(
        "",
        (
            "tensorboard, wandb or trackio, several by comma: each gets the metrics too; metrics.jsonl is "
            "the record"
        ),
        names="tracker",
    )


TRUNCATE_HELP = (
    "what is done with rows longer than max_length: start = the prompt is cut from the left, completions stay whole; end = the completion is cut at its end and gets "
    "no end token; drop = the row is left out. Counted and said before training"
)


@dataclass(frozen=True, kw_only=True)
class DataTraining(Training):
    """What every stage has that trains on completions from data."""

    truncate: Literal["start", "end", "drop"] = setting("start", TRUNCATE_HELP)
    anyway: bool = setting(
        False,
        (
            "train although more than half of the rows are lost to max_length, or so many that too few are "
            "left for one batch or for a held-out figure"
        ),
    )


@dataclass(frozen=True, kw_only=True)
class PromptTraining(Training):
    """What every stage has that trains on completions of its own."""

    truncate: Literal["start", "drop"] = setting(
        "start",
        "what is done with prompts longer than max_prompt_length: start = cut from the left; drop = left out",
    )
    anyway: bool = setting(
        False, "train although more than half of the prompts are lost to max_prompt_length"
    )
