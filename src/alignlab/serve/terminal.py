"""`alignlab chat`: talk to a model in the terminal, or to two side by side.

On a terminal answers appear as they are written, two models in two columns where there is room. Off a
terminal each line read is a question and each answer a line on stdout: `answer`, or `model TAB answer TAB
score` with the fields that apply; a question that could not be answered leaves its answer empty and says why
on stderr. `--once` asks one question and leaves.

What a model writes is not trusted: whatever could move the cursor, color the screen or turn the direction of
writing is shown as an escape.
"""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .. import names
from ..models.load import load_policy
from ..settings import ChatSettings
from ..text.escapes import one_line
from ..text.nearest import nearest
from .conversation import Answer, Conversation, Speaker, shown

WIDE = 80  # columns of a terminal from which two answers stand side by side
GAP = 3  # columns between them
COMMANDS = {
    "/new": "forget the conversation",
    "/again": "another answer to the last question, in place of the one it got",
    "/temperature": "X: sample at temperature X from now on, 0 = always the likeliest token; alone: show it",
    "/help": "show this",
    "/quit": "leave, as Ctrl-D does and Ctrl-C at the prompt",
}
HELP = "\n".join(
    [
        *(f"{name:<13} {text}" for name, text in COMMANDS.items()),
        "Ctrl-C stops an answer. A question that begins with / is given with a space before it.",
    ]
)


