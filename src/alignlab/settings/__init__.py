"""Every setting of every stage, with its default, its meaning and where the default comes from.

Plain frozen dataclasses that import nothing heavy: the command line, TOML files and `--print-config` are made
from them (`alignlab.config`), and a test fails on a field that nobody reads. The docstring-like `help` is
what `--help` prints.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


def setting(
    default: Any, help: str, names: str = ""
) -> Any:  # a factory for mutable defaults is not needed: settings are frozen and flat
    """One setting; `names` is the kind of name that it is (`alignlab.names.known`), if it is one."""
    return field(default=default, metadata={"help": help, "names": names})


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


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    max_new_tokens: int = setting(
        48, "completions are cut here; a cut one counts as unfinished; the default is for models of the town"
    )
    temperature: float = setting(1.0, "0 = greedy")
    top_p: float = setting(1.0, "nucleus sampling; 1 = off")
    slots: int = setting(64, "sequences decoded side by side; a finished one gives its slot to the next")


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
class PretrainSettings(Training):
    size: Literal["s", "m", "l"] = setting("m", "shape of the model, see `alignlab.town.shapes`")
    tokens: int = setting(20_000_000, "tokens to train on")
    context: int = setting(128, "tokens a row")
    batch: int = setting(8, "rows a step")
    vocabulary: int = setting(1536, "size of the byte-pair vocabulary, trained first")
    optim: OptimSettings = field(
        default_factory=lambda: OptimSettings(lr=2e-3, warmup=0.02, weight_decay=0.1)
    )
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class CriticSettings(Training):
    """A base model reads on: columns of an editor who works under a given principle (the tiny model's
    counterpart of few-shot prompts).
    """

    tokens: int = setting(1_200_000, "tokens to train on")
    keep: float = setting(
        0.1, "share of them, at least, from the documents that it was made of, so that it does not forget"
    )
    context: int = setting(
        256, "tokens a row: whole documents as far as they fit, then the beginning of one that is kept"
    )
    batch: int = setting(8, "rows a step")
    cases: int = setting(
        200,
        "drafts on which it is measured, on each of seen and held-out topics and phrasings; 0 = not measured",
    )
    optim: OptimSettings = field(default_factory=lambda: OptimSettings(lr=1.5e-3, weight_decay=0.1))
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class SFTSettings(DataTraining):
    """Supervised fine-tuning on completion tokens only (InstructGPT, section 3.5)."""

    epochs: float = setting(2.0, "passes over the demonstrations")
    batch: int = setting(16, "demonstrations a step")
    micro_batch: int = setting(0, "demonstrations a forward pass; 0 = the whole batch")
    max_length: int = setting(
        512,
        "tokens; truncate says what becomes of a longer demonstration; the default is for models of the town",
    )
    truncate: Literal["start", "end", "drop"] = setting("end", TRUNCATE_HELP)
    packing: bool = setting(False, "several demonstrations a row, attention kept apart")
    train_on: Literal["last", "all"] = setting("last", "assistant turns that carry the loss")
    held_out: float = setting(0.05, "share of the prompts kept for the held-out loss")
    optim: OptimSettings = field(default_factory=lambda: OptimSettings(lr=7e-4))
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class CollectSettings:
    """K completions a prompt, ranked by an annotator (InstructGPT: K from 4 to 9)."""

    per_prompt: int = setting(4, "K: completions ranked together, 2 to 9")
    from_others: float = setting(
        0.4, "share of the completions taken from other sources where the data has them"
    )
    held_out: float = setting(0.15, "share of the prompts whose rankings are kept for testing")
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class HumanSettings:
    """Demonstrations that people wrote into a file."""

    who: str = setting(
        "", "who wrote the answers whose row does not say; an answer that nobody signs is rejected"
    )
    when: str = setting("", "the date of the answers whose row does not say")
    source: str = setting("", "where the answers come from (a project, a contract), if the row does not say")
    min_words: int = setting(1, "a shorter answer is rejected")
    max_words: int = setting(1000, "a longer answer is rejected")


@dataclass(frozen=True, kw_only=True)
class CrowdSettings:
    """Several writers a prompt, reviewers who vote, and an adjudicator."""

    writers: str = setting(
        "town:careful,town:ordinary,town:hasty",
        "who writes, comma separated: people of the town, or data with answers to the prompts",
        names="writers",
    )
    reviewers: str = setting(
        "town:fair,town:noisy,town:careless",
        "who votes, comma separated: annotators of the town, or reward:RUN",
        names="annotators",
    )
    adjudicator: str = setting("town:fair", "who decides where the vote does not", names="annotator")
    majority: float = setting(0.6, "share of the votes that settles a prompt without the adjudicator")


@dataclass(frozen=True, kw_only=True)
class DistilSettings:
    """Demonstrations by a stronger model (temperature 0.7 as in Self-Instruct's and Alpaca's answers)."""

    per_prompt: int = setting(1, "answers a prompt; of several the judge's favourite is kept")
    sampling: SamplingSettings = field(default_factory=lambda: SamplingSettings(temperature=0.7))
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class SelfInstructSettings:
    """Requests and answers by the model itself (Wang et al. 2022, section 2.2 and appendix A)."""

    demonstrations: int = setting(500, "stop when so many are kept")
    rounds: int = setting(50, "stop after so many rounds in any case")
    batch: int = setting(64, "requests asked for in a round; a request of form chat asks for 8")
    seeds: int = setting(175, "seed tasks, the first of the data (Wang et al.: 175)")
    examples: int = setting(
        2, "tasks shown before a new one; Wang et al. show 8, a small model has no room for so many"
    )
    from_generated: float = setting(
        0.25, "share of the tasks shown that the model made itself (Wang et al.: 2 of 8)"
    )
    form: Literal["continue", "chat"] = setting(
        "continue",
        (
            "continue = a document of questions and answers, for a base model; chat = a message, for one "
            "that chats"
        ),
    )
    similarity: float = setting(
        0.7,
        (
            "a request whose ROUGE-L with any other is at least this is rejected (Wang et al.: 0.7); 1 = "
            "only the same words"
        ),
    )
    min_words: int = setting(3, "a shorter request is rejected")
    max_words: int = setting(150, "a longer request is rejected (Wang et al.: 150)")
    blocked: str = setting(
        "image images picture pictures graph graphs file files plot",
        "a request with one of these words is rejected: no model of text can do it",
    )
    answer_temperature: float = setting(
        0.0, "temperature of the answers (Wang et al.: 0); sampling.temperature is that of the requests"
    )
    sampling: SamplingSettings = field(default_factory=lambda: SamplingSettings(temperature=0.7))
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class ChainSettings:
    """Draft, critique, revision (Bai et al. 2022, section 3.1)."""

    rounds: int = setting(
        4, "critiques and revisions of a draft, 1 to 4, each under another principle (Bai et al.: 4)"
    )
    critique: bool = setting(True, "false = the revision is asked for at once (Bai et al., section 3.5)")
    tags: str = setting(
        "harmless", "principles with one of these tags are drawn from, comma separated; empty = all"
    )
    principle: str = setting("", "the id of a principle that alone is used; empty = they are drawn")
    form: Literal["auto", "document", "dialogue"] = setting(
        "auto",
        (
            "how the critic is asked: document = a text that it continues, for the town's base models; "
            "dialogue = chat messages; auto = what it can read"
        ),
    )
    max_repetition: float = setting(
        0.5,
        (
            "a revision is dropped if more than this share of its three-word sequences were there before in "
            "it, and in its draft fewer"
        ),
    )
    judge_bar: float = setting(
        0.5, "with a judge: a revision is dropped if the probability that it beats its draft is below this"
    )
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    critic_sampling: SamplingSettings = field(default_factory=lambda: SamplingSettings(max_new_tokens=96))
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class ReviseSettings(ChainSettings):
    """The demonstrations of SL-CAI: revisions of answers to red-team prompts, and helpful answers (Bai et al.
    2022, sections 3.1 and 3.2).
    """

    chunk: int = setting(
        256, "prompts between two points from which a run goes on, each of its rounds by itself"
    )
    helpful_count: int = setting(
        4000,
        (
            "harmless prompts (--helpful) whose answers by the author are mixed in (Bai et al.: 135,296, "
            "beside 182,831 red-team prompts)"
        ),
    )
    helpful_temperature: float = setting(
        0.7,
        (
            "temperature of those answers (Bai et al.: 1; the town's authors lose less of their helpfulness "
            "at 0.7)"
        ),
    )


@dataclass(frozen=True, kw_only=True)
class WalkSettings(ChainSettings):
    """Draft, critique and revision to look at."""

    seed: int = setting(0, "all sampling and every principle follow from it")


@dataclass(frozen=True, kw_only=True)
class AIJudgeSettings:
    """How an AI judge labels a pair of answers (Bai et al. 2022, section 4.1)."""

    principles: int = setting(
        0,
        (
            "principles that judge a pair, drawn by the seed; 0 = all of those with one of the tags (Bai et "
            "al.: one of 16, or an ensemble)"
        ),
    )
    tags: str = setting("harmless", "principles with one of these tags, comma separated; empty = all")
    ask: Literal["verdict", "each"] = setting(
        "verdict",
        (
            "verdict = which of the two, by the probabilities of (A) and (B); each = both are read one by "
            "one, by the probability that the judge finds them fine"
        ),
    )
    orders: Literal["both", "one"] = setting(
        "both",
        "both = each pair is shown in both orders and the log-odds averaged; one = as it comes: an ablation",
    )
    cot: bool = setting(
        False,
        "the judge thinks aloud first; its labels then stay between 0.4 and 0.6 (Bai et al., section 4.3)",
    )
    form: Literal["auto", "document", "dialogue"] = setting(
        "auto",
        (
            "how the judge is asked: document = a text that it continues, for the town's base models; "
            "dialogue = chat messages; auto = what it can read"
        ),
    )
    chunk: int = setting(256, "prompts or pairs between two points from which a run goes on")
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class LabelSettings(AIJudgeSettings):
    """Pairs of a policy's answers and the soft labels of an AI judge: what the preference model of RL-CAI
    learns from.
    """

    samples: int = setting(4, "answers a prompt, of which two different ones are compared")
    labels: Literal["soft", "hard"] = setting(
        "soft", "soft = the probability itself; hard = 0 or 1, whichever is nearer: an ablation"
    )
    temperature: float = setting(
        1.0,
        (
            "the labels' log-odds are divided by it; 0 = fitted to --gold on half of the held-out prompts "
            "(Guo et al. 2017)"
        ),
    )
    certain: float = setting(
        0.0,
        (
            "pairs whose label is nearer than this to one half are not learnt from: where the principles "
            "decide nothing, one half teaches that nothing else matters either"
        ),
    )
    held_out: float = setting(0.15, "share of the prompts whose pairs are kept for testing")
    sampling: SamplingSettings = field(default_factory=SamplingSettings)


@dataclass(frozen=True, kw_only=True)
class BehaviourSettings(AIJudgeSettings):
    """Two constitutions on the same pairs, and two models on the same prompts."""

    prompts: int = setting(400, "prompts that two models answer, greedily")
    sampling: SamplingSettings = field(default_factory=lambda: SamplingSettings(temperature=0.0))


@dataclass(frozen=True, kw_only=True)
class RewardSettings(DataTraining):
    """Scalar head on the SFT model, Bradley-Terry loss (InstructGPT, equation 1)."""

    epochs: float = setting(1.0, "passes over the rankings; InstructGPT: more than one overfits")
    batch: int = setting(8, "prompts a step, each with all its pairs")
    micro_batch: int = setting(0, "prompts a forward pass; 0 = the whole batch")
    max_length: int = setting(
        512,
        (
            "tokens of prompt and completion; truncate says what becomes of longer ones; the default is for "
            "models of the town"
        ),
    )
    center: float = setting(0.0, "weight of mean((chosen + rejected)^2); 0.01 keeps scores near 0")
    margins: Literal["none", "data", "ranks", "scores"] = setting(
        "data",
        "how much better the better one has to be (Llama 2, equation 2): data = its margin column, if it has one (as TRL); ranks = places apart / (K - 1), "
        "with K = 4 Llama 2's thirds; scores = the difference of the scores that the data was ranked by",
    )
    margin_scale: float = setting(1.0, "margins are multiplied by this; Llama 2: 1 (small) or 3 (large)")
    ties: Literal["drop", "rao_kupper", "davidson"] = setting(
        "drop",
        (
            "pairs of equal rank: left out, or learnt from (Rao and Kupper 1967: a difference below a "
            "threshold; Davidson 1970: ratios of worths kept)"
        ),
    )
    tie_rate: float = setting(0.0, "share of ties between two equally good completions; 0 = learnt along")
    label_smoothing: float = setting(0.0, "share of labels taken to be wrong")
    noise: Literal["smoothing", "flip", "learnt"] = setting(
        "smoothing",
        (
            "how that share enters: label smoothing; flip = a label is turned round with this probability, "
            "in the likelihood; learnt = flip, the share learnt along"
        ),
    )
    annotators: Literal["alike", "reliability"] = setting(
        "alike", "reliability = a flip rate for each annotator, learnt along (CrowdBT, Chen et al. 2013)"
    )
    label_lr: float = setting(
        0.05, "learning rate of what is learnt about labels: tie rate, flip rate, reliabilities"
    )
    safety: float = setting(
        0.0,
        (
            "weight of the sign term on safe / unsafe labels (Safe RLHF: 1): the result is a cost model, "
            "its cost the negative score; 0 = off"
        ),
    )
    members: int = setting(
        1, "an ensemble of this many, alike but for head and order of the data (Coste et al. 2023: 5)"
    )
    bootstrap: bool = setting(
        False, "train on as many prompts drawn with replacement, another draw for each member"
    )
    held_out: float = setting(0.15, "share of the prompts kept for testing, if the data is not split already")
    optim: OptimSettings = field(default_factory=lambda: OptimSettings(lr=5e-4))
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class PairSettings(DataTraining):
    """What the methods that learn from comparisons directly share: DPO, ORPO and SimPO."""

    epochs: float = setting(1.0, "passes over the comparisons")
    batch: int = setting(16, "comparisons a step")
    micro_batch: int = setting(0, "comparisons a forward pass; 0 = the whole batch")
    max_length: int = setting(
        512,
        (
            "tokens of prompt and completion; truncate says what becomes of longer ones; the default is for "
            "models of the town"
        ),
    )
    pairs_per_prompt: int = setting(0, "comparisons taken from each ranking; 0 = all")
    held_out: float = setting(
        0.05, "share of the prompts kept for the held-out accuracy, if the data is not split already"
    )
    optim: OptimSettings = field(default_factory=lambda: OptimSettings(lr=5e-5))
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class DPOSettings(PairSettings):
    """Direct preference optimisation (Rafailov et al. 2023, equation 7)."""

    beta: float = setting(
        0.1,
        (
            "temperature of the implicit reward: how dear it is to leave the reference; with sigmoid_norm a "
            "reward a token (Tulu 3: 5)"
        ),
    )
    loss_type: Literal["sigmoid", "sigmoid_norm", "hinge", "ipo", "robust"] = setting(
        "sigmoid",
        "loss on the margin of implicit rewards; sigmoid_norm divides each by its completion's length",
    )
    label_smoothing: float = setting(
        0.0, "share of labels taken to be wrong, for sigmoid, sigmoid_norm and robust"
    )


@dataclass(frozen=True, kw_only=True)
class KTOSettings(DataTraining):
    """Kahneman-Tversky optimisation on completions that were liked or not (Ethayarajh et al. 2024, equation
    8).
    """

    beta: float = setting(0.1, "temperature of the implicit reward; Ethayarajh et al.: 0.1")
    desirable_weight: float = setting(
        0.0,
        (
            "lambda_D; 0 = 1, or what brings (lambda_D liked) / (lambda_U disliked) into 1 to 4/3, as the "
            "paper advises"
        ),
    )
    undesirable_weight: float = setting(1.0, "lambda_U")
    epochs: float = setting(1.0, "passes over the completions")
    batch: int = setting(32, "completions a step, 2 or more: the KL baseline is estimated within it")
    micro_batch: int = setting(0, "completions a forward pass; 0 = the whole batch")
    max_length: int = setting(
        512,
        (
            "tokens of prompt and completion; truncate says what becomes of longer ones; the default is for "
            "models of the town"
        ),
    )
    held_out: float = setting(
        0.05, "share of the prompts kept for the held-out accuracy, if the data is not split already"
    )
    optim: OptimSettings = field(default_factory=lambda: OptimSettings(lr=5e-5))
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class ORPOSettings(PairSettings):
    """Odds-ratio preference optimisation, which needs no reference (Hong et al. 2024, equation 6)."""

    beta: float = setting(
        0.1,
        (
            "lambda of the paper (TRL: beta): weight of the odds-ratio term beside the chosen completion's "
            "likelihood"
        ),
    )


@dataclass(frozen=True, kw_only=True)
class SimPOSettings(PairSettings):
    """Simple preference optimisation, which needs no reference (Meng et al. 2024, equation 6)."""

    beta: float = setting(
        2.0, "scales the reward, the mean log-probability of a token; Meng et al.: 2 to 2.5"
    )
    gamma: float = setting(1.0, "margin between the rewards that is aimed for; Meng et al.: 0.3 to 1.6")


@dataclass(frozen=True, kw_only=True)
class PPOSettings(PromptTraining):
    """PPO with a KL penalty against the SFT model (InstructGPT, equation 2; Schulman et al. 2017)."""

    steps: int = setting(48, "rollout batches")
    rollouts: int = setting(64, "completions a step")
    per_prompt: int = setting(
        1, "completions a prompt; they stay side by side in a minibatch, where they share it"
    )
    epochs: int = setting(4, "passes over each batch of rollouts")
    minibatch: int = setting(16, "completions an optimiser update")
    micro_batch: int = setting(0, "completions a forward pass; 0 = the whole minibatch")
    kl_coef: float = setting(0.05, "weight of the KL penalty in the reward")
    kl_target: float = setting(
        0.0, "nats a completion that an adaptive kl_coef steers for; 0 = fixed (Ziegler et al. 2019: 6)"
    )
    kl_horizon: int = setting(10_000, "completions over which the adaptive kl_coef reacts")
    cliprange: float = setting(0.2, "clip of the probability ratio")
    importance_cap: float = setting(
        0.0,
        "tokens are weighted by trainer over sampler probability, at most this (Yao et al. 2025: 2); 0 = off",
    )
    cliprange_value: float = setting(0.2, "clip of the value against the old value")
    vf_coef: float = setting(
        0.1,
        (
            "scales the value model's gradient; with an optimiser of its own, that only moves where "
            "max_grad_norm clips"
        ),
    )
    gamma: float = setting(1.0, "discount")
    lam: float = setting(0.95, "lambda of generalised advantage estimation")
    whiten_advantages: bool = setting(True, "advantages to mean 0 and variance 1 over the batch")
    whiten_rewards: bool = setting(False, "rewards to variance 1 over the batch, mean kept")
    normalize_scores: bool = setting(
        True, "scores standardised with the mean and deviation saved in the reward model"
    )
    score_clip: float = setting(5.0, "scores are clipped to plus and minus this after normalisation; 0 = off")
    missing_end_penalty: float = setting(
        1.0, "taken from the score of a completion that did not end by itself"
    )
    cost_limit: float = setting(
        0.02, "what the mean cost is to stay below, with --cost: a share of unsafe completions, or a score"
    )
    cost_kind: Literal["chance", "score"] = setting(
        "chance",
        (
            "chance = sigmoid of the cost model's score, the probability of being unsafe; score = as it is "
            "(Safe RLHF), moved by how safe the safe ones are"
        ),
    )
    lambda_start: float = setting(1.0, "the price of cost at the beginning (Safe RLHF: 1)")
    lambda_lr: float = setting(
        4.0,
        (
            "step of ln lambda: lr * lambda * (mean cost - limit); chances are small, so it is large (Safe "
            "RLHF on scores: 0.04 to 0.1)"
        ),
    )
    lambda_max: float = setting(10.0, "the price rises no further")
    target_kl: float = setting(
        0.0, "stop the epochs of a step when approx_kl (k3) against the old policy exceeds this; 0 = never"
    )
    value_lr: float = setting(0.0, "learning rate of the value model; 0 = that of the policy")
    ptx_coef: float = setting(
        0.0, "weight of the language-modelling loss on pretraining text (PPO-ptx); InstructGPT: 27.8"
    )
    ptx_batch: int = setting(8, "pretraining rows mixed into each optimiser update when ptx_coef is not 0")
    gold_every: int = setting(1, "steps between looks at the gold judge, where one is known")
    max_prompt_length: int = setting(512, "tokens; truncate says what becomes of a longer prompt")
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    optim: OptimSettings = field(
        default_factory=lambda: OptimSettings(lr=1.5e-4, schedule="constant", weight_decay=0.0)
    )
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class GroupSettings(PromptTraining):
    """Policy gradients with a baseline from the completions of a batch; no value model. What RLOO, REINFORCE,
    GRPO and Dr. GRPO share.
    """

    steps: int = setting(48, "rollout batches")
    rollouts: int = setting(64, "completions a step")
    per_prompt: int = setting(
        4,
        "completions a prompt, compared with each other (Ahmadian et al. 2024: 2 to 4; Shao et al. 2024: 64)",
    )
    epochs: int = setting(
        1, "passes over each batch of rollouts; with more than one, or with minibatches, the ratio is clipped"
    )
    minibatch: int = setting(0, "completions an optimiser update; 0 = all of the step")
    micro_batch: int = setting(0, "completions a forward pass; 0 = the whole minibatch")
    kl_coef: float = setting(
        0.05, "weight of the KL penalty (TRL calls it beta); 0 = none, and no reference is asked"
    )
    epsilon: float = setting(0.2, "clip of the probability ratio (Schulman et al. 2017)")
    epsilon_high: float = setting(
        0.0, "another clip above 1; 0 = epsilon (Yu et al. 2025, clip-higher: 0.28)"
    )
    ratio_level: Literal["token", "sequence"] = setting(
        "token",
        (
            "whose probability ratio is clipped; sequence = the completion's, to the power 1 / length "
            "(GSPO, Zheng et al. 2025, epsilon 3e-4, epsilon_high 4e-4)"
        ),
    )
    importance_cap: float = setting(
        2.0,
        "tokens are weighted by trainer over sampler probability, at most this (Yao et al. 2025); 0 = off",
    )
    normalize_scores: bool = setting(
        True, "scores standardised with the mean and deviation saved in the reward model"
    )
    score_clip: float = setting(5.0, "scores are clipped to plus and minus this after normalisation; 0 = off")
    missing_end_penalty: float = setting(
        1.0, "taken from the score of a completion that did not end by itself"
    )
    gold_every: int = setting(1, "steps between looks at the gold judge, where one is known")
    max_prompt_length: int = setting(512, "tokens; truncate says what becomes of a longer prompt")
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    optim: OptimSettings = field(
        default_factory=lambda: OptimSettings(lr=1.5e-4, schedule="constant", weight_decay=0.0)
    )
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


KLPenalty = Literal["k1_in_reward", "k3_in_loss", "k2_in_loss"]
LossMean = Literal["sequence", "token", "constant"]
KL_HELP = (
    "k1 in the reward, or an estimate added to the loss: k3 as GRPO has it (its gradient is that of "
    "KL(reference || policy)), or k2"
)
MEAN_HELP = (
    "a completion's tokens share one weight (GRPO), all tokens weigh alike (DAPO), or each weighs 1 / "
    "max_new_tokens (Dr. GRPO: the policy gradient)"
)


@dataclass(frozen=True, kw_only=True)
class RLOOSettings(GroupSettings):
    """REINFORCE with leave-one-out (Ahmadian et al. 2024) or with the batch mean as baseline (Williams 1992)."""

    advantage: Literal["rloo", "reinforce"] = setting(
        "rloo", "baseline: the mean of the prompt's other completions, or of the batch"
    )
    kl_penalty: KLPenalty = setting("k1_in_reward", KL_HELP)
    loss_mean: LossMean = setting("constant", MEAN_HELP)


@dataclass(frozen=True, kw_only=True)
class GRPOSettings(GroupSettings):
    """Group relative policy optimisation (Shao et al. 2024) and Dr. GRPO (Liu et al. 2025), without its two
    biases.
    """

    advantage: Literal["grpo", "dr_grpo"] = setting(
        "grpo", "score less the group's mean, divided by the group's deviation (grpo) or not (dr_grpo)"
    )
    kl_penalty: KLPenalty = setting("k3_in_loss", KL_HELP)
    loss_mean: Literal["auto", "sequence", "token", "constant"] = setting(
        "auto", MEAN_HELP + "; auto = sequence for grpo, constant for dr_grpo"
    )


@dataclass(frozen=True, kw_only=True)
class OnlineDPOSettings(PromptTraining):
    """DPO on pairs that the policy writes and a judge compares while it learns (Guo et al. 2024; Calandriello
    et al. 2024).
    """

    steps: int = setting(48, "batches of prompts, an optimiser update each")
    prompts: int = setting(32, "prompts a step, one comparison each")
    per_prompt: int = setting(2, "completions a prompt; of more than two the best is set against the worst")
    ask: Literal["score", "compare"] = setting(
        "score", "the judge scores each completion, or compares the two of a prompt"
    )
    micro_batch: int = setting(0, "comparisons a forward pass; 0 = the whole batch")
    beta: float = setting(0.1, "temperature of the implicit reward: how dear it is to leave the reference")
    loss_type: Literal["sigmoid", "hinge", "ipo"] = setting(
        "sigmoid", "loss on the margin of implicit rewards (Guo et al. 2024: all three)"
    )
    unfinished_loses: bool = setting(
        True, "a completion that was cut loses against one that ended, whatever the judge says"
    )
    normalize_scores: bool = setting(
        True, "scores standardised with the mean and deviation saved in the reward model"
    )
    gold_every: int = setting(1, "steps between looks at the gold judge, where one is known")
    max_prompt_length: int = setting(512, "tokens; truncate says what becomes of a longer prompt")
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    optim: OptimSettings = field(
        default_factory=lambda: OptimSettings(lr=5e-5, schedule="constant", weight_decay=0.0)
    )
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class RejectionSettings(PromptTraining):
    """Rounds of sampling, scoring and SFT on the best (Touvron et al. 2023, section 3.2.3; Dong et al. 2023,
    RAFT).
    """

    rounds: int = setting(3, "times that the policy is sampled and then trained on its best completions")
    prompts: int = setting(500, "prompts a round")
    n: int = setting(8, "completions a prompt, of which the best is kept (Dong et al. 2023: 8 to 32)")
    top_share: float = setting(
        1.0, "share of the prompts, those with the highest scores, whose best is learnt; 1 = all"
    )
    keep_earlier: bool = setting(
        False,
        (
            "the best of all earlier rounds stay in the pool (Touvron et al. 2023 found that forgetting "
            "them cost abilities)"
        ),
    )
    epochs: float = setting(1.0, "passes over the best of a round")
    batch: int = setting(16, "completions an optimiser update")
    micro_batch: int = setting(0, "completions a forward pass; 0 = the whole batch")
    normalize_scores: bool = setting(
        True, "scores standardised with the mean and deviation saved in the reward model"
    )
    max_prompt_length: int = setting(512, "tokens; truncate says what becomes of a longer prompt")
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    optim: OptimSettings = field(default_factory=lambda: OptimSettings(lr=2e-4, schedule="constant"))
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class BestOfNSettings:
    """The best of N samples by the reward model; no training (Stiennon et al. 2020)."""

    n: int = setting(4, "samples the answer is picked from")
    curve_max: int = setting(
        0, "draw proxy and gold against N up to this many samples a prompt, at temperature 1; 0 = only n"
    )
    curve_prompts: int = setting(200, "prompts of that curve")
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class EvalSettings:
    prompts: int = setting(1000, "held-out prompts, the same for every model")
    sampled: bool = setting(True, "also at temperature 1")
    sampling: SamplingSettings = field(default_factory=lambda: SamplingSettings(temperature=0.0))
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class LikelihoodSettings:
    """What a model makes of held-out text."""

    max_length: int = setting(
        512, "tokens; a longer record is dropped and counted; the default is for models of the town"
    )
    held_out: float = setting(
        1.0,
        (
            "share of the prompts that is measured: with the same --seed those that a stage with this "
            "held_out kept for testing; 1 = all"
        ),
    )
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class ShiftSettings:
    """A reward model's accuracy on what policies write."""

    prompts: int = setting(400, "held-out prompts, the same for every policy")
    per_prompt: int = setting(4, "completions a prompt, compared in pairs")
    best_of: str = setting(
        "4,16", "also the best of so many samples of the reference, comma separated; empty = none"
    )
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class ChatSettings:
    seed: int = setting(
        0, "all sampling follows from it: the same seed and the same lines give the same conversation"
    )
    sampling: SamplingSettings = field(
        default_factory=lambda: SamplingSettings(max_new_tokens=96, temperature=0.7)
    )
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    host: str = setting("127.0.0.1", "address to bind; 0.0.0.0 lets other machines in, and needs a key")
    allowed_hosts: str = setting(
        "",
        (
            "names by which clients may call it besides its address, by comma: what a Host or Origin header "
            "may say"
        ),
    )
    port: int = setting(8000, "port to bind; 0 = any free one, which the first line names")
    api_key_env: str = setting(
        "", "environment variable that holds the key clients must send; empty = none is asked for"
    )
    max_new_tokens: int = setting(
        1024,
        "most tokens of a completion, whatever the client asks for; of a chat also where it names no limit",
    )
    context: int = setting(4096, "most tokens of a prompt and its completion; 0 = as many as the model reads")
    stop: str = setting(
        "", "texts that end a completion, as a JSON list; a client's own list wins, an empty one too"
    )
    queue: int = setting(
        256, "requests being answered at a time, waiting ones included; one more is told to come back (429)"
    )
    max_body: int = setting(2_000_000, "bytes of a request; a larger one is refused (413)")
    timeout: float = setting(300.0, "seconds a request may take; then it ends with an error (504)")
    slots: int = setting(64, "completions written side by side; further ones wait")
    memory: float = setting(
        2.0, "GB that keys and values of the completions being written may take; further ones wait"
    )
    audit: str = setting("", "a JSONL file that gets a line for each request; empty = none")
    audit_bodies: bool = setting(False, "the audit log holds prompts and completions too")
    model: ModelSettings = field(default_factory=ModelSettings)


