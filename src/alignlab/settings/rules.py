"""What settings cannot be: every rule that settings alone decide.

Imports nothing heavy. The command line asks `check` before a model is loaded, a pipeline before its first
stage, and every method again, since it may be called from Python.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

from .. import settings as s
from ..errors import ConfigError


def check(settings: Any, at: str = "") -> None:
    """Raise ConfigError for a value that no equation takes, for settings that contradict one another, and for
    one that another makes meaningless.

    Tables inside are checked too; `at` is the table that the settings stand in, for the error.
    """
    for kind, rule in RULES:
        if isinstance(settings, kind):
            try:
                rule(settings)
            except ConfigError as error:
                raise ConfigError(
                    error.what, where=error.where or (f"[{at}]" if at else ""), remedy=error.remedy
                ) from None
    for item in fields(settings):
        if is_dataclass(inner := getattr(settings, item.name)):
            check(inner, f"{at}.{item.name}" if at else item.name)


def _optim(x: s.OptimSettings) -> None:
    if (
        min(x.lr, x.weight_decay, x.max_grad_norm) < 0
        or not 0 <= x.warmup <= 1
        or not 0 <= x.beta1 < 1
        or not 0 <= x.beta2 < 1
    ):
        raise ConfigError(
            (
                f"lr = {x.lr}, warmup = {x.warmup}, beta1 = {x.beta1}, beta2 = {x.beta2}, weight_decay = "
                f"{x.weight_decay}, max_grad_norm = {x.max_grad_norm}"
            ),
            remedy="warmup from 0 to 1, betas from 0 to below 1, the others from 0",
        )


def _adapter(x: s.AdapterSettings) -> None:
    if x.rank < 0 or x.alpha < 1 or not 0 <= x.dropout < 1:
        raise ConfigError(
            f"rank = {x.rank}, alpha = {x.alpha}, dropout = {x.dropout}",
            remedy="a rank from 0 (no adapter), alpha from 1, a dropout from 0 to below 1",
        )


def _model(x: s.ModelSettings) -> None:
    if x.threads < 0:
        raise ConfigError(f"threads = {x.threads}", remedy="0 for torch's own choice, or a number of threads")


def _sampling(x: s.SamplingSettings) -> None:
    if x.max_new_tokens < 1 or x.slots < 1 or x.temperature < 0 or not 0 < x.top_p <= 1:
        raise ConfigError(
            (
                f"max_new_tokens = {x.max_new_tokens}, temperature = {x.temperature}, top_p = {x.top_p}, "
                f"slots = {x.slots}"
            ),
            remedy="max_new_tokens and slots from 1, temperature from 0, top_p above 0 and at most 1",
        )


def _endpoint(x: s.EndpointSettings) -> None:
    if x.timeout <= 0 or x.concurrency < 1 or min(x.retries, x.max_requests, x.max_tokens) < 0:
        raise ConfigError(
            (
                f"timeout = {x.timeout}, retries = {x.retries}, concurrency = {x.concurrency}, max_requests "
                f"= {x.max_requests}, max_tokens = {x.max_tokens}"
            ),
            remedy="a timeout above 0, concurrency from 1, the others from 0",
        )


def _common(x: Any) -> None:
    """What the same names mean wherever they stand."""
    held_out = getattr(x, "held_out", 0)  # of a red team, names of attacks
    if isinstance(held_out, float) and not 0 <= held_out < 1 and not isinstance(x, s.LikelihoodSettings):
        raise ConfigError(f"held_out = {held_out}", remedy="a share from 0 up to, but not including, 1")
    for name in ("max_length", "max_prompt_length"):
        if getattr(x, name, 1) < 1:
            raise ConfigError(f"{name} = {getattr(x, name)}", remedy="a number of tokens from 1")
    if (rows := getattr(x, "micro_batch", 0)) < 0:
        raise ConfigError(f"micro_batch = {rows}", remedy="0 for the whole batch, or a number from 1")


def _workers(x: Any) -> None:
    if hasattr(x, "workers") and (x.workers < 0 or min(x.demonstrations, x.prompts) < 1):
        raise ConfigError(
            "workers below 0, or no demonstrations or prompts",
            remedy="workers from 0 (one for each core, 2 at most), the others from 1",
        )


def _text(x: s.PretrainSettings | s.CriticSettings) -> None:
    if min(x.tokens, x.batch) < 1 or x.context < 2:
        raise ConfigError(
            f"tokens = {x.tokens}, context = {x.context}, batch = {x.batch}",
            remedy="tokens and batch from 1, a context from 2",
        )
    if isinstance(x, s.CriticSettings) and (not 0 <= x.keep <= 1 or x.cases < 0):
        raise ConfigError(f"keep = {x.keep}, cases = {x.cases}", remedy="keep from 0 to 1, cases from 0")


def _sft(x: s.SFTSettings) -> None:
    if x.batch < 1 or x.epochs <= 0:
        raise ConfigError(f"batch = {x.batch}, epochs = {x.epochs}", remedy="a batch from 1, epochs above 0")


def _collect(x: s.CollectSettings) -> None:
    if not 2 <= x.per_prompt <= 9:
        raise ConfigError(f"per_prompt = {x.per_prompt}", remedy="2 to 9 completions are ranked together")
    if not 0 <= x.from_others <= 1:
        raise ConfigError(f"from_others = {x.from_others}", remedy="a share from 0 to 1")


def _crowd(x: s.CrowdSettings) -> None:
    writers, reviewers = (
        [name for name in text.split(",") if name.strip()] for text in (x.writers, x.reviewers)
    )
    if len(writers) < 2 or not reviewers or not 0 < x.majority <= 1:
        raise ConfigError(
            f"{len(writers)} writers, {len(reviewers)} reviewers, majority {x.majority}",
            remedy="two writers or more, a reviewer or more, and a majority above 0 and at most 1",
        )


def _self_instruct(x: s.SelfInstructSettings) -> None:
    if (
        not 0 < x.similarity <= 1
        or x.examples < 1
        or not 0 <= x.from_generated <= 1
        or min(x.batch, x.rounds) < 1
    ):
        raise ConfigError(
            (
                f"similarity {x.similarity}, examples {x.examples}, from_generated {x.from_generated}, "
                f"batch {x.batch}, rounds {x.rounds}"
            ),
            remedy="similarity above 0 and at most 1, a share from 0 to 1, the others from 1",
        )


def _chain(x: s.ChainSettings) -> None:
    if not 1 <= x.rounds <= 4:
        raise ConfigError(
            f"rounds = {x.rounds}",
            remedy="1 to 4 (Bai et al. 2022, section 3.4: little is won after the first)",
        )
    if not 0 < x.max_repetition <= 1 or not 0 <= x.judge_bar <= 1:
        raise ConfigError(
            f"max_repetition = {x.max_repetition}, judge_bar = {x.judge_bar}",
            remedy="above 0 and at most 1; from 0 to 1",
        )
    if x.principle and x.tags != s.ChainSettings().tags:
        raise ConfigError(
            f"tags = {x.tags!r} says nothing where principle = {x.principle!r} names the only one",
            remedy="one of the two",
        )


def _chunk(x: s.AIJudgeSettings | s.ReviseSettings) -> None:
    if x.chunk < 1:
        raise ConfigError(f"chunk = {x.chunk}", remedy="1 or more")


def _label(x: s.LabelSettings) -> None:
    if x.samples < 2 or x.temperature < 0 or not 0 <= x.certain < 0.5:
        raise ConfigError(
            f"samples = {x.samples}, temperature = {x.temperature}, certain = {x.certain}",
            remedy="2 samples or more, a temperature from 0, certain from 0 to below 0.5",
        )
    if x.sampling.temperature == 0:
        raise ConfigError(
            "sampling.temperature = 0: the answers to a prompt would all be the same",
            remedy="1, as the policy is trained at",
        )
    if x.labels == "hard" and x.temperature != 1:
        raise ConfigError(
            f"temperature = {x.temperature} does nothing to hard labels",
            remedy="--temperature 1 or --labels soft",
        )


def _reward(x: s.RewardSettings) -> None:
    plain = s.RewardSettings()
    if min(x.batch, x.epochs) <= 0:
        raise ConfigError(f"batch = {x.batch}, epochs = {x.epochs}", remedy="batch and epochs above 0")
    if x.members < 1:
        raise ConfigError(f"members = {x.members}", remedy="at least 1")
    if not 0 <= x.label_smoothing < 0.5:
        raise ConfigError(
            f"label_smoothing = {x.label_smoothing}",
            remedy=(
                "a share from 0 up to, but not including, 0.5: with half of the labels wrong nothing can be "
                "learnt"
            ),
        )
    if not 0 <= x.tie_rate < 1 or (x.tie_rate and x.ties == "drop"):
        raise ConfigError(
            f"tie_rate = {x.tie_rate} with ties = {x.ties}",
            remedy="a share below 1, and --ties rao_kupper or davidson",
        )
    if x.margins in ("ranks", "scores") and x.ties != "drop":
        raise ConfigError(
            f"margins = {x.margins} with ties = {x.ties}",
            remedy="one of them: with a margin the three outcomes have no probabilities",
        )
    if x.margins == "none" and x.margin_scale != plain.margin_scale:
        raise ConfigError(
            f"margin_scale = {x.margin_scale} without margins", remedy="--margins data, ranks or scores"
        )
    if x.noise == "flip" and not x.label_smoothing:
        raise ConfigError(
            "noise = flip, but label_smoothing is 0: no label is turned round",
            remedy="--label_smoothing 0.1, or --noise learnt",
        )
    if x.annotators == "reliability" and (x.noise != "smoothing" or x.label_smoothing):
        raise ConfigError(
            f"annotators = reliability with noise = {x.noise}, label_smoothing = {x.label_smoothing}",
            remedy=(
                "leave noise and label_smoothing as they are: a reliability is a flip rate for each annotator"
            ),
        )
    if (
        x.label_lr != plain.label_lr
        and x.annotators == "alike"
        and x.noise != "learnt"
        and (x.ties == "drop" or x.tie_rate)
    ):
        raise ConfigError(
            f"label_lr = {x.label_lr}, but nothing is learnt about the labels",
            remedy="--ties, --noise learnt or --annotators reliability",
        )
    if x.safety < 0:
        raise ConfigError(
            f"safety = {x.safety}", remedy="0 for a reward model, 1 for a cost model as in Safe RLHF"
        )


def _pairs(x: s.PairSettings) -> None:
    if min(x.batch, x.epochs) <= 0 or x.pairs_per_prompt < 0:
        raise ConfigError(
            f"batch = {x.batch}, epochs = {x.epochs}, pairs_per_prompt = {x.pairs_per_prompt}",
            remedy="batch and epochs above 0, pairs_per_prompt 0 or more",
        )
    beta = getattr(x, "beta", 1)
    if beta <= 0:
        raise ConfigError(f"beta = {beta}", remedy="above 0: at 0 no preference is learnt")


def _simpo(x: s.SimPOSettings) -> None:
    if x.gamma < 0:
        raise ConfigError(
            f"gamma = {x.gamma}",
            remedy="0 or more: it is the margin that the chosen completion is to lead by",
        )


def _dpo(x: s.DPOSettings) -> None:
    if not 0 <= x.label_smoothing < 0.5:
        raise ConfigError(
            f"label_smoothing = {x.label_smoothing}",
            remedy="from 0 to below 0.5: at 0.5 the labels say nothing",
        )
    if x.label_smoothing and x.loss_type in ("hinge", "ipo"):
        raise ConfigError(
            f"label_smoothing = {x.label_smoothing} has no meaning for loss_type {x.loss_type}",
            remedy="--label_smoothing 0, or loss_type sigmoid, sigmoid_norm or robust",
        )


def _kto(x: s.KTOSettings) -> None:
    if x.batch < 2 or x.epochs <= 0:
        raise ConfigError(
            f"batch = {x.batch}, epochs = {x.epochs}",
            remedy=(
                "a batch of 2 or more, as the KL baseline pairs a prompt with the completion of another; "
                "epochs above 0"
            ),
        )
    if x.beta <= 0 or x.desirable_weight < 0 or x.undesirable_weight <= 0:
        raise ConfigError(
            (
                f"beta = {x.beta}, desirable_weight = {x.desirable_weight}, undesirable_weight = "
                f"{x.undesirable_weight}"
            ),
            remedy=(
                "beta and undesirable_weight above 0, desirable_weight above 0 or 0 for what the paper "
                "advises"
            ),
        )


def _on_policy(x: Any) -> None:
    """Settings under which the policy that is updated would not be the one that wrote the tokens."""
    if x.sampling.temperature <= 0:
        raise ConfigError(
            f"sampling.temperature = {x.sampling.temperature}",
            remedy="above 0: what is learnt from is the chance that each token had",
        )
    if x.adapter.dropout:
        raise ConfigError(
            f"adapter.dropout = {x.adapter.dropout}",
            remedy="0: with dropout the policy that is updated is not the one that wrote the tokens",
        )


def _ppo(x: s.PPOSettings) -> None:
    if min(x.steps, x.epochs, x.minibatch, x.per_prompt, x.gold_every) < 1:
        raise ConfigError("steps, epochs, minibatch, per_prompt and gold_every must be at least 1")
    if x.rollouts < 1 or x.rollouts % x.per_prompt:
        raise ConfigError(
            f"rollouts = {x.rollouts}, per_prompt = {x.per_prompt}",
            remedy="rollouts must be a multiple of per_prompt",
        )
    if x.importance_cap < 0:
        raise ConfigError(
            f"importance_cap = {x.importance_cap}", remedy="0 for none, or the largest weight of a token: 2"
        )
    if not 0 < x.lambda_start <= x.lambda_max:
        raise ConfigError(
            f"lambda_start = {x.lambda_start}, lambda_max = {x.lambda_max}",
            remedy="above 0, and the start at most the maximum",
        )
    if x.lambda_lr < 0:
        raise ConfigError(f"lambda_lr = {x.lambda_lr}", remedy="0 (a fixed price) or above")
    if x.cost_kind == "chance" and not 0 <= x.cost_limit < 1:
        raise ConfigError(
            f"cost_limit = {x.cost_limit} with cost_kind = chance",
            remedy="a share of unsafe completions from 0 up to, but not including, 1; or --cost_kind score",
        )


def _group(x: s.GroupSettings) -> None:
    advantage = getattr(x, "advantage", "")
    if min(x.steps, x.epochs, x.per_prompt, x.gold_every) < 1 or x.minibatch < 0:
        raise ConfigError("steps, epochs, per_prompt and gold_every must be at least 1, minibatch at least 0")
    if x.rollouts < 1 or x.rollouts % x.per_prompt:
        raise ConfigError(
            f"rollouts = {x.rollouts}, per_prompt = {x.per_prompt}",
            remedy="rollouts must be a multiple of per_prompt",
        )
    if x.per_prompt == 1 and advantage != "reinforce":
        raise ConfigError(
            f"per_prompt = 1, advantage = {advantage}",
            remedy="at least 2 completions a prompt, or --advantage reinforce",
        )
    if x.ratio_level == "sequence" and x.epochs * -(-x.rollouts // (x.minibatch or x.rollouts)) == 1:
        raise ConfigError(
            "ratio_level = sequence with one update a step: every ratio is 1, and the level changes nothing",
            remedy="minibatch below rollouts, or epochs above 1; or leave ratio_level at token",
        )
    if advantage == "reinforce" and x.rollouts == 1:
        raise ConfigError(
            "rollouts = 1, advantage = reinforce",
            remedy="at least 2: one completion less the mean of itself is always 0",
        )
    if min(x.kl_coef, x.epsilon_high, x.importance_cap) < 0 or not 0 < x.epsilon < 1:
        raise ConfigError(
            (
                f"kl_coef = {x.kl_coef}, epsilon = {x.epsilon}, epsilon_high = {x.epsilon_high}, "
                f"importance_cap = {x.importance_cap}"
            ),
            remedy="epsilon between 0 and 1, the others from 0",
        )


def _online_dpo(x: s.OnlineDPOSettings) -> None:
    if min(x.steps, x.prompts, x.gold_every) < 1:
        raise ConfigError("steps, prompts and gold_every must be at least 1")
    if x.per_prompt < 2 or (x.ask == "compare" and x.per_prompt > 2):
        raise ConfigError(
            f"per_prompt = {x.per_prompt}, ask = {x.ask}",
            remedy="2 completions a prompt to be compared, 2 or more to be scored",
        )
    if x.beta <= 0:
        raise ConfigError(f"beta = {x.beta}", remedy="above 0")


def _rejection(x: s.RejectionSettings) -> None:
    if min(x.rounds, x.prompts, x.batch) < 1 or x.n < 2 or x.epochs <= 0:
        raise ConfigError("rounds, prompts and batch must be at least 1, n at least 2, epochs above 0")
    if not 0 < x.top_share <= 1:
        raise ConfigError(f"top_share = {x.top_share}", remedy="a share above 0 and at most 1")
    if x.keep_earlier and x.rounds == 1:
        raise ConfigError(
            "keep_earlier = True with rounds = 1", remedy="more rounds: the first has no earlier one"
        )


def _best_of_n(x: s.BestOfNSettings) -> None:
    if x.n < 1 or min(x.curve_max, x.curve_prompts) < 0:
        raise ConfigError(
            f"n = {x.n}, curve_max = {x.curve_max}, curve_prompts = {x.curve_prompts}",
            remedy="n from 1, the others from 0",
        )


def _likelihood(x: s.LikelihoodSettings) -> None:
    if not 0 < x.held_out <= 1:
        raise ConfigError(f"held_out = {x.held_out}", remedy="a share above 0, at most 1")


def _shift(x: s.ShiftSettings) -> None:
    if x.per_prompt < 2 or x.sampling.temperature <= 0:
        raise ConfigError(
            f"per_prompt = {x.per_prompt}, sampling.temperature = {x.sampling.temperature}",
            remedy="at least 2, and above 0: equal completions cannot be compared",
        )
    parts = x.best_of.split(",") if x.best_of else []
    if not all(part.isdecimal() and int(part) >= 2 for part in parts):
        raise ConfigError(
            f"best_of = {x.best_of!r}", remedy="numbers from 2, comma separated, as 4,16; or nothing"
        )


def _redteam(x: s.RedteamSettings) -> None:
    if (
        min(x.goals, x.tries, x.queries, x.steps, x.rounds, x.search_goals) < 1
        or min(x.tokens, x.shorten, x.twins) < 0
    ):
        raise ConfigError(
            "goals, tries, queries, steps, rounds and search_goals must be at least 1, tokens, shorten "
            "and twins at least 0"
        )
    if not 0 < x.reach <= 1:
        raise ConfigError(f"reach = {x.reach} is no part of the way", remedy="above 0, at most 1")


RULES: tuple[tuple[type | tuple[type, ...], Callable[[Any], None]], ...] = (
    (object, _common),
    (object, _workers),
    (s.OptimSettings, _optim),
    (s.AdapterSettings, _adapter),
    (s.ModelSettings, _model),
    (s.SamplingSettings, _sampling),
    (s.EndpointSettings, _endpoint),
    ((s.PretrainSettings, s.CriticSettings), _text),
    (s.SFTSettings, _sft),
    (s.CollectSettings, _collect),
    (s.CrowdSettings, _crowd),
    (s.SelfInstructSettings, _self_instruct),
    (s.ChainSettings, _chain),
    ((s.AIJudgeSettings, s.ReviseSettings), _chunk),
    (s.LabelSettings, _label),
    (s.RewardSettings, _reward),
    (s.PairSettings, _pairs),
    (s.DPOSettings, _dpo),
    (s.SimPOSettings, _simpo),
    (s.KTOSettings, _kto),
    ((s.PPOSettings, s.GroupSettings, s.OnlineDPOSettings, s.RejectionSettings), _on_policy),
    (s.PPOSettings, _ppo),
    (s.GroupSettings, _group),
    (s.OnlineDPOSettings, _online_dpo),
    (s.RejectionSettings, _rejection),
    (s.BestOfNSettings, _best_of_n),
    (s.LikelihoodSettings, _likelihood),
    (s.ShiftSettings, _shift),
    (s.RedteamSettings, _redteam),
)
"""Rules by the settings that they are about; those of a kind come before those of its subclasses."""
