"""From a base model to an aligned one: the pipeline, and every method by itself."""

from __future__ import annotations

from .command import Command, Option
from .data import DEMONSTRATIONS
from .options import ANY, COUNT, GOLD, INSTEAD, MODEL, REWARD, data_option
from .studio import VOTES

JUDGED = (MODEL, REWARD, INSTEAD, data_option("town:prompts", "prompts"), COUNT, GOLD)
"""Of what learns from its own completions."""
PAIRS = (MODEL, data_option("", "rankings or comparisons"), COUNT)
"""Of what learns from pairs directly."""
TRAIN: dict[str, Command] = {
    "run": Command(
        "the whole pipeline: SFT, preferences, reward model, PPO, DPO, best-of-N, figures and a report",
        "recipes.command:run_command",
        (
            MODEL,
            Option("recipe", "how the pipeline is put together", "instructgpt", names="recipe"),
            Option("fast", "small sizes, about a minute and a half", False, switch=True),
        ),
        "recipes.settings:PipelineSettings",
        "runs/demo",
        fast="recipes.settings:FAST",
    ),
    "pretrain": Command(
        "train a base model of the town from nothing",
        "stages:pretrain",
        (data_option("town:corpus", "documents"),),
        "settings:PretrainSettings",
        "runs/pretrain",
    ),
    "sft": Command(
        "supervised fine-tuning on demonstrations",
        "stages:sft",
        (MODEL, data_option("town:demos", "demonstrations"), COUNT),
        "settings:SFTSettings",
        "runs/sft",
        method=True,
    ),
    "collect": Command(
        (
            "rankings: sample completions and have them ranked, or what people said in the studio; or "
            "demonstrations from people, a crowd, a stronger model or the model itself"
        ),
        "stages:collect",
        (
            MODEL,
            data_option("town:prompts", "prompts"),
            COUNT,
            Option(
                "annotator",
                "who ranks: town:fair and others, reward:RUN, or ai:MODEL (a model with a constitution)",
                "town:fair",
                names="annotator",
            ),
            GOLD,
            Option(
                "others",
                "where completions of other people come from: town:crowd, a file; empty = nowhere",
                "",
                names="data",
            ),
        ),
        "settings:CollectSettings",
        "runs/collect",
        in_parts=True,
        kind="rankings",
        kinds=VOTES | DEMONSTRATIONS,
    ),
    "reward": Command(
        "train a reward model on rankings or comparisons",
        "stages:reward",
        (ANY, data_option("", "rankings or comparisons"), COUNT, GOLD),
        "settings:RewardSettings",
        "runs/reward",
        method=True,
    ),
    "best-of-n": Command(
        "pick the best of N samples by a reward model",
        "stages:best_of_n",
        (MODEL, REWARD, INSTEAD, data_option("town:test", "prompts"), COUNT, GOLD),
        "settings:BestOfNSettings",
        "runs/best-of-n",
    ),
    "dpo": Command(
        "direct preference optimization on rankings or comparisons",
        "stages:direct",
        PAIRS,
        "settings:DPOSettings",
        "runs/dpo",
        method=True,
    ),
    "kto": Command(
        "Kahneman-Tversky optimization on completions that were liked or not",
        "stages:kto",
        (MODEL, data_option("", "labelled completions, rankings or comparisons"), COUNT),
        "settings:KTOSettings",
        "runs/kto",
        method=True,
    ),
    "orpo": Command(
        "odds-ratio preference optimization on rankings or comparisons, without a reference",
        "stages:direct",
        PAIRS,
        "settings:ORPOSettings",
        "runs/orpo",
        method=True,
    ),
    "simpo": Command(
        "simple preference optimization on rankings or comparisons, without a reference",
        "stages:direct",
        PAIRS,
        "settings:SimPOSettings",
        "runs/simpo",
        method=True,
    ),
    "ppo": Command(
        "PPO against a reward model, with a KL penalty",
        "stages:ppo",
        (
            *JUDGED,
            Option("ptx", "documents for PPO-ptx, with --ptx_coef", "", names="data"),
            Option(
                "cost",
                (
                    "the run of a cost model (`alignlab reward --safety 1`): PPO under a constraint; see "
                    "cost_limit"
                ),
                "",
                names="cost",
            ),
        ),
        "settings:PPOSettings",
        "runs/ppo",
        method=True,
    ),
    "rloo": Command(
        "REINFORCE with the prompt's other completions, or the batch's mean, as baseline",
        "stages:rloo",
        JUDGED,
        "settings:RLOOSettings",
        "runs/rloo",
        method=True,
    ),
    "grpo": Command(
        "group relative policy optimization, or Dr. GRPO: no value model",
        "stages:grpo",
        JUDGED,
        "settings:GRPOSettings",
        "runs/grpo",
        method=True,
    ),
    "online-dpo": Command(
        "DPO on pairs that the policy writes and a judge compares while it learns",
        "stages:online_dpo",
        JUDGED,
        "settings:OnlineDPOSettings",
        "runs/online-dpo",
        method=True,
    ),
    "rejection": Command(
        "rounds of sampling, scoring and SFT on the best",
        "stages:rejection",
        JUDGED,
        "settings:RejectionSettings",
        "runs/rejection",
        method=True,
    ),
}