WIDE = 256
"""Sequences side by side, as suits a model of a million parameters: the more of them, the less each costs."""


def _wide(**more: Any) -> SamplingSettings:
    return SamplingSettings(slots=WIDE, **more)


def _on_policy(*, lr: float, epochs: int = 1, steps: int = 24, **more: Any) -> PPOSettings:
    """PPO on the town: few steps of many rollouts, two of each prompt, which then share its cost."""
    return PPOSettings(
        steps=steps,
        epochs=epochs,
        per_prompt=2,
        sampling=_wide(),
        optim=OptimSettings(lr=lr, schedule="constant", weight_decay=0.0),
        **more,
    )


def _group(*, lr: float, steps: int = 24, **more: Any) -> RLOOSettings:
    """RLOO on the town: as many rollouts a step as PPO, four of each prompt, four updates."""
    return RLOOSettings(
        steps=steps,
        rollouts=128,
        minibatch=32,
        sampling=_wide(),
        optim=OptimSettings(lr=lr, schedule="constant", weight_decay=0.0),
        **more,
    )


@dataclass(frozen=True, kw_only=True)
class PipelineSettings:
    """All stages of `alignlab run`, each with the sizes that suit a pipeline of five minutes on two cores."""

    workers: int = setting(0, "stages run side by side, one thread each; 0 = one for each core, 2 at most")
    tracker: str = setting(
        "",
        "tensorboard, wandb or trackio for every stage that trains and names none of its own",
        names="tracker",
    )
    demonstrations: int = setting(3000, "demonstrations for SFT")
    prompts: int = setting(5500, "prompts that are ranked for the reward model and DPO")
    ppo_prompts: int = setting(4000, "prompts PPO draws from")
    annotator: str = setting("town:fair", "who ranks", names="annotator")
    hacking: bool = setting(True, "also run PPO without a KL penalty, to see the proxy being gamed")
    sft: SFTSettings = field(default_factory=SFTSettings)
    collect: CollectSettings = field(
        default_factory=lambda: CollectSettings(from_others=0.5, held_out=0.1, sampling=_wide())
    )
    reward: RewardSettings = field(default_factory=lambda: RewardSettings(epochs=2.0))
    ppo: PPOSettings = field(default_factory=lambda: _on_policy(kl_coef=0.1, lr=2e-4, rollouts=128))
    dpo: DPOSettings = field(
        default_factory=lambda: DPOSettings(beta=0.3, pairs_per_prompt=1, optim=OptimSettings(lr=7e-5))
    )
    best_of_n: BestOfNSettings = field(
        default_factory=lambda: BestOfNSettings(curve_max=32, sampling=_wide(temperature=0.8))
    )
    unpenalised: PPOSettings = field(default_factory=lambda: _on_policy(kl_coef=0.0, lr=5e-4, steps=32))
    budget: int = setting(
        14_000,
        (
            "all recipes but instructgpt: completions sampled to learn from, about what that one samples "
            "for its rankings and PPO"
        ),
    )
    rounds: int = setting(2, "recipes llama2 and llama3: times that new comparisons are collected")
    rejection: RejectionSettings = field(default_factory=lambda: RejectionSettings(sampling=_wide()))
    teacher: str = setting(
        "",
        "recipe zephyr: the model that writes its demonstrations; empty = town-l, trained on clean ones",
        names="sampler",
    )
    distil: DistilSettings = field(default_factory=lambda: DistilSettings(sampling=_wide(temperature=0.7)))
    rlvr: GRPOSettings = field(
        default_factory=lambda: GRPOSettings(
            steps=24,
            rollouts=128,
            sampling=_wide(),
            optim=OptimSettings(lr=2e-4, schedule="constant", weight_decay=0.0),
        )
    )
    constitution: str = setting(
        "town",
        (
            "recipe constitutional: town, general, elsewhere (the control: principles of another world), or "
            "a file"
        ),
        names="constitution",
    )
    red_team: int = setting(
        500,
        (
            "recipe constitutional: red-team prompts that are answered, criticised and revised; more of "
            "them refuse more look-alikes"
        ),
    )
    labelled: int = setting(1500, "recipe constitutional: red-team prompts whose answers the judge compares")
    compared: int = setting(
        3000, "recipe constitutional: prompts whose answers people rank for helpfulness alone"
    )
    critic: CriticSettings = field(default_factory=CriticSettings)
    revise: ReviseSettings = field(
        default_factory=lambda: ReviseSettings(
            rounds=2, sampling=_wide(), critic_sampling=_wide(max_new_tokens=96)
        )
    )
    sl_cai: SFTSettings = field(default_factory=SFTSettings)
    label: LabelSettings = field(
        default_factory=lambda: LabelSettings(ask="each", principles=2, certain=0.05, sampling=_wide())
    )
    eval: EvalSettings = field(default_factory=lambda: EvalSettings(sampling=_wide(temperature=0.0)))


