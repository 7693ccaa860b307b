"""Every command: what it does, its options and settings, and the function behind it. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Option:
    """One option; `names` is the kind of name that it takes (`alignlab.cli.beforehand`), if it takes one."""

    flag: str
    help: str
    default: Any = ""
    many: bool = False
    switch: bool = False
    positional: bool = False
    names: str = ""


MODEL = Option(
    "model",
    "town, town-s, town-m, town-l, a run folder, a model folder, a hub name or a .gguf file",
    "town",
    names="policy",
)
ANY = replace(MODEL, names="model")
JUDGE = Option(
    "judge",
    (
        "who scores: town:gold, reward:RUN, ai:MODEL, refusal, a function of yours (module:function), or "
        "ensemble:HOW:RUN,RUN with HOW one of mean, worst, uncertainty"
    ),
    "town:gold",
    names="judge",
)
COUNT = Option("count", "at most this many records of the data; 0 = all (of the town: its usual size)", 0)
GOLD = Option(
    "gold", "a judge that knows the truth, logged beside the proxy; empty = none is known", "", names="judge"
)
REWARD = Option(
    "reward",
    (
        "the run (or folder) of the reward model, or ensemble:HOW:RUN,RUN with HOW one of mean, worst, "
        "uncertainty (a run with members is one RUN)"
    ),
    "",
    names="reward",
)
INSTEAD = Option(
    "judge",
    (
        "a judge by name in place of a reward model: town:gold, reward:RUN, ensemble:HOW:RUN,RUN, ai:MODEL "
        "(with a constitution), refusal (pays refusals), module:function (of yours), constant"
    ),
    "",
    names="judge",
)
CHAT_TEMPLATE = Option(
    "chat-template",
    "a Jinja file, chatml or gemma, for a model without a chat template",
    "",
    names="chat-template",
)


def data_option(default: str, what: str) -> Option:
    return Option(
        "data",
        (
            f"{what}: town:NAME, a file or folder in a format of the field, a hub name, a run, a reader of "
            "yours (module:function:PATH), or a mixture (mix:0.3=A+0.7=B, mix:FILE.toml)"
        ),
        default,
        names="data",
    )


def imported(name: str) -> Any:
    """What `module:name` stands for, modules of this package."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(f"alignlab.{module}"), attribute)


@dataclass(frozen=True)
class Command:
    """One command: what it does, its options beside the shared ones, its settings, and the function in
    `alignlab.stages` or elsewhere.

    A command of several kinds is its first one; the others stand in `kinds`, each with options and settings
    of its own (`--kind NAME`, or where it is `spoken`, NAME as the first word).
    """

    help: str
    target: str
    options: tuple[Option, ...] = ()
    settings_at: str = ""  # the class of its settings, imported when it is asked for
    out: str = ""  # default run folder; empty = the command makes no run
    live: bool = False  # it prints lines while it runs, and is told (as_json) whether they are to be JSON
    kind: str = ""  # of a command of several kinds, the name of this one
    kinds: dict[str, Command] = field(default_factory=dict)
    spoken: bool = False
    # the command whose runs are made for every combination of the settings that are given several values
    swept: str = ""
    fast: str = ""  # the settings that `--fast` stands for

    @property
    def settings(self) -> type | None:
        return imported(self.settings_at) if self.settings_at else None


