"""Options that several commands have, each with its help once."""

from __future__ import annotations

from dataclasses import replace

from .command import Option

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