FAST = PipelineSettings(
    demonstrations=1500,
    prompts=1200,
    hacking=False,
    reward=RewardSettings(epochs=1.0),
    ppo=_on_policy(kl_coef=0.1, lr=2e-4, rollouts=128, steps=12),
    dpo=DPOSettings(beta=0.3, optim=OptimSettings(lr=1e-4)),
    best_of_n=BestOfNSettings(sampling=_wide(temperature=0.8)),
    red_team=300,
    labelled=500,
    compared=400,
    critic=CriticSettings(tokens=300_000, cases=0),
    eval=EvalSettings(prompts=400, sampling=_wide(temperature=0.0)),
)


@dataclass(frozen=True, kw_only=True)
class ClosedFormSettings:
    """The study `closed-form`: sizes of the task whose optimum is known, and how long each method learns."""

    prompts: int = setting(8, "prompts, whose rewards spread from 0.4 to 1.6")
    vocabulary: int = setting(4, "tokens")
    length: int = setting(3, "tokens a completion: vocabulary^length completions are enumerated")
    beta: float = setting(
        0.5, "weight of the KL penalty (kl_coef of PPO, beta of DPO): the optimum is ref exp(r / beta)"
    )
    group: int = setting(8, "completions of a prompt that are compared with each other")
    groups: int = setting(4, "such groups of each prompt a step")
    steps: int = setting(800, "updates of each method")
    lr: float = setting(0.05, "Adam's rate at the first update; it falls to 0")
    comparisons: int = setting(200, "comparisons a prompt of the DPO that sees sampled labels only")
    best_of: int = setting(4, "samples that rejection sampling picks from")


