"""Bad input through the command line: one clear error with what, where and remedy, the exit code of its kind,
and nothing finished lost.
"""

from __future__ import annotations

import errno
import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from alignlab import cli
from alignlab.models.load import load_policy
from alignlab.records import Prompt
from alignlab.sampling import Sampling
from alignlab.sampling.local import LocalSampler
from alignlab.settings import ModelSettings

CONTEXT = 96
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content | replace('\\t', ' ') }}<end>{% endfor %}{% if "
    "add_generation_prompt %}<assistant>{% endif %}"
)
Says = tuple[int, str]


def write_model(folder: Path, *, template: str = TEMPLATE, pad: str = "<pad>") -> Path:
    """One layer of width 16, a token a byte; its template writes a tab as a space."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={character: i for i, character in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer, inner.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", pad_token=pad)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<user>", "<assistant>", "<spare>"]})
    if template:
        tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=260,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            initializer_range=0.1,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    ).save_pretrained(folder)
    return folder


def write_rows(file: Path, *rows: dict[str, Any]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


DEMONSTRATIONS = [{"prompt": f"say {i}", "completion": f"it is {i}"} for i in range(12)]
PAIRS = [{"prompt": f"say {i}", "chosen": f"it is {i}", "rejected": f"no {i}"} for i in range(12)]
PROMPTS = [{"prompt": f"say {i}"} for i in range(4)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, sound data, and a finished run of SFT and of a reward model."""
    folder = tmp_path_factory.mktemp("world")
    write_model(folder / "model")
    for name, rows in (("demonstrations", DEMONSTRATIONS), ("pairs", PAIRS), ("prompts", PROMPTS)):
        write_rows(folder / f"{name}.jsonl", *rows)
    for stage, data in (("sft", "demonstrations"), ("reward", "pairs")):
        assert (
            cli.main(
                [
                    stage,
                    "--model",
                    str(folder / "model"),
                    "--data",
                    str(folder / f"{data}.jsonl"),
                    "--out",
                    str(folder / stage),
                ]
            )
            == 0
        )
    return folder


@pytest.fixture
def say(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Says]:
    """Gives a command; its exit code and what it wrote to stderr. Without --model and --out it gets the tiny
    model and tmp_path/run, `eval` on a file the constant judge.
    """

    def say(*command: Any) -> Says:
        arguments = [str(argument) for argument in command]
        arguments += [] if "--model" in arguments else ["--model", str(world / "model")]
        arguments += [] if "--out" in arguments or command[0] == "chat" else ["--out", str(tmp_path / "run")]
        if command[0] == "eval" and "--data" in arguments and "--judge" not in arguments:
            arguments += ["--judge", "constant"]
        capsys.readouterr()
        code = cli.main(arguments)
        err = capsys.readouterr().err
        assert "Traceback" not in err and err.count("alignlab: ") == (code != 0)
        return code, err

    return say


def figures(run: Path) -> tuple[Any, ...]:
    """Summary, metrics without those of a clock, and the weights, bit for bit."""
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return (
        json.loads((run / "summary.json").read_text()),
        [{key: value for key, value in row.items() if not key.startswith("time/")} for row in metrics],
        (run / "checkpoint" / "model.safetensors").read_bytes(),
    )


# data


