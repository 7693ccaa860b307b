"""What every stage's settings are made of: `setting` itself, and the tables that many share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers that a setting may be; a bound that is None is none."""

    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None

    def __contains__(self, value: float) -> bool:
        return (
            (self.above is None or value > self.above)
            and (self.at_least is None or value >= self.at_least)
            and (self.below is None or value < self.below)
            and (self.at_most is None or value <= self.at_most)
        )

    def __bool__(self) -> bool:
        return self != Range()

    def __str__(self) -> str:
        """As it stands behind "a number" and in `--help`: "from 0 to below 1", "above 0", "from 2 to 9"."""
        if self.at_least is not None:
            top = "" if self.at_most is None else f" to {self.at_most:g}"
            return f"from {self.at_least:g}" + (top if self.below is None else f" to below {self.below:g}")
        bounds = {"above": self.above, "below": self.below, "at most": self.at_most}
        return " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None)


def setting(
    default: Any,
    help: str,
    names: str = "",
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
) -> Any:
    """One setting of a frozen, flat dataclass.

    Args:
        help: what `--help` prints.
        names: the kind of name that it is (`alignlab.names.known`), if it is one.
        above, at_least, below, at_most: the bounds of a number.
    """
    bounds = Range(above, at_least, below, at_most)
    return field(default=default, metadata={"help": help, "names": names, "range": bounds})


@dataclass(frozen=True, kw_only=True)
class OptimSettings:
    """AdamW with fp32 master weights, linear warm-up, then constant, linear or cosine decay."""

    lr: float = setting(
        1e-4,
        (
            "peak learning rate; the default is for models of the town, and another by method, size and "
            "LoRA for any other: --print-config says which"
        ),
        at_least=0,
    )
    schedule: Literal["constant", "linear", "cosine"] = setting("cosine", "decay after the warm-up")
    warmup: float = setting(
        0.05, "share of the steps over which the learning rate rises from 0", at_least=0, at_most=1
    )
    beta1: float = setting(0.9, "AdamW beta1", at_least=0, below=1)
    beta2: float = setting(0.98, "AdamW beta2", at_least=0, below=1)
    weight_decay: float = setting(
        0.01, "decoupled weight decay on matrices; none on norms and biases", at_least=0
    )
    max_grad_norm: float = setting(
        1.0, "gradients are clipped to this global norm; 0 = no clipping", at_least=0
    )


@dataclass(frozen=True, kw_only=True)
class AdapterSettings:
    """LoRA (Hu et al. 2021) through PEFT; rank 0 trains all weights."""

    rank: int = setting(0, "LoRA rank; 0 = full fine-tuning; 16 is usual", at_least=0)
    alpha: int = setting(32, "LoRA alpha: the update is scaled by alpha / rank", at_least=1)
    dropout: float = setting(0.0, "dropout on the adapter's input", at_least=0, below=1)
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
    threads: int = setting(0, "CPU threads; 0 = torch's own choice", at_least=0)
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
    shard: bool = setting(
        False,
        (
            "several processes (--devices N) hold a part each of the weights and what the optimizer keeps of "
            "them: sft, reward, dpo, orpo, simpo, and with --sampler rloo, grpo and ppo; in fp32, without "
            "an adapter"
        ),
    )


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    max_new_tokens: int = setting(
        48,
        "completions are cut here; a cut one counts as unfinished; the default is for models of the town",
        at_least=1,
    )
    temperature: float = setting(1.0, "0 = greedy", at_least=0)
    top_p: float = setting(1.0, "nucleus sampling; 1 = off", above=0, at_most=1)
    slots: int = setting(
        0,
        "sequences decoded side by side; a finished one gives its slot to the next; 0 = as many as is fast: "
        "256 for a model of up to 20 million parameters, 64 for a larger one",
        at_least=0,
    )


@dataclass(frozen=True, kw_only=True)
class EndpointSettings:
    """How to ask an OpenAI-compatible server. None of it changes the answers, so a run goes on with other
    values.
    """

    timeout: float = setting(120.0, "seconds one request may take as a whole", above=0)
    retries: int = setting(
        5,
        "further attempts after a late, cut, overloaded or senseless answer, each after a longer pause",
        at_least=0,
    )
    concurrency: int = setting(4, "requests at a time", at_least=1)
    max_requests: int = setting(
        0, "the run stops after so many requests, failed ones too; 0 = no bound", at_least=0
    )
    max_tokens: int = setting(
        0, "the run stops when prompts and completions have cost so many tokens; 0 = no bound", at_least=0
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


@dataclass(frozen=True, slots=True)
class Rates:
    """Learning rates for other people's models: of all weights of one below 5B parameters, from there, and
    from 30B on; and of a LoRA adapter.
    """

    small: float
    middle: float
    large: float
    lora: float


@dataclass(frozen=True, kw_only=True)
class Staged:
    """Of a command that works many stages."""

    workers: int = setting(
        0,
        "stages run side by side, one thread each; 0 = one for each core, 2 at most on this machine",
        at_least=0,
    )
    executor: str = setting(
        "local",
        "who works the stages: local (processes of this machine), ray (a cluster that RAY_ADDRESS names or "
        "that is begun here), or ray=HOST:PORT",
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
    "what is done with rows longer than max_length: start = the prompt is cut from the left, completions "
    "stay whole; end = the completion is cut at its end and gets "
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


@dataclass(frozen=True, kw_only=True)
class RolloutTraining(PromptTraining):
    """What every loop has that learns from each batch of its own completions at once. What is kept to look at
    changes nothing that is learnt.
    """

    sampler: str = setting(
        "",
        "who writes the completions: http://host:port/v1#model, a server of `alignlab serve MODEL --updates "
        "FOLDER` (--out lies below FOLDER) or vLLM; empty = the policy itself, in this process",
        names="endpoint",
    )
    staleness: int = setting(
        0,
        "1 = the completions of the next step are written beside the update, by the policy as it was before "
        "it; with --sampler, and with an importance_cap where the method has one",
        at_least=0,
        at_most=1,
    )
    keep_samples: Literal["all", "few"] = setting(
        "all",
        "completions that are kept in samples.jsonl: all until the file has 200 MB, or the few that a report "
        "shows of each step",
    )
    probes: int = setting(
        0,
        "prompts that are answered greedily as training goes on, the same ones each time; 0 = none",
        at_least=0,
    )
    probe_every: int = setting(2, "steps between two answers to the probes", at_least=1)