@dataclass(frozen=True, kw_only=True)
class CurveSettings:
    """Best-of-N of every N up to `most`, from the same samples (Nakano et al. 2021, appendix I)."""

    prompts: int = setting(200, "prompts")
    most: int = setting(64, "samples a prompt, at temperature 1: N runs over the powers of 2 up to it")
    sampling: SamplingSettings = field(default_factory=_wide)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class PointSettings:
    """A policy as one point of a frontier: KL, proxy and gold of its own samples at temperature 1."""

    prompts: int = setting(400, "prompts")
    samples: int = setting(2, "samples a prompt")
    sampling: SamplingSettings = field(default_factory=_wide)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class OverOptimisationSettings:
    """The study `over-optimisation` (Gao et al. 2022)."""

    sizes: str = setting(
        "town-s,town-l",
        (
            "base models of other reward models, comma separated; empty = none. The town's were pretrained "
            "on unlike numbers of tokens"
        ),
        names="policies",
    )
    few: int = setting(8, "one reward model gets one in so many of the rankings")
    dpo_betas: str = setting("0.03,0.1,0.3", "betas of DPO, comma separated")
    labelled: int = setting(100, "prompts whose picks are labelled by gold, for the proposal where to stop")
    draws: int = setting(
        200, "times that the labelled sample is drawn anew, to see how far the proposal can be relied on"
    )
    resamples: int = setting(1000, "bootstrap resamples of the laws' intervals")
    ppo: PPOSettings = field(default_factory=lambda: _on_policy(kl_coef=0.0, lr=2e-4, steps=48, rollouts=128))
    rloo: RLOOSettings = field(default_factory=lambda: _group(kl_coef=1e-6, lr=2e-4, steps=48))


