"""Work with a constitution."""

from __future__ import annotations

from .command import Command, Option
from .options import COUNT, GOLD, MODEL, data_option

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
TRUTH = Option(
    "gold",
    "a judge that knows the truth (town:harmless); empty = the data's own labels are it",
    "",
    names="judge",
)
COMPARED = data_option("", "comparisons, or a run of `constitution label`")
KINDS: dict[str, Command] = {
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
        in_parts=True,
    ),
    "agreement": Command(
        (
            "a judge's labels against people or gold, its calibration, the effect of order, and whether "
            "answers can talk it round"
        ),
        "stages:judge_agreement",
        (
            JUDGE_MODEL,
            COMPARED,
            COUNT,
            READ_BY_JUDGE,
            TRUTH,
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
        (JUDGE_MODEL, COMPARED, COUNT, READ_BY_JUDGE, TRUTH),
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
            COMPARED,
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
PRINCIPLED: dict[str, Command] = {
    "constitution": Command(
        (
            "work with principles (Constitutional AI): show them, lint them, train a critic; criticise and "
            "revise by them"
        ),
        "stages:show_constitution",
        (CONSTITUTION,),
        kind="show",
        kinds=KINDS,
        spoken=True,
    )
}
