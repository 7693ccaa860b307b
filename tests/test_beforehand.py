"""What can be known from names, files and settings is said before anything heavy is imported, whatever the
command.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alignlab import cli
from alignlab.cli.beforehand import OURS, named, names_in
from alignlab.cli.commands import COMMANDS, Command
from alignlab.errors import ConfigError, UserError
from alignlab.names import known
from alignlab.settings import rules
from alignlab.settings.resolve import dotted, resolve
from alignlab.town import base

from .scripts import without_torch


def kinds() -> list[tuple[list[str], Command]]:
    """Every command, each of its kinds by itself."""
    found = []
    for name, command in COMMANDS.items():
        found.append(([name], command))
        found += [
            ([name, kind] if command.spoken or name == "redteam" else [name, "--kind", kind], other)
            for kind, other in command.kinds.items()
        ]
    return found


def model_folder(folder: Path, architecture: str, **more: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"architectures": [architecture], **more}))
    (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")  # no tensor in it
    (folder / "tokenizer.json").write_bytes((base.shipped("town-s") / "tokenizer.json").read_bytes())
    return folder


def run_folder(folder: Path, stage: str, architecture: str = "", **more: Any) -> Path:
    """A finished run, as its name is looked at."""
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(
        json.dumps(
            {
                "stage": stage,
                "status": "done",
                "key": stage,
                "seed": 0,
                "parents": [],
                "data": {},
                "commit": "",
                "versions": {},
                "machine": {},
                "started": 0.0,
                "seconds": 1.0,
            }
        )
    )
    (folder / "config.json").write_text("{}")
    if architecture:
        model_folder(folder / "checkpoint", architecture, **more)
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, runs and data by name: right ones, and ones of the wrong kind."""
    folder = tmp_path_factory.mktemp("world")
    model_folder(folder / "policy", "LlamaForCausalLM")
    model_folder(folder / "scores", "LlamaForSequenceClassification")
    run_folder(folder / "sft", "sft", "LlamaForCausalLM")
    run_folder(folder / "reward", "reward", "LlamaForSequenceClassification")
    run_folder(folder / "cost", "reward", "LlamaForSequenceClassification", cost_model=True)
    run_folder(folder / "gone", "reward")
    run_folder(folder / "eval", "eval")
    (folder / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    (folder / "notes.docx").write_text("x")
    (folder / "empty").mkdir()
    return folder


WRONG = {
    "model": ["no-such-model", "{w}/policyy", "{w}/empty", "{w}/gone", "nobody/has-this", "http://host/v1#m"],
    "policy": ["{w}/reward", "{w}/scores", "{w}/sfft", "./none"],
    "policies": ["{w}/sft,{w}/reward"],
    "samplers": ["{w}/sft,{w}/nil"],
    "sampler": ["{w}/reward", "http://host/v1", "{w}/nil"],
    "target": ["bot:base46", "{w}/reward"],
    "reward": [
        "{w}/sft",
        "{w}/policy",
        "{w}/gone",
        "{w}/rewardd",
        "ensemble:worst:{w}/sft,{w}/reward",
        "ensemble:best:{w}/reward",
        "town",
    ],
    "cost": ["{w}/reward", "{w}/sft"],
    "judge": [
        "town:golden",
        "reward:{w}/sft",
        "reward:{w}/nil",
        "ai:{w}/nil",
        "ai:town,constitution={w}/nil.toml",
        "ensemble:worst:",
        "gated:{w}/reward",
        "{w}/reward",
        "my_rewards:short",
        "python:my_rewards:short",
    ],
    "annotator": [
        "town:fare",
        "fair",
        "pool:town:fair*2,town:lazy",
        "reward:{w}/sft",
        "nobody",
        "town:knows=1.5",
        "town:people={w}/nil.json",
    ],
    "annotators": ["town:fair,town:lazy"],
    "writers": ["town:careful,town:lazy", "{w}/nil.jsonl"],
    "data": [
        "{w}/rowz.jsonl",
        "town:demoz",
        "{w}/notes.docx",
        "mix:0.5={w}/nil.jsonl+0.5=town:demos",
        "columns:prompt=q:{w}/nil.jsonl",
        "a\0b",
        "{w}/nil/rows.jsonl",
    ],
    "file": ["{w}/nil.jsonl", "{w}/empty"],
    "constitution": ["{w}/nil.toml", "towm"],
    "chat-template": ["{w}/nil.jinja", "chatlm"],
    "tracker": ["wandbee"],
    "endpoint": ["town", "http://host/v1"],
    "eval": ["{w}/sft", "{w}/nil"],
    "likelihood": ["{w}/eval"],
    "campaign": ["{w}/sft", "{w}/nil"],
    "recipe": ["instructgtp"],
    "attacks": ["storry", "jailbrake"],
    "defences": ["self-remindr", "self-reminder,self-reminder"],
    "stacks": ["none;self-remindr"],
    "verdicts": ["refussal", "strongreject:", "strongreject:{w}/nil"],
    "served": ["{w}/nil", "x=town+self-remindr", "{w}/reward"],
    "want": ["demonstrations"],
    "task": ["gsm9k", "exact:"],
}
"""Names that are none of their kind, `{w}` being the world."""


def test_every_kind_of_name_has_wrong_ones_here() -> None:
    assert set(WRONG) == {*known.KINDS, *OURS}
    used = {option.names for _, command in kinds() for option in command.options} | {
        kind for _, c in kinds() if c.settings for _, kind, _ in names_in(c.settings())
    }
    assert used - {""} <= set(WRONG) and set(WRONG) - used <= {"model", "samplers"} | used


def test_a_wrong_name_is_refused_by_every_command_without_torch(world: Path, tmp_path: Path) -> None:
    commands, wanted = [], list[str]()
    for words, command in kinds():
        named_settings = (
            [(dotted_name, kind) for dotted_name, kind, _ in names_in(command.settings())]
            if command.settings
            else []
        )
        options = [
            (f"--{o.flag}" if not o.positional else "", o.names) for o in command.options if o.names
        ] + [(f"--{name}", kind) for name, kind in named_settings]
        for flag, kind in options:
            for name in WRONG[kind] if kind not in wanted else WRONG[kind][:1]:
                wrong = name.format(w=world)
                arguments = [
                    *words,
                    *([flag] if flag else []),
                    wrong,
                    *(["--out", str(tmp_path / "run")] if command.out else []),
                ]
                commands.append(arguments)
                wanted.append(kind)
    assert len(commands) > 200
    for arguments, kind, (code, out, err, tried) in zip(
        commands, wanted, without_torch(commands), strict=True
    ):
        assert code in (2, 3, 4) and not tried, (arguments, kind, code, err, tried)
        assert err.startswith("alignlab: ") and "remedy:" in err and out == "", (arguments, err)
    assert not list(tmp_path.iterdir())


NEAR = {
    "town:fare": "town:fair",
    "town:golden": "town:gold",
    "instructgtp": "instructgpt",
    "town:demoz": "town:demos",
    "towm": "town",
    "fair": "town:fair",
    "bot:base46": "bot:base64",
    "self-remindr": "self-reminder",
    "chatlm": "chatml",
    "refussal": "refusal",
    "{w}/sfft": "{w}/sft",
    "{w}/rowz.jsonl": "{w}/rows.jsonl",
    "{w}/rewardd": "{w}/reward",
}


@pytest.mark.parametrize("wrong", NEAR)
def test_the_nearest_name_is_offered(wrong: str, world: Path) -> None:
    kind = next(
        kind
        for kind, names in WRONG.items()
        if wrong in names and (wrong != "self-remindr" or kind == "defences")
    )
    with pytest.raises(UserError) as said:
        named(kind, wrong.format(w=world), "--x")
    assert f"did you mean {NEAR[wrong].format(w=world)}?" in said.value.remedy, said.value


@pytest.mark.parametrize(
    "name",
    [
        "a" * 5000,
        "a/" * 3000,
        "a\0b",
        "~nobody-of-that-name/x",
        "\udcff",
        "reward:" + "b" * 4000,
        "mix:1=" + "c" * 4000,
    ],
)
@pytest.mark.parametrize("kind", sorted(WRONG))
def test_names_that_no_system_has_are_one_clear_error(kind: str, name: str) -> None:
    with pytest.raises(UserError):
        named(kind, name, "--x")


def test_right_names_pass(world: Path) -> None:
    right = {
        "model": ["town", "{w}/policy", "{w}/reward"],
        "policy": ["{w}/sft", "town-s"],
        "reward": ["{w}/reward", "{w}/scores", "ensemble:worst:{w}/reward,{w}/cost"],
        "cost": ["{w}/cost"],
        "judge": [
            "town:gold",
            "constant",
            "reward:{w}/reward",
            "gated:{w}/reward,{w}/cost",
            "ai:town",
            "ai:http://host:1/v1#m,constitution=general",
        ],
        "annotator": [
            "town:fair",
            "town:pool",
            "town:knows=0.2+agreeing=0.4+T=0.1",
            "town:people/hill",
            "random",
            "pool:town:fair*6,town:careless*2",
            "reward:{w}/reward",
            "town:gold",
        ],
        "data": [
            "{w}/rows.jsonl",
            "{w}/sft",
            "{w}",
            "town:demos",
            "mix:0.5=town:demos+0.5={w}/rows.jsonl",
            "columns:prompt=q,completion=a:{w}/rows.jsonl",
            "{w}/sft,{w}/rows.jsonl",
            "owner/name",
        ],
        "served": ["town", "x=town+self-reminder", "town-s+output-filter"],
        "verdicts": ["refusal,town:gold", "canary:x", "strongreject:town"],
        "defences": ["self-reminder,output-filter"],
        "stacks": ["none;self-reminder;input-filter+output-filter"],
        "attacks": ["standard,-story", "none"],
        "target": ["bot:all", "http://host:1/v1#m"],
        "eval": ["{w}/eval"],
    }
    for kind, names in right.items():
        for name in names:
            named(kind, name.format(w=world), "--x")


SETTINGS = {
    "optim.lr": "-1",
    "optim.beta1": "1",
    "optim.warmup": "2",
    "adapter.rank": "-1",
    "adapter.alpha": "0",
    "model.threads": "-1",
    "sampling.temperature": "-1",
    "sampling.top_p": "0",
    "sampling.max_new_tokens": "0",
    "sampling.slots": "-1",
    "endpoint.timeout": "0",
    "endpoint.concurrency": "0",
    "held_out": "1.5",
    "max_length": "0",
    "max_prompt_length": "0",
    "micro_batch": "-1",
    "batch": "0",
    "epochs": "0",
    "steps": "0",
    "rollouts": "0",
    "rounds": "0",
    "per_prompt": "0",
    "beta": "0",
    "workers": "-1",
    "goals": "0",
    "reach": "0",
    "chunk": "0",
    "tokens": "0",
    "n": "0",
    "ppo.rollouts": "7",
    "reward.members": "0",
    "dpo.beta": "0",
    "sft.held_out": "1",
    "rlvr.cliprange": "2",
    "label.certain": "1",
    "revise.rounds": "9",
    "kl_frontier.ppo.steps": "0",
    "best_of": "1",
    "gamma": "-2",
    "similarity": "0",
    "majority": "0",
    "from_others": "2",
}


def test_a_setting_that_cannot_be_is_refused_by_every_command_without_torch(tmp_path: Path) -> None:
    commands = []
    for words, command in kinds():
        for name, value in SETTINGS.items():
            if command.settings and name in dotted(command.settings):
                try:  # a few names take this value elsewhere: tokens = 0 is no bound
                    rules.check(resolve(command.settings, flags={name: value})[0])
                except ConfigError:
                    commands.append(
                        [
                            *words,
                            f"--{name}",
                            value,
                            *(["--out", str(tmp_path / "run")] if command.out else []),
                        ]
                    )
    assert len(commands) > 150
    for arguments, (code, out, err, tried) in zip(commands, without_torch(commands), strict=True):
        assert code == 3 and not tried and out == "", (arguments, code, err, tried)
    assert not list(tmp_path.iterdir())


def test_a_broken_row_is_said_without_torch(world: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text(
        '{"prompt": "a", "completion": "b", "chosen": "b", "rejected": "c"}\n{"prompt": "a", "compl'
    )
    readers = [
        words
        for words, command in kinds()
        if any(o.flag == "data" for o in command.options)
        and words[-1] not in ("pretrain", "doctor", "walk")
        and words[0] != "sweep"
    ]
    needed = {
        "ppo": ["--reward", f"{world}/reward"],
        "best-of-n": ["--judge", "constant"],
        "eval": ["--judge", "constant"],
        "rloo": ["--judge", "constant"],
        "grpo": ["--judge", "constant"],
        "online-dpo": ["--judge", "constant"],
        "rejection": ["--judge", "constant"],
        "distil": ["--model", f"{world}/sft"],
        "label": ["--judge-model", "town"],
        "agreement": ["--judge-model", "town"],
        "ablate": ["--judge-model", "town"],
        "revise": ["--model", "town"],
        "reward-shift": ["--reward", f"{world}/reward"],
        "diff": ["town", "general", "--judge-model", "town"],
        "export": ["--format", "messages"],
    }
    commands = [
        [*words, *needed.get(words[-1], []), "--data", str(broken), "--out", str(tmp_path / "run.jsonl")]
        for words in readers
        if words != ["view"]
    ]
    assert len(commands) > 20
    for arguments, (code, _, err, tried) in zip(commands, without_torch(commands), strict=True):
        assert code == 4 and "broken.jsonl:" in err and not tried, (arguments, code, err, tried)
    assert [item.name for item in tmp_path.iterdir()] == ["broken.jsonl"]


MISSING = [
    ("ppo", "--reward"),
    ("rloo", "--reward"),
    ("grpo --reward town:x --judge constant", "town:x"),
    ("online-dpo", "--reward"),
    ("rejection", "--reward"),
    ("best-of-n", "--reward"),
    ("dpo", "--data"),
    ("kto", "--data"),
    ("reward", "--data"),
    ("eval --data {w}/rows.jsonl", "--judge"),
    ("likelihood", "--texts"),
    ("collect --kind distil", "--model"),
    ("constitution revise", "--model"),
    ("constitution walk", "--data"),
    ("constitution label", "--judge-model"),
    ("constitution ablate", "--data"),
    ("reward-shift", "--reward"),
    ("redteam town --fail-on asr", "--fail-on"),
    ("redteam town --reach 0.5", "--fix"),
    ("redteam bot:clean --fix", "hub name"),
    ("redteam judge", "FILE"),
    ("study kl-frontier --kl_frontier.dpo_betas x", "list of numbers"),
    ("study kl-frontier --seeds x", "0,1,2"),
    ("study kl-frontierr", "did you mean kl-frontier?"),
    ("study sycofancy", "did you mean sycophancy?"),
    ("study flattery", "one of: over-optimisation, "),
    ("run --recipe zephyr --hacking false", "zephyr"),
    ("run --ppo.rollouts 7 --ppo.per_prompt 2", "[ppo]"),
    ("doctor", "DATA"),
    ("export", "--data"),
    ("sft --count -3", "--count"),
    ("pretrain --data town:demos", "--model"),
    ("ppo --reward {w}/reward --cost_limit 0.3", "--cost"),
    ("ppo --reward {w}/reward --ptx_coef 1", "--ptx"),
]


def test_what_is_missing_or_contradicts_is_said_without_torch(world: Path, tmp_path: Path) -> None:
    no_run = ("redteam judge", "doctor", "constitution walk")
    commands = [
        [*command.format(w=world).split(), *([] if command in no_run else ["--out", str(tmp_path / "run")])]
        for command, _ in MISSING
    ]
    for (command, says), (code, _, err, tried) in zip(MISSING, without_torch(commands), strict=True):
        assert code in (2, 3, 4) and says in err and not tried, (command, code, err, tried)


def test_a_run_that_is_done_says_so_without_torch(tmp_path: Path) -> None:
    given = [
        [
            "sft",
            "--model",
            "town-s",
            "--count",
            "8",
            "--epochs",
            "1",
            "--model.threads",
            "1",
            "--out",
            str(tmp_path / "sft"),
        ],
        [
            "eval",
            "--model",
            str(tmp_path / "sft"),
            "--prompts",
            "4",
            "--sampled",
            "false",
            "--model.threads",
            "1",
            "--out",
            str(tmp_path / "eval"),
        ],
    ]
    for arguments in given:
        assert cli.main(arguments) == 0
    for arguments, (code, out, err, tried) in zip(given, without_torch(given), strict=True):
        assert code == 0 and "done already" in out and not tried, (arguments, err, tried)