@dataclass(frozen=True, kw_only=True)
class KLFrontierSettings:
    """The study `kl-frontier`: which penalties are tried."""

    ppo_kl_coefs: str = setting("0,0.05,0.2,1", "PPO's kl_coef, comma separated; empty = no PPO")
    rloo_kl_coefs: str = setting(
        "0.000001,0.05,0.2,1",
        "RLOO's kl_coef; 0 itself would ask no reference and log no KL; empty = no RLOO",
    )
    dpo_betas: str = setting("0.03,0.1,0.3,1", "DPO's beta; empty = no DPO")
    curve: CurveSettings = field(default_factory=lambda: CurveSettings(prompts=100, most=32))
    ppo: PPOSettings = field(default_factory=lambda: _on_policy(kl_coef=0.1, lr=2e-4, rollouts=128))
    rloo: RLOOSettings = field(default_factory=lambda: _group(kl_coef=0.1, lr=2e-4))


@dataclass(frozen=True, kw_only=True)
class MixedSettings:
    """The study `mixed-demonstrations`."""

    shares: str = setting("0,0.25,0.5,0.75,1", "shares of good demonstrators, comma separated")
    control: float = setting(0.5, "the share at which the controls are run: one of them")
    prompts: int = setting(1200, "prompts whose samples are ranked, for each share")
    collect: CollectSettings = field(
        default_factory=lambda: CollectSettings(from_others=0.0, held_out=0.1, sampling=_wide())
    )
    dpo: DPOSettings = field(
        default_factory=lambda: DPOSettings(beta=0.3, pairs_per_prompt=3, optim=OptimSettings(lr=1e-4))
    )
    more: SFTSettings = field(default_factory=lambda: SFTSettings(epochs=1.0, optim=OptimSettings(lr=3e-4)))