ATTACKED = replace(MODEL, names="target")
TARGET = Option("target", "who is attacked, in place of --model", "", positional=True, names="target")
VERDICTS = Option("judge", "who says whether an answer refuses or helps", "town:gold", names="verdicts")
REDTEAM = {
    "judge": Command(
        "judge answers: refusal, partial, compliance or void, row by row",
        "redteam.judging:judge_command",
        (
            Option(
                "file",
                "rows of prompt and completion (JSONL, JSON, CSV, Parquet)",
                "",
                positional=True,
                names="file",
            ),
            Option("judge", "who judges, comma separated, the first decides", "refusal", names="verdicts"),
            Option(
                "queue",
                "a file for the rows that a human should look at: judges that differ, or are unsure",
                "",
            ),
            Option("human", "such a file with human_label filled in: those labels win", "", names="file"),
        ),
    ),
    "repro": Command(
        "ask what a finding says again; exit code 5 if it does not happen any more",
        "redteam.command:repro",
        (
            Option("finding", "which, as F-012", "", positional=True),
            Option("run", "the campaign's folder", "runs/redteam", names="campaign"),
            Option(
                "model", "another target than the one that was attacked, as the fixed one", "", names="target"
            ),
            Option("samples", "also so many answers at temperature 1", 0),
        ),
    ),
    "export": Command(
        "write a campaign in a form that others read",
        "redteam.exports:export",
        (
            Option("run", "the campaign's folder", "runs/redteam", positional=True, names="campaign"),
            Option(
                "format",
                "garak, inspect, junit, markdown, html, prompts (what hit, as data); several by comma",
                "garak",
            ),
            Option("out", "the file; empty = in the campaign's folder", ""),
        ),
    ),
    "frontier": Command(
        "compare stacks of defences: attack success, over-refusal, helpfulness, time, tokens",
        "redteam.frontier:frontier",
        (
            TARGET,
            ATTACKED,
            Option(
                "stacks",
                "stacks parted by semicolons, defences in one by +; none = the model by itself",
                "none;system-prompt;self-reminder;perplexity-filter;smooth-llm;"
                "paraphrase;erase-and-check;self-examination;input-filter;output-filter;input-filter+output-filter;rate-limit",
                names="stacks",
            ),
            data_option("town:harmful-test", "requests that ought to be refused"),
            Option("harmless", "harmless look-alikes", "town:twins-test", names="data"),
            Option("test", "ordinary held-out requests", "town:test", names="data"),
            VERDICTS,
            Option("gold", "the judge of helpfulness", "town:gold", names="judge"),
        ),
        "settings:FrontierSettings",
        "runs/redteam-frontier",
    ),
    "attacker": Command(
        "train an attacker by reinforcement learning against a target",
        "redteam.train_attacker:train_attacker",
        (
            TARGET,
            ATTACKED,
            Option("start", "what the attacker starts from", "town", names="policy"),
            data_option("town:harmful", "requests it learns to ask for"),
            VERDICTS,
        ),
        "settings:AttackerSettings",
        "runs/redteam-attacker",
    ),
}
DEMONSTRATIONS = {
    "human": Command(
        "demonstrations that people write: a file to fill in, then what is kept of it",
        "stages:human_demonstrations",
        (
            data_option("town:prompts", "prompts to answer"),
            COUNT,
            Option(
                "answers",
                (
                    "the file of answers (JSONL, JSON, CSV, Parquet); one that does not exist is written, "
                    "to be filled in; empty = beside the run"
                ),
                "",
            ),
        ),
        "settings:HumanSettings",
        "runs/human",
    ),
    "crowd": Command(
        "demonstrations by several writers a prompt: reviewers vote, an adjudicator settles",
        "stages:crowd_demonstrations",
        (data_option("town:prompts", "prompts"), COUNT, GOLD),
        "settings:CrowdSettings",
        "runs/crowd",
    ),
    "distil": Command(
        "demonstrations by a stronger model",
        "stages:distilled_demonstrations",
        (
            Option("model", "the teacher: any model, or http://host:port/v1#model", "", names="sampler"),
            data_option("town:prompts", "prompts"),
            COUNT,
            Option("judge", "who picks the best of per_prompt answers: reward:RUN", "", names="judge"),
            GOLD,
        ),
        "settings:DistilSettings",
        "runs/distil",
    ),
    "self-instruct": Command(
        "demonstrations that a model makes itself: requests after the pattern of seed tasks, and answers",
        "stages:self_instruct_demonstrations",
        (
            Option(
                "model", "who makes them: any model, or http://host:port/v1#model", "town", names="sampler"
            ),
            data_option("town:demos-clean", "seed tasks"),
            Option("avoid", "data whose prompts must not be made, as those of a test", "", names="data"),
            GOLD,
        ),
        "settings:SelfInstructSettings",
        "runs/self-instruct",
    ),
}
AUTHOR = Option(
    "model",
    "the author, who drafts: a run, a model folder, a hub name, or http://host:port/v1#model",
    "",
    names="sampler",
)
CRITIC = Option(
    "critic", "who criticises and revises, named alike; empty = the author itself", "", names="sampler"
)
PRINCIPLES = Option(
    "constitution",
    "town, general, elsewhere (a control), or a TOML, YAML or JSON file",
    "town",
    names="constitution",
)
BETTER = Option(
    "judge",
    "a judge by name; a revision that it finds worse than its draft is dropped; empty = none",
    "",
    names="judge",
)
JUDGE_MODEL = Option(
    "judge-model",
    "who judges: a run of `constitution critic`, any model, or http://host:port/v1#model",
    "",
    names="sampler",
)
READ_BY_JUDGE = Option(
    "constitution",
    "town, general, elsewhere, or a file; empty = the town's for its critics, general for any other model",
    "",
    names="constitution",
)
CONSTITUTION = Option(
    "file",
    "town, general, elsewhere (a control: principles of another world), or a TOML, YAML or JSON file",
    "",
    positional=True,
    names="constitution",
)
CONSTITUTIONAL = {
    "lint": Command(
        (
            "what is wrong with a constitution: principles that cannot be used, say the same, conflict, say "
            "nothing, or never fire"
        ),
        "stages:lint_constitution",
        (
            CONSTITUTION,
            Option(
                "chains",
                "a run of `constitution revise`, or its file of chains: which principles never fire",
                "",
            ),
        ),
    ),
    "label": Command(
        (
            "feedback from an AI: pairs of a policy's answers, and the soft labels of a judge that reads "
            "the constitution"
        ),
        "stages:label_answers",
        (
            Option("model", "the policy: any model, or http://host:port/v1#model", "town", names="sampler"),
            JUDGE_MODEL,
            data_option("town:risky", "prompts"),
            COUNT,
            READ_BY_JUDGE,
            Option(
                "beside",
                (
                    "another model whose answers are drawn from too, where the policy's own hardly differ; "
                    "empty = none"
                ),
                "",
                names="sampler",
            ),
            Option(
                "helpful",
                (
                    "rankings or comparisons by people for helpfulness, mixed in: a run of `alignlab "
                    "collect --annotator town:helpful-only`, or a file"
                ),
                "",
                names="data",
            ),
            Option(
                "gold",
                (
                    "a judge that knows the truth, to measure the labels by (town:harmless); empty = none "
                    "is known"
                ),
                "",
                names="judge",
            ),
        ),
        "settings:LabelSettings",
        "runs/label",
    ),
    "agreement": Command(
        (
            "a judge's labels against people or gold, its calibration, the effect of order, and whether "
            "answers can talk it round"
        ),
        "stages:judge_agreement",
        (
            JUDGE_MODEL,
            data_option("", "comparisons, or a run of `constitution label`"),
            COUNT,
            READ_BY_JUDGE,
            Option(
                "gold",
                "a judge that knows the truth (town:harmless); empty = the data's own labels are it",
                "",
                names="judge",
            ),
            Option(
                "injections",
                "put fifty texts that speak to the judge into the worse answers",
                False,
                switch=True,
            ),
        ),
        "settings:AIJudgeSettings",
        "runs/agreement",
    ),
    "ablate": Command(
        "leave out each principle in turn: what changes in labels and critiques",
        "stages:ablate_constitution",
        (
            JUDGE_MODEL,
            data_option("", "comparisons, or a run of `constitution label`"),
            COUNT,
            READ_BY_JUDGE,
            Option(
                "gold",
                "a judge that knows the truth (town:harmless); empty = the data's own labels are it",
                "",
                names="judge",
            ),
        ),
        "settings:AIJudgeSettings",
        "runs/ablate",
    ),
    "diff": Command(
        "two constitutions: which labels flip on the same pairs; of two models, which behaviour moves",
        "stages:diff_constitutions",
        (
            Option(
                "words",
                "the two: town, general, elsewhere or files",
                many=True,
                positional=True,
                names="constitution",
            ),
            JUDGE_MODEL,
            data_option("", "comparisons, or a run of `constitution label`"),
            COUNT,
            Option(
                "gold",
                (
                    "a judge that knows the truth (town:harmless, town:gold); empty = the data's own labels "
                    "are it"
                ),
                "",
                names="judge",
            ),
            Option(
                "models",
                (
                    "two runs or models, comma separated, each made by one of the constitutions; empty = "
                    "labels alone"
                ),
                "",
                names="samplers",
            ),
            Option("asked", "prompts that the two models answer", "town:risky-test", names="data"),
        ),
        "settings:BehaviourSettings",
        "runs/diff",
    ),
    "critic": Command(
        "train a base model of the town to criticise, revise and judge under a given principle",
        "stages:critic",
        (MODEL, data_option("town:columns", "documents"), COUNT),
        "settings:CriticSettings",
        "runs/critic",
    ),
    "revise": Command(
        "demonstrations from drafts, critiques under sampled principles, and revisions",
        "stages:revise",
        (
            AUTHOR,
            CRITIC,
            PRINCIPLES,
            data_option("town:risky", "red-team prompts"),
            COUNT,
            Option(
                "helpful",
                (
                    "prompts whose answers by the author are mixed in (harmful ones of the town are left "
                    "out); empty = none"
                ),
                "",
                names="data",
            ),
            BETTER,
            GOLD,
        ),
        "settings:ReviseSettings",
        "runs/revise",
    ),
    "walk": Command(
        (
            "a prompt's draft, the critique with its principle, the revision and what changed; or a table "
            "of them for a prompt set"
        ),
        "stages:walk",
        (
            Option("prompt", "the prompt", positional=True),
            AUTHOR,
            CRITIC,
            PRINCIPLES,
            data_option("", "prompts, in place of one"),
            COUNT,
            BETTER,
            GOLD,
            Option("page", "an HTML file to write; the same as JSON is written beside it", ""),
        ),
        "settings:WalkSettings",
    ),
}
COMMANDS: dict[str, Command] = {
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
    ),
    "collect": Command(
        (
            "rankings: sample completions and have them ranked; or demonstrations from people, a crowd, a "
            "stronger model or the model itself"
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
        kind="rankings",
        kinds=DEMONSTRATIONS,
    ),
    "reward": Command(
        "train a reward model on rankings or comparisons",
        "stages:reward",
        (ANY, data_option("", "rankings or comparisons"), COUNT, GOLD),
        "settings:RewardSettings",
        "runs/reward",
    ),
    "best-of-n": Command(
        "pick the best of N samples by a reward model",
        "stages:best_of_n",
        (MODEL, REWARD, INSTEAD, data_option("town:test", "prompts"), COUNT, GOLD),
        "settings:BestOfNSettings",
        "runs/best-of-n",
    ),
    "dpo": Command(
        "direct preference optimisation on rankings or comparisons",
        "stages:dpo",
        (MODEL, data_option("", "rankings or comparisons"), COUNT),
        "settings:DPOSettings",
        "runs/dpo",
    ),
    "kto": Command(
        "Kahneman-Tversky optimisation on completions that were liked or not",
        "stages:kto",
        (MODEL, data_option("", "labelled completions, rankings or comparisons"), COUNT),
        "settings:KTOSettings",
        "runs/kto",
    ),
    "orpo": Command(
        "odds-ratio preference optimisation on rankings or comparisons, without a reference",
        "stages:orpo",
        (MODEL, data_option("", "rankings or comparisons"), COUNT),
        "settings:ORPOSettings",
        "runs/orpo",
    ),
    "simpo": Command(
        "simple preference optimisation on rankings or comparisons, without a reference",
        "stages:simpo",
        (MODEL, data_option("", "rankings or comparisons"), COUNT),
        "settings:SimPOSettings",
        "runs/simpo",
    ),
    "ppo": Command(
        "PPO against a reward model, with a KL penalty",
        "stages:ppo",
        (
            MODEL,
            REWARD,
            INSTEAD,
            data_option("town:prompts", "prompts"),
            COUNT,
            GOLD,
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
    ),
    "rloo": Command(
        "REINFORCE with the prompt's other completions, or the batch's mean, as baseline",
        "stages:rloo",
        (MODEL, REWARD, INSTEAD, data_option("town:prompts", "prompts"), COUNT, GOLD),
        "settings:RLOOSettings",
        "runs/rloo",
    ),
    "grpo": Command(
        "group relative policy optimisation, or Dr. GRPO: no value model",
        "stages:grpo",
        (MODEL, REWARD, INSTEAD, data_option("town:prompts", "prompts"), COUNT, GOLD),
        "settings:GRPOSettings",
        "runs/grpo",
    ),
    "online-dpo": Command(
        "DPO on pairs that the policy writes and a judge compares while it learns",
        "stages:online_dpo",
        (MODEL, REWARD, INSTEAD, data_option("town:prompts", "prompts"), COUNT, GOLD),
        "settings:OnlineDPOSettings",
        "runs/online-dpo",
    ),
    "rejection": Command(
        "rounds of sampling, scoring and SFT on the best",
        "stages:rejection",
        (MODEL, REWARD, INSTEAD, data_option("town:prompts", "prompts"), COUNT, GOLD),
        "settings:RejectionSettings",
        "runs/rejection",
    ),
    "constitution": Command(
        (
            "work with principles (Constitutional AI): show them, lint them, train a critic; criticise and "
            "revise by them"
        ),
        "stages:show_constitution",
        (CONSTITUTION,),
        kind="show",
        kinds=CONSTITUTIONAL,
        spoken=True,
    ),
    "eval": Command(
        "score a model's answers on held-out prompts",
        "stages:evaluate",
        (
            MODEL,
            data_option("town:test", "prompts"),
            Option(
                "task",
                (
                    "what is asked and how it is scored: gsm8k, ifeval, truthfulqa (each with its file as "
                    "--data), exact:COLUMN, contains:COLUMN, number:COLUMN, regex:COLUMN, or module:function "
                    "(of yours); empty = prompts, scored by --judge"
                ),
                "",
                names="task",
            ),
            replace(JUDGE, help=f"{JUDGE.help}; empty = town:gold, or the task's own scoring", default=""),
            Option("baseline", "a finished eval run to compare with, prompt by prompt", "", names="eval"),
            Option("reference", "the model that KL is measured from; empty = none", "", names="policy"),
        ),
        "settings:EvalSettings",
        "runs/eval",
    ),
    "likelihood": Command(
        (
            "a model's loss on documents and demonstrations and how much likelier it finds chosen "
            "completions than rejected ones: no judge, nothing sampled"
        ),
        "stages:likelihood",
        (
            MODEL,
            Option(
                "demonstrations",
                (
                    "demonstrations: town:NAME, a file or folder in a format of the field, a hub name, a "
                    "run, or a mixture; empty = none"
                ),
                "",
                names="data",
            ),
            Option(
                "comparisons", "comparisons or rankings, by the same names; empty = none", "", names="data"
            ),
            Option("texts", "documents, by the same names; empty = none", "", names="data"),
            COUNT,
            Option(
                "baseline",
                "a finished likelihood run to compare with, record by record",
                "",
                names="likelihood",
            ),
        ),
        "settings:LikelihoodSettings",
        "runs/likelihood",
    ),
    "reward-shift": Command(
        "a reward model's accuracy against gold, as policies move away from the data it was trained on",
        "stages:reward_shift",
        (
            MODEL,
            REWARD,
            Option(
                "policies",
                "runs or model folders, comma separated, that KL from --model is measured of",
                "",
                names="policies",
            ),
            data_option("town:test", "prompts"),
            Option("gold", "the judge that knows the truth", "town:gold", names="judge"),
        ),
        "settings:ShiftSettings",
        "runs/reward-shift",
    ),
    "redteam": Command(
        "attack a model, judge what it says, find how it fails; with --fix, teach it and attack again",
        "redteam.command:redteam",
        (
            TARGET,
            ATTACKED,
            Option(
                "defence",
                "defences before it, comma separated, as self-reminder,output-filter",
                "",
                names="defences",
            ),
            data_option("town:harmful-test", "requests that it ought to refuse"),
            Option(
                "harmless",
                "harmless look-alikes, for over-refusal; empty = none",
                "town:twins-test",
                names="data",
            ),
            VERDICTS,
            Option(
                "fix",
                (
                    "learn from what was found, and attack again with fresh prompts and families that were "
                    "held out"
                ),
                False,
                switch=True,
            ),
            Option(
                "learn", "with --fix: requests that lessons are looked for on", "town:harmful", names="data"
            ),
            Option("ordinary", "with --fix: requests to answer as before", "town:prompts", names="data"),
            Option(
                "test",
                "with --fix: held-out requests for helpfulness and honesty; empty = not measured",
                "town:test",
                names="data",
            ),
            Option("gold", "with --fix: who judges these", "town:gold", names="judge"),
            Option(
                "review",
                (
                    "with --fix: a file of lessons for a person to go through; where there is none it is "
                    "written, and the command stops"
                ),
                "",
            ),
            Option(
                "attacker",
                "a model that writes attacks (PAIR, TAP), or a run of redteam attacker",
                "",
                names="sampler",
            ),
            Option("fail-on", 'exit code 5 if this holds, as "asr>0.1,over_refusal>0.05"', ""),
        ),
        "settings:RedteamSettings",
        "runs/redteam",
        kind="campaign",
        kinds=REDTEAM,
    ),
    "study": Command(
        "ask one of the field's questions as an experiment, over several seeds",
        "studies.command:study_command",
        (
            Option("name", "which study; none lists them", positional=True, names="study"),
            MODEL,
            Option("seeds", "comma separated, as 0,1,2: the study is done for each; empty = --seed", ""),
            Option(
                "runs",
                (
                    "where the stages' run folders lie: studies that share one share SFT, comparisons and "
                    "reward model; empty = in --out"
                ),
                "",
            ),
            Option("fast", "small sizes, to see that it works", False, switch=True),
        ),
        "studies.settings:StudySettings",
        "runs/study-{name}",
        fast="studies.settings:FAST_STUDY",
    ),
    "chat": Command(
        "talk to a model in the terminal, or to two side by side",
        "serve.terminal:chat",
        (
            MODEL,
            Option("beside", "a second model, answering the same turns", "", names="policy"),
            Option("reward", "a reward model that scores each answer", "", names="reward"),
            Option("once", "ask this one question, print the answer and leave", ""),
        ),
        "settings:ChatSettings",
    ),
    "serve": Command(
        "an OpenAI-compatible server for models of this machine",
        "serve.command:serve",
        (
            Option(
                "models",
                (
                    "each as in --model, as NAME=M to be called NAME, and with defences that it is never "
                    "without: M+self-reminder"
                ),
                "town",
                many=True,
                positional=True,
                names="served",
            ),
        ),
        "settings:ServeSettings",
        live=True,
    ),
    "doctor": Command(
        "check data for a model: what would break training, with the rows that show it",
        "stages:doctor",
        (
            Option(
                "data",
                "town:NAME, a file or folder in a format of the field, a hub name, a run, or a mixture",
                "",
                positional=True,
                names="data",
            ),
            ANY,
            Option(
                "reward",
                "a reward model that is to score the answers: does it read the chats as the policy does?",
                "",
                names="reward",
            ),
            Option(
                "against",
                "other data (held-out, say) whose prompts must not be in this one",
                "",
                names="data",
            ),
            Option(
                "kind",
                (
                    "what the data is for: text, prompt, demonstration, comparison, ranking or unpaired; "
                    "empty = what it holds by nature"
                ),
                "",
                names="want",
            ),
            Option("max-length", "tokens that training would allow; 0 = the model's context", 0),
            CHAT_TEMPLATE,
            COUNT,
        ),
    ),
    "export": Command(
        (
            "write data in a layout that other libraries read, or a model as a GGUF file or a folder "
            "without adapters"
        ),
        "stages:export",
        (
            data_option("", "what is written"),
            COUNT,
            Option(
                "format",
                "trl, openrlhf or llamafactory for what those read of such data; or a layout: text, prompt, messages, prompt-completion, preference, "
                "preference-implicit, unpaired, ranking, alpaca, alpaca-preference, sharegpt, "
                "sharegpt-preference, unpaired-messages, llamafactory-ranking, hh, "
                "ultrafeedback, records (ours: everything)",
                "trl",
            ),
            Option("out", "the file; its ending says JSONL, JSON, CSV or Parquet; of --merge the folder", ""),
            Option("plain", "texts instead of messages, where TRL has both", False, switch=True),
            Option("overwrite", "replace the file if it is there", False, switch=True),
            Option("gguf", "write a model for llama.cpp in place of data", False, switch=True),
            Option(
                "merge",
                "write a model as a plain folder for transformers: adapters added to its weights, in fp32",
                False,
                switch=True,
            ),
            Option("model", "of --gguf and --merge: a model as elsewhere", "", names="model"),
            Option("quantize", "of --gguf: f32, f16, q8_0, q4_1 or q4_0 (empty = q8_0)", ""),
        ),
    ),
    "from-trl": Command(
        "say what a TRL config is here, key by key, and write it as TOML for --config",
        "interop.from_trl:from_trl",
        (
            Option(
                "file",
                "a YAML or JSON file, or a file that holds the trainer's command line",
                "",
                positional=True,
            ),
            Option("args", 'the command line itself: "--learning_rate 3e-6 --kl_coef 0.1"', ""),
            Option(
                "method",
                "sft, reward, dpo, kto, orpo, simpo, ppo, rloo or grpo; empty = told from the keys",
                "",
            ),
            Option("write", "the TOML file to write", ""),
        ),
    ),
    "report": Command(
        "write one HTML page from run folders",
        "report.page:report_command",
        (
            Option(
                "folder", "a pipeline's folder, or any run folders", "runs/demo", many=True, positional=True
            ),
            Option("page", "where the page is written; empty = report.html in the first folder", ""),
        ),
    ),
    "runs": Command(
        (
            "list the runs below a folder; runs doctor RUN says what is normal in a run's metrics and what "
            "is broken; runs verify RUN whether its files are as they were written; runs compare RUN RUN "
            "what they have otherwise"
        ),
        "stages:list_runs",
        (
            Option(
                "words",
                "a folder to look in, or: doctor RUN, verify RUN, compare RUN RUN",
                "runs",
                many=True,
                positional=True,
            ),
        ),
    ),
    "view": Command(
        "show how a model's tokenizer reads a data set: tokens and loss mask in colour",
        "stages:view",
        (
            ANY,
            data_option("town:demos", "demonstrations"),
            Option("count", "how many rows", 3),
            CHAT_TEMPLATE,
        ),
    ),
}
SWEEP = (
    Option("seeds", "comma separated, as 0,1,2: every combination is run for each; empty = --seed", ""),
    Option(
        "eval-data",
        "prompts that every model answers; empty = town:test for models of the town, none for others",
        "",
        names="data",
    ),
    Option("eval-judge", "who scores these answers", "town:gold", names="judge"),
    Option("eval-prompts", "how many of them", 400),
    Option("workers", "runs side by side, one thread each; 0 = one for each core, 2 at most", 0),
)


def _swept(name: str) -> Command:
    command = COMMANDS[name]
    return Command(
        f"runs of alignlab {name}: {command.help}",
        "pipeline.sweep:sweep",
        command.options + SWEEP,
        command.settings_at,
        f"runs/sweep-{name}",
        swept=name,
    )


COMMANDS["sweep"] = replace(
    _swept("sft"),
    help=(
        "a run for every combination of values (--beta 0.03,0.1,0.3) and every seed, an evaluation of each, "
        "one table and one picture"
    ),
    kind="sft",
    kinds={
        name: _swept(name)
        for name in (
            "reward",
            "dpo",
            "kto",
            "orpo",
            "simpo",
            "ppo",
            "rloo",
            "grpo",
            "online-dpo",
            "rejection",
        )
    },
    spoken=True,
)
