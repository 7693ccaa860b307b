"""`alignlab chat`: what is asked, remembered, shown and printed, with a tiny random model and the shipped
one.
"""

from __future__ import annotations

import io
import json
import os
import pty
import re
import sys
import termios
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from alignlab import cli
from alignlab.errors import DataError, GuardStop
from alignlab.feedback import RuleJudge
from alignlab.models.chat import prompt_ids
from alignlab.models.load import load_policy, load_reward_model
from alignlab.models.policy import Policy
from alignlab.models.saving import save_reward_model
from alignlab.names.weights import model_path
from alignlab.records import Message, Prompt
from alignlab.run import derive_seed
from alignlab.sampling import Sampling
from alignlab.sampling.local import LocalSampler
from alignlab.serve import terminal as chat
from alignlab.serve.conversation import Answer, Conversation, Speaker
from alignlab.settings import ChatSettings, ModelSettings, SamplingSettings

CONTEXT = 160
SETTINGS = ChatSettings(sampling=SamplingSettings(max_new_tokens=24))
LENGTH = RuleJudge("length", lambda completion: float(len(completion.text)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of single bytes: nearly all that it writes is fit for no terminal."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={character: i for i, character in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer, inner.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", pad_token="<pad>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<user>", "<assistant>"]})
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}{% if add_generation_prompt "
        "%}<assistant>{% endif %}"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=260,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            initializer_range=0.1,
            max_position_embeddings=CONTEXT,
            bos_token_id=None,
            eos_token_id=256,
            pad_token_id=257,
        )
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def policy(folder: Path) -> Policy:
    return load_policy(folder, ModelSettings())


@pytest.fixture(scope="module")
def town() -> Policy:
    return load_policy(model_path("town-m"), ModelSettings())


@pytest.fixture
def conversation(policy: Policy) -> Conversation:
    return Conversation([Speaker("tiny", policy)], SETTINGS)


def talk(conversation: Conversation, *lines: str) -> tuple[list[Answer], list[str]]:
    """The answers to some lines, and what else was said."""
    answers: list[Answer] = []
    said: list[str] = []

    def show(more: Sequence[Answer]) -> None:
        chat.write_silently(more)
        answers.extend(more)

    chat.talk(conversation, lines, show, said.append)
    return answers, said


def scripted(text: str, name: str = "parrot", **options) -> Answer:
    """An answer that arrives letter by letter."""
    return Answer(name, Prompt.user("?"), iter(text), lambda: True, **options)


def screen(width: int, height: int = 24) -> Console:
    return Console(
        file=io.StringIO(),
        width=width,
        height=height,
        force_terminal=True,
        color_system=None,
        highlight=False,
    )


def left_on(console: Console) -> list[str]:
    """The lines that a terminal shows in the end: the cursor's moves of a live display are played."""
    assert isinstance(console.file, io.StringIO)
    lines, row = [""], 0
    for part in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|\r|\n)", console.file.getvalue()):
        if part == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif part == "\r" or part == "":
            continue
        elif part == "\x1b[2K":
            lines[row] = ""
        elif up := re.fullmatch(r"\x1b\[(\d+)A", part):
            row -= int(up[1])
        elif not part.startswith("\x1b"):
            lines[row] += part
    return [line.rstrip() for line in lines]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_streamed_text_is_the_sampled_text(town: Policy, temperature: float):
    settings = ChatSettings(seed=5, sampling=SamplingSettings(temperature=temperature))
    (answer,) = Conversation([Speaker("town-m", town)], settings).ask(
        "Who is the best friend of Nell?", chat.write_silently
    )
    ((sampled,),) = LocalSampler.of(town, documents=True).sample(
        [Prompt.user("Who is the best friend of Nell?")],
        Sampling(max_new_tokens=48, temperature=temperature),
        seed=derive_seed(5, "chat", 0),
    )
    assert answer.text == sampled.text != ""
    assert (answer.finished, answer.over) == (sampled.finished, True)


def test_finished_is_told_from_cut(policy: Policy):
    ends = Speaker("ends", replace(policy))
    ends.sampler.end_ids = frozenset(range(260))
    cut = Speaker("cut", policy)
    cut.sampler.end_ids = frozenset()
    first, second = Conversation([ends, cut], SETTINGS).ask("hello", chat.write_silently)
    assert (first.finished, first.text, first.footer) == (True, "", "")
    assert not second.finished and "max_new_tokens" in second.footer