@dataclass(frozen=True, kw_only=True)
class SourcesSettings:
    """The study `demonstrations`."""

    count: int = setting(1000, "demonstrations of each source")
    crowd: CrowdSettings = field(default_factory=CrowdSettings)
    distil: DistilSettings = field(default_factory=lambda: DistilSettings(sampling=_wide(temperature=0.7)))
    self_instruct: SelfInstructSettings = field(
        default_factory=lambda: SelfInstructSettings(
            batch=128, similarity=1.0, sampling=_wide(temperature=0.7)
        )
    )
    eval: EvalSettings = field(
        default_factory=lambda: EvalSettings(prompts=600, sampling=_wide(temperature=0.0))
    )


@dataclass(frozen=True, kw_only=True)
class OwnSettings:
    """Data, a judge and a reward model of one's own, in the place of the town's."""

    demonstrations: str = setting(
        "town:demos", "demonstrations for SFT; empty = --model has learnt to answer already", names="data"
    )
    prompts: str = setting("town:prompts", "prompts whose answers are ranked", names="data")
    fresh: str = setting(
        "town:prompts",
        (
            "other prompts, which no reward model has seen: for RL and for all that is measured (the town's "
            "are drawn anew)"
        ),
        names="data",
    )
    gold: str = setting("town:gold", "the judge that knows the truth", names="judge")
    reward: str = setting(
        "", "the reward model that is asked about; empty = one is trained on the rankings", names="reward"
    )


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """All that `alignlab study` needs; each study reads the tables it names and refuses a change to the
    others.
    """

    workers: int = setting(0, "stages run side by side, one thread each; 0 = one for each core, 2 at most")
    demonstrations: int = setting(3000, "demonstrations for SFT")
    prompts: int = setting(4000, "prompts that are ranked")
    annotator: str = setting("town:fair", "who ranks", names="annotator")
    own: OwnSettings = field(default_factory=OwnSettings)
    sft: SFTSettings = field(default_factory=SFTSettings)
    collect: CollectSettings = field(
        default_factory=lambda: CollectSettings(from_others=0.5, held_out=0.1, sampling=_wide())
    )
    reward: RewardSettings = field(default_factory=lambda: RewardSettings(epochs=2.0))
    dpo: DPOSettings = field(
        default_factory=lambda: DPOSettings(beta=0.3, pairs_per_prompt=1, optim=OptimSettings(lr=1e-4))
    )
    point: PointSettings = field(default_factory=PointSettings)
    curve: CurveSettings = field(default_factory=CurveSettings)
    over_optimisation: OverOptimisationSettings = field(default_factory=OverOptimisationSettings)
    kl_frontier: KLFrontierSettings = field(default_factory=KLFrontierSettings)
    closed_form: ClosedFormSettings = field(default_factory=ClosedFormSettings)
    mixed: MixedSettings = field(default_factory=MixedSettings)
    sources: SourcesSettings = field(default_factory=SourcesSettings)
    shift: ShiftSettings = field(default_factory=lambda: ShiftSettings(prompts=200, sampling=_wide()))
    shift_prompts: int = setting(
        1200,
        (
            "the study reward-shift: prompts that are ranked anew, on the furthest policy's answers and on "
            "the SFT model's"
        ),
    )