@pytest.mark.parametrize("command", ["sft", "reward", "dpo", "kto", "collect", "eval"])
@pytest.mark.parametrize(
    ("content", "what", "where"),
    [
        pytest.param(b"", "empty", "rows.jsonl", id="empty"),
        pytest.param(b"\n \n", "no rows", "rows.jsonl", id="blank"),
        pytest.param(
            b'{"prompt": "a", "completion": "b", "chosen": "b", "rejected": "c"}\n{"prompt": "a", "compl',
            "",
            "rows.jsonl:2",
            id="truncated",
        ),
        pytest.param('{"prompt": "café"}\n'.encode("latin-1"), "UTF-8", "rows.jsonl", id="latin-1"),
        pytest.param('{"prompt": "a"}\n'.encode("utf-16"), "UTF-8", "rows.jsonl", id="utf-16"),
        pytest.param(
            b'{"prompt": "a", "chosen": "b", "rejected": "c"}\n{"prompt": "a", "completion": "b"}\n',
            "different formats",
            "rows.jsonl:2",
            id="mixed",
        ),
        pytest.param(b'{"colour": "red"}\n', "colour", "rows.jsonl:1", id="unknown columns"),
        pytest.param(b"[1, 2]\n", "", "rows.jsonl:1", id="not rows"),
    ],
)
def test_broken_data(
    command: str, content: bytes, what: str, where: str, say: Callable[..., Says], tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_bytes(content)
    code, err = say(command, "--data", tmp_path / "rows.jsonl")
    assert (
        code == 4
        and what in err
        and f"where:  {tmp_path / where}" in err.splitlines()[1]
        and "remedy: " in err
    ), err
    assert not (tmp_path / "run").exists() and not (tmp_path / "run.partial").exists()


def test_truncated_archives_and_tables(say: Callable[..., Says], tmp_path: Path) -> None:
    packed = gzip.compress(b'{"prompt": "a", "completion": "b"}\n' * 200)
    for name, content in (
        ("rows.jsonl.gz", packed[:-12]),
        ("rows.parquet", b"PAR1" + b"\0" * 40),
        ("rows.json", b'[{"prompt": "a", "completion": "b"},'),
    ):
        (tmp_path / name).write_bytes(content)
        code, err = say("sft", "--data", tmp_path / name)
        assert code == 4 and name in err and "remedy: " in err, err


def test_data_that_is_not_there(say: Callable[..., Says], world: Path, tmp_path: Path) -> None:
    code, err = say("sft", "--data", world / "demonstration.jsonl")
    assert code == 4 and "did you mean" in err and "demonstrations.jsonl" in err
    code, err = say("sft", "--data", "town:demoz")
    assert code == 4 and "demoz" in err and "town:demos" in err
    for command in ("reward", "dpo", "kto", "orpo", "simpo"):
        code, err = say(command)
        assert code == 2 and "--data" in err, err
    code, err = say("dpo", "--data", world / "sft")
    assert code == 4 and "it holds demonstrations" in err
    assert not (tmp_path / "run.partial").exists()


@pytest.mark.parametrize("command", ["sft", "reward", "dpo", "orpo", "simpo"])
def test_a_row_longer_than_the_context_is_cut_or_dropped_and_counted(
    command: str, say: Callable[..., Says], tmp_path: Path
) -> None:
    long = {"prompt": "a" * (CONTEXT + 1), "completion": "b", "chosen": "b", "rejected": "c"}
    data = write_rows(
        tmp_path / "among.jsonl", *({**d, **p} for d, p in zip(DEMONSTRATIONS, PAIRS, strict=True)), long
    )
    code, err = say(command, "--data", data, "--truncate", "drop")
    assert (
        code == 0
        and f"12 of 13 records fit into {CONTEXT} tokens (longest 10" in err
        and "dropped: 1 " in err
    ), err
    code, err = say(command, "--data", data, "--truncate", "start", "--out", tmp_path / "cut")
    assert code == 0 and f"13 of 13 records fit into {CONTEXT} tokens (longest 102), 1 of them cut" in err, (
        err
    )
    code, err = say(
        command,
        "--data",
        write_rows(tmp_path / "alone.jsonl", long),
        "--truncate",
        "drop",
        "--out",
        tmp_path / "alone",
    )
    assert code == 4 and f"0 of 1 records fit into {CONTEXT} tokens" in err, err


@pytest.mark.parametrize("command", ["collect", "best-of-n", "ppo", "eval"])
def test_a_prompt_without_room_for_an_answer_is_dropped_and_counted(
    command: str, say: Callable[..., Says], world: Path, tmp_path: Path
) -> None:
    more = {
        "collect": ("--annotator", "random"),
        "best-of-n": ("--reward", world / "reward"),
        "ppo": ("--reward", world / "reward", "--steps", 1, "--rollouts", 4, "--truncate", "drop"),
        "eval": ("--judge", "constant"),
    }
    given, long = (command, *more[command], "--sampling.max_new_tokens", 8), {"prompt": "a" * (CONTEXT - 8)}
    code, err = say(*given, "--data", write_rows(tmp_path / "among.jsonl", *PROMPTS, long))
    assert code == 0 and "4 of 5 prompts" in err and str(CONTEXT - 5) in err, err
    code, err = say(*given, "--data", write_rows(tmp_path / "alone.jsonl", long), "--out", tmp_path / "alone")
    assert code == 4, err
    assert command == "ppo" or f"the model's context is {CONTEXT}" in err and "max_new_tokens" in err, err


def test_eval_beside_a_baseline_or_picks_with_other_prompts(
    say: Callable[..., Says], world: Path, tmp_path: Path
) -> None:
    """Compared are the prompts that both have answered; where there are none, that is an error."""
    few, other = (
        write_rows(tmp_path / "few.jsonl", *PROMPTS[:3]),
        write_rows(tmp_path / "other.jsonl", {"prompt": "zz"}),
    )
    short = ("--sampling.max_new_tokens", 8)
    assert say("eval", "--data", few, "--judge", "constant", *short, "--out", tmp_path / "before")[0] == 0
    assert (
        say(
            "eval",
            "--data",
            world / "prompts.jsonl",
            "--judge",
            "constant",
            "--baseline",
            tmp_path / "before",
            *short,
            "--out",
            tmp_path / "after",
        )[0]
        == 0
    )
    assert json.loads((tmp_path / "after" / "summary.json").read_text())["paired"]["greedy"]["n"] == 3
    assert (
        say(
            "eval",
            "--data",
            few,
            "--judge",
            "constant",
            *short,
            "--sampled",
            "false",
            "--out",
            tmp_path / "greedy",
        )[0]
        == 0
    )
    assert (
        say(
            "eval",
            "--data",
            few,
            "--judge",
            "constant",
            "--baseline",
            tmp_path / "greedy",
            *short,
            "--out",
            tmp_path / "beside",
        )[0]
        == 0
    )
    assert set(json.loads((tmp_path / "beside" / "summary.json").read_text())["paired"]) == {
        "greedy"
    }  # what both have
    code, err = say(
        "eval",
        "--data",
        other,
        "--judge",
        "constant",
        "--baseline",
        tmp_path / "before",
        *short,
        "--out",
        tmp_path / "none",
    )
    assert code == 4 and "answered none of these prompts" in err, err


def test_a_question_that_does_not_fit_is_refused_in_a_chat(say: Callable[..., Says]) -> None:
    code, err = say("chat", "--once", "a" * CONTEXT)
    assert code == 4 and "too long" in err and f"where {CONTEXT} fit" in err


AFTER_ENCODING = {
    "reward": "fewer than two different completions",
    **dict.fromkeys(("dpo", "orpo", "simpo"), "the same tokens chosen and rejected"),
}


@pytest.mark.parametrize("command", AFTER_ENCODING)
def test_identical_pairs_are_counted_and_alone_refused(
    command: str, say: Callable[..., Says], tmp_path: Path
) -> None:
    same, after = (
        {"prompt": "a", "chosen": "x", "rejected": "x"},
        {"prompt": "b", "chosen": "x y", "rejected": "x\ty"},
    )
    code, err = say(
        command,
        "--data",
        write_rows(tmp_path / "among.jsonl", *PAIRS, same, after),
        "--out",
        tmp_path / "among",
    )
    assert (
        code == 0
        and "dropped: 1 chosen and rejected are the same (first: " in err
        and "among.jsonl:13" in err
    )
    assert "12 of 13 records fit" in err and f"dropped: 1 {AFTER_ENCODING[command]}" in err, err
    code, err = say(command, "--data", write_rows(tmp_path / "same.jsonl", same), "--out", tmp_path / "same")
    assert code == 4 and "nothing left of 1 rows" in err and "same.jsonl:1" in err
    code, err = say(command, "--data", write_rows(tmp_path / "after.jsonl", after))
    assert code == 4 and AFTER_ENCODING[command] in err


LABELLED = [
    {"prompt": f"say {i // 2}", "completion": f"{'yes' if i % 2 else 'no'} {i}", "label": bool(i % 2)}
    for i in range(16)
]


def test_labelled_completions_that_teach_nothing(
    say: Callable[..., Says], world: Path, tmp_path: Path
) -> None:
    """KTO: empty ones, long ones and those labelled both ways are counted; labels that are all alike, a
    single prompt, another format are refused.
    """
    odd = [
        {"prompt": "a", "completion": "", "label": True},
        {"prompt": "a" * (CONTEXT + 1), "completion": "b", "label": True},
        {**LABELLED[0], "label": True},
    ]
    code, err = say(
        "kto",
        "--data",
        write_rows(tmp_path / "among.jsonl", *LABELLED, *odd),
        "--held_out",
        0,
        "--truncate",
        "drop",
        "--out",
        tmp_path / "among",
    )
    assert code == 0 and "dropped: 1 empty completion (first: " in err and "among.jsonl:17" in err, err
    assert (
        "dropped: 1 too long, 2 labelled both ways" in err
        and "8 liked and 7 disliked completions: desirable_weight 1" in err
    ), err
    for name, rows, what in (
        ("alike", LABELLED[1::2], "all 8 completions that are learnt from are liked"),
        ("one", LABELLED[:2], "another prompt"),
        ("empty", odd[:1], "nothing left of 1 rows"),
        ("long", odd[1:2], "0 of 1 records fit"),
    ):
        code, err = say(
            "kto",
            "--data",
            write_rows(tmp_path / f"{name}.jsonl", *rows),
            "--held_out",
            0,
            "--truncate",
            "drop",
            "--out",
            tmp_path / name,
        )
        assert code == 4 and what in err, err
    code, err = say("kto", "--data", world / "demonstrations.jsonl", "--out", tmp_path / "other")
    assert code == 4 and "label" in err and "remedy: " in err, err
    assert (
        say("kto", "--data", world / "pairs.jsonl", "--out", tmp_path / "pairs")[0] == 0
    )  # comparisons are as good


@pytest.mark.parametrize(
    ("command", "what"),
    [
        (("dpo", "--beta", 0), "beta = 0"),
        (("dpo", "--loss_type", "hinge", "--label_smoothing", 0.1), "no meaning for loss_type hinge"),
        (("dpo", "--loss_type", "robust", "--label_smoothing", 0.5), "label_smoothing = 0.5"),
        (("orpo", "--batch", 0), "batch = 0"),
        (("simpo", "--gamma", -1), "gamma = -1"),
        (("kto", "--batch", 1), "batch = 1"),
        (("kto", "--undesirable_weight", 0), "undesirable_weight = 0"),
        (("dpo", "--loss_type", "kto"), "loss_type = 'kto' is not"),
        (("kto", "--loss_type", "apo"), "--loss_type is not an option"),
    ],
)
def test_settings_of_direct_methods_that_make_no_sense(
    command: tuple[Any, ...], what: str, say: Callable[..., Says], world: Path
) -> None:
    code, err = say(*command, "--data", world / "pairs.jsonl")
    assert code == (2 if "not an option" in what else 3) and what in err, err


def test_a_row_with_nothing_to_learn(say: Callable[..., Says], tmp_path: Path) -> None:
    empty = {"prompt": "a", "completion": ""}
    code, err = say(
        "sft",
        "--data",
        write_rows(tmp_path / "among.jsonl", *DEMONSTRATIONS, empty),
        "--out",
        tmp_path / "among",
    )
    assert code == 0 and "dropped: 1 empty completion" in err and "among.jsonl:13" in err
    code, err = say("sft", "--data", write_rows(tmp_path / "empty.jsonl", empty))
    assert code == 4 and "nothing left of 1 rows" in err and "empty.jsonl" in err
    code, err = say(
        "sft",
        "--data",
        write_rows(tmp_path / "asked.jsonl", {"messages": [{"role": "user", "content": "a"}]}),
    )
    assert code == 4 and "asked.jsonl:1" in err and "assistant" in err


# models


def test_pad_that_is_also_the_end_token_trains_and_stops(say: Callable[..., Says], tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", pad="<end>")
    data = write_rows(
        tmp_path / "rows.jsonl", *({"prompt": "a" * n, "completion": "b" * (1 + n % 3)} for n in range(1, 9))
    )
    code, _ = say(
        "sft", "--model", model, "--data", data, "--epochs", 60, "--optim.lr", 0.02, "--held_out", 0
    )
    assert code == 0
    policy = load_policy(tmp_path / "run" / "checkpoint", ModelSettings(threads=1))
    assert policy.tokenizer.pad_token == policy.tokenizer.eos_token and policy.pad_id not in policy.end_ids
    found = LocalSampler.of(policy).sample(
        [Prompt.user("a" * n) for n in range(1, 9)], Sampling(max_new_tokens=16, temperature=0.0)
    )
    assert all(
        completion.finished and completion.text and set(completion.text) == {"b"} for (completion,) in found
    ), found


def test_a_missing_chat_template(say: Callable[..., Says], tmp_path: Path, world: Path) -> None:
    model = write_model(tmp_path / "model", template="")
    for command, data in (("sft", "demonstrations"), ("dpo", "pairs"), ("eval", "prompts")):
        code, err = say(
            command, "--model", model, "--data", world / f"{data}.jsonl", "--out", tmp_path / command
        )
        assert (
            code == 4
            and str(model) in err
            and "no chat template" in err
            and "--model.chat_template chatml" in err
        ), err
    code, _ = say(
        "sft", "--model", model, "--model.chat_template", "chatml", "--data", world / "demonstrations.jsonl"
    )
    assert code == 0
    code, _ = say(
        "eval",
        "--model",
        tmp_path / "run",
        "--data",
        world / "prompts.jsonl",
        "--judge",
        "constant",
        "--sampling.max_new_tokens",
        8,
        "--out",
        tmp_path / "answers",
    )
    assert code == 0  # the template went along with the model


def edit_json(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "code": (
        lambda folder: edit_json(folder / "config.json", auto_map={"AutoModelForCausalLM": "m.M"}),
        "auto_map",
    ),
    "code of the tokenizer": (
        lambda folder: edit_json(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["m.M", None]}),
        "auto_map",
    ),
    "only a pickle": (
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
        "pytorch_model.bin",
    ),
    "also a pickle": (lambda folder: (folder / "head.pkl").write_bytes(b"\x80\x04."), "head.pkl"),
    "truncated weights": (lambda folder: os.truncate(folder / "model.safetensors", 4000), "cannot load"),
    "empty weights": (lambda folder: os.truncate(folder / "model.safetensors", 0), "cannot load"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "no weights"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer"),
    "broken tokenizer": (lambda folder: (folder / "tokenizer.json").write_text("{"), "not a JSON file"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "config.json"),
    "broken config": (lambda folder: (folder / "config.json").write_text("{"), "not a JSON file"),
    "unknown architecture": (lambda folder: edit_json(folder / "config.json", model_type="zzz"), "zzz"),
    "weights of another shape": (
        lambda folder: edit_json(folder / "config.json", hidden_size=32),
        "another shape",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_or_unsafe_model_folder(
    name: str, say: Callable[..., Says], world: Path, tmp_path: Path
) -> None:
    shutil.copytree(world / "model", tmp_path / "model")
    spoil, what = BROKEN[name]
    spoil(tmp_path / "model")
    code, err = say("sft", "--model", tmp_path / "model", "--data", world / "demonstrations.jsonl")
    assert code == 4 and what in err and f"where:  {tmp_path / 'model'}" in err and "remedy: " in err, err
    shutil.rmtree(tmp_path / "model")
    shutil.copytree(world / "model", tmp_path / "model")
    assert (
        say("sft", "--model", tmp_path / "model", "--data", world / "demonstrations.jsonl")[0] == 0
    )  # the same command, once it is mended


def test_code_beside_the_weights_is_not_run(say: Callable[..., Says], world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "model", tmp_path / "model")
    (tmp_path / "model" / "modeling_llama.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit(9)\n"
    )
    assert say("sft", "--model", tmp_path / "model", "--data", world / "demonstrations.jsonl")[0] == 0
    assert not (tmp_path / "ran").exists()


def test_the_folder_one_is_in_can_be_the_model(
    say: Callable[..., Says], world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world / "model")
    assert say("sft", "--model", ".", "--data", world / "demonstrations.jsonl")[0] == 0


def test_a_model_or_device_that_is_not_there(say: Callable[..., Says], world: Path, tmp_path: Path) -> None:
    for number, (model, what) in enumerate(
        [(tmp_path / "nowhere", "no model"), ("town-x", "town-x"), ("owner/name", "owner/name")]
    ):
        code, err = say(
            "sft", "--model", model, "--data", world / "demonstrations.jsonl", "--out", tmp_path / str(number)
        )
        assert code == 4 and what in err and "remedy: " in err
    code, err = say("sft", "--data", world / "demonstrations.jsonl", "--model.device", "cudaa")
    assert code == 3 and "cudaa" in err and "remedy: auto" in err


def test_a_reward_model_is_no_policy_and_a_policy_no_reward_model(
    say: Callable[..., Says], world: Path, tmp_path: Path
) -> None:
    for command, data in (
        ("sft", "demonstrations"),
        ("dpo", "pairs"),
        ("collect", "prompts"),
        ("eval", "prompts"),
    ):
        code, err = say(
            command,
            "--model",
            world / "reward",
            "--data",
            world / f"{data}.jsonl",
            "--out",
            tmp_path / command,
        )
        assert code == 4 and "this is a reward model" in err and "remedy: name the policy" in err, err
    code, err = say("chat", "--model", world / "reward", "--once", "hello")
    assert code == 4 and "this is a reward model" in err
    for name, command in {
        "ppo": ("ppo", "--reward", world / "sft"),
        "best": ("best-of-n", "--reward", world / "sft"),
        "judge": ("eval", "--judge", f"reward:{world / 'sft'}"),
        "rank": ("collect", "--annotator", f"reward:{world / 'sft'}"),
    }.items():
        code, err = say(*command, "--data", world / "prompts.jsonl", "--out", tmp_path / name)
        assert code == 4 and "no scalar head" in err and "alignlab reward" in err, err


# runs


@pytest.mark.parametrize("suffix", ["", ".partial"])
def test_an_unfinished_run_is_no_model_no_data_and_no_judge(
    suffix: str, say: Callable[..., Says], world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("sft", "--data", world / "demonstrations.jsonl", "--out", tmp_path / "first")
    with monkeypatch.context() as patch:
        patch.setattr("alignlab.models.saving.save_policy", no_space)
        assert say(*command)[0] == 8
    first, prompts = f"{tmp_path / 'first'}{suffix}", world / "prompts.jsonl"
    for other in (
        ("sft", "--model", first, "--data", world / "demonstrations.jsonl"),
        ("sft", "--data", first),
        ("dpo", "--data", first),
        ("eval", "--data", prompts, "--judge", f"reward:{first}"),
        ("eval", "--data", prompts, "--judge", "constant", "--baseline", first),
    ):
        code, err = say(*other)
        assert (
            code == 4
            and f"the run {tmp_path / 'first'} is not finished" in err
            and "give the command that made it again" in err
        ), err
        assert not (
            tmp_path / "run.partial"
        ).exists()  # which would stand in the way once the model is finished
    assert say(*command)[0] == 0
    assert say("sft", "--model", tmp_path / "first", "--data", world / "demonstrations.jsonl")[0] == 0


def test_a_baseline_must_be_an_eval_run(say: Callable[..., Says], world: Path, tmp_path: Path) -> None:
    code, err = say(
        "eval", "--data", world / "prompts.jsonl", "--judge", "constant", "--baseline", world / "sft"
    )
    assert code == 2 and "a run of sft" in err and "alignlab eval" in err
    code, err = say(
        "eval", "--data", world / "prompts.jsonl", "--judge", "constant", "--baseline", tmp_path / "nowhere"
    )
    assert code == 2 and "not a run folder" in err and not (tmp_path / "run.partial").exists()


def test_what_a_run_comes_from_is_recorded(say: Callable[..., Says], world: Path, tmp_path: Path) -> None:
    assert (
        say(
            "collect",
            "--model",
            world / "sft",
            "--data",
            world / "prompts.jsonl",
            "--annotator",
            f"reward:{world / 'reward'}",
            "--sampling.max_new_tokens",
            8,
            "--out",
            tmp_path / "ranked",
        )[0]
        == 0
    )
    assert json.loads((tmp_path / "ranked" / "run.json").read_text())["parents"] == [
        str(world / "sft"),
        str(world / "reward"),
    ]
    assert say("dpo", "--model", world / "sft", "--data", tmp_path / "ranked")[0] == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["parents"] == [
        str(world / "sft"),
        str(tmp_path / "ranked"),
    ]
    assert (
        say(
            "kto",
            "--model",
            world / "sft",
            "--data",
            tmp_path / "ranked",
            "--batch",
            4,
            "--out",
            tmp_path / "kto",
        )[0]
        == 0
    )
    assert json.loads((tmp_path / "kto" / "run.json").read_text())["parents"] == [
        str(world / "sft"),
        str(tmp_path / "ranked"),
    ]


def test_a_finished_run_is_never_written_over(say: Callable[..., Says], world: Path, tmp_path: Path) -> None:
    data, out = world / "demonstrations.jsonl", tmp_path / "run"
    assert say("sft", "--data", data)[0] == 0
    before = figures(out)
    for other in (("--seed", 1), ("--optim.lr", 1), ("--no-resume", "--seed", 1), ("--model", world / "sft")):
        code, err = say("sft", "--data", data, *other)
        assert code == 7 and "remedy: another --out" in err, err
    code, err = say("dpo", "--data", world / "pairs.jsonl")
    assert code == 7 and "a run of 'sft'" in err
    assert figures(out) == before


# a full disk, a loss that is not finite


def no_space(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def no_space_in_safetensors(*_: Any, **__: Any) -> None:
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("command", "data"),
    [("sft", "demonstrations"), ("reward", "pairs"), ("dpo", "pairs"), ("ppo", "prompts")],
)
@pytest.mark.parametrize(
    ("target", "failure"),
    [
        ("safetensors.torch.save_file", no_space_in_safetensors),
        ("os.write", no_space),
        ("os.fsync", no_space),
        ("transformers.modeling_utils.safe_save_file", no_space_in_safetensors),
        ("transformers.PreTrainedTokenizerFast.save_pretrained", no_space),
    ],
)
def test_a_full_disk(
    command: str,
    data: str,
    target: str,
    failure: Callable[..., None],
    say: Callable[..., Says],
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    more = (
        ("--reward", world / "reward", "--steps", 2, "--rollouts", 4, "--sampling.max_new_tokens", 4)
        if command == "ppo"
        else ()
    )
    given = (command, "--model", world / "sft", "--data", world / f"{data}.jsonl", *more)
    monkeypatch.setenv("ALIGNLAB_SAVE_EVERY_STEPS", "1")
    with monkeypatch.context() as patch:
        patch.setattr(target, failure)
        code, err = say(*given)
    assert (
        code == 8
        and "cannot write: " in err
        and f"where:  {tmp_path / 'run.partial'}" in err
        and "make room" in err
    ), err
    assert not (tmp_path / "run").exists()
    assert say(*given)[0] == 0
    assert say(*given, "--out", tmp_path / "undisturbed")[0] == 0
    assert figures(tmp_path / "run") == figures(tmp_path / "undisturbed")


@pytest.mark.parametrize(
    ("command", "data"),
    [
        ("sft", "demonstrations"),
        ("reward", "pairs"),
        ("dpo", "pairs"),
        ("kto", "pairs"),
        ("orpo", "pairs"),
        ("simpo", "pairs"),
        ("ppo", "prompts"),
    ],
)
def test_a_loss_that_is_not_finite(
    command: str,
    data: str,
    say: Callable[..., Says],
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    more = (
        (
            "--reward",
            world / "reward",
            "--steps",
            4,
            "--rollouts",
            4,
            "--epochs",
            1,
            "--sampling.max_new_tokens",
            4,
        )
        if command == "ppo"
        else ("--epochs", 4, "--batch", 4)
    )
    given = (command, "--data", world / f"{data}.jsonl", *more)
    reckless = ("--optim.lr", 1e30, "--optim.warmup", 0, "--optim.max_grad_norm", 0)
    monkeypatch.setenv("ALIGNLAB_SAVE_EVERY_STEPS", "1")
    code, err = say(*given, *reckless)
    assert code == 6 and "at step" in err and "remedy: " in err and "last good state is kept" in err, err
    assert not (tmp_path / "run").exists() and len(list((tmp_path / "run.partial").glob("state-*"))) == 1
    code, err = say(*given)
    assert code == 7 and "optim.lr: 1e+30 then" in err and "--no-resume" in err, err
    assert say(*given, *reckless)[0] == 6  # from the last good state it comes to the same end
    assert say(*given, "--no-resume")[0] == 0


def test_a_model_that_holds_nan_is_noticed_before_a_token_is_drawn(
    say: Callable[..., Says], world: Path, tmp_path: Path
) -> None:
    model = LlamaForCausalLM.from_pretrained(world / "model")
    shutil.copytree(world / "model", tmp_path / "model")
    with torch.no_grad():
        model.lm_head.weight[0, 0] = float("nan")
    model.save_pretrained(tmp_path / "model")
    code, err = say(
        "eval", "--model", tmp_path / "model", "--data", world / "prompts.jsonl", "--judge", "constant"
    )
    assert code == 6 and "finite" in err, err
    code, err = say(
        "sft",
        "--model",
        tmp_path / "model",
        "--data",
        world / "demonstrations.jsonl",
        "--out",
        tmp_path / "sft",
    )
    assert code == 6 and "the loss is nan at step 0" in err, err