def chat(*, model: str, beside: str, reward: str, once: str, settings: ChatSettings) -> dict[str, Any] | None:
    """Talk to `model`, and to `beside` if one is named; `reward` names a reward model that scores each
    answer.

    Returns:
        With `once`, the answers as `{"answers": [{"model", "text", "finished", "score"?}], "text": for
        people}`; else None, at the end.

    Raises:
        UserError: a model cannot be loaded; with `once`, also what keeps a model from answering.
    """
    for stream, errors in ((sys.stdin, "replace"), (sys.stdout, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)
    console = Console(highlight=False)
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty() and not once
    asked = [name for name in (model, beside) if name]
    speaking = {name: names.models.model(name) for name in asked}
    speakers = [Speaker(name, load_policy(speaking[name].path, settings.model)) for name in asked]
    judge = names.judges.reward_judge(reward).load() if reward else None
    conversation = Conversation(speakers, settings, judge)
    if once:
        return ask_once(conversation, once)
    if on_terminal:
        with suppress(ImportError):  # where there is one, input() edits the line and remembers those before
            import readline  # noqa: F401
        for name, speaker in zip(speaking, speakers, strict=False):
            if not speaker.chats or speaking[name].is_base:
                console.print(
                    Text(
                        f"{one_line(name)} is a base model: it was taught to continue text, not to answer",
                        "dim",
                    )
                )
        console.print(Text("/help shows the commands, Ctrl-C stops an answer, Ctrl-D leaves", "dim"))
        talk(
            conversation,
            typed(),
            lambda answers: show(console, answers),
            lambda words: console.print(Text(words, "dim")),
        )
    else:
        talk(conversation, sys.stdin, write_lines, lambda words: print(words, file=sys.stderr))
    return None


def talk(
    conversation: Conversation,
    lines: Iterable[str],
    show: Callable[[Sequence[Answer]], None],
    say: Callable[[str], None],
) -> None:
    """Answer or obey line by line until there are no more, or `/quit`."""
    for line in lines:
        word, _, value = line.strip().partition(" ")
        if not word:
            continue
        if not line.startswith("/"):
            conversation.ask(line.strip(), show)
        elif word == "/quit":
            return
        elif word == "/help":
            say(HELP)
        elif word == "/new":
            conversation.forget()
            say("the conversation is forgotten")
        elif word == "/again":
            if conversation.asked:
                conversation.again(show)
            else:
                say("nothing has been asked yet")
        elif word == "/temperature":
            say(set_temperature(conversation, value))
        else:
            say(
                f"there is no command {one_line(word)}; "
                + (nearest(word, COMMANDS) or "/help shows those there are")
            )


def set_temperature(conversation: Conversation, value: str) -> str:
    """Sample at this temperature from now on, unless the value is empty; returns what to say about it."""
    settings = conversation.settings
    try:
        temperature = float(value) if value else settings.sampling.temperature
    except ValueError:
        temperature = -1.0
    if not 0 <= temperature < math.inf:
        return f"a temperature is a number from 0, not {one_line(value)}"
    conversation.settings = replace(settings, sampling=replace(settings.sampling, temperature=temperature))
    return f"temperature {temperature:g}"


def ask_once(conversation: Conversation, question: str) -> dict[str, Any]:
    """The answers to one question, as a document and as text for people; the first error is raised."""
    answers = conversation.ask(question, write_silently)
    for answer in answers:
        if answer.error:
            raise answer.error
    blocks = []
    for answer in answers:
        lines = [shown(answer.text).strip()]
        if len(answers) > 1:
            lines.insert(0, f"{one_line(answer.model)}:")
        if answer.score is not None:
            lines.append(f"(score {answer.score:+.2f})")
        blocks.append("\n".join(lines))
    return {"answers": [answer.to_json() for answer in answers], "text": "\n\n".join(blocks)}


def typed() -> Iterator[str]:
    """What a person types, until Ctrl-D or Ctrl-C."""
    while True:
        try:
            line = input("you> ")
        except (EOFError, KeyboardInterrupt):
            print()
            return
        yield line


def write_silently(answers: Sequence[Answer]) -> None:
    for answer in answers:
        while answer.advance() is not None:
            pass


def write_lines(answers: Sequence[Answer]) -> None:
    """Each answer as a line of fields between tabs: the model where there are several, the answer, the score
    where there is one.
    """
    write_silently(answers)
    for answer in answers:
        if answer.error or answer.note:
            print(f"{one_line(answer.model)}: {shown(str(answer.error or answer.note))}", file=sys.stderr)
        fields = [one_line(answer.text.strip())]
        if len(answers) > 1:
            fields.insert(0, one_line(answer.model))
        if answer.score is not None:
            fields.append(f"{answer.score:.4f}")
        print("\t".join(fields), flush=True)


def show(console: Console, answers: Sequence[Answer]) -> None:
    """Answers as they are written, on a terminal: several in columns if it is wide, else one below the other.
    Ctrl-C stops them.
    """
    if console.width >= WIDE:
        write_columns(console, answers)
    else:
        for answer in answers:
            write_columns(console, [answer])


def write_columns(console: Console, answers: Sequence[Answer]) -> None:
    """Columns that all grow: each model writes a piece in turn. While they do, what no longer fits the screen
    is left out at the top.
    """
    width = (console.width - GAP * (len(answers) - 1)) // len(answers)

    def columns() -> Table:
        height = None if all(answer.over for answer in answers) else console.height - 1
        table = Table.grid(padding=(0, GAP, 0, 0), pad_edge=False)
        for _ in answers:
            table.add_column(width=width)
        table.add_row(*(column(console, answer, width, height) for answer in answers))
        return table

    with silent_keys(), Live(get_renderable=columns, console=console, refresh_per_second=12):
        try:
            writing = list(answers)
            while writing:
                writing = [answer for answer in writing if answer.advance() is not None]
        except KeyboardInterrupt:
            for answer in answers:
                answer.stop()


@contextmanager
def silent_keys() -> Iterator[None]:
    """What is typed meanwhile (an Enter, the ^C) is kept for later and does not show: it would move the lines
    that are being redrawn.
    """
    if not sys.stdin.isatty() or sys.platform == "win32":
        yield
        return
    import termios

    before = termios.tcgetattr(sys.stdin)
    quiet = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def column(console: Console, answer: Answer, width: int, height: int | None) -> Text:
    """An answer in so many columns, of which the last `height` lines (None: all)."""
    parts = [
        (one_line(answer.model), "bold cyan"),
        (answer.note, "dim"),
        (shown(answer.text).strip(), ""),
        (answer.footer, "red" if answer.error else "dim"),
    ]
    lines = Text("\n").join(Text(words, style) for words, style in parts if words).wrap(console, width)
    return Text("\n").join(lines if height is None else lines[-height:])