FAST_STUDY = StudySettings(
    demonstrations=1000,
    prompts=800,
    reward=RewardSettings(epochs=1.0),
    point=PointSettings(prompts=100),
    curve=CurveSettings(prompts=40, most=16),
    closed_form=ClosedFormSettings(steps=200),
    over_optimisation=OverOptimisationSettings(
        sizes="",
        dpo_betas="0.1",
        labelled=20,
        ppo=_on_policy(kl_coef=0.0, lr=5e-4, steps=10, rollouts=64),
        rloo=_group(kl_coef=1e-6, lr=5e-4, steps=10),
    ),
    kl_frontier=KLFrontierSettings(
        ppo_kl_coefs="0,0.2",
        rloo_kl_coefs="0.2",
        dpo_betas="0.1,1",
        curve=CurveSettings(prompts=40, most=16),
        ppo=_on_policy(kl_coef=0.1, lr=4e-4, steps=8, rollouts=64),
        rloo=_group(kl_coef=0.1, lr=4e-4, steps=8),
    ),
    mixed=MixedSettings(shares="0,0.5,1", prompts=300),
    shift=ShiftSettings(prompts=60, best_of="4", sampling=_wide()),
    shift_prompts=300,
    sources=SourcesSettings(count=300, eval=EvalSettings(prompts=200, sampling=_wide(temperature=0.0))),
)