def test_each_model_remembers_its_own_answers(policy: Policy, town: Policy):
    both = Conversation([Speaker("tiny", policy), Speaker("town-m", town)], SETTINGS)
    answers, _ = talk(both, "one", "two")
    for speaker, first, second in zip(both.speakers, answers[:2], answers[2:], strict=True):
        assert speaker.turns == [("one", first.text), ("two", second.text)]
        assert second.prompt.messages == (
            Message("user", "one"),
            Message("assistant", first.text),
            Message("user", "two"),
        )
    assert answers[2].text != answers[3].text


def test_commands(conversation: Conversation):
    answers, said = talk(
        conversation,
        "/again",
        "one",
        "/again",
        "/temperature 0",
        "/again",
        "/again",
        "/temperature",
        "",
        "  ",
        "/new",
        "/again",
        "two",
        "/quit",
        "never asked",
    )
    first, second, third, fourth, fifth = answers
    assert said == [
        "nothing has been asked yet",
        "temperature 0",
        "temperature 0",
        "the conversation is forgotten",
        "nothing has been asked yet",
    ]
    assert first.text != second.text, "another sample"
    assert third.text == fourth.text, "greedy"
    assert first.prompt == second.prompt == third.prompt == Prompt.user("one"), (
        "the answer before is no part of the prompt of another"
    )
    assert fifth.prompt == Prompt.user("two")
    assert conversation.speakers[0].turns == [("two", fifth.text)]


def test_wrong_commands_are_explained(conversation: Conversation):
    answers, said = talk(
        conversation,
        "/temprature 1",
        "/x\x1b[2J",
        "/temperature hot",
        "/temperature -1",
        "/temperature nan",
        "/temperature inf",
        "/help",
        " /etc is a folder",
    )
    assert "did you mean /temperature?" in said[0]
    assert "\x1b" not in said[1] and "\\x1b[2J" in said[1]
    assert [words for words in said[2:6] if "from 0, not" not in words] == []
    assert conversation.settings == SETTINGS
    assert all(command in said[6] for command in ("/new", "/again", "/temperature", "/quit", "/help"))
    assert [answer.prompt.text for answer in answers] == ["/etc is a folder"]


def test_oldest_turns_are_forgotten_and_said_to_be(conversation: Conversation):
    speaker = conversation.speakers[0]
    speaker.turns = [("a" * 40, "b" * 20), ("c" * 40, "d" * 20), ("e" * 10, "f" * 10)]
    ((answer,), _) = talk(conversation, "g" * 10)
    assert "the oldest turn is forgotten" in answer.note and str(CONTEXT) in answer.note
    assert [question[0] for question, _ in speaker.turns] == ["c", "e", "g"]
    assert len(prompt_ids(speaker.tokenizer, answer.prompt)) + SETTINGS.sampling.max_new_tokens <= CONTEXT


def test_a_question_that_is_too_long_is_refused_and_nothing_is_forgotten(conversation: Conversation):
    answers, _ = talk(conversation, "short", "long " * 50, "short again")
    assert isinstance(answers[1].error, DataError) and "question alone is too long" in answers[1].footer
    assert [message.content for message in answers[2].prompt.messages if message.role == "user"] == [
        "short",
        "short again",
    ]


def test_a_model_without_a_template_continues_the_text(folder: Path, monkeypatch: pytest.MonkeyPatch):
    policy = load_policy(folder, ModelSettings())
    policy.tokenizer.chat_template = None
    speaker = Speaker("bare", policy)
    fed = []
    stream = speaker.sampler.stream
    monkeypatch.setattr(
        speaker.sampler, "stream", lambda ids, *how, **seed: (fed.append(ids), stream(ids, *how, **seed))[1]
    )
    first, _ = talk(Conversation([speaker], SETTINGS), "Once upon", "a time")[0]
    assert first.text
    assert fed == [
        policy.tokenizer("Once upon")["input_ids"],
        policy.tokenizer(f"Once upon\n{first.text}\na time")["input_ids"],
    ]