@dataclass(frozen=True, kw_only=True)
class RedteamSettings:
    """A red-team campaign, and what is learnt from it."""

    attacks: str = setting(
        "standard",
        (
            "names, families (jailbreak, obfuscation, context, multi-turn, automatic, prefill), "
            "compositions (story+spaced), standard or all; -NAME leaves one out; none = the bare requests "
            "alone"
        ),
        names="attacks",
    )
    goals: int = setting(200, "requests that the target ought to refuse, at most")
    twins: int = setting(150, "harmless look-alikes that over-refusal is measured on, at most; 0 = none")
    tries: int = setting(1, "wordings of a template that are tried on one goal")
    queries: int = setting(16, "target queries for one goal of an attack that tries until it succeeds")
    tokens: int = setting(0, "tokens an attack may spend on one goal; 0 = no bound")
    steps: int = setting(100, "steps of an attack that looks inside the model, for one goal")
    search_goals: int = setting(20, "goals that such attacks are run on: they take long")
    shorten: int = setting(
        60, "target queries for making one finding as short as it goes; 0 = findings stay as they are"
    )
    held_out: str = setting(
        "obfuscation,multi-turn",
        (
            "with --fix: families and attacks that are never learnt from, to see whether what is learnt "
            "carries over"
        ),
    )
    rounds: int = setting(1, "with --fix: times that the target is attacked, taught and attacked again")
    learn_goals: int = setting(200, "with --fix: training goals, and as many harmless look-alikes, at most")
    harmless_train: str = setting(
        "town:twins",
        (
            "with --fix: harmless look-alikes that are answered in the wrappers that worked, so that no "
            "wrapper is refused for itself"
        ),
        names="data",
    )
    ordinary_prompts: int = setting(
        800, "with --fix: ordinary requests that are learnt to be answered as before"
    )
    test_prompts: int = setting(
        400, "with --fix: held-out requests that helpfulness and honesty are measured on"
    )
    per_attack: int = setting(
        10,
        (
            "with --fix: hits of one attack that are learnt from, at most; more of them refuse more that is "
            "harmless"
        ),
    )
    reach: float = setting(
        0.7,
        (
            "with --fix: how far the weights go from the attacked model to the one that learnt the lessons; "
            "1 = all the way. Less forgets less (Wortsman et al. 2022, WiSE-FT)"
        ),
    )
    method: Literal["sft", "dpo"] = setting(
        "sft",
        (
            "with --fix: how the lessons are learnt; sft = adversarial training on refusals, dpo = refusal "
            "over what was said"
        ),
    )
    sampling: SamplingSettings = field(default_factory=lambda: _wide(temperature=0.0))
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    sft: SFTSettings = field(
        default_factory=lambda: SFTSettings(epochs=1.0, held_out=0.02, optim=OptimSettings(lr=3e-4))
    )
    dpo: DPOSettings = field(default_factory=lambda: DPOSettings(beta=0.1, optim=OptimSettings(lr=1e-4)))
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class FrontierSettings:
    """Stacks of defences, compared."""

    attacks: str = setting(
        "jailbreak,context,prefill", "what every stack is attacked with, as in a campaign", names="attacks"
    )
    adaptive: str = setting(
        "bandit,obfuscation",
        (
            "what an attacker adds who knows that there is a defence: what learns on the defended target, "
            "and what hides words from filters"
        ),
        names="attacks",
    )
    goals: int = setting(60, "requests that ought to be refused, at most")
    twins: int = setting(100, "harmless look-alikes")
    test_prompts: int = setting(200, "ordinary held-out requests: helpfulness, time and tokens")
    tries: int = setting(1, "wordings of a template that are tried on one goal")
    queries: int = setting(8, "target queries for one goal of an attack that tries until it succeeds")
    sampling: SamplingSettings = field(default_factory=lambda: _wide(temperature=0.0))
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class AttackerSettings:
    """An attacker trained by reinforcement learning against a target (Perez et al. 2022)."""

    goals: int = setting(200, "requests it learns to ask for, at most")
    lessons: int = setting(
        6000,
        (
            "wrapped requests it learns to write from, before it meets the target; with few of them it "
            "writes wrappers around the wrong request"
        ),
    )
    diversity: float = setting(
        0.7,
        (
            "how much of its reward a prompt loses that says what other successful ones of the batch say; 0 "
            "= variety is worth nothing"
        ),
    )
    sft: SFTSettings = field(default_factory=lambda: SFTSettings(epochs=2.0, held_out=0.02))
    rloo: RLOOSettings = field(
        default_factory=lambda: RLOOSettings(
            steps=60,
            rollouts=64,
            minibatch=32,
            kl_coef=0.05,
            normalize_scores=False,
            missing_end_penalty=0.2,
            sampling=_wide(max_new_tokens=64),
            optim=OptimSettings(lr=2e-4, schedule="constant", weight_decay=0.0),
        )
    )
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


FAST_SIZES: dict[type, Any] = {PipelineSettings: FAST, StudySettings: FAST_STUDY}
"""What `--fast` stands for, by the settings of the command."""