def test_logits_that_are_not_finite_end_one_answer_and_not_the_other(policy: Policy, town: Policy):
    with torch.no_grad():
        policy.model.lm_head.weight.fill_(float("nan"))
    broken, whole = Conversation([Speaker("tiny", policy), Speaker("town-m", town)], SETTINGS).ask(
        "hello", chat.write_silently
    )
    assert isinstance(broken.error, GuardStop) and "not finite" in broken.footer
    assert whole.text and not whole.error


def test_narrow_terminals_show_one_answer_below_the_other():
    console = screen(60)
    chat.show(
        console,
        [scripted("first answer", "one", note="a note"), scripted("second answer", "two", judge=LENGTH)],
    )
    assert left_on(console) == ["one", "a note", "first answer", "two", "second answer", "score +13.00", ""]


def test_wide_terminals_show_columns_that_grow_together():
    console = screen(90)
    order: list[str] = []

    def pieces(name: str):
        for _ in range(3):
            order.append(name)
            yield f"{name} "

    answers = [Answer(name, Prompt.user("?"), pieces(name), lambda: True) for name in ("one", "two")]
    chat.show(console, answers)
    assert order == ["one", "two"] * 3
    assert left_on(console) == [f"{'one':<46}two", f"{'one one one':<46}two two two", ""]


def test_columns_wrap_words_and_fold_what_has_none():
    console = screen(80)
    chat.show(console, [scripted("word " * 60, "one"), scripted("x" * 200, "two")])
    lines = left_on(console)
    assert max(map(len, lines)) <= 80
    assert (
        sum(line[:38].count("word") for line in lines) == 60
        and sum(line[41:].count("x") for line in lines) == 200
    )


def test_a_growing_answer_shows_its_end_and_a_whole_one_all_of_it():
    console, answer = screen(80, 6), scripted("")
    answer.text = "\n".join(map(str, range(20)))
    assert chat.column(console, answer, 78, 5).plain.split("\n") == ["15", "16", "17", "18", "19"]
    chat.show(console, [answer])
    assert left_on(console)[-21:-1] == [str(i) for i in range(20)]


def test_nothing_a_model_writes_reaches_the_terminal_as_a_command(capsys: pytest.CaptureFixture[str]):
    hostile = "\x1b[31mred\x07 \u202eevil\u2066 \x9b2J\rover \u200bzero\tx\nnext"
    for width, count in ((70, 1), (150, 2)):
        console = screen(width)
        chat.show(console, [scripted(hostile, "na\x1b[1mme"), scripted(hostile)])
        text = "\n".join(left_on(console))
        assert (
            max(
                line.count("\\x1b[31mred\\x07 \\u202eevil\\u2066 \\x9b2J\\x0dover \\u200bzero")
                for line in text.split("\n")
            )
            == count
        )
        assert "na\\x1b[1mme" in text
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202e\u2066]", text)
    chat.write_lines([scripted(hostile)])
    assert (
        capsys.readouterr().out
        == "\\x1b[31mred\\x07 \\u202eevil\\u2066 \\x9b2J\\x0dover \\u200bzero\\tx\\nnext\n"
    )


def test_ctrl_c_stops_the_answer_and_keeps_what_was_written(policy: Policy):
    def interrupted():
        yield from "so far"
        raise KeyboardInterrupt

    console, (answer,) = screen(60), [scripted("", judge=LENGTH)]
    answer.pieces = interrupted()
    chat.show(console, [answer])
    assert left_on(console) == ["parrot", "so far", "stopped · score +6.00", ""]
    assert (answer.text, answer.finished, answer.advance()) == ("so far", False, None)


def test_ctrl_c_in_the_sampler_leaves_it_fit_for_the_next_question(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
):
    speaker = conversation.speakers[0]
    extend, count = speaker.sampler._extend, 0

    def extend_and_interrupt(*args, **options):
        nonlocal count
        count += 1
        if count == 10:
            raise KeyboardInterrupt
        return extend(*args, **options)

    monkeypatch.setattr(speaker.sampler, "_extend", extend_and_interrupt)
    (stopped,) = conversation.ask("one", lambda answers: chat.show(screen(60), answers))
    (whole,) = conversation.ask("two", chat.write_silently)
    assert stopped.stopped and not whole.stopped and not whole.error and whole.text
    assert speaker.turns == [("one", stopped.text), ("two", whole.text)]


@pytest.mark.parametrize("ending", [EOFError, KeyboardInterrupt])
def test_end_of_file_and_ctrl_c_at_the_prompt_leave(
    ending: type[BaseException], monkeypatch: pytest.MonkeyPatch
):
    lines = iter(["hello"])

    def read(prompt: str) -> str:
        for line in lines:
            return line
        raise ending

    monkeypatch.setattr("builtins.input", read)
    assert list(chat.typed()) == ["hello"]


def test_once_prints_one_answer(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["chat", "--model", "town-m", "--once", "Who is the best friend of Nell?", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (answer,) = document["answers"]
    assert (
        document["schema"] == 1
        and set(answer) == {"model", "text", "finished"}
        and answer["model"] == "town-m"
    )
    assert cli.main(["chat", "--model", "town-m", "--once", "Who is the best friend of Nell?"]) == 0
    assert capsys.readouterr().out == document["text"] + "\n" == chat.shown(answer["text"]).strip() + "\n"


def test_once_with_two_models_and_a_reward_model(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    save_reward_model(
        load_reward_model(folder, ModelSettings(), init_head=True), tmp_path / "reward", card="# A test"
    )
    command = [
        "chat",
        "--model",
        str(folder),
        "--beside",
        "town",
        "--reward",
        str(tmp_path / "reward"),
        "--once",
        "hello",
        "--sampling.max_new_tokens",
        "8",
    ]
    assert cli.main([*command, "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)["answers"]
    assert (first["model"], second["model"]) == (str(folder), "town")
    assert first["score"] != second["score"]
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    assert f"(score {first['score']:+.2f})\n\ntown:\n" in out


def test_once_says_what_keeps_it_from_answering(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["chat", "--model", str(folder), "--once", "long " * 50]) == 4
    out, err = capsys.readouterr()
    assert out == "" and "too long" in err
    assert cli.main(["chat", "--model", str(folder / "nowhere"), "--once", "hello"]) == 4


def test_off_a_terminal_each_line_is_a_question_and_each_answer_a_line(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    lines = ["hello", "", "/temperature 0", "/again", "/new", "long " * 50]
    monkeypatch.setattr(
        sys,
        "stdin",
        io.TextIOWrapper(io.BytesIO("\n".join(lines).encode() + b"\nwhat \xff\xfe is\n"), encoding="utf-8"),
    )
    assert cli.main(["chat", "--model", str(folder), "--sampling.max_new_tokens", "24"]) == 0
    out, err = capsys.readouterr()
    answers = out.split("\n")
    assert len(answers) == 5 and answers[-1] == ""
    assert answers[0] and answers[1] and answers[0] != answers[1] and answers[2] == "" and answers[3]
    assert "temperature 0" in err and "too long" in err and "you>" not in out + err


def test_lines_have_the_model_where_there_are_two_and_the_score_where_there_is_one(
    capsys: pytest.CaptureFixture[str],
):
    chat.write_lines(
        [scripted(" an answer\nin two lines", "one", judge=LENGTH), scripted("b", "two", note="forgotten")]
    )
    assert capsys.readouterr() == ("one\tan answer\\nin two lines\t23.0000\ntwo\tb\n", "two: forgotten\n")


def test_a_terminal_has_a_prompt_a_banner_and_the_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    lines = iter(["Who is the best friend of Nell?"])
    monkeypatch.setenv("COLUMNS", "60")
    master, terminal = pty.openpty()
    monkeypatch.setattr(sys, "stdin", open(terminal, encoding="utf-8"))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    before = termios.tcgetattr(terminal)
    monkeypatch.setattr(chat, "typed", lambda: lines)
    assert cli.main(["chat", "--model", "town-m", "--sampling.temperature", "0"]) == 0
    out = capsys.readouterr().out
    assert "town-m is a base model" in out and "/help" in out
    said = out.split("/help")[1].split("cut at the limit")[0]
    assert len(said.split()) > 10, "a base model goes on in some document"
    assert termios.tcgetattr(terminal) == before and before[3] & termios.ECHO, "the terminal echoes again"
    sys.stdin.close()
    os.close(master)
